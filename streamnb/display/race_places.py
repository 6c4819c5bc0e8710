"""A place for each run of a race, and the standings: what every way of showing one has.

Knows final states and the standings. Must not know: screens, recordings, transports, how a race is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from streamnb.display.figures import DOT
from streamnb.display.standings import Racer, Result
from streamnb.display.view import Final, Header, Look, View
from streamnb.events import Arrival

if TYPE_CHECKING:
    from streamnb.display.lane import Lane


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

    def leave(self, at: int, final: Final) -> None:
        """A run has ended."""
        self.racers[at].results.append(Result(self._number, final.outcome, final.error or "", final.summary))


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

    def close(self, final: Final) -> None:
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
