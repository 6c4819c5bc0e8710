"""What a request to Voiceflow asks for, and every refusal: key, project, version, body.

Knows the requests of each generation. Must not know: answers, streams, sockets.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final, NamedTuple, NoReturn

from starlette.requests import Request
from starlette.responses import JSONResponse

from streamnb.simulator.voiceflow_flow import Conversation, Conversations
from streamnb.simulator.voiceflow_traces import Json

_TAG: Final = re.compile(r"production|development|[0-9a-fA-F]{24}")
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_LONGEST_USER_ID: Final = 256
_KINDS: Final = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


class RefusedError(Exception):
    """A call that is refused with an error of this API."""

    def __init__(self, status: int, message: str, *issues: Json) -> None:
        super().__init__(status)
        body = fault(status, message)
        self.response = JSONResponse({**body, "issues": issues} if issues else body, status)


class Asked(NamedTuple):
    """What one request asks for.

    Attributes:
        conversation: the conversation that it goes on with.
        action: what the user did.
        streamed: the model's answer is wanted in pieces.
    """

    conversation: Conversation
    action: Json
    streamed: bool


def fault(status: int, message: str | None = None) -> dict[str, Any]:
    """Return the error body for a status."""
    return {"code": status, "message": message or _PHRASES.get(status, "Unknown error")}


def read_v2beta1(request: Request, body: Json, conversations: Conversations) -> Asked:
    """Read a turn of v2beta1: user and session stand in the body, both are wanted."""
    tag = request.path_params["tag"]
    project = read_project(request, tag)
    if not _TAG.fullmatch(tag):
        raise RefusedError(400, "Invalid project version tag")
    session = body.get("session", {})
    if not isinstance(session, dict):
        _invalid("object", session, "session")
    user, name = _string(session, "session", "userID"), _string(session, "session", "sessionID")
    action, state = _action(body), body.get("state")
    conversation = conversations.get(json.dumps([project, user, name]), project, user)
    _set(conversation, state if isinstance(state, dict) else {})
    return Asked(conversation, action, streamed=True)


def read_v2(request: Request, body: Json, conversations: Conversations) -> Asked:
    """Read a turn of v2: the user stands in the path, pieces are a matter of the query."""
    project = read_project(request, request.query_params.get("environment", "development"))
    user, action = request.path_params["user_id"], _action(body)
    conversation = conversations.get(json.dumps([project, user, body.get("sessionID")]), project, user)
    _set(conversation, body)
    return Asked(conversation, action, streamed=request.query_params.get("completion_events") == "true")


def read_v4(request: Request, body: Json, conversations: Conversations) -> Asked:
    """Read a turn of v4: the session key is all there is, pieces are a matter of `config`."""
    conversation = conversations.find(read_key(request))
    if conversation is None:
        raise RefusedError(401, "Unauthorized: this is no session key (an API key is not accepted here)")
    if conversation.replaced:
        raise RefusedError(401, "Unauthorized: a newer session of this user has ended this one")
    action, config = _action(body), body.get("config")
    _set(conversation, body)
    return Asked(conversation, action, streamed=isinstance(config, dict) and config.get("completionEvents") is True)


def read_user(body: Json) -> str:
    """Return whose session of v4 is to begin."""
    user = _string(body, "userID")
    if not 0 < len(user) <= _LONGEST_USER_ID:
        raise RefusedError(400, f"userID must have 1 to {_LONGEST_USER_ID} characters")
    return user


def read_key(request: Request) -> str:
    """Return the key, which is the header's whole value."""
    key = request.headers.get("authorization", "")
    if key.lower().startswith("bearer "):
        raise RefusedError(401, "Unauthorized: send the key as it is, without 'Bearer ' before it")
    if not key or key.startswith("bad"):
        raise RefusedError(401, "Unauthorized: the API key is missing or invalid")
    return key


def read_project(request: Request, version: str | None) -> str:
    """Return the project's id, once project and version are found good."""
    project: str = request.path_params["project_id"]
    if project == "missing":
        raise RefusedError(401, "Unauthorized: the API key is not for this project")
    if project == "unpublished" and version == "production":
        raise RefusedError(400, "Cannot resolve project version")
    return project


def read_object(raw: bytes) -> Json:
    """Return a body."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "The request body is not JSON") from error
    if not isinstance(value, dict):
        _invalid("object", value)
    return value


def _action(body: Json) -> Json:
    action = body.get("action")
    if not isinstance(action, dict):
        _invalid("object", action, "action")
    if _string(action, "action", "type") == "text":
        _string(action, "action", "payload")
    return action


def _string(within: Json, *path: str) -> str:
    value = within.get(path[-1])
    if not isinstance(value, str):
        _invalid("string", value, *path)
    return value


def _invalid(expected: str, value: object, *path: str) -> NoReturn:
    """Refuse as the server's schema check does: a list of issues, each with the path of what is wrong."""
    message = "Required" if value is None else f"Expected {expected}, received {_KINDS[type(value)]}"
    issue = {"code": "invalid_type", "expected": expected, "path": path, "message": message}
    raise RefusedError(400, f"Validation error: {message} at {'.'.join(path) or 'the body'}", issue)


def _set(conversation: Conversation, source: Json) -> None:
    variables = source.get("variables")
    if isinstance(variables, dict):
        conversation.variables.update(variables)
