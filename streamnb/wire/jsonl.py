"""JSON Lines / NDJSON: one JSON text per LF-terminated line, bad lines named and kept (rules J1-J8).

Must not know: sockets, clocks, any API.
"""

from __future__ import annotations

import re
from typing import Final

from streamnb.wire._lines import LineFramer, read_json
from streamnb.wire._state import DEFAULT_LIMIT
from streamnb.wire.frame import Frame

_SSE_LINE: Final = re.compile(rb"(data|event|id|retry)?:")


class JSONLFramer(LineFramer):
    """Reads JSON Lines strictly, and goes on after a bad line.

    A good line is a frame with its text, `value`, `line` and `raw` (without the LF and the one CR before it) and the
    flags `no_final_newline`, `ambiguous_scalar` (12 may be a cut 123), `lone_surrogate`, `duplicate_keys`.
    A bad line is a frame flagged `malformed` and `invalid_json`, `invalid_utf8`, `truncated` (the last line) or
    `limit`; `looks_like_sse`, `looks_like_json_array` or `looks_like_json_seq` say what was sent instead (J8).
    Blank lines are counted, not framed (J2).

    Args:
        limit: bytes one line may have; beyond it `feed` raises `LimitError` (R15).
    """

    def __init__(self, *, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit)

    def _frame(self, line: bytes, *, last: bool) -> Frame:
        text, value, flags = read_json(line, cut=last)
        if "malformed" in flags:
            flags |= _looks_like(line.strip(b" \t\r"))
        elif last:
            flags |= {"no_final_newline"}
            if not isinstance(value, str | list | dict):
                flags |= {"ambiguous_scalar"}
        return Frame(data=text, value=value, line=self._line, raw=line, flags=flags)


def _looks_like(line: bytes) -> frozenset[str]:
    """J8: the format that was probably sent instead."""
    if _SSE_LINE.match(line):
        return frozenset({"looks_like_sse"})
    if line.startswith(b"\x1e"):
        return frozenset({"looks_like_json_seq"})
    if (line.startswith(b"[") and line.endswith((b"[", b"{", b","))) or line.endswith((b"},", b"],", b"}]")):
        return frozenset({"looks_like_json_array"})
    return frozenset()
