from __future__ import annotations

import asyncio
import threading

import pytest

import streamnb
from streamnb.background import Background
from streamnb.session import Session, ask

QUICK = {"tokens": 5, "ttft": 0, "gap": 0}


def started(**keywords) -> Background:
    return Background(Session(ask("demo", "Hi", **keywords)))


def test_a_run_in_the_background_is_waited_for_and_is_a_run_like_any():
    handle = started(pace=QUICK)
    run = handle.wait()
    assert (run.outcome, run is handle.run, handle.done) == ("complete", True, True)
    assert streamnb.last() is run
    assert handle.wait() is run
    assert repr(handle) == "<background run of demo: complete; .run, .wait(), .stop()>"


def test_it_grows_while_the_caller_does_other_things_and_stop_ends_it():
    handle = started(pace={"tokens": 100_000, "ttft": 0, "gap": 0.01})
    assert "running" in repr(handle)
    while not handle.run.text:
        handle.wait(timeout=0.05)
    assert not handle.done
    handle.stop()
    assert handle.wait().outcome == "stopped"


def test_it_can_be_awaited():
    async def main():
        return await started(pace=QUICK)

    assert asyncio.run(main()).ok


def test_an_interrupt_ends_the_waiting_and_not_the_run(monkeypatch):
    handle = started(pace={"tokens": 100_000, "ttft": 0, "gap": 0.01})

    def interrupted(timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(handle._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        handle.wait()
    monkeypatch.undo()
    assert handle.run.outcome is None
    handle.stop()
    handle.wait()


def test_the_thread_ends_with_the_run():
    handle = started(pace=QUICK)
    handle.wait()
    assert handle._thread not in threading.enumerate()


def test_a_view_that_was_not_listened_to_is_shown_again_by_wait(capsys):
    handle = started(pace=QUICK, display="plain")
    handle.wait()
    assert capsys.readouterr().out.count("complete") == 1, "what is written stays written"
