"""Prefix lines `<code>:<json>` LF, the "data stream" of AI SDK v4 (WIRE 1.3): the code is the frame's event.

Must not know: what a code means, sockets, clocks, any API.
"""

from __future__ import annotations

import re
from typing import Final

from streamnb.wire._lines import LineFramer, read_json
from streamnb.wire._state import DEFAULT_LIMIT
from streamnb.wire.frame import Frame

_CODE: Final = re.compile(rb"([0-9a-z]):")


class PrefixLineFramer(LineFramer):
    r"""Reads lines `<code>:<json>`; unknown codes are frames like any other.

    A frame has the code as `event`, the JSON text as `data`, its `value`, `line` and `raw` (without LF and the one CR
    before it). A line without a code has the event "" and is flagged `malformed`; bad JSON is flagged `malformed`
    and `invalid_json`, `invalid_utf8`, `truncated` or `limit`; either way the stream goes on at the next line.
    A last line without LF is flagged `unterminated`. Blank lines are counted, not framed.

    Args:
        limit: bytes one line may have; beyond it `feed` raises `LimitError` (R15).
    """

    def __init__(self, *, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit)

    def _frame(self, line: bytes, *, last: bool) -> Frame:
        code = _CODE.match(line)
        text, value, flags = read_json(line[code.end() :] if code else line, cut=last)
        if not code:  # a bare JSON value is not a part of this protocol either
            value, flags = None, flags | {"malformed"}
        if last:
            flags |= {"unterminated"}
        event = code[1].decode() if code else ""
        return Frame(data=text, event=event, value=value, line=self._line, raw=line, flags=flags)
