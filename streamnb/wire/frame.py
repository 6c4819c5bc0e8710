"""What every framer yields and how every framer is driven.

Knows the names of flags. Must not know: sockets, clocks, any API.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One SSE, JSON Lines or prefix-line message.

    Attributes:
        data: its text; "" with the flag `no_data` when the block had none.
        event: SSE event type ("message" unless named), prefix-line code, or the call's name for a whole JSON body.
        id: SSE last event id in force at dispatch.
        retry: SSE reconnection time in force at dispatch, ms, or None.
        value: the JSON value (JSON Lines, prefix lines, whole JSON body); None when there is none or it is malformed.
        line: 1-based line number (JSON Lines, prefix lines), else None.
        raw: the bytes it was made of, line ends included for SSE, without the line end for JSON Lines.
        flags: of `continued implicit no_data unterminated lossy repaired malformed comment`, and for JSON the error
            (`invalid_json invalid_utf8 truncated limit`), the oddity (`no_final_newline ambiguous_scalar
            lone_surrogate duplicate_keys`) or what was sent instead (`looks_like_sse looks_like_json_array
            looks_like_json_seq`) by name.
    """

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None
    value: Any = None
    line: int | None = None
    raw: bytes = b""
    flags: frozenset[str] = frozenset()


class Framer(Protocol):
    """Bytes in, frames out; no bytes are ever lost: what cannot be read comes out flagged."""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the body; return the frames they complete."""
        ...

    def close(self) -> list[Frame]:
        """Say that no more bytes come; return what was still open, flagged."""
        ...
