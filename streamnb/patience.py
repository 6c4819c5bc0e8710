"""Patience: with very many streams a loop that waits a moment before it looks finds several of them ready at once.

Knows selectors and a clock. Must not know: streams, HTTP, why somebody can wait.
"""

from __future__ import annotations

import selectors
import time
from typing import Final

WAIT_S: Final = 0.001
WINDOW_S: Final = 0.25


class PatientSelector(selectors.DefaultSelector):
    """A selector that can be told to wait a millisecond before it looks: to be woken for each event costs more.

    Only for sockets whose stamps are the kernel's: their reads come up to a millisecond later.

    Attributes:
        busy: share of the time, 0 to 1, that its loop spent outside it in the last quarter of a second; 0 unless it is
            patient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy = 0.0
        self._waited_s = 0.0
        self._since_s = 0.0

    def be_patient(self, *, patient: bool) -> None:
        """Wait from now on, or no longer."""
        if patient == (self.select == self._wait):
            return
        self.busy = self._waited_s = 0.0
        self._since_s = time.monotonic()
        if patient:
            self.select = self._wait  # type: ignore[method-assign]  # who does not wait pays nothing for it
        else:
            del self.select

    def _wait(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began_s = time.monotonic()
        if timeout is None or timeout > 0:
            wait_s = WAIT_S if timeout is None else min(timeout, WAIT_S)
            time.sleep(wait_s)
            if timeout is not None:
                timeout -= wait_s
        found = super().select(timeout)
        now_s = time.monotonic()
        self._waited_s += now_s - began_s
        if now_s - self._since_s >= WINDOW_S:
            self.busy = 1 - self._waited_s / (now_s - self._since_s)
            self._waited_s, self._since_s = 0.0, now_s
        return found
