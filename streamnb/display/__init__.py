"""Arrivals -> screen: a live panel, a static bundle, a terminal, or nothing. Importing it loads no IPython, no widget.

Knows which front end is there. Must not know: recordings, transports, providers, pandas, httpx.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from streamnb.display.terminal import PlainView
from streamnb.display.view import BETWEEN_CALLS, TABS, Final, Header, Look, NullView, Phase, Style, View
from streamnb.errors import UsageError, did_you_mean
from streamnb.events import Arrival

MODES = ("auto", "panel", "static", "plain", "none")

__all__ = [
    "BETWEEN_CALLS",
    "MODES",
    "TABS",
    "Final",
    "Header",
    "Look",
    "Phase",
    "PlainView",
    "Style",
    "View",
    "bundle",
    "open_progress",
    "open_view",
    "resolve_mode",
]


def open_view(mode: str = "auto", style: Style | None = None, *, later: bool = False) -> View:
    """Choose the way a run is shown here.

    Args:
        mode: one of `MODES`. `auto` takes the environment variable STREAMNB_DISPLAY, else `plain` without a notebook
            kernel, `static` when the kernel runs headless (nbclient, papermill, nbconvert), else `panel`.
        style: how a panel looks.
        later: the cell ends before the run does (`--background`).

    Returns:
        A view that is not yet open; nothing was displayed.

    Raises:
        UsageError: no such mode, or a panel without a notebook kernel.
    """
    match resolve_mode(mode):
        case "panel":
            if _kernel() is None:
                raise UsageError("display=panel needs a notebook kernel; here use display=plain")
            from streamnb.display.panel import PanelView

            return PanelView(style)
        case "static":
            from streamnb.display.static import StaticView

            return StaticView(style, later=later)
        case "plain":
            return PlainView()
        case _:
            return NullView()


def bundle(
    happenings: Iterable[Arrival | tuple[str, int]], final: Final, header: Header, look: Look | None = None
) -> dict[str, str]:
    """The static output of a run that ended: what a saved notebook keeps.

    Args:
        happenings: all that came, and the phases with their time (ns), in the order of time.
        final: how it ended.
        header: what was asked of whom.
        look: what may be asked about the run.

    Returns:
        `{"text/html": ..., "text/plain": ...}`.
    """
    from streamnb.display.lane import Lane
    from streamnb.display.static import bundle as built

    lane = Lane(0, header, look=look)
    for one in happenings:
        if isinstance(one, Arrival):
            lane.arrive(one)
        else:
            lane.phase(*one)
    lane.finish(final)
    return built(lane)


def open_progress(mode: str = "auto") -> View:
    """Choose the way a list of records is shown while it streams: one line that counts them, or nothing.

    Raises:
        UsageError: no such mode.
    """
    match resolve_mode(mode):
        case "none":
            return NullView()
        case "panel" if _kernel() is not None:
            from streamnb.display.progress import CellProgress

            return CellProgress()
        case _:
            from streamnb.display.progress import LineProgress

            return LineProgress()


def resolve_mode(mode: str) -> str:
    """The mode that `mode` means here; never `auto`.

    Raises:
        UsageError: no such mode; the message says whether the call or STREAMNB_DISPLAY asked for it.
    """
    _check(mode, "display")
    if mode != "auto":
        return mode
    wanted = os.environ.get("STREAMNB_DISPLAY", "auto") or "auto"
    _check(wanted, "STREAMNB_DISPLAY")
    return _guess() if wanted == "auto" else wanted


def _check(mode: str, where: str) -> None:
    if mode not in MODES:
        raise UsageError(f"{where}={mode}: there is no such way to show a run.{did_you_mean(mode, MODES)}")


def _guess() -> str:
    kernel = _kernel()
    if kernel is None:
        return "plain"
    request = kernel.get_parent().get("content", {})
    return "static" if request.get("allow_stdin") is False else "panel"


def _kernel() -> Any:
    """The notebook kernel this process is, or None; never imports IPython to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None)
