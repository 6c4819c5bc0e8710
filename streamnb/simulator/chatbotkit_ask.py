"""What a ChatBotKit request says: its key, its form, its fields; and `{message, code}` for what is wrong with it.

Knows the checks. Must not know: answers, lists, state, sockets.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from streamnb.simulator.chatbotkit_functions import Function, called
from streamnb.simulator.chatbotkit_lines import Json, wanted

_CODES: Final = {
    400: "BAD_REQUEST",
    401: "NOT_AUTHENTICATED",
    402: "NO_SUBSCRIPTION",
    403: "NOT_AUTHORIZED",
    404: "NOT_FOUND",
    408: "TIMEOUT",
    409: "CONFLICT",
    422: "UNPROCESSABLE_ENTITY",
    429: "TOO_MANY_REQUESTS",
    503: "SERVICE_UNAVAILABLE",
}
_REFUSALS: Final = {
    "missing": (404, None),
    "no-plan": (402, None),
    "limit": (429, "LIMITS_REACHED"),
    "busy": (409, None),
}
_KINDS: Final = frozenset({"user", "bot", "reasoning", "context", "instruction", "backstory", "activity", "checkpoint"})
_SHORTEST_CHANNEL: Final = 16
_SHORTEST_DISPATCH: Final = 24
_LONGEST_HISTORY: Final = 10_000


class RefusedError(Exception):
    """A call that is refused with a reply of its own."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refused(status: int, message: str | None = None, code: str | None = None) -> RefusedError:
    """Return the refusal with `error_body(...)`."""
    return RefusedError(JSONResponse(error_body(status, message, code), status))


def error_body(status: int, message: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the error body for a status; the usual message is the code in words."""
    code = code or _CODES.get(status, "INTERNAL_SERVER_ERROR")
    return {"message": message or code.replace("_", " ").capitalize(), "code": code}


def key_of(request: Request) -> str:
    """Return the second word of `Authorization`: the first, the scheme, is not looked at.

    Raises:
        RefusedError: there is no key, or it starts with `bad`.
    """
    words = request.headers.get("authorization", "").split(" ")
    key = words[1].strip() if len(words) > 1 else ""
    if not key or key.startswith("bad"):
        raise refused(401)
    return key


def media_of(request: Request) -> str:
    """Return the media type of the reply.

    Raises:
        RefusedError: `Accept` names one that this server does not have.
    """
    media = wanted(request.headers.get("accept", ""))
    if media is None:
        raise refused(400, "Unsupported accept header")
    return media


async def object_of(request: Request) -> Json:
    """Return the body; an empty one is an empty object.

    Raises:
        RefusedError: it is not a JSON object.
    """
    raw = await request.body()
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise refused(400, "The body is not JSON") from error
    if not isinstance(value, dict):
        raise refused(400, "The body is not a JSON object")
    return value


def text_of(body: Json, *, required: bool) -> str | None:
    """Return what the user says.

    Raises:
        RefusedError: it is not a text, blank, or missing where it must not be.
    """
    match body.get("text"):
        case str(text) if text.strip():
            return text.strip()
        case None if not required and "text" not in body:
            return None
        case _:
            raise refused(400, '"text" is not allowed to be empty')


def messages_of(body: Json, *, required: bool) -> list[Json]:
    """Return the messages of a request.

    Raises:
        RefusedError: they are not a list of messages, or there is none where there must be one.
    """
    messages = body.get("messages") or []
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise refused(400, '"messages" must be an array of messages with a type and a text')
    if required and not messages:
        raise refused(400, '"messages" is required')
    return messages


def function_of(body: Json) -> Function | None:
    """Return the function that the client will have to call, if any.

    Raises:
        RefusedError: a function is not declared as it must be.
    """
    try:
        return called(body.get("functions"))
    except ValueError as error:
        raise refused(400, str(error)) from error


def channel_of(request: Request) -> str:
    """Return the channel in the path.

    Raises:
        RefusedError: its name is too short.
    """
    channel = str(request.path_params["channel"])
    if len(channel) < _SHORTEST_CHANNEL:
        raise refused(400, "channelId is too short")
    return channel


def dispatch_channel(body: Json) -> str:
    """Return the channel on which a dispatched answer is to be found.

    Raises:
        RefusedError: the one asked for is too short.
    """
    channel = body.get("channelId", secrets.token_hex(_SHORTEST_DISPATCH // 2))
    if not isinstance(channel, str) or len(channel) < _SHORTEST_DISPATCH:
        raise refused(400, '"channelId" length must be at least 24 characters long')
    return channel


def history_of(body: Json) -> int:
    """Return how many events of the past a subscriber wants.

    Raises:
        RefusedError: it is not a whole number from 0 to 10000.
    """
    length = body.get("historyLength", 0)
    if type(length) is not int or not 0 <= length <= _LONGEST_HISTORY:
        raise refused(400, '"historyLength" must be an integer from 0 to 10000')
    return length


def refuse(*names: str, created: bool = True) -> None:
    """Refuse what the ids of a conversation and its bot refuse; a busy bot can have a conversation created.

    Raises:
        RefusedError: one of them does.
    """
    for name in names:
        if name in _REFUSALS and (created or name != "busy"):
            status, code = _REFUSALS[name]
            raise refused(status, code=code)


def _is_message(message: Any) -> bool:
    match message:
        case {"type": str(kind), "text": str()}:
            return kind in _KINDS
        case _:
            return False
