r"""Finds formulas: `$..$`, `$$..$$`, `\(..\)` and `\[..\]`, in texts that have prices and brackets too.

Knows how models write LaTeX into Markdown. Must not know: LaTeX itself, HTML.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

LONGEST: Final = 2000
"""Characters of a formula inside a text; anything longer is none."""

_CLOSERS: Final = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_DOLLARS: Final = re.compile(
    r"\$((?![\s$])(?:[^$\\]|\\.)*(?<!\s))\$(?:(?![0-9A-Za-z$])|(?=(?:st|nd|rd|th|s|D)\b))", re.DOTALL
)
_FORMAL: Final = re.compile(r"[\\^_={}]")
_WORD: Final = re.compile(r"[^\W\d_]{2}")
_NUMBERS: Final = re.compile(r"[\d\s,;.\u2013-]*")


class _Found(NamedTuple):
    content: str
    end: int
    display: bool


def opener(line: str) -> str:
    """What closes the formula that a line (without its indent) opens as a block, or "".

    Such a line holds the whole formula, or its opening alone, or its opening and a part that looks like a formula.
    """
    closer = _CLOSERS.get(line[:2], "") if line[1:2] in {"$", "["} else ""
    rest = line[2:].strip()
    if not closer or rest.startswith("$"):
        return ""
    inside, closed, after = rest.partition(closer)
    fits = not after and _is_formula(inside.strip(), line[:2]) if closed else not rest or _FORMAL.search(rest)
    return closer if fits else ""


def closed_by(line: str, closer: str) -> bool:
    """Whether a line holds the end of a formula and nothing behind it."""
    return line.rstrip(" \t").endswith(closer)


def install(md: MarkdownIt) -> None:
    """Teach a parser formulas: tokens `formula_block`, `formula` and, in display style, `formula` with `$$` markup."""
    md.inline.ruler.before("escape", "formula", _inline)
    md.block.ruler.before("fence", "formula_block", block, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def _inline(state: StateInline, silent: bool) -> bool:
    char = state.src[state.pos]
    if char not in "$\\":
        return False
    found = _delimited(state) or (_dollars(state) if char == "$" else None)
    if found is None:
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content = found.content
        token.markup = "$$" if found.display else "$"
    state.pos = found.end
    return True


def _delimited(state: StateInline) -> _Found | None:
    start = state.pos + 2
    opening = state.src[state.pos : start]
    closer = _CLOSERS.get(opening)
    if closer is None or (opening == "$$" and _is_dollar(state, state.pos - 1, start)):
        return None
    end = state.src.find(closer, start, min(state.posMax, start + LONGEST))
    content = state.src[start : max(end, start)].strip()
    if not _is_formula(content, opening) or (opening == "$$" and _is_dollar(state, end + 2)):
        return None
    return _Found(content, end + 2, display=opening != "\\(")


def _is_dollar(state: StateInline, *places: int) -> bool:
    """Whether a dollar is at one of these places: three in a row are no sign of a formula."""
    return any(state.src[max(at, 0) : at + 1] == "$" for at in places)


def _dollars(state: StateInline) -> _Found | None:
    """One pair of dollars: not after a letter, digit or dollar, no space inside its ends, not before a digit."""
    at = state.pos
    if at and (state.src[at - 1].isalnum() or state.src[at - 1] == "$"):
        return None
    match = _DOLLARS.match(state.src, at, min(state.posMax, at + LONGEST))
    if match is None or not _looks_formal(match[1]):
        return None
    return _Found(match[1], match.end(), display=False)


def _is_formula(content: str, opening: str) -> bool:
    """Whether it is more than a number in brackets or a remark in parentheses that were escaped."""
    listed = opening == "\\[" and _NUMBERS.fullmatch(content)
    return bool(content) and not listed and _looks_formal(content)


def _looks_formal(content: str) -> bool:
    """Not "5, or 5" and not "see below": words alone are no formula."""
    return bool(_FORMAL.search(content)) or len(content.split()) == 1 or not _WORD.search(content)


def block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A formula on lines of its own (a rule of the block parser)."""
    begin = state.bMarks[start_line] + state.tShift[start_line]
    line = state.src[begin : state.eMarks[start_line]]
    closer = opener(line) if line[:1] in {"$", "\\"} and not state.is_code_block(start_line) else ""
    if not closer or silent:
        return bool(closer)
    next_line = start_line + 1
    if not closed_by(line[2:], closer):
        next_line = _line_behind(state, start_line, end_line, closer)
    text = state.getLines(start_line, next_line, state.blkIndent, keepLastLF=False).strip()
    token = state.push("formula_block", "math", 0)
    closed = closed_by(text[2:], closer)
    token.content = text[2:].removesuffix(closer).strip() if closed else text
    token.info = "" if closed else "open"
    token.map = [start_line, next_line]
    state.line = next_line
    return True


def _line_behind(state: StateBlock, start_line: int, end_line: int, closer: str) -> int:
    """The line behind a formula of several lines; one that is still growing ends at a blank line."""
    for line in range(start_line + 1, end_line):
        if state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            return line
        if closed_by(state.src[state.bMarks[line] : state.eMarks[line]], closer):
            return line + 1
    return end_line
