"""Ollama's API as a local server answers (POST /api/chat, GET /api/tags, GET /api/version).

Knows the paths, the checks and the headers of this API. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from streamnb.simulator.ollama_answer import SPECIAL, Answer, dated
from streamnb.simulator.ollama_ask import Ask, AskError, read_ask
from streamnb.simulator.pace import deadlines
from streamnb.simulator.play import Delayed, Stream, echo, echoed, setup_of, wrong_reply
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Out, Script

BASE: Final = ""
VERSION: Final = "0.0.0"
"""What GET /api/version says: no release of Ollama has this number."""

_NDJSON: Final = "application/x-ndjson"
_MESSAGES: Final = {
    400: "invalid request",
    401: "unauthorized",
    403: "this model is not available",
    404: "model 'simulated' not found",
    429: "too many requests",
    503: "server busy, please try again.  maximum pending requests exceeded",
}
_AT_ONCE: Final = frozenset({"hang", "cut"})


def routes() -> list[Route]:
    """Return this API's routes."""
    return [
        Route("/api/chat", _chat, methods=["POST"]),
        Route("/api/tags", _tags, methods=["GET"]),
        Route("/api/version", _version, methods=["GET"]),
    ]


async def _version(_: Request) -> Response:
    return JSONResponse({"version": VERSION})


async def _tags(_: Request) -> Response:
    """List the models that are there: all that behave in a way of their own, but the one that is missing."""
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "simulated",
        "families": ["simulated"],
        "parameter_size": "1B",
        "quantization_level": "Q4_0",
    }
    models = [
        {
            "name": f"{name}:latest",
            "model": f"{name}:latest",
            "modified_at": "2026-01-01T00:00:00Z",
            "size": 1_000_000_000,
            "digest": f"{number:064x}",
            "details": details,
        }
        for number, name in enumerate(("simulated", *(name for name in SPECIAL if name != "missing")), start=1)
    ]
    return JSONResponse({"models": models})


async def _chat(request: Request) -> Response:
    setup = setup_of(request)
    try:
        ask = read_ask(await request.body(), setup.pace.tokens)
    except AskError as error:
        return JSONResponse({"error": str(error)}, error.status)
    setup = dataclasses.replace(setup, pace=dataclasses.replace(setup.pace, tokens=ask.tokens))
    return _reply(request, setup, ask)


def _reply(request: Request, setup: Setup, ask: Ask) -> Response:
    answer = Answer(ask, setup)
    wrong = wrong_reply(setup, "stream", error_body, answer.whole, error_body(500))
    if wrong is not None:
        return wrong
    if ask.loads:
        return Delayed(answer.loaded(), setup.pace.ttft)
    repeats = setup.scenario == "echo-auth"
    if not ask.stream:
        whole = answer.whole("".join(echoed(request)) if repeats else None)
        return Delayed(whole, max(deadlines(setup.pace, ask.tokens), default=setup.pace.ttft))
    body = echo(request, setup.pace.ttft, answer.piece) if repeats else None
    return LateStream(answer.script(body), setup)


def error_body(status: int) -> dict[str, Any]:
    """Return the body of an error reply: one field, as in an error line of a stream."""
    return {"error": _MESSAGES.get(status, "an error was encountered while running the model")}


class LateStream(Stream):
    """A stream as this server sends it: the headers leave with the first object, which has the time of its sending.

    In the scenarios `hang` (which is headers and then nothing) and `cut` (which writes past the ASGI server) the
    headers leave at once.
    """

    def __init__(self, script: Script, setup: Setup) -> None:
        super().__init__(script, setup, _NDJSON)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play, with the headers held back."""
        held: list[Message] = []

        async def late(message: Message) -> None:
            if message["type"] == "http.response.start" and self._setup.scenario not in _AT_ONCE:
                held.append(message)
                return
            while held:
                await send(held.pop())
            await send(message)

        await super().__call__(scope, receive, late)

    def _stamped(self, out: Out) -> bytes:
        return dated(super()._stamped(out), time.time_ns())
