"""Voiceflow's general runtime, as the server answers: interact streams of v2beta1, v2 and v4, and v4's sessions.

Knows the paths, the headers and which call a scenario strikes. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamnb.simulator import voiceflow_ask as ask
from streamnb.simulator.pace import text as text_of
from streamnb.simulator.play import Stream, echo, setup_of, wrong_reply
from streamnb.simulator.prefix import Setup
from streamnb.simulator.voiceflow_answer import DIALECTS, Answer
from streamnb.simulator.voiceflow_ask import Asked, RefusedError, fault
from streamnb.simulator.voiceflow_flow import Conversations, take
from streamnb.simulator.voiceflow_traces import Json, text

BASE: Final = ""
_HEADERS: Final = {
    "content-type": "text/event-stream",
    "cache-control": "private, no-cache, no-store, no-transform, must-revalidate, max-age=0",
    "x-accel-buffering": "no",
}
_READERS: Final = {"v2beta1": ask.read_v2beta1, "v2": ask.read_v2, "v4": ask.read_v4}

_Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """Return this API's routes; each generation has conversations of its own."""
    known = {generation: Conversations() for generation in DIALECTS}
    interact = {generation: functools.partial(_interact, known[generation], generation) for generation in known}
    session = functools.partial(_session, known["v4"])
    endpoints: dict[str, _Endpoint] = {
        "/v2beta1/interact/{project_id}/{tag}/stream": interact["v2beta1"],
        "/v2/project/{project_id}/user/{user_id}/interact/stream": interact["v2"],
        "/v4/project/{project_id}/session": session,
        "/v4/project/{project_id}/environment/{environment}/session": session,
        "/v4/interact/stream": interact["v4"],
    }
    return [Route(path, _answering(endpoint), methods=["POST"]) for path, endpoint in endpoints.items()]


def _answering(endpoint: _Endpoint) -> _Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RefusedError as refused:
            return refused.response

    return answer


async def _session(conversations: Conversations, request: Request) -> Response:
    """Begin a session of v4; the user's session before it is over."""
    ask.read_key(request)
    body = ask.read_object(await request.body())
    project = ask.read_project(request, request.path_params.get("environment"))
    user = ask.read_user(body)
    wrong = wrong_reply(setup_of(request), "start", fault, dict, fault(500))
    return wrong or JSONResponse({"sessionKey": conversations.open(project, user)})


async def _interact(conversations: Conversations, generation: str, request: Request) -> Response:
    """Answer one turn."""
    ask.read_key(request)
    asked = _READERS[generation](request, ask.read_object(await request.body()), conversations)
    call = _call(generation, asked)
    setup = _setup(setup_of(request), call, asked)
    wrong = wrong_reply(setup, call, fault, lambda: _reply(asked, setup), fault(500))
    if wrong is not None:
        return wrong
    dialect = DIALECTS[generation]
    answer = Answer(dialect, setup.pace, time.time_ns() // 1_000_000, streamed=asked.streamed)
    turn = take(asked.conversation, asked.action, functools.partial(text_of, setup.pace))
    body = echo(request, setup.pace.ttft, answer.piece) if setup.scenario == "echo-auth" else None
    script = answer.script(turn, asked.conversation.state(), setup.limits(dialect.limits), body)
    return Stream(script, dataclasses.replace(setup, pace=answer.counted(turn)), None, _HEADERS)


def _call(generation: str, asked: Asked) -> str:
    """Return the name by which `at` chooses a call: session, launch and turn are start, continue and stream.

    Where there is no session to begin, the launch is the start.
    """
    if asked.action["type"] != "launch":
        return "stream"
    return "continue" if generation == "v4" else "start"


def _setup(setup: Setup, call: str, asked: Asked) -> Setup:
    """Return what holds for one call: each turn has a text of its own, a scenario strikes the calls `at` names."""
    pace = dataclasses.replace(setup.pace, seed=setup.pace.seed + asked.conversation.turns)
    if setup.at == call:
        return dataclasses.replace(setup, pace=pace)
    stall_at = -1 if setup.scenario == "stall" else pace.stall_at
    return dataclasses.replace(setup, scenario="ok", pace=dataclasses.replace(pace, stall_at=stall_at))


def _reply(asked: Asked, setup: Setup) -> Json:
    """Return the reply of the interact endpoint that does not stream, with all it knows (`verbose`)."""
    return {"request": asked.action, "state": asked.conversation.state(), "trace": [text(text_of(setup.pace))]}
