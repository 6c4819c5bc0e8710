"""deepset's stream events and JSON replies, read into the vocabulary (WIRE.md 5.1, 5.3).

Knows both layouts of the event object, each field optional or null. Must not know: calls, sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from streamnb.events import Event
from streamnb.providers._deepset_result import identifier, result_events, string, usage_event
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._seen import Seen

_Value = Mapping[str, Any]
_SESSION_IDS: Final = ("search_session_id", "session_id", "id")
_RESULT_FIELDS: Final = frozenset({"answers", "documents", "results"})


def stream_events(value: _Value, name: str, seen: Seen) -> Iterator[Event]:
    """What one event object means.

    Args:
        value: the object.
        name: the SSE event's name, which the documented stream does not use.
        seen: the stream before it.
    """
    kinds = _kinds(value, name)
    if kinds == ["ping"]:
        yield Event("ping", data=value.get("ping"))
        return
    meta = _meta(value)
    ident, model = string(value.get("query_id")), string(meta.get("model"))
    if (ident or model) and not seen.count("start") and not seen.count("end"):
        yield Event("start", id=ident, name=model)
    for kind in kinds:
        yield from _READERS.get(kind, _unknown)(value.get(kind), value, seen)
    if not kinds:
        yield Event("unknown", data=value)
    reason = _reason(value)
    if reason is not None and "result" not in kinds:
        yield Event("step", name=reason)


def last_reason(seen: Seen) -> str | None:
    """The latest finish reason: an agent has one for every answer of its model, and for its tools' results."""
    step = seen.last("step")
    return None if step is None else step.name


def whole_reply(value: _Value, seen: Seen) -> Iterator[Event]:
    """A JSON object that came with status 200 instead of a stream (WIRE.md 0.5)."""
    if string(value.get("type")) in _READERS:
        yield from stream_events(value, "", seen)
    elif says_error(value) or "detail" in value or "message" in value:
        yield error_event(value)
    elif value.keys() & _RESULT_FIELDS:
        for event in result_events(value, "", None):
            if event.kind == "end" and event.text:
                yield Event("message", event.text)
            yield event
    else:
        yield Event("unknown", data=value)


def pipeline_reply(value: _Value) -> Iterator[Event]:
    """The reply of GET pipeline: its UUID is what a search session is opened with."""
    if says_error(value):
        yield error_event(value)
    else:
        yield Event("trace", name="pipeline", id=identifier(value, "pipeline_id", "id"), data=value)


def session_reply(value: _Value) -> Iterator[Event]:
    """The reply of POST search_sessions. Clients in use read `search_session_id`; the other names are tolerance."""
    ident = identifier(value, *_SESSION_IDS)
    if ident is not None:
        more = {key: one for key, one in value.items() if one != ident}
        yield Event("session", id=ident, data=more or None)
    else:
        yield error_event(value) if says_error(value) else Event("unknown", data=value)


def sessions_reply(value: _Value) -> Iterator[Event]:
    """One page of search sessions: its rows under `data` as in other lists, or under `search_sessions`."""
    rows = next((value[key] for key in ("data", "search_sessions") if isinstance(value.get(key), list)), None)
    if rows is None:
        yield error_event(value) if says_error(value) else Event("unknown", data=value)
        return
    for row in rows:
        known = isinstance(row, dict)
        ident = identifier(row, *_SESSION_IDS) if known else None
        yield Event("item", name="search_session", id=ident, data=row) if known else Event("unknown", data=row)
    page = {key: value[key] for key in ("has_more", "total") if value.get(key) is not None}
    yield Event("trace", name="page", data=page)


def _kinds(value: _Value, name: str) -> list[str]:
    """The payloads to read: the one that `type` names, without a type those that are there, and an error always."""
    kind = string(value.get("type")) or (name if name in _READERS else None)
    kinds = [kind] if kind else [key for key in _READERS if value.get(key) is not None]
    return kinds if "error" in kinds or not value.get("error") else [*kinds, "error"]


def _meta(value: _Value) -> dict[str, Any]:
    delta = value.get("delta")
    meta = delta.get("meta") if isinstance(delta, dict) else None
    return meta if isinstance(meta, dict) else {}


def _reason(value: _Value) -> str | None:
    """`finish_reason` of the event; the older layout has it only in the generator's meta."""
    return string(value.get("finish_reason")) or string(_meta(value).get("finish_reason"))


def _delta(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    text = payload.get("text") if isinstance(payload, dict) else payload
    if not isinstance(text, str):
        yield from _unknown(payload, value, seen)
        return
    meta = _meta(value)
    said = {"meta": meta, "index": value.get("index"), "start": value.get("start")}
    data = {key: one for key, one in said.items() if one} or None
    if text:
        yield Event("delta", text, data=data)
    elif data:
        yield Event("trace", name="delta", data=data)
    usage = usage_event(meta)
    if usage is not None:
        yield usage


def _reasoning(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    text = payload.get("reasoning_text") if isinstance(payload, dict) else payload
    if not isinstance(text, str):
        yield from _unknown(payload, value, seen)
        return
    extra = payload.get("extra") if isinstance(payload, dict) else None
    yield Event("reasoning", text, data={"extra": extra} if extra else None)


def _tool_call(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    """Name and id come first, then the arguments in pieces, each with the index of its call."""
    if not isinstance(payload, dict):
        yield from _unknown(payload, value, seen)
        return
    text, name, ident = (_text(payload, key) for key in ("arguments", "tool_name", "id"))
    yield Event(
        "tool_call", text, name=name or None, id=ident or None, data=_rest(payload, "arguments", "tool_name", "id")
    )


def _tool_result(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    if not isinstance(payload, dict):
        yield from _unknown(payload, value, seen)
        return
    origin = payload.get("origin")
    origin = origin if isinstance(origin, dict) else {}
    name, ident = string(origin.get("tool_name")), string(origin.get("id"))
    yield Event("tool_result", _text(payload, "result"), name=name, id=ident, data=_rest(payload, "result"))


def _result(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    yield from result_events(payload, seen.text(), _reason(value) or last_reason(seen))


def _error(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    """A plain string, no code; whatever else stands there is read as an error's body."""
    del value, seen
    yield error_event(payload) if isinstance(payload, (dict, list)) else Event("error", str(payload or ""))


def _unknown(payload: Any, value: _Value, seen: Seen) -> Iterator[Event]:
    del payload, seen
    yield Event("unknown", name=string(value.get("type")), data=value)


def _text(payload: _Value, key: str) -> str:
    return string(payload.get(key)) or ""


def _rest(payload: _Value, *texts: str) -> dict[str, Any] | None:
    """What the payload says besides these texts; one of them that is no text stays, too."""
    kept = (key for key, one in payload.items() if one is not None and not (key in texts and isinstance(one, str)))
    return {key: payload[key] for key in kept} or None


_READERS: Final[Mapping[str, Callable[[Any, _Value, Seen], Iterator[Event]]]] = {
    "delta": _delta,
    "reasoning": _reasoning,
    "tool_call_delta": _tool_call,
    "tool_call_result": _tool_result,
    "result": _result,
    "error": _error,
    "ping": _unknown,
}
"""Type, and name of the payload's field -> what reads it. `ping` and `reasoning`: on the page of search-stream."""
