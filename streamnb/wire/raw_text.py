"""A body that is nothing but text: every piece that completes a character is a frame.

Must not know: lines, JSON, sockets, clocks, any API.
"""

from __future__ import annotations

import codecs
from typing import Final

from streamnb.wire._state import FramerState
from streamnb.wire._text import BOM, decode
from streamnb.wire.frame import Frame

_MARK: Final = BOM.decode()


class RawTextFramer(FramerState):
    """Decodes UTF-8 incrementally; a frame is the text that one `feed` completed, with the event "text".

    How the stream is cut decides how many frames there are, never their joined `data` or joined `raw` (which is the
    stream without its byte order mark). Bytes that are not UTF-8 become U+FFFD and flag the frame `lossy`; a character
    cut by the end of the stream also flags it `unterminated`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pending = b""
        self._at_start = True

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return at most one frame."""
        raw = self._pending + data
        flags: frozenset[str] = frozenset()
        try:
            text, used = codecs.utf_8_decode(raw, "strict", False)  # noqa: FBT003 - positional-only in C
        except UnicodeDecodeError:
            text, used = codecs.utf_8_decode(raw, "replace", False)  # noqa: FBT003
            flags = frozenset({"lossy"})
        self._pending, raw = raw[used:], raw[:used]
        if self._at_start and text:
            self._at_start = False
            if text.startswith(_MARK):
                self.bom, text, raw = True, text[len(_MARK) :], raw[len(BOM) :]
        return [Frame(data=text, event="text", raw=raw, flags=flags)] if text else []

    def close(self) -> list[Frame]:
        """End of the stream; return the character it cut, if it cut one."""
        raw, self._pending = self._pending, b""
        if not raw:
            return []
        self.incomplete = True
        text, _ = decode(raw)
        return [Frame(data=text, event="text", raw=raw, flags=frozenset({"lossy", "unterminated"}))]
