"""What Voiceflow's stream says: traces in three envelopes, the session's state, the end (WIRE.md 3.3, 3.4).

Knows traces by their JSON, whichever generation sent them. Must not know: requests, URLs, sockets, clocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from streamnb.events import Choice, Event, Prompt
from streamnb.providers._base import parse
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._seen import Seen
from streamnb.wire import Frame

_Value = Mapping[str, Any]
_FIRST_MS: Final = 1e11  # 1973; as seconds, the year 5138
_LAST_MS: Final = 1e14
_PHASES: Final = {"completion-start": "start", "completion-continue": "content", "completion-end": "end"}
_OWN: Final = frozenset(
    {
        "audio",
        "block",
        "channel-action",
        "debug",
        "entity-filling",
        "flow",
        "goto",
        "log",
        "no-reply",
        "path",
        "stream",
    }
)
"""Types of Voiceflow itself that are neither text nor offer anything; any other may be a project's custom action."""


def events(frame: Frame, seen: Seen) -> Iterator[Event]:
    """The events of one SSE frame, or of a JSON body that came instead of a stream."""
    if frame.event == "end":  # the turn; the trace of this name is the conversation's
        value, malformed = parse(frame) if frame.data else (None, None)
        more = malformed.data if malformed else value
        yield Event("end", data=None if more in ({}, {"type": "end"}) else more)
    elif frame.event == "error":  # not documented; a proxy's
        yield error_event(parse(frame)[0], text=frame.data)
    elif "no_data" in frame.flags:
        yield Event("trace", name=frame.event)
    else:
        value, malformed = parse(frame)
        yield from [malformed] if malformed else _value(value, frame.event, seen)


def _value(value: Any, name: str, seen: Seen) -> Iterator[Event]:
    if not isinstance(value, dict):
        yield Event("unknown", data=value)
    elif value.get("type") == "trace" and isinstance(value.get("trace"), dict):  # v2beta1
        yield from _trace(value["trace"], seen)
    elif name == "state" or (value.get("type") == "state" and "state" in value):
        yield Event("trace", name="state", data=value.get("state", value))
    elif "payload" not in value and says_error(value):
        yield error_event(value)
    elif _str(value.get("sessionKey")):  # v4: masked before anyone reads it
        yield Event("trace", name="session", data=value)
    else:  # v2 and v4
        yield from _trace(value, seen)


def _trace(trace: dict[str, Any], seen: Seen) -> Iterator[Event]:
    kind, payload = trace.get("type"), trace.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    if not isinstance(kind, str):
        found = iter([Event("unknown", data=trace)])
    elif kind == "knowledgeBase":
        found = _knowledge(trace, payload, seen.n_chars())
    else:
        found = _READERS.get(kind, _other)(trace, payload)
    server_ms = _server_ms(trace.get("time"))
    for event in found:
        yield event if server_ms is None else dataclasses.replace(event, server_ms=server_ms)


def _server_ms(time: Any) -> int | None:
    """`time` is in milliseconds, on older pages in seconds."""
    if type(time) not in {int, float} or not 0 < time < _LAST_MS:
        return None
    return int(time if time >= _FIRST_MS else time * 1000)


def _completion(trace: _Value, payload: _Value) -> Iterator[Event]:
    """A piece of a model's answer: every key is optional, and the pieces join as they are."""
    kind = trace["type"]
    state = _PHASES.get(kind) or payload.get("state")
    text, tokens = payload.get("completion", payload.get("content")), payload.get("tokens")
    said = isinstance(text, str) and text != ""
    if state == "start":
        yield Event("step", name="completion-start", data=trace)
    if said:
        yield Event("delta", text)
    if isinstance(tokens, dict):
        yield Event("usage", data=_usage(tokens))
    if state == "end":
        yield Event("step", name="completion-end", data=trace)
    elif state != "start" and not said and not isinstance(tokens, dict):
        yield Event("trace", name=kind, data=trace)


def _usage(tokens: _Value) -> dict[str, Any]:
    """Increments (v2beta1) or one completion's whole (v2, v4): both add up over the run."""
    more = {key: value for key, value in tokens.items() if key not in {"query", "answer"}}
    return {**more, "tokens_in": tokens.get("query"), "tokens_out": tokens.get("answer"), "usage": "sum"}


def _message(trace: _Value, payload: _Value) -> Iterator[Event]:
    name = "speak" if trace["type"] == "speak" else None
    text = _str(payload.get("message")) or _slate(payload.get("slate"))
    if text:
        yield Event("message", text, name=name, data=trace)
    elif isinstance(payload.get("src"), str):
        yield Event("file", name="audio", data=trace)
    else:
        yield Event("trace", name=trace["type"], data=trace)


def _slate(slate: Any) -> str:
    """The text of a rich text: one line for each block."""
    blocks = _dicts(slate.get("content")) if isinstance(slate, dict) else []
    return "\n".join("".join(_str(child.get("text")) for child in _dicts(block.get("children"))) for block in blocks)


def _choice(trace: _Value, payload: _Value) -> Iterator[Event]:
    yield Event("step", name="choice", data=trace, choices=_buttons(payload))


def _card(trace: _Value, payload: _Value) -> Iterator[Event]:
    yield Event("item", _str(payload.get("title")), name=trace["type"], data=trace, choices=_buttons(payload))


def _carousel(trace: _Value, payload: _Value) -> Iterator[Event]:
    """All cards as one item; the title before a button's name tells the same buttons of two cards apart."""
    cards = _dicts(payload.get("cards"))
    titles = [_str(card.get("title")) for card in cards]
    choices = tuple(
        dataclasses.replace(choice, label=f"{title}: {choice.label}" if title else choice.label)
        for card, title in zip(cards, titles, strict=True)
        for choice in _buttons(card)
    )
    yield Event("item", "\n".join(filter(None, titles)), name="carousel", data=trace, choices=choices)


def _buttons(payload: _Value) -> tuple[Choice, ...]:
    """A button is pressed by sending its `request` verbatim; one without is a link or a picture."""
    buttons = [button for button in _dicts(payload.get("buttons")) if isinstance(button.get("request"), dict)]
    return tuple(_press(button.get("name"), button["request"]) for button in buttons)


def _press(label: Any, request: dict[str, Any]) -> Choice:
    payload = request.get("payload")
    shown = payload.get("label") if isinstance(payload, dict) else None
    label = _str(label) or _str(shown) or str(request.get("type"))
    return Choice(label, Prompt(label, reply=request))


def _visual(trace: _Value, payload: _Value) -> Iterator[Event]:
    image = isinstance(payload.get("image"), str)
    yield Event("file" if image else "item", name="image" if image else "visual", data=trace)


def _knowledge(trace: _Value, payload: _Value, at_char: int) -> Iterator[Event]:
    """The chunks an answer was made from; it follows as a message. The trace keeps the query."""
    yield Event("trace", name="knowledgeBase", data=trace)
    for chunk in _dicts(payload.get("chunks")):
        document = chunk.get("documentData")
        document = document if isinstance(document, dict) else {}
        title = _str(document.get("name")) or None
        data = {
            "title": title,
            "url": _str(document.get("url")) or None,
            "source_type": _str(document.get("type")) or None,
            "at_char": at_char,
            "score": chunk.get("score"),
        }
        yield Event("citation", name=title, id=_str(chunk.get("documentID")) or None, data=data)


def _ended(trace: _Value, payload: _Value) -> Iterator[Event]:
    del payload
    yield Event("session", name="ended", data=trace)


def _other(trace: _Value, payload: _Value) -> Iterator[Event]:
    """A custom action waits for one of its paths: the path's `event` is the next request. All else is a trace."""
    del payload
    kind = trace["type"]
    paths = [] if kind in _OWN else _dicts(trace.get("paths"))
    choices = tuple(_press(path.get("label"), path["event"]) for path in paths if isinstance(path.get("event"), dict))
    yield Event("action" if paths else "trace", name=kind, data=trace, choices=choices)


_READERS: Final[Mapping[str, Callable[[_Value, _Value], Iterator[Event]]]] = {
    **dict.fromkeys((*_PHASES, "completion"), _completion),
    **dict.fromkeys(("text", "speak"), _message),
    **dict.fromkeys(("card", "cardV2"), _card),
    "choice": _choice,
    "carousel": _carousel,
    "visual": _visual,
    "end": _ended,
}
"""Type of a trace -> what reads it; all other types go to `_other`."""


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
