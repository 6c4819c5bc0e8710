"""Recording what the user's own httpx code streams: `aconnect_sse` is httpx_sse's call, plus `source.run`.

Knows httpx responses and records. Must not know: targets, keyrings, displays, IPython.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import httpx_sse

from streamnb.conversation import Reading
from streamnb.errors import LimitError, TransportError
from streamnb.events import Outcome, Prompt
from streamnb.journal import Journal
from streamnb.minutes import timings
from streamnb.providers import Call, Ending, Provider, ReplyHead, load
from streamnb.recording import Record, RunInfo
from streamnb.redaction import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Scrubber,
    redact_headers,
    redact_text,
    redact_url,
)
from streamnb.results import Run, remember
from streamnb.settings import new_run
from streamnb.transcript import CallLine, EndLine, ReplyLine, RunLine
from streamnb.transport.decoding import Decoder
from streamnb.transport.fronts import front
from streamnb.transport.reads import Reads, Timings, framing


def timed_transport(
    package: str = "httpx", *, ssl_context: ssl.SSLContext | None = None, kernel_stamps: bool = True
) -> Any:
    """A transport for your own client that stamps every socket read, by the kernel where it can (Linux).

    HTTP/1.1, straight to the server: no proxies, no HTTP/2. Everything else (auth, hooks, cookies, redirects) stays
    the client's. SDKs take a client: `AsyncOpenAI(http_client=httpx2.AsyncClient(transport=...))`.

    Args:
        package: whose client it is for: `httpx` or `httpx2` (openai from 3.0 and anthropic from 2.0 are on httpx2).
        ssl_context: whom to trust; by default the authorities that the package brings.
        kernel_stamps: False leaves only this process's own stamps.

    Returns:
        An `AsyncBaseTransport` of that package. `response.extensions["streamnb.reads"]` are the reads of the body: each
        with `t_ns` (this process had it) and `k_ns` (the kernel had it; CLOCK_MONOTONIC, ns), `wire_bytes`, `data`.

    Raises:
        UsageError: there is no such package, or it is not installed.

    Example:
        async with httpx.AsyncClient(transport=streamnb.timed_transport()) as client:
            async with streamnb.aconnect_sse(client, "POST", url, json=body) as source:
                async for event in source.aiter_sse():
                    ...
        source.run.chunks[["t_ns", "client_lag_s", "stamp_source"]]
    """
    return front(package)(ssl_context, kernel_stamps=kernel_stamps)


_KEY_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization")


class EventSource(httpx_sse.EventSource):
    """httpx_sse's EventSource; `run` is the recording of what went through it.

    Attributes:
        run: grows while the events come; has its outcome when the block is left.
    """

    def __init__(self, response: httpx.Response, run: Run) -> None:
        super().__init__(response)
        self.run = run


@contextlib.asynccontextmanager
async def aconnect_sse(
    client: httpx.AsyncClient, method: str, url: str, *, provider: str = "sse", record: bool = True, **kwargs: Any
) -> AsyncIterator[EventSource]:
    """httpx_sse.aconnect_sse, recorded. The bytes the caller sees are untouched.

    Args:
        client: your own client; its transport, auth and timeouts are yours.
        method: HTTP method.
        url: as for httpx.
        provider: whose events the recording is read as; `sse` knows none and keeps the frames.
        record: write a run file, as `streamnb.stream` does.
        kwargs: passed on to `client.stream`.

    Yields:
        An `httpx_sse.EventSource` with `run`. Its stamps are taken where the client hands out body bytes
        (`stamp_source` is `chunk`): later than the socket read (PERFORMANCE.md 4). A client on
        `streamnb.timed_transport()` has the socket's and the kernel's own.
    """
    asked_ns = time.monotonic_ns()
    reader = load(provider)()
    async with httpx_sse.aconnect_sse(client, method, url, **kwargs) as plain:
        tap = _Tap(plain.response, reader, url, asked_ns, record=record)
        plain.response.stream = tap
        remember(tap.run)
        try:
            yield EventSource(plain.response, tap.run)
        except (asyncio.CancelledError, KeyboardInterrupt):
            tap.leave(Outcome.INTERRUPTED, "interrupted; what arrived is kept.")
            raise
        finally:
            tap.leave(Outcome.STOPPED, "the block was left before the end; what arrived is kept.")


class _Tap(httpx.AsyncByteStream):
    """The response's stream, with every chunk stamped, scrubbed, journaled and read on its way."""

    def __init__(self, response: httpx.Response, provider: Provider, url: str, asked_ns: int, *, record: bool) -> None:
        request = response.request
        self._stream = response.stream
        self._reads: Reads | None = response.extensions.get("streamnb.reads")
        self._framing = framing(response.headers, response.http_version)
        self._decoder = Decoder(response.headers.get("content-encoding", ""))
        self._secrets = _keys(request)
        self._scrubber = Scrubber(self._secrets)
        call = Call(provider.stream_name, request.method, stream=True)
        self._reading = Reading(provider, call, ReplyHead(response.status_code, dict(response.headers)))
        self._record = self._open(request, provider, redact_url(str(url)), record=record)
        self.run = Run(self._record, provider, Prompt(), self._journal.path if self._journal else None)
        line = CallLine(
            0,
            asked_ns,
            call.name,
            request.method,
            redact_text(redact_url(str(request.url)), self._secrets),
            redact_headers(list(request.headers.items()), REQUEST_HEADERS),
            stream=True,
        )
        self._record.call(line)
        self._reply(response, asked_ns)

    def _open(self, request: httpx.Request, provider: Provider, target: str, *, record: bool) -> Record:
        now = time.time_ns()
        run_id, path = new_run()
        self._journal = Journal(path) if record else None
        info = RunInfo(run_id, provider.name, target, now, usage=provider.usage)
        opened = Record(info, self._journal)
        clock = {"t_ns": time.monotonic_ns(), "wall_ns": now}
        meta = {"base_url": f"{request.url.scheme}://{request.url.netloc.decode('ascii')}", "usage": provider.usage}
        opened.begin(RunLine(run_id, provider.name, target, {}, {}, clock, os.getpid(), meta))
        return opened

    def _reply(self, response: httpx.Response, asked_ns: int) -> None:
        stamps = response.extensions.get("streamnb.timings")
        known: dict[str, Any] = (
            timings(stamps) if isinstance(stamps, Timings) else {"t0_ns": asked_ns, "transport": "httpx"}
        )
        kept = [(key, redact_text(value, self._secrets)) for key, value in response.headers.items()]
        headers = redact_headers(kept, RESPONSE_HEADERS)
        now = time.monotonic_ns()
        self._record.reply(
            ReplyLine(0, now, response.status_code, headers, self._framing, {"headers_ns": now, **known})
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for t_ns, k_ns, wire_bytes, data in self._stamped():
                self._take(t_ns, k_ns, wire_bytes, data)
                if data:
                    yield data
        except (httpx.TransportError, httpx.StreamError) as error:
            self.end(Ending(Outcome.PROTOCOL_ERROR, self._framing, f"the connection broke off: {error}."))
            raise
        with self._recording_only():
            self._decoder.close()
        self.end(Ending(None, self._framing))

    async def _stamped(self) -> AsyncIterator[tuple[int, int | None, int, bytes]]:
        """The body with its stamps: those of the socket, where the client is on a transport of ours."""
        if self._reads is not None:
            async for read in self._reads:
                yield read.t_ns, read.k_ns, read.wire_bytes, read.data
            return
        async for data in self._stream:  # type: ignore[union-attr]  # an async client's stream
            yield time.monotonic_ns(), None, len(data), data

    def _take(self, t_ns: int, k_ns: int | None, wire_bytes: int, data: bytes) -> None:
        if self._record.outcome is None:
            with self._recording_only():
                clean = self._scrubber.feed(self._decoder.decode(data))
                self._line(t_ns, k_ns, wire_bytes, clean)
                self._record.understood(self._reading.feed(clean))

    @contextlib.contextmanager
    def _recording_only(self) -> Iterator[None]:
        """What cannot be recorded any more ends the recording, never the caller's stream."""
        try:
            yield
        except TransportError as error:
            self.end(Ending(Outcome(error.outcome), self._framing, str(error)))

    def _line(self, t_ns: int, k_ns: int | None, wire: int, data: bytes) -> None:
        stamp = "chunk" if self._reads is None else "read"
        self._record.take(0, t_ns, k_ns, wire, self._scrubber.held, data, stamp)

    def leave(self, outcome: Outcome, detail: str) -> None:
        """The caller reads no further: after an end marker or an error status that is the usual way to end."""
        seen_all = self._reading.failed or self._reading.seen.count("end") > 0
        self.end(Ending(None if seen_all else outcome, self._framing, detail))

    def end(self, ending: Ending) -> None:
        """Close the account; only the first call counts."""
        if self._record.outcome is not None:
            return
        now = time.monotonic_ns()
        held = self._scrubber.flush()
        if held:
            self._line(now, None, 0, held)
            self._record.understood(self._reading.feed(held))
        with contextlib.suppress(LimitError):
            step = self._reading.close()
            if step.events:
                if not len(self._record.chunks):
                    self._line(now, None, 0, b"")
                self._record.understood(step)
        self._record.end_call(now)
        outcome = self._reading.outcome(ending)
        error = self._reading.explain(outcome, ending)
        error = None if error is None else redact_text(error, self._secrets)
        record = self._record
        record.end(outcome, error, EndLine(outcome.value, error, record.ending(), record.counts(), now))

    async def aclose(self) -> None:
        """Close the real stream."""
        await self._stream.aclose()  # type: ignore[union-attr]


def _keys(request: httpx.Request) -> tuple[str, ...]:
    """The secrets of a request that someone else made: key headers and key-like query fields, without scheme words."""
    found = [request.headers[name].rpartition(" ")[2] for name in _KEY_HEADERS if name in request.headers]
    if request.headers.get("authorization", "").lower().startswith("basic "):
        with contextlib.suppress(ValueError):  # not base64, or no text in it: then it is masked as it stands
            found.append(base64.b64decode(found[0]).decode().partition(":")[2])
    shown = dict(parse_qsl(httpx.URL(redact_url(str(request.url))).query.decode()))
    found += [value for name, value in request.url.params.items() if shown.get(name) != value]
    return tuple(value for value in found if value)
