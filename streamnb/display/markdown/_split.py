"""Cuts a Markdown source into its top-level blocks, line by line, in time that is proportional to its length.

Knows which lines end a block and which may go on with it; in doubt they do: a piece that holds two blocks is rendered
as two, one that holds half a block is not. Must not know: inline Markdown, tokens, HTML.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import Final

from streamnb.display.markdown._formulas import closed_by, opener
from streamnb.display.markdown._marks import Placed, cite, take_out

Range = tuple[int, int]

_FENCE: Final = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_HEADING: Final = re.compile(r"#{1,6}(?:[ \t]|$)")
_RULE: Final = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM: Final = re.compile(r"([-+*]|(\d{1,9})[.)])([ \t]+|$)", re.ASCII)
_UNDERLINE: Final = re.compile(r"(?:=+|-+)[ \t]*$")
_TABLE_LINE: Final = re.compile(r"[ \t]*[-:|][-:| \t]*$")
_CODE_INDENT: Final = 4
_MAYBE_PARAGRAPH: Final = 1
_MAYBE_LIST: Final = 2


@dataclasses.dataclass(slots=True)
class _Open:
    """The block that the next line may go on with.

    Attributes:
        kind: text (a paragraph), table, quote, list, code (by indent), or done: nothing goes on with it.
        marker: what the items of a list begin with.
        width: the indent of what belongs to the last item of a list.
        doubt: a line went on with a list or a quote that, seen closely, may be a paragraph behind it, or even a list.
    """

    kind: str
    marker: str = ""
    width: int = 0
    doubt: int = 0

    def perhaps_a_list(self) -> None:
        """No item ends it from now on."""
        self.kind, self.width, self.doubt = "list", 2, _MAYBE_LIST


def split(source: str) -> list[Range]:
    """Ranges `[start, end)`, in characters, of the top-level blocks of a source, in order.

    They cover everything but blank lines between blocks. Text added to a source changes its last block, or, as long as
    the last line is not complete, joins it with the one before. A citation mark belongs to the block it follows.
    """
    bare, placed = take_out(source)
    lines = bare.split("\n")
    starts = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
    ranges = [(starts[first], starts[end] - 1) for first, end in _Cutter(lines).blocks()]
    return _with_marks(ranges, placed) if placed else ranges


class _Cutter:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def blocks(self) -> Iterator[Range]:
        """First line, and the line behind the last, of every block."""
        first = end = at = 0
        block = _Open("done")
        while at < len(self._lines):
            line = self._lines[at]
            body = line.lstrip(" \t")
            if not body:
                at += 1
                continue
            indent = _width(line[: len(line) - len(body)]) if len(body) < len(line) else 0
            blank = at > end
            if self._goes_on(block, at, indent, body, blank=blank):
                at = self._line_behind(block, at, indent, body)
            else:
                if end > first:
                    yield first, end
                first = at
                block, at = self._begin(at, indent, body)
            end = at
        if end > first:
            yield first, end

    def _goes_on(self, block: _Open, at: int, indent: int, body: str, *, blank: bool) -> bool:
        """Whether a line belongs to the open block. Changes what the block is open for."""
        if block.kind == "code":
            return indent >= _CODE_INDENT
        if block.kind == "done" or (blank and block.kind != "list"):
            return False
        if block.kind == "list" and indent >= block.width:
            return True
        item = _ITEM.match(body) if indent < _CODE_INDENT and not _RULE.match(body) else None
        if block.kind == "list" and item:
            return _goes_on_list(block, item, indent, body, blank=blank)
        if not blank and indent >= _CODE_INDENT and block.kind == "table":  # it is code behind it, if this is a table
            block.perhaps_a_list()
        if blank or indent >= _CODE_INDENT:
            return not blank
        return self._goes_on_paragraph(block, at, item, body)

    def _goes_on_paragraph(self, block: _Open, at: int, item: re.Match[str] | None, body: str) -> bool:
        """Whether a line without indent goes on with the line before it."""
        if block.kind == "quote" and body[0] == ">":
            block.doubt = 0
            return True
        if block.kind not in {"text", "table"} and not block.doubt:
            block.doubt = _MAYBE_PARAGRAPH
            return item is None and not _interrupts(body)
        if block.kind == "text" and self._is_table_line(at, body):
            block.kind = "table"
            return True
        if _UNDERLINE.match(body):
            if block.kind == "text":
                block.kind = "done"  # it was a heading
            elif body.rstrip(" \t") == "-":
                block.perhaps_a_list()
            return True
        if item is None or _interrupting(item, body):
            return item is None and not _interrupts(body)
        if block.kind != "text":  # behind a quote or a table such an item begins a list
            block.perhaps_a_list()
        return True

    def _is_table_line(self, at: int, body: str) -> bool:
        """Whether a line under another makes both the head of a table."""
        return "|" in self._lines[at - 1] and _TABLE_LINE.match(body) is not None

    def _line_behind(self, block: _Open, at: int, indent: int, body: str) -> int:
        """The line behind one that goes on with a block; a fence that is perhaps not the list's is taken whole."""
        if block.doubt and indent < _CODE_INDENT:
            return self._whole(at, body) or at + 1
        return at + 1

    def _whole(self, at: int, body: str) -> int:
        """The line behind a fence or a formula that begins here, or 0."""
        if body[0] not in "`~$\\":
            return 0
        if fence := _FENCE.match(body):
            return self._fence_end(at, fence[1] or fence[2])
        closer = opener(body)
        return self._formula_end(at, closer, body) if closer else 0

    def _next(self, at: int) -> str:
        return self._lines[at + 1] if at + 1 < len(self._lines) else ""

    def _begin(self, at: int, indent: int, body: str) -> tuple[_Open, int]:
        """What begins at a line, and the line behind what is certain of it."""
        end = at + 1
        block = _Open("text")
        if indent >= _CODE_INDENT:
            block.kind = "code"
        elif "|" in body and _TABLE_LINE.match(self._next(at)):
            block.kind = "table"
        elif body[0].isalpha():
            pass
        elif whole := self._whole(at, body):
            block.kind, end = "done", whole
        elif body[0] == ">":
            block.kind = "quote"
        elif _HEADING.match(body) or _RULE.match(body):
            block.kind = "done"
        elif item := _ITEM.match(body):
            block = _Open("list", item[1][-1], _content_indent(indent, item, body))
        return block, end

    def _fence_end(self, at: int, mark: str) -> int:
        for end in range(at + 1, len(self._lines)):
            body = self._lines[end].strip(" \t")
            if body.startswith(mark) and not body.strip(mark[0]):
                line = self._lines[end]
                if _width(line[: len(line) - len(line.lstrip(" \t"))]) < _CODE_INDENT:
                    return end + 1
        return len(self._lines)

    def _formula_end(self, at: int, closer: str, body: str) -> int:
        """The line behind a formula; a blank line ends one as well."""
        if closed_by(body[2:], closer):
            return at + 1
        for end in range(at + 1, len(self._lines)):
            line = self._lines[end]
            if not line.strip(" \t"):
                return end
            if closed_by(line, closer):
                return end + 1
        return len(self._lines)


def _goes_on_list(block: _Open, item: re.Match[str], indent: int, body: str, *, blank: bool) -> bool:
    """Whether an item goes on with a list, or with something that may be one."""
    width = _content_indent(indent, item, body)
    if block.doubt == _MAYBE_LIST or (block.doubt and not blank and not _interrupting(item, body)):
        block.doubt = _MAYBE_LIST
        block.width = min(block.width, width)
        return True
    block.width, block.doubt = width, 0
    return item[1][-1] == block.marker


def _interrupts(body: str) -> bool:
    """Whether a line begins a block, other than a list, although no blank line is before it."""
    match body[0]:
        case "`" | "~":
            return _FENCE.match(body) is not None
        case "#":
            return _HEADING.match(body) is not None
        case ">":
            return True
        case "$" | "\\":
            return bool(opener(body))
        case _:
            return _RULE.match(body) is not None


def _interrupting(item: re.Match[str], body: str) -> bool:
    """Whether an item begins a list in the middle of a paragraph: not "1984. That year", not a lone hyphen."""
    return item.end() < len(body) and int(item[2] or 1) == 1


def _width(space: str) -> int:
    return len(space.expandtabs(4))


def _content_indent(indent: int, item: re.Match[str], body: str) -> int:
    """Where the content of a list's item begins: what is indented as far belongs to the item."""
    begin = indent + len(item[1])
    space = _width(" " * (begin % 4) + item[3]) - begin % 4
    return begin + (space if item.end() < len(body) and space <= _CODE_INDENT else 1)


def _with_marks(ranges: list[Range], placed: list[Placed]) -> list[Range]:
    """Ranges of the text without marks as ranges of the text with them."""
    offsets = [offset for offset, _ in placed]
    sizes = [0, *itertools.accumulate(len(cite(number)) for _, number in placed)]
    if not ranges:
        return [(0, offsets[-1] + sizes[-1])]
    bounds = [*(start for start, _ in ranges[1:]), offsets[-1] + 1]
    shifted: list[Range] = []
    begin = min(ranges[0][0], offsets[0])
    for (_, end), following in zip(ranges, bounds, strict=True):
        # what stands up to the first character of the next block follows this one
        n_marks = bisect.bisect_right(offsets, following)
        inside = bisect.bisect_right(offsets, end)
        reach = max(end + sizes[inside], offsets[n_marks - 1] + sizes[n_marks] if n_marks > inside else 0)
        shifted.append((begin, reach))
        begin = following + sizes[n_marks]
    return shifted
