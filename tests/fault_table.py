"""What servers and networks do wrong (SAFETY section 4), and what a run must make of each."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
from typing import Any

from fault_server import DONE, END, SSE, STOP, Script, Wire, chunk, delta, head

JSON_ERROR = b'{"error": {"message": "something is odd", "type": "odd_error", "code": "odd"}}'
PAGE = b"<html><head><title>502 from the gateway</title></head><body><h1>502</h1></body></html>"


@dataclasses.dataclass
class Fault:
    """What a server does, and what a run must make of it.

    Attributes:
        body: the decoded body bytes the server sent before it failed: all of them must be in the file.
        error: what the error says, as a regular expression; None: no error.
        flags: of the events, those that are not empty.
    """

    script: Script
    outcome: str
    text: str = ""
    error: str | None = None
    body: bytes | None = None
    flags: set[str] = dataclasses.field(default_factory=set)
    keywords: dict[str, Any] = dataclasses.field(default_factory=dict)
    within_s: float = 5.0


async def nothing(wire: Wire) -> None:
    """The end of the script: the connection stays open for the next request."""


async def fin(wire: Wire) -> None:
    wire.fin()


async def reset(wire: Wire) -> None:
    await asyncio.sleep(0.02)  # so that the client has read what came before: a reset drops what is in its socket
    wire.reset()


async def hold(wire: Wire) -> None:
    await wire.gone()


def raw(data: bytes) -> Script:
    async def then(wire: Wire) -> None:
        await wire.send(data)

    return then


end = raw(END)


def each(*acts: Script) -> Script:
    async def then(wire: Wire) -> None:
        for act in acts:
            await act(wire)

    return then


def repeat(block: bytes) -> Script:
    async def then(wire: Wire) -> None:
        await wire.repeat(chunk(block), 0.05)

    return then


def sse(
    *blocks: bytes,
    outcome: str,
    then: Script = end,
    content_type: str = SSE,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Fault:
    """A stream of HTTP chunks, and what comes then."""

    async def script(wire: Wire) -> None:
        await wire.head(content_type, **(headers or {}))
        await wire.chunks(*blocks)
        await then(wire)

    return Fault(script, outcome, body=more.pop("body", b"".join(blocks)), **more)


def reply(body: bytes, outcome: str = "http_error", content_type: str = "application/json", **more: Any) -> Fault:
    """A whole reply that is no stream."""
    status, headers = more.pop("status", "200 OK"), more.pop("headers", {})

    async def script(wire: Wire) -> None:
        await wire.reply(body, content_type, status, **headers)

    return Fault(script, outcome, body=body, **more)


def bytewise(data: bytes) -> bytes:
    return b"".join(chunk(data[at : at + 1]) for at in range(len(data)))


def plain(*pieces: bytes, then: Script = nothing, outcome: str = "protocol_error", **more: Any) -> Fault:
    """Bytes that need not be HTTP."""
    return Fault(each(*map(raw, pieces), then), outcome, **more)


HELLO = (delta("Hel"), delta("lo"))
WHOLE = (*HELLO, STOP, DONE)
BROKE_OFF = (
    r"^openai_chat: the connection to 127\.0\.0\.1:\d+ broke off: Connection reset by peer\. What arrived is kept"
)
BROKE_HTTP = r"^openai_chat: 127\.0\.0\.1:\d+ broke the HTTP protocol: "
SOON = {"timeout_first": 0.3, "timeout_idle": 0.3}
LATE_FIRST = r"^openai_chat: no data for 0\.3 s after the request; allow more with --timeout-first SECONDS\.$"
LATE_IDLE = r"^openai_chat: no data for 0\.3 s \(keep-alives do not count\); allow more with --timeout-idle SECONDS\.$"
CUT = (
    r"^openai_chat: the server, or something on the way, ended the stream before its end marker; "
    r"the text is incomplete\. Run it again\."
)

STATUSES = {
    f"F7-17 {status.split()[0]} with JSON": reply(
        JSON_ERROR, status=status, error=rf"^openai_chat answered {status[:3]}: something is odd\. \S"
    )
    for status in (
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "413 Too Large",
        "422 Unprocessable",
        "451 Unavailable",
        "429 Too Many",
        "500 Error",
        "503 Unavailable",
        "529 Overloaded",
    )
}
BODIES = {
    "F7-13 HTML": reply(PAGE, content_type="text/html", status="502 Bad Gateway", error="answered 502: .*gateway"),
    "F7-13 empty": reply(b"", status="500 Error", error="answered 500: no message"),
    "F7-13 event-stream": reply(
        b"".join(WHOLE), content_type=SSE, status="503 Unavailable", error="answered 503: data: "
    ),
    "F7-13 10 MB": dataclasses.replace(
        reply(b"x" * 10_000_000, content_type="text/plain", status="500 Error", error="answered 500: xxx"), body=None
    ),
    "F7-13 latin-1": reply("falsch f\xfcr".encode("latin-1"), status="400 Bad", error="answered 400: falsch f\ufffdr"),
    "C21 204": plain(b"HTTP/1.1 204 No Content\r\n\r\n", outcome="http_error", error="answered 204"),
    "C22 redirect": reply(
        b"", status="307 Temporary", headers={"Location": "https://other.invalid/v1"}, error="--base-url"
    ),
    "C22 redirect to nowhere": reply(b"", status="302 Found", error="--base-url"),
    "F14 Retry-After 7": reply(JSON_ERROR, status="429 Too", headers={"Retry_After": "7"}, error="wait 7 s and run"),
    "F14 Retry-After date": reply(
        JSON_ERROR,
        status="429 Too",
        headers={"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"},
        error="wait until Wed, 21 Oct 2026 07:28:00 GMT and run",
    ),
    "F14 Retry-After garbage": reply(
        JSON_ERROR, status="429 Too", headers={"Retry_After": "so(o)n"}, error="wait and run"
    ),
    "F14 Retry-After 1e9": reply(
        JSON_ERROR, status="503 Busy", headers={"Retry_After": "1000000000"}, error="1000000000 s"
    ),
    "F18 200 with foreign JSON": reply(b'{"ok": true}', "protocol_error", error="12 bytes of application/json"),
    "F19 200 with HTML": reply(PAGE, "protocol_error", "text/html", error="bytes of text/html instead of a stream"),
    "F20 200 with nothing": reply(b"", "protocol_error", error=r"an empty body \(application/json\)"),
    "F20 200 with nothing, as a stream": sse(outcome="protocol_error", error=r"an empty body \(text/event-stream\)"),
    "200 with a JSON error": reply(JSON_ERROR, "error_in_stream", error="something is odd"),
}
TIMES = {
    "F21 headers too late": plain(then=hold, outcome="timeout_first", error=LATE_FIRST, keywords=SOON, within_s=1.5),
    "F21 half of the headers": plain(
        b"HTTP/1.1 200 OK\r\nContent-",
        then=hold,
        outcome="timeout_first",
        error=LATE_FIRST,
        keywords=SOON,
        within_s=1.5,
    ),
    "F22 first byte never": sse(then=hold, outcome="timeout_first", error=LATE_FIRST, keywords=SOON, within_s=1.5),
    "F22 only pings": sse(
        then=repeat(b": ping\n\n"), outcome="timeout_first", error=LATE_FIRST, keywords=SOON, within_s=1.5, body=None
    ),
    "F23 stall mid-line": sse(
        *HELLO,
        b'data: {"cho',
        then=hold,
        outcome="timeout_idle",
        text="Hello",
        error=LATE_IDLE,
        keywords=SOON,
        flags={"malformed unterminated"},
        within_s=1.5,
    ),
    **{
        f"F24 stall with {block!r}": sse(
            *HELLO,
            then=repeat(block),
            outcome="timeout_idle",
            text="Hello",
            error=LATE_IDLE,
            keywords=SOON,
            body=None,
            within_s=1.5,
        )
        for block in (b": ping\n\n", b"event: ping\ndata: \n\n", b"\n\n", b"id: 7\n\n", b"data:\n\n", b":\r\n\r\n")
    },
    "R5 total": sse(
        then=repeat(delta("x")),
        outcome="timeout_total",
        text="x" * 8,
        error=r"^openai_chat: not done after 0\.4 s; allow more with --timeout SECONDS\.$",
        keywords={"timeout": 0.4},
        body=None,
        within_s=1.5,
    ),
}
CUTS = {
    "F25 RST mid-chunk": sse(
        *HELLO,
        then=each(raw(b"40\r\ndata:"), reset),
        outcome="protocol_error",
        flags={"unterminated"},
        text="Hello",
        error=BROKE_OFF,
        body=b"".join(HELLO) + b"data:",
    ),
    "F26 FIN mid-chunk": sse(
        *HELLO,
        then=each(raw(b"40\r\ndata:"), fin),
        outcome="protocol_error",
        flags={"unterminated"},
        text="Hello",
        error=BROKE_HTTP + "peer closed connection",
        body=b"".join(HELLO) + b"data:",
    ),
    "F27 FIN before the 0-chunk": sse(
        *HELLO, then=fin, outcome="protocol_error", text="Hello", error=BROKE_HTTP + "peer closed connection"
    ),
    "F28 short Content-Length": plain(
        head(Content_Length="5000") + HELLO[0],
        then=fin,
        text="Hel",
        body=HELLO[0],
        error=BROKE_HTTP + r"peer closed connection .*expected 5000",
    ),
    "F29 FIN of an unframed body": plain(
        head(Connection="close") + HELLO[0], then=fin, outcome="truncated", text="Hel", body=HELLO[0], error=CUT
    ),
    "F30 clean end without end marker": sse(*HELLO, outcome="truncated", text="Hello", error=CUT),
    "F31 RST after the end marker": sse(*WHOLE, then=reset, outcome="complete", text="Hello"),
    "F31 FIN after the end marker": sse(*WHOLE, then=fin, outcome="complete", text="Hello"),
    "F31 an unframed body with its end marker": plain(
        head(Connection="close") + b"".join(WHOLE), then=fin, outcome="complete", text="Hello", body=b"".join(WHOLE)
    ),
}
HTTP = {
    "F32 bad chunk size": sse(
        HELLO[0], then=raw(b"zz\r\nxx\r\n"), outcome="protocol_error", text="Hel", error=BROKE_HTTP
    ),
    "F33 garbage status line": plain(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", then=fin, error=BROKE_HTTP),
    "F34 200 KB header": plain(head(X_Big="x" * 200_000), error=BROKE_HTTP),
    "F35 close before headers": plain(then=fin, error=BROKE_HTTP + "Server disconnected without sending a response"),
    "F35 reset before headers": plain(then=reset, error=BROKE_OFF),
    "F36 1xx then 200": plain(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        head() + b"".join(map(chunk, WHOLE)) + END,
        outcome="complete",
        text="Hello",
        body=b"".join(WHOLE),
    ),
}
BAD_UTF8 = delta("b?d").replace(b"?", b"\xff")
CONTENT = {
    "F37 malformed JSON in the middle": sse(
        HELLO[0],
        b'data: {"choices": [{"delta"\n\n',
        HELLO[1],
        STOP,
        DONE,
        outcome="complete",
        text="Hello",
        flags={"malformed"},
    ),
    "F38 malformed JSON at the end": sse(
        *HELLO, b"data: {{{\n\n", outcome="truncated", text="Hello", error=CUT, flags={"malformed"}
    ),
    "F39 NaN": sse(
        HELLO[0],
        b'data: {"choices": [], "x": NaN}\n\n',
        HELLO[1],
        STOP,
        DONE,
        outcome="complete",
        text="Hello",
        flags={"malformed"},
    ),
    "F40 4301 digits": sse(
        HELLO[0],
        b'data: {"x": %s}\n\n' % (b"9" * 4301),
        HELLO[1],
        STOP,
        DONE,
        outcome="complete",
        text="Hello",
        flags={"malformed"},
    ),
    "F41 100k nesting": sse(
        HELLO[0],
        b"data: " + b"[" * 100_000 + b"]" * 100_000 + b"\n\n",
        HELLO[1],
        STOP,
        DONE,
        outcome="complete",
        text="Hello",
        flags={"malformed"},
    ),
    "F42 bad UTF-8": sse(HELLO[0], BAD_UTF8, STOP, DONE, outcome="complete", text="Helb\ufffdd", flags={"lossy"}),
    "F43 UTF-8 split per byte": sse(
        then=raw(bytewise(delta("héllo \U0001f600") + STOP + DONE) + END),
        outcome="complete",
        text="héllo \U0001f600",
        body=delta("héllo \U0001f600") + STOP + DONE,
    ),
    "F44 lone surrogate": sse(
        b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n',
        delta("b"),
        STOP,
        DONE,
        outcome="complete",
        text="a\ufffdb",
        flags={"lone_surrogate"},
    ),
    "F44 two halves in two events": sse(
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00"}}]}\n\n',
        STOP,
        DONE,
        outcome="complete",
        text="\U0001f600",
        flags={"lone_surrogate"},
    ),
    "F45 byte order mark": sse(b"\xef\xbb\xbf", *WHOLE, outcome="complete", text="Hello"),
    "F46 UTF-16 body": sse("data: {}\n\n".encode("utf-16"), outcome="truncated", error=CUT),
    "F47 Latin-1 charset": sse(
        delta("é"), STOP, DONE, content_type="text/event-stream; charset=iso-8859-1", outcome="complete", text="é"
    ),
    "F48 half an event at the end": sse(
        *HELLO,
        b'data: {"choices":[{"ind',
        outcome="truncated",
        text="Hello",
        error=CUT,
        flags={"malformed unterminated"},
    ),
    "F49 duplicate ids": sse(
        b"id: 1\n" + HELLO[0], b"id: 1\n" + HELLO[1], STOP, DONE, outcome="complete", text="Hello"
    ),
    "F50 events after the end marker": sse(*WHOLE, delta("!"), outcome="complete", text="Hello!", flags={"late"}),
    "F51 two end markers": sse(*WHOLE, DONE, outcome="complete", text="Hello"),
    "F52 interleaved choices": sse(
        delta("a"), delta("x", index=1), delta("b"), delta("y", index=1), STOP, DONE, outcome="complete", text="ab"
    ),
    "F53 an error after the end marker": sse(
        *WHOLE,
        b"data: " + JSON_ERROR + b"\n\n",
        outcome="error_in_stream",
        text="Hello",
        error="something is odd",
        flags={"late"},
    ),
    "error in the middle": sse(
        *HELLO,
        b"data: " + JSON_ERROR + b"\n\n",
        outcome="error_in_stream",
        text="Hello",
        error=r"reported an error in the stream: something is odd \(odd\)\.",
    ),
}
BOMB = gzip.compress(bytes(64 << 20))
SIZES = {
    "F56 keep-alives": sse(b": ping\n\n" * 20_000, *WHOLE, outcome="complete", text="Hello"),
    "F57 1-byte chunks": sse(
        then=raw(bytewise(b"".join(WHOLE)) + END), outcome="complete", text="Hello", body=b"".join(WHOLE)
    ),
    "F58 burst": sse(delta("x") * 3000, STOP, DONE, outcome="complete", text="x" * 3000),
    "F59 gzip bomb": sse(
        BOMB, outcome="limit", error="inflates more than 200:1", body=None, headers={"Content_Encoding": "gzip"}
    ),
    "F59 cut gzip": sse(
        gzip.compress(b"".join(HELLO))[:-9],
        outcome="protocol_error",
        text="Hello",
        body=b"".join(HELLO),
        headers={"Content_Encoding": "gzip"},
        error="the gzip body ends before its end mark",
    ),
    "R17 gzip": sse(
        gzip.compress(b"".join(WHOLE)),
        outcome="complete",
        text="Hello",
        body=b"".join(WHOLE),
        headers={"Content_Encoding": "gzip"},
    ),
    "R17 unknown encoding": sse(
        b"\x1b\x03",
        outcome="protocol_error",
        error="Content-Encoding 'br'",
        body=b"",
        headers={"Content_Encoding": "br"},
    ),
}
FAULTS = STATUSES | BODIES | TIMES | CUTS | HTTP | CONTENT | SIZES
