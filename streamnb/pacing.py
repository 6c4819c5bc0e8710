"""Pacing: whether reads are understood as they come, or a little later, while this process has many streams to read.

Knows the loop's timers, how busy it is and how many runs there are. Must not know: what bytes mean, recording, HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Final, Literal, Protocol, get_args

from streamnb import portal
from streamnb.errors import StreamnbError, UsageError, did_you_mean

Parse = Literal["auto", "arrival", "deferred"]

MANY: Final = 64
"""From so many runs on, understanding a read at once would make the next stream's stamp late."""

CATCH_UP_S: Final = 0.25
AT_ONCE: Final = 128
"""Reads that are caught up with in one go: other sockets wait meanwhile."""
SOON_S: Final = 0.01
"""From one go to the next, where a reply has paused and more of it waits."""
FULL: Final = 0.7
"""A loop that is busier than this does not catch up for those who watch: what is on disk can be understood later."""

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


class Backlog(Protocol):
    """The reads of one reply that were put off."""

    @property
    def waiting(self) -> bool:
        """Whether there are any."""
        ...

    @property
    def heavy(self) -> bool:
        """Whether they are too many bytes to be left for later."""
        ...

    def paused(self) -> bool:
        """Whether no read came since this was asked last."""
        ...

    def catch_up(self, most: int | None = None) -> None:
        """Understand the first of them, at most so many."""
        ...


class Pacer:
    """Decides for one reply; used on the loop thread.

    What is put off is understood when the reply begins, pauses or ends, when it becomes too much, and every quarter of
    a second where somebody watches.

    Args:
        parse: `arrival`: at once; `deferred`: later, as if nobody watched; `auto`: at once, or later while there are
            many runs.
        backlog: what is put off.
        fail: told of the error when that goes wrong in between, once.
        watched: somebody waits for what it says.

    Attributes:
        deferring: a read is put off now.
    """

    def __init__(
        self, parse: Parse, backlog: Backlog, fail: Callable[[StreamnbError], None], *, watched: bool = True
    ) -> None:
        self._parse = parse
        self._backlog = backlog
        self._fail = fail
        self._watched = watched and parse == "auto"
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False  # the clock for the first data is another one than that for silence
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
            self._rest()

    def examine(self) -> bool:
        """Understand some of what was put off, whatever speaks against it; True when there was any."""
        if not self._backlog.waiting:
            return False
        try:
            self._backlog.catch_up(AT_ONCE)
        except StreamnbError as error:
            self._rest()
            self._fail(error)
        return True

    def _look(self) -> None:
        paused = self._backlog.paused()
        self._again(SOON_S if paused and self._backlog.waiting else CATCH_UP_S)
        if not self._begun or paused or self._backlog.heavy or (self._watched and portal.busy() < FULL):
            self._begun = self.examine() or self._begun

    def _again(self, after_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(after_s, self._look)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
