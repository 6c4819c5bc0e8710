"""Draws runs: marks on a time axis, what is said above them, axes, the phases of the request, a legend.

Knows runs, scales and elements. Must not know: where numbers come from, HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamnb.display.figures import count
from streamnb.display.strip._elements import GUTTER, ROUND, Ink, framed, line, path, text
from streamnb.display.strip._runs import COLUMNS, Mark, Run, Scale, brief, clock, plain, scale_of, step
from streamnb.display.timeline import ANSWER, COALESCED, NO_TEXT, REASONING
from streamnb.display.view import Phase

_ROWS: Final = 100
_PLOT, _LANE = 84, 46
_NARROW: Final = 380 * (100 - GUTTER) // 100
"""Labels keep apart in a picture of 380 px; in a wider one they are farther apart still."""
_CHAR: Final = 6.7
_FEW: Final = 80
"""So many marks are drawn broad; more of them thin and pale, so that the line of characters is seen over them."""
_APART: Final = 8
"""Columns between two signs for several events in one read."""
_PHASES: Final = {name: n for n, name in enumerate(("DNS", "connect", "TLS", "request", "headers", "first byte"))}
"""A phase has its colour also where others did not happen."""


def one(run: Run, phases: Sequence[Phase], ink: Ink) -> tuple[str, int]:
    """One run: phases of the request, marks, axis, legend. Returns the drawing and its height.

    Where no text came there is no chart: marks without text stand on the floor of an empty one.
    """
    parts, top = _phases(phases, ink)
    if not run.streamed:
        return "".join(parts), top
    scale = scale_of([run])
    top += 12
    parts.append(text("silence before each read", "0", top, ink))
    parts.append(text(f"{count(run.chars)} characters", "100%", top, ink, "end"))
    top += 25
    inner = [
        *_notes(run, scale, ink),
        *_gaps(scale, _PLOT, ink),
        *_plot(run, scale, _PLOT, ink),
        *_axis(scale, _PLOT, ink),
    ]
    parts.append(framed(top, inner))
    top += _PLOT + 22
    legend = _legend(run, ink, top + 12)
    return "".join([*parts, *legend]), top + (18 if legend else 2)


def many(runs: Sequence[tuple[str, Run]], ink: Ink) -> tuple[str, int]:
    """Several runs on one axis. Returns the drawing and its height."""
    scale = scale_of([run for _, run in runs])
    parts: list[str] = []
    top = 0
    for label, run in runs:
        said = f"{count(run.chars)} characters" if run.chars else "no text"
        shown = label if len(label) <= 36 else f"{label[:35]}\N{HORIZONTAL ELLIPSIS}"  # noqa: PLR2004
        parts += [text(shown, "0", top + 12, ink, strong=True), text(said, "100%", top + 12, ink, "end")]
        top += 33
        last = run is runs[-1][1]
        inner = [*_notes(run, scale, ink), *_gaps(scale, _LANE, ink), *_plot(run, scale, _LANE, ink)]
        inner += _axis(scale, _LANE, ink) if last else []
        parts.append(framed(top, inner))
        top += _LANE + (22 if last else 12)
    legend = _legend(Run([mark for _, run in runs for mark in run.marks], 0.0, ()), ink, top + 12)
    return "".join([*parts, *legend]), top + (18 if legend else 2)


def _plot(run: Run, scale: Scale, height: int, ink: Ink) -> Iterator[str]:
    """Stalls, marks and the line of characters; the width of the drawing is stretched, its strokes are not."""
    for start, length in run.stalls:
        share = 100 * min(length, scale.span) / scale.span
        shade = f'fill="{ink.stall}" fill-opacity=".16"'
        yield f'<rect x="{scale.percent(start)}" y="0" width="{share:.4g}%" height="{height}" {shade}/>'
    first, answer = run.first(ANSWER | REASONING), run.first(ANSWER)
    for mark in (first, None if answer is first else answer):
        if mark is not None:
            at = scale.percent(mark.t)
            yield line(at, -4, at, height, ink.text, 'stroke-dasharray="2 2"')
    stems: dict[str, list[str]] = {ink.text: [], ink.reasoning: [], ink.answer: []}
    dots: list[str] = []
    dot = -COLUMNS
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
    box = f'viewBox="0 {-_ROWS} {COLUMNS} {_ROWS}" preserveAspectRatio="none" overflow="visible" fill="none"'
    yield f'<svg width="100%" height="{height}" {box}>'
    for colour, paths in stems.items():
        yield path("".join(paths), colour, "2" if few else "1", "" if few else 'stroke-opacity=".7"')
    yield path("".join(dots), ink.text, "3.5", ROUND)
    yield path(_sum(run, scale), ink.text, "1.5")
    yield "</svg>"


def _columns(marks: Sequence[Mark], scale: Scale) -> Iterator[tuple[int, float, int]]:
    """Column, longest silence and kinds of the marks; those in one column are one."""
    columns: dict[int, tuple[float, int]] = {}
    for mark in marks:
        x = scale.x(mark.t)
        gap, kind = columns.get(x, (0.0, 0))
        columns[x] = max(gap, mark.gap), kind | mark.kind
    return ((x, gap, kind) for x, (gap, kind) in columns.items())


def _sum(run: Run, scale: Scale) -> str:
    """The characters so far, as steps."""
    steps: dict[int, int] = {}
    for mark in run.marks:
        if mark.chars:
            steps[scale.x(mark.t)] = round(_ROWS * mark.total / scale.chars)
    if not steps:
        return ""
    return f"M{min(steps)} 0" + "".join(f"H{x}V{-y}" for x, y in steps.items()) + f"H{scale.x(run.end)}"


def _notes(run: Run, scale: Scale, ink: Ink) -> Iterator[str]:
    """What is said above the marks: first text, first text of the answer, stalls; where there is room, in this order.

    A stall that finds no room above says its length inside, if that is broad enough.
    """
    first, answer = run.first(ANSWER | REASONING), run.first(ANSWER)
    taken: list[tuple[float, float]] = []
    for name, mark in (("TTFT", first), ("answer", None if answer is first else answer)):
        if mark is not None:
            said = f"{name} {brief(mark.t)}"
            left, anchor = _NARROW * mark.t / scale.span, "start"
            if left + _CHAR * len(said) > _NARROW:
                left, anchor = left - _CHAR * len(said), "end"
            if _clear(taken, left, said):
                yield text(said, scale.percent(mark.t), -8, ink, anchor)
    for start, length in sorted(run.stalls, key=lambda stall: -stall[1]):
        said, inside, middle = f"stall {brief(length)}", brief(length), start + length / 2
        x, half = _NARROW * middle / scale.span, _CHAR * len(said) / 2
        if x + half < _NARROW and _clear(taken, x - half, said):
            yield text(said, scale.percent(middle), -8, ink, "middle", colour=ink.stall)
        elif _CHAR * len(inside) < _NARROW * length / scale.span:
            yield text(inside, scale.percent(middle), 13, ink, "middle", colour=ink.stall)


def _clear(taken: list[tuple[float, float]], left: float, said: str) -> bool:
    """True, and the place is taken, when no label is there yet."""
    right = left + _CHAR * len(said)
    clear = all(left > end + _CHAR or right < begin - _CHAR for begin, end in taken)
    if clear:
        taken.append((left, right))
    return clear


def _gaps(scale: Scale, height: int, ink: Ink) -> Iterator[str]:
    """The axis of the silences: round numbers at the left, faint lines."""
    last = 0.0
    for ms in (10 * 10.0**power for power in range(6)):
        up = round(height * scale.height(ms))
        if ms <= scale.most and up - last >= 14:  # noqa: PLR2004 - height of a line of text
            last = up
            yield line("0", height - up, "100%", height - up, ink.text, 'stroke-opacity=".18"')
            yield text(f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.0f} s", "0", height - up + 4, ink, "end", dx=-6)  # noqa: PLR2004


def _axis(scale: Scale, floor: int, ink: Ink) -> Iterator[str]:
    """The time axis with round numbers."""
    yield line("0", floor, "100%", floor, ink.text, 'stroke-opacity=".6"')
    apart = step(scale.span)
    for n in range(int(scale.span / apart + 1e-9) + 1):
        x = scale.percent(n * apart)
        yield line(x, floor, x, floor + 4, ink.text, 'stroke-opacity=".6"')
        said = clock(n * apart, scale.span) if n else "0"
        inside = _NARROW * n * apart / scale.span + _CHAR * len(said) / 2 < _NARROW
        yield text(said, x, floor + 17, ink, "middle" if inside else "end")


def _phases(phases: Sequence[Phase], ink: Ink) -> tuple[list[str], int]:
    """The phases of the request: a legend in three columns, a bar below. Returns the drawing and its height."""
    total = sum(phase.seconds for phase in phases)
    if not total:
        return [], 0
    parts: list[str] = []
    top = 16 * ((len(phases) + 2) // 3) + 4
    before = 0.0
    for n, phase in enumerate(phases):
        x, y = f"{n % 3 * 100 / 3:.4g}%", 12 + n // 3 * 16
        colour = f'fill="{ink.phases[_PHASES.get(phase.name, n) % len(ink.phases)]}"'
        share = 100 * phase.seconds / total
        parts.append(f'<rect x="{x}" y="{y - 8}" width="8" height="8" {colour}/>')
        parts.append(text(f"{plain(phase.name)} {brief(phase.seconds)}", x, y, ink, dx=13))
        parts.append(f'<rect x="{before:.4g}%" y="{top}" width="{share:.4g}%" height="7" {colour}/>')
        before += share
    return parts, top + 14


def _legend(run: Run, ink: Ink, y: int) -> list[str]:
    """What the colours mean, where there is more than one."""
    kinds = {bit for mark in run.marks for bit in (ANSWER, REASONING, COALESCED) if mark.kind & bit}
    kinds |= {NO_TEXT for mark in run.marks if not mark.kind & (ANSWER | REASONING)}
    if kinds <= {ANSWER}:
        return []
    rows: tuple[tuple[int, str, Callable[[int], str]], ...] = (
        (REASONING, "reasoning", lambda x: path(f"M{x} {y}v-9", ink.reasoning, "2")),
        (ANSWER, "answer", lambda x: path(f"M{x} {y}v-9", ink.answer, "2")),
        (COALESCED, "several events in one read", lambda x: path(f"M{x} {y - 4}h0", ink.text, "3.5", ROUND)),
        (NO_TEXT, "no text", lambda x: path(f"M{x} {y - 1}v-5", ink.text, "2")),
    )
    parts: list[str] = []
    x = 3
    for bit, said, sign in rows:
        if bit in kinds:
            parts += [sign(x), text(said, str(x + 8), y, ink)]
            x += round(22 + _CHAR * len(said))
    return parts
