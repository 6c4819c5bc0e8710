"""Turns: requests leave one in each round of an event loop, so that sockets are read between any two of them.

Knows asyncio. Must not know: HTTP, connections, who asks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary


class _Queue:
    """Those who wait on one loop, in the order of asking."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await mine

    def _next(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0].done():  # it had its turn, or gave up
            waiting.popleft()
        if waiting:
            waiting[0].set_result(None)
            asyncio.get_running_loop().call_soon(self._next)


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()


async def turn() -> None:
    """Wait for a turn to send a request on a connection that is ready: a round of the loop, where nobody else waits.

    Were hundreds sent in one round, the first replies would wait in their sockets meanwhile, and several of their
    tokens would share a read and its stamp. Making connections ready is left out: by then no reply is under way.
    """
    loop = asyncio.get_running_loop()
    if loop not in _queues:
        _queues[loop] = _Queue()
    await _queues[loop].turn()
