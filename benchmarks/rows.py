"""One table for every benchmark: rows of figure, value, unit, baseline, ratio, target, holds, note; printed or as JSON.

Knows how a figure is judged. Must not know: how it was measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Judge = Literal["ratio", "value"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        figure: what was measured.
        value: the figure in `unit`; None: it cannot be had here, `note` says why.
        baseline: the same of what it is compared with, named in `beside`.
        target: what the ratio (with a baseline) or else the value is held against; None: for information.
        at_least: the target is a lower limit.
        judge: whether the target is for the `ratio` or for the `value`.
        hard: a target that must hold.
    """

    figure: str
    value: float | None
    unit: str = ""
    baseline: float | None = None
    beside: str = ""
    target: float | None = None
    at_least: bool = False
    judge: Judge = "value"
    hard: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over baseline; None without one of them."""
        return None if self.value is None or not self.baseline else self.value / self.baseline

    @property
    def holds(self) -> bool | None:
        """Whether the target is kept; None without a target or a figure."""
        judged = self.ratio if self.judge == "ratio" else self.value
        if self.target is None or judged is None or math.isnan(judged):
            return None
        return judged >= self.target if self.at_least else judged <= self.target

    def as_json(self) -> dict[str, object]:
        """The fields that `--json` writes."""
        fields = ("figure", "value", "unit", "baseline", "beside", "ratio", "target", "judge", "holds", "hard", "note")
        return {name: _plain(getattr(self, name)) for name in fields}

    def __str__(self) -> str:
        value = "-" if self.value is None else f"{self.value:.4g}"
        beside = "" if self.ratio is None else f"{self.ratio:.3g} x {self.beside}"
        return f"{self.figure:<60}{value:>10} {self.unit:<6}{beside:<28}{self._verdict():<28}{self.note}".rstrip()

    def _verdict(self) -> str:
        if self.target is None:
            return ""
        said = {True: "holds", False: "MISSED", None: "not measured"}[self.holds]
        return f"{'>=' if self.at_least else '<='} {self.target:g}: {said}{', hard' if self.hard else ''}"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def arguments(about: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has: `--quick`, `--rounds`, `--json`.

    Args:
        about: the module's docstring.
        rounds: of the full form.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="done in 50 s on 2 cores")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved rounds of the full form ({rounds})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    return parser


def report(rows: Sequence[Row], file: Path | None, *conditions: str) -> None:
    """Print the conditions and the table; write the rows as JSON."""
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    print(f"{time.strftime('%Y-%m-%d')}, {machine}{''.join(f', {one}' for one in conditions)}")
    for row in rows:
        print(row)
    if file is not None:
        file.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
