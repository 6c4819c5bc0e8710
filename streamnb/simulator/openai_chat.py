"""OpenAI Chat Completions, as the server answers (POST /v1/chat/completions, GET /v1/models).

Knows the paths, the checks and the headers of this API. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamnb.simulator.openai_answer import Answer
from streamnb.simulator.openai_ask import Ask, AskError, check_key, error_body, read_ask
from streamnb.simulator.pace import deadlines
from streamnb.simulator.play import Delayed, Stream, echo, echoed, setup_of, wrong_reply
from streamnb.simulator.prefix import Setup

BASE: Final = "/v1"
_MODELS: Final = ("simulated-1", "simulated-1-mini")


def routes() -> list[Route]:
    """Return this API's routes."""
    return [
        Route("/v1/chat/completions", _completions, methods=["POST"]),
        Route("/v1/models", _models, methods=["GET"]),
    ]


async def _models(request: Request) -> Response:
    models = [{"id": name, "object": "model", "created": 1, "owned_by": "streamnb"} for name in _MODELS]
    return JSONResponse({"object": "list", "data": models}, headers=_headers(setup_of(request)))


async def _completions(request: Request) -> Response:
    setup = setup_of(request)
    try:
        check_key(request.headers.get("authorization", ""))
        ask = read_ask(await request.body(), setup.pace.tokens)
    except AskError as error:
        response: Response = JSONResponse(error.body, error.status)
    else:
        response = await _reply(request, setup, ask)
    response.headers.update(_headers(setup))
    return response


async def _reply(request: Request, setup: Setup, ask: Ask) -> Response:
    setup = dataclasses.replace(setup, pace=dataclasses.replace(setup.pace, tokens=ask.tokens))
    answer = Answer(ask, setup)
    repeats = setup.scenario == "echo-auth"
    wrong = wrong_reply(setup, "stream", error_body, answer.whole, error_body(500))
    if wrong is not None:
        return wrong
    if not ask.stream:
        whole = answer.whole("".join(echoed(request)) if repeats else None)
        return Delayed(whole, max(deadlines(setup.pace, ask.tokens), default=setup.pace.ttft))
    body = echo(request, setup.pace.ttft, lambda text: answer.chunk({"content": text})) if repeats else None
    return Stream(answer.script(body), setup, "text/event-stream", {"cache-control": "no-cache"})


def _headers(setup: Setup) -> dict[str, str]:
    milliseconds = round(setup.pace.ttft * 1000)
    return {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-processing-ms": str(milliseconds)}
