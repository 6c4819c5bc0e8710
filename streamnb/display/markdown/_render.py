"""Markdown as sanitized HTML: everything at once when that is cheap, else block by block until the budget is spent.

Knows the order: marks out, blocks, texts, HTML, sanitizer last. Must not know: any of these from inside.
"""

from __future__ import annotations

from typing import Final

from streamnb.display.inert import visible, well_formed
from streamnb.display.markdown._marks import first_marks, take_out, written
from streamnb.display.markdown._parser import TooDeepError, build
from streamnb.display.markdown._sanitize import sanitize
from streamnb.display.markdown._split import split
from streamnb.display.markdown._work import Work

TOTAL_LIMIT: Final = 512 * 1024
"""Characters of source beyond which a text is shown plain."""

_MOST_LINES: Final = 30_000
"""Lines beyond which not even the blocks are sought."""

_PARSER: Final = build()


def render(source: str) -> str:
    """Sanitized HTML of a Markdown source, usually of one block.

    What would take too long is shown as it came: a text, a table, the colours of code, a block, everything that
    follows. No input takes much more than 0.2 s, none raises.

    Args:
        source: any text; citations are marks in it (`cite`).
    """
    text = first_marks(visible(well_formed(source)))
    if len(text) > TOTAL_LIMIT or text.count("\n") > _MOST_LINES:
        return plain(text)
    work = Work(*take_out(text))
    if work.structure():
        return sanitize(_html(text, work).rstrip("\n"))
    return sanitize("".join(_piecemeal(text, work)).rstrip("\n"))


def plain(text: str) -> str:
    """Sanitized HTML that shows a text as it came, in a `pre`, with the citations whose marks are in it."""
    return sanitize(_pre(first_marks(visible(well_formed(text)))))


def _piecemeal(text: str, work: Work) -> list[str]:
    """Block by block; what is too dear for what is left is shown as it came."""
    parts: list[str] = []
    for start, end in split(text):
        piece = text[start:end]
        work.bare, work.placed = take_out(piece)
        parts.append(_html(piece, work) if work.structure() else f"{_pre(piece)}\n")
    return parts


def _html(text: str, work: Work) -> str:
    try:
        page: str = _PARSER.render(work.bare, {"work": work})
    except TooDeepError:
        return _pre(text)
    return page


def _pre(text: str) -> str:
    # HTML drops one line end right after <pre>, once in the sanitizer and once in the page
    start = "\n\n" if text.startswith("\n") else ""
    return f"<pre>{start}{written(text)}</pre>"
