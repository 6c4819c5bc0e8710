"""A flight: one request going out on a link and the reply that comes back, read by read.

Knows HTTP's order of things. Must not know: who dials, who keeps connections, httpx, what a body means.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from streamnb.transport.dialling import reason
from streamnb.transport.link import Link
from streamnb.transport.reads import Read, Take, Timings
from streamnb.transport.reply import Reply

HIGH_WATER_BYTES: Final = 1024 * 1024
_ERROR: Final = 400

Fault = Callable[[str, str], Exception]
"""Makes an error from the name of httpx's class for it and a message."""


class Flight:
    """One request and its reply; also the reads of its body (`Reads`).

    Args:
        link: belongs to the flight until `landed` is called.
        reply: reads what comes.
        fault: makes the error of a client package from the name of its class and a message.
        timings: filled in as things happen.
        landed: told once, when the reply is over: whether the connection may be used again.
        silence_s: most seconds without a byte; None: any time.
    """

    def __init__(  # noqa: PLR0913  # everything is handed in
        self,
        link: Link,
        reply: Reply,
        timings: Timings,
        *,
        fault: Fault,
        landed: Callable[[bool], None],
        silence_s: float | None = None,
    ) -> None:
        self.reply = reply
        self.timings = timings
        self.end_ns: int | None = None
        self.paused_s = 0.0
        self._link = link
        self._fault = fault
        self._landed = landed
        self._loop = asyncio.get_running_loop()
        self._take: Take | None = None
        self._queue: deque[tuple[int, int | None, int, bytes]] = deque()
        self._queued = 0
        self._paused_ns: int | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._n = 0
        self._wire = 0
        self._last: tuple[int, int | None] = (0, None)
        self._sent = False
        self._refused = False
        self._over = False
        self._error: Exception | None = None
        self._silence_s = silence_s
        self._timer: asyncio.TimerHandle | None = None
        self._since_ns = 0  # we listen since then
        link.on_bytes, link.on_end = self._got, self._ended

    @property
    def network_stream(self) -> Link:
        """The connection it came on, as httpx's extension of that name."""
        return self._link

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Of a chunked body, once it is over."""
        return self.reply.trailers

    # -- out ----------------------------------------------------------------------------------------------------------

    async def send(
        self, head: bytes, body: AsyncIterator[bytes], *, chunked: bool, limit_s: float | None = None
    ) -> None:
        """Send the request. A refusal that comes before all of it was taken ends the sending.

        A connection that breaks meanwhile is no error yet: the server may have replied before it closed.

        Args:
            head: request line and headers, as they go out.
            body: its pieces.
            chunked: each piece goes out as an HTTP chunk.
            limit_s: longest wait until the server has taken one piece of the body.

        Raises:
            httpx.WriteTimeout: it took longer; also whatever `body` raises.
        """
        first = await anext(body, b"")
        self.timings.begin(time.monotonic_ns())
        wanted = await self._put(head + (_chunk(first) if chunked and first else first), limit_s)
        while wanted and (part := await anext(body, None)) is not None:
            wanted = not part or await self._put(_chunk(part) if chunked else part, limit_s)
        if chunked and wanted:
            wanted = await self._put(b"0\r\n\r\n", limit_s)
        if wanted:
            self.timings.sent_ns = self._link.sent_ns
            self._sent = True
        self._arm()

    async def _put(self, data: bytes, limit_s: float | None) -> bool:
        """Send; False when the server wants no more of it, or the connection broke."""
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._link.send(data)
        except OSError:
            if limit.expired():
                raise self._fault("WriteTimeout", f"could not send for {limit_s:g} s") from None
            return False
        return not self._refused

    async def head(self) -> None:
        """Wait until the reply's head is whole.

        Raises:
            httpx.TransportError: it never will be.
        """
        while not self.reply.headed:
            if self._error is not None:
                raise self._error
            await self._wait()

    # -- in: called by the link, on the loop --------------------------------------------------------------------------

    def _got(self, data: bytes, t_ns: int, kernel_ns: int | None) -> None:
        try:
            self._hear(data, t_ns, kernel_ns)
        except Exception as error:  # noqa: BLE001  # raised where somebody waits: in `head`, `pour` or the iteration
            self._stop(error)

    def _hear(self, data: bytes, t_ns: int, kernel_ns: int | None) -> None:
        reply = self.reply
        headed = reply.headed
        self._wire += len(data)
        self._last = (t_ns, kernel_ns)
        body = reply.feed(data)
        if not headed and reply.headed:
            timings = self.timings
            timings.headers_ns = kernel_ns or t_ns
            if not self._sent and reply.status >= _ERROR:
                self._refused = True
                self._link.give_up_sending()
            self._wake()
        if body or reply.done:
            wire, self._wire = self._wire, 0
            self._give(t_ns, kernel_ns, wire, body)
        if reply.error is not None:
            self._fail("RemoteProtocolError", reply.error)
        elif reply.done and not self._over:
            self._land()

    def _give(self, t_ns: int, kernel_ns: int | None, wire: int, body: bytes) -> None:
        if self._take is not None:
            self._take(t_ns, kernel_ns, wire, body)
            return
        self._queue.append((t_ns, kernel_ns, wire, body))
        self._queued += len(body)
        if self._queued > HIGH_WATER_BYTES and self._paused_ns is None and not self.reply.done:
            self._paused_ns = time.monotonic_ns()
            self._link.pause()
        self._wake()

    def _ended(self, error: OSError | None) -> None:
        if self._over:
            return
        if error is not None:
            self._fail("ReadError", reason(error))
            return
        self.reply.eof()
        if self.reply.error is not None:
            self._fail("RemoteProtocolError", self.reply.error)
        else:
            self._last = (time.monotonic_ns(), None)
            self._rest()
            if not self._over:  # the taker may have had enough
                self._land()

    def _land(self) -> None:
        """The reply is whole."""
        self._over = True
        t_ns, kernel_ns = self._last
        self.end_ns = kernel_ns or t_ns
        self._disarm()
        reusable = self.reply.reusable and self._sent and not self._link.closed
        self._link.on_bytes, self._link.on_end = _stray, _gone
        self._resume()
        self._landed(reusable)
        self._wake()

    def _fail(self, kind: str, message: str) -> None:
        self._rest()
        self._stop(self._fault(kind, message))

    def _rest(self) -> None:
        """Reads that brought no body any more (half a chunk size, an end mark) are one empty item."""
        if self._wire and self.reply.headed:
            wire, self._wire = self._wire, 0
            try:
                self._give(*self._last, wire, b"")
            except Exception as error:  # noqa: BLE001  # as in `_got`: the loop has no use for it, `pour` has
                self._stop(error)

    def _stop(self, error: Exception | None) -> None:
        """Nothing more is read: it broke, or nobody wants it."""
        if self._over:
            return
        self._over = True
        self._error = error
        self._disarm()
        self._link.close()
        self._resume()
        self._landed(False)  # noqa: FBT003  # a callable type has no names
        self._wake()

    # -- the silence --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._silence_s is not None and not self._over:
            self._since_ns = time.monotonic_ns()
            self._timer = self._loop.call_later(self._silence_s, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """The one timer: it moves on by itself to the time at which the silence would be too long."""
        silence_s = self._silence_s or 0.0
        left_s = silence_s - (time.monotonic_ns() - max(self._last[0], self._since_ns)) / 1e9
        if self._paused_ns is not None:
            left_s = silence_s  # we are the ones who do not listen
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._fail("ReadTimeout", f"no byte for {silence_s:g} s")

    # -- the body, for whoever reads ----------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[Read]:
        try:
            while True:
                yield await anext(self)
        except StopAsyncIteration:
            return
        finally:
            self._stop(None)  # who leaves early closes the socket

    async def __anext__(self) -> Read:
        while not self._queue:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._wait()
        t_ns, kernel_ns, wire, body = self._next()
        n, self._n = self._n, self._n + 1
        return Read(n, t_ns, wire, body, kernel_ns)

    async def pour(self, take: Take) -> None:
        """See `Reads`."""
        try:
            while self._queue:
                take(*self._next())
        except BaseException:
            self._stop(None)
            raise
        self._take = take
        try:
            while not self._over:
                await self._wait()
        finally:
            self._take = None
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """See `Reads`."""
        self._stop(None)

    def abandon(self) -> None:
        """Close it under whoever still waits for it: to him that is an error, not the end of the body."""
        self._fail("ReadError", "the transport was closed")

    def _next(self) -> tuple[int, int | None, int, bytes]:
        item = self._queue.popleft()
        self._queued -= len(item[3])
        if self._queued < HIGH_WATER_BYTES // 2:
            self._resume()
        return item

    def _resume(self) -> None:
        if self._paused_ns is not None:
            now_ns = time.monotonic_ns()
            self.paused_s += (now_ns - self._paused_ns) / 1e9
            self._paused_ns = None
            self._since_ns = now_ns
            self._link.resume()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._stop(None)
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def _stray(data: bytes, t_ns: int, kernel_ns: int | None) -> None:
    """Bytes after a whole reply; who keeps the connection listens for them himself."""
    del data, t_ns, kernel_ns


def _gone(error: OSError | None) -> None:
    del error
