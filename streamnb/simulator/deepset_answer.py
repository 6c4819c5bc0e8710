"""One answer of a deepset pipeline: the events of its stream and the result, in the form the pipeline's age asks for.

Knows the bytes of this API's answers. Must not know: requests, sessions, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
import json
import secrets
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamnb.simulator.blocks import dumps
from streamnb.simulator.deepset_ask import Ask, Json
from streamnb.simulator.pace import Pace, text, writes
from streamnb.simulator.scenarios import Limits, Out, Script

PING_S: Final = 15.0
"""A silence of that length brings a comment (inferred: what sse-starlette does)."""

MODEL: Final = "simulated-1"
_FAILED: Final = "The pipeline failed while it generated the answer."
_DOCUMENTS: Final = {
    "bends.md": "A river digs at the outer side of a bend and drops sand at the inner one.",
    "floods.md": "After a flood the river may find a shorter way and leave its old bend as a lake.",
    "tides.md": "Near the sea the tide turns the current twice a day.",
}
_CITED: Final = 2
_TOOL: Final = "river_level"
_ARGUMENTS: Final = (
    ('{"place": ', '"Río Tinto"', "}"),
    ('{"place": "old ford", ', '"days": 3}'),
)
_RESULTS: Final = ("1.2 m", "0.4 m, falling")
_FINISH: Final = {"refusal": "content_filter"}


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How a pipeline answers, where pipelines differ.

    Attributes:
        old: the events of the old page: no `index`, `start` or `finish_reason`, all payloads named, LF.
        tools: tools are called before the answer.
        batch: the result holds a list `results`, as that of the non-streaming endpoints.
        documents: the answer rests on documents.
    """

    old: bool = False
    tools: bool = False
    batch: bool = False
    documents: bool = True


class Answer:
    """One answer to the first query; `said` stands in place of the text, if anything does."""

    def __init__(self, ask: Ask, pace: Pace, scenario: str = "ok", form: Form | None = None, said: str = "") -> None:
        self._ask = ask
        self.pace = pace
        self._form = form or Form()
        self._everywhere = scenario == "usage-everywhere"
        self._finish = _FINISH.get(scenario, "stop")
        self._text = said or text(pace)
        self._eol = "\n" if self._form.old else "\r\n"
        self._id = str(uuid.uuid4())
        tools = not self._form.old and (self._form.tools or scenario == "tools")
        self._calls = [f"call_{secrets.token_hex(12)}" for _ in _ARGUMENTS] if tools else []

    def script(self, limits: Limits, body: Iterable[Out] | None = None) -> Script:
        """Return the answer in bytes: tool calls, pieces (or `body` in their place), finish reason, result."""
        last = () if self._form.old else (self.delta("", finish=self._finish, sent=self.pace.tokens),)
        ping = f": ping - {dt.datetime.now(dt.UTC)}{self._eol}{self._eol}"
        start, end = self.delta("<odd>").split(b'"<odd>"')
        return Script(
            body=self._body() if body is None else body,
            head=(*self._called(), *self._returned()),
            tail=last,
            terminal=(self._event("result", self.result()),) if self._ask.result else (),
            error=(self._event("error", _FAILED),),
            malformed=(start + (self._eol * 2).encode(),),
            bad_utf8=(start + b'"\xff\xfe"' + end,),
            late=(self.delta("late"),),
            ping=ping.encode(),
            stamp=functools.partial(_stamp, self._eol.encode()),
            limits=limits,
        )

    def delta(self, said: str, *, start: bool = False, finish: str | None = None, sent: int = 0) -> bytes:
        """Return the event of a piece of text; `sent` pieces went out up to here (for usage on every event)."""
        if self._form.old:
            return self._event("delta", {"text": said})
        meta: Json = {"model": MODEL} if start else {}
        if finish:
            meta["finish_reason"] = finish
        if self._everywhere:
            meta["usage"] = self._usage(sent)
        return self._event("delta", {"text": said, "meta": meta}, index=0, start=start, finish_reason=finish)

    def result(self) -> Json:
        """Return the whole answer in the form of the pipeline's streams."""
        return batch([self]) if self._form.batch else self.bare()

    def bare(self) -> Json:
        """Return the whole answer."""
        answer = {"answer": self._text, "type": "generative", "result_id": str(uuid.uuid4())}
        documents = self._documents()
        names = [document["id"] for document in documents[:_CITED]]
        meta: Json = {"model": MODEL, "usage": self._usage(self.pace.tokens), "finish_reason": self._finish}
        if documents:
            meta["_references"] = self._references(names)
        return {
            "query_id": self._id,
            "query": self._ask.queries[0],
            "answers": [{**answer, "document_ids": names, "meta": meta}],
            "documents": documents,
            "prompts": {},
        }

    def _event(self, kind: str, payload: Any, **more: Any) -> bytes:
        value: Json = {"query_id": self._id, "type": kind}
        if self._form.old:
            value |= {"delta": None, "result": None, "error": None}
        value |= {kind: payload, **more}
        return f"data: {dumps(value)}{self._eol}{self._eol}".encode()

    def _body(self) -> Iterator[Out]:
        sent = 0
        for at_s, tokens in writes(self.pace):
            pieces = enumerate(tokens, start=sent)
            yield Out(at_s, tuple(self.delta(said, start=not number, sent=number + 1) for number, said in pieces))
            sent += len(tokens)

    def _usage(self, sent: int) -> Json:
        asked = max(1, len(self._ask.queries[0].split()))
        return {"prompt_tokens": asked, "completion_tokens": sent, "total_tokens": asked + sent}

    def _called(self) -> Iterator[bytes]:
        """The tool calls as asked for: in pieces, as Markdown, or not at all."""
        if not self._ask.tool_calls:
            return
        for index, (name, pieces) in enumerate(zip(self._calls, _ARGUMENTS, strict=False)):
            if self._ask.tool_calls == "rendered":
                said = f"**Tool call:** `{_TOOL}`\n\n```json\n{''.join(pieces)}\n```\n\n"
                yield self.delta(said, start=not index)
            else:
                yield self._called_piece(index, {"tool_name": _TOOL, "id": name, "arguments": None}, start=True)
                yield from (self._called_piece(index, {"arguments": piece}) for piece in pieces)
        if self._calls:
            yield self.delta("", finish="tool_calls")

    def _called_piece(self, index: int, call: Json, *, start: bool = False) -> bytes:
        call = {"index": index, **call}
        return self._event("tool_call_delta", call, index=index, start=start, finish_reason=None)

    def _returned(self) -> Iterator[bytes]:
        """What the tools returned, if asked for."""
        if not self._ask.tool_results:
            return
        for index, (name, pieces) in enumerate(zip(self._calls, _ARGUMENTS, strict=False)):
            origin = {"tool_name": _TOOL, "arguments": json.loads("".join(pieces)), "id": name}
            payload = {"result": _RESULTS[index], "origin": origin, "error": False}
            reason = "tool_call_results" if index == len(self._calls) - 1 else None
            yield self._event("tool_call_result", payload, index=index, start=True, finish_reason=reason)

    def _documents(self) -> list[Json]:
        names = _DOCUMENTS if self._form.documents else ()
        return [_document(name, 0.9 - number / 5) for number, name in enumerate(names)]

    def _references(self, names: list[str]) -> list[Json]:
        """A document for each half of the answer, in the fields of the platform's reference predictor."""
        middle = len(self._text) // 2
        spans = ((0, middle), (middle, len(self._text)))
        return [
            {
                "document_start_idx": 0,
                "document_end_idx": len(content),
                "answer_start_idx": first,
                "answer_end_idx": last,
                "score": 0.8,
                "document_id": name,
                "document_position": position,
                "label": "grounding",
            }
            for position, (name, content, (first, last)) in enumerate(
                zip(names, _DOCUMENTS.values(), spans, strict=False), start=1
            )
        ]


def batch(answers: list[Answer]) -> Json:
    """Return answers as the endpoints without a stream do."""
    results = [answer.bare() for answer in answers]
    return {"query_id": results[0]["query_id"], "results": results}


def _document(name: str, score: float) -> Json:
    content = _DOCUMENTS[name]
    return {
        "id": hashlib.sha256(content.encode()).hexdigest(),
        "content": content,
        "meta": {"file_name": name},
        "score": round(score, 2),
        "file": {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "name": name},
    }


def _stamp(eol: bytes, t_ns: int, block: bytes) -> bytes:
    """Return the comment that carries the send time before a `data:` line, with the stream's own line ends."""
    return b": t_ns=%d%b" % (t_ns, eol) if block.startswith(b"data:") else b""
