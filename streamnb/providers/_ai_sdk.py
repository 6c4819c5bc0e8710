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
from streamnb.providers._error_body import error_event, says_error
from streamnb.wire import Frame
from streamnb.wire.strict_json import JSONError, loads

DONE: Final = "[DONE]"
_PART: Final = re.compile(r"([0-9a-k]):(.+)", re.DOTALL)
_JSON_HEADS: Final = frozenset('{["')
_MEANT_AS_JSON: Final = re.compile(r'\{\s*["}]|\[\s*[{"\]]')
_Value = Mapping[str, Any]


def part(frame: Frame) -> Iterator[Event]:
    """The events of one prefix line."""
    value, malformed = parse(frame)
    if malformed is not None:
        yield malformed
        return
    events = _part(frame.event, value)
    yield from events or [Event("unknown", name=frame.event, data=value)]


def sse(frame: Frame) -> Iterator[Event]:
    """The events of one SSE frame: a v4 part, a v5 UI message event, JSON with a text, or plain text."""
    if frame.data.strip() == DONE:
        yield Event("end", name=DONE)
        return
    match = _PART.fullmatch(frame.data)
    if match:
        value, malformed = parse(dataclasses.replace(frame, data=match[2]))
        events = [] if malformed else _part(match[1], value)
        if events:  # "2:30" looks like a part, but 30 is no value of one
            yield from events
            return
    if frame.data[:1] in _JSON_HEADS:
        yield _json(frame)
    elif frame.event == "error":
        yield error_event(None, text=frame.data)
    elif "no_data" in frame.flags:
        yield Event("trace", name=frame.event)
    else:
        yield Event("delta", frame.data)


def is_text(frame: Frame) -> bool:
    """Whether data that begins like JSON but is none is a piece of plain text: a lone quote, `[link`, `{name}`."""
    return "unterminated" not in frame.flags and not _MEANT_AS_JSON.match(frame.data)


def _json(frame: Frame) -> Event:
    value, malformed = parse(frame)
    if malformed is not None:
        return Event("delta", frame.data) if is_text(frame) else malformed
    if frame.event == "error":
        return error_event(value)
    if isinstance(value, str):
        return Event("delta", value)
    return _ui(value) if isinstance(value, dict) else Event("delta", frame.data)  # "[1]" is a footnote


def _part(code: str, value: Any) -> list[Event]:
    """The events of a part; none when the code is unknown or its value is not of the part's type."""
    kind, build = _PARTS.get(code, ((), _finish))
    if not isinstance(value, kind):
        return []
    event = build(value)
    usage = _usage(value) if event.kind == "end" else None
    return [usage, event] if usage else [event]


def _usage(value: _Value) -> Event | None:
    """Typebot never sends it (sendUsage: false), the AI SDK itself does."""
    usage = value.get("usage")
    if not isinstance(usage, dict):
        return None
    tokens = {"tokens_in": usage.get("promptTokens"), "tokens_out": usage.get("completionTokens")}
    return Event("usage", data={**tokens, "usage": "last", "raw": usage})


def _error(value: str | dict[str, Any]) -> Event:
    """An error is a string that is usually JSON itself: {"context", "description", "details"?}."""
    inner: Any = value
    if isinstance(value, str):
        try:
            inner, _ = loads(value)
        except JSONError:
            return Event("error", value)
    if not isinstance(inner, dict):
        return Event("error", inner if isinstance(inner, str) else str(value))
    context = _str(inner, "context")
    text = _str(inner, "description") or error_event(inner).text
    return Event("error", text, name=context, data=inner)


def _tool(kind: Any, key: str) -> Callable[[Any], Event]:
    """A tool row: what stands under `key` is its text when it is text, else its data."""

    def build(value: _Value) -> Event:
        said = value.get(key)
        text = said if isinstance(said, str) else ""
        data = None if isinstance(said, str) else said
        return Event(kind, text, name=_str(value, "toolName"), id=_str(value, "toolCallId"), data=data)

    return build


def _source(value: _Value) -> Event:
    data = {key: value.get(key) for key in ("title", "url", "sourceType")}
    data["source_type"] = data.pop("sourceType")
    ident = _str(value, "id") or _str(value, "sourceId")
    return Event("citation", name=_str(value, "title"), id=ident, data=data)


def _str(value: _Value, key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def _finish(value: _Value) -> Event:
    return Event("end", name=_str(value, "finishReason"), data=dict(value))


def _step(name: str) -> Callable[[Any], Event]:
    return lambda value: Event("step", name=name, id=_str(value, "messageId"), data=dict(value))


def _trace(name: str) -> Callable[[Any], Event]:
    return lambda value: Event("trace", name=name, data=value)


def _file(value: _Value) -> Event:
    return Event("file", name=_str(value, "mimeType") or _str(value, "mediaType"), data=dict(value))


_PARTS: Final[Mapping[str, tuple[Any, Callable[[Any], Event]]]] = {
    "0": (str, lambda value: Event("delta", value)),
    "2": (list, _trace("data")),
    "3": ((str, dict), _error),
    "8": (list, _trace("annotations")),
    "9": (dict, _tool("tool_call", "args")),
    "a": (dict, _tool("tool_result", "result")),
    "b": (dict, _tool("tool_call", "")),
    "c": (dict, _tool("tool_call", "argsTextDelta")),
    "d": (dict, _finish),
    "e": (dict, _step("finish")),
    "f": (dict, _step("start")),
    "g": (str, lambda value: Event("reasoning", value)),
    "h": (dict, _source),
    "i": (dict, _trace("redacted_reasoning")),
    "j": (dict, _trace("signature")),
    "k": (dict, _file),
}
"""v4: code -> (type of its value, the event it is)."""

_UI: Final[Mapping[str, Callable[[_Value], Event]]] = {
    "start": lambda value: Event("start", id=_str(value, "messageId"), data=dict(value)),
    "start-step": _step("start"),
    "finish-step": _step("finish"),
    "text-delta": lambda value: Event("delta", _str(value, "delta") or "", id=_str(value, "id")),
    "reasoning-delta": lambda value: Event("reasoning", _str(value, "delta") or "", id=_str(value, "id")),
    "tool-input-start": _tool("tool_call", ""),
    "tool-input-delta": _tool("tool_call", "inputTextDelta"),
    "tool-input-available": _tool("tool_call", "input"),
    "tool-output-available": _tool("tool_result", "output"),
    "source-url": _source,
    "source-document": _source,
    "file": _file,
    "abort": lambda value: Event("error", _str(value, "reason") or "the server aborted the answer", name="abort"),
    "error": lambda value: _error(_str(value, "errorText") or dict(value)),
    "finish": _finish,
}
"""v5: type -> the event it is; all other types are traces."""


def _ui(value: _Value) -> Event:
    """One v5 UI message event, or the nearest that homegrown hosts send."""
    kind = _str(value, "type")
    if kind is not None:
        return _UI[kind](value) if kind in _UI else Event("trace", name=kind, data=dict(value))
    if says_error(value):
        return error_event(value)
    for key in ("text", "content", "delta", "message"):
        if isinstance(value.get(key), str):
            return Event("delta", value[key])
    return Event("unknown", data=dict(value))
