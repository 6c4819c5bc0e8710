"""The player: stands where the driver stands, and plays a recording at its own pace instead of calling anybody.

Knows playbacks, asyncio's time and observers. Must not know: sockets, HTTP, files, displays.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Iterator

from streamnb.driver import Clock, Observer
from streamnb.events import Arrival, Outcome
from streamnb.playback import Playback
from streamnb.transcript import CallLine, DoneLine, EndLine, Line, ReadLine, ReplyLine

_AT_ONCE = 64
"""Lines played without giving way when there is no pace to keep."""


class Player:
    """One playback. Made on any thread, run on the loop thread.

    What observers hear has the present's times, so that a panel's clock is right; the record has the recorded ones.

    Args:
        playback: what to play.
        speed: 1 is the recorded pace, 2 twice as fast, infinite as fast as it can.
        clock: the present.
        observers: as the driver's.
    """

    def __init__(self, playback: Playback, speed: float, clock: Clock, observers: tuple[Observer, ...] = ()) -> None:
        self._playback = playback
        self._speed = speed
        self._clock = clock
        self._observers = observers
        self._first_ns = playback.contents.run.clock["t_ns"]
        self._started_ns = 0
        self._stopped: Outcome | None = None
        self._task: asyncio.Task[None] | None = None

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """End it here: what was played is kept. Loop thread only."""
        if self._stopped is None:
            self._stopped = outcome
            if self._task is not None:
                self._task.cancel()

    async def run(self) -> None:
        """Play every line at its time."""
        self._task = asyncio.current_task()
        self._started_ns = self._clock.monotonic_ns()
        self._tell("connecting", self._started_ns)
        record = self._playback.record
        try:
            if self._stopped is None:
                await self._play()
                for arrival in self._playback.finish():
                    self._arrived(arrival)
        except asyncio.CancelledError:
            if self._task is not None:
                self._task.uncancel()
        if record.outcome is None and self._stopped is not None:
            record.outcome, record.error = self._stopped, f"the replay was {self._stopped}; what was played is here."
        self._tell("running" if record.outcome is None else record.outcome.value, self._clock.monotonic_ns())

    async def _play(self) -> None:
        lines = self._playback.contents.lines
        for index, line in enumerate(lines):
            await self._until(index, _time_of(line))
            for t_ns in _started_streams(line, lines):
                self._tell("waiting", self._now_of(t_ns))
            for arrival in self._playback.take(index):
                self._arrived(arrival)

    async def _until(self, index: int, t_ns: int | None) -> None:
        if math.isinf(self._speed):
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
        elif t_ns is not None:
            wait_s = (self._now_of(t_ns) - self._clock.monotonic_ns()) / 1e9
            if wait_s > 0:
                await asyncio.sleep(wait_s)

    def _now_of(self, t_ns: int) -> int:
        """The present's time for a recorded one."""
        return self._started_ns + round((t_ns - self._first_ns) / self._speed)

    def _arrived(self, arrival: Arrival) -> None:
        shown = dataclasses.replace(arrival.chunk, t_ns=self._now_of(arrival.chunk.t_ns))
        for observer in self._observers:
            observer.arrive(dataclasses.replace(arrival, chunk=shown))

    def _tell(self, phase: str, t_ns: int) -> None:
        for observer in self._observers:
            observer.phase(phase, t_ns)


def _time_of(line: Line) -> int | None:
    return line.t_ns if isinstance(line, (CallLine, ReplyLine, ReadLine, DoneLine, EndLine)) else None


def _started_streams(line: Line, lines: list[Line]) -> Iterator[int]:
    """t0, when a line is the head of a streamed reply: the transcript has it there."""
    if isinstance(line, ReplyLine):
        call = next((one for one in lines if isinstance(one, CallLine) and one.n == line.n), None)
        t0_ns = line.timings.get("t0_ns")
        if call is not None and call.stream and not call.setup and t0_ns is not None:
            yield int(t0_ns)
