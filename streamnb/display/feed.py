"""The inbox between the loop thread, which only appends, and the painter, which drains when it has time.

Knows what each kind of event looks like on a screen. Must not know: widgets, terminals, HTML.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from streamnb.display.figures import DOT, missing
from streamnb.display.inert import Joiner, well_formed
from streamnb.display.view import BETWEEN_CALLS
from streamnb.display.view import Final as FinalState
from streamnb.events import Arrival, Event
from streamnb.meter import Meter

SHOWN_LIMIT: Final = 1_000_000
"""Characters of one channel that a screen gets; beyond it the text is in the result only (R15)."""

_BEYOND: Final = f"the screen stops here, after {SHOWN_LIMIT:,} characters; the whole text is in the result"


Place = Literal["reasoning", "answer", "replaced", "error", "message", "tool", "cite", "note"]


class Part(NamedTuple):
    """One piece of what is shown.

    Attributes:
        place: what it is; `replaced` means that the answer starts anew.
        text: the text as it may be shown, or the quiet line that says it; "" where there is nothing to say.
        event: what it came from, for `message`, `tool`, `cite` and `note`.
    """

    place: Place
    text: str
    event: Event | None = None


@dataclasses.dataclass
class Batch:
    """What one drain brought.

    Attributes:
        parts: in the order of arrival.
        arrivals: the reads behind them.
    """

    parts: list[Part] = dataclasses.field(default_factory=list)
    arrivals: list[Arrival] = dataclasses.field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def of(self, *places: Place) -> list[str]:
        """The texts of these places."""
        return [part.text for part in self.parts if part.place in places]


class Channel:
    """One text as the screen knows it: joined, made inert, up to the limit."""

    def __init__(self, make_inert: Callable[[], Callable[[str], str]]) -> None:
        self._make_inert = make_inert
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._inert = self._make_inert()
        self._joiner = Joiner()
        self._parts: list[str] = []
        self._room = SHOWN_LIMIT

    def feed(self, text: str) -> str:
        """Take raw text; return what to append to the screen."""
        shown = self._inert(self._joiner.feed(text))[: self._room]
        self._room -= len(shown)
        if shown:
            self._parts.append(shown)
        return shown

    @property
    def full(self) -> bool:
        """True when the limit is reached."""
        return self._room == 0

    @property
    def text(self) -> str:
        """All that was shown."""
        return "".join(self._parts)


class Feed:
    """Collects arrivals from any thread; folds them, on the painter's thread, into text, messages and figures.

    Every channel and every line gets a filter of its own from `make_inert`: a control sequence left open ends with it.

    Attributes:
        meter: the live figures.
        answer: the answer as shown so far.
        reasoning: the reasoning as shown so far.
        errors: every error shown so far.
        n_lines: how many messages, tool calls and notes were shown.
        started_ns: when the run's clock started, or None.
        note: the name of the last phase the run announced.
    """

    def __init__(self, make_inert: Callable[[], Callable[[str], str]]) -> None:
        self._inbox: collections.deque[Arrival | tuple[str, int]] = collections.deque()
        self._make_inert = make_inert
        self.meter = Meter()
        self.answer = Channel(make_inert)
        self.reasoning = Channel(make_inert)
        self.errors: list[str] = []
        self.n_lines = 0
        self.started_ns: int | None = None
        self.note = "connecting"
        self._other_choices: set[int] = set()
        self._call = -1
        self._streamed = -1

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase, from any thread."""
        self._inbox.append((name, t_ns))

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival, from any thread."""
        self._inbox.append(arrival)

    def drain(self) -> Batch:
        """Fold everything that came since the last drain."""
        batch = Batch()
        run: list[str] = []  # reads that go on with the answer, each with one piece of it: one part, made once
        inbox, count, arrivals = self._inbox, self.meter.arrive, batch.arrivals
        while inbox:
            item = inbox.popleft()
            if isinstance(item, Arrival):
                count(item)
                arrivals.append(item)
                events = item.events
                if len(events) == 1 and self._goes_on(events[0], item):
                    run.append(events[0].text)
                    continue
                self._pour(run, batch)
                self._call = item.chunk.call
                self._clock(item.chunk.t_ns)
                for event in item.events:
                    self._event(event, batch)
            else:
                self._announce(*item)
        self._pour(run, batch)
        self.n_lines += sum(bool(text) for text in batch.of("message", "tool", "note"))
        self.errors += batch.of("error")
        return batch

    def phase_at(self, now_ns: int) -> str:
        """The phase to show: the meter's, or the announced one as long as no text arrived."""
        phase = self.meter.phase(now_ns)
        announced = phase == "connecting" or (phase == "waiting" and self.note != "connecting")
        return self.note if announced else phase

    def measured(self, final: FinalState) -> FinalState:
        """The final state with the figures that were seen live where it does not say."""
        known = {name: value for name, value in final.summary.items() if not missing(value)}
        return dataclasses.replace(final, summary={**self.meter.summary(), **known})

    def _goes_on(self, event: Event, arrival: Arrival) -> bool:
        """Whether a read of one event brought the next piece of the answer."""
        return event.kind == "delta" and not event.choice and arrival.chunk.call == self._streamed

    def _pour(self, run: list[str], batch: Batch) -> None:
        if run:
            self._text("answer", "".join(run), batch)
            run.clear()

    def _line(self, text: str) -> str:
        return self._make_inert()(well_formed(text))

    def _announce(self, name: str, t_ns: int) -> None:
        self._clock(t_ns)
        self.note = name
        if name == "waiting":
            self.meter.start(t_ns)

    def _clock(self, t_ns: int) -> None:
        if self.started_ns is None:
            self.started_ns = t_ns

    def _event(self, event: Event, batch: Batch) -> None:
        match event.kind:
            case "delta" | "reasoning" if event.choice:
                self._other_choice(event.choice, batch)
            case "delta":
                if event.text and self._streamed not in {-1, self._call}:
                    self._text("answer", BETWEEN_CALLS, batch)
                self._streamed = self._call if event.text else self._streamed
                self._text("answer", event.text, batch)
            case "reasoning":
                self._text("reasoning", event.text, batch)
            case "replace":
                self.answer.clear()
                self._streamed = self._call
                batch.parts.append(Part("replaced", ""))
                self._text("answer", event.text, batch)
            case "error":
                said = event.text or event.name or "the stream reported an error"
                batch.parts.append(Part("error", self._line(said)))
            case "citation":
                batch.parts.append(Part("cite", "", event))
            case _:
                batch.parts += [Part(place, self._line(text), event) for place, text in _said(event)]

    def _text(self, place: Literal["answer", "reasoning"], text: str, batch: Batch) -> None:
        channel = self.answer if place == "answer" else self.reasoning
        was_full = channel.full
        batch.parts.append(Part(place, channel.feed(text)))
        if channel.full and not was_full:
            batch.parts.append(Part("note", _BEYOND))

    def _other_choice(self, choice: int, batch: Batch) -> None:
        if choice not in self._other_choices:
            self._other_choices.add(choice)
            said = f"choice {choice} arrives as well; its text is in the events of the result"
            batch.parts.append(Part("note", said))


def _said(event: Event) -> list[tuple[Place, str]]:
    """What an event says beside the answer; most kinds say nothing."""
    said: list[tuple[Place, str]] = []
    if event.kind == "message" and (event.text or event.name):
        said.append(("message", event.text or f"({event.name})"))
    elif event.kind in {"tool_call", "tool_result"}:
        said.append(("tool", f"{event.kind.replace('_', ' ')}: {event.name}" if event.name else ""))
    elif event.kind == "action" and event.name:
        said.append(("note", f"action: {event.name}"))
    elif event.kind == "item" and event.choices and event.text:  # a card
        said.append(("message", event.text))
    if event.choices:
        said.append(("note", "choices: " + DOT.join(choice.label for choice in event.choices)))
    return said
