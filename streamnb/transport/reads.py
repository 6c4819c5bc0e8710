"""What a transport hands over: reads with their stamps, when the parts of a request happened, how a body ends.

Must not know: sockets, HTTP clients' classes, APIs, recording.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal, Protocol

Take = Callable[[int, int | None, int, bytes], None]
"""Hears of a read at once: t_ns, k_ns, wire_bytes, data, as `Read` names them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """What one socket read brought of a body.

    Attributes:
        n: number of the item in its reply, from 0.
        t_ns: when this process had it, CLOCK_MONOTONIC ns.
        wire_bytes: bytes taken from the socket since the item before (HTTP framing and headers included).
        data: body bytes, still content-encoded.
        k_ns: when the kernel had the last byte of it, same clock; None where it does not say.
    """

    n: int
    t_ns: int
    wire_bytes: int
    data: bytes
    k_ns: int | None = None


@dataclasses.dataclass(slots=True)
class Timings:
    """When the parts of one request happened. Durations in s, NaN when they did not happen; stamps in ns or None.

    Attributes:
        dns_s: name resolution. connect_s: TCP, without DNS. tls_s: TLS handshake.
        t0_ns: first byte of the request handed to a ready connection. sent_ns: last byte handed over.
        headers_ns: the read that completed the reply's headers (the kernel's stamp, where there is one).
        reused: True when the connection was open already.
        transport: what carries it: `direct`, `httpcore`, `httpcore-h2` (HTTP/2).
        on_t0: told when t0 comes, on the loop thread.
    """

    dns_s: float = math.nan
    connect_s: float = math.nan
    tls_s: float = math.nan
    t0_ns: int | None = None
    sent_ns: int | None = None
    headers_ns: int | None = None
    reused: bool = True
    transport: str | None = None
    on_t0: Callable[[int], None] | None = None

    def begin(self, t_ns: int) -> None:
        """The first byte goes out now."""
        self.t0_ns = t_ns
        if self.on_t0 is not None:
            self.on_t0(t_ns)


class Reads(Protocol):
    """The body of a reply, one item per socket read: iterate, or `pour`. An early `aclose` closes the socket.

    Attributes:
        end_ns: when the read came that ended the body, CLOCK_MONOTONIC ns; None before.
        paused_s: how long the socket was left unread because nobody took what had come, s.
        trailers: of a chunked body, once it is over.
    """

    end_ns: int | None
    paused_s: float
    trailers: list[tuple[bytes, bytes]]

    def __aiter__(self) -> AsyncIterator[Read]: ...

    async def __anext__(self) -> Read: ...

    async def pour(self, take: Take) -> None:
        """Hand every read over the moment it comes, without a task in between; return at the end of the body."""
        ...

    async def aclose(self) -> None:
        """Let go of it, in the middle or at the end."""
        ...


def framing(headers: Mapping[str, str], version: str = "HTTP/1.1") -> Literal["chunked", "length", "close"]:
    """How the end of the body is marked (SAFETY R4): a cut looks like the end only with `close`.

    Each frame of HTTP/2 says whether it is the last: that is `chunked` here.
    """
    if "chunked" in headers.get("transfer-encoding", "").lower() or version == "HTTP/2":
        return "chunked"
    return "length" if "content-length" in headers else "close"
