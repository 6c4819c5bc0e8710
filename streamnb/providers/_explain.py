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
_CLOSE_S: Final = 1.0
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
_INCOMPLETE: Final = "the end marker came and says that the answer is incomplete. What arrived is kept; run it again."
_DETAILS: Final = {
    Outcome.TRUNCATED: (
        "the server, or something on the way, ended the stream before its end marker; the text is incomplete. "
        "Run it again."
    ),
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
    hint = _own(provider, call, error, head) or _hint(head.status, head.headers, _key(call))
    return f"{_sentence(line, request)} {hint}"


def in_stream(provider: Provider, call: Call, error: Event) -> str:
    """An error that came with HTTP 200."""
    message = _line(error.text) or "an error without a message"
    status = error.data.get("status") if isinstance(error.data, dict) else None
    if isinstance(status, int):
        said = f"{provider.name} answered {status} inside HTTP 200: {message}"
        return f"{_sentence(said)} {_own(provider, call, error, ReplyHead(status)) or _hint(status, {}, _key(call))}"
    code = f" ({error.name})" if error.name else ""
    where = "in the stream" if call.stream else f"to {call.name}"
    hint = _own(provider, call, error, ReplyHead(0)) or _KEPT
    return f"{_sentence(f'{provider.name} reported an error {where}: {message}', code)} {hint}"


def not_understood(provider: Provider, call: Call, head: ReplyHead, n_bytes: int) -> str:
    """A reply that is not what this API sends."""
    what = head.content_type or "no Content-Type"
    body = f"{n_bytes} bytes of {what}" if n_bytes else f"an empty body ({what})"
    wanted = "a stream" if call.stream else f"JSON to {call.name}"
    base_url = redact_url(provider.base_url)
    return f"{provider.name} answered {head.status} with {body} instead of {wanted}; check the base URL {base_url}."


def plain(provider: Provider, outcome: Outcome, ending: Ending, *, ended: bool = False) -> str:
    """Everything else: the detail the local side knows, or what the outcome means; then the vendor's own limit.

    Args:
        provider: who is spoken to.
        outcome: how it ended.
        ending: how the bytes ended.
        ended: the dialect's end marker came, and said itself that the answer is not whole.
    """
    if ended and outcome is Outcome.TRUNCATED:
        return f"{provider.name}: {_INCOMPLETE}"
    said = f"{provider.name}: {_line(ending.detail) or _DETAILS.get(outcome, outcome.value)}"
    hint = provider.hints.get(outcome.value, "").replace("{wait}", "").replace("{key}", str(provider.key_env))
    more = (_limit(provider, outcome, ending), hint)
    return " ".join(part for part in (said, *more) if part)


def _limit(provider: Provider, outcome: Outcome, ending: Ending) -> str | None:
    """What the vendor's own limits have to do with an end that came by the clock (WIRE.md 0.8)."""
    name, idle_s, total_s = provider.name, provider.limits.get("idle_s"), provider.limits.get("total_s")
    match outcome:
        case Outcome.TRUNCATED if total_s is not None and ending.lasted_s >= total_s - _CLOSE_S:
            return (
                f"It lasted {ending.lasted_s:.0f} s, and {name} closes every stream after {total_s:g} s (max_duration)."
            )
        case Outcome.TIMEOUT_TOTAL if total_s is not None:
            return f"The limit of {name} itself is {total_s:g} s a stream."
        case Outcome.TIMEOUT_IDLE | Outcome.TIMEOUT_FIRST if idle_s is not None:
            return f"The limit of {name} itself is {idle_s:g} s without activity."
        case _:
            return None


def _own(provider: Provider, call: Call, error: Event | None, head: ReplyHead) -> str | None:
    """What the provider says about this code, or else about this status."""
    code = error.name if error is not None else None
    hint = provider.hints.get(code or "") or provider.hints.get(str(head.status))
    if hint is None:
        return None
    key = _key(call) or provider.key_env or "the environment"
    return hint.replace("{wait}", _wait(head.headers.get("retry-after", ""))).replace("{key}", key)


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
    carried = (value for value in (*call.headers.values(), *call.query.values()) if isinstance(value, Secret))
    named = [secret.env for secret in carried if not secret.scope]  # what a reply brought is in no variable
    return named[0] if named else None


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
