"""Direct: HTTP/1.1 on our own links, with the connections that are kept. The core of every transport of ours.

Knows links, flights and RFC 9112's request. Must not know: httpx or any other client package, APIs, recording.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from streamnb.transport.dialling import DialError, dial, reason
from streamnb.transport.flight import Fault, Flight
from streamnb.transport.link import Link
from streamnb.transport.reads import Timings
from streamnb.transport.reply import Headers, read_reply
from streamnb.transport.stamps import KernelClock
from streamnb.transport.turns import turn

KEPT: Final = 20
"""Most idle connections; unlimited keep-alive costs seconds of CPU at the streams' end in other pools."""

KEPT_S: Final = 30.0

Origin = tuple[bytes, str, int]
"""Scheme, host, port."""

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_TARGET: Final = re.compile(rb"[!-~]+")
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """A request, whatever package it came from.

    Attributes:
        timeouts: `connect`, `read`, `write` in s; None or missing: no limit.
        fault: makes the errors of the package it came from.
    """

    method: str
    origin: Origin
    target: bytes
    headers: Headers
    body: AsyncIterator[bytes]
    timeouts: Mapping[str, float | None]
    fault: Fault


class Direct:
    """Sends requests; keeps connections. For one event loop.

    Args:
        context: gives the TLS context; asked only for https.
        kernel_stamps: ask the kernel when bytes came, where it can say so.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], *, kernel_stamps: bool = True) -> None:
        self._context = context
        self._clock = KernelClock() if kernel_stamps else None
        self._kept: dict[Origin, list[tuple[float, Link]]] = {}
        self._flights: set[Flight] = set()

    async def send(self, order: Order, timings: Timings) -> Flight:
        """Send a request; return when the head of its reply is there.

        Raises:
            httpx.TransportError: no connection, or one that broke before the head was whole.
            NotImplementedError: this event loop does not watch sockets; nothing was sent.
        """
        head = _head(order)
        chunked = any(name.lower() == b"transfer-encoding" for name, _ in order.headers)
        link = self._keep_taking(order.origin)
        timings.transport = "direct"
        timings.reused = link is not None
        if link is None:
            link = await self._connect(order, timings)
        flight = self._take_off(link, order, timings)
        try:
            await turn()
            await flight.send(head, order.body, chunked=chunked, limit_s=order.timeouts.get("write"))
            await flight.head()
        except BaseException:
            await flight.aclose()
            raise
        return flight

    def _take_off(self, link: Link, order: Order, timings: Timings) -> Flight:
        def landed(reusable: bool) -> None:
            self._flights.discard(flight)
            if reusable:
                self._keep(order.origin, link)
            else:
                link.close()

        reply = read_reply(order.method, order.headers, order.target)
        flight = Flight(link, reply, timings, fault=order.fault, landed=landed, silence_s=order.timeouts.get("read"))
        self._flights.add(flight)
        return flight

    # -- connections --------------------------------------------------------------------------------------------------

    async def _connect(self, order: Order, timings: Timings) -> Link:
        scheme, host, port = order.origin
        limit_s = order.timeouts.get("connect")
        start_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(limit_s):
                sock, timings.dns_s = await dial(host, port)
        except TimeoutError:
            raise order.fault("ConnectTimeout", f"{host}:{port} did not answer within {limit_s:g} s") from None
        except DialError as error:
            raise order.fault("ConnectError", str(error)) from error
        connected_ns = time.monotonic_ns()
        timings.connect_s = (connected_ns - start_ns) / 1e9 - timings.dns_s
        try:
            link = Link(sock, self._clock)
        except NotImplementedError:
            sock.close()
            raise
        if scheme == b"https":
            await self._secure(link, order)
            timings.tls_s = (time.monotonic_ns() - connected_ns) / 1e9
        return link

    async def _secure(self, link: Link, order: Order) -> None:
        limit_s = order.timeouts.get("connect")
        try:
            async with asyncio.timeout(limit_s) as limit:
                await link.secure(self._context(), order.origin[1])
        except OSError as error:
            link.close()
            if limit.expired():
                raise order.fault("ConnectTimeout", f"TLS took longer than {limit_s:g} s") from None
            raise order.fault("ConnectError", f"TLS: {reason(error)}") from error
        except BaseException:
            link.close()
            raise

    def _keep_taking(self, origin: Origin) -> Link | None:
        """A kept connection that is still good; the latest first, the others age."""
        kept = self._kept.get(origin, [])
        while kept:
            since, link = kept.pop()
            if time.monotonic() - since < KEPT_S and link.is_quiet():
                return link
            link.close()
        return None

    def _keep(self, origin: Origin, link: Link) -> None:
        """Keep it for the next request; whatever it hears until then makes it useless."""
        link.on_bytes = lambda *_: link.close()
        self._kept.setdefault(origin, []).append((time.monotonic(), link))
        everywhere = [(since, at) for at, links in self._kept.items() for since, _ in links]
        if len(everywhere) > KEPT:
            oldest = min(everywhere)[1]
            self._kept[oldest].pop(0)[1].close()

    async def aclose(self) -> None:
        """Close every connection, also of replies that somebody still reads."""
        for flight in tuple(self._flights):
            flight.abandon()
        for links in self._kept.values():
            for _, link in links:
                link.close()
        self._kept.clear()
        if self._clock is not None:
            self._clock.close()


def _head(order: Order) -> bytes:
    """The request line and headers, checked: nothing in them may begin a line of its own.

    Raises:
        httpx.LocalProtocolError: something does not fit.
    """
    method = order.method.encode("ascii", "replace")
    lines = [b"%b %b HTTP/1.1\r\n" % (method, order.target)]
    fits = _METHOD.fullmatch(method) and _TARGET.fullmatch(order.target)
    for name, value in order.headers:
        fits = fits and _METHOD.fullmatch(name) and _VALUE.fullmatch(value)
        lines.append(b"%b: %b\r\n" % (name, value))
    if not fits:
        raise order.fault("LocalProtocolError", "a header, the method or the path has characters HTTP forbids")
    lines.append(b"\r\n")
    return b"".join(lines)
