"""One turn of Voiceflow in the bytes of each generation: v2beta1, v2 and v4.

Knows envelopes, the traces of a completion and their token counts. Must not know: flows, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from streamnb.simulator.blocks import dumps
from streamnb.simulator.pace import Pace, deadlines, writes
from streamnb.simulator.pace import text as whole_text
from streamnb.simulator.scenarios import Limits, Out, Script
from streamnb.simulator.voiceflow_flow import Turn
from streamnb.simulator.voiceflow_traces import Json, text, trace

_MODEL: Final = "simulated-1"
_QUERY_TOKENS: Final = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How one generation writes.

    Attributes:
        opening: the first bytes of a body.
        wrapped: traces stand in `{"type":"trace","trace":...}`, a completion is `completion-start`, `-continue`,
            `-end`, ids are random, no space follows a colon, `event:state` comes before the end. Otherwise traces are
            flat, those of a completion are `completion`, ids count from 1.
        end: data of `event:end`; None = that event has no data line.
        turns: every trace carries the ids of its turn and of its handle.
        ping_s: seconds of silence that bring a keep-alive; None = none is known.
    """

    opening: bytes = b""
    wrapped: bool = False
    end: Json | None = None
    turns: bool = False
    ping_s: float | None = None

    @property
    def limits(self) -> Limits:
        """Return what the platform does by the clock."""
        return Limits() if self.ping_s is None else Limits(ping_s=self.ping_s)


DIALECTS: Final = {
    "v2beta1": Dialect(opening=b"retry:2000\n\n", wrapped=True, end={"type": "end"}, ping_s=30.0),
    "v2": Dialect(),
    "v4": Dialect(end={}, turns=True),
}
"""The generations by name."""


def stamp(t_ns: int, block: bytes) -> bytes:
    """Return the comment line that carries the send time before an event; no reader takes it for data."""
    return b": t_ns=%d\n" % t_ns if block.startswith(b"event:") else b""


class Answer:
    """The bytes of one turn.

    Args:
        dialect: the generation.
        pace: how fast it comes, and its text.
        now_ms: the server's clock at the request, ms since 1970.
        streamed: the model's answer comes in pieces; else as one `text` when it is finished.
    """

    def __init__(self, dialect: Dialect, pace: Pace, now_ms: int, *, streamed: bool) -> None:
        self._dialect = dialect
        self._pace = pace
        self._now_ms = now_ms
        self._streamed = streamed
        self._ids = {name: secrets.token_hex(12) for name in ("turnID", "handleID")} if dialect.turns else {}

    def script(self, turn: Turn, state: Json, limits: Limits, body: Iterable[Out] | None = None) -> Script:
        """Return the turn: what is known at once, the answer (or `body` in place of both), the state, the end."""
        state_block = (self._event("state", 0, {"type": "state", "state": state}),)
        opening = Out(0.0, (self._dialect.opening,))
        return Script(
            body=itertools.chain((opening,), self._outs(turn) if body is None else body),
            tail=state_block if self._dialect.wrapped else (),
            terminal=(self._event("end", self._count(turn) + 1, self._dialect.end),),
            malformed=(self.piece("never closed").partition(b'"never closed')[0] + b"\n\n",),
            bad_utf8=(self.piece("<odd>").replace(b"<odd>", b"\xff\xfe"),),
            late=(self.piece("late"),),
            ping=b":\n\n",
            limits=limits,
            stamp=stamp,
        )

    def piece(self, said: str) -> bytes:
        """Return a piece of text as it stands in the middle of this answer."""
        piece = self._pieces(said, first=False)[-1] if self._streamed else text(said)
        return self._block(piece, 0, self._pace.ttft)

    def counted(self, turn: Turn) -> Pace:
        """Return a pace by whose number of writes a scenario finds the middle of the answer."""
        if turn.answers:
            early = 2  # the opening, and what is known at once
            count = -(-self._pace.tokens // self._pace.burst) if self._streamed else min(1, self._pace.tokens)
        else:
            early, count = 1, len(turn.before)
        return dataclasses.replace(self._pace, tokens=2 * (early + count // 2), burst=1)

    def _outs(self, turn: Turn) -> Iterator[Out]:
        number = itertools.count(1)
        for at_s, traces in self._answered(turn) if turn.answers else self._paced(turn.before):
            yield Out(at_s, tuple(self._block(shown, next(number), at_s) for shown in traces))

    def _paced(self, traces: Sequence[Json]) -> Iterator[tuple[float, Sequence[Json]]]:
        """Whole traces, one a write; a stall comes before the last."""
        pace = dataclasses.replace(self._pace, stall_at=len(traces) - 1 if self._pace.stall_at >= 0 else -1)
        yield from zip(deadlines(pace, len(traces)), zip(traces, strict=True), strict=True)

    def _answered(self, turn: Turn) -> Iterator[tuple[float, Sequence[Json]]]:
        """What is known at once, then the model's answer, in pieces or when it is finished."""
        yield 0.0, turn.before
        at_s, sent = self._pace.ttft, 0
        for at_s, said in writes(self._pace):
            if self._streamed:
                pieces = (self._pieces(token, first=number == 0) for number, token in enumerate(said, sent))
                yield at_s, tuple(itertools.chain.from_iterable(pieces))
            sent += len(said)
        if sent and not self._streamed:
            yield at_s, (text(whole_text(self._pace)),)
        yield at_s, (*self._closing(sent), *turn.after)

    def _pieces(self, said: str, *, first: bool) -> tuple[Json, ...]:
        """Return the traces of one piece; v2beta1 counts tokens by increments, the query's with the first piece."""
        if not self._dialect.wrapped:
            content = _completion("content", content=said)
            return (_completion("start"), content) if first else (content,)
        if not first:
            return (trace("completion-continue", completion=said, tokens=_tokens(answer=1)),)
        tokens = {"model": _MODEL, **_tokens(answer=1, query=_QUERY_TOKENS)}
        return (trace("completion-start", completion=said, type="text", tokens=tokens),)

    def _closing(self, sent: int) -> tuple[Json, ...]:
        """Return the end of a completion, if there was one; the token keys of v2 and v4 are inferred."""
        if not (sent and self._streamed):
            return ()
        if self._dialect.wrapped:
            return (trace("completion-end"),)
        return (_completion("end", tokens={"model": _MODEL, **_tokens(answer=sent, query=_QUERY_TOKENS)}),)

    def _count(self, turn: Turn) -> int:
        """Return the number of traces in the whole turn."""
        tokens = self._pace.tokens
        answer = tokens + 2 * (tokens > 0) if self._streamed else min(1, tokens)
        return len(turn.before) + len(turn.after) + (answer if turn.answers else 0)

    def _block(self, shown: Json, number: int, at_s: float) -> bytes:
        timed = {**shown, "time": self._now_ms + round(at_s * 1000), **self._ids}
        return self._event("trace", number, {"type": "trace", "trace": timed} if self._dialect.wrapped else timed)

    def _event(self, name: str, number: int, data: Json | None) -> bytes:
        gap, given = ("", str(uuid.uuid4())) if self._dialect.wrapped else (" ", str(number))
        lines = [f"event:{gap}{name}", f"id:{gap}{given}"]
        if data is not None:
            lines.append(f"data:{gap}{dumps(data)}")
        # in JSON the escape of a lone surrogate is `\ud800`, which is what this error handler writes
        return "\n".join([*lines, "", ""]).encode(errors="backslashreplace")


def _completion(state: str, **fields: object) -> Json:
    return trace("completion", state=state, **fields)


def _tokens(answer: int, query: int = 0) -> dict[str, int]:
    return {"answer": answer, "query": query, "total": answer + query}
