"""The timing picture of a saved notebook: every read as a mark on a time axis; SVG that acts and loads nothing.

Knows marks and numbers. Must not know: recordings, widgets, text of a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamnb.display.strip._drawing import many, one
from streamnb.display.strip._elements import PAPER, THEME, element, image_of
from streamnb.display.strip._runs import Lane, Stalls, race_words, run_of, runs_of, words
from streamnb.display.view import Phase

__all__ = ["Lane", "Stalls", "image", "race", "race_image", "svg"]


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
    run = run_of(timeline_marks, t0_ms, end_ms, stalls)
    return element(*one(run, phases, THEME), words(label, run, phases), THEME, width)


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
    run = run_of(timeline_marks, t0_ms, end_ms, stalls)
    return image_of(*one(run, phases, PAPER), words(label, run, phases), width)


def race(lanes: Sequence[Lane], width: int = 640) -> str:
    """Draw several runs below each other on one time axis, as an `<svg>` that follows the theme of its page."""
    runs = runs_of(lanes)
    return element(*many(runs, THEME), race_words(runs), THEME, width)


def race_image(lanes: Sequence[Lane], width: int = 640) -> str:
    """Draw several runs as `race` does, as an `<img>` in colours for light and dark pages: for saved notebooks."""
    runs = runs_of(lanes)
    return image_of(*many(runs, PAPER), race_words(runs), width)
