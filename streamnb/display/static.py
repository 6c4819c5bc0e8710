"""The final state of a run as one bundle that a saved notebook keeps: `text/html` and `text/plain`, nothing that acts.

Knows HTML and what survives when viewers strip style and script. Must not know: widgets, recordings, tables.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streamnb.display import strip
from streamnb.display.feed import SHOWN_LIMIT
from streamnb.display.figures import (
    DOT,
    duration,
    error_line,
    figures,
    missing,
    number,
    outcome_words,
    summary_line,
    verdict,
)
from streamnb.display.inert import visible, well_formed
from streamnb.display.lane import Lane
from streamnb.display.sources import Source
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look, Style
from streamnb.events import Arrival

_MUTED: Final = "color:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,inherit))"
_LINE: Final = "var(--jp-border-color2,var(--vscode-widget-border,rgba(128,128,128,.35)))"
_FONT: Final = "var(--jp-content-font-family,var(--vscode-font-family,system-ui,sans-serif))"
_SMALL: Final = "font-size:var(--jp-ui-font-size1,13px)"
_CARD: Final = f"border:1px solid {_LINE};border-radius:8px;margin:2px 0;overflow:hidden"
_HEAD: Final = f"margin:0;padding:7px 12px;border-bottom:1px solid {_LINE};font-weight:600;{_SMALL};line-height:1.5"
_CHIP: Final = "display:inline-block;padding:0 11px 0 9px;border:1px solid;border-radius:999px;margin-right:6px"
_BUTTON: Final = f"display:inline-block;padding:0 9px;border:1px solid {_LINE};border-radius:6px;line-height:1.7"
_TEXT: Final = (
    f"margin:0;padding:10px 12px;white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;font-family:{_FONT};"
    "font-size:var(--jp-content-font-size1,14px);line-height:1.6;background:transparent;border:0;color:inherit"
)
_QUIET: Final = f"{_TEXT};{_MUTED};padding-top:2px;font-size:var(--jp-ui-font-size1,13px)"
_DOC: Final = (
    f"padding:4px 12px 6px;overflow-x:auto;font-family:{_FONT};font-size:var(--jp-content-font-size1,14px);"
    "line-height:1.6"
)
_CODE: Final = f"{_TEXT};padding-top:2px;font-family:var(--jp-code-font-family,monospace);font-size:12px"
_BOX: Final = "display:inline-block;vertical-align:top;margin:0 16px 2px 0;padding:0;background:transparent"
_CELL: Final = "display:block;border:0;background:transparent;text-align:left;padding:0;white-space:nowrap"
_ERROR: Final = f"margin:0;padding:8px 12px;white-space:pre-wrap;overflow-wrap:anywhere;{_SMALL};border-left:3px solid"
_MARKS: Final = 480
"""More than a picture of this size can show apart; it is saved with the notebook."""
_LEAF: Final = 32
_LONG: Final = 8 * _LEAF
"""Blocks of an answer beyond which it takes a browser longer than a blink to lay them all out."""
_GOOD: Final = "var(--jp-success-color1,var(--vscode-testing-iconPassed,#2e7d32))"
_HALTED: Final = "var(--jp-warn-color1,var(--vscode-charts-orange,#d9730d))"
_BAD: Final = "var(--jp-error-color1,var(--vscode-errorForeground,#c62828))"
_SIGNS: Final = {
    "ok": ("\N{CHECK MARK}", _GOOD),
    "halted": ("\N{BLACK SQUARE}", _HALTED),
    "failed": ("\N{MULTIPLICATION X}", _BAD),
}


def bundle(lane: Lane) -> dict[str, str]:
    """Build the static output of a run that ended.

    The answer is the sanitized HTML that the panel showed; everything else that came from outside is escaped, and every
    character that acts is made visible (S1, S2). Links only for http, https and mail, with their host beside them (S3).
    The HTML is ordinary `h4`, `p`, `pre`, `details`, `ol`, `table`, so that it reads well where viewers strip style;
    there is no `text/markdown` and nothing is ever loaded.

    Args:
        lane: the run as it was shown; it has its final state.

    Returns:
        `{"text/html": ..., "text/plain": ...}`.
    """
    final = _final(lane)
    sections = (
        _head(lane.header, final),
        _reasoning(final),
        _answer(lane),
        _choices(final.choices),
        _error(final),
        _citations(lane.sources.rows),
        _timing(lane, final),
        _table(final.summary),
        _request(final),
        _note(lane.header.note),
    )
    body = "\n".join(section for section in sections if section)
    opened = f'<div class="snb-static tex2jax_ignore mathjax_ignore" style="{_CARD}">'  # no page typesets prices
    page = f"<style>{_css()}</style>\n{opened}\n{body}\n</div>"
    return {"text/html": page, "text/plain": _plain(final)}


class StaticView:
    """Shows nothing until the end, then the bundle, once: for headless runs and saved notebooks (NOTEBOOK.md 3, 4).

    Args:
        style: how it looks.
        later: the cell ends before the run (`--background`): its output is kept open for the bundle.
    """

    def __init__(self, style: Style | None = None, *, later: bool = False) -> None:
        self._style = style or Style()
        self._later = later
        self._lane: Lane | None = None
        self._handle: Any = None
        self._bundle: dict[str, str] | None = None

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Remember the header; a static output has no Stop button."""
        del stop
        self._lane = Lane(0, header, self._style, look)
        if self._later:
            from IPython.display import display

            waiting = {"text/html": f"<p>{_safe(header.title)}: running</p>", "text/plain": f"{header.title}: running"}
            self._handle = display(waiting, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase."""
        if self._lane is not None:
            self._lane.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        if self._lane is not None:
            self._lane.arrive(arrival)

    def paint(self, now_ns: int) -> None:
        """Count what arrived; show nothing."""
        if self._lane is not None and self._bundle is None:
            self._lane.news(now_ns)

    def close(self, final: FinalState) -> None:
        """Display the bundle."""
        if self._lane is None or self._bundle is not None:
            return
        self._lane.finish(final)
        shown = bundle(self._lane)
        if self._handle is None:
            from IPython.display import display

            display(shown, raw=True)  # type: ignore[no-untyped-call]
        self._bundle = shown  # only now: who is interrupted in between closes again
        self.repeat()

    def repeat(self) -> None:
        """Show the bundle in the place kept for it: a runner that was not listening gets it now."""
        if self._handle is not None and self._bundle is not None:
            self._handle.update(self._bundle, raw=True)


@functools.cache
def _css() -> str:
    """Colours of code and the look of tables; where a viewer strips it, the text remains."""
    return (Path(__file__).parent / "static.css").read_text(encoding="utf-8")


def _final(lane: Lane) -> FinalState:
    if lane.final is None:
        raise RuntimeError("the lane has no final state yet")
    return lane.final


def _answer(lane: Lane) -> str:
    """The answer; a long one in leaves, of which a browser lays out only those in sight."""
    blocks = lane.document.pieces()
    if len(blocks) > _LONG:
        leaves = ("\n".join(blocks[at : at + _LEAF]) for at in range(0, len(blocks), _LEAF))
        blocks = [f'<div class="snb-leaf">\n{leaf}\n</div>' for leaf in leaves]
    shown = "\n".join(blocks)
    return f'<div class="snb-doc" style="{_DOC}">\n{shown}\n</div>' if shown else ""


def _timing(lane: Lane, final: FinalState) -> str:
    """The timing picture, folded away: it is drawn by us from numbers only."""
    marks = lane.timeline.marks(_MARKS)
    if not marks or not (lane.timeline.total_chars or lane.phases):
        return ""
    picture = strip.image(
        marks,
        t0_ms=lane.timeline.t0_ms,
        end_ms=lane.timeline.end_ms,
        stalls=lane.timeline.stalls(),
        phases=lane.phases,
        label=summary_line(final),
    )
    style = f"padding:8px 12px 2px;overflow-x:auto;border-top:1px solid {_LINE}"
    return f'<div class="snb-picture" style="{style}">{picture}</div>'


def _request(final: FinalState) -> str:
    if not final.request:
        return ""
    summary = f'<summary style="padding:5px 12px;cursor:pointer;{_SMALL};{_MUTED}">Request</summary>'
    return f'<details style="border-top:1px solid {_LINE}">{summary}\n{_pre(final.request, _CODE)}\n</details>'


def _safe(text: Any) -> str:
    return html.escape(visible(well_formed(str(text))))


def _head(header: Header, final: FinalState) -> str:
    sign, colour = _SIGNS[verdict(final.outcome)]
    words = f'<span style="color:{colour}">{sign}</span> {_safe(outcome_words(final.outcome))}'
    title = f'<span style="display:inline-block;font-weight:400;{_MUTED}">{_safe(header.title)}</span>'
    apart = f'<span style="font-size:0">{DOT}</span>'  # seen only where styles are stripped: the chip is gone there
    return f'<h4 style="{_HEAD}"><span style="{_CHIP};border-color:{colour}">{words}</span>{apart}{title}</h4>'


def _pre(text: str, style: str) -> str:
    shown = text[:SHOWN_LIMIT]
    cut = len(text) - len(shown)
    more = f"\n\n[{cut:,} more characters are in the result]" if cut else ""
    # HTML drops one line end right after <pre>: a second one keeps the text whole
    return f'<pre style="{style}">\n{_safe(shown)}{more}</pre>'


def _reasoning(final: FinalState) -> str:
    if not final.reasoning:
        return ""
    thought_s = number(final.summary.get("ttfa_s")) - number(final.summary.get("ttft_s"))
    title = "Reasoning" if missing(thought_s) else f"Reasoning{DOT}{duration(thought_s)}"
    summary = f'<summary style="padding:5px 12px;cursor:pointer;{_SMALL};{_MUTED}">{title}</summary>'
    return f'<details style="border-bottom:1px solid {_LINE}">{summary}\n{_pre(final.reasoning, _QUIET)}\n</details>'


def _choices(labels: Sequence[str]) -> str:
    """What can be answered with: read here, pressed by the next cell; a saved notebook has nothing that acts (S1)."""
    chips = " ".join(f'<span style="{_BUTTON}">{_safe(label)}</span>' for label in labels)
    how = f'<span style="{_MUTED}">choices, answered with --press LABEL:</span>'
    return f'<p style="margin:0;padding:2px 12px 8px;{_SMALL};line-height:2">{how} {chips}</p>' if labels else ""


def _error(final: FinalState) -> str:
    if not final.error:
        return ""
    named = "<strong>Error:</strong> " if verdict(final.outcome) == "failed" else ""
    colour = _HALTED if final.outcome.ok else _SIGNS[verdict(final.outcome)][1]  # beside a good end it is a warning
    return f'<p style="{_ERROR} {colour}">{named}{_safe(final.error)}</p>'


def _citations(sources: Sequence[Source]) -> str:
    if not sources:
        return ""
    rows = "\n".join(f'<li value="{source.number}">{_citation(source)}</li>' for source in sources)
    return (
        f'<p style="margin:0;padding:6px 12px 0;{_SMALL};{_MUTED}">Sources</p>\n'
        f'<ol style="margin:0;padding:2px 12px 8px 36px;{_SMALL}">\n{rows}\n</ol>'
    )


def _citation(source: Source) -> str:
    shown = _safe(source.title)
    if source.url:
        target = html.escape(source.url)
        shown = f'<a href="{target}" target="_blank" rel="noopener noreferrer nofollow">{shown}</a>'
        shown += f" ({_safe(source.host)})"
    return shown + (f'<span style="{_MUTED}">{DOT}{_safe(source.kind)}</span>' if source.kind else "")


def _table(summary: Mapping[str, Any]) -> str:
    """A row per figure, label and value; where style is kept, boxes that stand side by side as far as there is room."""
    head, value = f"{_CELL};font-weight:400;{_MUTED}", f"{_CELL};font-variant-numeric:tabular-nums"
    rows = "\n".join(
        f'<tr style="{_BOX}"><th title="{html.escape(one.meaning)}" style="{head}">{one.label}</th>'
        f'<td style="{value}">{html.escape(one.value)}</td></tr>'
        for one in figures(summary)
    )
    return (
        f'<div style="padding:7px 12px;border-top:1px solid {_LINE}">'
        f'<table style="display:block;margin:0;border:0;{_SMALL};line-height:1.6">'
        f'<tbody style="display:block">\n{rows}\n</tbody></table></div>'
    )


def _note(note: str) -> str:
    return f'<p style="margin:0;padding:0 12px 7px;{_SMALL};{_MUTED}">{_safe(note)}</p>' if note else ""


def _plain(final: FinalState) -> str:
    text = visible(well_formed(final.text[:SHOWN_LIMIT]))
    error = visible(well_formed(error_line(final)))
    choices = visible(well_formed(f"choices: {DOT.join(final.choices)}")) if final.choices else ""
    return "\n\n".join(part for part in (text, choices, error, summary_line(final)) if part)
