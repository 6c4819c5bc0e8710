from __future__ import annotations

import contextvars
import threading

import pytest
from fault_server import wait_until

from streamnb.ondemand import OnDemand


class Work:
    """Something to do, a few times."""

    def __init__(self, n: int = 0) -> None:
        self.left = n
        self.done: list[str] = []
        self.worker = OnDemand("work", self.step, every_s=0.001, linger_s=0.02)

    def step(self) -> bool:
        if self.left:
            self.left -= 1
            self.done.append(threading.current_thread().name)
        return self.left > 0


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "work"]


def test_there_is_no_thread_before_and_none_after():
    work = Work(3)
    assert (threads(), work.worker.awake) == ([], False)
    work.worker.poke()
    wait_until(lambda: not work.worker.awake)
    assert (work.done, work.left) == (["work"] * 3, 0)
    wait_until(lambda: not threads())


def test_it_wakes_up_again_and_there_is_never_more_than_one():
    work = Work()
    for n in range(1, 20):
        work.left = 1
        for _ in range(5):
            work.worker.poke()
        assert len(threads()) <= 1
        wait_until(lambda n=n: len(work.done) == n)
    wait_until(lambda: not work.worker.awake)


def test_it_works_in_the_context_it_was_made_in():
    where = contextvars.ContextVar("where", default="nowhere")
    where.set("here")
    seen: list[str] = []
    worker = OnDemand("work", lambda: seen.append(where.get()) is not None, every_s=0.001, linger_s=0)
    where.set("there")
    worker.poke()
    wait_until(lambda: seen and not worker.awake)
    assert set(seen) == {"here"}


def test_what_is_left_after_a_failure_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch):
    failures: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: failures.append(str(args.exc_value)))
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        if len(steps) == 1:
            worker.poke()
            raise RuntimeError("a bug")
        return False

    worker = OnDemand("work", step, every_s=0.001, linger_s=0.01)
    worker.poke()
    wait_until(lambda: failures and len(steps) > 1 and not worker.awake)
    assert failures == ["a bug"]
