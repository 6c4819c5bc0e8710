"""The live panel: a board with one lane while the run lives, a static bundle afterwards.

Knows lanes, boards and displays. Must not know: recordings, transports, clocks, HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import display

from streamnb.display.board import Board
from streamnb.display.lane import Lane
from streamnb.display.static import bundle
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look, Style
from streamnb.events import Arrival


class LaneView:
    """A lane of a board as the place on the screen for one run."""

    def __init__(self, board: Board, lane: Callable[[Header, Look | None], Lane]) -> None:
        self._board = board
        self._make = lane
        self._lane: Lane | None = None
        self._ended = False
        self.stop: Callable[[], None] | None = None

    @property
    def lane(self) -> Lane:
        """The lane; the view must be open."""
        if self._lane is None:
            raise RuntimeError("the view is not open")
        return self._lane

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Add the lane to the board."""
        self.stop = stop
        self._lane = self._make(header, look)
        self._board.add(self._lane)

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase."""
        self.lane.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        self.lane.arrive(arrival)

    def paint(self, now_ns: int) -> None:
        """Paint the whole board."""
        self._board.paint(now_ns)

    def close(self, final: FinalState) -> None:
        """Give the lane its final state."""
        if self._lane is not None and not self._ended:
            self._board.end(self._lane, final)
            self._ended = True

    def repeat(self) -> None:
        """Nothing to do: the board stays."""

    def ask_to_stop(self) -> None:
        """A click: at most once, and not after the end."""
        if self._lane is not None and self._lane.final is None and not self._lane.stop_asked and self.stop is not None:
            self._lane.stop_asked = True
            self.stop()


class PanelView:
    """A panel in the cell's output while the run lives, its static bundle afterwards (NOTEBOOK.md 4, 7, 9)."""

    def __init__(self, style: Style | None = None) -> None:
        self._style = style or Style()
        self._view: LaneView | None = None
        self._board: Board | None = None
        self._bundle: dict[str, str] | None = None

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Display the panel: the widget view alone, so that no dead repr stays in a saved notebook."""
        self._board = Board("one", self._style, self._act)
        self._view = LaneView(self._board, lambda header, look: Lane(0, header, self._style, look))
        self._view.open(header, stop, look)
        self._handle = display(self._board.show(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase."""
        if self._view is not None:
            self._view.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        if self._view is not None:
            self._view.arrive(arrival)

    def paint(self, now_ns: int) -> None:
        """Send what is new, if anything is and a message is due."""
        if self._board is not None and self._bundle is None:
            self._board.paint(now_ns)

    def close(self, final: FinalState) -> None:
        """Send the final state, replace the panel by the static bundle, let the widget go."""
        if self._board is None or self._view is None or self._bundle is not None:
            return
        self._view.close(final)
        shown = bundle(self._view.lane)
        self._handle.update(shown, raw=True)
        self._bundle = shown  # last: who is interrupted in between closes again
        self._board.release()

    def repeat(self) -> None:
        """Show the final state once more: for a runner that was not listening when it came."""
        if self._bundle is not None:
            self._handle.update(self._bundle, raw=True)

    def _act(self, content: Mapping[str, Any]) -> None:
        if content.get("k") == "stop" and self._view is not None:
            self._view.ask_to_stop()
