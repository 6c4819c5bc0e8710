"""Pooled: httpcore's connections over sockets of ours, for what our own HTTP/1.1 does not do (proxies, HTTP/2).

Knows httpx and httpcore. Must not know: APIs, recording, frames. Stamps are those of this process, never the kernel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from streamnb.transport.logs import unlogged
from streamnb.transport.network import StampedStream, StampingBackend
from streamnb.transport.reads import Read, Take, Timings
from streamnb.transport.turns import turn

if TYPE_CHECKING:
    from streamnb.transport.lanes import Lanes

_QUEUE_READS = 256
_STARTED = frozenset({"connect_tcp.started", "connect_unix_socket.started", "send_request_headers.started"})
_CORE_ERRORS = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)


class PooledTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 or HTTP/2 by httpcore. No redirects, no retries, no proxies from the environment (SAFETY S20, S23).

    `response.extensions["streamnb.reads"]` are the reads of the body (`Reads`), `["streamnb.timings"]` the `Timings`.

    Args:
        ssl_context: whom to trust; by default the authorities that httpx brings.
        proxy: URL of a proxy, with its user and password if it wants them.
        uds: a unix socket to connect to, whatever host the URL names.
        http2: offer HTTP/2 to https servers (needs the package h2); each request then has a connection to itself.
    """

    def __init__(
        self,
        ssl_context: ssl.SSLContext | None = None,
        *,
        proxy: str | None = None,
        uds: str | None = None,
        http2: bool = False,
    ) -> None:
        context = ssl_context or httpx.create_ssl_context(trust_env=False)
        make = functools.partial(
            httpcore.AsyncConnectionPool,
            ssl_context=context,
            max_keepalive_connections=20,  # unlimited keep-alive costs seconds of CPU at the streams' end
            keepalive_expiry=30.0,
            http2=http2,
            network_backend=StampingBackend(context if http2 else None),
            proxy=_proxy(proxy),
            uds=uds,
        )
        self._proxy = () if proxy is None else (_netloc(proxy), f"the name {httpx.URL(proxy).host} ")
        self._pool: httpcore.AsyncConnectionPool | Lanes
        if http2:
            from streamnb.transport.lanes import Lanes

            self._pool = Lanes(functools.partial(make, max_connections=1))
        else:
            self._pool = make(max_connections=None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send; return as soon as the reply's headers are there."""
        timings = Timings(transport="httpcore", on_t0=request.extensions.get("streamnb.on_t0"))
        url = request.url
        core = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={**request.extensions, "trace": _tracer(timings), "streamnb.timings": timings},
        )
        request.extensions["streamnb.timings"] = timings  # so that a failed request tells how far it came
        with _as_httpx(request), self._blamed(), unlogged():
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
                "streamnb.reads": PooledReads(reply, network, request),
            },
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """A proxy that cannot be reached is the proxy's error, not that of the host behind it."""
        try:
            yield
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            if not str(error).startswith(self._proxy):
                raise
            raise httpcore.ProxyError(str(error)) from error


def _netloc(url: str) -> str:
    parts = httpx.URL(url)
    return f"{parts.host}:{parts.port or {'http': 80, 'https': 443}[parts.scheme]}"


def _proxy(url: str | None) -> httpcore.Proxy | None:
    if url is None:
        return None
    parts = httpx.Proxy(url)  # it takes user and password out of the address
    return httpcore.Proxy(str(parts.url), auth=parts.raw_auth)


def _tracer(timings: Timings) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """What httpcore is to call, by its extension `trace`, so that the timings are filled in."""
    started_ns = 0

    async def trace(event: str, info: dict[str, Any]) -> None:
        nonlocal started_ns
        now = time.monotonic_ns()
        by, _, what = event.partition(".")
        if timings.t0_ns is not None and what in _STARTED:  # httpcore knows that nothing was done; nothing is retried
            raise httpcore.ReadError("the server said goodbye and dropped the request")
        match what:
            case "connect_tcp.started" | "connect_unix_socket.started" | "start_tls.started":
                started_ns = now
                timings.reused = False
            case "connect_tcp.complete":
                timings.dns_s = info["return_value"].dns_s
                timings.connect_s = (now - started_ns) / 1e9 - timings.dns_s
            case "connect_unix_socket.complete":
                timings.connect_s = (now - started_ns) / 1e9
            case "start_tls.complete":
                timings.tls_s = (now - started_ns) / 1e9
            case "send_request_headers.started" if info["request"].method != b"CONNECT":
                if by == "http2":
                    timings.transport = "httpcore-h2"
                await turn()
                timings.begin(time.monotonic_ns())
            case "send_request_body.complete":
                timings.sent_ns = now
            case _:
                pass

    return trace


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

    httpcore yields one part per HTTP chunk or HTTP/2 frame and reads the socket only when its parser has nothing left.
    So the parts between two socket reads belong to the first of them: they are put out when the second is asked for.
    """

    def __init__(self, network: StampedStream) -> None:
        self.queue: asyncio.Queue[Read | BaseException | None] = asyncio.Queue()
        self.paused_s = 0.0
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
                    if not part:  # an HTTP/2 frame may be empty
                        continue
                    self._parts.append(part)
                    self._t_ns = self._network.get_extra_info("streamnb.read").t_ns
                    if not self._room.is_set():
                        paused_ns = time.monotonic_ns()
                        await self._room.wait()
                        self.paused_s += (time.monotonic_ns() - paused_ns) / 1e9
        except _CORE_ERRORS as error:
            end = error  # handed to the consumer, who raises it
        finally:
            self._network.on_drained = None
            self.end()
            self.queue.put_nowait(end)


class PooledReads:
    """The body of a reply, read by read (`Reads`)."""

    def __init__(self, reply: httpcore.Response, network: StampedStream, request: httpx.Request) -> None:
        self.end_ns: int | None = None
        self.trailers: list[tuple[bytes, bytes]] = []  # httpcore keeps them to itself
        self._pump = _Pump(network)
        self._items = _items(self._pump, reply, request)
        self._last_ns: int | None = None

    @property
    def paused_s(self) -> float:
        """How long nobody took what had come, s."""
        return self._pump.paused_s

    def __aiter__(self) -> AsyncIterator[Read]:
        return self

    async def __anext__(self) -> Read:
        try:
            read = await anext(self._items)
        except StopAsyncIteration:
            self.end_ns = self._last_ns
            raise
        self._last_ns = read.t_ns
        return read

    async def pour(self, take: Take) -> None:
        """See `Reads`; here a task stands between the socket and `take`."""
        async for read in self:
            take(read.t_ns, None, read.wire_bytes, read.data)

    async def aclose(self) -> None:
        """Let go of it, in the middle or at the end."""
        await self._items.aclose()


async def _items(pump: _Pump, reply: httpcore.Response, request: httpx.Request) -> AsyncGenerator[Read, None]:
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
