"""Lanes: HTTP/2 connections of httpcore that carry one request at a time.

Knows httpcore and h2, which is optional: only the pool imports this, when it is needed. Must not know: APIs, recording.
Streams that share a connection wait for each other, and that would be measured as the server's doing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import h2.events
import h2.exceptions
import httpcore

from streamnb.transport.network import StampedStream

_KEPT: Final = 20  # idle ones
_SHORT: Final = 100  # bytes of a farewell that are shown


@dataclasses.dataclass(eq=False)
class _Lane:
    """A pool that never has more than one connection.

    Attributes:
        origin: where it goes.
        network: its connection, once a reply came by it.
    """

    pool: httpcore.AsyncConnectionPool
    origin: httpcore.Origin
    network: StampedStream | None = None

    def is_open(self) -> bool:
        """Whether its connection can take another request."""
        connections = self.pool.connections
        return (
            len(connections) == 1
            and connections[0].is_idle()
            and not connections[0].has_expired()
            and self.network is not None
            and self.network.reusable
        )


class Lanes:
    """As a pool of httpcore to its caller; each request has a connection to itself until its reply is closed.

    A connection is used again only after a reply that was read to its end.

    Args:
        make: a new pool, for one connection.
    """

    def __init__(self, make: Callable[[], httpcore.AsyncConnectionPool]) -> None:
        self._make = make
        self._all: set[_Lane] = set()
        self._idle: list[_Lane] = []  # the latest is the last

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send; return as soon as the reply's headers are there."""
        lane = await self._take(request.url.origin)
        try:
            with _in_words():
                reply = await lane.pool.handle_async_request(request)
        except BaseException:
            await self._close(lane)
            raise
        lane.network = reply.extensions["network_stream"]
        content = _Loan(reply, lane, self._back)
        return httpcore.Response(reply.status, headers=reply.headers, content=content, extensions=reply.extensions)

    async def aclose(self) -> None:
        """Close every connection."""
        for lane in list(self._all):
            await self._close(lane)

    async def _take(self, origin: httpcore.Origin) -> _Lane:
        for lane in [one for one in self._idle if not one.is_open()]:
            await self._close(lane)
        for lane in reversed(self._idle):
            if lane.origin == origin and lane.network is not None:
                self._idle.remove(lane)
                lane.network.begin_again()
                return lane
        lane = _Lane(self._make(), origin)
        self._all.add(lane)
        return lane

    async def _back(self, lane: _Lane, whole: bool) -> None:
        """A reply was let go of."""
        if not whole or not lane.is_open() or lane not in self._all:
            await self._close(lane)
            return
        self._idle.append(lane)
        if len(self._idle) > _KEPT:
            await self._close(self._idle[0])

    async def _close(self, lane: _Lane) -> None:
        self._all.discard(lane)
        if lane in self._idle:
            self._idle.remove(lane)
        await lane.pool.aclose()


class _Loan:
    """A reply's body; closed, it gives its connection back."""

    def __init__(self, reply: httpcore.Response, lane: _Lane, back: Callable[[_Lane, bool], Awaitable[None]]) -> None:
        self._reply = reply
        self._lane = lane
        self._back = back
        self._whole = False
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _in_words():
            async for part in self._reply.aiter_stream():
                yield part
        self._whole = True

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._reply.aclose()
            finally:
                await self._back(self._lane, self._whole)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """The ways HTTP/2 can end, which httpcore shows as h2's objects, in words; h2's own errors as httpcore's."""
    try:
        yield
    except httpcore.RemoteProtocolError as error:
        match error.args:
            case [h2.events.StreamReset(error_code=code)]:
                raise httpcore.ReadError(f"the server reset the stream ({_name_of(code)})") from error
            case [h2.events.ConnectionTerminated(error_code=code, additional_data=words)]:
                raise httpcore.ReadError(f"the server said goodbye ({_name_of(code)}{_shown(words)})") from error
        raise
    except httpcore.ConnectionNotAvailable as error:
        raise httpcore.ReadError("the server said goodbye and dropped the request") from error
    except h2.exceptions.H2Error as error:
        raise httpcore.RemoteProtocolError(str(error) or type(error).__name__) from error


def _name_of(code: object) -> object:
    return getattr(code, "name", code)


def _shown(words: bytes | None) -> str:
    if not words or len(words) > _SHORT or not (text := words.decode("latin-1")).isprintable():
        return ""
    return f": {text}"
