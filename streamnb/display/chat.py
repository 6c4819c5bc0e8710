"""A conversation on the screen: a board whose lanes are the turns, and the static transcript of it.

Knows lanes, boards and HTML. Must not know: sessions, providers, recordings, clocks, what a click means.
"""

from __future__ import annotations

import functools
import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streamnb.display.board import Board
from streamnb.display.figures import DOT, error_line, summary_line, verdict
from streamnb.display.inert import visible, well_formed
from streamnb.display.lane import Lane
from streamnb.display.panel import LaneView
from streamnb.display.sources import Source
from streamnb.display.view import Header, Look, Style

_MUTED: Final = "color:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,inherit))"
_LINE: Final = "var(--jp-border-color2,var(--vscode-widget-border,rgba(128,128,128,.35)))"
_BAD: Final = "var(--jp-error-color1,var(--vscode-errorForeground,#c62828))"
_FONT: Final = "var(--jp-content-font-family,var(--vscode-font-family,system-ui,sans-serif))"
_SMALL: Final = "font-size:var(--jp-ui-font-size1,13px)"
_CARD: Final = f"border:1px solid {_LINE};border-radius:8px;margin:2px 0;overflow:hidden"
_TURN: Final = f"border-top:1px solid {_LINE}"
_HEAD: Final = f"margin:0;padding:7px 12px;font-weight:600;{_SMALL};line-height:1.5"
_WHO: Final = f"margin:0;padding:8px 12px 0;{_SMALL};font-weight:600;{_MUTED}"
_SAID: Final = (
    f"margin:0;padding:2px 12px 4px;white-space:pre-wrap;overflow-wrap:anywhere;font-family:{_FONT};"
    "font-size:var(--jp-content-font-size1,14px);line-height:1.6;background:transparent;border:0;color:inherit"
)
_DOC: Final = (
    f"padding:0 12px 4px;overflow-x:auto;font-family:{_FONT};line-height:1.6;"
    "font-size:var(--jp-content-font-size1,14px)"
)


class ChatBoard:
    """The turns of a conversation, with a widget from the first `show` on. `heard` comes on any thread.

    Args:
        style: how it looks.
        act: what a message from the page means; called on any thread, must not block.
    """

    def __init__(self, style: Style, act: Callable[[Mapping[str, Any]], None]) -> None:
        self._style = style
        self._idents = itertools.count()
        self._board = Board("chat", style, act)

    def view(self, said: str | None) -> LaneView:
        """The place of the next turn.

        Args:
            said: what the user said, None where nothing was said.
        """

        def lane(header: Header, look: Look | None) -> Lane:
            return Lane(next(self._idents), header, self._style, look, said)

        return LaneView(self._board, lane)

    def state(self, chat: Mapping[str, Any]) -> None:
        """What the page is told about the conversation as a whole, with the next message."""
        self._board.extra = {"chat": {key: _shown(value) for key, value in chat.items()}}

    @staticmethod
    def wants(lane: Lane, kind: str, placeholder: str) -> None:
        """Say what the platform waits for as text, before the lane gets its final state."""
        lane.input = {"kind": kind, "placeholder": _shown(placeholder)}

    def keep(self, lanes: Sequence[Lane]) -> None:
        """Only these turns stay on the screen."""
        self._board.keep(lanes)

    def paint(self, now_ns: int) -> None:
        """Send what is new, if anything is and a message is due."""
        self._board.paint(now_ns)

    def show(self) -> dict[str, Any]:
        """The view to display, alone. Main thread."""
        return self._board.show()

    def release(self) -> None:
        """No turn comes any more: let the widget go."""
        self._board.release()

    def bundle(self, plain: str) -> dict[str, str]:
        """The conversation as static output.

        Args:
            plain: the same as text.
        """
        return bundle(self._board.lanes, plain)


def bundle(lanes: Sequence[Lane], plain: str) -> dict[str, str]:
    """Build the static output of a conversation: nothing that acts, every character that came from outside inert (S1).

    Args:
        lanes: its turns, also one that still runs.
        plain: the same as text.

    Returns:
        `{"text/html": ..., "text/plain": ...}`.
    """
    turns = "\n".join(map(_turn, lanes)) or f'<p style="{_SAID};{_MUTED}">nothing was said yet</p>'
    title = _safe(lanes[-1].header.title) if lanes else "conversation"
    head = f'<h4 style="{_HEAD}">{title}</h4>'
    opened = f'<div class="snb-static tex2jax_ignore mathjax_ignore" style="{_CARD}">'  # no page typesets prices
    page = f"<style>{_css()}</style>\n{opened}\n{head}\n{turns}\n</div>"
    return {"text/html": page, "text/plain": _shown(plain)}


def _turn(lane: Lane) -> str:
    said, answer = lane.state()["said"], lane.document.html()
    parts = (
        f'<p style="{_WHO}">You</p>\n<pre style="{_SAID}">\n{html.escape(said)}</pre>' if said is not None else "",
        f'<p style="{_WHO}">{_safe(lane.header.names)}</p>',
        f'<div class="snb-doc" style="{_DOC}">\n{answer}\n</div>' if answer else "",
        _sources(lane.sources.rows),
        _outcome(lane),
    )
    return f'<div style="{_TURN}">\n' + "\n".join(part for part in parts if part) + "\n</div>"


def _sources(sources: Sequence[Source]) -> str:
    rows = "\n".join(f'<li value="{source.number}">{_source(source)}</li>' for source in sources)
    return f'<ol style="margin:0;padding:2px 12px 4px 36px;{_SMALL}">\n{rows}\n</ol>' if rows else ""


def _source(source: Source) -> str:
    shown = _safe(source.title)
    if source.url:
        target = html.escape(source.url)
        shown = f'<a href="{target}" target="_blank" rel="noopener noreferrer nofollow">{shown}</a>'
        shown += f" ({_safe(source.host)})"
    return shown + (f'<span style="{_MUTED}">{DOT}{_safe(source.kind)}</span>' if source.kind else "")


def _outcome(lane: Lane) -> str:
    """The last line of a turn: what can be pressed, what went wrong, how it ended and how fast it was."""
    final = lane.final
    if final is None:
        return f'<p style="{_SMALL};{_MUTED};margin:0;padding:2px 12px 7px">running</p>'
    lines = []
    if final.choices:
        lines.append(_safe("choices: " + DOT.join(final.choices)))
    if final.error:
        colour = _BAD if verdict(final.outcome) == "failed" else "inherit"
        lines.append(f'<span style="color:{colour}">{_safe(error_line(final))}</span>')
    shown = "<br>\n".join([*lines, _safe(summary_line(final))])
    return f'<p style="{_SMALL};{_MUTED};margin:0;padding:2px 12px 7px;line-height:1.7">{shown}</p>'


@functools.cache
def _css() -> str:
    return (Path(__file__).parent / "static.css").read_text(encoding="utf-8")


def _shown(text: Any) -> Any:
    return visible(well_formed(text)) if isinstance(text, str) else text


def _safe(text: Any) -> str:
    return html.escape(visible(well_formed(str(text))))
