"""A race on a screen: which way it is shown; in a terminal, a line when a run ends and the table at the end.

Knows final states and the standings. Must not know: recordings, transports, IPython, HTML, how a race is run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from streamnb.display import open_view
from streamnb.display.figures import DOT, summary_line
from streamnb.display.standings import Racer, Result, errors, text_table
from streamnb.display.terminal import line
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look, NullView, Style, View
from streamnb.events import Arrival

if TYPE_CHECKING:
    from streamnb.display.lane import Lane


class RaceView(Protocol):
    """One place on the screen for a race. All of it on one thread."""

    def open(self, stop: Callable[[], None]) -> None:
        """Take the place; `stop` asks all runs to end, called from any thread."""

    def begin(self, number: int, order: str) -> Sequence[View]:
        """A round begins.

        Args:
            number: from 0.
            order: how the order of the starts came about, for people.

        Returns:
            A place for the run of each target. Opened before its run starts, it ignores the opening by the run.
        """
        ...

    def paint(self, now_ns: int) -> None:
        """Show what arrived, with at most one message for all lanes."""

    def close(self, *, says_errors: bool = True) -> None:
        """Show the final state and let go.

        Args:
            says_errors: False: the caller raises what went wrong, and once is enough in a terminal.
        """


def open_race(mode: str, names: Sequence[str], rounds: int, style: Style | None = None) -> RaceView:
    """Choose the way a race is shown here.

    Args:
        mode: one of `MODES` but `auto`.
        names: what each target is called.
        rounds: how many there are.
        style: how a panel looks.

    Raises:
        UsageError: a panel without a notebook kernel.
    """
    match mode:
        case "panel":
            open_view(mode)  # refuses where there is no page
            from streamnb.display.race_page import PanelRace

            return PanelRace(names, rounds, style)
        case "static":
            from streamnb.display.race_page import StaticRace

            return StaticRace(names, rounds, style)
        case "plain":
            return PlainRace(names, rounds)
        case _:
            return NullRace(names)


class NullRace:
    """Shows nothing."""

    def __init__(self, names: Sequence[str]) -> None:
        self._n = len(names)

    def open(self, stop: Callable[[], None]) -> None:
        """Do nothing."""

    def begin(self, number: int, order: str) -> Sequence[View]:
        """Places that show nothing."""
        del number, order
        return [NullView() for _ in range(self._n)]

    def paint(self, now_ns: int) -> None:
        """Do nothing."""

    def close(self, *, says_errors: bool = True) -> None:
        """Do nothing."""


class KeptRace:
    """What every way of showing a race has: the standings, and places for its runs."""

    def __init__(self, names: Sequence[str], rounds: int) -> None:
        self.racers = [Racer(name) for name in names]
        self._typed = list(names)
        self._rounds = rounds
        self._number = 0
        self._note = ""

    def begin(self, number: int, order: str) -> Sequence[View]:
        """Places for the runs of a round."""
        del order
        self._number = number + 1
        return [Place(self, at) for at in range(len(self.racers))]

    def enter(self, at: int, header: Header, look: Look | None) -> Lane | None:
        """A run takes its place; what it is called is known now: its model, where that was not typed."""
        del look
        typed, model = self._typed[at], header.model
        self.racers[at].name = f"{typed}{DOT}{model}" if model and f":{model}" not in typed else typed
        return None

    def note(self, text: str) -> None:
        """Something to say once, at the end."""
        self._note = self._note or text

    def leave(self, at: int, final: FinalState) -> None:
        """A run has ended."""
        self.racers[at].results.append(Result(self._number, final.outcome, final.error or "", final.summary))


class PlainRace(KeptRace):
    """Writes a line when a run ends, and the table at the end."""

    def __init__(self, names: Sequence[str], rounds: int, stream: TextIO | None = None) -> None:
        super().__init__(names, rounds)
        self._stream = stream or sys.stdout

    def open(self, stop: Callable[[], None]) -> None:
        """Do nothing: Ctrl-C stops."""

    def leave(self, at: int, final: FinalState) -> None:
        """A run has ended: a line says so."""
        super().leave(at, final)
        which = f" ({self._number}/{self._rounds})" if self._rounds > 1 else ""
        self._write(f"{self.racers[at].name}{which}: {summary_line(final)}")

    def paint(self, now_ns: int) -> None:
        """Nothing is written while it arrives: two answers at once cannot be read."""

    def close(self, *, says_errors: bool = True) -> None:
        """Write the table, and what went wrong."""
        wrong = errors(self.racers, self._rounds) if says_errors else []
        for text in ("", *text_table(self.racers, self._rounds), *wrong, self._note):
            self._write(text)

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(f"{line(text)}\n".encode(encoding, "replace").decode(encoding))
        self._stream.flush()


class Place:
    """One run's place in a race. Opened by the race, so that no start waits for the screen; once more by the run."""

    def __init__(self, race: KeptRace, at: int) -> None:
        self._race = race
        self._at = at
        self._lane: Lane | None = None
        self._stop: Callable[[], None] | None = None
        self._over = False

    @property
    def ident(self) -> int | None:
        """Number of its lane, None where there is none."""
        return None if self._lane is None else self._lane.ident

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Take the place; a second time only the header's note is news."""
        self._race.note(header.note)
        if self._stop is None:
            self._stop = stop
            self._lane = self._race.enter(self._at, header, look)

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase."""
        if self._lane is not None:
            self._lane.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        if self._lane is not None:
            self._lane.arrive(arrival)

    def paint(self, now_ns: int) -> None:
        """Nothing to do: the race paints all of its lanes."""

    def close(self, final: FinalState) -> None:
        """The run has ended."""
        if self._stop is not None and not self._over:
            self._over = True
            self._race.leave(self._at, final)

    def repeat(self) -> None:
        """Nothing to do: the race has one final state."""

    def ask_to_stop(self) -> None:
        """A click: at most once, and not after the end."""
        if self._lane is not None and self._lane.final is None and not self._lane.stop_asked and self._stop is not None:
            self._lane.stop_asked = True
            self._stop()
