"""One call, sent: request out, head and reads in, every way it can fail named by its outcome.

Knows calls, keys and httpx. Must not know: what the bytes mean, recording, displays.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from streamnb._version import __version__
from streamnb.errors import TransportError, UsageError
from streamnb.events import Outcome
from streamnb.providers import Call, Provider, ReplyHead
from streamnb.providers._base import is_loopback
from streamnb.redaction import Secret, redact_url
from streamnb.transport.decoding import Decoder
from streamnb.transport.keys import Keyring
from streamnb.transport.reads import Read, Reads, Take, Timings, framing
from streamnb.transport.stamped import StampedTransport

USER_AGENT: Final = f"streamnb/{__version__}"
_QUOTED: Final = re.compile(r"""bytearray\((b(['"]).*\2)\)""")  # how h11 shows what it could not read
_AGAIN: Final = "What arrived is kept; run it again."


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A reply whose headers are in.

    Attributes:
        headers: as received, in order.
        framing: how the end of the body is marked.
        timings: stamps of the request; also `setup` parts.
        reads: the body, one item per socket read, content decoding undone.
        body: the same as it came from the socket, with what is known at its end.
    """

    head: ReplyHead
    headers: list[tuple[str, str]]
    framing: Literal["chunked", "length", "close"]
    timings: Timings
    reads: AsyncIterator[Read]
    body: Reads
    decoder: Decoder

    async def pour(self, take: Take) -> None:
        """Hand every read over the moment it comes, content decoding undone; return at the end of the body.

        Raises:
            httpx.TransportError, TransportError: it broke, or what `take` raised.
        """

        def decoded(t_ns: int, k_ns: int | None, wire_bytes: int, data: bytes) -> None:
            take(t_ns, k_ns, wire_bytes, self.decoder.decode(data))

        await self.body.pour(decoded if self.decoder.active else take)
        self.decoder.close()


def prepare(provider: Provider, call: Call, keys: Keyring, *, allow_http: bool = False) -> httpx.Request:
    """The HTTP request of a call, with the keys in it. Nothing is sent.

    Raises:
        MissingKeyError: a required key is not in the environment.
        UsageError: a URL that is not http(s), or one that would carry the key in the clear.
    """
    base_url = call.base_url or provider.base_url
    url = base_url + call.path
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        shown = redact_url(base_url)
        raise UsageError(f"{provider.name}: the base URL {shown!r} is not an http(s) address.")
    headers = {
        "Accept": "text/event-stream, application/json;q=0.9, */*;q=0.8" if call.stream else "application/json",
        "Accept-Encoding": "identity",  # gzip buffers, and buffers lie about time
        "Cache-Control": "no-store",
        "User-Agent": USER_AGENT,
    }
    carries_key = _resolve(call.headers, keys, headers)
    query: dict[str, str] = {}
    carries_key |= _resolve(call.query, keys, query)
    if carries_key and parts.scheme == "http" and not is_loopback(url) and not allow_http:
        raise UsageError(
            f"{provider.name}: {parts.scheme}://{parts.hostname} would get the key in the clear; use https, "
            "or say allow_http=True (--allow-http) if the network is yours."
        )
    content = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        content = _json(provider, call.body)
    request = httpx.Request(call.method, url, headers=headers, content=content)
    if query:
        request.url = request.url.copy_merge_params(query)
    return request


def _resolve(fields: Any, keys: Keyring, into: dict[str, str]) -> bool:
    found = False
    for name, value in fields.items():
        if isinstance(value, Secret):
            resolved = keys.value(value)
            if resolved is None:
                continue
            found = True
            into[name] = resolved
        else:
            into[name] = value
    return found


def _json(provider: Provider, body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:  # a lone surrogate in the prompt: only its escape can be sent
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{provider.name}: the request's body is no JSON ({error}); look at the parameters.") from None


@contextlib.asynccontextmanager
async def exchange(
    transport: StampedTransport,
    request: httpx.Request,
    connect_s: float | None,
    on_t0: Callable[[int], None] | None = None,
) -> AsyncIterator[Exchange]:
    """Send a prepared request; the socket is closed or given back on every way out (SAFETY R10)."""
    request.extensions.update({"timeout": {"connect": connect_s}, "streamnb.on_t0": on_t0})
    response = await transport.handle_async_request(request)
    reads = response.extensions["streamnb.reads"]
    decoder = Decoder(response.headers.get("content-encoding", ""))
    decoded = _decoded(reads, decoder)
    try:
        headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in response.headers.raw]
        yield Exchange(
            ReplyHead(response.status_code, {key.lower(): value for key, value in headers}),
            headers,
            framing(response.headers, response.http_version),
            response.extensions["streamnb.timings"],
            decoded,
            reads,
            decoder,
        )
    finally:
        await decoded.aclose()
        await reads.aclose()
        await response.aclose()


async def _decoded(reads: AsyncIterator[Read], decoder: Decoder) -> AsyncGenerator[Read, None]:
    async for read in reads:
        yield dataclasses.replace(read, data=decoder.decode(read.data))
    decoder.close()


def timings_of(request: httpx.Request) -> Timings:
    """How far a request came, also when it failed."""
    found = request.extensions.get("streamnb.timings")
    return found if isinstance(found, Timings) else Timings(math.nan, math.nan, math.nan)


def classify(error: BaseException, host: str) -> tuple[Outcome, str]:
    """(outcome, one clause) for what can go wrong between this process and the API."""
    if isinstance(error, TransportError):
        return Outcome(error.outcome), str(error)
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        said = str(error).removeprefix(f"{host}: ")  # another address is the proxy's
        return Outcome.CONNECT_ERROR, f"no connection to {host}: {said}. Check the base URL and the network."
    if isinstance(error, httpx.ProxyError):
        return Outcome.CONNECT_ERROR, f"no connection to {host} by the proxy: {error}. Check its address and password."
    if isinstance(error, (httpx.ReadError, httpx.WriteError)):
        return Outcome.PROTOCOL_ERROR, f"the connection to {host} broke off: {error}. {_AGAIN}"
    said = _QUOTED.sub(_as_sent, str(error).rstrip("."))
    return Outcome.PROTOCOL_ERROR, f"{host} broke the HTTP protocol: {said}. {_AGAIN}"


def _as_sent(quoted: re.Match[str]) -> str:
    """Python's spelling of bytes back to what the server sent: only so a key in it can be found and masked."""
    text = ast.literal_eval(quoted[1]).decode("latin-1")
    return '"' + "".join(char if char.isprintable() else "\ufffd" for char in text) + '"'
