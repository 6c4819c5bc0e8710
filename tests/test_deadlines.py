from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from streamnb.deadlines import MARGIN_S, Deadlines, Default, Watchdog, clocks, late
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


def test_what_was_not_looked_at_yet_is_looked_at_before_silence_ends_the_run(loop: HandLoop, task: Any):
    watch = Watchdog(task, None)
    left = ["data", "ping", "ping"]

    def unread() -> bool:
        if left and left.pop(0) == "data":
            watch.arm(2, Outcome.TIMEOUT_IDLE)
            return True
        return bool(left)

    watch.unread = unread
    watch.arm(3, Outcome.TIMEOUT_FIRST)
    loop.advance(3)
    assert (watch.fired, len(loop.armed), left) == (None, 1, ["ping", "ping"])
    loop.advance(2)
    loop.advance(0)
    assert (watch.fired, task.cancels, left) == (Outcome.TIMEOUT_IDLE, 1, [])


def test_the_total_time_waits_for_nothing_unread(loop: HandLoop, task: Any):
    watch = Watchdog(task, 5)
    watch.unread = lambda: True
    watch.arm(None, Outcome.TIMEOUT_TOTAL)
    loop.advance(5)
    assert watch.fired is Outcome.TIMEOUT_TOTAL


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


DEFAULT = Default.CLOCK


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, Deadlines()),
        ({"streams": 5}, Deadlines()),
        ({"idle_s": 60, "total_s": 300}, Deadlines(first_s=300, idle_s=75, total_s=315)),
        ({"idle_s": 60}, Deadlines(first_s=300, idle_s=75, total_s=None)),
        ({"idle_s": 600}, Deadlines(first_s=615, idle_s=615, total_s=None)),
        ({"total_s": 800}, Deadlines(first_s=800, idle_s=800, total_s=815)),
        ({"total_s": 30}, Deadlines(first_s=300, idle_s=120, total_s=45)),
    ],
)
def test_our_clocks_come_after_the_vendors_so_that_its_own_error_is_seen(limits: dict[str, float], expected: Deadlines):
    assert clocks(limits, DEFAULT, DEFAULT, DEFAULT) == expected


def test_where_only_the_whole_stream_is_limited_a_silence_may_be_as_long():
    usual, found = Deadlines(), clocks({"total_s": 800}, DEFAULT, DEFAULT, DEFAULT)
    assert (usual.idle_s, found.idle_s, found.total_s) == (120, 800, 800 + MARGIN_S)


@pytest.mark.parametrize("limits", [{}, {"idle_s": 60, "total_s": 300}])
def test_what_a_caller_says_wins_and_none_switches_a_clock_off(limits: dict[str, float]):
    assert clocks(limits, 1, 2, 3) == Deadlines(first_s=1, idle_s=2, total_s=3)
    assert clocks(limits, None, None, None) == Deadlines(first_s=None, idle_s=None, total_s=None)
    assert clocks(limits, 0, DEFAULT, 0.0).first_s == 0


def test_a_clock_that_is_left_to_the_provider_says_so_in_a_signature():
    assert repr(DEFAULT) == "<default>"
