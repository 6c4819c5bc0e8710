"""Isolation: a run driven in another process is the same run, with stamps that nothing in this process can bend."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, END, STOP, Wire, chunk, delta, serving, wait_until
from pandas.testing import assert_frame_equal
from test_companions import ends, is_running

import streamnb
from streamnb.display.view import NullView
from streamnb.errors import MissingKeyError, UsageError
from streamnb.events import Outcome
from streamnb.isolation import _engine, _outpost
from streamnb.isolation._outpost import _OUTPOST, outpost
from streamnb.options import parse_line
from streamnb.results import Run
from streamnb.session import Session, ask

ROOT = Path(__file__).parents[1]
AT_ONCE = {"ttft": 0.0, "gap": 0.0}
TABLES = ("summary", "calls", "chunks", "events", "citations", "frames", "gaps", "stalls")
TARGETS = ("demo", "ollama", "voiceflow", "typebot", "chatbotkit", "deepset", "oliver")
SCENARIOS = ("http-429", "error", "truncate", "reset")
linux = pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(delta("x ")), 0.002)


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
    await wire.send(END)


async def begin(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"))
    await wire.gone()


async def silence(wire: Wire) -> None:
    await wire.gone()


def to(server: Any, **more: Any) -> Session:
    return Session(ask("openai_chat", "hi", base_url=server.origin, model="m", isolate=True, **more))


def said(run: Run) -> list[tuple[object, ...]]:
    """What a run came to, apart from its times, names and cuts."""
    events = run.recorded.events
    calls = [(row.name, row.status, row.framing, row.stream) for row in run.recorded.calls]
    return [*zip(events.kind, events.text, strict=True), (run.text, run.outcome, run.error, run.messages), *calls]


# -- the same run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_every_flow_comes_to_the_same(target: str):
    here, there = (
        streamnb.stream(target, "Why do rivers meander?", sim=True, pace=AT_ONCE, isolate=isolate)
        for isolate in (False, True)
    )
    assert there.outcome == "complete"
    assert len(there.events) > 3
    assert said(there) == said(here)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_ends_badly_in_the_same_words(scenario: str):
    here, there = (
        streamnb.stream("demo", "hi", pace={**AT_ONCE, "tokens": 12}, scenario=scenario, isolate=isolate)
        for isolate in (False, True)
    )
    assert not there.ok
    assert (there.outcome, nameless(there.error)) == (here.outcome, nameless(here.error))
    assert [nameless(one) for one in said(there)] == [nameless(one) for one in said(here)]


def nameless(text: object) -> str:
    """Without the ids that the simulator gives each request."""
    return re.sub(r"req_\w+", "req_", str(text))


def test_its_file_opens_as_the_run_that_was_seen_and_replays():
    run = streamnb.stream("voiceflow", "hi", sim=True, pace=AT_ONCE, isolate=True)
    opened = streamnb.open(run.path)
    for name in TABLES:
        assert_frame_equal(getattr(opened, name), getattr(run, name))
    assert (opened.raw, opened.session_id, opened.warning) == (run.raw, run.session_id, run.warning)
    assert said(streamnb.replay(run.path, speed=float("inf"))) == said(run)


def test_it_goes_on_in_a_session_whose_credentials_only_the_other_process_has():
    first = streamnb.stream("voiceflow", "hi", sim=True, pace=AT_ONCE, isolate=True)
    second = streamnb.stream("voiceflow", "and then?", pace=AT_ONCE, after=first)
    assert (second.outcome, second.session_id) == ("complete", first.session_id)
    assert second.ok


def test_an_event_of_a_mebibyte_comes_whole():
    text = "ä" * 2**19

    async def long(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta(text), STOP, DONE)
        await wire.send(END)

    with serving(long) as server:
        run = to(server).wait()
    assert (run.outcome, run.text == text) == ("complete", True)


def test_without_a_file_nothing_is_written(recordings: Path):
    run = streamnb.stream("demo", "hi", pace=AT_ONCE, isolate=True, record=False)
    assert (run.outcome, run.path, run.warning) == ("complete", None, None)
    assert not recordings.exists()


def test_a_disk_that_refuses_is_a_warning_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STREAMNB_RECORDINGS", str(tmp_path / "file" / "runs"))
    run = streamnb.stream("demo", "hi", pace=AT_ONCE, isolate=True)
    assert run.outcome == "complete"
    assert "not recorded on disk any more" in str(run.warning)


class Watching(NullView):
    """Notes what a view is told."""

    listens = True

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[tuple[str, int]] = []
        self.texts: list[str] = []

    def phase(self, name: str, t_ns: int) -> None:
        self.phases.append((name, t_ns))

    def arrive(self, arrival: Any) -> None:
        self.texts += [event.text for event in arrival.events if event.kind == "delta"]


def test_a_view_is_told_of_phases_and_arrivals_as_they_happen():
    view, began_ns = Watching(), time.monotonic_ns()
    with serving(begin) as server:
        started = Session(to(server).asked, view)
        started.start()
        wait_until(lambda: view.texts)
        assert started.run.outcome is None
        assert view.texts == ["Hel"]
        started.stop()
        started.wait()
    assert [name for name, _ in view.phases] == ["connecting", "waiting", "stopped"]
    times = [t_ns for _, t_ns in view.phases]
    assert sorted(times) == times
    assert began_ns < times[0] < times[-1] < time.monotonic_ns()


def test_events_can_be_iterated_over():
    async def gather() -> str:
        async with streamnb.open_stream("demo", "hi", pace=AT_ONCE, isolate=True) as live:
            return "".join([event.text async for event in live if event.kind == "delta"])

    assert asyncio.run(gather()) == streamnb.last().text != ""


def test_two_runs_go_on_at_the_same_time_in_one_process():
    async def obey(wire: Wire) -> None:
        await wire.head()
        await wire.obey()

    with serving(obey) as one, serving(obey) as other:
        runs = [to(one), to(other)]
        pid = outpost().process.pid
        for run in runs:
            run.start()
        for server, run, text in ((one, runs[0], "a"), (other, runs[1], "b"), (one, runs[0], "ac")):
            server.tell(chunk(delta(text[-1])))
            wait_until(lambda run=run, text=text: run.run.text == text)
        for server in (one, other):
            server.tell(chunk(STOP), chunk(DONE), END, None)
        assert [(run.wait().text, run.run.outcome) for run in runs] == [("ac", "complete"), ("b", "complete")]
        assert outpost().process.pid == pid


# -- ends -------------------------------------------------------------------------------------------------------------


def test_a_stop_keeps_what_arrived_and_closes_the_servers_connection():
    with serving(endless) as server:
        started = to(server)
        started.start()
        wait_until(lambda: started.run.text)
        started.stop()
        run = started.wait()
        server.wait_left()
    assert (run.outcome, run.error) == (Outcome.STOPPED, "openai_chat: stopped; what arrived is kept.")
    assert streamnb.open(run.path).text == run.text


def test_a_stop_right_behind_the_start_is_heard():
    with serving(endless) as server:
        for _ in range(5):
            started = to(server)
            started.start()
            started.stop()
            assert started.wait().outcome == "stopped"


def test_a_stop_after_the_end_changes_nothing():
    with serving(answer) as server:
        started = to(server)
        assert started.wait().outcome == "complete"
        started.stop()
        assert started.wait().outcome == "complete"


def test_an_interrupted_caller_ends_it():
    with serving(begin) as server:
        started = to(server)
        started.tick = lambda: os.kill(os.getpid(), signal.SIGINT) if started.run.text else None
        with pytest.raises(KeyboardInterrupt):
            started.wait()
        server.wait_left()
    assert (started.run.outcome, started.run.text) == ("interrupted", "Hel")


def test_a_task_that_is_cancelled_ends_it_as_interrupted():
    with serving(begin) as server:
        started = to(server)
        started.start()
        wait_until(lambda: started.run.text)
        started.task.stop()
        assert started.wait().outcome == "interrupted"
        server.wait_left()


def test_its_clocks_run_in_the_other_process():
    with serving(silence) as server:
        run = to(server, timeout_first=0.7).wait()
    assert run.outcome == "timeout_first"
    assert "--timeout-first" in str(run.error)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_in_the_same_words_before_anything_is_sent(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    texts = []
    for isolate in (False, True):
        with pytest.raises(MissingKeyError) as caught:
            streamnb.stream("openai_chat", "hi", model="m", isolate=isolate)
        texts.append(str(caught.value))
        with pytest.raises(UsageError) as caught:
            streamnb.stream("demo", "hi", parse="differed", isolate=isolate)
        texts.append(str(caught.value))
    assert texts[:2] == texts[2:]
    assert not recordings.exists()


def test_functions_are_refused_because_they_live_here():
    with pytest.raises(UsageError, match=r"functions \(weather\) are called in this process, .* leave out tools"):
        streamnb.stream("demo", "hi", tools={"weather": lambda city: city}, isolate=True)


def test_a_provider_that_only_this_kernels_path_has_is_found_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its module stands behind those of the standard library, so it cannot take anybody's place."""
    outpost()
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamnb.providers]\nacme = acme_beside\n")
    (tmp_path / "random.py").write_text("raise SystemExit('taken for the standard library')")
    (tmp_path / "acme_beside.py").write_text(
        "from streamnb.providers.openai_chat import OpenAIChat\nprint('noise')\nclass Acme(OpenAIChat): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with serving(answer) as server:
        run = streamnb.stream("acme", "hi", base_url=server.origin, model="m", isolate=True)
    assert (run.outcome, run.text, run.recorded.info.provider) == ("complete", "Hello", "acme")
    del sys.modules["acme_beside"]


def test_it_is_an_option_of_the_cell():
    assert parse_line("demo --isolate") == ("demo", {"isolate": True})


# -- keys -------------------------------------------------------------------------------------------------------------


@linux
def test_a_key_that_was_set_later_reaches_the_server_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    key = "canary-0123456789abcdef"
    post = outpost()
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def refuse(wire: Wire) -> None:
        await wire.reply(wire.request, "application/json", "401 Unauthorized")

    with serving(refuse) as server:
        run = to(server, allow_http=True).wait()
    assert run.outcome == "http_error"
    assert key.encode() in server.requests[0]
    assert outpost() is post
    place = Path(f"/proc/{post.process.pid}")
    seen = [(place / name).read_bytes() for name in ("cmdline", "environ")]
    seen += [*post.last, run.path.read_bytes(), str(run.error).encode(), run.raw]
    assert [text for text in seen if key.encode() in text] == []


def test_a_key_that_is_taken_away_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-0123456789abcdef")
    with serving(answer) as server:
        assert to(server).wait().outcome == "complete"
        monkeypatch.delenv("OPENAI_API_KEY")
        to(server).wait()
        with pytest.raises(MissingKeyError):
            streamnb.stream("openai_chat", "hi", model="m", isolate=True)


# -- processes --------------------------------------------------------------------------------------------------------


def test_a_killed_process_ends_its_runs_once_and_the_next_run_starts_another():
    with serving(begin) as server:
        started = to(server)
        started.start()
        wait_until(lambda: started.run.text)
        before = outpost().process
        before.kill()
        run = started.wait()
        assert (run.outcome, run.text) == ("crashed", "Hel")
        assert run.error == (
            "openai_chat: the capture process (isolate) was killed by SIGKILL, which is neither the API's fault nor "
            "your code's; what arrived is kept. Run it again: that starts a new one."
        )
        opened = streamnb.open(run.path)
        assert (opened.outcome, opened.text) == ("crashed", "Hel")
    assert before.returncode == -signal.SIGKILL
    assert streamnb.stream("demo", "hi", pace=AT_ONCE, isolate=True).ok
    assert outpost().process.pid != before.pid


def test_a_kill_in_full_flow_leaves_the_file_and_the_run_the_same():
    with serving(endless) as server:
        started = to(server)
        started.start()
        wait_until(lambda: len(started.run.text) > 20)
        outpost().process.kill()
        run = started.wait()
    opened = streamnb.open(run.path)
    assert (run.outcome, run.text, run.raw) == ("crashed", opened.text, opened.raw)
    assert_frame_equal(run.chunks, opened.chunks)


def test_one_that_was_killed_before_the_start_is_replaced_at_the_start():
    with serving(answer) as server:
        started = to(server)
        before = outpost().process
        before.kill()
        before.wait(30)
        assert started.wait().outcome == "complete"


def test_what_was_journaled_and_not_yet_told_is_taken_from_the_file(monkeypatch: pytest.MonkeyPatch):
    texts, may = ["~" * 2**15] * 32, threading.Event()

    async def long(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(*map(delta, texts))
        await wire.gone()

    with serving(long) as server:
        started = to(server)
        post = outpost()
        hand_over = post._hand_over
        monkeypatch.setattr(post, "_hand_over", lambda frames: (may.wait(), hand_over(frames)))
        started.start()
        wait_until(lambda: started.run.path.exists() and started.run.path.read_bytes().count(b"~") >= 2**20)
        post.process.kill()
        assert started.run.text == ""
        may.set()
        run = started.wait()
    assert (run.outcome, run.text) == ("crashed", "".join(texts))


@linux
def test_a_process_that_hangs_does_not_keep_a_stopped_run_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_engine, "GRACE_S", 0.7)
    with serving(begin) as server:
        started = to(server)
        started.start()
        wait_until(lambda: started.run.text)
        process = outpost().process
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        try:
            started.stop()
            run = started.wait()
        finally:
            process.send_signal(signal.SIGCONT)
        assert (run.outcome, run.text) == ("stopped", "Hel")
        assert run.error == (
            "openai_chat: stopped; the capture process does not answer: what it sent until then is kept."
        )
        server.wait_left()


CHILD = """
import sys, time
import streamnb
from streamnb.isolation import _outpost
from streamnb.isolation._outpost import outpost
from streamnb.session import Session, ask
_outpost.STOP_S = 30.0
started = Session(ask("openai_chat", "hi", base_url={origin!r}, model="m", isolate=True))
started.start()
while not started.run.text:
    time.sleep(0.005)
print(outpost().process.pid, started.run.path, flush=True)
{after}
"""


def parent(origin: str, after: str = "") -> subprocess.Popen[str]:
    code = CHILD.format(origin=origin, after=after)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@linux
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "at its end"])
def test_it_ends_with_its_parent_and_its_runs_end_as_interrupted(killed: bool):
    with serving(begin) as server, parent(server.origin, after="time.sleep(3600)" if killed else "") as process:
        pid, path = process.stdout.readline().split()
        if killed:
            process.kill()
        server.wait_left()
        assert ends(int(pid), waits=3000)
        assert process.wait(30) == (-signal.SIGKILL if killed else 0)
        run = streamnb.open(path)
    assert (run.outcome, run.text) == ("interrupted", "Hel")
    assert not is_running(int(pid))


@linux
def test_an_end_leaves_no_zombie_and_no_pipe_behind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_outpost, "STOP_S", 30.0)
    streamnb.stream("demo", "hi", pace=AT_ONCE, isolate=True, record=False)
    post = outpost()
    _OUTPOST.stop()
    assert post.process.returncode == 0
    assert not Path(f"/proc/{post.process.pid}").exists()
    assert all(pipe.closed for pipe in (post.process.stdin, post.process.stdout, post.process.stderr))
    assert [thread.name for thread in threading.enumerate() if thread in post._threads] == []


FORK = """
import os
pid = os.fork()
if pid == 0:
    print(outpost().process.pid, streamnb.stream("demo", "hi", pace={"ttft": 0, "gap": 0}, isolate=True).ok, flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), started.run.outcome, flush=True)
os.kill(os.getpid(), 9)
"""


@linux
def test_a_forked_process_starts_its_own_and_leaves_the_other_alone():
    with serving(begin) as server, parent(server.origin, after=FORK) as process:
        first = process.stdout.readline().split()[0]
        second, ok = process.stdout.readline().split()
        assert process.stdout.readline() == "0 None\n"
        assert (ok, second != first) == ("True", True)
        assert ends(int(first), waits=3000)
        assert ends(int(second), waits=3000)


def test_an_interrupt_of_the_process_group_does_not_reach_it():
    with serving(begin) as server:
        started = to(server)
        started.start()
        wait_until(lambda: started.run.text)
        assert os.getpgid(outpost().process.pid) != os.getpgid(0)
        started.stop()
        assert started.wait().outcome == "stopped"


# -- what it is for ---------------------------------------------------------------------------------------------------


def computing(sessions: list[Session]) -> Iterator[float]:
    """Run them while this thread holds the interpreter for 50 ms at a time; how late each read was, ms."""
    for each in sessions:
        each.start()
    while not all(each.task.done() for each in sessions):
        sum(range(2_000_000))
    for each in sessions:
        chunks = each.wait().recorded.chunks
        for read_ns, sent_ns in zip(chunks.t_ns, chunks.server_t_ns, strict=True):
            if sent_ns > 0:
                yield (read_ns - sent_ns) / 1e6


def test_a_computing_main_thread_makes_no_stamp_late():
    pace = {"ttft": 0.02, "gap": 0.01, "tokens": 60}
    late: dict[bool, list[bool]] = {False: [], True: []}
    outpost()
    for _ in range(3):
        for isolate, found in late.items():
            session = Session(ask("demo", "hi", pace=pace, kernel_stamps=False, isolate=isolate, record=False))
            found += [lag > 5 for lag in computing([session])]
    shares = {isolate: sum(found) / len(found) for isolate, found in late.items()}
    assert shares[True] < shares[False] / 2
