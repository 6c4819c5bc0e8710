"""What every way of showing a run has in common: a header, arrivals, a clock that is handed in, one final state.

Knows arrivals and outcomes. Must not know: IPython, widgets, how a run is fetched or recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from streamnb.events import Arrival, Outcome

BETWEEN_CALLS = "\n\n"
"""Between the texts of two calls of one run, for people; the events have what came."""

_DOT = " \N{MIDDLE DOT} "


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known before anything arrives.

    Attributes:
        provider: name of the provider, as typed after `%%chatstream`.
        model: model name, where the API has one.
        target: what was addressed: a profile, a provider, a bot.
        host: the host the request goes to (S22).
        run_id: identifier of the run.
        note: said once and small, such as where recordings go and how to switch that off.
    """

    provider: str
    model: str | None
    target: str
    host: str
    run_id: str
    note: str = ""

    @property
    def names(self) -> str:
        """Target, provider and model in one line, each once."""
        named = {"", self.provider} >= {self.target}
        parts = (self.provider if named else f"{self.target} ({self.provider})", self.model)
        return _DOT.join(part for part in parts if part)

    @property
    def title(self) -> str:
        """The names and the host."""
        return _DOT.join(part for part in (self.names, self.host) if part)


@dataclasses.dataclass(frozen=True)
class Final:
    """What is known when the run ended.

    Attributes:
        text: the whole answer.
        reasoning: the whole reasoning, "" when there was none.
        outcome: how the run ended.
        error: one line: whose fault and what next, or None.
        summary: plain values under the column names of the table `runs`; a missing value is NaN or absent.
        citations: rows of the table `citations`: `title`, `url`, `source_type`.
        messages: whole messages (bot bubbles), in order.
        choices: labels of the buttons that the platform offers now.
        n_messages_before: how many of them came before the answer's first text; None when unknown: all.
    """

    text: str
    reasoning: str
    outcome: Outcome
    error: str | None
    summary: Mapping[str, Any]
    citations: Sequence[Mapping[str, Any]]
    messages: Sequence[str]
    n_messages_before: int | None = None
    choices: Sequence[str] = ()

    @property
    def messages_around(self) -> tuple[Sequence[str], Sequence[str]]:
        """The messages above and below the answer; none when the answer is made of them: they would show twice."""
        if "".join("".join(self.messages).split()) == "".join(self.text.split()):
            return (), ()
        cut = len(self.messages) if self.n_messages_before is None else self.n_messages_before
        return self.messages[:cut], self.messages[cut:]


class View(Protocol):
    """One place on the screen for one run."""

    def open(self, header: Header, stop: Callable[[], None]) -> None:
        """Take the place: the first and only display, in the cell, on the main thread.

        Args:
            header: what is known before anything arrives.
            stop: asks the run to end; called from any thread, at most once.
        """

    def phase(self, name: str, t_ns: int) -> None:
        """Say what the run does next. Any thread; never paints, never blocks.

        Args:
            name: `connecting` starts the clock, `waiting` sets t0 (the streaming request is handed to the connection);
                any other name is shown as it is until text arrives.
            t_ns: when, CLOCK_MONOTONIC ns.
        """

    def arrive(self, arrival: Arrival) -> None:
        """Hand over a chunk and its events. Loop thread; never paints, never blocks."""

    def paint(self, now_ns: int) -> None:
        """Show what arrived, with at most one message. Main thread, about every 50 ms."""

    def close(self, final: Final) -> None:
        """Show the final state and let go. Main thread, always called; a second call does nothing."""


class NullView:
    """Shows nothing."""

    def open(self, header: Header, stop: Callable[[], None]) -> None:
        """Do nothing."""

    def phase(self, name: str, t_ns: int) -> None:
        """Do nothing."""

    def arrive(self, arrival: Arrival) -> None:
        """Do nothing."""

    def paint(self, now_ns: int) -> None:
        """Do nothing."""

    def close(self, final: Final) -> None:
        """Do nothing."""
