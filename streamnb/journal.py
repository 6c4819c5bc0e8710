"""The run file: append-only lines, one write each, locked while its writer lives (SAFETY P1, P2, F71-76).

Knows files and locks. Must not know: what the lines say, pandas, displays.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Final

from streamnb.transcript import Line, encode

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has no flock: a dead writer cannot be told from a live one there
    fcntl = None


EVERY_S: Final = 0.25
"""Power loss takes at most what came in so long (SAFETY P2), while at most `AT_ONCE` runs are under way."""
AT_ONCE: Final = 8
"""Files put on the disk in that time: each costs about a millisecond, and hundreds would take a processor."""

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have only the other


class _Syncer:
    """Puts on the disk what was written to run files, four times a second, and ends them; on a thread of its own."""

    def __init__(self) -> None:
        self._due: dict[Journal, None] = {}  # in the order of their first unsynced write
        self._ended: list[int] = []
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._pid = 0

    def add(self, journal: Journal) -> None:
        """It was written to."""
        with self._lock:
            self._due[journal] = None
        self._wake()

    def end(self, fd: int) -> None:
        """A file that is complete and belongs to nobody any more."""
        with self._lock:
            self._ended.append(fd)
        self._wake()

    def _wake(self) -> None:
        if self._pid != os.getpid():  # the first time, or the first time in a fork
            self._pid = os.getpid()
            threading.Thread(target=self._run, name="streamnb sync", daemon=True).start()
        self._work.set()

    def _run(self) -> None:
        while self._work.wait():
            time.sleep(EVERY_S)
            self._work.clear()
            with self._lock:
                ended, self._ended = self._ended, []
                due = list(self._due)[:AT_ONCE]
                for journal in due:
                    del self._due[journal]
                if self._due:
                    self._work.set()
            for fd in ended:
                with contextlib.suppress(OSError):
                    os.fsync(fd)
                os.close(fd)
            for journal in due:
                journal.sync()


_syncer = _Syncer()


class Journal:
    """A run file, mode 0600, made with its first line. A failing disk never stops the run: it goes on in memory.

    Args:
        path: a file that does not exist yet; its directories are made, mode 0700.

    Attributes:
        failed: None, or one line saying why nothing is written any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed: str | None = None
        self._fd: int | None = None
        self._begun = False
        self._synced = True
        self._closing = threading.Lock()

    def write(self, line: Line) -> None:
        """Append one line."""
        self.append(encode(line))

    def append(self, data: bytes) -> None:
        """Append a line that is encoded already."""
        try:
            if not self._begun:
                self._begin()
            if self._fd is None:
                return
            written = os.write(self._fd, data)
            while written < len(data):  # at the limit of a disk the first write is a short one; the next says why
                data = data[written:]
                written = os.write(self._fd, data)
            if self._synced:
                self._synced = False
                _syncer.add(self)
        except OSError as error:
            self._fail(error)

    def _begin(self) -> None:
        self._begun = True
        make_private(self.path.parent)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if fcntl is not None:
            with contextlib.suppress(OSError):  # some network file systems have no locks: the run only looks dead there
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def sync(self) -> None:
        """Put what was written so far on the disk; from any thread."""
        self._synced = True
        with self._closing, contextlib.suppress(OSError):  # the next write says what is wrong with the disk
            if self._fd is not None:
                _fdatasync(self._fd)

    def close(self) -> None:
        """Let go of it; nothing is written any more. The disk has it a quarter of a second later."""
        self._begun = True
        with self._closing:
            fd, self._fd = self._fd, None
        if fd is not None:
            if fcntl is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_UN)
            _syncer.end(fd)

    def _close(self) -> None:
        with self._closing:
            if self._fd is not None:
                fd, self._fd = self._fd, None
                with contextlib.suppress(OSError):
                    os.close(fd)

    def _fail(self, error: OSError) -> None:
        self.failed = (
            f"not recorded on disk any more ({error.strerror or error}): {self.path}; the run goes on in memory."
        )
        self._close()


def make_private(directory: Path) -> None:
    """`mkdir -p`, each new directory 0700: `Path.mkdir` gives its mode to the last one only."""
    if not directory.parent.exists():
        make_private(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def is_locked(path: Path) -> bool:
    """True while the writer of a run file lives."""
    if fcntl is None:
        return False
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks on this file system
        return False
    finally:
        os.close(fd)
    return False
