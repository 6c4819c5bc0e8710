"""What every way of showing a run has in common: a header, arrivals, a clock that is handed in, one final state.

Knows arrivals and outcomes. Must not know: IPython, widgets, how a run is fetched or recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from streamnb.events import Arrival, Outcome

BETWEEN_CALLS = "\n\n"
"""Between the texts of two calls of one run, for people; the events have what came."""

TABS = ("answer", "timing", "events", "request")

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
        citations: rows of the table `citations`: `title`, `url`, `source_type`, `at_char`.
        choices: labels of the buttons that the platform offers now.
        request: the streaming request as a curl command, "" when not known.
    """

    text: str
    reasoning: str
    outcome: Outcome
    error: str | None
    summary: Mapping[str, Any]
    citations: Sequence[Mapping[str, Any]]
    choices: Sequence[str] = ()
    request: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How a panel looks; `%config ChatStream` sets it.

    Attributes:
        rate_hz: most messages a second to the page (R13: 20).
        height_px: height of the panel's body, None: as high as its text, up to a limit.
        tabs: which tabs it has, of `TABS`.
        markdown: render the answer as Markdown; False shows it as it came.
        reduced_motion: no animation.
    """

    rate_hz: float = 20.0
    height_px: int | None = None
    tabs: tuple[str, ...] = ("answer", "timing", "events", "request")
    markdown: bool = True
    reduced_motion: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class EventRow:
    """One event as a list shows it.

    Attributes:
        seq: its number in the run, from 0.
        t_s: time of its chunk since t0, s; NaN before t0 is known.
        text: its first characters only.
        chunk: number of the chunk that completed it.
        coalesced: its chunk completed other events too, so they share one time.
    """

    seq: int
    t_s: float
    kind: str
    text: str
    name: str | None
    chunk: int
    coalesced: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Raw:
    """The bytes of the frame that an event was read from, secrets masked in place.

    Attributes:
        n_bytes: their number, also where `data` is cut.
        t_s: time of the chunk that completed it since t0, s.
    """

    data: bytes
    n_bytes: int
    t_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """One request as it went out, redacted, and how it was answered.

    Attributes:
        headers: (name, value); `<redacted>` for values that are not recorded.
        body: as text, JSON indented; "" without one.
        status: None before the reply.
        curl: a command for a POSIX shell that sends it again, the key as an environment variable; "" when not known.
    """

    name: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    status: int | None
    reply_headers: tuple[tuple[str, str], ...]
    curl: str


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """One phase of the streaming request: its name, how long it took (s), what it means exactly."""

    name: str
    seconds: float
    meaning: str


class Look(Protocol):
    """What a panel may ask about a run, while it lives and afterwards. Any thread; the run may grow meanwhile."""

    def kinds(self) -> Mapping[str, int]:
        """How many events of each kind there are."""
        ...

    def rows(self, first: int, n: int, kinds: Collection[str] | None = None) -> tuple[int, list[EventRow]]:
        """Some events of a list, for a list that scrolls.

        Args:
            first: position in the filtered list, from 0.
            n: at most so many.
            kinds: only these; None: all.

        Returns:
            (length of the filtered list, rows from `first` on).
        """
        ...

    def raw(self, seq: int) -> Raw | None:
        """The frame an event was read from; None when there is no such event, or no frame can be told."""
        ...

    def sent(self) -> list[Sent]:
        """Every request so far, in order."""
        ...

    def phases(self) -> list[Phase]:
        """The phases of the latest streaming call, as far as it came: DNS, connect, TLS, headers, first byte."""
        ...


class View(Protocol):
    """One place on the screen for one run."""

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Take the place: the first and only display, in the cell, on the main thread.

        Args:
            header: what is known before anything arrives.
            stop: asks the run to end; called from any thread, at most once.
            look: what may be asked about the run.
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
        """Show the final state and let go. Always called; a second call does nothing."""

    def repeat(self) -> None:
        """Show the final state once more, for a runner that was not listening when it came."""


class NullView:
    """Shows nothing."""

    listens = False

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Do nothing."""

    def phase(self, name: str, t_ns: int) -> None:
        """Do nothing."""

    def arrive(self, arrival: Arrival) -> None:
        """Do nothing."""

    def paint(self, now_ns: int) -> None:
        """Do nothing."""

    def close(self, final: Final) -> None:
        """Do nothing."""

    def repeat(self) -> None:
        """Do nothing."""
