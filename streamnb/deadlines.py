"""Deadlines: the four clocks of a run and the one timer that watches them.

Knows asyncio's loop time. Must not know: HTTP, what counts as data, recording.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from streamnb.events import Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Deadlines:
    """The four clocks of SAFETY R5, s; None switches one off.

    Attributes:
        first_s: until the first data-bearing event of a reply.
        idle_s: between data-bearing events: keep-alives do not reset it.
    """

    connect_s: float | None = 10.0
    first_s: float | None = 300.0
    idle_s: float | None = 120.0
    total_s: float | None = None


class Default(enum.Enum):
    """What a caller says who leaves a clock to the provider."""

    CLOCK = "the provider's own limit + 15 s, else streamnb's default"

    def __repr__(self) -> str:
        return "<default>"


MARGIN_S: Final = 15.0
"""Ours come so much later than the vendor's own limits, so that the vendor's error is seen (WIRE.md 0.8)."""

Seconds = float | Default | None


def clocks(limits: Mapping[str, float], first: Seconds, idle: Seconds, total: Seconds) -> Deadlines:
    """The deadlines of a run.

    Args:
        limits: the vendor's `idle_s` and `total_s`, s; where only the total is known, a stream may be silent so long.
        first: as asked; None switches the clock off.
        idle: the same.
        total: the same.
    """
    usual = Deadlines()
    idle_s, total_s = limits.get("idle_s"), limits.get("total_s")
    own_idle = max(usual.idle_s or 0.0, total_s or 0.0) if idle_s is None else idle_s + MARGIN_S
    own_total = usual.total_s if total_s is None else total_s + MARGIN_S
    own_first = max(usual.first_s or 0.0, own_idle)
    return Deadlines(
        first_s=own_first if isinstance(first, Default) else first,
        idle_s=own_idle if isinstance(idle, Default) else idle,
        total_s=own_total if isinstance(total, Default) else total,
    )


class Watchdog:
    """One timer for all deadlines: re-armed for nothing per read, it looks at the due time only when it fires.

    Attributes:
        unread: asked before a silence ends the run: looks at some of what came and was not looked at yet, which may
            move the deadline; True when there was any.
    """

    def __init__(self, task: asyncio.Task[Any] | None, total_s: float | None) -> None:
        self.unread: Callable[[], bool] = _nothing
        self._loop = asyncio.get_running_loop()
        self._task = task
        self._total = math.inf if total_s is None else self._loop.time() + total_s
        self._due = self._total
        self._cause = Outcome.TIMEOUT_TOTAL
        self._timer: asyncio.TimerHandle | None = None
        self.fired: Outcome | None = None

    def arm(self, seconds: float | None, cause: Outcome) -> None:
        """From now on: this long until `cause`, and never beyond the total."""
        due = math.inf if seconds is None else self._loop.time() + seconds
        self._due, self._cause = (due, cause) if due < self._total else (self._total, Outcome.TIMEOUT_TOTAL)
        if self._due < math.inf and (self._timer is None or self._timer.when() > self._due):
            self.disarm()
            self._timer = self._loop.call_at(self._due, self._look)

    def disarm(self) -> None:
        """No timer any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._due:
            if self._due < math.inf:
                self._timer = self._loop.call_at(self._due, self._look)
        elif self._cause is not Outcome.TIMEOUT_TOTAL and self.unread():
            self.disarm()
            self._timer = self._loop.call_at(max(self._due, self._loop.time()), self._look)
        elif self.fired is None and self._task is not None:
            self.fired = self._cause
            self._task.cancel()


def _nothing() -> bool:
    return False


def late(outcome: Outcome, deadlines: Deadlines) -> str:
    """The error clause for a deadline that passed: which one, and the option that moves it."""
    match outcome:
        case Outcome.TIMEOUT_FIRST:
            return f"no data for {deadlines.first_s:g} s after the request; allow more with --timeout-first SECONDS."
        case Outcome.TIMEOUT_IDLE:
            return (
                f"no data for {deadlines.idle_s:g} s (keep-alives do not count); "
                "allow more with --timeout-idle SECONDS."
            )
        case _:
            return f"not done after {deadlines.total_s:g} s; allow more with --timeout SECONDS."
