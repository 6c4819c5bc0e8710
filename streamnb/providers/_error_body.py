"""Error bodies: where vendors put the message and the code (WIRE.md 0.5, 0.7).

Knows JSON values. Must not know: HTTP, frames, which API said it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from streamnb.events import Event

_SHOWN: Final = 300
_LOOKED_AT: Final = 4096
_MARKUP: Final = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def error_event(value: Any, status: int | None = None, text: str = "") -> Event:
    """The `error` event of an error body, in the order of WIRE.md 0.7.

    Args:
        value: the JSON body, or None.
        status: HTTP status; when None, the one the body states.
        text: the body as text, used when it is not JSON.
    """
    message, code = _message(value)
    if not message:
        message = _words(text) if text else _compact(value)[:_SHOWN]
    if status is None and isinstance(value, dict) and type(value.get("status")) is int:
        status = value["status"]
    data: dict[str, Any] = {} if status is None else {"status": status}
    if isinstance(value, (dict, list)):
        data["body"] = value
    return Event("error", text=message, name=code or (str(status) if status else None), data=data or None)


def _words(text: str) -> str:
    """What a body that is not JSON says: the text of a proxy's HTML page, on one line."""
    head = text[:_LOOKED_AT]
    if head.lstrip().startswith("<"):
        head = _MARKUP.sub(" ", head)
    return " ".join(head.split())[:_SHOWN]


def says_error(value: Mapping[str, Any]) -> bool:
    """True when a JSON object that came with HTTP 200 is an error (WIRE.md 0.5)."""
    if value.get("error") or value.get("errors"):
        return True
    return isinstance(value.get("message"), str) and bool(value.get("status") or value.get("code"))


def _message(value: Any) -> tuple[str, str | None]:
    """(message, code) of an error body, wherever vendors put them."""
    if isinstance(value, list):  # Gemini wraps the object of its errors in an array
        value = value[0] if value else None
    if not isinstance(value, dict):
        return (value, None) if isinstance(value, str) else ("", None)
    errors = value.get("errors")
    for inner in (value.get("error"), errors[0] if isinstance(errors, list) and errors else None):
        if isinstance(inner, str) and inner:
            return inner, _code(value)
        if isinstance(inner, dict) and inner:
            return _inner(inner), _code(inner)
    return _own_message(value), _code(value)


def _inner(error: Mapping[str, Any]) -> str:
    """`error.message` is text, or an object that holds the text one level deeper."""
    message = error.get("message")
    if isinstance(message, dict):
        return _first(message, "message", "error") or _compact(message)
    return _first(error, "message", "msg", "description") or _compact(error)


def _own_message(value: Mapping[str, Any]) -> str:
    message = _first(value, "message", "description")
    if message:
        details = _first(value, "details", "context")
        return f"{message} ({details})" if details else message
    detail = value.get("detail")
    if isinstance(detail, list) and detail:
        return _fastapi(detail[0])
    return detail if isinstance(detail, str) else ""


def _fastapi(item: Any) -> str:
    """The first of FastAPI's `{"loc", "msg", "type"}`."""
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    where = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{where}: {item.get('msg', '')}".strip(": ")


def _first(value: Mapping[str, Any], *keys: str) -> str:
    return next((value[key] for key in keys if isinstance(value.get(key), str) and value[key]), "")


def _code(value: Mapping[str, Any]) -> str | None:
    for key in ("code", "type", "status"):
        found = value.get(key)
        if isinstance(found, (str, int)) and not isinstance(found, bool):
            return str(found)
    return None


def _compact(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)
