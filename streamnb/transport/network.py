"""Sockets that stamp: an httpcore network backend whose reads carry the time at which the loop got them.

Knows asyncio transports. Must not know: HTTP, APIs, recording. Stamps are CLOCK_MONOTONIC ns, taken in the
protocol callback: before any parsing and before any task is woken (PERFORMANCE.md 6).
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import ssl
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import httpcore

from streamnb.transport.dialling import DialError, dial, reason
from streamnb.transport.frames import Frames

BUFFER_BYTES: Final = 64 * 1024
HIGH_WATER_BYTES: Final = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class ReadInfo:
    """The socket read that a stream handed out last.

    Attributes:
        t_ns: when the event loop received it, CLOCK_MONOTONIC ns.
        n_bytes: bytes read for the reply so far, this read included (after TLS): since the latest write, as HTTP/1.1
            answers one request at a time; with HTTP/2 since `begin_again`, or all of the connection's.
    """

    t_ns: int
    n_bytes: int


class _Protocol(asyncio.BufferedProtocol):
    """Receives into one buffer, stamps, queues; pauses the socket when nobody takes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.queue: deque[tuple[int, bytes]] = deque()
        self.eof = False
        self.lost: BaseException | None = None
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._queued = 0
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP transports read and write

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        t_ns = time.monotonic_ns()
        self.queue.append((t_ns, bytes(self._view[:nbytes])))
        self._queued += nbytes
        if self._queued > HIGH_WATER_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self.eof = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.eof = True
        self.lost = exc
        self._can_write.set()
        self._wake()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> tuple[int, bytes]:
        """The oldest queued read; b"" at the end of the connection."""
        while not self.queue:
            if self.eof:
                if self.lost is not None:
                    raise httpcore.ReadError(reason(self.lost)) from self.lost
                return time.monotonic_ns(), b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self.pop()

    def pop(self) -> tuple[int, bytes]:
        """The oldest queued read, which is there."""
        t_ns, data = self.queue.popleft()
        self._queued -= len(data)
        if self._paused and self._queued < HIGH_WATER_BYTES // 2 and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        return t_ns, data

    async def write(self, data: bytes) -> None:
        """Hand bytes to the socket and wait while its buffer is full."""
        if self.transport is None or self.is_closing():
            raise httpcore.WriteError("the connection is closed")
        self.transport.write(data)
        await self._can_write.wait()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self.transport is None or self.transport.is_closing()


class StampedStream(httpcore.AsyncNetworkStream):
    """One connection. `get_extra_info("streamnb.read")` is the `ReadInfo` of the last read.

    Attributes:
        on_drained: called when the reader asks for more: everything read before has been parsed.
        dns_s: how long the name took to resolve, s.
    """

    def __init__(self, protocol: _Protocol, dns_s: float, http2: ssl.SSLContext | None = None) -> None:
        self._protocol = protocol
        self._http2 = http2
        self._frames: Frames | None = None
        self._n_bytes = 0
        self._info: ReadInfo | None = None
        self.dns_s = dns_s
        self.on_drained: Any = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        """One socket read, whole, or one HTTP/2 frame of it; `max_bytes` is at least the buffer's size in httpcore."""
        del max_bytes
        if self._frames is None:
            return await self._read(timeout)
        while (frame := self._frames.pop()) is None:
            if self._frames.fault is not None:
                raise httpcore.RemoteProtocolError(self._frames.fault)
            data = await self._read(timeout)
            if not data:
                return self._frames.last()
            self._frames.feed(data)
        return frame

    async def _read(self, timeout: float | None) -> bytes:  # noqa: ASYNC109  # as above
        if self.on_drained is not None:
            self.on_drained()
        try:
            async with asyncio.timeout(timeout):
                t_ns, data = await self._protocol.take()
        except TimeoutError:
            raise httpcore.ReadTimeout(f"no byte for {timeout} s") from None
        if data:
            self._n_bytes += len(data)
            self._info = ReadInfo(t_ns, self._n_bytes)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        """Write everything. With HTTP/2 a closed connection is left to the reader, for whom there may be more."""
        if self._frames is None:
            self._n_bytes = 0
        elif not buffer or self._protocol.is_closing():
            return
        try:
            async with asyncio.timeout(timeout):
                await self._protocol.write(buffer)
        except TimeoutError:
            raise httpcore.WriteTimeout(f"could not send for {timeout} s") from None

    async def aclose(self) -> None:
        """Close the socket now; what a server does not take any more is not waited for (SAFETY R10)."""
        transport = self._protocol.transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
    ) -> StampedStream:
        """The same connection under TLS; stamps are then taken after decryption."""
        loop = asyncio.get_running_loop()
        transport = self._protocol.transport
        if transport is None:
            raise httpcore.ConnectError("the connection is closed")
        if ssl_context is self._http2:
            ssl_context.set_alpn_protocols(["h2", "http/1.1"])  # httpcore names the old one first
        try:
            async with asyncio.timeout(timeout):
                secured = await loop.start_tls(
                    transport, self._protocol, ssl_context, server_hostname=server_hostname, ssl_shutdown_timeout=1.0
                )
        except TimeoutError:
            transport.abort()
            raise httpcore.ConnectTimeout(f"TLS took longer than {timeout} s") from None
        except (OSError, ssl.SSLError) as error:
            transport.abort()
            raise httpcore.ConnectError(f"TLS: {reason(error)}") from error
        self._protocol.transport = secured
        if self.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            self._frames = Frames()
            self._n_bytes = 0  # a proxy's answer is not the server's
        return self

    @property
    def reusable(self) -> bool:
        """Whether, as far as this shows, another request may follow; what came by itself after a reply is taken in."""
        if self._frames is None:
            return True  # httpcore knows
        while self._protocol.queue:
            self._frames.feed(self._protocol.pop()[1])
        return not self._protocol.eof and self._frames.reusable

    def begin_again(self) -> None:
        """Another request follows: what came before is not of its reply."""
        if self._frames is not None and self._info is not None:
            self._frames.begin_again()
            self._n_bytes = 0
            self._info = ReadInfo(self._info.t_ns, 0)

    def get_extra_info(self, info: str) -> Any:
        """`streamnb.read`, `is_readable`, and what asyncio's transport knows."""
        match info:
            case "streamnb.read":
                return self._info
            case "is_readable":
                return self._protocol.eof or bool(self._protocol.queue)
            case "server_addr":
                info = "peername"
            case "client_addr":
                info = "sockname"
            case _:
                pass
        transport = self._protocol.transport
        return transport.get_extra_info(info) if transport is not None else None


class StampingBackend(httpcore.AsyncNetworkBackend):
    """Connects with `dial`.

    Args:
        http2: the TLS context of servers that are offered HTTP/2 before HTTP/1.1; None: nobody is.
    """

    def __init__(self, http2: ssl.SSLContext | None = None) -> None:
        self._http2 = http2

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> StampedStream:
        """A connection, or httpcore.ConnectError / ConnectTimeout with the reason."""
        del local_address, socket_options
        try:
            async with asyncio.timeout(timeout):
                sock, dns_s = await dial(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host}:{port} did not answer within {timeout:g} s") from None
        except DialError as error:
            raise httpcore.ConnectError(str(error)) from error
        _, protocol = await asyncio.get_running_loop().create_connection(_Protocol, sock=sock)
        return StampedStream(protocol, dns_s, self._http2)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
        socket_options: Iterable[Any] | None = None,
    ) -> StampedStream:
        """The same over a socket in the file system."""
        del socket_options
        loop = asyncio.get_running_loop()
        if not hasattr(loop, "create_unix_connection"):
            raise httpcore.ConnectError("there are no unix sockets on this system")
        try:
            async with asyncio.timeout(timeout):
                _, protocol = await loop.create_unix_connection(_Protocol, path)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{path} did not answer within {timeout:g} s") from None
        except OSError as error:
            raise httpcore.ConnectError(f"{path}: {reason(error)}") from error
        return StampedStream(protocol, math.nan, self._http2)

    async def sleep(self, seconds: float) -> None:
        """As asyncio's."""
        await asyncio.sleep(seconds)
