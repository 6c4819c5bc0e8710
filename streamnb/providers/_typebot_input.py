"""What a Typebot flow waits for: its inputs as events, their buttons as choices, what text answers them (WIRE.md 1.2).

Knows the inputs by their JSON. Must not know: calls, sessions, streams, sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from streamnb.events import Choice, Event, Prompt
from streamnb.providers._base import Field

_PRESS: Final = Field("text", "Press a button")
_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "text input": Field("text", "Type your answer"),
        "number input": Field("number", "Type a number"),
        "email input": Field("email", "Type an e-mail address"),
        "url input": Field("url", "Type a link"),
        "phone number input": Field("phone", "Type a phone number, with the country code"),
        "date input": Field("date", "Type a date"),
        "time input": Field("text", "Type a time of day"),
        "choice input": _PRESS,
        "picture choice input": _PRESS,
        "cards": _PRESS,
        "rating input": Field("number", "Type a number up to 10"),
        "file input": Field("url", "Type the link of a file: a file cannot be uploaded here"),
        "payment input": Field("text", "The bot wants a payment, which cannot be made here"),
    }
)
"""What a bot may ask for (typebot.io, packages/blocks/inputs/src), unless it has words of its own for it."""

_NAMED: Final = frozenset({"text input", "number input", "email input", "url input", "phone number input"})
"""Inputs whose `labels.placeholder` says what to type."""


def dicts(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list, which may be missing or hold anything."""
    items = value.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def input_of(data: dict[str, Any]) -> Event:
    """What the bot waits for, with its buttons."""
    choices = [choice for item in dicts(data, "items") for choice in (*_card(item), *_button(item))]
    ident = data.get("id")
    ident = ident if isinstance(ident, str) else None
    return Event("step", name=str(data.get("type", "input")), id=ident, data=data, choices=tuple(choices))


def field_of(event: Event) -> Field | None:
    """What text answers an input, in the bot's own words where it has any; None for other events."""
    field = _FIELDS.get(event.name or "") if event.kind == "step" and isinstance(event.data, dict) else None
    if field is None:
        return None
    options = event.data.get("options")
    return _special(str(event.name), field, options if isinstance(options, dict) else {})


def _special(name: str, field: Field, options: Mapping[str, Any]) -> Field:
    """What the options of an input say about it."""
    kind, says = field.kind, field.placeholder
    match name, options:
        case _, {"labels": {"placeholder": str(own)}} if name in _NAMED and own.strip():
            says = own
        case _, {"isMultipleChoice": True}:
            says = "Press a button, or type several with commas between them"
        case "date input", {"isRange": True}:
            kind, says = "text", "Type two dates: 2026-01-31 to 2026-02-15"
        case "date input", {"hasTime": True}:
            kind, says = "text", "Type a date and a time"
        case "rating input", {"length": int(most)}:
            says = f"Type a number up to {most}"
        case "file input", {"isMultipleAllowed": True}:
            kind, says = "text", "Type links of files, with commas between them: none can be uploaded here"
    return Field(kind, says)


def _button(item: Mapping[str, Any]) -> Iterator[Choice]:
    """A choice is answered with its text and the id of the item pressed."""
    label = item.get("content") or item.get("title")
    if isinstance(label, str) and "paths" not in item:
        answer: dict[str, Any] = {"type": "text", "text": label}
        if isinstance(item.get("id"), str):
            answer["metadata"] = {"replyId": item["id"]}
        yield Choice(label, Prompt(label, reply=answer))


def _card(item: Mapping[str, Any]) -> Iterator[Choice]:
    """A card's buttons are its paths, each answered with its id; the title tells those of two cards apart."""
    for path in dicts(item, "paths"):
        ident, words = path.get("id"), (item.get("title"), path.get("text"))
        if isinstance(ident, str):
            label = ": ".join(word for word in words if isinstance(word, str) and word) or ident
            yield Choice(label, Prompt(label, reply={"type": "text", "text": ident}))
