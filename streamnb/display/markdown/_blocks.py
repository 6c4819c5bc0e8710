"""Tokens of blocks that are what they look like: paragraphs, headings, flat lists, tables, fences, formulas, quotes.

Knows how the block parser writes its tokens. Must not know: inline Markdown, HTML, what a block costs. Most blocks of
an answer are such, and the parser asks ten rules about each of their lines; in any doubt it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from markdown_it.common.utils import mdTrim
from markdown_it.token import Token

from streamnb.display.markdown._formulas import closed_by, opener

_BEGIN: Final = r"(?:\*\*|`)?[^\W\d_]"
"""How a line begins that is text wherever it stands: no block begins with a letter, or with one behind these marks."""
_WORDS: Final = re.compile(_BEGIN)
_HEADING: Final = re.compile(r"(#{1,6}) +([^\s#].*)")
_FENCE: Final = re.compile(r"```([^\s`]*)\n(.+\n)```", re.DOTALL)
_ITEM: Final = re.compile(rf"(?:([-+*])|([0-9]{{1,9}})([.)])) ({_BEGIN}.*)")
_FEWEST_LINES: Final = 3
_LOOKS: Final[dict[tuple[str, str], dict[str, str | int | float]]] = {
    ("", ""): {},
    (":", ""): {"style": "text-align:left"},
    ("", ":"): {"style": "text-align:right"},
    (":", ":"): {"style": "text-align:center"},
}
_RULE: Final = re.compile(r" *(:?)-+(:?) *")
_QUOTE: Final = re.compile(rf"> ({_BEGIN}.*)")


def sure_tokens(source: str) -> list[Token] | None:
    """What the block parser makes of a source that is one block, beyond doubt; None when it must be asked.

    Args:
        source: without citation marks.
    """
    if "\t" in source or source[-1:].isspace():
        return None
    return _paragraph(source) if _WORDS.match(source) else _READERS.get(source[:1], _list)(source)


def _paragraph(source: str) -> list[Token] | None:
    lines = source.split("\n")
    return _text("paragraph", "p", source, [0, len(lines)], 0) if all(map(_WORDS.match, lines)) else None


def _heading(source: str) -> list[Token] | None:
    found = _HEADING.fullmatch(source)
    if found is None or source[-1] == "#":
        return None
    return _text("heading", f"h{len(found[1])}", found[2], [0, 1], 0, markup=found[1])


def _fence(source: str) -> list[Token] | None:
    found = _FENCE.fullmatch(source)
    if found is None or "```" in found[2]:
        return None
    lines = [0, source.count("\n") + 1]
    return [Token("fence", "code", 0, {}, lines, 0, None, found[2], "```", found[1], {}, block=True)]


def _formula(source: str) -> list[Token] | None:
    lines = source.split("\n")
    closer = opener(lines[0])
    *inside, last = [lines[0][2:], *lines[1:]]
    if not closer or not closed_by(last, closer) or any(closed_by(line, closer) for line in inside):
        return None
    if not all(line.strip(" ") for line in lines):
        return None
    content = source[2:].removesuffix(closer).strip()
    return [Token("formula_block", "math", 0, {}, [0, len(lines)], 0, None, content, block=True)]


def _quote(source: str) -> list[Token] | None:
    found = _QUOTE.fullmatch(source)
    if found is None:
        return None
    return [
        _container("blockquote_open", "blockquote", 1, [0, 1], 0, ">"),
        *_text("paragraph", "p", found[1], [0, 1], 1),
        _container("blockquote_close", "blockquote", -1, None, 0, ">"),
    ]


def _list(source: str) -> list[Token] | None:
    """A list whose items have one line each, and nothing between them."""
    items = [_ITEM.fullmatch(line) for line in source.split("\n")]
    first = items[0]
    if first is None:
        return None
    mark = first[1] or first[3]
    kind, tag = ("bullet_list", "ul") if first[1] else ("ordered_list", "ol")
    tokens = [_container(f"{kind}_open", tag, 1, [0, len(items)], 0, mark)]
    if first[2] and int(first[2]) != 1:
        tokens[0].attrs = {"start": int(first[2])}
    for at, item in enumerate(items):
        if item is None or mark not in {item[1], item[3]} or item[4][-1].isspace():
            return None
        lines = [at, at + 1]
        opening = _container("list_item_open", "li", 1, lines, 1, mark)
        opening.info = item[2] or ""
        texts = _text("paragraph", "p", item[4], lines[:], 2, tight=True)
        tokens += (opening, *texts, _container("list_item_close", "li", -1, None, 1, mark))
    tokens.append(_container(f"{kind}_close", tag, -1, None, 0, mark))
    return tokens


def _table(source: str) -> list[Token] | None:
    """A table whose lines all begin and end with a bar, and have as many cells as its head."""
    lines = source.split("\n")
    if len(lines) < _FEWEST_LINES or "\\" in source or not all(line[0:1] == line[-1:] == "|" != line for line in lines):
        return None
    head, rule, *body = [line[1:-1].split("|") for line in lines]
    sides = [_RULE.fullmatch(cell) for cell in rule]
    if None in sides or any(len(row) != len(head) for row in (rule, *body)):
        return None
    looks = [_LOOKS[side[1], side[2]] for side in sides if side]
    tokens = [_container("table_open", "table", 1, [0, len(lines)], 0), _container("thead_open", "thead", 1, [0, 1], 1)]
    tokens += _row(head, "th", looks, 0)
    tokens += (
        _container("thead_close", "thead", -1, None, 1),
        _container("tbody_open", "tbody", 1, [2, len(lines)], 1),
    )
    for at, row in enumerate(body, 2):
        tokens += _row(row, "td", looks, at)
    tokens += (_container("tbody_close", "tbody", -1, None, 1), _container("table_close", "table", -1, None, 0))
    return tokens


def _row(cells: list[str], tag: str, looks: list[dict[str, str | int | float]], at: int) -> list[Token]:
    tokens = [_container("tr_open", "tr", 1, [at, at + 1], 2)]
    for cell, look in zip(cells, looks, strict=True):
        content = mdTrim(cell)
        tokens += (
            Token(f"{tag}_open", tag, 1, look.copy(), None, 3, None, "", "", "", {}, block=True),
            Token("inline", "", 0, {}, [at, at + 1], 4, [], content, "", "", {}, block=True),
            Token(f"{tag}_close", tag, -1, {}, None, 3, None, "", "", "", {}, block=True),
        )
    tokens.append(_container("tr_close", "tr", -1, None, 2))
    return tokens


def _text(  # noqa: PLR0913 - what a token needs
    kind: str, tag: str, content: str, lines: list[int], level: int, *, markup: str = "", tight: bool = False
) -> list[Token]:
    """A paragraph or a heading around one text; in a tight list it is not seen."""
    return [
        Token(f"{kind}_open", tag, 1, {}, lines, level, None, "", markup, "", {}, block=True, hidden=tight),
        Token("inline", "", 0, {}, lines[:], level + 1, [], content, "", "", {}, block=True),
        Token(f"{kind}_close", tag, -1, {}, None, level, None, "", markup, "", {}, block=True, hidden=tight),
    ]


def _container(  # noqa: PLR0913, PLR0917 - what a token needs
    kind: str, tag: str, nesting: Literal[-1, 1], lines: list[int] | None, level: int, markup: str = ""
) -> Token:
    return Token(kind, tag, nesting, {}, lines, level, None, "", markup, "", {}, block=True)


_READERS: Final[Mapping[str, Callable[[str], list[Token] | None]]] = {
    "#": _heading,
    "`": _fence,
    "$": _formula,
    "\\": _formula,
    ">": _quote,
    "|": _table,
}
"""By the first character; any other may begin a list."""
