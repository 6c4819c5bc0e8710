"""What one rendering may cost: a budget in microseconds of one machine, spent before the work is done.

Knows what costs how much. Must not know: how the work is done. It looks at no clock, but for colours: what a source
looks like does not depend on how busy the machine is.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Sequence
from typing import Final

from streamnb.display.markdown._marks import Placed

BUDGET: Final = 100_000.0
_COLOURS_S: Final = 0.1

_PER_PARSE: Final = 60.0
_PER_LINE: Final = 14.0
_PER_QUOTED_LINE: Final = 3.0
_PER_RULE_MARK: Final = 3.0
_PER_CHARACTER: Final = 0.1
_PER_SIGN: Final = 2.5
_PER_DELIMITER: Final = 6.0
_PER_SEARCH: Final = 5.0
_PER_STEP: Final = 0.15
_PER_LINK: Final = 30.0
_PER_CELL: Final = 15.0
_PER_FORMULA: Final = 120.0
_PER_FORMULA_CHARACTER: Final = 8.0

_QUOTES: Final = re.compile(r"^(?:[ \t]*(?:>|[-+*]|\d{1,9}[.)]))+", re.MULTILINE | re.ASCII)
_SIGNS: Final = re.compile(r"[\n!#$%&*+\-:<=>@\[\]\\^_`{}~]")
"""Where the text rule stops and all the others are asked."""


@dataclasses.dataclass
class Work:
    """One rendering.

    Attributes:
        bare: the text without marks.
        placed: the marks.
        left: what is left to spend, us.
        colours_until_s: the reading of `time.thread_time` at which no more code gets colours.
    """

    bare: str = ""
    placed: Sequence[Placed] = ()
    left: float = BUDGET
    colours_until_s: float = dataclasses.field(default_factory=lambda: time.thread_time() + _COLOURS_S)

    def spend(self, cost: float) -> bool:
        """Pay for something; False, and nothing is paid, when there is not enough left."""
        if cost > self.left:
            return False
        self.left -= cost
        return True

    def structure(self) -> bool:
        """Pay for finding the blocks of `bare`."""
        return self.spend(_structure(self.bare))

    def text(self, content: str) -> bool:
        """Pay for parsing a text."""
        signs = 0.0
        if n_signs := len(_SIGNS.findall(content)):
            count = content.count
            n_delimiters = count("*") + count("_") + count("~") + count("\\")
            signs = _PER_SIGN * n_signs + _PER_DELIMITER * n_delimiters
        return self.spend(_PER_CHARACTER * len(content) + signs)

    def search(self, n_steps: int) -> None:
        """Pay for a search that was made; afterwards there may be nothing left."""
        self.left -= _PER_SEARCH + _PER_STEP * n_steps

    def link(self) -> None:
        """Pay for a link that was found."""
        self.left -= _PER_LINK

    def cells(self, n_cells: int) -> bool:
        """Pay for a table."""
        return self.spend(_PER_CELL * n_cells)

    def formula(self, length: int) -> bool:
        """Pay for a formula."""
        return self.spend(_PER_FORMULA + _PER_FORMULA_CHARACTER * length)


def _structure(text: str) -> float:
    n_lines = text.count("\n") + 1
    deepest = 0
    if ">" in text:  # every quote goes through its lines before the quotes inside it do
        deepest = max((prefix.count(">") for prefix in _QUOTES.findall(text)), default=0)
    n_rule_marks = sum(text.count(mark) for mark in ("* ", "- ", "_ "))  # each list inside a list tries again: a rule?
    per_line = _PER_LINE + _PER_QUOTED_LINE * deepest
    return _PER_PARSE + n_lines * per_line + n_rule_marks * _PER_RULE_MARK
