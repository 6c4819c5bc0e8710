"""Server-sent events: the WHATWG algorithm exactly, and a tolerant reading that also yields, flagged, what it drops.

Must not know: sockets, clocks, JSON's meaning, any API.
"""

from __future__ import annotations

from typing import Final

from streamnb.errors import LimitError
from streamnb.wire._block import NO_FLAGS, Block, Reading, TolerantBlock
from streamnb.wire._state import DEFAULT_LIMIT, FramerState
from streamnb.wire._text import bom_length, decode
from streamnb.wire.frame import Frame

MAX_COMMENTS: Final = 1000
MAX_COMMENT_CHARS: Final = 1024 * 1024
_LF: Final = 0x0A
_COLON: Final = 0x3A
_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_MAX_RETRY_DIGITS: Final = 640  # the least that sys.set_int_max_str_digits can be set to
_UNTERMINATED: Final = frozenset({"unterminated"})
_IMPLICIT: Final = frozenset({"implicit"})
_COMMENT: Final = frozenset({"comment"})


class SSEFramer(FramerState):
    r"""Reads `text/event-stream`.

    `strict=True` is WHATWG HTML 9.2.5 and 9.2.6 to the letter. The default gives the same frames for every stream that
    the standard reads well, and besides (WIRE 0.2-0.4) frames flagged

    - `continued`: JSON went on in lines without `data:`; `repaired`: and had commas before closing brackets;
    - `implicit`: the event ended without a blank line, because the next one began;
    - `no_data`: a named event without data;
    - `unterminated`: the stream ended inside the block; `malformed`: its JSON is cut;
    - `comment` (only with `comment_frames`): a comment, in its place, before the block it stands in.

    `lossy` marks bytes that are not UTF-8, in both modes. How the stream is cut into feeds never changes the frames,
    `raw` included, and a frame comes with the byte that completes it. Only a block whose data begins with a bracket
    and is not closed waits for one more line.

    Every byte is in the `raw` of exactly one frame or counted in `skipped_bytes`: byte order mark, blank lines and
    blocks that are no event, comments unless framed, the LF of a CRLF whose CR already ended a frame (C4), and `tail`.
    `raw` keeps the order of the stream, except that a comment inside a block comes before it.

    Args:
        strict: the standard and nothing else.
        last_event_id: the id in force at the start, for a stream that is resumed.
        comment_frames: also yield comments (never when strict).
        limit: bytes one block with the line being read may have; beyond it `feed` raises `LimitError` (R15). Frames
            completed before that are returned first; then the next call raises.

    Attributes:
        skipped_bytes: bytes of the stream that are in no frame.
        tail: after `close`: the bytes at the end that no frame holds.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        last_event_id: str = "",
        comment_frames: bool = False,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        super().__init__()
        self.last_event_id = last_event_id
        self.skipped_bytes = 0
        self.tail = b""
        self._strict = strict
        self._comment_frames = comment_frames and not strict
        self._limit = limit
        self._id = last_event_id
        self._block = Block() if strict else TolerantBlock()
        self._frames: list[Frame] = []
        self._error: LimitError | None = None
        self._comment_chars = 0
        # `_view` is what is not yet in a frame: the open block from `_start`, its unfinished line from `_line`.
        self._view: bytes | bytearray = b""
        self._start = self._line = self._scanned = 0
        self._parts: list[bytes] = []  # earlier bytes of the open block, up to the last comment inside it
        self._parts_size = 0
        self._at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the frames they complete."""
        if self._error is not None:
            raise self._error
        if self._view:
            self._view += data  # a bytearray by now: appending is amortised O(1)
        else:
            self._view = data
        if not self._at_start or self._strip_bom():
            self._read_lines()
        self._drop_read()
        return self._taken()

    def close(self) -> list[Frame]:
        """End of the stream; return what was still open, flagged, or nothing when strict."""
        if self._error is not None:
            raise self._error
        view, end = self._view, len(self._view)
        self.incomplete = self._line < end or (self._block.known and not self._block.held)
        if not self._strict:
            self._flush(view, end)
        self.tail = b"".join([*self._parts, view[self._start :]])
        self.skipped_bytes += len(self.tail)
        self._start = end
        self._drop_read()
        self._block.clear()
        return self._taken()

    def _strip_bom(self) -> bool:
        length = bom_length(self._view)
        if length is None:
            return False
        self._at_start = False
        self.bom = length > 0
        self.skipped_bytes += length
        self._start = self._line = self._scanned = length
        return True

    def _read_lines(self) -> None:
        """Read every completed line; each byte is looked at once, however the stream is cut (C15)."""
        view, size = self._view, len(self._view)
        line = self._line
        lf, cr = view.find(b"\n", self._scanned), view.find(b"\r", self._scanned)
        while True:
            if self._after_cr and line < size:
                self._after_cr = False
                if view[line] == _LF:
                    line += 1
                    self._skip_lf(line)
                    lf = view.find(b"\n", line)
            end = lf if cr < 0 or 0 <= lf < cr else cr
            if not self._within_limit(size if end < 0 else end + 1):
                return
            if end < 0:
                break
            self._read_line(view, line, end)
            line = end + 1
            if end == lf:
                lf = view.find(b"\n", line)
            else:
                cr = view.find(b"\r", line)
                self._after_cr = True
        self._line, self._scanned = line, size

    def _skip_lf(self, stop: int) -> None:
        """The LF of a CRLF: part of its line, unless the CR already ended a frame."""
        if self._start == stop - 1:
            self._start = stop
            self.skipped_bytes += 1

    def _within_limit(self, stop: int) -> bool:
        if stop - self._start + self._parts_size <= self._limit:
            return True
        self._error = LimitError(
            f"the server sent an event of more than {self._limit} bytes; raise `limit` if it should be accepted"
        )
        self._start = self._line = self._scanned = len(self._view)
        self._parts.clear()
        return False

    def _read_line(self, view: bytes | bytearray, begin: int, end: int) -> None:
        if begin == end:
            self._blank_line(view, end + 1)
        elif view[begin] == _COLON:
            self._comment(view, begin, end, end + 1)
        else:
            line = bytes(view[begin:end])
            name, _, value = line.partition(b":")
            if name in _FIELDS:
                self._field(view, begin, name, value.removeprefix(b" "))
            else:
                self._block.add_unknown(line)

    def _blank_line(self, view: bytes | bytearray, stop: int) -> None:
        block = self._block
        if block.open:
            block.held += 1
            return
        if not block.known:
            self.blank_lines += 1
        self._end_block(view, stop)

    def _field(self, view: bytes | bytearray, begin: int, name: bytes, value: bytes) -> None:
        block = self._block
        if block.held:
            self._end_block(view, begin)
        if name == b"data":
            block.add(value, self._parts_size + begin - self._start)
        elif name == b"event":
            if value and block.ends_before_event():
                self._end_block(view, begin, _IMPLICIT)
            block.event = block.text(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = block.text(value)
        elif value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:  # bytes.isdigit is ASCII only (C9)
            self.reconnection_time = int(value)
        block.known = True

    def _comment(
        self, view: bytes | bytearray, begin: int, end: int, stop: int, flags: frozenset[str] = _COMMENT
    ) -> None:
        if self._block.held:
            self._end_block(view, begin)
        text, lossy = decode(view[begin + 1 : end])
        if stop > end:
            self._remember(text)
        if begin > self._start:
            self._parts.append(bytes(view[self._start : begin]))
            self._parts_size += begin - self._start
        self._start = stop
        if self._comment_frames:
            raw = bytes(view[begin:stop])
            flags = flags | {"lossy"} if lossy else flags
            self._frames.append(
                Frame(text, "comment", self.last_event_id, self.reconnection_time, raw=raw, flags=flags)
            )
        else:
            self.skipped_bytes += stop - begin

    def _remember(self, comment: str) -> None:
        """Keep the newest comments only, so that keepalives cost no memory."""
        self.comments.append(comment)
        self._comment_chars += len(comment)
        while len(self.comments) > MAX_COMMENTS or (self._comment_chars > MAX_COMMENT_CHARS and self.comments[1:]):
            self._comment_chars -= len(self.comments.pop(0))

    def _end_block(self, view: bytes | bytearray, stop: int, flags: frozenset[str] = NO_FLAGS) -> None:
        """Dispatch what lies before `stop` and commit the id, also when there is nothing to dispatch (C5, C8)."""
        self.last_event_id = self._id
        readings = self._block.readings()
        if readings:
            self._dispatch(readings, view, stop, flags)
        else:
            self.skipped_bytes += self._parts_size + stop - self._start
            self._clear(stop)

    def _dispatch(self, readings: list[Reading], view: bytes | bytearray, stop: int, extra: frozenset[str]) -> None:
        raw = bytes(view[self._start : stop])
        if self._parts:
            raw = b"".join([*self._parts, raw])
        event, begin = self._block.event or "message", 0
        for text, flags, end in readings:
            flags = flags | extra if extra else flags
            self._frames.append(Frame(text, event, self._id, self.reconnection_time, None, None, raw[begin:end], flags))
            begin = end or 0
        self._clear(stop)

    def _clear(self, start: int) -> None:
        self._start = start
        self._block.clear()
        if self._parts:
            self._parts.clear()
            self._parts_size = 0

    def _flush(self, view: bytes | bytearray, end: int) -> None:
        """C10, tolerant: what the end of the stream cut off comes out, flagged; ids are not committed by it."""
        if self._line < end:
            end = self._read_cut_line(view, self._line, end)
        readings = self._block.readings()
        if readings:
            self._dispatch(readings, view, end, NO_FLAGS if self._block.held else _UNTERMINATED)

    def _read_cut_line(self, view: bytes | bytearray, begin: int, end: int) -> int:
        """Read a last line without line end; return where the block ends, before it if it may be a cut field name."""
        line = bytes(view[begin:end])
        if view[begin] == _COLON:
            self._comment(view, begin, end, end, _COMMENT | _UNTERMINATED)
        elif line.startswith(b"retry:") or any(field.startswith(line) for field in _FIELDS):
            return begin  # a cut number is another number
        else:
            self._read_line(view, begin, end)
        return end

    def _drop_read(self) -> None:
        """Keep only the open block: memory is O(event)."""
        view, start = self._view, self._start
        if start == len(view):
            self._view = b""
        elif isinstance(view, bytearray):
            del view[:start]
        else:
            self._view = bytearray(view[start:])
        self._line -= start
        self._scanned -= start
        self._start = 0

    def _taken(self) -> list[Frame]:
        frames, self._frames = self._frames, []
        if self._error is not None and not frames:
            raise self._error
        return frames
