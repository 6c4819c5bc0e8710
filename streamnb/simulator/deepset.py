"""deepset's platform, as the server answers: pipelines, search sessions, chat and search with and without a stream.

Knows the paths, checks and error forms of this API. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamnb.simulator import deepset_ask
from streamnb.simulator.deepset_answer import PING_S, Answer, Form, batch
from streamnb.simulator.deepset_ask import Ask, AskError, Json, error_body
from streamnb.simulator.deepset_sessions import Cursor, Workspace, Workspaces, pipeline_id
from streamnb.simulator.pace import deadlines
from streamnb.simulator.play import Delayed, Stream, echo, echoed, setup_of, wrong_reply
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Limits

BASE: Final = ""

PIPELINES: Final = {
    "missing": "404: there is no such pipeline",
    "timeout": "408: it takes too long",
    "undeployed": "409: it is not deployed",
    "strict": "422: it takes no query",
    "busy": "429: too many requests, with Retry-After",
    "rebalancing": "503: it is being moved",
    "standby": "591 at the first query in a workspace; after that it is awake",
    "old": "the events of the old page: no index, start, finish_reason or tools, and LF",
    "plain": "an answer without documents",
    "tools": "two tool calls before the answer",
    "batch": "the result in the batch form: a list of results",
}
"""Pipelines with a manner of their own; any other name is a deployed pipeline that answers from documents."""

_REFUSE: Final = {"missing": 404, "timeout": 408, "undeployed": 409, "strict": 422, "busy": 429, "rebalancing": 503}
_FORMS: Final = {
    "old": Form(old=True),
    "plain": Form(documents=False),
    "tools": Form(tools=True),
    "batch": Form(batch=True),
}
_STANDBY: Final = 591
_RETRY_AFTER: Final = {429: {"Retry-After": "7"}}
_STREAM_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_CURSORS: Final = ("before", "after")
_WORKSPACE: Final = "/api/v1/workspaces/{workspace}"
_PIPELINE: Final = f"{_WORKSPACE}/pipelines/{{pipeline}}"

_Endpoint = Callable[[Request], Awaitable[Response]]


class _ReplacedError(Exception):
    """The scenario puts another reply in the place of the right one."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def routes() -> list[Route]:
    """Return this API's routes, around one set of workspaces."""
    platform = _Platform()
    endpoints: dict[tuple[str, str], _Endpoint] = {
        ("GET", _PIPELINE): platform.pipeline,
        ("POST", f"{_PIPELINE}/chat-stream"): platform.stream(chat=True),
        ("POST", f"{_PIPELINE}/search-stream"): platform.stream(chat=False),
        ("POST", f"{_PIPELINE}/chat"): platform.whole(chat=True),
        ("POST", f"{_PIPELINE}/search"): platform.whole(chat=False),
        ("GET", f"{_WORKSPACE}/search_sessions"): platform.sessions,
        ("POST", f"{_WORKSPACE}/search_sessions"): platform.open_session,
    }
    return [Route(path, _answering(endpoint), methods=[method]) for (method, path), endpoint in endpoints.items()]


class _Platform:
    """The endpoints and the workspaces they share."""

    def __init__(self) -> None:
        self._workspaces = Workspaces()

    async def pipeline(self, request: Request) -> Response:
        """Describe a pipeline; under a scenario this is the call `start`."""
        _replace(setup_of(request), "start", dict)
        workspace, name = request.path_params["workspace"], request.path_params["pipeline"]
        if name == "missing":
            raise AskError(404)
        status = "UNDEPLOYED" if name == "undeployed" else "DEPLOYED"
        return JSONResponse(
            {
                "pipeline_id": pipeline_id(workspace, name),
                "name": name,
                "status": status,
                "service_level": "DEVELOPMENT",
                "created_at": "2025-02-01T09:00:00+00:00",
                "created_by": {"user_id": pipeline_id(workspace, "user"), "given_name": "Sim", "family_name": "Ulated"},
                "last_edited_at": None,
                "last_edited_by": None,
            }
        )

    async def sessions(self, request: Request) -> Response:
        """List a workspace's search sessions."""
        query = request.query_params
        before, after = (deepset_ask.read_id(query, key, "query") if key in query else None for key in _CURSORS)
        cursor = Cursor(before, after, deepset_ask.read_rows(query, "page_number"))
        page = self._workspace(request).page(deepset_ask.read_limit(query), cursor)
        _replace(setup_of(request), "stream", lambda: page)
        return JSONResponse(page)

    async def open_session(self, request: Request) -> Response:
        """Open a search session (body and keys inferred); under a scenario this is the call `continue`."""
        _replace(setup_of(request), "continue", dict)
        pipeline = deepset_ask.read_id(deepset_ask.read_object(await request.body()), "pipeline_id")
        return JSONResponse({"search_session_id": self._workspace(request).open(pipeline).id})

    def stream(self, *, chat: bool) -> _Endpoint:
        """Return the endpoint that streams an answer."""

        async def endpoint(request: Request) -> Response:
            setup = setup_of(request)
            ask = deepset_ask.read_ask(await request.body(), chat=chat, stream=True)

            def whole() -> Json:
                return self._answers(request, ask)[0].result()

            _replace(setup, "stream", whole)
            answer = self._answers(request, ask)[0]
            body = echo(request, answer.pace.ttft, answer.delta) if setup.scenario == "echo-auth" else None
            script = answer.script(setup.limits(Limits(ping_s=PING_S)), body)
            return Stream(script, setup, "text/event-stream", _STREAM_HEADERS)

        return endpoint

    def whole(self, *, chat: bool) -> _Endpoint:
        """Return the endpoint that answers in one piece: a result for each query."""

        async def endpoint(request: Request) -> Response:
            setup = setup_of(request)
            ask = deepset_ask.read_ask(await request.body(), chat=chat, stream=False)
            _replace(setup, "stream", lambda: batch(self._answers(request, ask)))
            answers = self._answers(request, ask)
            return Delayed(batch(answers), max(deadlines(setup.pace, setup.pace.tokens), default=setup.pace.ttft))

        return endpoint

    def _answers(self, request: Request, ask: Ask) -> list[Answer]:
        """Return an answer to each query: a turn of the session, with texts of its own."""
        setup = setup_of(request)
        form = _FORMS.get(request.path_params["pipeline"], Form())
        said = "".join(echoed(request)) if setup.scenario == "echo-auth" else ""
        seeds = itertools.count(setup.pace.seed + self._turn(request, ask))
        paces = (dataclasses.replace(setup.pace, seed=seed) for seed in seeds)
        asks = (dataclasses.replace(ask, queries=(query,)) for query in ask.queries)
        return [Answer(each, pace, setup.scenario, form, said) for each, pace in zip(asks, paces, strict=False)]

    def _workspace(self, request: Request) -> Workspace:
        return self._workspaces.find(request.path_params["workspace"])

    def _turn(self, request: Request, ask: Ask) -> int:
        """Let the pipeline and the session accept the query; return how many turns the session had before."""
        name, workspace = request.path_params["pipeline"], self._workspace(request)
        if name in _REFUSE:
            raise AskError(_REFUSE[name])
        if name == "standby" and not workspace.awake:
            workspace.awake = True
            raise AskError(_STANDBY)
        if ask.session is None:
            return 0
        session = workspace.find(ask.session)
        session.turns += 1
        return session.turns - 1


def _answering(endpoint: _Endpoint) -> _Endpoint:
    async def answer(request: Request) -> Response:
        try:
            deepset_ask.check_key(request.headers.get("authorization", ""))
            return await endpoint(request)
        except AskError as refused:
            return JSONResponse(refused.body, refused.status, _RETRY_AFTER.get(refused.status))
        except _ReplacedError as replaced:
            return replaced.response

    return answer


def _replace(setup: Setup, call: str, whole: Callable[[], dict[str, Any]]) -> None:
    wrong = wrong_reply(setup, call, error_body, whole, error_body(500))
    if wrong is not None:
        raise _ReplacedError(wrong)
