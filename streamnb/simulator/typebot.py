"""Typebot's viewer and builder, as the server answers: startChat, continueChat, streamMessage.

Knows the paths, checks and error forms of this API. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamnb.simulator import typebot_answer, typebot_flow
from streamnb.simulator.pace import Pace, text
from streamnb.simulator.play import Stream, echo, setup_of, wrong_reply
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Script
from streamnb.simulator.typebot_flow import Json, Session, Sessions

BASE: Final = ""
_MEDIA: Final = {"prefix_lines": None, "sse": "text/event-stream", "raw_text": "text/plain"}
_CODES: Final = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 429: "TOO_MANY_REQUESTS"}

_Endpoint = Callable[[Request], Awaitable[Response]]


class _RefusedError(Exception):
    """A call that is refused with a reply of its own."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def routes() -> list[Route]:
    """Return this API's routes, around one set of sessions."""
    viewer = _Viewer()
    endpoints: dict[str, _Endpoint] = {
        "/api/v1/typebots/{public_id}/startChat": viewer.start_chat,
        "/api/v1/typebots/{public_id}/preview/startChat": viewer.preview,
        "/api/v1/sessions/{session_id}/continueChat": viewer.continue_chat,
        "/api/v2/sessions/{session_id}/streamMessage": functools.partial(viewer.stream_message, "prefix_lines"),
        "/api/v1/sessions/{session_id}/streamMessage": functools.partial(viewer.stream_message, "raw_text"),
        "/api/integrations/openai/streamer": functools.partial(viewer.stream_message, "prefix_lines"),
    }
    return [Route(path, _answering(endpoint), methods=["POST"]) for path, endpoint in endpoints.items()]


class _Viewer:
    """The endpoints and the sessions they share."""

    def __init__(self) -> None:
        self._sessions = Sessions()

    async def start_chat(self, request: Request) -> Response:
        """Open a session of a public bot."""
        return await self._start(request)

    async def preview(self, request: Request) -> Response:
        """Open a session from the builder, which wants a token and lets the caller name the session."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or token.startswith("bad"):
            raise _RefusedError(_rpc(401, "You need to authenticate to perform this action"))
        return await self._start(request)

    async def continue_chat(self, request: Request) -> Response:
        """Answer what the session waits for; return what comes next."""
        setup, body = setup_of(request), await _object(request)
        _check(wrong_reply(setup, "continue", _rpc_body, dict, _late_body(500, "Something went wrong")))
        session = self._sessions.find(request.path_params["session_id"])
        if session is None:
            raise _RefusedError(_rpc(404, "Session not found."))
        answer, bubble = functools.partial(_text, session, setup), _bubble_maker(body)
        return JSONResponse(typebot_flow.go_on(session, _said(body), answer, bubble))

    async def stream_message(self, framing: str, request: Request) -> Response:
        """Stream the answer the session waits for; before that, errors are JSON with status 200 (since 3.5.0)."""
        setup, body = setup_of(request), await _object(request)
        session = self._sessions.find(request.path_params.get("session_id") or str(body.get("sessionId")))
        whole = {"messages": [_bubble_maker(body)(text(setup.pace))], "input": {"id": "in1", "type": "text input"}}
        wrong = wrong_reply(setup, "stream", _early_body, lambda: whole, _late_body(500, "Could not create stream"))
        _check(wrong)
        if session is None:
            raise _RefusedError(JSONResponse(_late_body(404, "Could not find session")))
        if not session.expects_stream:
            raise _RefusedError(JSONResponse(_late_body(400, "This block does not have a stream function")))
        if session.waiting == "legacy" and body.get("messages") != session.history():
            raise _RefusedError(JSONResponse(_late_body(400, "The action's messages are missing")))
        framing = setup.framing or framing
        return Stream(_script(session, setup, framing, request), setup, _MEDIA[framing])

    async def _start(self, request: Request) -> Response:
        setup, body = setup_of(request), await _object(request)
        _check(wrong_reply(setup, "start", _rpc_body, dict, _late_body(500, "Something went wrong")))
        bot = request.path_params["public_id"]
        if bot == "missing":
            raise _RefusedError(_rpc(404, "Typebot not found"))
        session = self._sessions.open(bot, streams=body.get("isStreamEnabled") is True)
        answer, bubble = functools.partial(_text, session, setup), _bubble_maker(body)
        reply = typebot_flow.start(session, _said(body), answer, bubble)
        shown = {"id": f"tb_{bot}", "version": "6.1", "theme": {}, "settings": {}}
        result = f"r{secrets.token_hex(8)}"
        return JSONResponse({"sessionId": session.id, "resultId": result, "typebot": shown, **reply})


def _answering(endpoint: _Endpoint) -> _Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except _RefusedError as refused:
            return refused.response

    return answer


def _check(wrong: Response | None) -> None:
    if wrong is not None:
        raise _RefusedError(wrong)


async def _object(request: Request) -> Json:
    """Return the body; an empty one is an empty object (streamMessage needs none)."""
    raw = await request.body()
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise _RefusedError(_rpc(400, "Malformed request. The request body is not JSON.")) from error
    if not isinstance(value, dict):
        raise _RefusedError(_rpc(400, "Input validation failed"))
    return value


def _said(body: Json) -> str | None:
    """Return the text of `message` in any of its forms; None if nothing was said."""
    match body.get("message"):
        case str(said) | {"type": "text", "text": str(said)}:
            return said
        case {"type": "audio", "url": str(said)} | {"type": "command", "command": str(said)}:
            return said
        case None:
            return None
        case _:
            raise _RefusedError(_rpc(400, "Input validation failed"))


def _pace(session: Session, setup: Setup) -> Pace:
    """Each stream of a session has a text of its own; the same stream run again has the same."""
    return dataclasses.replace(setup.pace, seed=setup.pace.seed + session.heard)


def _text(session: Session, setup: Setup) -> str:
    return text(_pace(session, setup))


def _script(session: Session, setup: Setup, framing: str, request: Request) -> Script:
    pace = _pace(session, setup)
    repeats = setup.scenario == "echo-auth"
    body = echo(request, pace.ttft, typebot_answer.encoder(framing)) if repeats else None
    match framing:
        case "sse":
            return typebot_answer.events(pace, body)
        case "raw_text":
            return typebot_answer.raw(pace, body)
        case _:
            tools = "tools" in {session.bot, setup.scenario}
            assistant = session.bot == "assistant"
            return typebot_answer.lines(pace, setup.scenario, tools=tools, assistant=assistant, body=body)


def _bubble_maker(body: Json) -> Callable[[str], Json]:
    markdown = body.get("textBubbleContentFormat") == "markdown"

    def bubble(said: str) -> Json:
        rich = [{"type": "p", "children": [{"text": line}]} for line in said.split("\n")]
        content: Json = {"type": "markdown", "markdown": said} if markdown else {"type": "richText", "richText": rich}
        return {"id": f"b{secrets.token_hex(4)}", "type": "text", "content": content}

    return bubble


def _rpc_body(status: int, message: str = "Something went wrong") -> dict[str, Any]:
    """Return the error body of startChat and continueChat since 3.15 (inferred keys)."""
    code = _CODES.get(status, "INTERNAL_SERVER_ERROR")
    return {"defined": False, "code": code, "status": status, "message": message}


def _rpc(status: int, message: str) -> Response:
    return JSONResponse(_rpc_body(status, message), status)


def _early_body(status: int) -> dict[str, Any]:
    """Return the error body of streamMessage up to 3.4, which came with the real status."""
    return {"message": f"Could not create stream ({status})"}


def _late_body(status: int, message: str) -> dict[str, Any]:
    """Return the error body of streamMessage since 3.5: the status stands only in it."""
    return {"message": message, "status": status, "details": "", "context": "While streaming message"}
