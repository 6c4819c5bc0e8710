"""Deadlines: the four clocks of a run and the one timer that watches them.

Knows asyncio's loop time. Must not know: HTTP, what counts as data, recording.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import Any

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


class Watchdog:
    """One timer for all deadlines: re-armed for nothing per read, it looks at the due time only when it fires."""

    def __init__(self, task: asyncio.Task[Any] | None, total_s: float | None) -> None:
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
        elif self.fired is None and self._task is not None:
            self.fired = self._cause
            self._task.cancel()


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
