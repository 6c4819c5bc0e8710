"""The recorded runs of tests/transcripts: what they hold, and what a conversation makes of them, whole or cut."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from streamnb.conversation import Conversation, Reading
from streamnb.errors import TranscriptError
from streamnb.events import Event, Outcome, Prompt, Tool
from streamnb.providers import Call, Ending, Provider, ReplyHead, load
from streamnb.transcript import CallLine, Contents, DoneLine, ReadLine, ReplyLine, read_lines

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PATHS = sorted(TRANSCRIPTS.glob("*/*.jsonl"))
_DEFAULTS = Event("ping")
_FOUND_HERE = frozenset(  # what only the side that reads can know: no byte says it
    {
        Outcome.CONNECT_ERROR,
        Outcome.TIMEOUT_FIRST,
        Outcome.TIMEOUT_IDLE,
        Outcome.TIMEOUT_TOTAL,
        Outcome.INTERRUPTED,
        Outcome.STOPPED,
        Outcome.LIMIT,
        Outcome.CRASHED,
    }
)


@dataclasses.dataclass(frozen=True)
class Body:
    """One reply of a recorded run."""

    provider: Provider
    call: Call
    head: ReplyHead
    framing: str | None
    reads: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        return b"".join(self.reads)

    def read(self, pieces: Iterable[bytes], provider: Provider | None = None) -> tuple[list[Event], Outcome]:
        reading = self.reading(provider)
        events = [event for piece in pieces for event in reading.feed(piece).events]
        events += reading.close().events
        return events, reading.outcome(Ending(None, self.framing))

    def reading(self, provider: Provider | None = None) -> Reading:
        return Reading(provider or self.provider, self.call, self.head)


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def contents(path: Path) -> Contents:
    try:
        return read_lines(path.read_bytes())
    except TranscriptError as error:
        raise TranscriptError(f"{path}: {error}") from None


def target(found: Contents) -> tuple[Provider, Prompt]:
    run = found.run
    tools = tuple(Tool(**tool) for tool in run.prompt.get("tools", ()))
    return load(run.provider)(run.meta.get("base_url"), **run.options), Prompt(**{**run.prompt, "tools": tools})


def bodies(path: Path) -> Iterator[Body]:
    """Every reply, in order."""
    found = contents(path)
    provider, _ = target(found)
    for call, reply in zip(found.calls, found.replies, strict=True):
        yield Body(
            provider,
            Call(call.name, call.method, stream=call.stream),
            ReplyHead(reply.status, {name.lower(): value for name, value in reply.headers}),
            reply.framing,
            tuple(line.b for line in found.reads if line.n == call.n),
        )


def replay(path: Path) -> tuple[list[Event], Conversation, list[tuple[Call, CallLine]]]:
    """Play the lines of a whole transcript through a conversation, as the driver fed them.

    Returns:
        The events, the conversation, and each call the flow asked for beside the one that was recorded.
    """
    found = contents(path)
    conversation = Conversation(*target(found))
    events: list[Event] = []
    asked: list[tuple[Call, CallLine]] = []
    sides: dict[int, Reading | None] = {}
    ending = Ending()
    for line in found.lines:
        match line:
            case CallLine(side=True):
                sides[line.n] = None
            case CallLine():
                if conversation.replying:
                    events += conversation.close().events
                    conversation.end(ending)
                asked.append((conversation.call, line))
            case ReplyLine():
                head = ReplyHead(line.status, {name.lower(): value for name, value in line.headers})
                if line.n in sides:
                    sides[line.n] = Reading(conversation.provider, Call(found.calls[line.n].name), head)
                else:
                    ending = Ending(None, line.framing, lasted_s=_lasted_s(found, line))
                    conversation.begin(head)
            case ReadLine():
                events += sides.get(line.n, conversation).feed(line.b).events
            case DoneLine():
                events += sides[line.n].close().events
    events += conversation.close().events
    outcome = Outcome(found.end.outcome)
    conversation.end(dataclasses.replace(ending, cause=outcome if outcome in _FOUND_HERE else None))
    return events, conversation, asked


def _lasted_s(found: Contents, reply: ReplyLine) -> float:
    """From the request's first byte to the end of the body, as the driver measures it."""
    ends, t0_ns = found.end.ending.get("ends_ns", []), reply.timings.get("t0_ns")
    end = ends[reply.n] if reply.n < len(ends) else None
    return math.nan if t0_ns is None or end is None else (end - t0_ns) / 1e9


def golden(event: Event) -> str:
    """An event as a line of a `.events` file: what is not at its default."""
    values = {
        field.name: getattr(event, field.name)
        for field in dataclasses.fields(event)
        if getattr(event, field.name) != getattr(_DEFAULTS, field.name) or field.name == "kind"
    }
    if event.flags:
        values["flags"] = sorted(event.flags)
    if event.choices:
        values["choices"] = [{"label": choice.label, "reply": choice.prompt.reply} for choice in event.choices]
    return json.dumps(values, ensure_ascii=False, separators=(", ", ": "))


def joined(events: Iterable[Event]) -> list[Event]:
    """Neighbouring deltas of the same kind put together: raw text has no other boundaries than its reads."""
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else _DEFAULTS
        if event.kind == "delta" and dataclasses.replace(last, text=event.text) == event:
            out[-1] = dataclasses.replace(last, text=last.text + event.text)
        else:
            out.append(event)
    return out
