"""The Vercel AI SDK's two streams: v4 data parts `<code>:<json>` and v5 UI message events (WIRE.md 1.3, 8.7).

Knows parts. Must not know: which API speaks them, sockets, clocks. Typebot speaks v4; Chatbase and others v5.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from streamnb.events import Event
from streamnb.providers._base import parse
from streamnb.wire import Frame
from streamnb.wire.strict_json import JSONError, loads

_PART: Final = re.compile(r"([0-9a-k]):(.+)", re.DOTALL)


def part(frame: Frame) -> Iterator[Event]:
    """The events of one prefix line."""
    value, malformed = parse(frame)
    if malformed is not None:
        yield malformed
        return
    read = _PARTS.get(frame.event)
    event = read(value) if read else None
    yield event if event is not None else Event("unknown", name=frame.event, data=value)


def sse(frame: Frame) -> Iterator[Event]:
    """The events of one SSE frame: a v4 part, a v5 UI message event, JSON with a text, or plain text."""
    if frame.data.strip() == "[DONE]":
        yield Event("end", name="[DONE]")
        return
    match = _PART.fullmatch(frame.data)
    if match:
        inner = dataclasses.replace(frame, event=match[1], data=match[2])
        _, malformed = parse(inner)
        if malformed is None:
            yield from part(inner)
            return
    if frame.data[:1] not in {"{", "["} and not frame.data.startswith('"'):
        yield Event("delta", frame.data) if frame.event != "error" else Event("error", frame.data)
        return
    value, malformed = parse(frame)
    if malformed is not None:
        yield malformed
    elif isinstance(value, str):
        yield Event("delta", value)
    elif isinstance(value, dict):
        yield _ui(value, frame.event)
    else:
        yield Event("unknown", data=value)


def _text(value: Any) -> Event | None:
    return Event("delta", value) if isinstance(value, str) else None


def _reasoning(value: Any) -> Event | None:
    return Event("reasoning", value) if isinstance(value, str) else None


def _error(value: Any) -> Event:
    """An error is a string that is usually JSON itself: {"context", "description", "details"?}."""
    if isinstance(value, str):
        try:
            inner, _ = loads(value)
        except JSONError:
            inner = None
        if isinstance(inner, dict):
            text = inner.get("description") or inner.get("message") or inner.get("error") or value
            context = inner.get("context")
            return Event("error", str(text), name=context if isinstance(context, str) else None, data=inner)
        return Event("error", value)
    return Event("error", str(value), data=value)


def _dict(build: Callable[[Mapping[str, Any]], Event]) -> Callable[[Any], Event | None]:
    return lambda value: build(value) if isinstance(value, dict) else None


def _tool(kind: str, text: str) -> Callable[[Any], Event | None]:
    def build(value: Mapping[str, Any]) -> Event:
        words = value.get(text)
        words = words if isinstance(words, str) else ""
        name, ident = _name(value, "toolName"), _name(value, "toolCallId")
        if kind == "tool_result":
            return Event("tool_result", words, name=name, id=ident, data=value.get("result"))
        return Event("tool_call", words, name=name, id=ident, data=value.get("args"))

    return _dict(build)


def _source(value: Mapping[str, Any]) -> Event:
    data = {"title": value.get("title"), "url": value.get("url"), "source_type": value.get("sourceType")}
    ident = _name(value, "id") or _name(value, "sourceId")
    return Event("citation", name=_name(value, "title"), id=ident, data=data)


def _name(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def _finish(value: Mapping[str, Any]) -> Event:
    return Event("end", name=_name(value, "finishReason"), data=dict(value))


_PARTS: Final[Mapping[str, Callable[[Any], Event | None]]] = {
    "0": _text,
    "2": lambda value: Event("trace", name="data", data=value),
    "3": _error,
    "8": lambda value: Event("trace", name="annotations", data=value),
    "9": _tool("tool_call", ""),
    "a": _tool("tool_result", "result"),
    "b": _tool("tool_call", ""),
    "c": _tool("tool_call", "argsTextDelta"),
    "d": _dict(_finish),
    "e": _dict(lambda value: Event("step", name="finish", data=dict(value))),
    "f": _dict(lambda value: Event("step", name="start", id=_name(value, "messageId"), data=dict(value))),
    "g": _reasoning,
    "h": _dict(_source),
    "i": lambda value: Event("trace", name="redacted_reasoning", data=value),
    "j": lambda value: Event("trace", name="signature", data=value),
    "k": _dict(lambda value: Event("file", name=_name(value, "mimeType"), data=dict(value))),
}


_UI: Final[Mapping[str, Callable[[Mapping[str, Any]], Event]]] = {
    "text-delta": lambda value: Event("delta", _name(value, "delta") or "", id=_name(value, "id")),
    "reasoning-delta": lambda value: Event("reasoning", _name(value, "delta") or "", id=_name(value, "id")),
    "error": lambda value: _error(value.get("errorText") or value),
    "finish": _finish,
    "start": lambda value: Event("start", id=_name(value, "messageId"), data=dict(value)),
    "source-url": _source,
}


def _ui(value: Mapping[str, Any], event: str) -> Event:
    """One v5 UI message event, or the nearest that homegrown hosts send."""
    kind = value.get("type")
    if isinstance(kind, str):
        return _UI[kind](value) if kind in _UI else Event("trace", name=kind, data=dict(value))
    if event == "error" or "error" in value:
        return _error(value.get("error") or value)
    for key in ("text", "content", "delta", "message"):
        if isinstance(value.get(key), str):
            return Event("delta", value[key])
    return Event("unknown", data=dict(value))
