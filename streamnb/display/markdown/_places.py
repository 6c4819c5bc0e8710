"""Puts citation marks back into parsed blocks: where they stood in a text, behind a block that is not text.

Knows the tokens of the block parser and the lines they came from. Must not know: HTML, inline parsing.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Sequence
from typing import Final

from markdown_it.token import Token

from streamnb.display.markdown._marks import Placed, cite

_BAR: Final = re.compile(r"(?<!\\)\|")
_LEAVES: Final = frozenset({"inline", "fence", "code_block", "formula_block", "hr"})
_CELLS: Final = frozenset({"th_open", "td_open"})


def put_back(tokens: Sequence[Token], bare: str, placed: Sequence[Placed]) -> list[Token]:
    """Put marks into block tokens, before inline parsing.

    Args:
        tokens: what the block parser made of `bare`; the content of texts is changed.
        bare: the text without marks.
        placed: the marks, in the order of the text.

    Returns:
        The tokens, with one of type `cites` (its `meta["cites"]` are the numbers) behind a block that is not text.
    """
    leaves = [at for at, token in enumerate(tokens) if token.type in _LEAVES]
    if not leaves:
        return [*tokens, _cites(placed)]
    lines = _Lines(bare)
    firsts = [_first_line(tokens[at]) for at in leaves]
    into: dict[int, list[Placed]] = {}
    for offset, number in placed:
        line = lines.number(offset)
        leaf = max(0, bisect.bisect_right(firsts, line) - 1)
        if firsts[leaf] == line and tokens[leaves[leaf] - 1].type in _CELLS:  # the cells of a row share their line
            leaf = min(bisect.bisect_left(firsts, line) + lines.cell(offset), leaf)
        into.setdefault(leaves[leaf], []).append((offset, number))
    filled: list[Token] = []
    for at, token in enumerate(tokens):
        filled.append(token)
        if at in into and token.type == "inline":
            token.content = _with_marks(token, tokens[at - 1], into[at], lines)
        elif at in into:
            filled.append(_cites(into[at]))
    return filled


class _Lines:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._starts = list(itertools.accumulate((len(line) + 1 for line in self._lines), initial=0))
        self._bars: dict[int, list[int]] = {}

    def number(self, offset: int) -> int:
        """The line of a character, from 0."""
        return bisect.bisect_right(self._starts, offset) - 1

    def cell(self, offset: int) -> int:
        """How many cells of a table's row end before a character."""
        line = self.number(offset)
        bars = self._bars.get(line)
        if bars is None:
            text = self._lines[line]
            begin = len(text) - len(text.lstrip(" \t>|"))  # the first cell begins behind these
            bars = self._bars[line] = [bar.start() for bar in _BAR.finditer(text, begin)]
        return bisect.bisect_left(bars, offset - self._starts[line])

    def behind(self, offset: int) -> int:
        """How many characters of the line follow, but for white space at its end."""
        line = self.number(offset)
        return max(0, self._starts[line] + len(self._lines[line].rstrip()) - offset)


def _first_line(token: Token) -> int:
    return token.map[0] if token.map else 0


def _with_marks(token: Token, before: Token, placed: Sequence[Placed], lines: _Lines) -> str:
    """The content of a text with marks: in a paragraph where they stood, in a heading or a cell at its end.

    A line of the content is the end of a line of the source: containers and indents are cut off in front.
    """
    if before.type != "paragraph_open":
        return token.content + "".join(cite(number) for _, number in placed)
    content = token.content.split("\n")
    starts = list(itertools.accumulate((len(line) + 1 for line in content), initial=0))
    parts: list[str] = []
    end = 0
    for offset, number in placed:
        line = lines.number(offset) - _first_line(token)
        position = 0 if line < 0 else len(token.content)
        if 0 <= line < len(content):
            position = starts[line] + max(0, len(content[line].rstrip()) - lines.behind(offset))
        parts += [token.content[end:position], cite(number)]
        end = position
    return "".join([*parts, token.content[end:]])


def _cites(placed: Sequence[Placed]) -> Token:
    return Token("cites", "", 0, meta={"cites": [number for _, number in placed]}, block=True)
