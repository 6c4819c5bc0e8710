from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, END, STOP, FaultServer, Wire, chunk, delta, serving, until, wait_until
from simulated import url

import streamnb
from streamnb import accuracy, attention, portal, session
from streamnb.display.view import NullView
from streamnb.errors import MissingKeyError, UsageError
from streamnb.events import Outcome
from streamnb.session import Ask, Session, ask


async def begin(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"))
    await wire.gone()


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(delta("x ")), 0.002)


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
    await wire.send(END)


def to(server: FaultServer, **more: Any) -> Session:
    return Session(ask("openai_chat", "hi", base_url=server.origin, model="m", **more))


def test_keywords_that_are_not_its_own_are_the_providers():
    asked = ask("typebot", "hi", model="m", typebot="demo", framing=None, timeout=3.0)
    assert (asked.model, asked.timeout, asked.options) == ("m", 3.0, {"typebot": "demo"})


def test_what_is_not_said_keeps_its_default_but_a_clock_can_be_switched_off():
    asked = ask("demo", "hi", model=None, display=None, timeout_first=None, timeout_idle=None)
    assert asked == Ask("demo", "hi", timeout_first=None, timeout_idle=None)


def test_a_call_that_does_not_fit_sends_and_writes_nothing(recordings: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingKeyError):
        Session(ask("openai_chat", "hi", model="m"))
    with pytest.raises(UsageError, match="Did you mean demo"):
        Session(ask("dmeo", "hi"))
    assert not recordings.exists()


def test_a_session_that_never_starts_leaves_no_file(recordings: Path):
    Session(ask("demo", "hi"))
    assert not recordings.exists()


def test_a_run_is_on_the_list_as_soon_as_it_starts_and_nothing_before():
    with serving(begin) as server:
        started = to(server)
        assert streamnb.last() is not started.run
        started.start()
        assert streamnb.last() is started.run
        started.stop()
        assert started.wait().outcome == "stopped"


def test_a_stop_keeps_what_arrived_and_closes_the_socket_within_a_second():
    with serving(begin) as server:
        started = to(server)
        started.start()
        wait_until(lambda: started.run.text)
        start = time.monotonic()
        started.stop()
        run = started.wait()
        assert server.wait_left() - start < 1
    assert (run.outcome, run.text, run.error) == (Outcome.STOPPED, "Hel", "openai_chat: stopped; what arrived is kept.")
    assert not run.ok


def test_a_stop_right_behind_the_start_is_heard():
    with serving(endless) as server:
        for _ in range(10):
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


def test_where_runs_are_recorded_is_said_once(monkeypatch: pytest.MonkeyPatch, recordings: Path):
    monkeypatch.setattr(session, "_noticed", set())
    assert session._notice(None) == ""
    assert session._notice(recordings / "x") == (
        f"Runs are recorded in {recordings}; --no-record (record=False) switches it off."
    )
    assert session._notice(recordings / "y") == ""


def test_a_session_that_has_not_started_cannot_be_waited_for_by_hand():
    with pytest.raises(RuntimeError, match="has not started"):
        _ = Session(ask("demo", "hi"))._running


async def test_a_cancelled_caller_interrupts_the_run_and_finds_it_ended():
    with serving(begin) as server:
        started = to(server)
        task = asyncio.create_task(started.join())
        await until(lambda: started.run.text)
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (started.run.outcome, started.run.text) == ("interrupted", "Hel")
        assert await asyncio.to_thread(server.wait_left) - start < 1


async def test_a_time_limit_around_the_caller_interrupts_the_run():
    with serving(begin) as server:
        started = to(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await started.join()
        assert started.run.outcome == "interrupted"


async def test_the_callers_loop_stays_free_while_it_waits():
    with serving(Wire.obey) as server:
        started = to(server)
        task = asyncio.create_task(started.join())
        await until(lambda: server.requests)
        assert not task.done()
        server.tell(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 14\r\n\r\n" + DONE)
        assert (await task).outcome == "complete"


async def test_the_end_of_the_callers_loop_makes_no_noise(caplog: pytest.LogCaptureFixture):
    def in_a_thread() -> None:
        async def main() -> None:
            started = to(server)
            task = asyncio.ensure_future(started.join())
            await until(lambda: started.run.text)
            task.cancel()

        asyncio.run(main())

    with serving(begin) as server:
        await asyncio.to_thread(in_a_thread)
        await asyncio.to_thread(server.wait_left)
    assert [record for record in caplog.records if record.name == "concurrent.futures"] == []


INTERRUPTED = """
import json, signal, sys, threading, time
import streamnb
from streamnb import portal

def interrupt(before, twice):
    while streamnb.last() is before or not streamnb.last().text:
        time.sleep(0.001)
    if twice:  # the loop thread is busy, so that the second interrupt comes while the first is at work
        portal.loop().call_soon_threadsafe(time.sleep, 0.4)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    if twice:
        time.sleep(0.1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

def one(twice):
    thread = threading.Thread(target=interrupt, args=(streamnb.last(), twice))
    thread.start()
    try:
        streamnb.stream("openai_chat", "hi", base_url=sys.argv[1], model="m")
        raised = False
    except KeyboardInterrupt:
        raised = True
    seen = time.monotonic()
    thread.join()
    run = streamnb.last()
    while run.outcome is None:
        time.sleep(0.001)
    opened = streamnb.open(run.path)
    same = opened.text == run.text and opened.outcome == run.outcome
    said = {"outcome": run.outcome, "text": run.text[:1], "error": run.error}
    return {"raised": raised, "seen": seen, "same": same, **said}

first, second = one(False), one(True)
third = streamnb.stream("openai_chat", "hi", base_url=sys.argv[2], model="m")
print(json.dumps([first, second, third.outcome, third.text]))
"""


@pytest.mark.skipif(os.name != "posix", reason="pthread_kill")
def test_an_interrupt_is_raised_again_keeps_what_arrived_and_the_next_run_works(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-simulator")
    with serving(endless) as server:
        words = [sys.executable, "-c", INTERRUPTED, server.origin, url("ttft=0,gap=0,tokens=3") + "/v1"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
        first, second, outcome, text = json.loads(done.stdout)
        assert server.wait_left(1) - first["seen"] < 1
        assert server.wait_left(2) - second["seen"] < 1
    for run in (first, second):
        assert (run["raised"], run["outcome"], run["text"], run["same"]) == (True, "interrupted", "x", True)
        assert run["error"] == "openai_chat: interrupted; what arrived is kept."
    assert outcome == "complete"
    assert text


def test_two_runs_from_two_threads_do_not_mix():
    texts: dict[str, str] = {}

    def one(name: str) -> None:
        async def say(wire: Wire) -> None:
            await wire.head()
            for _ in range(50):
                await wire.chunks(delta(name))
            await wire.chunks(STOP, DONE)
            await wire.send(END)

        with serving(say) as server:
            texts[name] = to(server).wait().text

    threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert texts == {"a": "a" * 50, "b": "b" * 50}


def test_an_error_of_our_own_comes_out_and_the_run_still_has_an_outcome(monkeypatch: pytest.MonkeyPatch):
    with serving(answer) as server:
        started = to(server)
        started.on_arrival = lambda _: 1 / 0
        with pytest.raises(ZeroDivisionError):
            started.wait()
    assert started.run.outcome == "interrupted"
    assert portal.loop().is_running()


def test_a_mistyped_keyword_is_told_from_the_options():
    with pytest.raises(UsageError, match=r"demo has no option 'tmeout'\. Did you mean timeout"):
        Session(ask("demo", "Hi", tmeout=3))


def test_the_reader_never_waits_for_the_screen():
    class Stuck(NullView):
        """A screen whose first painting does not end before the run does."""

        n_painted = 0

        def paint(self, now_ns):
            self.n_painted += 1
            concurrent.futures.wait({started.task}, timeout=60)
            assert started.task.done()

    view = Stuck()
    started = Session(ask("demo", "Hi", pace={"tokens": 300, "ttft": 0.2, "gap": 0.001}, display="panel"), view)
    run = started.wait()
    assert (run.outcome, view.n_painted) == ("complete", 1)
    assert (run.events["kind"] == "delta").sum() == 300


def test_an_interrupt_while_the_final_state_is_shown_is_heard_after_it():
    class Late(NullView):
        """A screen that is interrupted while it shows the end: by a page whose Stop was not answered in time."""

        n_closed = 0

        def close(self, final):
            self.n_closed += 1
            if self.n_closed == 1:
                raise KeyboardInterrupt

    view = Late()
    started = Session(ask("demo", "Hi", pace={"tokens": 3, "ttft": 0, "gap": 0}, display="panel"), view)
    with pytest.raises(KeyboardInterrupt):
        started.wait()
    assert (started.run.outcome, view.n_closed) == ("complete", 2)


def test_while_a_run_is_under_way_this_process_pays_attention_and_logs_what_held_it_up(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-simulator")
    before = sys.getswitchinterval()
    with serving(Wire.obey) as server:
        started = to(server)
        started.start()
        wait_until(lambda: server.requests)
        inside = sys.getswitchinterval()
        portal.loop().call_soon_threadsafe(time.sleep, 0.1)
        wait_until(lambda: started.record.lags)
        server.tell(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 14\r\n\r\n" + DONE)
        run = started.wait()
    assert (run.outcome, inside, sys.getswitchinterval()) == ("complete", attention.SWITCH_S, before)
    assert "loop" in set(run.lags["kind"])
    assert gc.get_freeze_count() == 0


def test_a_session_knows_how_late_its_stamps_may_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("STREAMNB_CACHE", str(tmp_path / "cache"))
    accuracy.forget()
    assert math.isnan(Session(ask("demo", "hi")).record.measurement_error_s)
    accuracy.keep(accuracy.Calibration(1, 100, 0.0001, 0.0004, 0.02, 8, "lag", "kernel", "here", 1))
    assert Session(ask("demo", "hi")).record.measurement_error_s == 0.0004
    accuracy.forget()
