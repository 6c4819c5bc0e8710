"""Fronts: our transport as httpx wants it, and as httpx2 wants it. One core, two sets of classes.

Knows both packages' transport interface. Must not know: sockets, APIs, recording.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import ssl
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any, ClassVar, Final

from streamnb.errors import UsageError
from streamnb.transport.direct import Direct, Order
from streamnb.transport.flight import Flight
from streamnb.transport.reads import Timings

_PORTS: Final = {b"http": 80, b"https": 443}


def front(package: str) -> type[Any]:
    """The class of transports for a client package, made once.

    Args:
        package: `httpx` or `httpx2`: a client refuses the other's Response.

    Raises:
        UsageError: there is no such package, or it is not installed.
    """
    if package not in {"httpx", "httpx2"}:
        raise UsageError(f"there is a transport for httpx and one for httpx2, not for {package!r}.")
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UsageError(f"{package} is not installed: pip install {package}.") from error
    return _made(module)


@functools.cache
def _made(package: ModuleType) -> type[Any]:
    """The mixins below, on the base classes of a package."""
    body = type("Body", (_Body, package.AsyncByteStream), {})
    attributes = {"package": package, "body": body, "__doc__": _Transport.__doc__}
    return type("DirectTransport", (_Transport, package.AsyncBaseTransport), attributes)


class _Body:
    """The body as plain bytes, for who does not ask for its reads."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for read in self._flight:
            if read.data:
                yield read.data

    async def aclose(self) -> None:
        """Let go of it, in the middle or at the end."""
        await self._flight.aclose()


class _Transport:
    """HTTP/1.1 on our own sockets, each read stamped by the kernel where it can.

    `response.extensions["streamnb.reads"]` are the reads of the body (`Reads`), `["streamnb.timings"]` the `Timings`.
    Redirects, cookies, auth and hooks are the client's; nothing is retried.

    Args:
        ssl_context: whom to trust; by default the authorities that the package brings.
        kernel_stamps: False leaves the kernel's receive stamps off.
    """

    package: ClassVar[ModuleType]
    body: ClassVar[type[Any]]

    def __init__(self, ssl_context: ssl.SSLContext | None = None, *, kernel_stamps: bool = True) -> None:
        self._context = ssl_context
        self._kernel_stamps = kernel_stamps
        self._cores: dict[asyncio.AbstractEventLoop, Direct] = {}

    async def _core(self) -> Direct:
        loop = asyncio.get_running_loop()
        core = self._cores.get(loop)
        if core is None:
            for gone in [one for one in self._cores if one.is_closed()]:  # `asyncio.run` again and again
                await self._cores.pop(gone).aclose()
            core = self._cores[loop] = Direct(self._trust, kernel_stamps=self._kernel_stamps)
        return core

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self.package.create_ssl_context(trust_env=False)
        return self._context

    async def handle_async_request(self, request: Any) -> Any:
        """Send; return as soon as the reply's headers are there."""
        timings = Timings(on_t0=request.extensions.get("streamnb.on_t0"))
        request.extensions["streamnb.timings"] = timings  # so that a failed request tells how far it came
        flight = await (await self._core()).send(_order(self.package, request), timings)
        reply = flight.reply
        return self.package.Response(
            reply.status,
            headers=reply.headers,
            stream=self.body(flight),
            extensions={
                "http_version": reply.version,
                "reason_phrase": reply.reason,
                "network_stream": flight.network_stream,
                "streamnb.timings": timings,
                "streamnb.reads": flight,
            },
        )

    async def aclose(self) -> None:
        """Close every connection."""
        cores = list(self._cores.values())
        self._cores.clear()
        for core in cores:
            await core.aclose()


def _order(package: ModuleType, request: Any) -> Order:
    url = request.url
    scheme = url.raw_scheme
    if scheme not in _PORTS:
        raise package.UnsupportedProtocol(f"{scheme.decode()}:// is not http:// or https://", request=request)
    host = url.raw_host.decode("ascii")
    return Order(
        request.method,
        (scheme, host, url.port or _PORTS[scheme]),
        url.raw_path,
        request.headers.raw,
        aiter(request.stream),
        request.extensions.get("timeout", {}),
        functools.partial(_fault, package, request),
    )


def _fault(package: ModuleType, request: Any, kind: str, message: str) -> Exception:
    """The package's own error of that kind."""
    error: Exception = getattr(package, kind)(message, request=request)
    return error
