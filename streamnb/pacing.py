"""Pacing: whether reads are understood as they come, or a little later, while this process has many streams to read.

Knows the loop's timers and how many streams there are. Must not know: what bytes mean, recording, HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

from streamnb.errors import StreamnbError, UsageError, did_you_mean

Parse = Literal["auto", "arrival", "deferred"]

MANY: Final = 64
"""From so many streams on, understanding a read at once would make the next stream's stamp late."""

CATCH_UP_S: Final = 0.25

_open: set[Pacer] = set()


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
            while there are many streams.
        tick: called every quarter of a second; whether what was put off is to be understood now.
        fail: told of the error when that goes wrong in between, once.
    """

    def __init__(self, parse: Parse, tick: Callable[[bool], None], fail: Callable[[StreamnbError], None]) -> None:
        self._parse = parse
        self._tick = tick
        self._fail = fail
        self._timer: asyncio.TimerHandle | None = None
        self.deferring = parse == "deferred"

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, it counts as a stream."""
        _open.add(self)
        try:
            self._look()
            yield
        finally:
            _open.discard(self)
            if self._timer is not None:
                self._timer.cancel()

    def _look(self) -> None:
        if self._parse == "arrival":
            return
        auto = self._parse == "auto"
        self.deferring = not auto or len(_open) >= MANY
        self._timer = asyncio.get_running_loop().call_later(CATCH_UP_S, self._look)
        try:
            self._tick(auto)
        except StreamnbError as error:
            self._timer.cancel()
            self._fail(error)
