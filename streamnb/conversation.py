"""The sans-I/O core: flow, framer, read, fold and outcome. Live, replay and offline reading all run through it.

Knows providers and frames. Must not know: sockets, clocks, async, files, pandas.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from streamnb.errors import LimitError, ProtocolError
from streamnb.events import TEXT_KINDS, Event, Kind, Outcome, Prompt
from streamnb.frozen import maker
from streamnb.providers import Call, Ending, Provider, Reply, ReplyHead, Seen, _explain
from streamnb.providers._error_body import error_event
from streamnb.wire import Frame, Framer, JSONBodyFramer

MAX_CALLS: Final = 20
MAX_PAGES: Final = 1000
ERROR_BODY_BYTES: Final = 64 * 1024
STEP_BODY_BYTES: Final = 1024 * 1024
_SUCCESS: Final = range(200, 300)
_LOCAL: Final = frozenset({Outcome.INTERRUPTED, Outcome.STOPPED, Outcome.TIMEOUT_TOTAL, Outcome.LIMIT})
_UNFINISHED: Final = frozenset({Outcome.TRUNCATED, Outcome.COMPLETE, Outcome.ENDED_UNVERIFIED})
_NOT_KEPT: Final = TEXT_KINDS | {"ping"}
_SAY_NOTHING: Final = ("ping", "unknown", "end")
_KEEPALIVE: Final = re.compile(r"\s*:\s*(keep-?alive|ping|heartbeat|\w+ processing)\b", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What some bytes amounted to.

    Attributes:
        events: in the order of the bytes.
        n_frames: frames completed.
        server_t_ns: the last server stamp among them, or None.
    """

    events: tuple[Event, ...] = ()
    n_frames: int = 0
    server_t_ns: int | None = None

    @property
    def progress(self) -> bool:
        """True when it brought more than keep-alives: only this resets the idle clock (SAFETY R5)."""
        for event in self.events:  # noqa: SIM110  # a generator would cost more than all of it: this is done per read
            if event.kind != "ping":
                return True
        return False


_made_step: Final = maker(Step)


class Reading:
    """One reply being read.

    Attributes:
        call: the call it answers.
        head: its status and headers.
        seen: the fold of its events.
        frames: the frames of the last `feed` or `close`, for who wants the raw stream as a table.
        over: True once the dialect's own end was read: nothing more is due.
        kept: the events a flow looks back at (all but pieces of text and pings).
    """

    def __init__(self, provider: Provider, call: Call, head: ReplyHead) -> None:
        self.provider = provider
        self.call = call
        self.head = head
        self.seen = Seen()
        self.frames: list[Frame] = []
        self.kept: list[Event] = []
        self.n_bytes = 0
        self._halves: dict[tuple[Kind, int | None], str] = {}
        self.over = False
        self._broken: str | None = None
        self.failed = head.status != HTTPStatus.OK if call.stream else head.status not in _SUCCESS
        self._framer: Framer = self._choose()
        self._stamps_elsewhere = type(provider).server_t_ns is not Provider.server_t_ns  # than in comments

    def _choose(self) -> Framer:
        if self.failed:
            return JSONBodyFramer("http_error", limit=ERROR_BODY_BYTES)
        if self.call.stream:
            return self.provider.framer(self.call, self.head)
        return JSONBodyFramer(self.call.name, limit=STEP_BODY_BYTES)

    def feed(self, data: bytes) -> Step:
        """Take the next decoded bytes of the body."""
        self.n_bytes += len(data)
        return self._step(self._framer.feed(data))

    def close(self) -> Step:
        """Say that no more bytes come."""
        step = self._step(self._framer.close())
        return dataclasses.replace(step, events=step.events + self._leftovers(None))

    def _step(self, frames: list[Frame]) -> Step:
        self.frames = frames
        events: list[Event] = []
        stamp: int | None = None
        for frame in frames:
            if frame.event == "comment" or self._stamps_elsewhere:
                t_ns = self.provider.server_t_ns(frame)
                if t_ns is not None:
                    stamp = t_ns
                    continue
            for read in self._read(frame):
                if read.kind == "end":
                    events += self._leftovers(read.choice)
                event = read if not self._halves and read.text.isascii() else self._whole(read)
                self.seen.fold(event)
                events.append(event)
                if event.kind not in _NOT_KEPT:
                    self.kept.append(event)
        return _made_step(tuple(events), len(frames), stamp)

    def _read(self, frame: Frame) -> Sequence[Event]:
        if self.failed:
            return (error_event(frame.value, self.head.status, frame.data),)
        usual = frame.event == "message" and not frame.flags and frame.data.startswith("{")
        if not usual and _is_ping(frame, plain_text=self.provider.plain_text):
            return (Event("ping", data=frame.data or None, flags=frame.flags - {"comment"}),)
        events: list[Event] = []
        provider = self.provider
        try:
            for event in provider.read(frame, self.seen):
                events.append(event if usual and not self.over else self._flagged(event, frame.flags))
                if provider.ends(event):
                    self.over = True
        except ProtocolError as error:
            self._broken = str(error)
            events.append(Event("error", str(error), name="protocol_error", flags=frame.flags | {"malformed"}))
        return events

    def _flagged(self, event: Event, flags: frozenset[str]) -> Event:
        if self.over and event.kind not in {"end", "ping"}:
            flags |= {"late"}
        return dataclasses.replace(event, flags=event.flags | flags) if flags else event

    def _whole(self, event: Event) -> Event:
        """The event with well-formed text: half a surrogate pair waits for the other half (SAFETY R16)."""
        key = (event.kind, event.choice)
        if not self._halves and _is_well_formed(event.text):
            return event
        text = self._halves.pop(key, "") + event.text
        if event.kind in TEXT_KINDS and "\ud800" <= text[-1:] <= "\udbff":
            self._halves[key] = text[-1]
            text = text[:-1]
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if whole == event.text:
            return event
        return dataclasses.replace(event, text=whole, flags=event.flags | {"lone_surrogate"})

    def _leftovers(self, choice: int | None) -> tuple[Event, ...]:
        """The half pairs of an answer that is over (None: of all): their other half will not come."""
        left = [key for key in self._halves if choice in (None, key[1])]
        events = tuple(Event(kind, "\ufffd", index, flags=frozenset({"lone_surrogate"})) for kind, index in left)
        for key, event in zip(left, events, strict=True):
            del self._halves[key]
            self.seen.fold(event)
        return events

    def outcome(self, ending: Ending) -> Outcome:
        """How this reply ended."""
        if ending.cause in _LOCAL:
            return ending.cause
        if self.failed:
            return Outcome.HTTP_ERROR
        if self._broken is not None:
            return Outcome.PROTOCOL_ERROR
        if not self.call.stream or self.call.ends_at_eof:
            return self._step_outcome(ending) if not self.call.stream else self._list_outcome(ending)
        outcome = self.provider.outcome(self.seen, ending)
        if outcome in _UNFINISHED and ending.cause is None and not self._is_stream():
            return Outcome.PROTOCOL_ERROR
        return outcome

    def _step_outcome(self, ending: Ending) -> Outcome:
        if ending.cause is not None:
            return ending.cause
        if self.seen.error is not None:
            return Outcome.ERROR_IN_STREAM
        if self.seen.flagged("limit"):
            return Outcome.LIMIT
        understood = self.n_bytes > 0 and not self.seen.flagged("malformed")
        return Outcome.COMPLETE if understood else Outcome.PROTOCOL_ERROR

    def _list_outcome(self, ending: Ending) -> Outcome:
        """A list may be empty, and says nothing after its last record."""
        if self.seen.error is not None:
            return Outcome.ERROR_IN_STREAM
        if ending.cause is not None or self.seen.cut:
            return ending.cause or Outcome.TRUNCATED
        understood = self.seen.total > self.seen.count("unknown") or not self.seen.total
        return ending.at_eof if understood else Outcome.PROTOCOL_ERROR

    def _is_stream(self) -> bool:
        """False for an empty body, an HTML page, a JSON body that says nothing: "200 OK" that is no stream."""
        if self.seen.cut or self.seen.text() or self.seen.total > sum(map(self.seen.count, _SAY_NOTHING)):
            return True
        return self.n_bytes > 0 and self.head.content_type == "text/event-stream" and not self.seen.count("unknown")

    def explain(self, outcome: Outcome, ending: Ending) -> str | None:
        """One line about a reply that did not end well: whose fault, what next. None when it did."""
        provider, error = self.provider, self.seen.error
        if outcome.ok:
            return None
        if outcome is Outcome.HTTP_ERROR:
            return _explain.http_error(provider, self.call, self.head, error)
        if outcome is Outcome.ERROR_IN_STREAM and error is not None:
            return _explain.in_stream(provider, self.call, error)
        if outcome is Outcome.PROTOCOL_ERROR and ending.cause is None:
            return self._broken or _explain.not_understood(provider, self.call, self.head, self.n_bytes)
        return _explain.plain(provider, outcome, ending, ended=None in self.seen.ended)


def _is_well_formed(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_ping(frame: Frame, *, plain_text: bool) -> bool:
    """Comments, events of type `ping`, empty data and `data: : keepalive` (WIRE.md 0.2).

    Where data may be text, a blank or a colon can be a piece of the answer: only what names itself is a keep-alive.
    """
    if "comment" in frame.flags:
        return True
    if frame.event != "message" or frame.line is not None:
        return frame.event == "ping"
    if plain_text:
        return not frame.data or _KEEPALIVE.match(frame.data) is not None
    return not frame.data.strip() or frame.data.lstrip().startswith(":")


class Conversation:
    """One prompt to one provider: which call is due, what its reply means, how it all ended.

    Attributes:
        call: the call to send now; None when the run is over.
        outcome: None until then.
        error: one line about a bad outcome, or None.
    """

    def __init__(self, provider: Provider, prompt: Prompt) -> None:
        self.provider = provider
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self.n_calls = 0
        self._last: Outcome | None = None
        self._reading: Reading | None = None
        self._max_calls = MAX_CALLS if prompt.records is None else MAX_PAGES
        self._flow = provider.flow(prompt) if prompt.records is None else provider.listing(prompt.records, prompt.take)
        self.call: Call | None = next(self._flow)

    @property
    def reading(self) -> Reading:
        """The reply being read."""
        if self._reading is None:
            raise ProtocolError("no reply has begun")
        return self._reading

    @property
    def replying(self) -> bool:
        """True between `begin` and `end`."""
        return self._reading is not None

    def begin(self, head: ReplyHead) -> None:
        """The reply to `call` has begun."""
        if self.call is None:
            raise ProtocolError("no call is open")
        self._reading = Reading(self.provider, self.call, head)
        self.n_calls += 1

    def feed(self, data: bytes) -> Step:
        """Decoded bytes of the reply's body."""
        return self.reading.feed(data)

    def close(self) -> Step:
        """The reply's body is over: the events that were still open. Call `end` next."""
        try:
            return self.reading.close()
        except LimitError:
            return Step()

    def end(self, ending: Ending) -> Outcome:
        """Close the reply's account and move on to the next call, if there is one."""
        reading, self._reading = self.reading, None
        outcome = reading.outcome(ending)
        reply = Reply(reading.head.status, reading.head.headers, reading.kept, reading.seen.text(), outcome)
        if reading.call.stream or self._last is None:
            self._last = outcome
        if not outcome.ok:
            self._finish(outcome, reading.explain(outcome, ending))
        else:
            self._advance(reply)
        return outcome

    def abort(self, outcome: Outcome, error: str) -> None:
        """No reply came about (no connection, time-out, stop): the run is over, unless it was over before."""
        if self.outcome is None:
            self._finish(outcome, error)

    def _finish(self, outcome: Outcome, error: str | None) -> None:
        self._flow.close()
        self.call, self.outcome, self.error = None, outcome, error

    def _advance(self, reply: Reply) -> None:
        try:
            self.call = self._flow.send(reply)
        except StopIteration:
            self._finish(self._last or Outcome.COMPLETE, None)
        except ProtocolError as error:
            self._finish(Outcome.PROTOCOL_ERROR, str(error))
        else:
            if self.n_calls >= self._max_calls:
                name, most = self.provider.name, self._max_calls
                why = (
                    "the flow goes round in circles"
                    if most == MAX_CALLS
                    else "what came is kept; ask for fewer with take"
                )
                self._finish(Outcome.LIMIT, f"{name}: {most} calls in one run; {why}.")
