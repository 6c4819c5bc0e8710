"""Outpost: the child process that captures, started on first use, gone with this one; two pipes and nothing else.

Knows processes, pipes and threads. Must not know: runs, what a frame's payload means.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import IO, Final, cast

from streamnb import portal
from streamnb._version import __version__
from streamnb.companions import OneAtATime, launch, python_command
from streamnb.errors import CompanionError
from streamnb.isolation._frames import Frame, Kind, Unpacker, pack

READY_S: Final = 30.0
STOP_S: Final = 3.0
_PIECE: Final = 1 << 18
_LINES_KEPT: Final = 50
_LAST_WORDS: Final = 3

Listener = Callable[[Frame | None], None]
"""Hears the frames of one run on the loop thread; None: the process is gone, no more will come."""


class Outpost:
    """One child process. Nothing on its command line, nothing of the user's in the environment it starts with.

    Nobody who sends ever waits for it: a thread writes, another reads, and listeners hear on the loop thread.

    Attributes:
        process: it.
        version: of the package that it runs.
        last: the end of what it wrote to stderr; shown only where it did not start, before any key went there.

    Raises:
        CompanionError: it did not start.
    """

    def __init__(self) -> None:
        self.process = launch(python_command("streamnb.isolation"), stderr=subprocess.PIPE)
        pipes = (self.process.stdin, self.process.stdout, self.process.stderr)
        self._stdin, self._stdout, self._stderr = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", pipes)
        self.version = ""
        self.last: collections.deque[bytes] = collections.deque(maxlen=_LINES_KEPT)
        self._due: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._listeners: dict[int, Listener] = {}
        self._ready, self._over = threading.Event(), threading.Event()
        self._threads = [self._thread(work) for work in (self._write, self._read, self._listen)]
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)  # also when an interrupt comes while it starts
            if not self._ready.wait(READY_S) or self._over.is_set():
                raise CompanionError(f"the capture process did not start: {self._last_words()}; leave isolate out.")
            if self.version != __version__:
                raise CompanionError(
                    f"streamnb was changed from {__version__} to {self.version} under this kernel: restart the kernel."
                )
            undo.pop_all()

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="streamnb outpost", daemon=True)
        thread.start()
        return thread

    @property
    def lives(self) -> bool:
        """Whether it can still be asked, as far as is known."""
        return not self._over.is_set() and self.process.poll() is None

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self.process.poll()
        if code is None or code >= 0:
            return f"ended with {code}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    def ask(self, kind: Kind, payload: bytes, listener: Listener) -> int:
        """Send a first frame; its run's number is returned. Loop thread only.

        Args:
            kind: `CHECK` or `RUN`.
            payload: the errand.
            listener: hears what comes back, until `forget`.
        """
        number = next(self._numbers)
        if self._over.is_set():
            portal.loop().call_soon(listener, None)
        else:
            self._listeners[number] = listener
            self.send(Frame(number, kind, payload))
        return number

    def send(self, frame: Frame) -> None:
        """Send a frame; never waits. One that cannot be sent any more is dropped: the listener hears of the end."""
        self._due.put(pack(frame))

    def forget(self, number: int) -> None:
        """Nobody listens for this run any more; from any thread."""
        self._listeners.pop(number, None)

    def stop(self) -> None:
        """Close its stdin, which ends its runs and then itself; kill it if that does not help within three seconds."""
        self._due.put(None)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(STOP_S)

    def abandon(self) -> None:
        """Let go of the pipes in a forked process: they shall end with the process that owns the child."""
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()

    # -- the three threads ------------------------------------------------------------------------------------------

    def _write(self) -> None:
        with self._stdin as pipe, contextlib.suppress(OSError):  # it is gone: the reading thread says so
            while (data := self._due.get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[pipe.write(view) :]

    def _read(self) -> None:
        frames = Unpacker()
        with self._stdout as pipe:
            while data := pipe.read(_PIECE):
                found = frames.feed(data)
                if found and found[0].kind is Kind.READY:
                    self.version = found[0].payload.decode()
                    self._ready.set()
                elif found:
                    self._hand_over(found)
        self.process.wait()
        self._over.set()
        self._ready.set()
        self._due.put(None)
        self._hand_over(None)

    def _listen(self) -> None:
        with self._stderr as pipe:
            self.last.extend(pipe)

    def _last_words(self) -> str:
        self._threads[-1].join(STOP_S if self._over.is_set() else 0)
        lines = [line.decode(errors="replace").strip() for line in list(self.last)]
        return " | ".join([line for line in lines if line][-_LAST_WORDS:]) or "it said nothing"

    def _hand_over(self, frames: list[Frame] | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop ended with the process
            portal.loop().call_soon_threadsafe(self._deliver, frames)

    def _deliver(self, frames: list[Frame] | None) -> None:
        if frames is None:
            listeners, self._listeners = self._listeners, {}
            for listener in listeners.values():
                listener(None)
            return
        for frame in frames:
            hears = self._listeners.get(frame.run)
            if hears is not None:
                hears(frame)


_OUTPOST: Final = OneAtATime(Outpost)


def outpost() -> Outpost:
    """This process's outpost; a dead one is replaced. Waits while one starts, so never on the loop thread.

    Raises:
        CompanionError: it did not start.
    """
    return _OUTPOST.get()
