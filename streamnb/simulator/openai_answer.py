"""One Chat Completions answer, as chunks and as a whole.

Knows the bytes of this API's answers. Must not know: requests, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamnb.simulator import pace as paces
from streamnb.simulator.blocks import dumps, sse, sse_stamp
from streamnb.simulator.openai_ask import Ask, error_body
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Out, Script

_REFUSAL: Final = ("I", " can", "not", " help", " with", " that", ".")
_ARGUMENTS: Final = ('{"', "name", '":"', "Río Tinto", '","', "days", '":', "3", "}")
_CALLS: Final = 2
_FINISH: Final = {"tools": "tool_calls"}
_MALFORMED: Final = b'data: {"id":"broken","choices":[{"index":0,"delta":{"content":\n\n'

Delta = dict[str, Any]


class Answer:
    """One answer: its id, its choices, its usage."""

    def __init__(self, ask: Ask, setup: Setup) -> None:
        self._ask = ask
        self._setup = setup
        self._everywhere = setup.scenario == "usage-everywhere"
        self._thought = ask.tokens // 3 if setup.scenario == "reasoning" else 0
        self._finish = "length" if ask.cut else _FINISH.get(setup.scenario, "stop")
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._count = {"tools": _CALLS * (1 + len(_ARGUMENTS)), "refusal": len(_REFUSAL)}.get(
            setup.scenario, ask.tokens
        )
        self._calls = [f"call_{secrets.token_hex(12)}" for _ in range(_CALLS)]

    def script(self, body: Iterable[Out] | None = None) -> Script:
        """Return the answer in bytes: role, pieces (or `body` in their place), finish reason, usage, `[DONE]`."""
        each = range(self._ask.n)
        role: Delta = {"role": "assistant", "content": None if self._setup.scenario == "tools" else ""}
        return Script(
            body=self._body() if body is None else body,
            head=tuple(self.chunk(role, index, sent=0) for index in each),
            tail=tuple(self.chunk({}, index, finish=self._finish) for index in each) + self._usage_chunk(),
            terminal=(sse("[DONE]"),),
            error=(sse(dumps(error_body(500))), sse("[DONE]")),
            malformed=(_MALFORMED,),
            bad_utf8=(self.chunk({"content": "<odd>"}).replace(b"<odd>", b"\xff\xfe"),),
            late=(self.chunk({"content": "late"}),),
            ping=b": keep-alive\n\n",
            stamp=sse_stamp,
        )

    def whole(self, content: str | None = None) -> dict[str, Any]:
        """Return the same answer as one JSON object (`stream: false`), with another content if one is given."""
        messages = [self._message(index) for index in range(self._ask.n)]
        if content is not None:
            messages[0]["content"] = content
        return {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._ask.model,
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": self._finish}
                for index, message in enumerate(messages)
            ],
            "usage": self._usage(self._count),
        }

    def chunk(self, delta: Delta, index: int = 0, finish: str | None = None, sent: int | None = None) -> bytes:
        """Return one chunk; `sent` = pieces of each choice so far (for usage on every chunk; None = all)."""
        return self._event([{"index": index, "delta": delta, "finish_reason": finish}], sent)

    def _event(self, choices: list[dict[str, Any]], sent: int | None, *, total: bool = False) -> bytes:
        value: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._ask.model,
            "choices": choices,
        }
        if total or self._everywhere:
            value["usage"] = self._usage(self._count if sent is None else sent)
        elif self._ask.usage:
            value["usage"] = None
        return sse(dumps(value))

    def _usage_chunk(self) -> tuple[bytes, ...]:
        return (self._event([], None, total=True),) if self._ask.usage else ()

    def _usage(self, sent: int) -> dict[str, Any]:
        prompt, completion = self._ask.prompt_tokens, sent * self._ask.n
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if self._thought:
            usage["completion_tokens_details"] = {"reasoning_tokens": min(sent, self._thought) * self._ask.n}
        return usage

    def _body(self) -> Iterator[Out]:
        """The choices interleave: a write of each in turn."""
        sent = 0
        for group in zip(*(self._deltas(index) for index in range(self._ask.n)), strict=True):
            for index, (at_s, deltas) in enumerate(group):
                due_s = group[0][0] if index else at_s
                blocks = (self.chunk(delta, index, sent=sent + n) for n, delta in enumerate(deltas, start=1))
                yield Out(due_s, tuple(blocks))
            sent += len(group[0][1])

    def _deltas(self, index: int) -> Iterator[tuple[float, list[Delta]]]:
        match self._setup.scenario:
            case "tools":
                yield from self._timed([*self._fragments()])
            case "refusal":
                yield from self._timed([{"refusal": piece} for piece in _REFUSAL])
            case _:
                yield from self._pieces(index)

    def _timed(self, deltas: list[Delta]) -> Iterator[tuple[float, list[Delta]]]:
        due = paces.deadlines(self._setup.pace, len(deltas))
        yield from ((at_s, [delta]) for at_s, delta in zip(due, deltas, strict=True))

    def _pieces(self, index: int) -> Iterator[tuple[float, list[Delta]]]:
        pace = self._setup.pace
        sent = 0
        for at_s, tokens in paces.writes(dataclasses.replace(pace, seed=pace.seed + index)):
            numbers = range(sent, sent + len(tokens))
            kinds = ("reasoning_content" if number < self._thought else "content" for number in numbers)
            yield at_s, [{kind: token} for kind, token in zip(kinds, tokens, strict=True)]
            sent += len(tokens)

    def _fragments(self) -> Iterator[Delta]:
        for index, name in enumerate(self._calls):
            function = {"name": self._ask.tool, "arguments": ""}
            yield {"tool_calls": [{"index": index, "id": name, "type": "function", "function": function}]}
            yield from ({"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in _ARGUMENTS)

    def _message(self, index: int) -> dict[str, Any]:
        if self._setup.scenario == "tools":
            function = {"name": self._ask.tool, "arguments": "".join(_ARGUMENTS)}
            calls = [{"id": name, "type": "function", "function": function} for name in self._calls]
            return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
        parts: dict[str, str] = {"content": ""}
        for _, deltas in self._deltas(index):
            for kind, piece in (pair for delta in deltas for pair in delta.items()):
                parts[kind] = parts.get(kind, "") + piece
        return {"role": "assistant", "refusal": None, **parts}
