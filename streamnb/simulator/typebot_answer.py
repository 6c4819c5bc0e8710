"""One streamMessage answer in each of Typebot's framings.

Knows the bytes of these streams. Must not know: sessions, HTTP, sockets.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from streamnb.simulator.blocks import line, line_stamp, sse, sse_stamp
from streamnb.simulator.pace import Pace, writes
from streamnb.simulator.scenarios import Out, Script

_QUOTA: Final = {"context": "While streaming AI", "description": "429 quota exceeded"}
_STEP_1: Final = line("f", {"messageId": "step-1"})
_CALL: Final = {"toolCallId": "call_a1", "toolName": "order_status"}
_TOOLS: Final = (
    _STEP_1,
    line("b", _CALL),
    line("c", {"toolCallId": "call_a1", "argsTextDelta": '{"id":1042}'}),
    line("9", {**_CALL, "args": {"id": 1042}}),
    line("a", {"toolCallId": "call_a1", "result": "in transit"}),
    line("e", {"finishReason": "tool-calls", "isContinued": False}),
    line("f", {"messageId": "step-2"}),
)
_FINISH: Final = {"refusal": "content-filter"}


def lines(pace: Pace, scenario: str, *, tools: bool, assistant: bool, body: Iterable[Out] | None = None) -> Script:
    """Return an answer as AI SDK 4 lines.

    Args:
        pace: how fast it comes.
        scenario: for what changes inside the lines (reasoning, refusal, usage-everywhere).
        tools: a step with a tool call comes first.
        assistant: OpenAI's assistant block: only `0:` lines, no end marker.
        body: what stands in place of the text, if anything.
    """
    finish: dict[str, Any] = {"finishReason": _FINISH.get(scenario, "stop")}
    usage = {"usage": {"promptTokens": 9, "completionTokens": pace.tokens}} if scenario == "usage-everywhere" else {}
    step = line("e", {**finish, **usage, "isContinued": False})
    head = _TOOLS if tools else (_STEP_1,)
    thought = pace.tokens // 3 if scenario == "reasoning" else 0
    return Script(
        body=_body(pace, lambda text, number: line("g" if number < thought else "0", text)) if body is None else body,
        head=() if assistant else head,
        tail=() if assistant else (step,),
        terminal=() if assistant else (line("d", {**finish, **usage}),),
        error=(line("3", json.dumps(_QUOTA, separators=(",", ":"))),),
        malformed=(b'0:"never closed\n',),
        bad_utf8=(b'0:"\xff\xfe"\n',),
        late=(line("0", "late"),),
        ping=b"\n",
        stamp=line_stamp,
    )


def events(pace: Pace, body: Iterable[Out] | None = None) -> Script:
    """Return an answer as SSE: each event's data is a piece of text, as the vendor's page promises."""
    return Script(
        body=_body(pace, lambda text, _number: sse(text)) if body is None else body,
        terminal=(sse("[DONE]"),),
        error=(sse(json.dumps(_QUOTA, separators=(",", ":")), "error"),),
        malformed=(b'data: {"text":\n\n',),
        bad_utf8=(b"data: \xff\xfe\n\n",),
        late=(sse("late"),),
        ping=b": keep-alive\n\n",
        stamp=sse_stamp,
    )


def raw(pace: Pace, body: Iterable[Out] | None = None) -> Script:
    """Return an answer as bare text: no errors, no end marker, nothing but the answer (until 3.14)."""
    return Script(
        body=_body(pace, lambda text, _number: text.encode()) if body is None else body,
        bad_utf8=(b"\xff\xfe",),
        late=(b"late",),
    )


def encoder(framing: str) -> Callable[[str], bytes]:
    """Return what makes one block of a text in a framing."""
    match framing:
        case "sse":
            return sse
        case "raw_text":
            return str.encode
        case _:
            return functools.partial(line, "0")


def _body(pace: Pace, encode: Callable[[str, int], bytes]) -> Iterator[Out]:
    sent = 0
    for at_s, tokens in writes(pace):
        yield Out(at_s, tuple(encode(token, sent + number) for number, token in enumerate(tokens)))
        sent += len(tokens)
