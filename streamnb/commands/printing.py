"""What a command prints: answers on stdout, notes on stderr, nothing that a terminal would obey (SAFETY S7).

Knows the two streams, JSON and columns of text. Must not know: runs, recordings, pandas.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

from streamnb.display.figures import DASH, digits
from streamnb.display.terminal import line

WIDTH: Final = 80
_UNITS: Final = ("B", "kB", "MB", "GB")
_STEP: Final = 1000
_ROUNDED: Final = 999.5


class Pages(argparse.RawDescriptionHelpFormatter):
    """Help with its examples as they were written, no wider than a terminal of 80 columns."""

    def __init__(self, prog: str, **keywords: Any) -> None:
        super().__init__(prog, width=WIDTH - 1, **keywords)


def say(*lines: str) -> None:
    """Print lines of the answer."""
    for text in lines:
        _write(sys.stdout, text)


def note(text: str) -> None:
    """Print a line that is not the answer."""
    _write(sys.stderr, text)


def say_json(value: Any) -> None:
    """Print a JSON value in one line of ASCII.

    Raises:
        ValueError: a number in it is NaN: it should have been None.
    """
    _write(sys.stdout, json.dumps(value, allow_nan=False))


def _write(stream: TextIO, text: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(line(text).encode(encoding, "replace").decode(encoding) + "\n")


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Lines of text in columns; a missing value is a dash, a number stands at the right."""
    values = [list(row) for row in rows]
    numeric = [_numeric([row[column] for row in values]) for column in range(len(heads))]
    cells = [list(heads), *([_cell(value) for value in row] for row in values)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return ["  ".join(map(_fit, row, widths, numeric)).rstrip() for row in cells]


def _numeric(column: Sequence[Any]) -> bool:
    return any(isinstance(value, (int, float)) for value in column)


def _fit(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _cell(value: Any) -> str:
    if value is None:
        return DASH
    return digits(value) if isinstance(value, float) else " ".join(line(str(value)).split())


def size(n_bytes: int) -> str:
    """A number of bytes as people read it: three digits and a unit."""
    amount, unit = float(n_bytes), 0
    while amount >= _ROUNDED and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}" if amount < _ROUNDED else f"{amount:.0f} {_UNITS[unit]}"


def wrapped(text: str, indent: int) -> list[str]:
    """A paragraph in lines of at most 80 columns, each indented."""
    blank = " " * indent
    return textwrap.wrap(text, WIDTH - 1, initial_indent=blank, subsequent_indent=blank, break_on_hyphens=False)
