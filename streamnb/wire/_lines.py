"""Splits a stream at LF into lines and reads one line's JSON: what JSON Lines and prefix lines share (J1-J7).

Must not know: which of the two it serves, SSE, any API.
"""

from __future__ import annotations

import abc
from typing import Any

from streamnb.errors import LimitError
from streamnb.wire._state import FramerState
from streamnb.wire._text import bom_length, decode
from streamnb.wire.frame import Frame
from streamnb.wire.strict_json import JSONError, loads


class LineSplitter:
    """Bytes in, lines without their LF out; linear for every way of cutting the stream.

    Attributes:
        bom: a leading byte order mark was stripped.
    """

    def __init__(self, limit: int) -> None:
        self.bom = False
        self._limit = limit
        self._rest = bytearray()
        self._at_start = True
        self._error: LimitError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes.

        Raises:
            LimitError: a line is longer than the limit. Lines completed before it are returned first;
                then the next call raises.
        """
        self._raise_kept()
        if self._at_start:
            data = self._without_bom(data)
        lines = data.split(b"\n")
        tail = lines.pop()
        if lines and self._rest:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += tail
        lines = self._within_limit(lines)
        if not lines:
            self._raise_kept()
        return lines

    def close(self) -> bytes:
        """The last line, which has no LF; empty when the stream ended with one.

        Raises:
            LimitError: a line was longer than the limit.
        """
        self._raise_kept()
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def _without_bom(self, data: bytes) -> bytes:
        head = bytes(self._rest) + data
        self._rest.clear()
        length = bom_length(head)
        if length is None:
            self._rest += head
            return b""
        self._at_start = False
        self.bom = length > 0
        return head[length:]

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        too_long = next((n for n, line in enumerate(lines) if len(line) > self._limit), None)
        if too_long is None and len(self._rest) <= self._limit:
            return lines
        self._error = LimitError(
            f"the server sent a line of more than {self._limit} bytes; raise `limit` if it should be accepted"
        )
        return lines[:too_long]

    def _raise_kept(self) -> None:
        if self._error is not None:
            self._rest.clear()
            raise self._error


class LineFramer(FramerState, abc.ABC):
    """The part of both framers that is not about one line's content."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._lines = LineSplitter(limit)
        self._line = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return a frame per completed line that is not blank."""
        lines = self._lines.feed(data)
        self.bom = self._lines.bom
        return [frame for line in lines for frame in self._read(line.removesuffix(b"\r"), last=False)]

    def close(self) -> list[Frame]:
        """End of the stream; return the frame of a last line without LF, if there is one."""
        rest = self._lines.close()
        frames = self._read(rest, last=True) if rest else []
        self.incomplete = any("malformed" in frame.flags for frame in frames)
        return frames

    def _read(self, line: bytes, *, last: bool) -> list[Frame]:
        self._line += 1
        if line.strip(b" \t\r"):
            return [self._frame(line, last=last)]
        self.blank_lines += 1
        return []

    @abc.abstractmethod
    def _frame(self, line: bytes, *, last: bool) -> Frame:
        """The frame of a line that is not blank; `last` when it had no LF."""


def read_json(payload: bytes, *, cut: bool) -> tuple[str, Any, frozenset[str]]:
    """Text, value and flags of one line's JSON; what cannot be parsed is `malformed` plus the error's name.

    Args:
        payload: the bytes that should be one JSON text.
        cut: the line had no LF, so that an error means `truncated`.
    """
    try:
        value, flags = loads(payload)
    except JSONError as error:
        text, lossy = decode(payload)
        name = "truncated" if cut and error.name != "limit" else error.name
        return text, None, frozenset({"malformed", name, *(["lossy"] if lossy else [])})
    return payload.decode(), value, flags
