"""Isolated: stands where the driver stands; the driver works in another process, and what it journals is read here.

Knows the outpost, readings and observers. Must not know: sockets, HTTP, how the other process works, displays.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import time
from pathlib import Path
from typing import Final

from streamnb import errors, portal
from streamnb.driver import Observer
from streamnb.errors import CompanionError, StreamnbError, TranscriptError, UsageError
from streamnb.events import Arrival, Outcome
from streamnb.isolation._errand import Errand
from streamnb.isolation._frames import Frame, Kind
from streamnb.isolation._outpost import READY_S, Outpost, outpost
from streamnb.playback import Following
from streamnb.recording import Record
from streamnb.transcript import EndLine, Line, OtherLine, decode, read_lines

_AT_ONCE: Final = 64
"""Frames understood without giving way: other runs' sockets are on this loop."""
GRACE_S: Final = 30.0
"""How long the other process may take to end a run that was stopped; after that it counts as stuck."""


class Isolated:
    """One run, driven in another process. Made on any thread but the loop's, run on the loop thread.

    Its stamps are the other process's: CLOCK_MONOTONIC is one clock for all processes of a machine (on Linux, on macOS,
    and on Windows, where Python takes the performance counter or the system's uptime), so they stand beside ours.

    Args:
        errand: the run.
        observers: as the driver's.

    Raises:
        UsageError: as of `Driver`. Nothing was sent or written.
        CompanionError: the other process did not start, or a bug of ours ended the check.
    """

    def __init__(self, errand: Errand, observers: tuple[Observer, ...] = ()) -> None:
        self._errand = errand
        self._observers = observers
        self._post = outpost()
        self._inbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._taken = itertools.count(1)
        self._number = 0
        self._stopped: Outcome | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._check(errand.encode())

    def _check(self, payload: bytes) -> None:
        answer = self._answer(payload)
        if answer is None:  # it died since it was last looked at
            self._post = outpost()
            answer = self._answer(payload)
        match answer:
            case None:
                raise CompanionError(f"{_capturing(self._post)}; run it without isolate.")
            case Frame(_, Kind.REFUSED, data):
                raise _refusal(data)
            case Frame(_, Kind.OVER, data):
                raise _bug(data)
            case _:
                pass

    def _answer(self, payload: bytes) -> Frame | None:
        answer: concurrent.futures.Future[Frame | None] = concurrent.futures.Future()

        def hear(frame: Frame | None) -> None:
            if frame is not None:
                self._post.forget(frame.run)
            answer.set_result(frame)

        portal.loop().call_soon_threadsafe(self._post.ask, Kind.CHECK, payload, hear)
        try:
            return answer.result(READY_S)
        except concurrent.futures.TimeoutError:
            raise CompanionError("the capture process does not answer; run it without isolate.") from None

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """End it with this outcome. Loop thread only; what arrived is kept."""
        if self._stopped is None:
            self._stopped = outcome
            if self._number:
                self._post.send(Frame(self._number, Kind.STOP, outcome.value.encode()))
                self._stuck = asyncio.get_running_loop().call_later(GRACE_S, self._inbox.put_nowait, None)

    async def run(self, record: Record) -> None:
        """Have it done, and tell what comes back to the record and the observers as the driver would.

        Args:
            record: without a journal: the other process has it.

        Raises:
            CompanionError: a bug, ours or a provider's, ended it.
        """
        following = _Live(record, self._errand, self._observers)
        try:
            await self._begin()
            await self._follow(following)
        except CompanionError as error:
            following.end(Outcome.INTERRUPTED, str(error))
            raise
        finally:
            if record.outcome is None:  # a bug of ours: the run still ends in exactly one outcome, here and there
                self.stop(Outcome.INTERRUPTED)
                following.end(Outcome.INTERRUPTED, "the run was torn down")
            if self._stuck is not None:
                self._stuck.cancel()
            self._post.forget(self._number)
            self._number = 0

    async def _begin(self) -> None:
        if not self._post.lives:
            self._post = await asyncio.to_thread(outpost)
        errand = dataclasses.replace(self._errand, stopped=self._stopped)
        self._number = self._post.ask(Kind.RUN, errand.encode(), self._inbox.put_nowait)

    async def _follow(self, following: _Live) -> None:
        while (frame := await self._next()) is not None:
            match frame.kind:
                case Kind.LINE:
                    following.take(frame.payload)
                case Kind.PHASE:
                    following.phase(*json.loads(frame.payload))
                case Kind.REFUSED:  # what it needed at the check is gone since
                    following.end(Outcome.PROTOCOL_ERROR, json.loads(frame.payload)["text"])
                    return
                case Kind.OVER:
                    following.over(frame.payload)
                    return
                case _:
                    pass
        await following.abandoned(self._post, self._stopped)

    async def _next(self) -> Frame | None:
        """The next frame; who is cancelled has the run stopped and waits for its end, as with a driver."""
        while True:
            try:
                if next(self._taken) % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                return await self._inbox.get()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                self.stop(Outcome.INTERRUPTED)


class _Live:
    """What the lines of a run become as they come."""

    def __init__(self, record: Record, errand: Errand, observers: tuple[Observer, ...]) -> None:
        self._record = record
        self._path: Path | None = errand.path
        self._name = errand.target.provider.name
        self._lines = Following(record, errand.target.provider)
        self._observers = observers
        self._n_lines = 0

    def take(self, data: bytes) -> None:
        """The next line, encoded."""
        line = decode(data)
        if not isinstance(line, OtherLine):
            self._play(line)

    def _play(self, line: Line) -> None:
        self._n_lines += 1
        if isinstance(line, EndLine):
            self._tell(self._lines.close())
            self._lines.end(line)
        else:
            self._tell(self._lines.follow(line, self._n_lines))

    def _tell(self, arrivals: list[Arrival]) -> None:
        for observer in self._observers if arrivals else ():
            if getattr(observer, "listens", True):
                for arrival in arrivals:
                    observer.arrive(arrival)

    def phase(self, name: str, t_ns: int) -> None:
        """The run entered a phase."""
        for observer in self._observers:
            observer.phase(name, t_ns)

    def over(self, data: bytes) -> None:
        """Nothing more comes: what the disk said is a warning here as well.

        Raises:
            CompanionError: a bug ended it.
        """
        said = json.loads(data)
        self._record.problem = said["failed"]
        if said["bug"] is not None:
            raise _bug(data)

    async def abandoned(self, post: Outpost, stopped: Outcome | None) -> None:
        """Nobody answers any more: take what else was journaled from the file, and say what happened."""
        if post.lives and stopped is not None:
            self.end(stopped, f"{stopped}; the capture process does not answer: what it sent until then is kept.")
            return
        if self._path is not None:
            for line in await asyncio.to_thread(_rest, self._path, self._n_lines):
                self._play(line)
        again = "what arrived is kept. Run it again: that starts a new one."
        self.end(Outcome.CRASHED, f"{_capturing(post)}, which is neither the API's fault nor your code's; {again}")

    def end(self, outcome: Outcome, error: str) -> None:
        """The run is over without an end line; if there was one, this changes nothing."""
        record = self._record
        if record.outcome is None:
            self._tell(self._lines.close())
            record.error = f"{self._name}: {error}"
            record.outcome = outcome  # last: whoever sees it may open the file
            self.phase(outcome.value, time.monotonic_ns())


def _rest(path: Path, n_lines: int) -> list[Line]:
    """What stands in a run file behind so many lines."""
    with contextlib.suppress(OSError, TranscriptError):
        return read_lines(path.read_bytes()).lines[n_lines:]
    return []


def _capturing(post: Outpost) -> str:
    return f"the capture process (isolate) {post.end}"


def _refusal(data: bytes) -> StreamnbError:
    said = json.loads(data)
    kind = getattr(errors, said["error"], UsageError)
    refusal: StreamnbError = kind(said["text"])
    return refusal


def _bug(data: bytes) -> CompanionError:
    what = json.loads(data)["bug"]
    return CompanionError(f"{what} in the capture process; run it without isolate to see where.")
