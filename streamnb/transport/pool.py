"""The connection pool: an httpx transport whose responses hand over socket reads with their stamps.

Knows httpx and httpcore. Must not know: APIs, recording, frames.
`response.extensions["streamnb.reads"]` is the async iterator of `Read`, `["streamnb.timings"]` the `Timings`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import httpcore
import httpx

from streamnb.transport.logs import unlogged
from streamnb.transport.network import StampedStream, StampingBackend

_QUEUE_READS = 256
_CORE_ERRORS = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """What one socket read brought of a body.

    Attributes:
        n: number of the item in its reply, from 0.
        t_ns: when the read completed, CLOCK_MONOTONIC ns.
        wire_bytes: bytes taken from the socket since the item before (HTTP framing and headers included).
        data: body bytes, still content-encoded.
    """

    n: int
    t_ns: int
    wire_bytes: int
    data: bytes


@dataclasses.dataclass(slots=True)
class Timings:
    """When the parts of one request happened. Durations in s, NaN when they did not happen; stamps in ns or None.

    Attributes:
        dns_s: name resolution. connect_s: TCP, without DNS. tls_s: TLS handshake.
        t0_ns: first byte of the request handed to a ready connection. sent_ns: last byte handed over.
        headers_ns: the read that completed the reply's headers.
        reused: True when the connection was open already.
        on_t0: told when t0 comes, on the loop thread.
    """

    dns_s: float = math.nan
    connect_s: float = math.nan
    tls_s: float = math.nan
    t0_ns: int | None = None
    sent_ns: int | None = None
    headers_ns: int | None = None
    reused: bool = True
    on_t0: Callable[[int], None] | None = None
    _started_ns: int = 0

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """The trace hook of httpcore (its `trace` extension)."""
        now = time.monotonic_ns()
        match event:
            case "connection.connect_tcp.started" | "connection.start_tls.started":
                self._started_ns = now
                self.reused = False
            case "connection.connect_tcp.complete":
                self.dns_s = info["return_value"].dns_s
                self.connect_s = (now - self._started_ns) / 1e9 - self.dns_s
            case "connection.start_tls.complete":
                self.tls_s = (now - self._started_ns) / 1e9
            case "http11.send_request_headers.started":
                self.t0_ns = now
                if self.on_t0 is not None:
                    self.on_t0(now)
            case "http11.send_request_body.complete":
                self.sent_ns = now
            case _:
                pass


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 on our own sockets. No redirects, no retries, no proxies from the environment (SAFETY S20, S23).

    Args:
        ssl_context: whom to trust; by default the authorities that httpx brings.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=None,
            max_keepalive_connections=20,  # unlimited keep-alive costs seconds of CPU at the streams' end
            keepalive_expiry=30.0,
            network_backend=StampingBackend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send; return as soon as the reply's headers are there."""
        timings = Timings(on_t0=request.extensions.get("streamnb.on_t0"))
        url = request.url
        core = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={**request.extensions, "trace": timings.trace, "streamnb.timings": timings},
        )
        request.extensions["streamnb.timings"] = timings  # so that a failed request tells how far it came
        with _as_httpx(request), unlogged():
            reply = await self._pool.handle_async_request(core)
        network: StampedStream = reply.extensions["network_stream"]
        info = network.get_extra_info("streamnb.read")
        timings.headers_ns = info.t_ns if info else None
        return httpx.Response(
            reply.status,
            headers=reply.headers,
            stream=_Body(reply, request),
            extensions={
                **reply.extensions,
                "streamnb.timings": timings,
                "streamnb.reads": _reads(reply, network, request),
            },
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: httpcore.Response, request: httpx.Request) -> None:
        self._reply = reply
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx(self._request):
            async for part in self._reply.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._reply.aclose()


class _Pump:
    """Groups the body parts that httpcore yields into one item per socket read.

    httpcore yields one part per HTTP chunk and reads the socket only when its parser has nothing left. So the
    parts between two socket reads belong to the first of them: they are put out when the second is asked for.
    """

    def __init__(self, network: StampedStream) -> None:
        self.queue: asyncio.Queue[Read | BaseException | None] = asyncio.Queue()
        self._network = network
        self._room = asyncio.Event()
        self._room.set()
        self._parts: list[bytes] = []
        self._t_ns = 0
        self._wire = 0
        self._n = 0

    def flush(self) -> None:
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._put(self._t_ns, data)
            self._parts = []
            if self.queue.qsize() >= _QUEUE_READS:
                self._room.clear()

    def end(self) -> None:
        """What came last; reads that brought no body any more (the end mark) are one empty item."""
        self.flush()
        info = self._network.get_extra_info("streamnb.read")
        if info.n_bytes > self._wire:
            self._put(info.t_ns, b"")

    def _put(self, t_ns: int, data: bytes) -> None:
        n_bytes = self._network.get_extra_info("streamnb.read").n_bytes
        self.queue.put_nowait(Read(self._n, t_ns, n_bytes - self._wire, data))
        self._n += 1
        self._wire = n_bytes

    def taken(self) -> None:
        if self.queue.qsize() < _QUEUE_READS // 2:
            self._room.set()

    async def run(self, reply: httpcore.Response) -> None:
        self._network.on_drained = self.flush
        end: BaseException | None = None
        try:
            with unlogged():
                async for part in reply.aiter_stream():
                    self._parts.append(part)
                    self._t_ns = self._network.get_extra_info("streamnb.read").t_ns
                    if not self._room.is_set():
                        await self._room.wait()
        except _CORE_ERRORS as error:
            end = error  # handed to the consumer, who raises it
        finally:
            self._network.on_drained = None
            self.end()
            self.queue.put_nowait(end)


async def _reads(reply: httpcore.Response, network: StampedStream, request: httpx.Request) -> AsyncIterator[Read]:
    pump = _Pump(network)
    task = asyncio.create_task(pump.run(reply))
    try:
        while (item := await pump.queue.get()) is not None:
            if isinstance(item, BaseException):
                with _as_httpx(request):
                    raise item
            pump.taken()
            yield item
        await task  # raises what nobody foresaw
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await reply.aclose()


@contextlib.contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """The exceptions of httpcore under httpx's names, which are the same."""
    try:
        yield
    except _CORE_ERRORS as error:
        raise getattr(httpx, type(error).__name__)(str(error), request=request) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error), request=request) from error


def framing(response: httpx.Response) -> Literal["chunked", "length", "close"]:
    """How the end of the body is marked (SAFETY R4): a cut looks like the end only with `close`."""
    headers = response.headers
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return "chunked"
    return "length" if "content-length" in headers else "close"
