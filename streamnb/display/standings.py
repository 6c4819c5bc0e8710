"""Who leads a race and how it ended: medians over the runs that ended well, and nothing where a value is missing.

Knows figures under the column names of the table `runs`. Must not know: lanes, widgets, HTML, clocks.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from streamnb.display.figures import DASH, DOT, count, digits, duration, number, outcome_words, rate, verdict
from streamnb.events import Outcome

LEADING: Final = ("TTFT", "to answer", "rate", "done")
"""What a live race says the leader of."""
FIGURES: Final = ("TTFT", "to answer", "total", "rate")
"""Columns of its table."""
_TIMES: Final = {"TTFT": "ttft_s", "to answer": "ttfa_s", "total": "e2e_s", "done": "close_s"}
_LEVEL: Final = 1.005
_CLOSE: Final = 1.095
_MESSAGES: Final = 3


@dataclasses.dataclass(frozen=True)
class Result:
    """How one run ended: its round (from 1), and what a final state says but the texts."""

    round: int
    outcome: Outcome
    error: str
    summary: Mapping[str, Any]


@dataclasses.dataclass
class Racer:
    """One target and how its runs went.

    Attributes:
        name: what it is called.
        results: of the runs that ended.
        live: figures of the run under way, under the column names of the table `runs`.
        round: which round that is (from 1).
    """

    name: str
    results: list[Result] = dataclasses.field(default_factory=list)
    live: Mapping[str, Any] | None = None
    round: int = 1

    @property
    def good(self) -> list[Result]:
        """The runs whose figures count: the times of a failed run are cut off, so no statistic of them is right."""
        return [result for result in self.results if result.outcome.ok]

    def values(self, metric: str) -> Known:
        """What is known: a value for each run. A rate under way counts while no other one is known."""
        good = [(result.round, result.summary) for result in self.good]
        live = [] if self.live is None else [(self.round, self.live)]
        if metric != "rate":
            found = [(at, number(summary.get(_TIMES[metric]))) for at, summary in (*good, *live)]
            return _known([(at, value) for at, value in found if math.isfinite(value)], "s")
        rates = [(at, rate(summary)) for at, summary in good or live]
        units = [unit for _, (per_s, unit) in rates if math.isfinite(per_s)]
        unit = units[-1] if units else ""
        return _known([(at, per_s) for at, (per_s, its) in rates if math.isfinite(per_s) and its == unit], unit)


class Known(NamedTuple):
    """Values of one metric, their unit, the round of each."""

    values: list[float]
    unit: str
    rounds: list[int]


def _known(found: Sequence[tuple[int, float]], unit: str) -> Known:
    return Known([value for _, value in found], unit, [at for at, _ in found])


class Lead(NamedTuple):
    """Who leads in one metric.

    Attributes:
        at: the number of the target; None: nobody.
        value: its figure.
        ahead: how far it is ahead.
        over: the runs behind the figures: `round 2`, `medians of 3 rounds`; "" where there are no figures.
    """

    at: int | None
    value: str = ""
    ahead: str = ""
    over: str = ""


def lead(metric: str, racers: Sequence[Racer]) -> Lead:
    """Who leads: the smallest median of a time, the largest of a rate. What is missing leads nothing.

    Args:
        metric: `TTFT`, `to answer`, `total`, `done` (t0 to the end of the stream) or `rate`.
        racers: all of them.
    """
    known = [racer.values(metric) for racer in racers]
    units = sorted({one.unit for one in known if one.values})
    rounds = {number for one in known for number in one.rounds}
    over = f"medians of {len(rounds)} rounds" if len(rounds) > 1 else f"round {max(rounds, default=0)}"
    if len(units) > 1:
        return Lead(None, ahead=f"{' and '.join(units)} do not compare", over=over)
    medians = {at: statistics.median(one.values) for at, one in enumerate(known) if one.values}
    if not medians:
        return Lead(None)
    first, *others = sorted(medians, key=medians.__getitem__, reverse=metric == "rate")
    ahead = _ahead(medians[first], medians[others[0]]) if others else ""
    return Lead(first, _said(medians[first], units[0]), ahead, over)


def _said(value: float, unit: str) -> str:
    return duration(value) if unit == "s" else f"{digits(value)} {unit}"


def _ahead(best: float, second: float) -> str:
    low, high = sorted((best, second))
    if low <= 0:
        return ""
    ratio = high / low
    return "level" if ratio < _LEVEL else f"{ratio:.2f}x ahead" if ratio < _CLOSE else f"{ratio:.1f}x ahead"


def table(racers: Sequence[Racer], rounds: int) -> list[list[str]]:
    """The summary: a row of headings, a row per target; medians over the runs that ended well, if there are rounds."""
    several = rounds > 1
    heads = ["target", "outcome", *FIGURES, "tokens"]
    return [heads, *([racer.name, _outcome(racer, several=several), *_medians(racer)] for racer in racers)]


def _outcome(racer: Racer, *, several: bool) -> str:
    results = racer.results
    if several:
        return f"{len(racer.good)} of {len(results)} ok"
    return outcome_words(results[0].outcome) if results else DASH


def _medians(racer: Racer) -> list[str]:
    if not racer.good and len(racer.results) == 1:  # a single run shows how far it came, beside its outcome
        racer = Racer(racer.name, live=racer.results[0].summary)
    cells = []
    for metric in FIGURES:
        values, unit, _ = racer.values(metric)
        cells.append(_said(statistics.median(values), unit) if values else DASH)
    tokens = [number(result.summary.get("tokens_out")) for result in racer.good]
    known = [n for n in tokens if math.isfinite(n)]
    return [*cells, count(statistics.median(known)) if known else DASH]


def title(racers: Sequence[Racer], rounds: int) -> str:
    """What it was, in one line."""
    parts = (
        "race",
        f"{len(racers)} targets",
        f"{rounds} rounds, medians of the runs that are ok" if rounds > 1 else "",
    )
    return DOT.join(part for part in parts if part)


def errors(racers: Sequence[Racer], rounds: int) -> list[str]:
    """What went wrong: a line per target and message, with the rounds; of many messages of one target the first few."""
    lines: list[str] = []
    for racer in racers:
        found: dict[str, list[str]] = {}
        for result in racer.results:
            if result.error and verdict(result.outcome) == "failed":
                found.setdefault(result.error, []).append(str(result.round))
        for error, numbers in list(found.items())[:_MESSAGES]:
            where = f" (round {', '.join(numbers)})" if rounds > 1 else ""
            lines.append(f"{racer.name}{where}: {error}")
        if len(found) > _MESSAGES:
            lines.append(f"{racer.name}: {len(found) - _MESSAGES} more; see the column error of the table")
    return lines


def text_table(racers: Sequence[Racer], rounds: int) -> list[str]:
    """The table as lines of text, columns aligned."""
    rows = table(racers, rounds)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
