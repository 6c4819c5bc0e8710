"""A race: several targets at once, rounds one after another, and what becomes of it when something goes wrong."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from fault_server import DONE, END, STOP, FaultServer, Wire, chunk, delta, serving, wait_until

import streamnb
from streamnb.collection import Runs
from streamnb.display.race import NullRace
from streamnb.errors import MissingKeyError, RunError, UsageError
from streamnb.events import Outcome
from streamnb.racing import Race, asked, race

FAST = {"tokens": 3, "ttft": 0, "gap": 0}


def model_of(wire: Wire) -> str:
    return str(json.loads(wire.request.partition(b"\r\n\r\n")[2])["model"])


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(delta("x ")), 0.002)


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
    await wire.send(END)


async def refuse_the_bad(wire: Wire) -> None:
    if model_of(wire).startswith("bad"):
        await wire.reply(b'{"error": {"message": "no such thing"}}', status="404 Not Found")
    else:
        await answer(wire)


def to(server: FaultServer, *models: str, **more: object) -> Race:
    return Race([f"openai_chat:{model}" for model in models], "hi", base_url=server.origin, **more)


def span(run: streamnb.Run) -> tuple[int, int]:
    """First and last read of a run, ns."""
    stamps = run.chunks["t_ns"]
    return int(stamps.min()), int(stamps.max())


def in_a_thread(contest: Race) -> tuple[threading.Thread, list[Runs]]:
    ended: list[Runs] = []
    thread = threading.Thread(target=lambda: ended.append(contest.wait()), daemon=True)
    thread.start()
    return thread, ended


# -- what is asked ------------------------------------------------------------------------------------------------


def test_a_model_stands_behind_the_first_colon_and_wins_over_the_common_one():
    asks = asked(["ollama:llama3.2:1b", "demo", "openai_chat:gpt-x"], "hi", {"model": "m", "system": "be brief"})
    assert [(one.target, one.model) for one in asks] == [
        ("ollama", "llama3.2:1b"),
        ("demo", "m"),
        ("openai_chat", "gpt-x"),
    ]
    assert {(one.prompt, one.system) for one in asks} == {("hi", "be brief")}


def test_an_option_of_one_provider_is_for_the_targets_that_have_it():
    asks = asked(["typebot", "voiceflow", "oliver"], "hi", {"typebot": "t", "session_id": "s", "timeout": 3})
    assert [one.options for one in asks] == [{"typebot": "t", "session_id": "s"}, {"session_id": "s"}, {}]
    assert [one.timeout for one in asks] == [3, 3, 3]


@pytest.mark.parametrize(
    ("targets", "keywords", "words"),
    [
        ([], {}, "at least one target"),
        (["demo", "dmeo"], {}, "no target 'dmeo'. Did you mean demo?"),
        (["demo", "oliver"], {"chatid": "c"}, "none of demo, oliver has an option 'chatid'. Did you mean chat_id"),
        (["demo", "oliver"], {"tmeout": 1}, "Did you mean timeout"),
        (["demo:"], {}, "'demo:' names no model"),
        (["demo:a", "demo:b"], {"model": "c"}, "names its model already"),
        (["demo"], {"press": "Yes"}, "a button belongs to one run"),
        (["demo"], {"after": True}, "begins anew"),
        (["demo"], {"background": True}, "keeps its cell"),
        (["chatbotkit"], {"records": "conversations"}, "streamnb.records"),
        (["chatbotkit"], {"take": 1}, "lists of records"),
        (["openai_chat:m", "ollama:m"], {"base_url": "http://127.0.0.1:1"}, "race of ollama and openai_chat"),
        (["openai_chat:m", "oliver"], {"key_env": "MY_KEY"}, "the others must not see it"),
    ],
)
def test_what_makes_no_sense_in_a_race_is_refused_in_one_line(targets, keywords, words):
    with pytest.raises(UsageError) as caught:
        asked(targets, "hi", keywords)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_models_of_one_api_share_its_address_and_its_key():
    asks = asked(["openai_chat:a", "openai_chat:b"], "hi", {"base_url": "http://127.0.0.1:1", "key_env": "MY_KEY"})
    assert {(one.base_url, one.key_env) for one in asks} == {("http://127.0.0.1:1", "MY_KEY")}


@pytest.mark.parametrize("repeat", [0, -1, 1.5, "2"])
def test_rounds_are_counted_from_one(repeat):
    with pytest.raises(UsageError, match="number of rounds from 1"):
        race(["demo"], repeat=repeat)


def test_a_race_that_does_not_fit_sends_and_writes_nothing(recordings, monkeypatch):
    monkeypatch.delenv("OLIVER_API_KEY", raising=False)
    with serving(answer) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-for-this-test")
        with pytest.raises(MissingKeyError, match="OLIVER_API_KEY"):
            race(["demo", "oliver"], "hi")
        with pytest.raises(UsageError, match="needs a model"):
            race(["openai_chat:m", "openai_chat"], "hi")
        with pytest.raises(UsageError, match="has its own address"):
            race(["openai_chat:m", "demo"], "hi", base_url=server.origin)
        assert server.accepted == 0
    assert not recordings.exists()
    assert streamnb.last() is None


# -- how it runs --------------------------------------------------------------------------------------------------


def test_all_targets_of_a_round_stream_at_the_same_time():
    async def together(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("one"))
        await wire.server.told.get()
        await wire.chunks(delta("two"), STOP, DONE)
        await wire.send(END)

    with serving(together) as server:
        contest = to(server, "a", "b", "c")
        thread, ended = in_a_thread(contest)
        wait_until(lambda: [run.text for run in contest.runs] == ["one"] * 3)
        server.tell(b"", b"", b"")
        thread.join(20)
    (runs,) = ended
    assert [run.outcome for run in runs] == ["complete"] * 3
    firsts, lasts = zip(*map(span, runs), strict=True)
    assert max(firsts) < min(lasts)


def test_rounds_run_one_after_another_and_the_table_has_their_numbers():
    runs = race(["demo:a", "demo:b"], "hi", repeat=3, pace=FAST, record=False)
    assert runs.table["repeat"].tolist() == [0, 0, 1, 1, 2, 2]
    assert runs.table["chat"].isna().all()
    ends = [max(span(run)[1] for run in runs[at : at + 2]) for at in (0, 2)]
    begins = [min(span(run)[0] for run in runs[at : at + 2]) for at in (2, 4)]
    assert all(end < begin for end, begin in zip(ends, begins, strict=True))


def order(seed: int, repeat: int = 4) -> list[str]:
    runs = race(["demo:a", "demo:b", "demo:c"], "hi", repeat=repeat, seed=seed, pace=FAST, record=False)
    assert len(runs) == 3 * repeat
    return runs.table["model"].tolist()


def test_who_starts_first_is_shuffled_in_each_round_and_the_seed_says_how():
    seven = order(7)
    assert order(7, 2) == seven[:6]
    rounds = [seven[at : at + 3] for at in range(0, 12, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(map(tuple, rounds))) > 1
    assert order(8) != seven
    assert order(0) == race(["demo:a", "demo:b", "demo:c"], repeat=4, pace=FAST, record=False).table["model"].tolist()


def test_the_runs_are_those_of_the_session_in_the_order_of_their_starts():
    runs = race(["demo", "demo:b"], "hi", repeat=2, pace=FAST)
    assert isinstance(runs, Runs)
    assert list(runs) == list(Runs.session())
    assert all(run.path is not None and run.path.exists() for run in runs)
    assert runs.table["started_at"].is_monotonic_increasing


def test_the_runs_so_far_are_told_when_a_round_has_started_and_at_the_end():
    told: list[Runs] = []
    contest = Race(["demo", "demo"], "hi", repeat=2, pace=FAST, record=False)
    contest.on_runs = told.append
    runs = contest.wait()
    assert [len(one) for one in told] == [2, 4, 4]
    assert list(told[-1]) == list(runs)
    assert list(told[0]) == list(runs)[:2]


def test_models_of_one_provider_and_profiles_are_compared_apart():
    runs = race(["openai_chat:a", "openai_chat:b", "demo"], "hi", sim=True, repeat=2, pace=FAST, record=False)
    compared = runs.compare(metrics=["ttft_s"])
    assert set(zip(compared["target"], compared["model"], strict=True)) == {
        ("openai_chat", "a"),
        ("openai_chat", "b"),
        ("demo", "simulated"),
    }
    assert compared["n"].tolist() == [2, 2, 2]


def test_one_target_as_a_string_is_a_race_of_one():
    assert [run.ok for run in race("demo", "hi", pace=FAST, record=False)] == [True]


def test_a_failed_run_stops_no_other_and_the_race_is_no_failure():
    with serving(refuse_the_bad) as server:
        contest = to(server, "bad", "good", repeat=2)
        runs = contest.wait()
    outcomes = {(run.recorded.info.model, run.outcome) for run in runs}
    assert outcomes == {("bad", Outcome.HTTP_ERROR), ("good", Outcome.COMPLETE)}
    assert len(runs) == 4
    contest.raise_for_outcome()


def test_a_race_without_any_winner_names_each_target_once_and_why():
    with serving(refuse_the_bad) as server:
        contest = to(server, "bad", "bad", "bad-2", repeat=2)
        runs = contest.wait()
        with pytest.raises(RunError) as caught:
            contest.raise_for_outcome()
    said = str(caught.value)
    assert said.startswith("every run of the race failed. ")
    for label in ("openai_chat:bad: ", "openai_chat:bad (2): ", "openai_chat:bad-2: "):
        assert said.count(label) == 1
    assert said.count("404") == 3
    assert "\n" not in said
    assert list(caught.value.run) == list(runs)


def test_a_vendors_limit_of_streams_holds_in_a_race():
    runs = race(["oliver", "oliver", "oliver"], "hi", sim=True, max_streams=1, pace=FAST, record=False)
    assert [run.ok for run in runs] == [True] * 3
    spans = sorted(map(span, runs))
    assert all(one[1] < next_[0] for one, next_ in itertools.pairwise(spans))
    assert (runs.table["queued_s"] > 0).sum() >= 2


# -- how it ends early --------------------------------------------------------------------------------------------


def test_a_stop_ends_every_run_and_begins_no_more_rounds():
    with serving(endless) as server:
        contest = to(server, "a", "b", repeat=3)
        thread, ended = in_a_thread(contest)
        wait_until(lambda: len(contest.runs) == 2 and all(run.text for run in contest.runs))
        contest.stop()
        server.wait_left(2)
        thread.join(20)
        assert len(server.requests) == 2
    (runs,) = ended
    assert [run.outcome for run in runs] == ["stopped", "stopped"]
    contest.raise_for_outcome()


def test_a_run_that_is_stopped_alone_leaves_the_others():
    async def held(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("x"))
        await (wire.gone() if model_of(wire) == "b" else wire.obey())

    with serving(held) as server:
        contest = to(server, "a", "b")
        thread, ended = in_a_thread(contest)
        wait_until(lambda: len(contest.runs) == 2 and all(run.text for run in contest.runs))
        contest._sessions[1].stop()
        server.wait_left(1)
        server.tell(chunk(STOP), chunk(DONE), END, None)
        thread.join(20)
    assert {run.recorded.info.model: str(run.outcome) for run in ended[0]} == {"a": "complete", "b": "stopped"}


def test_a_race_that_was_stopped_before_it_began_has_no_runs():
    with serving(answer) as server:
        contest = to(server, "a", "b")
        contest.stop()
        assert list(contest.wait()) == []
        assert server.accepted == 0


class Clumsy(NullRace):
    """A screen that breaks at its first picture."""

    def paint(self, now_ns: int) -> None:
        raise ZeroDivisionError


class Stopped(NullRace):
    """A screen on which somebody presses Stop while a round is being made."""

    stop: Callable[[], None]

    def open(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def begin(self, number: int, order: str):
        self.stop()
        return super().begin(number, order)


def test_a_stop_while_a_round_is_made_sends_nothing(recordings):
    with serving(answer) as server:
        contest = to(server, "a", "b")
        contest._view = Stopped(["a", "b"])
        assert list(contest.wait()) == []
        assert server.accepted == 0
    assert not recordings.exists()


def test_an_error_of_our_own_comes_out_and_no_socket_stays_open():
    with serving(endless) as server:
        contest = to(server, "a", "b")
        contest._view = Clumsy(["a", "b"])
        with pytest.raises(ZeroDivisionError):
            contest.wait()
        assert [run.outcome for run in contest.runs] == ["interrupted", "interrupted"]
        server.wait_left(server.accepted)


class Late(NullRace):
    """A screen that is interrupted while it shows the end."""

    n_closed = 0

    def close(self, *, says_errors: bool = True) -> None:
        self.n_closed += 1
        if self.n_closed == 1:
            raise KeyboardInterrupt


def test_an_interrupt_while_the_end_is_shown_is_heard_after_it():
    with serving(answer) as server:
        contest = to(server, "a", "b")
        contest._view = late = Late(["a", "b"])
        with pytest.raises(KeyboardInterrupt):
            contest.wait()
    assert late.n_closed == 2
    assert [run.outcome for run in contest.runs] == ["complete", "complete"]


INTERRUPTED = """
import json, signal, sys, threading, time
from streamnb.racing import Race

contest = Race(["openai_chat:a", "openai_chat:b", "openai_chat:c"], "hi", repeat=2, base_url=sys.argv[1])

def interrupt():
    while len(contest.runs) < 3 or not all(run.text for run in contest.runs):
        time.sleep(0.001)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

threading.Thread(target=interrupt).start()
told = []
contest.on_runs = told.append
try:
    contest.wait()
    raised = False
except KeyboardInterrupt:
    raised = True
seen = time.monotonic()
runs = told[-1]
print(json.dumps([raised, seen, [run.outcome for run in runs], [run.text[:1] for run in runs]]))
"""


@pytest.mark.skipif(os.name != "posix", reason="pthread_kill")
def test_an_interrupt_ends_all_runs_closes_all_sockets_and_is_raised(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-this-test")
    with serving(endless) as server:
        words = [sys.executable, "-c", INTERRUPTED, server.origin]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
        raised, seen, outcomes, texts = json.loads(done.stdout)
        assert server.wait_left(3) - seen < 1
        assert len(server.requests) == 3
    assert (raised, outcomes, texts) == (True, ["interrupted"] * 3, ["x"] * 3)


def test_a_stop_is_heard_within_a_slice_of_waiting():
    with serving(Wire.obey) as server:
        contest = to(server, "a")
        thread, ended = in_a_thread(contest)
        wait_until(lambda: server.requests)
        start = time.monotonic()
        contest.stop()
        thread.join(20)
        assert time.monotonic() - start < 1  # twenty slices
    assert [run.outcome for run in ended[0]] == ["stopped"]
