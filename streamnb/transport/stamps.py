"""Kernel receive stamps: when a segment reached this machine, on the clock that everything else uses.

Knows SO_TIMESTAMPNS and two clocks. Must not know: HTTP, TLS, event loops, what the bytes are.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

SO_TIMESTAMPNS: Final = 35
"""Linux, <asm-generic/socket.h>; the control message has the same number and holds a struct timespec."""

ANCILLARY_BYTES: Final = socket.CMSG_SPACE(16) if hasattr(socket, "CMSG_SPACE") else 0

_TIMESPEC: Final = struct.Struct("@ll")
SUPPORTED: Final = sys.platform == "linux" and ANCILLARY_BYTES > 0 and _TIMESPEC.size == 16  # noqa: PLR2004
_SUSPECT_NS: Final = 2_000_000
_STEP_NS: Final = 20_000
_BRACKETS: Final = 16
_CHECKED_NS: Final = 50_000_000
"""So long after a look at both clocks a late stamp is believed: a busy client has many of them."""

Ancillary = Sequence[tuple[int, int, bytes]]


def switch_on(sock: socket.socket) -> bool:
    """Ask the kernel to stamp what this socket receives; False where it cannot (macOS, Windows, 32 bit)."""
    if not SUPPORTED:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:  # a sandbox without the option
        return False
    return True


def _keeper() -> socket.socket | None:
    """A socket that only asks for stamps.

    The kernel stamps while some socket asks for it, and begins a moment after the first one did: without this one the
    first reply of a new connection might have none.
    """
    if not SUPPORTED:
        return None
    keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    switch_on(keeper)
    return keeper


class KernelClock:
    """From the kernel's wall clock stamps to CLOCK_MONOTONIC.

    NTP slews both clocks alike, so their difference changes only when the wall clock is stepped. It is measured once,
    and again whenever a stamp looks late or impossible: a client that was busy is told from a clock that was set.

    Args:
        realtime: CLOCK_REALTIME, ns.
        monotonic: CLOCK_MONOTONIC, ns.

    Attributes:
        offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC.
        error_ns: the offset is right to within this.
    """

    def __init__(
        self, realtime: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._realtime = realtime
        self._monotonic = monotonic
        self._keeper = _keeper()
        self.offset_ns, self.error_ns = self._measure()
        self._checked_ns = -_CHECKED_NS

    def close(self) -> None:
        """No more sockets of ours."""
        if self._keeper is not None:
            self._keeper.close()

    def stamp(self, ancillary: Ancillary, read_ns: int) -> int | None:
        """When the kernel had the last byte of a read, CLOCK_MONOTONIC ns; None when it did not say.

        Args:
            ancillary: of `recvmsg`.
            read_ns: when the read returned, which is never earlier.
        """
        for level, kind, data in ancillary:
            if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(data) == _TIMESPEC.size:
                seconds, rest = _TIMESPEC.unpack(data)
                real_ns = seconds * 1_000_000_000 + rest
                t_ns: int = real_ns - self.offset_ns
                lag_ns = read_ns - t_ns
                if 0 <= lag_ns < _SUSPECT_NS or (lag_ns >= 0 and read_ns - self._checked_ns < _CHECKED_NS):
                    return t_ns
                return self._suspect(real_ns, read_ns)
        return None

    def _suspect(self, real_ns: int, read_ns: int) -> int | None:
        """A stamp that is late, or later than the read: was the client busy, or the clock set?"""
        offset_ns, error_ns = self._measure()
        self._checked_ns = read_ns
        if abs(offset_ns - self.offset_ns) > _STEP_NS + error_ns:
            self.offset_ns, self.error_ns = offset_ns, error_ns
        t_ns = real_ns - self.offset_ns
        return min(t_ns, read_ns) if t_ns <= read_ns + _STEP_NS else None

    def _measure(self) -> tuple[int, int]:
        """The offset from the tightest of some brackets: a thread switch between two clocks would be an error."""
        best = (0, 1 << 62)
        for _ in range(_BRACKETS):
            before = self._monotonic()
            real = self._realtime()
            after = self._monotonic()
            if after - before < best[1]:
                best = (real - (before + after) // 2, after - before)
        return best
