r"""LaTeX as presentation MathML, in bounded time; a formula that tries more than to be read is refused.

Knows the converter's manners: it expands macros, passes attributes on and leaves entities in texts. Must not know:
Markdown, where formulas come from.
"""

from __future__ import annotations

import functools
import html
import itertools
import re
from typing import TYPE_CHECKING, Final

from streamnb.display.markdown._marks import clean

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LONGEST: Final = 2000
_DEEPEST: Final = 40
_REFUSED: Final = re.compile(
    r"\\(?:def|newcommand|newenvironment|DeclareMathOperator|href|style|class|sideset|verb|unicode)(?![A-Za-z])"
)
"""Macros and `sideset` double what they are given, again and again; the others are not about formulas."""

_ENTITY: Final = re.compile(r"&#x([0-9A-Fa-f]{1,6});")
_BRACE: Final = re.compile(r"[{}]")
_HIGHEST: Final = 0x10FFFF


class _RefusedError(Exception):
    """The formula is shown as its source."""


@functools.lru_cache(maxsize=256)  # a paragraph that grows is rendered again with the same formulas
def to_mathml(latex: str, *, display: bool) -> str:
    """A formula as a `math` element, or "" when it must be shown as its source.

    Args:
        latex: without its delimiters.
        display: in display style.
    """
    if len(latex) > _LONGEST or _REFUSED.search(latex) or _depth(latex) > _DEEPEST:
        return ""
    from latex2mathml.converter import convert_to_element

    parts: list[str] = []
    try:
        _write(convert_to_element(latex, display="block" if display else "inline"), parts, 0)
    except _failures():
        return ""
    return "".join(parts)


def _depth(latex: str) -> int:
    braces = _BRACE.findall(latex)
    return max(itertools.accumulate(1 if brace == "{" else -1 for brace in braces), default=0)


@functools.cache
def _failures() -> tuple[type[Exception], ...]:
    """What the converter raises on formulas that are wrong, or still growing; its own kinds have no common one."""
    from latex2mathml import exceptions

    own = (kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (_RefusedError, AttributeError, LookupError, RecursionError, StopIteration, TypeError, ValueError, *own)


def _write(element: Element, parts: list[str], depth: int) -> None:
    if depth > _DEEPEST or "<" in (element.text or ""):  # its own signs are entities: this one is from the text
        raise _RefusedError
    attributes = "".join(
        f' {name}="{html.escape(value)}"'
        for name, value in element.attrib.items()
        if (name, value) != ("display", "inline") and name != "xmlns"
    )
    text = clean(_ENTITY.sub(_character, element.text or ""))
    parts.append(f"<{element.tag}{attributes}>{html.escape(text, quote=False)}")
    for child in element:
        _write(child, parts, depth + 1)
    parts.append(f"</{element.tag}>")


def _character(entity: re.Match[str]) -> str:
    code = int(entity[1], 16)
    return chr(code) if code <= _HIGHEST else "\ufffd"
