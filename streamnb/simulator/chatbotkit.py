"""ChatBotKit's conversations, channels and lists, as the server answers under /v1 and /api/v1.

Knows the paths, checks and error forms of this API. Must not know: sockets, clients, other APIs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamnb.simulator import chatbotkit_lists as lists
from streamnb.simulator.chatbotkit_answer import GENERIC_ERROR, Answer, duration, script, sent
from streamnb.simulator.chatbotkit_ask import (
    RefusedError,
    channel_of,
    dispatch_channel,
    error_body,
    function_of,
    history_of,
    key_of,
    media_of,
    messages_of,
    object_of,
    refuse,
    refused,
    text_of,
)
from streamnb.simulator.chatbotkit_dispatch import Dispatches
from streamnb.simulator.chatbotkit_functions import Asking, Function
from streamnb.simulator.chatbotkit_lines import ENCODERS, JSON, Encode, Json, LateStream
from streamnb.simulator.chatbotkit_talk import Channels, Conversation, Conversations, listed
from streamnb.simulator.chatbotkit_turns import Ask, at_once, begun, limited, told
from streamnb.simulator.play import Delayed, setup_of, wrong_reply
from streamnb.simulator.scenarios import Out, Script, perform

BASE: Final = ""
_PREFIXES: Final = ("/v1", "/api/v1")
_NO_QUESTIONS: Final = frozenset({"hang", "empty"})

_Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """Return this API's routes, under both prefixes, around one set of conversations and channels."""
    server = _Server()
    posts: dict[str, _Endpoint] = {
        "/conversation/create": server.create,
        "/conversation/complete": server.complete,
        "/conversation/dispatch": server.dispatch,
        "/conversation/{conversation}/complete": server.complete,
        "/conversation/{conversation}/dispatch": server.dispatch,
        "/conversation/{conversation}/send": server.send,
        "/conversation/{conversation}/receive": server.receive,
        "/channel/{channel}/publish": server.publish,
        "/channel/{channel}/subscribe": server.subscribe,
    }
    gets: dict[str, _Endpoint] = {
        "/conversation/list": server.list_conversations,
        "/conversation/{conversation}/message/list": server.list_messages,
    }
    return [
        Route(prefix + path, _answering(endpoint), methods=[method])
        for prefix in _PREFIXES
        for method, endpoints in (("POST", posts), ("GET", gets))
        for path, endpoint in endpoints.items()
    ]


class _Server:
    """The endpoints and the state they share."""

    def __init__(self) -> None:
        self._conversations = Conversations()
        self._channels = Channels()
        self._dispatches = Dispatches()

    async def create(self, request: Request) -> Response:
        """Begin a conversation."""
        setup, body = setup_of(request), await object_of(request)
        messages = messages_of(body, required=False)
        _check(wrong_reply(setup, "start", error_body, dict, GENERIC_ERROR))
        bot = str(body.get("botId") or "")
        refuse(bot, created=False)
        conversation = self._conversations.create(bot)
        for message in messages:
            conversation.say(message["type"], message["text"])
        return JSONResponse({"id": conversation.id})

    async def complete(self, request: Request) -> Response:
        """Answer: in a conversation, or to all the messages in the body."""
        body = await object_of(request)
        return self._answered(request, self._asked(request, body))

    async def receive(self, request: Request) -> Response:
        """Answer what was sent."""
        function = function_of(await object_of(request))
        return self._answered(request, Ask("receive", self._conversation(request), None, function))

    async def send(self, request: Request) -> Response:
        """Take a message of the user and answer nothing."""
        setup, body = setup_of(request), await object_of(request)
        text = str(text_of(body, required=True))
        function_of(body)
        media = media_of(request)
        _check(wrong_reply(setup, "continue", error_body, dict, GENERIC_ERROR))
        result = {"id": self._conversation(request).say("user", text), **sent(text)}
        if media == JSON:
            return JSONResponse(result)
        return LateStream(script((), ENCODERS[media], terminal=[("result", result)]), at_once(setup), media)

    async def dispatch(self, request: Request) -> Response:
        """Answer in the background; functions of the client are not called there."""
        setup, body = setup_of(request), await object_of(request)
        ask, channel = self._asked(request, body), dispatch_channel(body)
        _check(wrong_reply(setup, "start", error_body, dict, GENERIC_ERROR))
        answer = begun(request, ask)
        ask.conversation.say("bot", answer.text)

        def outs(encode: Encode) -> Iterator[Out]:
            unpinged = dataclasses.replace(told(request, answer, encode), ping=b"")
            return perform(unpinged, setup.pace, setup.scenario)

        self._dispatches.keep(key_of(request), channel, outs)
        return JSONResponse({"channelId": channel})

    async def subscribe(self, request: Request) -> Response:
        """Show a dispatched answer. Plain JSON never comes to an end here."""
        setup, history = setup_of(request), history_of(await object_of(request))
        channel, media = channel_of(request), media_of(request)
        _check(wrong_reply(setup, "stream", error_body, dict, GENERIC_ERROR))
        dispatched = self._dispatches.find(key_of(request), channel)
        if dispatched is None:
            raise refused(404)
        if media == JSON:
            return LateStream(Script(body=()), dataclasses.replace(setup, scenario="hang"), JSON)
        encode = ENCODERS[media]
        opening = (encode("nop", {}, timed=False),)
        shown = Script(body=dispatched.seen(encode, history), head=opening, limits=setup.limits(lists.LIMITS))
        return LateStream(shown, at_once(setup), media)

    async def publish(self, request: Request) -> Response:
        """Hand a message to the stream that waits for it.

        The platform takes messages for any channel and drops what nobody waits for; here that is a 404, so that a
        client learns of it.
        """
        body, channel = await object_of(request), channel_of(request)
        message = body.get("message")
        if not isinstance(message, dict):
            raise refused(400, '"message" must be an object')
        _check(wrong_reply(setup_of(request), "continue", error_body, dict, GENERIC_ERROR))
        if not self._channels.publish(key_of(request), channel, message):
            raise refused(404, "Nobody waits for a message on this channel")
        return JSONResponse({"id": channel})

    async def list_conversations(self, request: Request) -> Response:
        """List conversations, the newest first."""
        return _list(request, listed(setup_of(request).pace.seed), "desc")

    async def list_messages(self, request: Request) -> Response:
        """List the messages of a conversation, the oldest first."""
        name = request.path_params["conversation"]
        refuse(name)
        return _list(request, self._conversations.messages(name, setup_of(request).pace.seed), "asc")

    def _asked(self, request: Request, body: Json) -> Ask:
        function = function_of(body)
        if "conversation" in request.path_params:
            text = text_of(body, required=False)
            return Ask("complete", self._conversation(request), text, function)
        messages, bot = messages_of(body, required=True), str(body.get("botId") or "")
        refuse(bot)
        turns = sum(message["type"] == "bot" for message in messages)
        return Ask("stateless", Conversation("", bot, messages, turns), messages[-1]["text"], function)

    def _conversation(self, request: Request) -> Conversation:
        name = request.path_params["conversation"]
        refuse(name)
        conversation = self._conversations.find(name, setup_of(request).pace.seed)
        refuse(conversation.bot)
        return conversation

    def _answered(self, request: Request, ask: Ask) -> Response:
        setup, media = setup_of(request), media_of(request)
        wrong = wrong_reply(setup, "stream", error_body, lambda: begun(request, ask).whole(), GENERIC_ERROR)
        _check(wrong)
        answer = begun(request, ask)
        asks = media != JSON and setup.scenario not in _NO_QUESTIONS
        if ask.function is not None and asks:
            return self._asking(request, ask, ask.function, answer)
        ask.conversation.say("bot", answer.text)
        if media == JSON:
            return Delayed(answer.whole(), duration(setup.pace))
        return LateStream(told(request, answer, ENCODERS[media]), setup, media)

    def _asking(self, request: Request, ask: Ask, function: Function, answer: Answer) -> Response:
        setup, media = setup_of(request), media_of(request)

        def go_on(message: Json) -> Script:
            answer.hear(function, message)
            ask.conversation.say("bot", answer.text)
            return told(request, answer, ENCODERS[media])

        question = limited(setup, script((), ENCODERS[media], head=answer.ask(function)))
        return Asking(question, self._channels.opened(key_of(request), function.channel), go_on, setup, media)


def _answering(endpoint: _Endpoint) -> _Endpoint:
    async def answer(request: Request) -> Response:
        try:
            key_of(request)
            return await endpoint(request)
        except RefusedError as error:
            return error.response

    return answer


def _check(wrong: Response | None) -> None:
    if wrong is not None:
        raise RefusedError(wrong)


def _list(request: Request, rows: list[Json], order: str) -> Response:
    setup, media = setup_of(request), media_of(request)
    query = lists.read(request.query_params.multi_items(), order)
    _check(wrong_reply(setup, "stream", error_body, lambda: lists.page(rows, query), GENERIC_ERROR))
    if media == JSON:
        return Delayed(lists.page(rows, query), setup.pace.ttft)
    rows = lists.pages(rows, query)
    setup = dataclasses.replace(setup, pace=dataclasses.replace(setup.pace, tokens=len(rows)))
    return LateStream(limited(setup, lists.script(rows, media, setup.pace)), setup, media)
