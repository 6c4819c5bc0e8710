"""What a timing picture shows: reads as marks, the scale they share, and their figures in words.

Knows marks and numbers. Must not know: SVG, colours, recordings, text of a model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from streamnb.display.figures import count, duration
from streamnb.display.inert import visible, well_formed
from streamnb.display.timeline import ANSWER, COALESCED, REASONING, WIDTH
from streamnb.display.view import Phase

Stalls = Sequence[tuple[float, float]]
Lane = tuple[str, Sequence[int], float | None, float, Stalls]
"""One run of a race: label, marks, t0 and end (ms since the lane began), stalls (start and length, s since t0)."""

COLUMNS: Final = 1000
"""Units of the time axis: reads nearer than that share a mark."""
_MINUTES_FROM: Final = 120
_STEPS: Final = (30, 60, 120, 300, 600, 1200, 1800, 3600)
_NO_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Mark(NamedTuple):
    """A read: s since t0, silence before it in ms, its characters, all so far, kind bits, how many reads it is."""

    t: float
    gap: float
    chars: int
    total: int
    kind: int
    reads: int


class Run(NamedTuple):
    """One run as it is drawn."""

    marks: list[Mark]
    end: float
    stalls: Stalls

    def first(self, kinds: int) -> Mark | None:
        """The first read with text of one of these kinds."""
        return next((mark for mark in self.marks if mark.kind & kinds), None)

    @property
    def chars(self) -> int:
        """All characters."""
        return self.marks[-1].total if self.marks else 0

    @property
    def streamed(self) -> bool:
        """Whether text came: without it there is nothing to draw but the request."""
        return self.first(ANSWER | REASONING) is not None


class Scale(NamedTuple):
    """What the edges of the picture mean: s, ms of silence, characters."""

    span: float
    most: float
    chars: int

    def x(self, t: float) -> int:
        """Column of a time."""
        return round(COLUMNS * min(max(t, 0.0), self.span) / self.span)

    def percent(self, t: float) -> str:
        """A time as a share of the width."""
        return f"{100 * min(max(t, 0.0), self.span) / self.span:.4g}%"

    def height(self, gap_ms: float) -> float:
        """Height of a silence, 0 to 1: it grows with the logarithm, so that 5 ms and 10 s are both seen."""
        return min(1.0, math.log1p(gap_ms) / math.log1p(self.most))


def runs_of(lanes: Sequence[Lane]) -> list[tuple[str, Run]]:
    return [(plain(label), run_of(marks, t0_ms, end_ms, stalls)) for label, marks, t0_ms, end_ms, stalls in lanes]


def run_of(flat: Sequence[int], t0_ms: float | None, end_ms: float, stalls: Stalls) -> Run:
    marks: list[Mark] = []
    tick = total = 0
    t0_ms = t0_ms or 0.0
    for at in range(0, len(flat), WIDTH):
        dt, gap, chars, reads, kind, _ = flat[at : at + WIDTH]
        tick += dt
        total += chars
        marks.append(Mark((tick / 10 - t0_ms) / 1e3, gap / 10, chars, total, kind, reads))
    ends = [(end_ms - t0_ms) / 1e3, *(mark.t for mark in marks[-1:]), *(start + length for start, length in stalls)]
    return Run(marks, max(0.0, *ends), stalls)


def scale_of(runs: Sequence[Run]) -> Scale:
    longest = max((mark.gap for run in runs for mark in run.marks), default=0.0)
    return Scale(
        span=max([0.01, *(run.end for run in runs)]),
        most=_nice(max(100.0, longest)),
        chars=max([1, *(run.chars for run in runs)]),
    )


def _nice(least: float) -> float:
    """The least of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    ten = 10.0 ** math.floor(math.log10(least))
    return next(ten * n for n in (1, 2, 5, 10) if ten * n >= least * 0.999)


def brief(duration_s: float) -> str:
    """A duration for a label: `2.1 ms`, `35 ms`, `1.25 s`."""
    ms = duration_s * 1e3
    if round(ms) >= 1000:  # noqa: PLR2004 - ms in a second
        return duration(duration_s)
    if ms < 1:
        return f"{ms:.2f} ms" if ms >= 0.01 else "<0.01 ms"  # noqa: PLR2004 - what a clock can tell
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"  # noqa: PLR2004 - two digits


def step(span: float) -> float:
    """Between two ticks of the time axis, s: round in seconds, beyond two minutes round in minutes or hours."""
    if span < _MINUTES_FROM:
        return _nice(span / 6)
    return next((step for step in _STEPS if step >= span / 6), 3600 * _nice(span / 6 / 3600))


def clock(t: float, span: float) -> str:
    """A tick of the time axis: `500 ms`, `1.5 s`, `2:30`."""
    if span >= _MINUTES_FROM:
        return f"{t // 60:.0f}:{t % 60:02.0f}"
    return f"{t:.6g} s" if t >= 1 else f"{t * 1e3:.6g} ms"


def plain(text: str) -> str:
    """A text that may stand in XML."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", visible(well_formed(text)))


def said(run: Run) -> str:
    """The figures of a run in words."""
    first, answer = run.first(ANSWER | REASONING), run.first(ANSWER)
    if first is None:
        return f"no text in {duration(run.end)}"
    reads = sum(mark.reads for mark in run.marks if mark.kind & (ANSWER | REASONING))
    parts = [f"{count(run.chars)} characters in {count(reads)} reads over {duration(run.end)}"]
    parts.append(f"first text after {brief(first.t)}")
    if answer is not None and answer is not first:
        parts.append(f"first text of the answer after {brief(answer.t)}")
    gap = max(mark.gap for mark in run.marks)
    if gap:
        parts.append(f"longest silence {brief(gap / 1e3)}")
    if run.stalls:
        n, longest = len(run.stalls), brief(max(length for _, length in run.stalls))
        parts.append(f"{n} stalls, the longest of {longest}" if n > 1 else f"a stall of {longest}")
    if any(mark.kind & COALESCED for mark in run.marks):
        parts.append("some reads carried several events")
    return "; ".join(parts)


def words(label: str, run: Run, phases: Sequence[Phase]) -> str:
    request = ", ".join(f"{phase.name} {brief(phase.seconds)}" for phase in phases)
    parts = ["Timing of the reads", label, said(run), f"request: {request}" if request else ""]
    return plain(". ".join(part for part in parts if part))


def race_words(runs: Sequence[tuple[str, Run]]) -> str:
    return ". ".join(["Timing of the reads on one axis", *(f"{label}: {said(run)}" for label, run in runs)])
