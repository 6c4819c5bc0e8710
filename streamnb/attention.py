"""Attention: what the process does differently while runs are under way, and a log of what held it up meanwhile.

Knows the interpreter's settings and one loop's clock. Must not know: runs, HTTP, tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

SWITCH_S: Final = 0.0005
"""How long another thread may keep the interpreter from the loop thread; Python's own default is 0.005."""
TICK_S: Final = 0.02
LATE_NS: Final = max(5_000_000, round(2e9 * time.get_clock_info("monotonic").resolution))
"""A timer that is less late than this is not logged: 5 ms, and more where the clock itself steps by more (Windows)."""
PAUSE_NS: Final = 1_000_000
"""Nor is a collection shorter than this."""
STEP_NS: Final = 5_000_000
"""Nor a wall clock that was set by less."""
COLLECT_EVERY: Final = 64
"""After so many thaws one whole collection, while no run is under way: the remains of 64 runs are some 3 MB."""

Lags = list[tuple[str, int, int]]


@contextlib.contextmanager
def paid(lags: Lags) -> Iterator[None]:
    """Pay attention as long as the block lasts: one block per run, nested or side by side, on any thread.

    While at least one is open, threads switch every 0.5 ms, and what is in memory is left out of collections
    (`gc.freeze`). The last one to be left puts both back, unless somebody else had a hand in it: a switch interval
    that is no longer ours stays, and what the caller froze before is not thawed. (A freeze by the caller while runs
    are under way cannot be told from ours and ends with it.)

    Args:
        lags: where (kind, start in CLOCK_MONOTONIC ns, length in ns) is appended: `gc`, a collection of 1 ms or more,
            of whatever thread; `loop`, a timer on the running loop of this thread that was more than 5 ms late;
            `clock`, the wall clock was set (or the machine slept), the length is by how much.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a block on a thread without a loop hears of collections alone
        loop = None
    _open(lags, loop)
    try:
        yield
    finally:
        _close(lags, loop)


@dataclasses.dataclass(slots=True)
class _State:
    """Who listens, and what to put back (None: nothing was changed).

    Attributes:
        listeners: replaced, never changed: a collection may come at any moment, on any thread.
        began_ns: when the collection under way began.
    """

    listeners: tuple[Lags, ...] = ()
    switch_s: float | None = None
    froze: bool = False
    n_thawed: int = 0
    began_ns: int = 0


_lock = threading.Lock()
_timers: dict[asyncio.AbstractEventLoop, _Timer] = {}
_state = _State()


def _open(lags: Lags, loop: asyncio.AbstractEventLoop | None) -> None:
    with _lock:
        if not _state.listeners:
            _change()
        _state.listeners = (*_state.listeners, lags)
        if loop is not None:
            timer = _timers.get(loop) or _timers.setdefault(loop, _Timer(loop))
            timer.listeners.append(lags)


def _close(lags: Lags, loop: asyncio.AbstractEventLoop | None) -> None:
    with _lock:
        if loop is not None and loop in _timers:
            timer = _timers[loop]
            timer.look()
            _drop(timer.listeners, lags)
            if not timer.listeners:
                timer.stop()
                del _timers[loop]
        left = list(_state.listeners)
        _drop(left, lags)
        _state.listeners = tuple(left)
        if not _state.listeners:
            _restore()


def _drop(listeners: list[Lags], lags: Lags) -> None:
    """Take out this very list, not one that is equal to it."""
    del listeners[next(at for at, one in enumerate(listeners) if one is lags)]


def _change() -> None:
    before_s = sys.getswitchinterval()
    _state.switch_s = None
    if before_s > SWITCH_S:
        sys.setswitchinterval(SWITCH_S)
        _state.switch_s = before_s
    _state.froze = gc.get_freeze_count() == 0
    if _state.froze:
        gc.collect(1)  # what is young and dead would be old when it is thawed, and old garbage is rarely looked for
        gc.freeze()
    gc.callbacks.append(_collecting)


def _restore() -> None:
    if _collecting in gc.callbacks:
        gc.callbacks.remove(_collecting)
    if _state.froze:
        gc.unfreeze()
        _state.n_thawed += 1
        if _state.n_thawed % COLLECT_EVERY == 0:
            gc.collect()  # what was thawed counts as old: left alone it would wait for long
    if _state.switch_s is not None and abs(sys.getswitchinterval() - SWITCH_S) < SWITCH_S / 100:
        sys.setswitchinterval(_state.switch_s)


def _collecting(phase: str, info: Mapping[str, Any]) -> None:
    """The collector's callback; it holds the interpreter from start to stop, so one start is enough."""
    del info
    now = time.monotonic_ns()
    if phase == "start":
        _state.began_ns = now
    elif _state.began_ns and now - _state.began_ns >= PAUSE_NS:
        for lags in _state.listeners:
            lags.append(("gc", _state.began_ns, now - _state.began_ns))


class _Timer:
    """A timer on one loop that sees how late it is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.listeners: list[Lags] = []
        self._loop = loop
        self._offset_ns, _ = _offset()
        self._due_ns = 0
        self._handle = self._again()

    def stop(self) -> None:
        """Tick no more."""
        self._handle.cancel()

    def look(self) -> None:
        """Log how late the timer is by now."""
        late_ns = time.monotonic_ns() - self._due_ns
        if late_ns > LATE_NS:
            self._tell("loop", self._due_ns, late_ns)

    def _again(self) -> asyncio.TimerHandle:
        self._due_ns = time.monotonic_ns() + round(TICK_S * 1e9)
        return self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self.look()
        offset_ns, error_ns = _offset()
        step_ns = abs(offset_ns - self._offset_ns)
        if step_ns > STEP_NS + error_ns:
            self._tell("clock", time.monotonic_ns(), step_ns)
            self._offset_ns = offset_ns
        self._handle = self._again()

    def _tell(self, *lag: Any) -> None:
        for lags in self.listeners:
            lags.append(lag)


def _offset() -> tuple[int, int]:
    """The wall clock minus CLOCK_MONOTONIC, ns, and by how much that may be wrong: a thread switch comes between."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    return wall - (before + after) // 2, after - before
