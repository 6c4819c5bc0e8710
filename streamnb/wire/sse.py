"""Server-sent events: the WHATWG algorithm exactly, and a tolerant reading that also yields, flagged, what it drops.

Must not know: sockets, clocks, JSON's meaning, any API.
"""

from __future__ import annotations

from typing import Final

from streamnb.frozen import maker
from streamnb.wire._block import NO_FLAGS, Block, TolerantBlock
from streamnb.wire._plain import BEGIN, CR, END, LF, PlainLines, stays_inside
from streamnb.wire._sse_buffer import SSEBuffer
from streamnb.wire._state import DEFAULT_LIMIT, FramerState
from streamnb.wire._text import decode
from streamnb.wire.frame import Frame

MAX_COMMENTS: Final = 1000
MAX_COMMENT_CHARS: Final = 1024 * 1024
_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_MAX_RETRY_DIGITS: Final = 640  # the least that sys.set_int_max_str_digits can be set to
_UNTERMINATED: Final = frozenset({"unterminated"})
_IMPLICIT: Final = frozenset({"implicit"})
_COMMENT: Final = frozenset({"comment"})
_frame: Final = maker(Frame)
_VALUE: Final = slice(len(BEGIN), -len(END))


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
        tail: after `close`: the bytes of the block and line the end cut off, as far as no frame holds them.
    """

    def __init__(
        self,
        strict: bool = False,
        last_event_id: str = "",
        *,
        comment_frames: bool = False,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        super().__init__()
        self.last_event_id = last_event_id
        self.tail = b""
        self._id = last_event_id
        self._strict = strict
        self._comment_frames = comment_frames and not strict
        self._comment_chars = 0
        self._buffer = SSEBuffer(limit)
        self._block = Block() if strict else TolerantBlock()
        self._frames: list[Frame] = []
        self._lines = PlainLines()

    @property
    def skipped_bytes(self) -> int:
        """Bytes of the stream that are in no frame."""
        return self._buffer.skipped

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the frames they complete."""
        buffer, lines = self._buffer, self._lines
        if buffer.empty and len(data) <= buffer.limit:
            if data.startswith(lines.head) and data.endswith(lines.tail) and len(data) >= lines.least:
                differs = data[len(lines.head) : -len(lines.tail)]
                if LF not in differs and CR not in differs and stays_inside(differs):
                    return self._one(data)
            return self._blocks(data)
        if LF not in data and CR not in data:
            return [] if buffer.hold(data) else self._scan(data)
        return self._blocks(buffer.take_line() + data) if buffer.only_line(data) else self._scan(data)

    def _one(self, data: bytes) -> list[Frame]:
        """The frame of a block of one plain `data` line, with nothing open before it."""
        try:
            text = data[_VALUE].decode()
        except UnicodeDecodeError:
            return self._scan(data)
        self._buffer.after_cr = False
        self.last_event_id = last_id = self._id
        return [_frame(text, "message", last_id, self.reconnection_time, None, None, data, NO_FLAGS)]

    def _blocks(self, data: bytes) -> list[Frame]:
        """The frames of `data`, with nothing open before it: quickly while blocks are one plain `data` line each."""
        stop = data.rfind(END) + len(END)
        frames = self._plain(data[:stop]) if stop > len(END) and CR not in data else []
        if not frames:
            return self._scan(data)
        rest = data[stop:]
        if rest and (LF in rest or not self._buffer.hold(rest)):
            frames += self._scan(rest)
        return frames

    def _plain(self, data: bytes) -> list[Frame]:
        found = self._lines.blocks(data)
        last_id, retry = self._id, self.reconnection_time
        try:
            frames = [
                _frame(raw[_VALUE].decode(), "message", last_id, retry, None, None, raw, NO_FLAGS) for raw in found
            ]
        except UnicodeDecodeError:
            return []
        if frames:
            self.last_event_id = last_id
            self._buffer.pass_by()
        return frames

    def _scan(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        buffer.add(data)
        for begin, line, stop in buffer.lines():
            if not line:
                self._blank_line(stop)
            elif line.startswith(b":"):
                self._comment(line, begin, stop)
            else:
                self._field(line, begin)
        self.bom = buffer.bom
        if buffer.error is not None:
            self._block.clear()
        return self._taken()

    def close(self) -> list[Frame]:
        """End of the stream; return what was still open, flagged, or nothing when strict."""
        rest = self._buffer.rest()
        self.incomplete = bool(rest) or (self._block.known and not self._block.held)
        if not self._strict:
            self._flush(rest)
        self.tail = self._buffer.close()
        self._block.clear()
        return self._taken()

    def _blank_line(self, stop: int) -> None:
        block = self._block
        if block.open:
            block.held += 1
            return
        if block.known:
            self._end_block(stop)
        else:
            self.blank_lines += 1
            self._buffer.skip(stop)

    def _field(self, line: bytes, begin: int) -> None:
        name, _, value = line.partition(b":")
        if name not in _FIELDS:
            self._block.add_unknown(line)
            return
        block, value = self._block, value.removeprefix(b" ")
        if block.held:
            self._end_block(begin)
        if name == b"data":
            block.add(value, self._buffer.offset(begin))
        elif name == b"event":
            if value and block.ends_before_event():
                self._end_block(begin, _IMPLICIT)
            block.event = block.text(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = block.text(value)
        elif value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:  # bytes.isdigit is ASCII only (C9)
            self.reconnection_time = int(value)
        block.known = True

    def _comment(self, line: bytes, begin: int, stop: int, flags: frozenset[str] = _COMMENT) -> None:
        if self._block.held:
            self._end_block(begin)
        text, lossy = decode(line[1:])
        if "unterminated" not in flags:
            self._remember(text)
        raw = self._buffer.cut_out(begin, stop)
        if self._comment_frames:
            if lossy:
                flags |= {"lossy"}
            self._frames.append(
                Frame(text, "comment", self.last_event_id, self.reconnection_time, raw=raw, flags=flags)
            )
        else:
            self._buffer.skipped += len(raw)

    def _remember(self, comment: str) -> None:
        """Keep the newest comments only, so that keepalives cost no memory."""
        self.comments.append(comment)
        self._comment_chars += len(comment)
        while len(self.comments) > MAX_COMMENTS or (self._comment_chars > MAX_COMMENT_CHARS and self.comments[1:]):
            self._comment_chars -= len(self.comments.pop(0))

    def _end_block(self, stop: int, extra: frozenset[str] = NO_FLAGS) -> None:
        """Dispatch what lies before `stop` and commit the id, also when there is nothing to dispatch (C5, C8)."""
        self.last_event_id = self._id
        if not self._dispatch(stop, extra):
            self._buffer.skip(stop)
            self._block.clear()

    def _dispatch(self, stop: int, extra: frozenset[str]) -> bool:
        block = self._block
        readings = block.readings()
        if not readings:
            return False
        raw = self._buffer.take(stop)
        event, begin = block.event or "message", 0
        for text, unusual, end in readings:
            flags = unusual | extra if extra else unusual
            self._frames.append(
                _frame(text, event, self._id, self.reconnection_time, None, None, raw[begin:end], flags)
            )
            begin = end or 0
        block.clear()
        return True

    def _flush(self, rest: bytes) -> None:
        """C10, tolerant: what the end of the stream cut off comes out, flagged; it commits no id."""
        begin = self._buffer.line
        stop = begin + len(rest)
        if rest.startswith(b":"):
            self._comment(rest, begin, stop, _COMMENT | _UNTERMINATED)
        elif rest.startswith(b"retry:") or any(field.startswith(rest) for field in _FIELDS):
            stop = begin  # a cut number is another number, a cut name no name
        else:
            self._field(rest, begin)
        self._dispatch(stop, NO_FLAGS if self._block.held else _UNTERMINATED)

    def _taken(self) -> list[Frame]:
        """The frames completed so far; a limit that was hit is raised only when there are none (left)."""
        frames = self._frames
        if frames:
            self._frames = []
        elif self._buffer.error is not None:
            raise self._buffer.error
        return frames
