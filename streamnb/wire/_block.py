"""The fields of one SSE block while they arrive, and how they read once the block has ended.

Must not know: where the block stands in the stream, ids, sockets, clocks, any API.
"""

from __future__ import annotations

from typing import Final

from streamnb.wire._brackets import bracket_step, without_trailing_commas
from streamnb.wire._text import decode
from streamnb.wire.strict_json import is_json

NO_FLAGS: Final[frozenset[str]] = frozenset()
_LOSSY: Final = frozenset({"lossy"})
_MALFORMED: Final = frozenset({"malformed"})
_NO_DATA: Final = frozenset({"no_data"})
_JSON_HEADS: Final = (b"{", b"[")
_DONE: Final = "[DONE]"


Reading = tuple[str, frozenset[str], int | None]
"""One event that a block holds: its data, its flags, where its bytes end within the block (None: with the block)."""


class Block:
    """A block read exactly as WHATWG HTML 9.2.6 says.

    Attributes:
        event: the event type buffer, "" for "message".
        known: a line with a known field name was seen.
        open: its data is JSON whose brackets are not all closed, so that a blank line may be layout (never here).
        held: blank lines seen since then.
    """

    def __init__(self) -> None:
        self.event = ""
        self.known = self.open = False
        self.held = 0
        self._lines: list[str] = []
        self._flags = NO_FLAGS

    def clear(self) -> None:
        """Start the next block."""
        self.event = ""
        self.known = False
        self._lines = []
        self._flags = NO_FLAGS

    def text(self, value: bytes) -> str:
        """A field's value as text; marks the block when bytes are not UTF-8 (C1)."""
        text, lossy = decode(value)
        if lossy:
            self._flags |= _LOSSY
        return text

    def add(self, value: bytes, offset: int) -> None:  # noqa: ARG002 - the tolerant block needs the offset
        """A `data` field whose line begins `offset` bytes into the block."""
        self._lines.append(self.text(value))

    def add_unknown(self, line: bytes) -> None:
        """A line that is no field we know: ignored."""

    def ends_before_event(self) -> bool:
        """Whether an `event` field that arrives now begins the next block."""
        return False

    def readings(self) -> list[Reading]:
        """The events it holds, now that it has ended."""
        return [("\n".join(self._lines), self._flags, None)] if self._lines else []


class TolerantBlock(Block):
    """A block that also understands JSON printed over several lines and events without blank lines (WIRE 0.3, 0.4).

    While every `data` field begins with a bracket, the block is a sequence of values: a field that arrives when all
    brackets are closed begins the next value. What reads as JSON by the standard is never read differently.
    """

    def __init__(self) -> None:
        super().__init__()
        self._json = True  # every value so far begins with a bracket
        self._level = self._in_string = 0
        self._starts: list[tuple[int, int]] = []  # of each value: its first line, its offset in bytes
        self._continued: set[int] = set()  # numbers of the values that took in unprefixed lines
        self._fields: list[str] | None = None  # the standard's reading, once it differs from `_lines`

    def clear(self) -> None:
        """Start the next block."""
        self.event = ""
        self.known = self.open = False
        self._lines = []
        self._flags = NO_FLAGS
        self.held = 0
        self._json = True
        self._starts = []
        if self._fields is not None:
            self._fields = None
            self._continued.clear()

    def add(self, value: bytes, offset: int) -> None:
        """A `data` field: continues the open JSON value or begins the next one."""
        if not self.open:
            self._starts.append((len(self._lines), offset))
            self._json = self._json and value.startswith(_JSON_HEADS)
            self._level = self._in_string = 0
        if self._json:
            self._advance(value)
        text = self.text(value)
        self._lines.append(text)
        if self._fields is not None:
            self._fields.append(text)

    def add_unknown(self, line: bytes) -> None:
        """A line that is no field we know: part of the open JSON value, else ignored (WIRE 0.3)."""
        if not self.open:
            return
        if self._fields is None:
            self._fields = self._lines.copy()
        if self.held:
            self._lines.append("\n" * (self.held - 1))
            self.held = 0
        self._lines.append(self.text(line))
        self._advance(line)
        self._continued.add(len(self._starts) - 1)

    def ends_before_event(self) -> bool:
        """WIRE 0.4: it has a type and complete data, so an `event` line is the next block's."""
        return bool(self.event and self._lines) and not self.open

    def readings(self) -> list[Reading]:
        """The events it holds: one, unless it holds several JSON values (WIRE 0.4)."""
        if not self._lines:
            return [("", self._flags | _NO_DATA, None)] if self.event else []
        if self._fields is None and len(self._starts) == 1:
            return [self._as_standard(self._lines)]
        standard = self._as_standard(self._lines if self._fields is None else self._fields)
        if is_json(standard[0]):
            return [(standard[0], self._flags, None)]
        separate = self._separate()
        if separate:
            return separate
        return [standard if self._fields is None else self._as_json(self._lines, continued=True)]

    def _advance(self, line: bytes) -> None:
        change, self._in_string = bracket_step(line, self._in_string)
        self._level += change
        self.open = self._level > 0

    def _as_standard(self, lines: list[str]) -> Reading:
        return "\n".join(lines), self._flags | _MALFORMED if self.open else self._flags, None

    def _as_json(self, lines: list[str], *, continued: bool) -> Reading:
        """One value; only what unprefixed lines were added to is repaired."""
        text = "\n".join(lines)
        flags = self._flags | {"continued"} if continued else self._flags
        if text == _DONE or is_json(text):
            return text, flags, None
        repaired = without_trailing_commas(text) if continued else text
        if is_json(repaired):
            return repaired, flags | {"repaired"}, None
        return text, flags | _MALFORMED, None

    def _separate(self) -> list[Reading]:
        """One event per value if each is JSON (the last one may be cut), else nothing."""
        if not self._json or len(self._starts) == 1:
            return []
        ends = [*self._starts[1:], (len(self._lines), None)]
        readings = []
        for number, ((first, _), (stop_line, stop)) in enumerate(zip(self._starts, ends, strict=True)):
            text, flags, _ = self._as_json(self._lines[first:stop_line], continued=number in self._continued)
            readings.append((text, flags | {"implicit"}, stop))
        whole = readings[:-1] if self.open else readings
        return readings if all("malformed" not in flags for _, flags, _ in whole) else []
