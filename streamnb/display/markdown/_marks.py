"""The marks that stand for citations inside a text: private characters between two real, rare brackets.

Knows how a mark is written. Must not know: Markdown, sanitizing, where citations come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from streamnb.display.inert import visible, well_formed

_OPEN, _CLOSE = "\u2e22", "\u2e23"  # punctuation: `**bold.**` stays bold with a mark right behind it
_ZERO: Final = 0x10FFF0  # the end of plane 16: icon fonts and models use the private characters of plane 0 and 15
_DIGITS: Final = f"{chr(_ZERO)}-{chr(_ZERO + 9)}"
_MARK: Final = re.compile(f"{_OPEN}([{_DIGITS}]{{1,9}}){_CLOSE}")
_RESERVED: Final = re.compile(f"[{_DIGITS}]")
_TO_PRIVATE: Final = {ord(str(digit)): chr(_ZERO + digit) for digit in range(10)}
_TO_ASCII: Final = {_ZERO + digit: str(digit) for digit in range(10)}

Placed = tuple[int, int]
"""Where a mark stands in the text without marks, and its number."""


def cite(number: int) -> str:
    """The mark of citation `number` (0 to 999 999 999)."""
    return _OPEN + str(number).translate(_TO_PRIVATE) + _CLOSE


def clean(text: str) -> str:
    """Make a text of a model safe to be a source: it cannot forge a mark, and what acts is visible."""
    return _unreserved(visible(well_formed(text)))


def without_marks(text: str) -> str:
    """Take the marks out."""
    return text if text.isascii() else _unreserved(_MARK.sub("", text))


def numbers(text: str) -> list[int]:
    """The citations whose marks are in a text, in their order."""
    return [] if text.isascii() else [int(digits.translate(_TO_ASCII)) for digits in _MARK.findall(text)]


def shown(found: Iterable[int]) -> str:
    """The HTML of citations."""
    return "".join(f'<sup class="snb-cite">[{number}]</sup>' for number in found)


def show(html: str) -> str:
    """Put the HTML of citations where the marks are in an escaped text."""
    return html if html.isascii() else _MARK.sub(lambda mark: shown(numbers(mark.group())), html)


def take_out(source: str) -> tuple[str, list[Placed]]:
    """Separate a source from its marks: what a text is must not depend on where citations came in.

    Returns:
        The text without marks, and where they stood. Half a mark becomes U+FFFD.
    """
    if source.isascii() or not _RESERVED.search(source):
        return source, []
    placed: list[Placed] = []
    taken = 0
    for mark in _MARK.finditer(source):
        placed.append((mark.start() - taken, numbers(mark.group())[0]))
        taken += len(mark.group())
    return without_marks(source), placed


def _unreserved(text: str) -> str:
    return text if text.isascii() else _RESERVED.sub("\ufffd", text)
