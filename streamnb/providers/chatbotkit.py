"""ChatBotKit: create, complete, send and receive, lists; answers to functions while the stream is open (WIRE.md 4).

Knows the requests and the three framings. Must not know: sockets, clocks, keys' values.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from streamnb.errors import ProtocolError, UsageError, did_you_mean
from streamnb.events import Event, Outcome, Prompt, Tool
from streamnb.providers import _chatbotkit_events
from streamnb.providers._base import Call, Ending, Option, Provider, Reply, ReplyHead, merge
from streamnb.providers._chatbotkit_events import COMPLETE, CREATE, LIST, PUBLISH, RECEIVE, SEND
from streamnb.providers._seen import Seen
from streamnb.redaction import Secret
from streamnb.wire import Frame, Framer, JSONBodyFramer, JSONLFramer, SniffFramer, sse_or_json

ACCEPTS: Final[Mapping[str, str]] = MappingProxyType(
    {"jsonl": "application/jsonl", "sse": "text/event-stream", "json": "application/json"}
)
"""The option `accept` -> the header that decides how the reply is framed."""

_REASONS: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "activity": Outcome.TOOL_CALLS,  # [I] it stopped at a function that nobody answers
        "iteration": Outcome.LENGTH,  # [I] it stopped at `limits.iterations`
        "abort": Outcome.TRUNCATED,  # the platform says itself that the answer is not whole, as Oliver's complete:false
    }
)
"""Reasons of a result that FINISH does not know."""

_MIN_CHANNEL: Final = 16
"""Characters of a channel's name, at least ([C] chatbotkit/platform pages/api/v1/channel/[channelId]/publish.js)."""

_SCHEMA_FIELDS: Final = ("type", "description", "properties", "required", "additionalProperties")
_REFUSED: Final = (
    "ChatBotKit refuses fields it does not know, and every Accept but application/jsonl, text/event-stream, "
    "application/json and text/csv; check the parameters."
)
_HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BAD_REQUEST": _REFUSED,
        "400": _REFUSED,
        "NOT_AUTHENTICATED": "ChatBotKit does not know this key: check the environment variable that holds it, "
        "or make one at https://chatbotkit.com/tokens.",
        "NO_SUBSCRIPTION": "The account's plan has no such model or call; take another --model or look at the plan.",
        "NOT_AUTHORIZED": "The key is known, but this bot or conversation is not its own; check the ids.",
        "NOT_FOUND": "There is no such bot or conversation for this key, or no such path: "
        "check --bot-id, --conversation-id and --prefix (/api/v1 on hosts of your own).",
        "CONFLICT": "It collides with what is there already; wait until other runs in this conversation are over.",
        "UNPROCESSABLE_ENTITY": "The request was read but cannot be done as it is; check the parameters and the ids.",
        "LIMITS_REACHED": "A limit of the account (messages, tokens, requests) is reached; wait, or raise the plan.",
        "TOO_MANY_REQUESTS": "Too many requests; wait a little. Nothing is sent again by itself: it would be answered "
        "twice.",
        "GENERIC_ERROR": "ChatBotKit hides the cause of this one: the model, a skill or the service itself. "
        "What arrived is kept; run it again.",
        "truncated": "ChatBotKit itself stops an answer after 750 s, with an `abort` event.",
    }
)


class ChatBotKit(Provider):
    """A conversation of the account, a new one, or none: then bot, model and backstory go along with the prompt."""

    title: ClassVar[str] = "ChatBotKit conversations"
    doc_url: ClassVar[str] = "https://chatbotkit.com/manuals/streaming"
    key_env = "CHATBOTKIT_API_KEY"
    base_url = "https://api.chatbotkit.com"
    usage = "sum"
    limits: ClassVar[Mapping[str, float]] = MappingProxyType({"total_s": 800})  # silent for nearly as long: tools
    hints = _HINTS
    session_option = "conversation_id"
    chat_options: ClassVar[Mapping[str, Any]] = MappingProxyType({"create": True})
    lists: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"conversations": "the conversations of the account", "messages": "the messages of --conversation-id"}
    )
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"model": "simulated"})
    stream_name: ClassVar[str] = COMPLETE
    options: ClassVar[tuple[Option, ...]] = (
        Option("conversation_id", "go on in this conversation; its own bot and model answer"),
        Option("bot_id", "the bot that answers where there is no conversation yet"),
        Option("create", "create a conversation first instead of a stateless completion", "bool", default=False),
        Option("send_receive", "send the prompt, then receive the answer, as two calls", "bool", default=False),
        Option("accept", "how the answer comes; json does not stream", default="jsonl", choices=tuple(ACCEPTS)),
        Option("auth_scheme", "the word before the key", default="bearer", choices=("bearer", "token")),
        Option("prefix", "path before /conversation and /channel; hosts of your own want /api/v1", default="/v1"),
    )

    def __init__(self, base_url: str | None = None, key_env: str | None = None, **options: Any) -> None:
        super().__init__(base_url, key_env, **options)
        self._set("auth", self.values["auth_scheme"])

    def server_t_ns(self, frame: Frame) -> int | None:
        """JSON Lines have no comments: the simulator's stamps come as a keep-alive, `{"type": "nop"}`."""
        match frame.value:
            case {"type": "nop", "data": {"t_ns": int(t_ns), **rest}} if not rest:
                return t_ns
        return super().server_t_ns(frame)

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        """[create,] then complete, or send and receive."""
        conversation = self.values["conversation_id"]
        if prompt.tools and self.values["accept"] == "json":
            raise UsageError("chatbotkit: functions are asked for in the stream; leave --accept at jsonl or sse.")
        body = _functions(prompt)
        if conversation is None and self.values["create"]:
            conversation = _created((yield self._call(CREATE, "/conversation/create", self._bot(prompt))))
        elif conversation is not None and prompt.system is not None and not self.values["create"]:
            # Added to the conversation's own backstory, in trusted sessions ([C] .../[conversationId]/complete.js); one
            # that was created in an earlier run got it then.
            body["extensions"] = {"backstory": prompt.system}
        text = prompt.text if prompt.text.strip() else None  # blank is refused; nothing lets the bot go on
        if self.values["send_receive"]:
            if conversation is None:
                raise UsageError("chatbotkit: --send-receive needs --conversation-id ID or --create.")
            place = f"/conversation/{quote(conversation, safe='')}"
            if text is not None:
                yield self._call(SEND, f"{place}/send", {"text": text})
            yield self._stream(RECEIVE, f"{place}/receive", merge(body, prompt.params))
        elif conversation is not None:
            path = f"/conversation/{quote(conversation, safe='')}/complete"
            yield self._stream(COMPLETE, path, merge({"text": text, **body}, prompt.params))
        else:
            yield self._stream(COMPLETE, "/conversation/complete", self._stateless(prompt, body))

    def _stateless(self, prompt: Prompt, body: dict[str, Any]) -> dict[str, Any]:
        if not prompt.text.strip() and "messages" not in prompt.params:
            raise UsageError("chatbotkit needs a prompt, or --conversation-id ID of a conversation to go on in.")
        messages = [{"type": "user", "text": prompt.text}]
        return merge({"messages": messages, **self._bot(prompt), **body}, prompt.params)

    def _bot(self, prompt: Prompt) -> dict[str, Any]:
        return merge({"botId": self.values["bot_id"], "model": prompt.model, "backstory": prompt.system}, {})

    def _call(self, name: str, path: str, body: Any) -> Call:
        headers, _ = self.credentials()
        return Call(name, path=self.values["prefix"] + path, body=body, headers=headers)

    def _stream(self, name: str, path: str, body: Any) -> Call:
        headers = self._headers(self.values["accept"])
        return Call(name, path=self.values["prefix"] + path, body=body, headers=headers, stream=True)

    def _headers(self, accept: str) -> dict[str, str | Secret]:
        headers, _ = self.credentials()
        return {"Accept": ACCEPTS[accept], **headers}  # exactly one type: only the first entry counts (WIRE.md 4.1)

    def listing(self, kind: str, take: int | None) -> Generator[Call, Reply, None]:
        """One GET: the server walks its pages by itself. Never in plain JSON, of which one page is all that comes."""
        if kind not in self.lists:
            raise UsageError(f"chatbotkit has no list {kind!r}.{did_you_mean(kind, self.lists)}")
        path, conversation = "/conversation/list", self.values["conversation_id"]
        if kind == "messages":
            if conversation is None:
                raise UsageError("chatbotkit: the list of messages needs --conversation-id ID.")
            path = f"/conversation/{quote(conversation, safe='')}/message/list"
        yield Call(
            LIST,
            "GET",
            self.values["prefix"] + path,
            headers=self._headers("sse" if self.values["accept"] == "sse" else "jsonl"),
            query={} if take is None else {"take": str(take)},
            stream=True,
            ends_at_eof=True,
        )

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        """By what the reply says it is; by its first byte where it says nothing of use."""
        says = head.content_type or (ACCEPTS["json"] if self.values["accept"] == "json" else "")
        if says == ACCEPTS["jsonl"]:
            return JSONLFramer()
        return JSONBodyFramer(call.name) if says == ACCEPTS["json"] else SniffFramer(_by_the_bytes)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """A line, an SSE event, or a whole reply."""
        return _chatbotkit_events.read(frame, seen)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Only a result ends an answer; its reason says how."""
        own = _REASONS.get(seen.finish_reason or "") if seen.error is None else None
        return own or super().outcome(seen, ending)

    def answer(self, event: Event, value: Any) -> Call | None:
        """Publish what a function returned, or the text of what it raised, where the model waits for it."""
        if event.kind != "action" or event.id is None:
            return None
        failed = isinstance(value, BaseException)
        message = {"error": str(value) or type(value).__name__} if failed else {"data": value}
        return self._call(PUBLISH, f"/channel/{quote(event.id, safe='')}/publish", {"message": message})


def _created(reply: Reply) -> str:
    for event in reply.events:
        if event.kind == "session" and event.id:
            return event.id
    raise ProtocolError("chatbotkit created a conversation without an id; check the base URL and --prefix.")


def _by_the_bytes(prefix: bytes, at_eof: bool) -> Framer | None:
    """A brace begins JSON Lines (a whole JSON reply is one line of it), anything else SSE."""
    framer = sse_or_json(COMPLETE, comment_frames=True)(prefix, at_eof)
    return JSONLFramer() if isinstance(framer, JSONBodyFramer) else framer


def _functions(prompt: Prompt) -> dict[str, Any]:
    """The body's `functions`: each names the channel that its result will be published to.

    Seen in chatbotkit/node-sdk packages/agent: name, description, an object schema, `result.channel`. The platform
    (schemas/functionsSchema.js, jsonSchema.js) refuses an empty description and schema fields it does not know.
    """
    return {"functions": [_function(tool, prompt.fresh_id) for tool in prompt.tools]} if prompt.tools else {}


def _function(tool: Tool, fresh_id: str) -> dict[str, Any]:
    schema = {key: tool.parameters[key] for key in _SCHEMA_FIELDS if key in tool.parameters}
    return {
        "name": tool.name,
        "description": tool.description or tool.name,
        "parameters": {"type": "object", "properties": {}, **schema},
        "result": {"channel": f"{tool.name}-{fresh_id}".ljust(_MIN_CHANNEL, "0")},
    }
