"""Ends this process, or a command it runs, when the process it belongs to is gone (even by `kill -9`).

Knows process ids and stdin; `python -m streamnb.simulator.parent PID -- command ...`. Must not know: HTTP, any API.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

_POLL_S: Final = 0.25
_STDIN: Final = 0
_PR_SET_PDEATHSIG: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Parent:
    """A process to belong to.

    Attributes:
        pid: its process id.
        born: its start time where the system tells it: another process may get the same id later.
        direct: it is the process that started this one, so that the system tells when it is gone.
    """

    pid: int
    born: str | None
    direct: bool

    @classmethod
    def of(cls, pid: int) -> Parent:
        """Return the process `pid` as it is now."""
        return cls(pid, _born(pid), os.getppid() == pid)

    def gone(self) -> bool:
        """Return True when the process has ended, also when it is a zombie or its id belongs to another now."""
        if self.direct and os.getppid() != self.pid:
            return True
        return not _exists(self.pid) or _born(self.pid) != self.born


def when_gone(pid: int, act: Callable[[], None]) -> None:
    """Call `act` once, in a thread, when stdin ends or process `pid` is gone.

    Both are needed: a sibling forked from the same parent can hold the other end of the pipe open.
    """
    ended = threading.Event()
    parent = Parent.of(pid)

    def watch() -> None:
        while not (parent.gone() or ended.wait(_POLL_S)):
            pass
        act()

    threading.Thread(target=_await_eof, args=(ended,), name="stdin", daemon=True).start()
    threading.Thread(target=watch, name="parent", daemon=True).start()


def run(pid: int, command: list[str]) -> int:
    """Run a command that does not watch its parent itself; kill it when process `pid` is gone. Return its exit code."""
    linux = sys.platform == "linux"
    child = subprocess.Popen(  # noqa: S603 - the command is our caller's own
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_the_watcher if linux else None,  # noqa: PLW1509 - no thread runs yet
    )
    when_gone(pid, child.kill)
    code = child.wait()
    return code if code >= 0 else 128 - code  # ended by a signal: as a shell says it


def main(argv: list[str]) -> int:
    """Read `PID -- command ...` and run it."""
    pid, dashes, *command = argv
    if dashes != "--" or not command:
        sys.stderr.write("usage: python -m streamnb.simulator.parent PID -- command ...\n")
        return 2
    return run(int(pid), command)


def _await_eof(ended: threading.Event) -> None:
    try:
        while os.read(_STDIN, 4096):
            pass
    except OSError:
        return  # no stdin at all: only the process id says something
    ended.set()


def _die_with_the_watcher() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill(pid, 0) would send Ctrl-C there; stdin says it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str | None:
    """Return the start time of a living process from /proc (proc(5), fields 3 and 22 of stat); None without /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
