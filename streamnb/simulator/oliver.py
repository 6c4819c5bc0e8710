"""Oliver's chats, as the server answers: create a chat, stream a message of it.

Knows the paths, checks, limits and error envelope of this API. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from streamnb.simulator.oliver_answer import SPECIAL, Answer, Json, now
from streamnb.simulator.play import Stream, echo, setup_of, wrong_reply
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Script

BASE: Final = ""
GONE: Final[dict[str, tuple[str, str]]] = {
    "missing": ("not_found", "Chat not found"),
    "expired": ("chat_expired", "This chat has expired"),
}
"""Chats that answer 404, with their code and message; `missing` is what any id that was never created gets."""

_PREFIXES: Final = ("/v1", "/api/v1")  # the vendor's pages use both
_MOST_CHATS: Final = 1000
_MOST_STREAMS: Final = 5
_RETRY_AFTER_S: Final = "1"
_CODES: Final = {  # only the envelope is documented, not its codes: these are examples
    400: ("invalid_request", "The request is not valid"),
    401: ("unauthorized", "The API key is missing or not valid"),
    403: ("forbidden", "You may not do this"),
    404: GONE["missing"],
    422: ("validation_error", "A field is not valid"),
    429: ("rate_limit_exceeded", "Too many requests"),
}

_Endpoint = Callable[[Request], Awaitable[Response]]


@dataclasses.dataclass(slots=True)
class Chat:
    """One chat: its id and how many messages it answered."""

    id: str
    turns: int = 0


class _RefusedError(Exception):
    """A call that is refused with a reply of its own."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class _Slots:
    """Streams open at the moment, per key."""

    def __init__(self) -> None:
        self._open: collections.Counter[str] = collections.Counter()

    def full(self, key: str, most: int) -> bool:
        return self._open[key] >= most

    @contextlib.contextmanager
    def taken(self, key: str) -> Iterator[None]:
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            self._open += collections.Counter()  # forgets the keys whose count is 0


class _Slotted(Stream):
    """A stream that holds a slot from its first byte until its end, or until the client is gone."""

    def __init__(self, script: Script, setup: Setup, slot: contextlib.AbstractContextManager[None]) -> None:
        super().__init__(script, setup, "text/event-stream", {"cache-control": "no-cache"})
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slot:
            await super().__call__(scope, receive, send)


def routes() -> list[Route]:
    """Return this API's routes, under both prefixes, around one set of chats."""
    server = _Server()
    endpoints: dict[str, _Endpoint] = {
        "/chats": server.create_chat,
        "/chats/{chat_id}/messages/stream": server.stream_message,
    }
    return [
        Route(prefix + path, _answering(endpoint), methods=["POST"])
        for prefix in _PREFIXES
        for path, endpoint in endpoints.items()
    ]


class _Server:
    """The endpoints, the chats and the slots they share."""

    def __init__(self) -> None:
        self._chats: collections.OrderedDict[str, Chat] = collections.OrderedDict()
        self._slots = _Slots()

    async def create_chat(self, request: Request) -> Response:
        """Open a chat."""
        _key(request)
        setup, body = setup_of(request), await _object(request)
        _check(wrong_reply(setup, "start", error_body, dict, error_body(500)))
        _want(body, "name", str)
        _want(body, "is_private", bool)
        if not all(isinstance(container, str) for container in _want(body, "rag_containers", list) or ()):
            raise _refused(422, details={"field": "rag_containers"})
        chat, created = self._open(), now()
        data = {
            "id": chat.id,
            "name": body.get("name"),
            "user_id": "user_simulated",
            "is_private": body.get("is_private") or False,
            "rag_containers": body.get("rag_containers") or [],
            "last_message_at": None,
            "created_at": created,
            "updated_at": created,
        }
        return JSONResponse(_success(data), 201)  # the pages name no status of success

    async def stream_message(self, request: Request) -> Response:
        """Stream the answer to one message."""
        key = _key(request)
        setup, body = setup_of(request), await _object(request)
        if not _want(body, "content", str):
            raise _refused(422, message="The content is empty", details={"field": "content"})
        _want(body, "attachments", list)
        name = request.path_params["chat_id"]
        _check(wrong_reply(setup, "stream", error_body, lambda: self._whole(name, setup), error_body(500)))
        chat = self._find(name)
        # Between this look at the slots and the taking of one in _Slotted nothing is awaited.
        if self._slots.full(key, setup.max_streams or _MOST_STREAMS):
            raise _refused(429, message="Too many streams at once for this key", retry_after=_RETRY_AFTER_S)
        answer = _answer(chat, setup)
        chat.turns += 1
        repeats = setup.scenario == "echo-auth"
        script = answer.script(echo(request, setup.pace.ttft, answer.chunk) if repeats else None)
        script = dataclasses.replace(script, limits=setup.limits(script.limits))
        return _Slotted(script, setup, self._slots.taken(key))

    def _whole(self, name: str, setup: Setup) -> Json:
        return _success(_answer(self._find(name), setup).whole())

    def _open(self) -> Chat:
        chat = Chat(f"chat_{secrets.token_hex(8)}")
        self._chats[chat.id] = chat
        while len(self._chats) > _MOST_CHATS:
            self._chats.popitem(last=False)
        return chat

    def _find(self, name: str) -> Chat:
        if name in SPECIAL:
            return Chat(name)  # always a new one: what a test sees must not hang on the tests before it
        if name in self._chats:
            return self._chats[name]
        code, message = GONE.get(name, GONE["missing"])
        raise _refused(404, code, message)


def error_body(
    status: int, code: str | None = None, message: str | None = None, details: Json | None = None
) -> dict[str, Any]:
    """Return the error envelope for a status."""
    usual_code, usual_message = _CODES.get(status, ("internal_error", f"Something went wrong ({status})"))
    error: Json = {"code": code or usual_code, "message": message or usual_message}
    return {"success": False, "error": error if details is None else {**error, "details": details}}


def _refused(
    status: int,
    code: str | None = None,
    message: str | None = None,
    *,
    details: Json | None = None,
    retry_after: str | None = None,
) -> _RefusedError:
    headers = None if retry_after is None else {"Retry-After": retry_after}
    return _RefusedError(JSONResponse(error_body(status, code, message, details), status, headers))


def _answering(endpoint: _Endpoint) -> _Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except _RefusedError as refused:
            return refused.response

    return answer


def _answer(chat: Chat, setup: Setup) -> Answer:
    """Return the next answer of a chat: each turn has a text of its own."""
    return Answer(dataclasses.replace(setup.pace, seed=setup.pace.seed + chat.turns), chat.id, chat.turns)


def _success(data: Json) -> Json:
    return {"success": True, "data": data}


def _check(wrong: Response | None) -> None:
    if wrong is not None:
        raise _RefusedError(wrong)


def _key(request: Request) -> str:
    """Return the bearer key: any but one that starts with `bad`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or key.startswith("bad"):
        raise _refused(401)
    return key


async def _object(request: Request) -> Json:
    """Return the body; an empty one is an empty object (a chat can be created without any field)."""
    raw = await request.body()
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise _refused(400, message="The body is not JSON") from error
    if not isinstance(value, dict):
        raise _refused(400, message="The body is not a JSON object")
    return value


def _want(body: Json, name: str, kind: type) -> Any:
    """Return an optional field after a look at its type."""
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise _refused(422, message=f"{name} has the wrong type", details={"field": name})
    return value
