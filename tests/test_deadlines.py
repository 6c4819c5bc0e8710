from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from streamnb.deadlines import Deadlines, Watchdog, late
from streamnb.events import Outcome


class Timer:
    def __init__(self, at_s: float, act: Callable[[], None]) -> None:
        self.at_s, self.act, self.cancelled = at_s, act, False

    def when(self) -> float:
        return self.at_s

    def cancel(self) -> None:
        self.cancelled = True


class HandLoop:
    """A loop whose clock is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at_s: float, act: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at_s, act))
        return self.timers[-1]

    @property
    def armed(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in self.armed:
            if timer.at_s <= self.now:
                self.timers.remove(timer)
                timer.act()


class HandTask:
    def __init__(self) -> None:
        self.cancels = 0

    def cancel(self) -> None:
        self.cancels += 1


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> HandLoop:
    loop = HandLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


@pytest.fixture
def task() -> Any:
    return HandTask()


def test_a_deadline_cancels_the_task_once_and_says_which_it_was(loop: HandLoop, task: Any):
    watch = Watchdog(task, None)
    watch.arm(3, Outcome.TIMEOUT_FIRST)
    loop.advance(2.9)
    assert (watch.fired, task.cancels) == (None, 0)
    loop.advance(0.1)
    loop.advance(100)
    assert (watch.fired, task.cancels) == (Outcome.TIMEOUT_FIRST, 1)


def test_data_moves_the_deadline_and_makes_no_timer(loop: HandLoop, task: Any):
    watch = Watchdog(task, None)
    for _ in range(1000):
        watch.arm(2, Outcome.TIMEOUT_IDLE)
        loop.now += 0.001
    assert len(loop.timers) == 1
    loop.advance(1.5)  # the timer looks, finds that it is too early, and comes back
    assert watch.fired is None
    assert len(loop.armed) == 1
    loop.advance(0.6)
    assert watch.fired is Outcome.TIMEOUT_IDLE


def test_a_nearer_deadline_replaces_the_timer(loop: HandLoop, task: Any):
    watch = Watchdog(task, None)
    watch.arm(300, Outcome.TIMEOUT_FIRST)
    watch.arm(2, Outcome.TIMEOUT_IDLE)
    assert [timer.at_s for timer in loop.armed] == [102]
    loop.advance(2)
    assert watch.fired is Outcome.TIMEOUT_IDLE


def test_no_deadline_reaches_beyond_the_total(loop: HandLoop, task: Any):
    watch = Watchdog(task, 5)
    watch.arm(None, Outcome.TIMEOUT_TOTAL)
    for _ in range(3):
        watch.arm(2, Outcome.TIMEOUT_IDLE)
        loop.advance(1.5)
    watch.arm(2, Outcome.TIMEOUT_IDLE)
    assert watch.fired is None
    loop.advance(0.5)
    assert watch.fired is Outcome.TIMEOUT_TOTAL


def test_a_clock_that_is_off_makes_no_timer_and_one_that_is_left_forgets_its_time(loop: HandLoop, task: Any):
    watch = Watchdog(task, None)
    watch.arm(None, Outcome.TIMEOUT_FIRST)
    assert loop.timers == []
    watch.arm(1, Outcome.TIMEOUT_FIRST)
    watch.arm(None, Outcome.TIMEOUT_IDLE)
    loop.advance(10)
    assert (watch.fired, loop.armed) == (None, [])


def test_disarmed_it_does_nothing(loop: HandLoop, task: Any):
    watch = Watchdog(task, 1)
    watch.arm(None, Outcome.TIMEOUT_TOTAL)
    watch.disarm()
    watch.disarm()
    loop.advance(10)
    assert (watch.fired, task.cancels) == (None, 0)


def test_after_a_deadline_was_heard_the_clocks_run_again(loop: HandLoop, task: Any):
    watch = Watchdog(task, None)
    for count in (1, 2):
        watch.arm(1, Outcome.TIMEOUT_IDLE)
        loop.advance(1)
        assert (watch.fired, task.cancels) == (Outcome.TIMEOUT_IDLE, count)
        watch.fired = None


async def test_on_a_real_loop_a_sleeping_task_is_cancelled():
    task = asyncio.create_task(asyncio.sleep(10))
    watch = Watchdog(task, 0.02)
    watch.arm(None, Outcome.TIMEOUT_TOTAL)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watch.fired is Outcome.TIMEOUT_TOTAL


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (
            Outcome.TIMEOUT_FIRST,
            "no data for 300 s after the request; allow more with --timeout-first SECONDS.",
        ),
        (
            Outcome.TIMEOUT_IDLE,
            "no data for 0.5 s (keep-alives do not count); allow more with --timeout-idle SECONDS.",
        ),
        (Outcome.TIMEOUT_TOTAL, "not done after 60 s; allow more with --timeout SECONDS."),
    ],
)
def test_the_error_names_the_clock_and_the_option_that_moves_it(outcome: Outcome, text: str):
    assert late(outcome, Deadlines(idle_s=0.5, total_s=60)) == text


def test_the_four_clocks_are_those_of_the_requirement():
    assert dataclasses.astuple(Deadlines()) == (10, 300, 120, None)
