"""A whole body read as one JSON value: a JSON reply, or an error that came as 200 instead of a stream (WIRE 0.5).

Must not know: what the value means, sockets, clocks, any API.
"""

from __future__ import annotations

from typing import Any, Final

from streamnb.wire._state import FramerState
from streamnb.wire._text import bom_length, decode
from streamnb.wire.frame import Frame
from streamnb.wire.strict_json import JSONError, loads

BODY_LIMIT: Final = 1024 * 1024


class JSONBodyFramer(FramerState):
    """Collects the body; `close` returns exactly one frame with its text, `value` and `raw`.

    Flags: `no_data` for an empty or blank body; `malformed` and the error's name when it is not JSON; `limit` when it
    was longer than the limit, of which `raw` then holds the first `limit` bytes; `lossy` when it is not UTF-8.

    Args:
        name: the frame's event, the name of the call that was answered.
        limit: bytes of the body to keep.
    """

    def __init__(self, name: str, *, limit: int = BODY_LIMIT) -> None:
        super().__init__()
        self._name = name
        self._limit = limit
        self._body = bytearray()
        self._cut = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; the frame comes with `close`."""
        room = self._limit - len(self._body)
        self._body += data[:room]
        self._cut |= len(data) > room
        return []

    def close(self) -> list[Frame]:
        """End of the body; return its frame."""
        raw = bytes(self._body)
        start = bom_length(raw) or 0
        self.bom = start > 0
        text, lossy = decode(raw[start:])
        value, flags = self._value(text)
        if lossy:
            flags |= {"lossy"}
        if self._cut:
            flags |= {"limit"}
        self.incomplete = "malformed" in flags and text.lstrip()[:1] in {"{", "["}
        return [Frame(data=text, event=self._name, value=value, raw=raw, flags=flags)]

    def _value(self, text: str) -> tuple[Any, frozenset[str]]:
        if not text.strip():
            return None, frozenset({"no_data"})
        try:
            return loads(text)
        except JSONError as error:
            return None, frozenset({"malformed", error.name})
