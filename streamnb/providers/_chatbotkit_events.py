"""ChatBotKit's events: a line, an SSE event or a whole JSON reply, and what it means (WIRE.md 4.2).

Knows the envelope and its types. Must not know: requests, conversations, sockets, clocks.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from streamnb.events import Event
from streamnb.providers._base import parse
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._seen import Seen
from streamnb.wire import Frame

CREATE: Final = "create"
SEND: Final = "send"
RECEIVE: Final = "receive"
COMPLETE: Final = "complete"
PUBLISH: Final = "publish"
LIST: Final = "list"
_CALLS: Final = frozenset({CREATE, SEND, RECEIVE, COMPLETE, PUBLISH, LIST})  # no event is called like one of them
_KEEP_ALIVES: Final = frozenset({"ping", "nop"})
_OTHERS: Final = _KEEP_ALIVES | {"result", "error"}
_NO_RESULT: Final = {"ping": True}
"""What stands where a result belongs when the server ended without one ([C] chatbotkit/platform lib/stream.ts)."""


def read(frame: Frame, seen: Seen) -> Iterator[Event]:
    """The events of one frame, whichever of the three framings it came in."""
    in_sse = frame.line is None and frame.event not in _CALLS
    value, malformed = (None, None) if in_sse and "no_data" in frame.flags else parse(frame)
    if malformed is not None:
        yield malformed
    elif in_sse:
        yield from _event(frame.event, value, seen)
    elif not isinstance(value, dict):
        yield Event("unknown", data=value)
    elif _is_envelope(value):
        server_ms = value.get("createdAt")
        server_ms = server_ms if type(server_ms) is int else None
        for event in _event(value["type"], value.get("data", value), seen):
            yield dataclasses.replace(event, server_ms=server_ms)
    else:
        yield from _whole(value, frame.event, seen)


def _is_envelope(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    return isinstance(kind, str) and ("data" in value or kind in _READERS or kind in _OTHERS)


def _event(kind: str, data: Any, seen: Seen) -> Iterator[Event]:
    if kind == "result":
        yield from _result(data, seen)
    elif kind == "error":
        yield error_event(data)
    elif kind in _KEEP_ALIVES:
        yield Event("ping", name=kind)
    elif kind in _READERS and isinstance(data, dict):
        yield _READERS[kind](kind, data)
    else:
        yield Event("unknown", name=kind, data=data)


def _whole(value: dict[str, Any], name: str, seen: Seen) -> Iterator[Event]:
    """A reply in plain JSON: what a step, a list or a run with `Accept: application/json` gets."""
    rows = value.get("items")
    if isinstance(rows, list):
        yield from (_item("item", row) for row in rows)
        if value.get("cursor") is not None:
            yield Event("trace", name="cursor", data=value["cursor"])
    elif "text" not in value and (says_error(value) or isinstance(value.get("message"), str)):
        yield error_event(value)  # after 18.75 s the server has said 200 and cannot take it back (WIRE.md 4.3)
    elif name == CREATE and isinstance(value.get("id"), str):
        yield Event("session", id=value["id"], data=value)
    elif name == SEND:
        yield _stored("sendResult", value)
    elif name == PUBLISH:
        yield Event("trace", name=PUBLISH, id=_str(value.get("id")), data=value)
    elif isinstance(value.get("text"), str) or value == _NO_RESULT:
        if value.get("text"):
            yield Event("message", value["text"], id=_str(value.get("id")))
        yield from _result(value, seen)
    else:
        yield Event("unknown", name=_str(value.get("type")), data=value)


def _result(data: Any, seen: Seen) -> Iterator[Event]:
    """The end marker. Its text is the last message again: the answer only where nothing was streamed."""
    if data == _NO_RESULT:
        yield Event("trace", name="result", data=data)
        return
    said = data if isinstance(data, dict) else {}
    text, end = _str(said.get("text")) or "", said.get("end")
    if text and seen.count("delta") and not seen.text().rstrip().endswith(text.strip()):
        yield Event("trace", name="text_differs", data={"streamed": seen.n_chars(), "result": len(text)})
    reason = end.get("reason") if isinstance(end, dict) else None
    yield Event("end", text, name=_str(reason), id=_str(said.get("id")), data=data)


def _token(kind: str, data: dict[str, Any]) -> Event:
    text = data.get("token")
    if not isinstance(text, str):
        return Event("unknown", name=kind, data=data)
    return Event("delta" if kind == "token" else "reasoning", text)


def _message(kind: str, data: dict[str, Any]) -> Event:
    """A message as the platform stores it: the tokens once more, or what is no answer (activity, reasoning)."""
    return Event("item", name=_str(data.get("type")) or kind, id=_str(data.get("id")), data=data)


def _stored(kind: str, data: dict[str, Any]) -> Event:
    return Event("item", name=kind, id=_str(data.get("id")), data=data)


def _item(kind: str, row: Any) -> Event:
    """A row of a list. Rows do not say of which: only messages have both a type and a text."""
    if not isinstance(row, dict):
        return Event(kind="unknown", name=kind, data=row)
    is_message = isinstance(row.get("type"), str) and isinstance(row.get("text"), str)
    return Event("item", name="message" if is_message else "conversation", id=_str(row.get("id")), data=row)


def _usage(_: str, data: dict[str, Any]) -> Event:
    counts = {"tokens_in": data.get("inputTokensUsed"), "tokens_out": data.get("outputTokensUsed"), "usage": "sum"}
    return Event("usage", name=_str(data.get("model")), data={**counts, "raw": data})


def _operation(kind: str, data: dict[str, Any]) -> Event:
    """A dataset, a skill or a function that the platform itself asks."""
    action = data.get("action")
    action = action if isinstance(action, dict) else {}
    name, ident = _str(action.get("name")), _str(data.get("id"))
    if kind == "operationEnd":
        return Event("tool_result", name=name, id=ident, data=data)
    given = action.get("input")
    text = given if isinstance(given, str) else "" if given is None else json.dumps(given, ensure_ascii=False)
    return Event("tool_call", text, name=name, id=ident, data=data)


def _wait(kind: str, data: dict[str, Any]) -> Event:
    """A function of this process is asked for, or was answered: the channel is where its result is published."""
    function, channel = data.get("function"), data.get("channel")
    function = function if isinstance(function, dict) else {}
    name = _str(function.get("name"))
    if kind == "waitForChannelMessageEnd":
        return Event("tool_result", name=name, id=_str(channel), data=data)
    if name is None or not isinstance(channel, str):
        return Event("trace", name=kind, data=data)
    return Event("action", name=name, id=channel, data={"args": function.get("args"), "channel": channel})


def _step(kind: str, data: dict[str, Any]) -> Event:
    return Event("step", name=kind, id=_str(data.get("instance")), data=data)


def _trace(kind: str, data: dict[str, Any]) -> Event:
    return Event("trace", _str(data.get("reason")) or "", name=kind, id=_str(data.get("id")), data=data)


def _audio(kind: str, data: dict[str, Any]) -> Event:
    return Event("file", name=kind, data=data)


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_READERS: Final[Mapping[str, Callable[[str, dict[str, Any]], Event]]] = MappingProxyType(
    {
        "token": _token,
        "reasoningToken": _token,
        "message": _message,
        "sendResult": _stored,
        "receiveResult": _stored,
        "usage": _usage,
        "abort": _trace,
        "completeBegin": _step,
        "completeEnd": _step,
        "operationBegin": _operation,
        "operationEnd": _operation,
        "intentDetectionBegin": _trace,
        "intentDetectionEnd": _trace,
        "compactionBegin": _trace,
        "compactionEnd": _trace,
        "progressReport": _trace,
        "waitForChannelMessageBegin": _wait,
        "waitForChannelMessageEnd": _wait,
        "audio": _audio,
        "item": _item,
    }
)
