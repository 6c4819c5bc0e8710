"""The timing picture of a saved notebook: every read as a mark on a time axis; SVG that acts and loads nothing.

Knows marks and numbers. Must not know: recordings, widgets, text of a model.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from streamnb.display.figures import count, seconds
from streamnb.display.inert import visible, well_formed
from streamnb.display.timeline import ANSWER, COALESCED, NO_TEXT, REASONING, WIDTH
from streamnb.display.view import Phase

Stalls = Sequence[tuple[float, float]]
Lane = tuple[str, Sequence[int], float | None, float, Stalls]
"""One run of a race: label, marks, t0 and end (ms since the lane began), stalls (start and length, s since t0)."""

_COLUMNS: Final = 1000
"""Units of the time axis: reads nearer than that share a mark."""
_ROWS: Final = 100
_PLOT, _LANE = 84, 46
_GUTTER: Final = 13
"""Share of the width that the numbers of the silences have, percent."""
_NARROW: Final = 380 * (100 - _GUTTER) // 100
"""Labels keep apart in a picture of 380 px; in a wider one they are farther apart still."""
_CHAR: Final = 6.7
_FEW: Final = 80
"""So many marks are drawn broad; more of them thin and pale, so that the line of characters is seen over them."""
_APART: Final = 8
"""Columns between two signs for several events in one read."""
_MINUTES_FROM: Final = 120
_STEPS: Final = (30, 60, 120, 300, 600, 1200, 1800, 3600)
_ROUND: Final = 'stroke-linecap="round"'
_NO_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Ink(NamedTuple):
    """Colours: of text and lines, of marks, of a stall, of the phases of the request."""

    text: str
    answer: str
    reasoning: str
    stall: str
    phases: tuple[str, ...]
    font: str


_PHASES: Final = ("#7f8c9b", "#bf8416", "#b85c9e", "#2a9d8f", "#5b84d8", "#5f9e4a")
_THEME: Final = _Ink(
    "var(--jp-ui-font-color2,var(--vscode-descriptionForeground,currentColor))",
    "var(--jp-brand-color1,var(--vscode-charts-blue,#2f86d6))",
    "var(--vscode-charts-purple,#8e6fd8)",
    "var(--jp-warn-color1,var(--vscode-charts-orange,#c8650b))",
    _PHASES,
    "var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif))",
)
_PAPER: Final = _Ink("#7b7b7b", "#2f86d6", "#8e6fd8", "#c8650b", _PHASES, "system-ui,sans-serif")
"""For a picture that does not know its page: 3:1 and more on white and on the dark of a notebook, letters 3.5:1."""


class _Mark(NamedTuple):
    """A read: s since t0, silence before it in ms, its characters, all so far, kind bits, how many reads it is."""

    t: float
    gap: float
    chars: int
    total: int
    kind: int
    reads: int


class _Run(NamedTuple):
    """One run as it is drawn."""

    marks: list[_Mark]
    end: float
    stalls: Stalls

    def first(self, kinds: int) -> _Mark | None:
        """The first read with text of one of these kinds."""
        return next((mark for mark in self.marks if mark.kind & kinds), None)

    @property
    def chars(self) -> int:
        """All characters."""
        return self.marks[-1].total if self.marks else 0


class _Scale(NamedTuple):
    """What the edges of the picture mean: s, ms of silence, characters."""

    span: float
    most: float
    chars: int

    def x(self, t: float) -> int:
        """Column of a time."""
        return round(_COLUMNS * min(max(t, 0.0), self.span) / self.span)

    def percent(self, t: float) -> str:
        """A time as a share of the width."""
        return f"{100 * min(max(t, 0.0), self.span) / self.span:.4g}%"

    def height(self, gap_ms: float) -> float:
        """Height of a silence, 0 to 1: it grows with the logarithm, so that 5 ms and 10 s are both seen."""
        return min(1.0, math.log1p(gap_ms) / math.log1p(self.most))


def svg(  # noqa: PLR0913 - a run is these numbers
    timeline_marks: Sequence[int],
    *,
    t0_ms: float | None,
    end_ms: float,
    stalls: Stalls,
    phases: Sequence[Phase],
    label: str,
    width: int = 640,
) -> str:
    """Draw one run as an `<svg>` that follows the theme of its page. Viewers of untrusted notebooks strip it: `image`.

    Args:
        timeline_marks: as `Timeline.marks` gives them.
        t0_ms: when the request was handed over, ms since the lane began; None: the axis starts with the lane.
        end_ms: where the axis ends at least, ms since the lane began.
        stalls: start (s since t0) and length (s), as `Timeline.stalls` gives them.
        phases: of the request, in order.
        label: said first to those who hear the picture.
        width: greatest width, px; it shrinks with its place, the size of its letters stays.

    Returns:
        An element for HTML; no script, no style sheet, no reference.
    """
    run = _run(timeline_marks, t0_ms, end_ms, stalls)
    return _element(*_one(run, phases, _THEME), _words(label, run, phases), _THEME, width)


def image(  # noqa: PLR0913 - a run is these numbers
    timeline_marks: Sequence[int],
    *,
    t0_ms: float | None,
    end_ms: float,
    stalls: Stalls,
    phases: Sequence[Phase],
    label: str,
    width: int = 640,
) -> str:
    """Draw one run as an `<img>` that contains the SVG, in colours for light and dark pages: for saved notebooks.

    Arguments as for `svg`.
    """
    run = _run(timeline_marks, t0_ms, end_ms, stalls)
    return _image(*_one(run, phases, _PAPER), _words(label, run, phases), width)


def race(lanes: Sequence[Lane], width: int = 640) -> str:
    """Draw several runs below each other on one time axis, as an `<svg>` that follows the theme of its page."""
    runs = _runs(lanes)
    return _element(*_many(runs, _THEME), _race_words(runs), _THEME, width)


def race_image(lanes: Sequence[Lane], width: int = 640) -> str:
    """Draw several runs as `race` does, as an `<img>` in colours for light and dark pages: for saved notebooks."""
    runs = _runs(lanes)
    return _image(*_many(runs, _PAPER), _race_words(runs), width)


# -- numbers ----------------------------------------------------------------------------------------------------------


def _runs(lanes: Sequence[Lane]) -> list[tuple[str, _Run]]:
    return [(_plain(label), _run(marks, t0_ms, end_ms, stalls)) for label, marks, t0_ms, end_ms, stalls in lanes]


def _run(flat: Sequence[int], t0_ms: float | None, end_ms: float, stalls: Stalls) -> _Run:
    marks: list[_Mark] = []
    tick = total = 0
    t0_ms = t0_ms or 0.0
    for at in range(0, len(flat), WIDTH):
        dt, gap, chars, reads, kind, _ = flat[at : at + WIDTH]
        tick += dt
        total += chars
        marks.append(_Mark((tick / 10 - t0_ms) / 1e3, gap / 10, chars, total, kind, reads))
    ends = [(end_ms - t0_ms) / 1e3, *(mark.t for mark in marks[-1:]), *(start + length for start, length in stalls)]
    return _Run(marks, max(0.0, *ends), stalls)


def _scale(runs: Sequence[_Run]) -> _Scale:
    longest = max((mark.gap for run in runs for mark in run.marks), default=0.0)
    return _Scale(
        span=max([0.01, *(run.end for run in runs)]),
        most=_nice(max(100.0, longest)),
        chars=max([1, *(run.chars for run in runs)]),
    )


def _nice(least: float) -> float:
    """The least of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    ten = 10.0 ** math.floor(math.log10(least))
    return next(ten * n for n in (1, 2, 5, 10) if ten * n >= least * 0.999)


def _brief(duration_s: float) -> str:
    """A duration for a label: `2.1 ms`, `35 ms`, `1.25 s`."""
    ms = duration_s * 1e3
    if round(ms) >= 1000:  # noqa: PLR2004 - ms in a second
        return seconds(duration_s)
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"  # noqa: PLR2004 - two digits


def _step(span: float) -> float:
    """Between two ticks of the time axis, s: round in seconds, beyond two minutes round in minutes or hours."""
    if span < _MINUTES_FROM:
        return _nice(span / 6)
    return next((step for step in _STEPS if step >= span / 6), 3600 * _nice(span / 6 / 3600))


def _clock(t: float, span: float) -> str:
    """A tick of the time axis: `0.5 s`, `2:30`."""
    return f"{t:.6g} s" if span < _MINUTES_FROM else f"{t // 60:.0f}:{t % 60:02.0f}"


# -- words ------------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """A text that may stand in XML."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", visible(well_formed(text)))


def _said(run: _Run) -> str:
    """The figures of a run in words."""
    first, answer = run.first(ANSWER | REASONING), run.first(ANSWER)
    if first is None:
        return f"no text in {seconds(run.end)}"
    reads = sum(mark.reads for mark in run.marks if mark.kind & (ANSWER | REASONING))
    parts = [f"{count(run.chars)} characters in {count(reads)} reads over {seconds(run.end)}"]
    parts.append(f"first text after {_brief(first.t)}")
    if answer is not None and answer is not first:
        parts.append(f"first text of the answer after {_brief(answer.t)}")
    gap = max(mark.gap for mark in run.marks)
    if gap:
        parts.append(f"longest silence {_brief(gap / 1e3)}")
    if run.stalls:
        n, longest = len(run.stalls), _brief(max(length for _, length in run.stalls))
        parts.append(f"{n} stalls, the longest of {longest}" if n > 1 else f"a stall of {longest}")
    if any(mark.kind & COALESCED for mark in run.marks):
        parts.append("some reads carried several events")
    return "; ".join(parts)


def _words(label: str, run: _Run, phases: Sequence[Phase]) -> str:
    request = ", ".join(f"{phase.name} {_brief(phase.seconds)}" for phase in phases)
    parts = ["Timing of the reads", label, _said(run), f"request: {request}" if request else ""]
    return _plain(". ".join(part for part in parts if part))


def _race_words(runs: Sequence[tuple[str, _Run]]) -> str:
    return ". ".join(["Timing of the reads on one axis", *(f"{label}: {_said(run)}" for label, run in runs)])


# -- pictures ---------------------------------------------------------------------------------------------------------


def _one(run: _Run, phases: Sequence[Phase], ink: _Ink) -> tuple[str, int]:
    """One run: phases of the request, marks, axis, legend. Returns the drawing and its height."""
    scale = _scale([run])
    parts, top = _phases(phases, ink)
    top += 12
    caption = "silence before each read" if run.marks else "nothing arrived"
    parts.append(_text(caption, "0", top, ink))
    if run.chars:
        parts.append(_text(f"{count(run.chars)} characters", "100%", top, ink, "end"))
    top += 25
    inner = [
        *_notes(run, scale, ink),
        *_gaps(scale, _PLOT, ink),
        *_plot(run, scale, _PLOT, ink),
        *_axis(scale, _PLOT, ink),
    ]
    parts.append(_framed(top, inner))
    top += _PLOT + 22
    legend = _legend(run, ink, top + 12)
    return "".join([*parts, *legend]), top + (18 if legend else 2)


def _many(runs: Sequence[tuple[str, _Run]], ink: _Ink) -> tuple[str, int]:
    """Several runs on one axis. Returns the drawing and its height."""
    scale = _scale([run for _, run in runs])
    parts: list[str] = []
    top = 0
    for label, run in runs:
        said = f"{count(run.chars)} characters" if run.chars else "no text"
        shown = label if len(label) <= 36 else f"{label[:35]}\N{HORIZONTAL ELLIPSIS}"  # noqa: PLR2004
        parts += [_text(shown, "0", top + 12, ink, strong=True), _text(said, "100%", top + 12, ink, "end")]
        top += 33
        last = run is runs[-1][1]
        inner = [*_notes(run, scale, ink), *_gaps(scale, _LANE, ink), *_plot(run, scale, _LANE, ink)]
        inner += _axis(scale, _LANE, ink) if last else []
        parts.append(_framed(top, inner))
        top += _LANE + (22 if last else 12)
    legend = _legend(_Run([mark for _, run in runs for mark in run.marks], 0.0, ()), ink, top + 12)
    return "".join([*parts, *legend]), top + (18 if legend else 2)


def _plot(run: _Run, scale: _Scale, height: int, ink: _Ink) -> Iterator[str]:
    """Stalls, marks and the line of characters; the width of the drawing is stretched, its strokes are not."""
    for start, length in run.stalls:
        share = 100 * min(length, scale.span) / scale.span
        shade = f'fill="{ink.stall}" fill-opacity=".16"'
        yield f'<rect x="{scale.percent(start)}" y="0" width="{share:.4g}%" height="{height}" {shade}/>'
    first, answer = run.first(ANSWER | REASONING), run.first(ANSWER)
    for mark in (first, None if answer is first else answer):
        if mark is not None:
            at = scale.percent(mark.t)
            yield _line(at, -4, at, height, ink.text, 'stroke-dasharray="2 2"')
    stems: dict[str, list[str]] = {ink.text: [], ink.reasoning: [], ink.answer: []}
    dots: list[str] = []
    dot = -_COLUMNS
    for x, gap, kind in _columns(run.marks, scale):
        tall = max(4, round(_ROWS * scale.height(gap)))
        if kind & (ANSWER | REASONING):
            stems[ink.answer if kind & ANSWER else ink.reasoning].append(f"M{x} 0v{-tall}")
        else:
            stems[ink.text].append(f"M{x} 2v4")
        if kind & COALESCED and x - dot >= _APART:
            dots.append(f"M{x} {-tall}h0")
            dot = x
    few = len(run.marks) <= _FEW
    box = f'viewBox="0 {-_ROWS} {_COLUMNS} {_ROWS}" preserveAspectRatio="none" overflow="visible" fill="none"'
    yield f'<svg width="100%" height="{height}" {box}>'
    for colour, paths in stems.items():
        yield _path("".join(paths), colour, "2" if few else "1", "" if few else 'stroke-opacity=".7"')
    yield _path("".join(dots), ink.text, "3.5", _ROUND)
    yield _path(_sum(run, scale), ink.text, "1.5")
    yield "</svg>"


def _columns(marks: Sequence[_Mark], scale: _Scale) -> Iterator[tuple[int, float, int]]:
    """Column, longest silence and kinds of the marks; those in one column are one."""
    columns: dict[int, tuple[float, int]] = {}
    for mark in marks:
        x = scale.x(mark.t)
        gap, kind = columns.get(x, (0.0, 0))
        columns[x] = max(gap, mark.gap), kind | mark.kind
    return ((x, gap, kind) for x, (gap, kind) in columns.items())


def _sum(run: _Run, scale: _Scale) -> str:
    """The characters so far, as steps."""
    steps: dict[int, int] = {}
    for mark in run.marks:
        if mark.chars:
            steps[scale.x(mark.t)] = round(_ROWS * mark.total / scale.chars)
    if not steps:
        return ""
    return f"M{min(steps)} 0" + "".join(f"H{x}V{-y}" for x, y in steps.items()) + f"H{scale.x(run.end)}"


def _notes(run: _Run, scale: _Scale, ink: _Ink) -> Iterator[str]:
    """What is said above the marks: first text, first text of the answer, stalls; where there is room, in this order.

    A stall that finds no room above says its length inside, if that is broad enough.
    """
    first, answer = run.first(ANSWER | REASONING), run.first(ANSWER)
    taken: list[tuple[float, float]] = []
    for name, mark in (("TTFT", first), ("answer", None if answer is first else answer)):
        if mark is not None:
            said = f"{name} {_brief(mark.t)}"
            left, anchor = _NARROW * mark.t / scale.span, "start"
            if left + _CHAR * len(said) > _NARROW:
                left, anchor = left - _CHAR * len(said), "end"
            if _clear(taken, left, said):
                yield _text(said, scale.percent(mark.t), -8, ink, anchor)
    for start, length in sorted(run.stalls, key=lambda stall: -stall[1]):
        said, inside, middle = f"stall {_brief(length)}", _brief(length), start + length / 2
        x, half = _NARROW * middle / scale.span, _CHAR * len(said) / 2
        if x + half < _NARROW and _clear(taken, x - half, said):
            yield _text(said, scale.percent(middle), -8, ink, "middle", colour=ink.stall)
        elif _CHAR * len(inside) < _NARROW * length / scale.span:
            yield _text(inside, scale.percent(middle), 13, ink, "middle", colour=ink.stall)


def _clear(taken: list[tuple[float, float]], left: float, said: str) -> bool:
    """True, and the place is taken, when no label is there yet."""
    right = left + _CHAR * len(said)
    clear = all(left > end + _CHAR or right < begin - _CHAR for begin, end in taken)
    if clear:
        taken.append((left, right))
    return clear


def _gaps(scale: _Scale, height: int, ink: _Ink) -> Iterator[str]:
    """The axis of the silences: round numbers at the left, faint lines."""
    last = 0.0
    for ms in (10 * 10.0**power for power in range(6)):
        up = round(height * scale.height(ms))
        if ms <= scale.most and up - last >= 14:  # noqa: PLR2004 - height of a line of text
            last = up
            yield _line("0", height - up, "100%", height - up, ink.text, 'stroke-opacity=".18"')
            yield _text(f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.0f} s", "0", height - up + 4, ink, "end", dx=-6)  # noqa: PLR2004


def _axis(scale: _Scale, floor: int, ink: _Ink) -> Iterator[str]:
    """The time axis with round numbers."""
    yield _line("0", floor, "100%", floor, ink.text, 'stroke-opacity=".6"')
    step = _step(scale.span)
    for n in range(int(scale.span / step + 1e-9) + 1):
        x = scale.percent(n * step)
        yield _line(x, floor, x, floor + 4, ink.text, 'stroke-opacity=".6"')
        said = _clock(n * step, scale.span) if n else "0"
        inside = _NARROW * n * step / scale.span + _CHAR * len(said) / 2 < _NARROW
        yield _text(said, x, floor + 17, ink, "middle" if inside else "end")


def _phases(phases: Sequence[Phase], ink: _Ink) -> tuple[list[str], int]:
    """The phases of the request: a legend in three columns, a bar below. Returns the drawing and its height."""
    total = sum(phase.seconds for phase in phases)
    if not total:
        return [], 0
    parts: list[str] = []
    top = 16 * ((len(phases) + 2) // 3) + 4
    before = 0.0
    for n, phase in enumerate(phases):
        x, y = f"{n % 3 * 100 / 3:.4g}%", 12 + n // 3 * 16
        colour = f'fill="{ink.phases[n % len(ink.phases)]}"'
        share = 100 * phase.seconds / total
        parts.append(f'<rect x="{x}" y="{y - 8}" width="8" height="8" {colour}/>')
        parts.append(_text(f"{_plain(phase.name)} {_brief(phase.seconds)}", x, y, ink, dx=13))
        parts.append(f'<rect x="{before:.4g}%" y="{top}" width="{share:.4g}%" height="7" {colour}/>')
        before += share
    return parts, top + 14


def _legend(run: _Run, ink: _Ink, y: int) -> list[str]:
    """What the colours mean, where there is more than one."""
    kinds = {bit for mark in run.marks for bit in (ANSWER, REASONING, COALESCED) if mark.kind & bit}
    kinds |= {NO_TEXT for mark in run.marks if not mark.kind & (ANSWER | REASONING)}
    if kinds <= {ANSWER}:
        return []
    rows: tuple[tuple[int, str, Callable[[int], str]], ...] = (
        (REASONING, "reasoning", lambda x: _path(f"M{x} {y}v-9", ink.reasoning, "2")),
        (ANSWER, "answer", lambda x: _path(f"M{x} {y}v-9", ink.answer, "2")),
        (COALESCED, "several events at once", lambda x: _path(f"M{x} {y - 4}h0", ink.text, "3.5", _ROUND)),
        (NO_TEXT, "no text", lambda x: _path(f"M{x} {y - 1}v-5", ink.text, "2")),
    )
    parts: list[str] = []
    x = 3
    for bit, said, sign in rows:
        if bit in kinds:
            parts += [sign(x), _text(said, str(x + 8), y, ink)]
            x += round(22 + _CHAR * len(said))
    return parts


# -- elements ---------------------------------------------------------------------------------------------------------


def _framed(top: int, inner: Sequence[str]) -> str:
    """The field of the marks, right of the numbers of the silences."""
    place = f'x="{_GUTTER}%" y="{top}" width="{100 - _GUTTER}%" height="1" overflow="visible"'
    return f"<svg {place}>{''.join(inner)}</svg>"


def _text(  # noqa: PLR0913 - what a label has
    said: str, x: str, y: int, ink: _Ink, anchor: str = "start", *, dx: int = 0, colour: str = "", strong: bool = False
) -> str:
    more = f' text-anchor="{anchor}"' if anchor != "start" else ""
    more += f' dx="{dx}"' if dx else ""
    more += ' font-weight="600"' if strong else ""
    return f'<text x="{x}" y="{y}" fill="{colour or ink.text}"{more}>{html.escape(said)}</text>'


def _line(x1: str, y1: int, x2: str, y2: int, colour: str, more: str) -> str:  # noqa: PLR0913, PLR0917 - a line
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" {more}/>'


def _path(d: str, colour: str, width: str, more: str = "") -> str:
    if not d:
        return ""
    return f'<path d="{d}" stroke="{colour}" stroke-width="{width}" vector-effect="non-scaling-stroke" {more}/>'


def _element(drawing: str, height: int, words: str, ink: _Ink, width: int | None) -> str:
    said = html.escape(words)
    size = f'width="100%" height="{height}"' + (f' style="max-width:{width}px"' if width else "")
    letters = f'font-family="{ink.font}" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" {size} {letters}>'
    return f"{head}<title>{said}</title>{drawing}</svg>"


def _image(drawing: str, height: int, words: str, width: int) -> str:
    data = base64.b64encode(_element(drawing, height, words, _PAPER, None).encode()).decode("ascii")
    source = f'src="data:image/svg+xml;base64,{data}"'
    return f'<img alt="{html.escape(words)}" width="100%" height="{height}" style="max-width:{width}px" {source}>'
