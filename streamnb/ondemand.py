"""A thread that is there only while there is something to do.

Knows threads. Must not know: what is done.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable


class OnDemand:
    """Calls `step` again and again on one daemon thread, which ends when there was nothing to do for a while.

    Args:
        name: of the thread.
        step: does what is due; returns True while there is more to do.
        every_s: between two steps; `poke` cuts it short.
        linger_s: so long the thread stays when there is nothing to do.
    """

    def __init__(self, name: str, step: Callable[[], bool], *, every_s: float, linger_s: float) -> None:
        self._name = name
        self._step = step
        self._every_s = every_s
        self._linger_s = linger_s
        self._context = contextvars.copy_context()  # what it displays belongs to the cell that made it
        self._lock = threading.Lock()
        self._poked = threading.Event()
        self._runs = False

    @property
    def awake(self) -> bool:
        """True while the thread is there."""
        return self._runs

    def poke(self) -> None:
        """There is something to do, now. From any thread; never blocks."""
        with self._lock:
            self._poked.set()
            if self._runs:
                return
            self._runs = True
        work = self._context.copy().run
        threading.Thread(target=work, args=(self._work,), name=self._name, daemon=True).start()

    def _work(self) -> None:
        try:
            busy_s = time.monotonic()
            while self._goes_on(busy_s):
                self._poked.clear()
                if self._step():
                    busy_s = time.monotonic()
                self._poked.wait(self._every_s)
        finally:
            self._runs = False
            if self._poked.is_set():  # a step failed, and there is more to do
                self.poke()

    def _goes_on(self, busy_s: float) -> bool:
        with self._lock:
            self._runs = self._poked.is_set() or time.monotonic() - busy_s < self._linger_s
            return self._runs
