"""Pacing: whether reads are understood as they come, or a little later, while this process has many streams to read.

Knows the loop's timers, how busy it is and how many runs there are. Must not know: what bytes mean, recording, HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

from streamnb import portal
from streamnb.errors import StreamnbError, UsageError, did_you_mean

Parse = Literal["auto", "arrival", "deferred"]

MANY: Final = 64
"""From so many runs on, understanding a read at once would make the next stream's stamp late."""

CATCH_UP_S: Final = 0.25
AT_ONCE: Final = 128
"""Reads that are caught up with in one go: other sockets wait meanwhile."""
FULL: Final = 0.7
"""A loop that is busier than this has no time to catch up: what is on disk can be understood at the end."""

_runs: dict[object, bool] = {}
"""Every run under way, and whether its reads have the kernel's stamps."""


_parts = ((n * 0.618_034) % 1 + 0.1 for n in itertools.count())
"""Streams that begin together shall not catch up together: each has its own place in the quarter of a second."""


_pacers: set[Pacer] = set()


@contextlib.contextmanager
def under_way(*, kernel_stamps: bool) -> Iterator[None]:
    """A run, from its start to its end: on the loop thread.

    With very many of them the loop may look at its sockets a millisecond late, as long as no stamp depends on it.

    Args:
        kernel_stamps: its reads are stamped by the kernel.
    """
    run = object()
    _runs[run] = kernel_stamps
    _settle()
    try:
        yield
    finally:
        del _runs[run]
        _settle()


def _settle() -> None:
    many = len(_runs) >= MANY
    portal.be_patient(many and all(_runs.values()))
    if len(_runs) in (MANY - 1, MANY):  # it may just have become many, or few
        for pacer in _pacers:
            pacer.settle()


def checked(parse: str) -> Parse:
    """A word for when to understand what arrives.

    Raises:
        UsageError: there is no such word.
    """
    for known in get_args(Parse):
        if parse == known:
            return known  # type: ignore[no-any-return]  # one of the literals
    raise UsageError(f"parse: there is no {parse!r}.{did_you_mean(parse, get_args(Parse))}")


class Pacer:
    """Decides for one reply; used on the loop thread.

    Args:
        parse: `arrival`: at once; `deferred`: at the end of the reply; `auto`: at once, or every quarter of a second
            while there are many runs, or at the end where even that is too much.
        tick: called every quarter of a second; whether what was put off is to be understood now.
        fail: told of the error when that goes wrong in between, once.

    Attributes:
        deferring: a read is put off now.
    """

    def __init__(self, parse: Parse, tick: Callable[[bool], None], fail: Callable[[StreamnbError], None]) -> None:
        self._parse = parse
        self._tick = tick
        self._fail = fail
        self._timer: asyncio.TimerHandle | None = None
        self.deferring = False
        self.settle()

    def settle(self) -> None:
        """The number of runs has changed."""
        self.deferring = len(_runs) >= MANY if self._parse == "auto" else self._parse == "deferred"

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, what was put off is caught up with."""
        if self._parse != "arrival":
            self._again(next(_parts) * CATCH_UP_S)
        _pacers.add(self)
        self.settle()
        try:
            yield
        finally:
            _pacers.discard(self)
            if self._timer is not None:
                self._timer.cancel()

    def _again(self, after_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(after_s, self._look)

    def _look(self) -> None:
        self._again(CATCH_UP_S)
        try:
            self._tick(self._parse == "auto" and portal.busy() < FULL)
        except StreamnbError as error:
            if self._timer is not None:
                self._timer.cancel()
            self._fail(error)
