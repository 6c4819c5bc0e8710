"""A race on a screen: which way it is shown; in a terminal, a line when a run ends and the table at the end.

Knows final states and the standings. Must not know: recordings, transports, IPython, HTML, how a race is run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from streamnb.display import open_view
from streamnb.display.figures import summary_line
from streamnb.display.race_places import KeptRace
from streamnb.display.standings import errors, text_table
from streamnb.display.terminal import line
from streamnb.display.view import Final as FinalState
from streamnb.display.view import NullView, Style, View


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
