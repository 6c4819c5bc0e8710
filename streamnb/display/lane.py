"""One run on a screen: arrivals folded into an answer, marks on a time axis and figures, as news and as a whole.

Knows arrivals and the messages that the page reads. Must not know: widgets, recordings, clocks, HTML.
"""

from __future__ import annotations

import math
from typing import Any, Final

from streamnb.display.document import RENDER_NS, Document
from streamnb.display.feed import SHOWN_LIMIT, Batch, Feed, Part
from streamnb.display.figures import number, outcome_words, rate, summary_line, verdict
from streamnb.display.inert import visible, well_formed
from streamnb.display.sources import Source, Sources
from streamnb.display.timeline import Timeline
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look, Phase, Style
from streamnb.events import TEXT_KINDS, Arrival, Event

_MARKS: Final = 40
"""Most marks of one message: at 20 messages a second, more than a screen has columns for."""
_TOOL_TEXT: Final = 20_000
"""Characters of one tool call or result on the screen; the events have them all."""
PLAIN_STYLE: Final = Style()


class Lane:
    """The screen's side of one run. `phase` and `arrive` may be called from any thread; the rest from one at a time.

    Args:
        ident: its number on its board.
        header: what is known before anything arrives.
        style: how it looks.
        look: what may be asked about the run.
        said: what the user said, where the screen shows it.

    Attributes:
        final: the final state, once there is one.
        stop_asked: a click asked for its end.
        input: what the platform waits for as text: `placeholder` and `kind`.
    """

    def __init__(
        self, ident: int, header: Header, style: Style = PLAIN_STYLE, look: Look | None = None, said: str | None = None
    ) -> None:
        self.ident = ident
        self.header = header
        self.look = look
        self.final: FinalState | None = None
        self.stop_asked = False
        self.input: dict[str, str] | None = None
        self.began_ns: int | None = None
        self.feed = Feed(lambda: visible)
        self.document = Document(markdown=style.markdown)
        self.timeline = Timeline()
        self.sources = Sources()
        self.phases: list[Phase] = []
        self._said = said
        self._choices: list[str] = []
        self._choices_call = -1
        self._tools: dict[str, tuple[str, list[str]]] = {}
        self._latest_tool = ""
        self._kinds: dict[str, int] = {}
        self._sent: dict[str, Any] = {"phases": 0, "cites": 0, "choices": []}
        self._status: dict[str, Any] = {"phase": "connecting", "ms": 0, "stop": False}
        self._n_errors_sent = 0
        self._only_answer = False

    # -- what happens -------------------------------------------------------------------------------------------

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase, from any thread."""
        self.feed.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival, from any thread."""
        self.feed.arrive(arrival)

    def finish(self, final: FinalState) -> dict[str, Any]:
        """Take the final state; what the stream did not bring as text comes from there.

        Returns:
            What the page needs to end the lane: the last news as `part`, the account as `lane`.
        """
        batch = self.feed.drain()
        self._fold(batch)
        self.feed.meter.finish()
        if final.text and not self.feed.answer.text and not self.feed.n_lines:
            self.document.append(_safe(final.text[:SHOWN_LIMIT]))
        self.final = self.feed.measured(final)
        for row in final.citations:
            self.sources.row(row)
        self._choices = [_safe(label) for label in final.choices]
        self._ask_phases()
        part: dict[str, Any] = {"ops": self.document.ops(0, last=True), "r": "".join(batch.of("reasoning"))}
        part["marks"] = self.timeline.news(_MARKS)
        whole = self._account() | self._end(self.final)
        return {"part": {"i": self.ident, "st": whole["st"]} | {k: v for k, v in part.items() if v}, "lane": whole}

    # -- what the page is told ----------------------------------------------------------------------------------

    def news(self, now_ns: int, *, heartbeat: bool = False) -> dict[str, Any] | None:
        """What changed since the last call, as the page reads it; None for nothing.

        Args:
            now_ns: the present, CLOCK_MONOTONIC ns.
            heartbeat: say the status even if nothing changed.
        """
        batch = self.feed.drain()
        self._fold(batch)
        status = self.status(now_ns)
        parts = {
            "ops": self.document.ops(now_ns),
            "r": "".join(batch.of("reasoning")),
            "e": batch.of("error"),
            "marks": self.timeline.news(_MARKS),
            "cites": [_cite(source) for source in self.sources.rows[self._sent["cites"] :]],
        }
        if self._ask_phases():
            parts["phases"] = self._phase_rows()
        if self._choices != self._sent["choices"]:
            parts["choices"] = [{"label": label} for label in self._choices]
        news = {key: part for key, part in parts.items() if part}
        if not (news or heartbeat or status | {"ms": 0} != self._status | {"ms": 0}):
            return None
        self._status = status
        self._only_answer = bool(batch) and all(part.place == "answer" for part in batch.parts)
        self._sent = {"phases": len(self.phases), "cites": len(self.sources.rows), "choices": list(self._choices)}
        return {"i": self.ident, "st": status} | news

    def due_ns(self, now_ns: int) -> int:
        """When more of the lane can be seen: at once, but for an answer in Markdown at the pace of its renderings.

        Args:
            now_ns: the present; the news up to now were told.
        """
        rendered_ns = self.document.rendered_ns if self._only_answer else None
        return now_ns if rendered_ns is None else min(rendered_ns, now_ns + RENDER_NS)

    def state(self, at_ms: int = 0) -> dict[str, Any]:
        """The whole lane as the page needs it; changes nothing.

        Args:
            at_ms: when it began, ms after its board's first lane.
        """
        final = self.final
        state = self._account() | {
            "at": at_ms,
            "doc": self.document.blocks(),
            "r": self.feed.reasoning.text,
            "e": list(self.feed.errors),
            "marks": self.timeline.marks(),
        }
        return state if final is None else state | self._end(final)

    def _account(self) -> dict[str, Any]:
        """Everything about the lane that does not grow with its text."""
        header = self.header
        return {
            "id": self.ident,
            "names": _safe(header.names),
            "host": _safe(header.host),
            "note": _safe(header.note),
            "said": None if self._said is None else _safe(self._said),
            "live": self.final is None,
            "st": self._status,
            "out": None,
            "cites": [_cite(source) for source in self.sources.rows],
            "phases": self._phase_rows(),
            "choices": [{"label": label} for label in self._choices],
            "input": self.input,
        }

    def status(self, now_ns: int) -> dict[str, Any]:
        """Phase, clock and live figures."""
        meter, started_ns = self.feed.meter, self.feed.started_ns

        def since(t_ns: int | None) -> int | None:
            return None if t_ns is None or started_ns is None else round((t_ns - started_ns) / 1e6)

        counted = meter.rate_unit == "tokens/s"
        return {
            "phase": self.feed.phase_at(now_ns),
            "ms": since(now_ns) or 0,
            "data_ms": since(meter.last_data_ns),
            "t0_ms": since(meter.t0_ns),
            "ttft": _json(meter.ttft_s),
            "ttfa": _json(meter.ttfa_s),
            "rate": _json(meter.rate_per_s),
            "unit": meter.rate_unit,
            "source": "the server" if counted else "chunks",
            "chunks": meter.n_chunks,
            "chars": meter.n_chars,
            "kinds": dict(self._kinds),
            "stop": self.stop_asked,
        }

    def _end(self, final: FinalState) -> dict[str, Any]:
        summary = final.summary
        per_s, unit = rate(summary)
        figures = {"ttft": _json(summary.get("ttft_s")), "ttfa": _json(summary.get("ttfa_s")), "rate": _json(per_s)}
        last = self.status(self.timeline.end_ns or self.began_ns or 0)  # what came since the last news counts as well
        clock = {"ms": max(last["ms"], self._status["ms"])}
        status = last | clock | {"phase": "done", "unit": unit} | figures
        out = {"verdict": verdict(final.outcome), "outcome": outcome_words(final.outcome), "line": summary_line(final)}
        errors = [_safe(final.error)] if final.error else []
        return {"st": status, "out": out, "e": errors}

    # -- folding ------------------------------------------------------------------------------------------------

    def _fold(self, batch: Batch) -> None:
        if self.began_ns is None and self.feed.started_ns is not None:
            self.began_ns = self.feed.started_ns
            self.timeline.start(self.began_ns)
        if self.feed.meter.t0_ns is not None and self.timeline.t0_ms is None:
            self.timeline.t0(self.feed.meter.t0_ns)
        for arrival in batch.arrivals:
            self._mark(arrival)
        for part in batch.parts:
            self._part(part, batch)

    def _mark(self, arrival: Arrival) -> None:
        chunk, n_chars, n_texts, kind = arrival.chunk, 0, 0, ""
        kinds = self._kinds
        for event in arrival.events:
            this, text = event.kind, event.text
            kinds[this] = kinds.get(this, 0) + 1
            if text and this in TEXT_KINDS:
                n_chars += len(text)
                n_texts += 1
                kind = this
        self.timeline.add(chunk.t_ns, chunk.call, chunk.seq, n_chars, n_texts, kind)

    def _part(self, part: Part, batch: Batch) -> None:
        document, event = self.document, part.event
        match part.place:
            case "answer":
                document.append(part.text)
            case "replaced":
                document.restart()
            case "message":
                document.message(part.text)
            case "cite" if event is not None:
                document.cite(self.sources.event(event))
            case "tool" if event is not None:
                self._tool(event)
            case "note" if event is not None and event.choices:
                self._offer(event, batch)
            case "note":
                document.note(part.text)
            case _:
                pass

    def _offer(self, event: Event, batch: Batch) -> None:
        """Buttons: those of the latest call that has any, each once."""
        call = batch.arrivals[-1].chunk.call
        if call != self._choices_call:
            self._choices, self._choices_call = [], call
        labels = (_safe(choice.label) for choice in event.choices)
        self._choices += (label for label in dict.fromkeys(labels) if label not in self._choices)

    def _tool(self, event: Event) -> None:
        """A call, its arguments in pieces, its result: one fold."""
        key = event.id or (self._latest_tool if not event.name else f"{event.name} {len(self._tools)}")
        if event.kind == "tool_result" and event.id not in self._tools:
            key = next((one for one in reversed(self._tools) if self._tools[one][0] == event.name), key)
        name, texts = self._tools.setdefault(key or "tool", (event.name or "", []))
        self._latest_tool = key
        result = event.kind == "tool_result"
        text = well_formed(event.text)
        texts.append(f"\n\N{RIGHTWARDS ARROW} {text}".rstrip() if result else text)
        shown = visible("".join(texts))[:_TOOL_TEXT]
        title = f"tool {_safe(name or 'call')}" + (" \N{MIDDLE DOT} answered" if result else "")
        self.document.fold(key, title, shown.strip(), open_=not result)

    def _ask_phases(self) -> bool:
        """Ask for the phases of the request until the first byte is in; True when there is something new."""
        if self.look is None or (self.phases and self._status.get("ttft") is not None and self.final is None):
            return False
        found = self.look.phases()
        if found == self.phases:
            return False
        self.phases = found
        return True

    def _phase_rows(self) -> list[list[Any]]:
        return [[one.name, one.seconds, one.meaning] for one in self.phases]


def _cite(source: Source) -> dict[str, Any]:
    return {"n": source.number, "title": source.title, "url": source.url, "host": source.host, "source": source.kind}


def _safe(text: str) -> str:
    return visible(well_formed(text))


def _json(value: Any) -> float | None:
    amount = number(value)
    return round(amount, 6) if math.isfinite(amount) else None
