"""Lines `data: VALUE` that one LF LF can end: what nearly every chat stream sends, told in a few C calls.

Must not know: ids, frames, what stands before these bytes, any API.
"""

from __future__ import annotations

import sys
from typing import Final

from streamnb.wire._brackets import bracket_step

BEGIN: Final = b"data: "
END: Final = b"\n\n"
LF, CR, QUOTE, BACKSLASH = b'\n\r"\\'
"""Bytes are searched for one at a time, as numbers: that is `memchr`, ten times as fast as any other search."""
_TRIES: Final = 16
_QUOTES: Final = 3
_LONGEST: Final = 16 * 1024
"""Bounds of what is learnt, so that no line costs more than its length."""


class PlainLines:
    r"""Tells whether the JSON of a line `data: VALUE` closes what it opens, as `bracket_step` says, without counting.

    The lines of one stream differ in one string, the piece of the answer. A line that is the same before and behind
    it, and whose string does not end before its end, closes as the line did that the rest was learnt from.

    Attributes:
        head: the line up to and with the opening quote of that string.
        tail: the rest of the line from the closing quote on, and the blank line.
        least: how long both are together; nothing is that long as long as nothing is learnt.
    """

    def __init__(self) -> None:
        self.head = self.tail = self._tail = self._last = b""
        self.least = sys.maxsize
        self._tries = _TRIES

    def blocks(self, data: bytes) -> list[bytes]:
        """The blocks of `data`, which ends with a blank line and has no CR; none if one of them is not plain."""
        lines = data.split(b"\n")
        lines.pop()
        if not self._alike(data, lines[::2]) and (any(lines[1::2]) or not all(map(self._closes, lines[::2]))):
            return []
        return [line + END for line in lines[::2]]

    def _alike(self, data: bytes, lines: list[bytes]) -> bool:
        """Whether all lines are as the learnt one, which is told by putting them together again."""
        head, tail = self.head, self.tail
        start, stop = len(head), len(END) - len(tail)
        strings = [line[start:stop] for line in lines]
        if self.least > len(data) or head + (tail + head).join(strings) + tail != data:
            return False
        return stays_inside(b"\n".join(strings))

    def _closes(self, line: bytes) -> bool:
        if (
            len(line) + len(END) >= self.least
            and line.startswith(self.head)
            and line.endswith(self._tail)
            and stays_inside(line[len(self.head) : -len(self._tail)])
        ):
            return True
        if not line.startswith(BEGIN) or bracket_step(line, 0)[0] > 0:
            return False
        if self._tries and len(line) <= _LONGEST:
            self._tries -= 1
            self._learn(line)
        return True

    def _learn(self, line: bytes) -> None:
        """Find the string in which this line differs from the one before it."""
        before, self._last = self._last, line
        start = _first_difference(before, line)
        for _ in range(_QUOTES):
            start = line.rfind(b'"', 0, start)
            head = line[: start + 1]
            if not bracket_step(head, 0)[1]:
                continue  # a closing quote, or none
            string, _, tail = line[len(head) :].partition(b'"')
            if tail and BACKSLASH not in string:
                self.head, self._tail = head, b'"' + tail
                self.tail = self._tail + END
                self.least = len(head) + len(self.tail)
            return


def stays_inside(text: bytes) -> bool:
    """Whether what stands between two quotes is one JSON string: no quote in it ends it, nor is the last one escaped.

    Args:
        text: one, or several with LF between them.
    """
    if BACKSLASH in text:  # pairs first: the quote after an even run of backslashes does delimit
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
        if text.endswith(b"\\") or b"\\\n" in text:
            return False
    return QUOTE not in text


def _first_difference(one: bytes, other: bytes) -> int:
    size = min(len(one), len(other))
    apart = int.from_bytes(one[:size], "big") ^ int.from_bytes(other[:size], "big")
    return size - (apart.bit_length() + 7) // 8
