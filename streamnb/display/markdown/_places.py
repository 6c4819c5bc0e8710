"""Puts citation marks back into parsed blocks: where they stood in a text, behind a block that is not text.

Knows the tokens of the block parser and the lines they came from. Must not know: HTML, inline parsing.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from markdown_it.token import Token

from streamnb.display.markdown._marks import Placed, cite

_BAR: Final = re.compile(r"(?<!\\)\|")
_LEAVES: Final = frozenset({"inline", "fence", "code_block", "formula_block", "hr"})


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
        return [*tokens, _cites([number for _, number in placed])]
    lines = _Lines(bare)
    firsts = [_first_line(tokens[at]) for at in leaves]
    into: dict[int, list[Placed]] = {}
    for offset, number in placed:
        line = lines.number(offset)
        leaf = max(0, bisect.bisect_right(firsts, line) - 1)
        if firsts[leaf] == line:  # the cells of a table's row are leaves of one line
            leaf = min(bisect.bisect_left(firsts, line) + lines.cell(offset), leaf)
        at = leaves[leaf]
        into.setdefault(at, []).append((_position(tokens, at, lines, offset), number))
    return list(_filled(tokens, into))


class _Lines:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._starts = list(itertools.accumulate((len(line) + 1 for line in self._lines), initial=0))

    def number(self, offset: int) -> int:
        """The line of a character, from 0."""
        return bisect.bisect_right(self._starts, offset) - 1

    def cell(self, offset: int) -> int:
        """How many cells of a table's row end before a character."""
        line = self.number(offset)
        before = self._lines[line][: offset - self._starts[line]].lstrip(" \t>|")
        return len(_BAR.findall(before))

    def behind(self, offset: int) -> int:
        """How many characters of the line follow, but for white space at its end."""
        line = self.number(offset)
        return max(0, self._starts[line] + len(self._lines[line].rstrip()) - offset)


def _first_line(token: Token) -> int:
    return token.map[0] if token.map else 0


def _position(tokens: Sequence[Token], at: int, lines: _Lines, offset: int) -> int:
    """Where in the content of a token a character of the source is; containers and indents are cut off in front."""
    content = tokens[at].content.split("\n")
    n_before = max(0, lines.number(offset) - _first_line(tokens[at]))
    if n_before >= len(content) or tokens[at - 1].type != "paragraph_open":
        return len(tokens[at].content)
    start = sum(len(line) + 1 for line in content[:n_before])
    return start + max(0, len(content[n_before].rstrip()) - lines.behind(offset))


def _filled(tokens: Sequence[Token], into: Mapping[int, Sequence[Placed]]) -> list[Token]:
    filled: list[Token] = []
    for at, token in enumerate(tokens):
        filled.append(token)
        if at not in into:
            continue
        if token.type == "inline":
            token.content = _spliced(token.content, into[at])
        else:
            filled.append(_cites([number for _, number in into[at]]))
    return filled


def _spliced(text: str, placed: Sequence[Placed]) -> str:
    parts = []
    end = 0
    for position, number in placed:
        parts += [text[end:position], cite(number)]
        end = position
    return "".join([*parts, text[end:]])


def _cites(numbers: list[int]) -> Token:
    return Token("cites", "", 0, meta={"cites": numbers}, block=True)
