"""Answers that run in the background: begun by a dispatch, seen by whoever subscribes to their channel.

Knows the time since the beginning. Must not know: what an answer is made of, HTTP, sockets.
"""

from __future__ import annotations

import collections
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from streamnb.simulator.chatbotkit_lines import Encode
from streamnb.simulator.scenarios import Out

_MOST: Final = 1000


class Dispatched:
    """One answer that began when it was dispatched."""

    def __init__(self, outs: Callable[[Encode], Iterator[Out]]) -> None:
        """Begin; `outs` makes the writes of the answer, the same for each subscriber."""
        self._outs = outs
        self._began_s = time.monotonic()

    def seen(self, encode: Encode, history: int) -> Iterator[Out]:
        """Yield what a subscriber of this moment sees: the last events of the past, then the others when they are due.

        There is no end: the channel stays open until the client goes or the platform's limit comes.
        """
        elapsed_s = time.monotonic() - self._began_s
        past: collections.deque[Out] = collections.deque(maxlen=history)
        for out in self._outs(functools.partial(_wrapped, encode)):
            for block in out.blocks:
                event = Out(max(0.0, out.at_s - elapsed_s), (block,), torn=out.torn)
                if out.at_s <= elapsed_s:
                    past.append(event)
                else:
                    yield from _drained(past)
                    yield event
        yield from _drained(past)
        yield Out(math.inf, ())


class Dispatches:
    """The newest dispatched answers by key and channel."""

    def __init__(self) -> None:
        self._by_channel: collections.OrderedDict[tuple[str, str], Dispatched] = collections.OrderedDict()

    def keep(self, key: str, channel: str, outs: Callable[[Encode], Iterator[Out]]) -> None:
        """Begin an answer on a channel."""
        self._by_channel[key, channel] = Dispatched(outs)
        while len(self._by_channel) > _MOST:
            self._by_channel.popitem(last=False)

    def find(self, key: str, channel: str) -> Dispatched | None:
        """Return the answer on a channel, if there is one for this key."""
        return self._by_channel.get((key, channel))


def _drained(past: collections.deque[Out]) -> Iterator[Out]:
    while past:
        yield past.popleft()


def _wrapped(encode: Encode, kind: str, data: Any, *, timed: bool = True) -> bytes:  # noqa: ARG001 - the time is lost
    return encode("message", {"type": kind, "data": data}, timed=False)
