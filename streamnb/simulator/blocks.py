"""The framings' smallest units: an SSE event, an AI-SDK line, compact JSON, and the send-time stamp of each.

Knows framings. Must not know: any API, clocks, HTTP.
"""

from __future__ import annotations

import json
from typing import Any


def dumps(value: Any) -> str:
    """Return JSON as these APIs send it: no spaces, letters outside ASCII as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sse(data: str, event: str | None = None) -> bytes:
    """Return one SSE event; a line feed inside `data` makes a further `data:` line (WHATWG HTML 9.2.6)."""
    name = f"event: {event}\n" if event else ""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"{name}{lines}\n".encode()


def sse_stamp(t_ns: int, block: bytes) -> bytes:
    """Return the comment line that carries the send time before a `data:` line; no reader takes it for data."""
    return b": t_ns=%d\n" % t_ns if block.startswith(b"data:") else b""


def line(code: str, value: Any) -> bytes:
    """Return one line of the AI SDK 4 data stream."""
    return f"{code}:{dumps(value)}\n".encode()


def line_stamp(t_ns: int, block: bytes) -> bytes:
    """Return the annotation line (code 8) that carries the send time before a `0:` line."""
    return b'8:[{"t_ns":%d}]\n' % t_ns if block.startswith(b"0:") else b""
