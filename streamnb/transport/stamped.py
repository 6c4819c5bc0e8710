"""Which transport carries a request: our own HTTP/1.1, or httpcore for what it does not do.

Knows both and when each can serve. Must not know: APIs, recording, what bytes mean.
"""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any, Literal, get_args

import httpx

from streamnb.errors import UsageError, did_you_mean
from streamnb.redaction import redact_url
from streamnb.transport import stamps
from streamnb.transport.fronts import front
from streamnb.transport.pool import PooledTransport

Kind = Literal["auto", "direct", "httpcore"]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """How requests reach a server.

    Attributes:
        transport: `direct` (our own HTTP/1.1), `httpcore` (its pool over sockets of ours), `auto`: the first that can.
        kernel_stamps: ask the kernel when bytes came (Linux, `direct` only).
        proxy: URL of an HTTP proxy; None: none, whatever the environment says (SAFETY S23).
        ca: file of certificates to trust instead of the authorities that come with httpx.
        uds: a unix socket on which the server listens (the URL still says scheme, host and path).
        http2: offer HTTP/2 to the server, which may still choose HTTP/1.1; https only.
    """

    transport: Kind = "auto"
    kernel_stamps: bool = True
    proxy: str | None = None
    ca: str | None = None
    uds: str | None = None
    http2: bool = False

    @property
    def pooled(self) -> bool:
        """Whether only httpcore's pool can do it, or it was asked for."""
        return self.transport == "httpcore" or self.proxy is not None or self.uds is not None or self.http2

    @property
    def stamps(self) -> str:
        """Where stamps come from, as far as one can know before: `kernel` or `read`."""
        return "kernel" if self.kernel_stamps and not self.pooled and stamps.SUPPORTED else "read"

    def checked(self) -> Route:
        """The same, if it can be.

        Raises:
            UsageError: it contradicts itself.
        """
        if self.transport not in get_args(Kind):
            raise UsageError(f"there is no transport {self.transport!r}.{did_you_mean(self.transport, get_args(Kind))}")
        if self.transport == "direct" and self.pooled:
            raise UsageError(
                "the direct transport knows no proxies and no unix sockets, and no HTTP/2: leave transport out."
            )
        if self.http2 and not _has_h2():
            raise UsageError('HTTP/2 needs one more package: pip install "streamnb[http2]".')
        if self.proxy is not None and not self.proxy.startswith(("http://", "https://")):
            raise UsageError(f"proxy wants an http:// or https:// address, not {redact_url(self.proxy)!r}.")
        return self

    def reaches(self, url: str) -> None:
        """See whether an address can be reached this way.

        Raises:
            UsageError: HTTP/2 was asked for, and it is plain http: there is nothing to agree on it with.
        """
        if self.http2 and url.lower().startswith("http://"):
            raise UsageError("HTTP/2 needs https, and this goes to an http:// address: leave http2 (--http2) out.")

    def context(self) -> ssl.SSLContext | None:
        """Whom to trust; None: the authorities that come with httpx.

        Raises:
            UsageError: the file is not there or holds no certificate.
        """
        if self.ca is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"ca: {self.ca} holds no certificates ({error.strerror or error}).") from None


def _has_h2() -> bool:
    try:
        import h2  # noqa: F401  # the package itself holds next to nothing
    except ImportError:
        return False
    return True


class StampedTransport(httpx.AsyncBaseTransport):
    """Carries requests and hands over their replies read by read, each read stamped.

    Args:
        ssl_context: whom to trust; by default what the route says.
        route: how to get there.

    Raises:
        UsageError: the route contradicts itself.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None, route: Route | None = None) -> None:
        route = (route or Route()).checked()
        self._context = ssl_context or route.context()
        self._route = route
        self._direct: Any = None if route.pooled else front("httpx")(self._context, kernel_stamps=route.kernel_stamps)
        self._pool: PooledTransport | None = None

    @property
    def kernel_stamps(self) -> bool:
        """Whether the kernel stamps what comes, as far as one can know before."""
        return self._direct is not None and self._route.kernel_stamps and stamps.SUPPORTED

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send; return as soon as the reply's headers are there."""
        if self._route.http2:
            self._route.reaches(str(request.url))
        direct = self._direct
        if direct is not None:
            try:
                response: httpx.Response = await direct.handle_async_request(request)
            except NotImplementedError:  # Windows: its event loop does not watch sockets
                if self._route.transport == "direct":
                    raise UsageError(
                        "this event loop does not watch sockets, which the direct transport needs; leave transport out."
                    ) from None
                await direct.aclose()
                self._direct = None
            else:
                return response
        if self._pool is None:
            route = self._route
            self._pool = PooledTransport(self._context, proxy=route.proxy, uds=route.uds, http2=route.http2)
        return await self._pool.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in (self._direct, self._pool):
            if transport is not None:
                await transport.aclose()
