"""The bytes of an SSE stream that are in no frame yet: where lines end (C2-C4), where the open block begins, how much.

Must not know: fields, events, frames, any API.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamnb.errors import LimitError
from streamnb.wire._text import bom_length


class SSEBuffer:
    """Bytes in, lines out; every byte ends up in what `take` returns or in the count `skipped`.

    Positions are offsets into the bytes held, and valid until the next `feed`.

    Attributes:
        bom: a leading byte order mark was stripped.
        skipped: bytes that belong to no frame.
        line: where the line that has no end yet begins.
        error: set once the open block with that line is longer than the limit.
        limit: bytes the open block with that line may have.
        empty: nothing is open: no bytes are held, none stand before a comment, and there is no error.
    """

    def __init__(self, limit: int) -> None:
        self.bom = False
        self.skipped = 0
        self.line = 0
        self.error: LimitError | None = None
        self.limit = limit
        self.empty = True
        self._held: bytes | bytearray = b""
        self._start = 0  # the open block; everything before it is taken or skipped
        self._scanned = 0
        self._parts: list[bytes] = []  # bytes of the open block that stand before a comment inside it
        self._parts_size = 0
        self._at_start = True
        self.after_cr = False

    def add(self, data: bytes | bytearray) -> None:
        """Take the next bytes; after an error they are dropped."""
        if self.error is not None:
            return
        self.empty = False
        if self._held:
            self._held += data  # a bytearray by now: appending is amortised O(1)
        else:
            self._held = data

    def pass_by(self) -> None:
        """Whole blocks that begin with neither a byte order mark nor LF were read without this buffer."""
        self._at_start = self.after_cr = False

    def hold(self, data: bytes) -> bool:
        """Take bytes without a line end; False when they want a closer look, and nothing is done."""
        size = len(self._held) + len(data) + self._parts_size
        if self._at_start or self.after_cr or size > self.limit or self.error is not None:
            return False
        self.add(data if self._held else bytearray(data))
        self._scanned = len(self._held)
        return True

    def only_line(self, data: bytes) -> bool:
        """Whether nothing is open but the one line that `data` goes on with, and the limit allows both."""
        size = len(self._held) + len(data)
        return not self.line and not self._parts_size and size <= self.limit and self.error is None

    def take_line(self) -> bytes:
        """That line so far: nothing is held any more."""
        line, self._held = bytes(self._held), b""
        self._scanned = 0
        self.empty = True
        return line

    def lines(self) -> Iterator[tuple[int, bytes, int]]:
        """Begin, text and stop of each completed line. Must be exhausted before the next bytes.

        Every byte is searched once, however the stream is cut (C15).
        """
        if self._at_start and not self._strip_bom():
            return
        held, size, begin, limit = self._held, len(self._held), self.line, self.limit
        lf, cr = held.find(b"\n", self._scanned), held.find(b"\r", self._scanned)
        while True:
            end = lf if cr < 0 or 0 <= lf < cr else cr
            stop = size if end < 0 else end + 1
            if self.after_cr and begin < size:
                self.after_cr = False
                if lf == begin:
                    begin = self._skip_lf(begin)
                    lf = held.find(b"\n", begin)
                    continue
            if stop - self._start + self._parts_size > limit:
                self._give_up()
                break
            if end < 0:
                self.line, self._scanned = begin, size
                break
            yield begin, bytes(held[begin:end]), stop
            begin = stop
            if end == lf:
                lf = held.find(b"\n", begin)
            else:
                cr = held.find(b"\r", begin)
                self.after_cr = True  # C4: the line ends now; one LF after it is swallowed, in whichever feed
        self._drop_taken()

    def rest(self) -> bytes:
        """The last line, without line end; empty when the stream ended with one."""
        return bytes(self._held[self.line :])

    def offset(self, position: int) -> int:
        """How many bytes the open block has before `position`."""
        return self._parts_size + position - self._start

    def take(self, stop: int) -> bytes:
        """The bytes of the open block, which ends at `stop`."""
        raw = bytes(self._held[self._start : stop])
        self._start = stop
        if self._parts:
            raw = b"".join([*self._parts, raw])
            self._drop_parts()
        return raw

    def skip(self, stop: int) -> None:
        """The open block ends at `stop` and is no event."""
        self.skipped += self.offset(stop)
        self._start = stop
        self._drop_parts()

    def cut_out(self, begin: int, stop: int) -> bytes:
        """The bytes of one line inside the open block, which goes on after it."""
        if begin > self._start:
            self._parts.append(bytes(self._held[self._start : begin]))
            self._parts_size += begin - self._start
        self._start = stop
        return bytes(self._held[begin:stop])

    def close(self) -> bytes:
        """The end of the stream; returns, and counts as skipped, what nobody took."""
        tail = self.take(len(self._held))
        self.skipped += len(tail)
        self._held = b""
        self.line = self._start = self._scanned = 0
        return tail

    def _strip_bom(self) -> bool:
        length = bom_length(self._held)
        if length is None:
            return False
        self._at_start = False
        self.bom = length > 0
        self.skipped += length
        self._start = self.line = self._scanned = length
        return True

    def _skip_lf(self, begin: int) -> int:
        """The LF of a CRLF stays with its line, unless the CR already ended what the line belongs to."""
        if self._start == begin:
            self._start += 1
            self.skipped += 1
        return begin + 1

    def _give_up(self) -> None:
        self.error = LimitError(
            f"the server sent an event of more than {self.limit} bytes; raise `limit` if it should be accepted"
        )
        self._start = self.line = self._scanned = len(self._held)
        self._drop_parts()

    def _drop_parts(self) -> None:
        self._parts.clear()
        self._parts_size = 0

    def _drop_taken(self) -> None:
        """Hold the open block only: memory is O(event)."""
        held, start = self._held, self._start
        if start == len(held):
            self._held = b""
        elif isinstance(held, bytearray):
            del held[:start]
        else:
            self._held = bytearray(held[start:])
        self.line -= start
        self._scanned -= start
        self._start = 0
        self.empty = not self._held and not self._parts_size and self.error is None
