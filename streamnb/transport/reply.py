"""A reply of HTTP/1.1, sans-I/O: bytes in, head and body out. By httptools, or by h11 where that is missing.

Knows RFC 9112. Must not know: sockets, clocks, loops, httpx, what a body means.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final, Protocol

import h11

httptools: ModuleType | None
try:
    import httptools
except ImportError:  # no wheel for this machine
    httptools = None

HEAD_BYTES: Final = 100 * 1024
"""Longest head of a reply (SAFETY S25)."""

Headers = list[tuple[bytes, bytes]]
_SHOWN_BYTES: Final = 300
_INFORMATIONAL: Final = range(100, 200)
_SWITCHING: Final = 101
_SWITCHED: Final = "the server switched protocols, which nobody asked for"
_LONG: Final = f"the head, a chunk's head or the trailers of the reply are longer than {HEAD_BYTES} bytes"
_CUT: Final = "peer closed connection without sending complete message body"
_SILENT: Final = "Server disconnected without sending a response."


class Reply(Protocol):
    """What a reply amounts to so far.

    Attributes:
        status: 0 until the head is whole.
        headers: in order, as sent.
        trailers: the same, after a chunked body.
        headed: the head is whole.
        done: the body is over, as HTTP marks it.
        reusable: after `done`: another request may follow on the connection.
        error: how the server broke HTTP; what it sent before is good.
    """

    status: int
    reason: bytes
    version: bytes
    headers: Headers
    trailers: Headers
    headed: bool
    done: bool
    reusable: bool
    error: str | None

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the connection; returns what of the body they complete."""
        ...

    def eof(self) -> None:
        """The connection ended: in the middle of the reply that is an error."""
        ...


def read_reply(method: str, headers: Headers, target: bytes) -> Reply:
    """The reader of the reply to a request. What may have no body although its head says so is left to h11."""
    if httptools is None or method in {"HEAD", "CONNECT"}:
        return H11Reply(method, headers, target)
    return HttptoolsReply(headers)


class HttptoolsReply:
    """By llhttp, strict. Its callbacks are methods of this object."""

    def __init__(self, headers: Headers) -> None:
        self.status = 0
        self.reason = b""
        self.version = b"HTTP/1.1"
        self.headers: Headers = []
        self.trailers: Headers = []
        self.headed = False
        self.done = False
        self.reusable = False
        self.error: str | None = None
        self._parts: list[bytes] = []
        self._unfinished = 0  # bytes since something was complete: a head, a piece of the body
        self._last = _is_last(headers)
        self._length: int | None = None
        self._got = 0
        self._chunked = False
        self._parser: Any = httptools.HttpResponseParser(self)  # type: ignore[union-attr]  # read_reply looked

    def feed(self, data: bytes) -> bytes:
        """See `Reply`."""
        if self.done:
            self.reusable = False  # nobody asked for more
            return b""
        self._unfinished += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:  # type: ignore[union-attr]
            self.reusable = False
            if not self.done:  # else it is what follows a whole reply
                self.error = self.error or self._said(error, data)
        parts = self._parts
        if not parts:
            if self._unfinished > HEAD_BYTES and not self.done:
                self.error = _LONG
            return b""
        self._parts, self._unfinished = [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def eof(self) -> None:
        """See `Reply`."""
        self.reusable = False
        if self.done:
            return
        if not self.headed:
            self.error = _SILENT
        elif self._chunked:
            self.error = f"{_CUT} (incomplete chunked read)"
        elif self._length is not None:
            self.error = f"{_CUT} (received {self._got} bytes, expected {self._length})"
        else:
            self.done = True

    def on_message_begin(self) -> None:
        """Llhttp: a reply begins; a second one only if the server sends what nobody asked for."""
        if self.done:
            self.reusable = False

    def on_status(self, reason: bytes) -> None:
        """Llhttp: the reason phrase, perhaps in pieces."""
        if not self.done:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Llhttp: a header, or after the body a trailer."""
        if not self.done:
            (self.trailers if self.headed else self.headers).append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Llhttp: the head is whole."""
        status = self._parser.get_status_code()
        if self.done:
            return
        if _is_long(self.headers):
            self._refuse(_LONG)
        if status in _INFORMATIONAL and status != _SWITCHING:
            return
        fields = {name.lower(): value for name, value in self.headers}
        codings = [value.lower() for name, value in self.headers if name.lower() == b"transfer-encoding"]
        self._chunked = bool(codings)
        if b"content-length" in fields:
            self._length = int(fields[b"content-length"])  # llhttp has checked it
        if status == _SWITCHING:
            self._refuse(_SWITCHED)
        if status < _INFORMATIONAL.start:
            self._refuse(f"there is no status {status}")
        if codings not in ([], [b"chunked"]):  # a body still coded would be taken for the text itself
            self._refuse(f"the transfer encoding {codings!r} is not 'chunked'")
        self.status = status
        self.version = b"HTTP/" + self._parser.get_http_version().encode("ascii")
        self.headed = True
        self._unfinished = 0

    def on_body(self, part: bytes) -> None:
        """Llhttp: a piece of the body."""
        if not self.done:
            self._got += len(part)
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """Llhttp: this reply is over; an informational one is followed by the real one."""
        if self.done:
            return
        if self.headed:
            self.done = True
            self.reusable = self._parser.should_keep_alive() and not self._last
        else:
            self.headers, self.reason, self._unfinished = [], b"", 0

    def _refuse(self, why: str) -> None:
        """Llhttp would go on with it; an error in a callback stops it."""
        self.error = why
        raise ValueError(why)

    def _said(self, error: Exception, data: bytes) -> str:
        """What llhttp found; and a first line that is no HTTP shows itself.

        Whole or not at all: whoever shows the message masks keys in it, which half a key would escape.
        """
        if self.headed:
            return f"illegal body: {error}"
        line, end, _ = data.partition(b"\n")
        whole = end and self._unfinished == len(data) and len(line) <= _SHOWN_BYTES
        shown = f": {bytearray(line)!r}" if whole else ""
        return f"illegal head ({error}){shown}"


class H11Reply:
    """By h11, which knows what the request was."""

    def __init__(self, method: str, headers: Headers, target: bytes) -> None:
        self.status = 0
        self.reason = b""
        self.version = b"HTTP/1.1"
        self.headers: Headers = []
        self.trailers: Headers = []
        self.headed = False
        self.done = False
        self.reusable = False
        self.error: str | None = None
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        known = [(b"Host", b"-"), *([(b"Connection", b"close")] if _is_last(headers) else [])]  # all it looks at
        self._connection.send(h11.Request(method=method, headers=known, target=target))
        self._connection.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> bytes:
        """See `Reply`."""
        if self.done:
            self.reusable = False
            return b""
        return self._read(data)

    def eof(self) -> None:
        """See `Reply`."""
        if not self.headed:
            self.error = _SILENT
        elif not self.done:
            self._read(b"")
        self.reusable = False

    def _read(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        try:
            self._connection.receive_data(data)
            while not self.done:
                event = self._connection.next_event()
                match event:
                    case h11.Response() | h11.InformationalResponse() if _is_long(_pairs(event.headers)):
                        self.error = _LONG
                        break
                    case h11.Response():
                        self.status, self.reason, self.headers = event.status_code, event.reason, _pairs(event.headers)
                        self.version = b"HTTP/" + event.http_version
                        self.headed = True
                    case h11.Data():
                        parts.append(bytes(event.data))
                    case h11.EndOfMessage():
                        self._end(event)
                    case h11.InformationalResponse():
                        pass
                    case _:
                        break
        except h11.RemoteProtocolError as error:
            self.error = str(error)
        return b"".join(parts)

    def _end(self, event: h11.EndOfMessage) -> None:
        connection = self._connection
        self.done = True
        self.trailers = _pairs(event.headers)
        self.reusable = connection.their_state is h11.DONE and not connection.trailing_data[0]


def _is_last(headers: Headers) -> bool:
    """The request asked for no more to follow it."""
    return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in headers)


def _is_long(headers: Headers) -> bool:
    """A head that came in one read was never too long to be read on."""
    return sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES


def _pairs(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    raw: Sequence[tuple[bytes, bytes]] = getattr(headers, "raw_items", lambda: headers)()
    return list(raw)
