"""The marks that stand for citations inside a text: private characters between two real, rare brackets.

Knows how a mark is written. Must not know: Markdown, sanitizing, where citations come from.
"""

from __future__ import annotations

import itertools
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

_STRETCH: Final = 4096
MOST: Final = 1000
"""Marks that one rendering shows."""

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


def first_marks(text: str, most: int = MOST) -> str:
    """A text with no more marks than a page can bear; the citations themselves are listed elsewhere."""
    marks = [] if text.isascii() else list(itertools.islice(_MARK.finditer(text), most + 1))
    if len(marks) <= most:
        return text
    end = marks[most].start()
    return text[:end] + _MARK.sub("", text[end:])


def numbers(text: str) -> list[int]:
    """The citations whose marks are in a text, in their order."""
    return [] if text.isascii() else [int(digits.translate(_TO_ASCII)) for digits in _MARK.findall(text)]


def shown(found: Iterable[int]) -> str:
    """The HTML of citations."""
    return "".join(f'<sup class="snb-cite">[{number}]</sup>' for number in found)


def written(text: str) -> str:
    """A text as HTML for the sanitizer: escaped, with its citations."""
    if text.isascii():
        return _escaped(text)
    parts = _MARK.split(text)  # text and digits in turn
    parts[::2] = [_escaped(_unreserved(part)) for part in parts[::2]]
    parts[1::2] = [shown([int(digits.translate(_TO_ASCII))]) for digits in parts[1::2]]
    return "".join(parts)


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


def _escaped(text: str) -> str:
    """Only for the sanitizer, which reads numbers twice as fast as names and appends `&` to a long text slowly.

    A comment begins a new text for it; none is in its result, and there `&amp;` is a name again.
    """
    escaped = text.replace("&", "&#38;").replace("<", "&#60;")
    if len(escaped) == len(text) or len(text) <= _STRETCH:
        return escaped
    return "<!---->".join(_escaped(text[at : at + _STRETCH]) for at in range(0, len(text), _STRETCH))
