"""One line about a reply that did not end well: whose fault, what next (SAFETY R3, R7).

Knows statuses, headers, outcomes. Must not know: bytes, frames, sockets, clocks, any one API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from streamnb.events import Event, Outcome
from streamnb.providers._base import Call, Ending, Provider, ReplyHead
from streamnb.redaction import Secret, redact_url

_SHOWN: Final = 500
_IDENTS: Final = ("x-request-id", "request-id", "apim-request-id")
_DATE: Final = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_HINTS: Final = {
    401: "Check the key in {key}.",
    402: "The account has no credit or no plan for this.",
    403: "Check the key in {key} and what it may use.",
    404: "Check the base URL, the model and the ids.",
    408: "The server gave up waiting; run it again.",
    413: "The request is too large; shorten it.",
    429: "Too many requests or no quota left; wait{wait} and run it again.",
    503: "The provider is overloaded or down; wait{wait} and run it again.",
    529: "The provider is overloaded; wait{wait} and run it again.",
}
_KEYLESS: Final = "No key was sent; check the address, the ids and who may call it."
_ASKED_WRONG: Final = "The server refused the request; check the model, the parameters and the ids."
_THEIR_FAULT: Final = "The fault is on the provider's side; run it again."
_KEPT: Final = "What arrived is kept; run it again."
_DETAILS: Final = {
    Outcome.TRUNCATED: "the stream ended without its end marker; the text is incomplete. Run it again.",
    Outcome.FILTERED: "the provider's content filter stopped the answer; rephrase the prompt.",
    Outcome.LIMIT: "the reply is more than this client agreed to hold; what arrived is kept.",
    Outcome.INTERRUPTED: "interrupted; what arrived is kept.",
    Outcome.STOPPED: "stopped; what arrived is kept.",
    Outcome.ERROR_IN_STREAM: f"the API ended the stream with an error and no message. {_KEPT}",
    Outcome.CRASHED: "the process that recorded it died; what it wrote is here.",
}


def http_error(provider: Provider, call: Call, head: ReplyHead, error: Event | None) -> str:
    """A status that is not a success."""
    step = "" if call.stream else f" to {call.name}"
    message = _line(error.text) if error and error.text else "no message"
    ident = next((head.headers[key] for key in _IDENTS if key in head.headers), None)
    request = f" (request {ident})" if ident else ""
    line = f"{provider.name} answered {head.status}{step}: {message}"
    return f"{_sentence(line, request)} {_hint(head.status, head.headers, _key(call))}"


def in_stream(provider: Provider, call: Call, error: Event) -> str:
    """An error that came with HTTP 200."""
    message = _line(error.text) or "an error without a message"
    status = error.data.get("status") if isinstance(error.data, dict) else None
    if isinstance(status, int):
        said = f"{provider.name} answered {status} inside HTTP 200: {message}"
        return f"{_sentence(said)} {_hint(status, {}, _key(call))}"
    code = f" ({error.name})" if error.name else ""
    return f"{_sentence(f'{provider.name} reported an error in the stream: {message}', code)} {_KEPT}"


def not_understood(provider: Provider, call: Call, head: ReplyHead, n_bytes: int) -> str:
    """A reply that is not what this API sends."""
    what = head.content_type or "no Content-Type"
    body = f"{n_bytes} bytes of {what}" if n_bytes else f"an empty body ({what})"
    wanted = "a stream" if call.stream else f"JSON to {call.name}"
    base_url = redact_url(provider.base_url)
    return f"{provider.name} answered {head.status} with {body} instead of {wanted}; check the base URL {base_url}."


def plain(provider: Provider, outcome: Outcome, ending: Ending) -> str:
    """Everything else: the detail the local side knows, or what the outcome means."""
    return f"{provider.name}: {_line(ending.detail) or _DETAILS.get(outcome, outcome.value)}"


def _hint(status: int, headers: Mapping[str, str], key: str | None) -> str:
    if status in range(300, 400):
        location = redact_url(_line(headers.get("location", "")))
        target = f" to {location}" if location and location != "<redacted>" else ""
        return f"The redirect{target} was not followed; give the final address with --base-url."
    if key is None and status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _KEYLESS
    fallback = _THEIR_FAULT if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _ASKED_WRONG
    return _HINTS.get(status, fallback).format(key=key, wait=_wait(headers.get("retry-after", "")))


def _key(call: Call) -> str | None:
    """What the key's variable is called, None when the call carries no key."""
    carried = [value.env for value in (*call.headers.values(), *call.query.values()) if isinstance(value, Secret)]
    return carried[0] if carried else None


def _wait(retry_after: str) -> str:
    """Retry-After is seconds or an HTTP date (RFC 9110, 10.2.3); anything else says nothing."""
    if _DATE.fullmatch(retry_after):
        return f" until {retry_after}"
    return f" {retry_after} s" if retry_after.isascii() and retry_after.isdigit() else ""


def _line(text: str) -> str:
    """One line: servers send stack traces and HTML."""
    return " ".join(text.split())[:_SHOWN]


def _sentence(text: str, tail: str = "") -> str:
    return f"{text}{tail}" if text.endswith((".", "!", "?")) and not tail else f"{text.rstrip('.')}{tail}."
