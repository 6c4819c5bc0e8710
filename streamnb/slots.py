"""Slots: how many streams may run at once per host and key; the others wait their turn, first come, first served.

Knows asyncio futures. Must not know: HTTP, providers, clocks. All of it happens on the loop thread.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
from collections.abc import AsyncIterator

_running: collections.Counter[str] = collections.Counter()
_waiting: dict[str, collections.deque[asyncio.Future[None]]] = {}


def name_of(host: str, secrets: tuple[str, ...]) -> str:
    """What streams that share a limit have in common; keys go in hashed."""
    return hashlib.blake2b("\0".join((host, *secrets)).encode(), digest_size=16).hexdigest()


def free(name: str, most: int) -> bool:
    """True when a stream would get its slot at once."""
    return _running[name] < most and not _waiting.get(name)


@contextlib.asynccontextmanager
async def slot(name: str, most: int) -> AsyncIterator[None]:
    """Wait for one of `most` slots, hold it, give it back."""
    if not free(name, most):
        await _turn(name, most)
    _running[name] += 1
    try:
        yield
    finally:
        _running[name] -= 1
        _call_next(name)


async def _turn(name: str, most: int) -> None:
    """Until a slot is free and nobody waits longer. Who asked for more slots than others may pass none of them."""
    queue = _waiting.setdefault(name, collections.deque())
    mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    queue.append(mine)
    try:
        while _running[name] >= most or queue[0] is not mine:
            await mine
            mine = queue[0] = asyncio.get_running_loop().create_future()
    finally:
        queue.remove(mine)
        if not queue:
            _waiting.pop(name, None)
        _call_next(name)  # who looks again by itself: there may be room for two, or this one gave up


def _call_next(name: str) -> None:
    queue = _waiting.get(name)
    if queue and not queue[0].done():
        queue[0].set_result(None)
