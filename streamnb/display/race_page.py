"""A race on a page: a board while it runs, one static bundle afterwards: table, all reads on one time axis, answers.

Knows lanes, boards, displays and HTML. Must not know: recordings, transports, clocks, how a race is run.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from IPython.display import display

from streamnb.display import strip
from streamnb.display.board import Board
from streamnb.display.figures import DOT, summary_line
from streamnb.display.inert import visible, well_formed
from streamnb.display.lane import Lane
from streamnb.display.race_places import KeptRace, Place
from streamnb.display.standings import FIGURES, LEADING, Racer, Result, errors, lead, table, text_table, title
from streamnb.display.static import bundle as single
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look, Style, View

_LEADERS_NS: Final = 250_000_000
"""Who leads is said four times a second: a person reads it."""
_NO_FIGURE: Final = "no figure yet"
_LATEST: Final = "Picture and answers are those of the latest run of each target."
_LINE: Final = "var(--jp-border-color2,var(--vscode-widget-border,rgba(128,128,128,.35)))"
_SMALL: Final = "font-size:var(--jp-ui-font-size1,13px);line-height:1.5"
_MUTED: Final = "color:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,inherit))"
_HEAD: Final = f"margin:6px 0;font-weight:600;{_SMALL}"
_CELL: Final = "border:0;background:transparent;text-align:left;padding:0 16px 0 0;white-space:nowrap"
_SUMMARY: Final = f"padding:5px 0;cursor:pointer;{_SMALL}"
_BAD: Final = "var(--jp-error-color1,var(--vscode-errorForeground,#c62828))"
_ERROR: Final = f"margin:4px 0;padding:2px 10px;{_SMALL};overflow-wrap:anywhere;border-left:3px solid {_BAD}"


class StaticRace(KeptRace):
    """Shows nothing until the end, then one bundle."""

    def __init__(self, names: Sequence[str], rounds: int, style: Style | None = None) -> None:
        super().__init__(names, rounds)
        self._style = style or Style()
        self._lanes: dict[int, Lane] = {}
        self._ended: dict[int, Lane] = {}
        self._order = ""

    def open(self, stop: Callable[[], None]) -> None:
        """Do nothing: a static output has no Stop button."""

    def begin(self, number: int, order: str) -> Sequence[View]:
        """Places for the runs of a round."""
        self._order = order
        self._lanes = {}
        return super().begin(number, order)

    def enter(self, at: int, header: Header, look: Look | None) -> Lane:
        """A run takes its place: a lane of its own."""
        super().enter(at, header, look)
        name = self.racers[at].name
        named = Header(name, None, name, header.host, header.run_id, header.note)
        self._lanes[at] = lane = Lane((self._number - 1) * len(self.racers) + at, named, self._style, look)
        return lane

    def leave(self, at: int, final: FinalState) -> None:
        """A run has ended: its lane has the final state."""
        lane = self._ended[at] = self._lanes[at]
        self._finish(lane, final)
        known = lane.final or final
        self.racers[at].results.append(Result(self._number, known.outcome, known.error or "", known.summary))

    def _finish(self, lane: Lane, final: FinalState) -> None:
        lane.finish(final)

    def paint(self, now_ns: int) -> None:
        """Count what arrived; show nothing."""
        for lane in self._lanes.values():
            if lane.final is None:
                lane.news(now_ns)

    def close(self, *, says_errors: bool = True) -> None:
        """Display the bundle."""
        del says_errors  # a page is read later, where nothing else says them
        display(self._bundle(), raw=True)  # type: ignore[no-untyped-call]

    def _bundle(self) -> dict[str, str]:
        lanes = [self._ended[at] for at in sorted(self._ended)]
        return bundle(self.racers, self._rounds, lanes, [self._order, self._note])


class PanelRace(StaticRace):
    """A board with a lane for each target while the runs live, the static bundle afterwards."""

    def __init__(self, names: Sequence[str], rounds: int, style: Style | None = None) -> None:
        super().__init__(names, rounds, style)
        self._board: Board | None = None
        self._places: Sequence[Place] = ()
        self._stop: Callable[[], None] | None = None
        self._due_ns = 0
        self._handle: Any = None

    @property
    def board(self) -> Board:
        """The board; the race must be open."""
        if self._board is None:
            raise RuntimeError("the race is not open")
        return self._board

    def open(self, stop: Callable[[], None]) -> None:
        """Display the board."""
        self._stop = stop
        self._board = Board("race", self._style, self._act)
        self._handle = display(self._board.show(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def begin(self, number: int, order: str) -> Sequence[View]:
        """Places for the runs of a round."""
        self._places = places = [place for place in super().begin(number, order) if isinstance(place, Place)]
        self._due_ns = 0
        return places

    def enter(self, at: int, header: Header, look: Look | None) -> Lane:
        """A run takes its place on the board; with the first one, the lanes of the round before go."""
        if not self._lanes and self.board.lanes:
            self.board.keep([])
        lane = super().enter(at, header, look)
        self.board.add(lane)
        return lane

    def _finish(self, lane: Lane, final: FinalState) -> None:
        self.board.end(lane, final)
        self._due_ns = 0

    def paint(self, now_ns: int) -> None:
        """Send what is new of all lanes, and now and then who leads."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + _LEADERS_NS
            self._lead()
        self.board.paint(now_ns)

    def close(self, *, says_errors: bool = True) -> None:
        """Replace the board by the bundle, let the widget go."""
        del says_errors
        if self._board is None:
            return
        if self.board.live:  # who never began is gone
            self.board.keep([lane for lane in self.board.lanes if lane.final is not None])
        self._lead()
        self.board.release()
        if self._handle is not None:
            self._handle.update(self._bundle(), raw=True)

    def _lead(self) -> None:
        """Tell the page the round, and who leads by what is known now."""
        for at, racer in enumerate(self.racers):
            lane = self._lanes.get(at)
            live = lane is not None and lane.final is None
            racer.live = lane.feed.meter.summary() if lane is not None and live else None
            racer.round = self._number
        idents = {at: lane.ident for at, lane in self._lanes.items()}
        leads = {metric: lead(metric, self.racers) for metric in LEADING}
        self.board.extra["race"] = {
            "round": self._number,
            "rounds": self._rounds,
            "targets": list(idents.values()),
            "leaders": [
                {
                    "metric": f"{metric}\n{one.over or _NO_FIGURE}" if self._rounds > 1 else metric,
                    "lane": None if one.at is None else idents.get(one.at),
                    "value": one.value,
                    "ahead": one.ahead,
                }
                for metric, one in leads.items()
            ],
            "order": visible(well_formed(self._order)),
        }

    def _act(self, content: Mapping[str, Any]) -> None:
        """A click, on any thread: one lane's run, or all of them."""
        if content.get("k") != "stop" or self._stop is None:
            return
        if "lane" in content:
            wanted = [place for place in self._places if place.ident == content["lane"]]
        else:
            wanted = list(self._places)
            self._stop()
        for place in wanted:
            place.ask_to_stop()


def bundle(racers: Sequence[Racer], rounds: int, lanes: Sequence[Lane], notes: Iterable[str] = ()) -> dict[str, str]:
    """The static output of a race that ended: a table, all reads on one time axis, and the latest answer of each.

    Args:
        racers: the targets and how their runs went.
        rounds: how many were planned.
        lanes: the latest run of each target that has one; they have their final state.
        notes: said below, small.

    Returns:
        `{"text/html": ..., "text/plain": ...}`.
    """
    wrong = errors(racers, rounds)
    shown = [(lane, single(lane)) for lane in lanes]
    said = [text for text in (_LATEST if rounds > 1 and lanes else "", *notes) if text]
    page = (
        f'<h4 style="{_HEAD}">{_safe(title(racers, rounds))}</h4>',
        _html_table(racers, rounds),
        *(f'<p style="{_ERROR}">{_safe(text)}</p>' for text in wrong),
        _picture(lanes),
        *_answers(shown),
        *(f'<p style="margin:4px 0;{_SMALL};{_MUTED}">{_safe(text)}</p>' for text in said),
    )
    answers = [f"== {visible(well_formed(lane.header.names))} ==\n{one['text/plain']}" for lane, one in shown]
    plain = "\n".join(visible(well_formed(text)) for text in (*text_table(racers, rounds), *wrong))
    body = "\n".join(part for part in page if part)
    inert = f'<div class="tex2jax_ignore mathjax_ignore">\n{body}\n</div>'  # no page typesets names and errors
    return {"text/html": inert, "text/plain": "\n\n".join([plain, *answers])}


def _safe(text: str) -> str:
    return html.escape(visible(well_formed(text)))


def _html_table(racers: Sequence[Racer], rounds: int) -> str:
    heads, *rows = table(racers, rounds)
    leads = {metric: lead(metric, racers) for metric in FIGURES}
    first = {metric: one.at for metric, one in leads.items() if "ahead" in one.ahead}  # who is level leads nobody
    body = []
    for at, row in enumerate(rows):
        cells = [
            f"<strong>{_safe(cell)}</strong>" if first.get(heads[column]) == at else _safe(cell)
            for column, cell in enumerate(row)
        ]
        body.append("".join(f'<td style="{_CELL};font-variant-numeric:tabular-nums">{cell}</td>' for cell in cells))
    top = "".join(f'<th style="{_CELL};font-weight:400;{_MUTED}">{name}</th>' for name in heads)
    lines = "\n".join(f'<tr style="background:transparent">{cells}</tr>' for cells in (top, *body))
    style = f"margin:0 0 6px;border:0;border-collapse:collapse;{_SMALL}"
    return f'<div style="overflow-x:auto"><table style="{style}">\n{lines}\n</table></div>'


def _picture(lanes: Sequence[Lane]) -> str:
    if not any(lane.timeline.total_chars for lane in lanes):
        return ""
    rows = [
        (lane.header.names, lane.timeline.marks(), lane.timeline.t0_ms, lane.timeline.end_ms, lane.timeline.stalls())
        for lane in lanes
    ]
    return f'<div class="snb-picture" style="padding:2px 0 6px;overflow-x:auto">{strip.race_image(rows)}</div>'


def _answers(shown: Sequence[tuple[Lane, Mapping[str, str]]]) -> Iterable[str]:
    """Each run's own bundle, folded but the first one; its style sheet is the same for all and said once."""
    style = ""
    for lane, one in shown:
        final = lane.final
        said = DOT.join([lane.header.names, summary_line(final)]) if final is not None else lane.header.names
        own = one["text/html"]
        body = own.removeprefix(style) if style else own
        opened = "" if style else " open"
        style = style or own[: own.find("</style>\n") + len("</style>\n")]
        head = f'<summary style="{_SUMMARY}">{_safe(said)}</summary>'
        yield f'<details{opened} style="border-top:1px solid {_LINE}">{head}\n{body}\n</details>'
