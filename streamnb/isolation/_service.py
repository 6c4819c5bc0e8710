"""Service: the process that captures. Errands come in on one pipe, what is journaled goes out on the other.

Knows drivers, records and journals. Must not know: displays, who asks and why.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streamnb import attention, pacing, portal
from streamnb._version import __version__
from streamnb.driver import Driver
from streamnb.errors import StreamnbError
from streamnb.events import Arrival, Outcome
from streamnb.isolation._errand import Errand
from streamnb.isolation._frames import Frame, Kind, Unpacker, pack
from streamnb.journal import Journal
from streamnb.recording import Record
from streamnb.transport import Route, StampedTransport

EVERY_S: Final = 0.02
"""At most so often something is written to the other process: for the eye, not for stamps."""
_PIECE: Final = 1 << 16
_POLL_S: Final = 0.25
_ENDING_S: Final = 30.0  # who waits for it kills it earlier; when nobody is left, nobody is in a hurry
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Outbox:
    """What is to be written to a pipe; a thread of its own writes, so that a slow reader holds up no capture.

    Args:
        fd: the pipe; nobody else writes there.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._due: collections.deque[bytes] = collections.deque()
        self._work, self._hurry = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def put(self, frame: Frame) -> None:
        """Write it soon, and at once what is no line: somebody may wait for it. Never waits itself."""
        self._due.append(pack(frame))
        if frame.kind is not Kind.LINE:
            self._hurry.set()
        if not self._work.is_set():
            self._work.set()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more: the end of stdin says so as well
            while self._work.wait():
                self._work.clear()
                self._hurry.clear()
                view = memoryview(b"".join(self._due.popleft() for _ in range(len(self._due))))
                while view:
                    view = view[os.write(self._fd, view) :]
                self._hurry.wait(EVERY_S)


class _ToldJournal(Journal):
    """A journal whose lines are told, each after it was written (SAFETY P1); without a path they are only told."""

    def __init__(self, path: Path | None, tell: Callable[[bytes], None]) -> None:
        super().__init__(path or Path())
        self._kept = path is not None
        self._tell = tell

    def append(self, data: bytes) -> None:
        """Append a line that is encoded already."""
        if self._kept:
            super().append(data)
        self._tell(data)


class _Phases:
    """An observer that passes phases on; arrivals are made of the lines, where they are shown."""

    listens = False

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self._tell = tell

    def phase(self, name: str, t_ns: int) -> None:
        """The run entered a phase."""
        self._tell([name, t_ns])

    def arrive(self, arrival: Arrival) -> None:
        """Nobody is told of arrivals."""


class Service:
    """The runs of this process: any number at the same time, all on the loop thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._drivers: dict[int, Driver] = {}
        self._tasks: set[portal.Task[None]] = set()
        self._transports: dict[Route, StampedTransport] = {}

    def take(self, frame: Frame) -> None:
        """A frame has come; from any thread, in their order."""
        match frame.kind:
            case Kind.CHECK | Kind.RUN:
                task = portal.spawn(self._serve(frame))
                self._tasks.add(task)
                task.add_done_callback(functools.partial(self._done, frame.run))
            case Kind.STOP:  # as a coroutine: it comes after the first step of the run, which makes the driver
                portal.spawn(self._stop(frame.run, Outcome(frame.payload.decode())))
            case _:
                pass

    def close(self) -> None:
        """Nobody listens any more: end every run, and wait until their sockets and files are closed."""
        portal.spawn(self._end())
        concurrent.futures.wait(list(self._tasks), timeout=_ENDING_S)

    async def _serve(self, frame: Frame) -> None:
        tell = functools.partial(self._tell, frame.run)
        try:
            said = json.loads(frame.payload)
            adopt(said["environment"], said["places"])
            errand = Errand.of(said)
            transport = self._transport(errand.route)
            driver = Driver(
                errand.target,
                errand.prompt,
                errand.deadlines,
                time,
                (_Phases(functools.partial(tell, Kind.PHASE)),),
                allow_http=errand.allow_http,
                parse=errand.parse,
            )
        except StreamnbError as error:
            tell(Kind.REFUSED, {"error": type(error).__name__, "text": str(error)})
            return
        if frame.kind is Kind.CHECK:
            tell(Kind.FINE, None)
            return
        if errand.stopped is not None:
            driver.stop(errand.stopped)
        self._drivers[frame.run] = driver
        try:
            await self._drive(frame.run, driver, transport, errand)
        finally:
            del self._drivers[frame.run]

    def _transport(self, route: Route) -> StampedTransport:
        if route not in self._transports:
            self._transports[route] = StampedTransport(route=route)
        return self._transports[route]

    async def _drive(self, number: int, driver: Driver, transport: StampedTransport, errand: Errand) -> None:
        journal = _ToldJournal(errand.path, lambda line: self._outbox.put(Frame(number, Kind.LINE, line)))
        record = Record(errand.info, journal)
        record.measurement_error_s = errand.measurement_error_s
        with attention.paid(record.lags), pacing.under_way(kernel_stamps=transport.kernel_stamps):
            await driver.run(record, transport)
        self._tell(number, Kind.OVER, {"failed": journal.failed, "bug": None})

    async def _end(self) -> None:
        for driver in self._drivers.values():
            driver.stop(Outcome.INTERRUPTED)

    async def _stop(self, number: int, outcome: Outcome) -> None:
        if number in self._drivers:
            self._drivers[number].stop(outcome)

    def _done(self, number: int, task: concurrent.futures.Future[None]) -> None:
        self._tasks.discard(task)
        error = task.exception()
        if error is not None:  # its text may hold anything: the kind of the error has to do
            self._tell(number, Kind.OVER, {"failed": None, "bug": type(error).__name__})

    def _tell(self, number: int, kind: Kind, said: Any) -> None:
        self._outbox.put(Frame(number, kind, json.dumps(said).encode()))


def adopt(environment: Mapping[str, str], places: Sequence[str]) -> None:
    """Have the variables of the process that asks, and find what it finds, as a run of its own would.

    Args:
        environment: all of its variables.
        places: its `sys.path`; behind ours, so that nothing gets in between.
    """
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    sys.path += [place for place in places if place not in sys.path]


def main() -> int:
    """Serve until stdin ends or the process that started this one is gone.

    Both are needed: a process forked from that one can hold the other end of the pipe open.
    """
    parent = os.getppid()
    asked, told = os.dup(_STDIN), os.dup(_STDOUT)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), _STDIN)
    os.dup2(_STDERR, _STDOUT)  # whoever prints shall not print into the frames
    outbox = Outbox(told)
    service = Service(outbox)
    ended = threading.Event()

    def read() -> None:
        frames = Unpacker()
        try:
            while data := os.read(asked, _PIECE):
                for frame in frames.feed(data):
                    service.take(frame)
        finally:
            ended.set()

    portal.loop()
    outbox.put(Frame(0, Kind.READY, __version__.encode()))
    threading.Thread(target=read, name="errands", daemon=True).start()
    while not (ended.wait(_POLL_S) or os.getppid() != parent):  # on Windows it never changes, and nobody forks
        pass
    service.close()
    return 0
