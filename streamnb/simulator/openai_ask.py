"""What a Chat Completions request asks for, and OpenAI's error envelope for what is wrong with it.

Knows the request's fields and checks. Must not know: the answer, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, Final

_TYPES: Final = {429: "requests", 500: "server_error", 503: "server_error", 529: "overloaded_error"}
_CODES: Final = {401: "invalid_api_key", 404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}
_MESSAGES: Final = {
    400: "The request is not valid.",
    401: "The API key is not valid.",
    403: "This project may not use this model.",
    404: "The model does not exist or you may not use it.",
    413: "The request is too large.",
    422: "The request cannot be processed.",
    429: "Too many requests. Try again in 7 s.",
    500: "The server had an error while processing the request.",
    503: "The engine is overloaded. Try again later.",
    529: "Overloaded.",
}
_MOST_CHOICES: Final = 16


class AskError(Exception):
    """A request that is refused: the status and OpenAI's JSON body."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, param, code)


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One request, checked.

    Attributes:
        model: name to answer under.
        prompt_tokens: rough size of the messages, words.
        stream: a stream is wanted.
        usage: `stream_options.include_usage`.
        n: number of answers.
        tokens: pieces of each answer: the pace's, or fewer by `max_tokens`.
        cut: True when `max_tokens` made it fewer (finish reason `length`).
        tool: name of the first tool offered.
    """

    model: str
    prompt_tokens: int
    stream: bool
    usage: bool
    n: int
    tokens: int
    cut: bool
    tool: str


def error_body(
    status: int, message: str | None = None, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """Return OpenAI's error envelope for a status."""
    return {
        "error": {
            "message": message or _MESSAGES.get(status, f"Error {status}."),
            "type": _TYPES.get(status, "invalid_request_error"),
            "param": param,
            "code": code or _CODES.get(status),
        }
    }


def check_key(authorization: str) -> None:
    """Accept any bearer key but one that starts with `bad`.

    Raises:
        AskError: 401, as OpenAI answers without a key or with a wrong one.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise AskError(401, "No API key was given: send the header 'Authorization: Bearer YOUR_KEY'.")
    if key.startswith("bad"):
        raise AskError(401, "Incorrect API key provided.")


def read_ask(body: bytes, tokens: int) -> Ask:
    """Read a request's body; `tokens` is the length of an answer that no `max_tokens` cuts.

    Raises:
        AskError: 400 or 404, as OpenAI answers.
    """
    value = _object(body)
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise AskError(400, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    model = value.get("model")
    if not isinstance(model, str) or not model:
        raise AskError(400, "You must provide a model parameter.", "model", "missing_required_parameter")
    if model == "missing-model":
        raise AskError(404, f"The model {model!r} does not exist.", "model")
    options = value.get("stream_options") or {}
    most = _number(value, "max_completion_tokens", _number(value, "max_tokens", tokens))
    return Ask(
        model=model,
        prompt_tokens=max(1, len(re.findall(r"\w+|[^\w\s]", json.dumps(messages)))),
        stream=value.get("stream") is True,
        usage=isinstance(options, dict) and options.get("include_usage") is True,
        n=min(_number(value, "n", 1), _MOST_CHOICES),
        tokens=min(most, tokens),
        cut=most < tokens,
        tool=_first_tool(value),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AskError(400, "The body of the request is not valid JSON.") from error
    if not isinstance(value, dict):
        raise AskError(400, "The body of the request is not a JSON object.")
    return value


def _number(value: dict[str, Any], name: str, default: int) -> int:
    number = value.get(name)
    if number is None:
        return default
    if type(number) is not int or number < 1:
        raise AskError(400, f"Invalid value for {name!r}: a whole number from 1 is wanted.", name, "invalid_value")
    return number


def _first_tool(value: dict[str, Any]) -> str:
    match value.get("tools"):
        case [{"function": {"name": str(name)}}, *_]:
            return name
        case _:
            return "river_level"
