"""Typebot: startChat, continueChat and streamMessage, looping (WIRE.md 1).

Knows the AI SDK v4 data stream, the older raw text and the documented SSE. Must not know: sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from streamnb.errors import ProtocolError, UsageError
from streamnb.events import Choice, Event, Outcome, Prompt
from streamnb.providers._ai_sdk import part, sse
from streamnb.providers._base import (
    Call,
    Ending,
    Option,
    Provider,
    Reply,
    ReplyHead,
    error_event,
    merge,
    parse,
)
from streamnb.providers._seen import Seen
from streamnb.redaction import Secret
from streamnb.wire import (
    Frame,
    Framer,
    JSONBodyFramer,
    PrefixLineFramer,
    RawTextFramer,
    SniffFramer,
    SSEFramer,
    typebot_auto,
)

START: Final = "startChat"
CONTINUE: Final = "continueChat"
STREAM: Final = "streamMessage"
STREAM_ACTIONS: Final = frozenset({"stream", "streamOpenAiChatCompletion"})
MAX_WAIT_S: Final = 60.0


class Typebot(Provider):
    """A published bot, cloud or self-hosted. The session id is the capability; only a preview needs a key."""

    title: ClassVar[str] = "Typebot streamMessage"
    doc_url: ClassVar[str] = "https://docs.typebot.io/api-reference/chat/stream-message"
    key_env = "TYPEBOT_API_TOKEN"
    key_required = False
    base_url = "https://typebot.co"
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"typebot": "demo"})
    stream_name: ClassVar[str] = STREAM
    options: ClassVar[tuple[Option, ...]] = (
        Option("typebot", "public id of the bot (the end of its share URL)"),
        Option("session_id", "go on in this session instead of starting one"),
        Option(
            "no_continue", "stop after the stream: do not send its text back with continueChat", "bool", default=False
        ),
        Option("preview", "start the unpublished bot from the builder (needs the key)", "bool", default=False),
        Option("prefilled", "variables the bot starts with, as a JSON object", "json"),
        Option(
            "framing",
            "how streamMessage is framed",
            default="auto",
            choices=("auto", "prefix_lines", "sse", "raw_text"),
        ),
        Option("chat_prefix", "path before startChat and continueChat", default="/api/v1"),
        Option("stream_prefix", "path before streamMessage", default="/api/v2"),
    )

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        """startChat, then the prompt, then each stream and its text, until the bot waits for input."""
        session = self.values["session_id"]
        unsent = bool(prompt.text) or prompt.reply is not None
        reply: Reply | None = None
        over = False
        if session is None:
            reply = yield self._start()
            if not reply.ok:
                return
            session = _session(reply)
        elif not unsent:
            reply, over = yield from self._stream(session, {}, prompt)
        while not over:
            while not over and reply is not None and reply.ok and (actions := _actions(reply)):
                reply, over = yield from self._act(session, actions, prompt)
            if over or not unsent or (reply is not None and not reply.ok):
                return
            unsent = False
            message = prompt.reply if prompt.reply is not None else {"type": "text", "text": prompt.text}
            reply = yield self._continue(session, message)

    def _start(self) -> Call:
        typebot = self.values["typebot"]
        if not typebot:
            raise UsageError("typebot needs --typebot PUBLIC_ID (the end of the bot's share URL) or --session-id ID.")
        headers: dict[str, str | Secret] = {}
        middle = ""
        if self.values["preview"]:
            headers, _ = self.credentials(required=True)
            middle = "/preview"
        body = {
            "isStreamEnabled": True,  # false by default, and then no stream action ever comes
            "textBubbleContentFormat": "markdown",
            "prefilledVariables": self.values["prefilled"],
        }
        path = f"{self.values['chat_prefix']}/typebots/{quote(typebot, safe='')}{middle}/startChat"
        return Call(START, path=path, body=merge(body, {}), headers=headers)

    def _continue(self, session: str, message: Any, delay_s: float = 0.0) -> Call:
        body = merge({"message": message, "textBubbleContentFormat": "markdown"}, {})
        path = f"{self.values['chat_prefix']}/sessions/{quote(session, safe='')}/continueChat"
        return Call(CONTINUE, path=path, body=body, delay_s=delay_s)

    def _stream(
        self, session: str, body: dict[str, Any], prompt: Prompt, delay_s: float = 0.0
    ) -> Generator[Call, Reply, tuple[Reply | None, bool]]:
        """The stream and its continueChat; returns the latter's reply and whether the run is over."""
        path = f"{self.values['stream_prefix']}/sessions/{quote(session, safe='')}/streamMessage"
        reply = yield Call(STREAM, path=path, body=merge(body, prompt.params), stream=True, delay_s=delay_s)
        if not reply.ok or self.values["no_continue"]:
            return reply, True
        # The text goes into the bot's variable; the server then skips the bubble that would repeat it.
        return (yield self._continue(session, {"type": "text", "text": reply.text})), False

    def _act(
        self, session: str, actions: list[Event], prompt: Prompt
    ) -> Generator[Call, Reply, tuple[Reply | None, bool]]:
        """Do what the bot asks a client to do, in order, up to the first action that gets a reply of its own."""
        delay_s = 0.0
        for action in actions:
            data = action.data if isinstance(action.data, dict) else {}
            if action.name in STREAM_ACTIONS:
                legacy = data.get("streamOpenAiChatCompletion")
                body = {"messages": legacy.get("messages", [])} if isinstance(legacy, dict) else {}
                return (yield from self._stream(session, body, prompt, delay_s))
            if action.name == "wait":
                delay_s += _seconds(data)
                if data.get("expectsDedicatedReply"):
                    return (yield self._continue(session, None, delay_s)), False
        return None, False

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        """By the bytes: the endpoint names no Content-Type, and three generations of it are in use."""
        match self.values["framing"]:
            case "sse":
                return SSEFramer(comment_frames=True)
            case "raw_text":
                return RawTextFramer()
            case "prefix_lines":
                return SniffFramer(_prefix_or_json(call.name))
            case _:
                return SniffFramer(typebot_auto(call.name, head.content_type))

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """A part of the stream, or a whole reply of startChat, continueChat or a failed streamMessage."""
        del seen
        if frame.event in (START, CONTINUE, STREAM):
            value, malformed = parse(frame)
            yield from [malformed] if malformed else _reply(value)
        elif frame.event == "text":
            yield Event("delta", frame.data)
        elif frame.line is not None:
            yield from part(frame)
        else:
            yield from sse(frame)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Without `d:` a stream is cut, unless it never had steps: the assistant block, raw text and SSE end at EOF."""
        outcome = super().outcome(seen, ending)
        if outcome is Outcome.TRUNCATED and ending.cause is None and seen.text() and not seen.count("step"):
            return Outcome.ENDED_UNVERIFIED if ending.framing == "close" else Outcome.COMPLETE
        return outcome

    def server_t_ns(self, frame: Frame) -> int | None:
        """Stamps also come as an annotation part, `8:[{"t_ns": N}]`."""
        match frame:
            case Frame(event="8", value=[{"t_ns": int(t_ns), **rest}]) if not rest:
                return t_ns
        return super().server_t_ns(frame)


def _prefix_or_json(name: str) -> Callable[[bytes, bool], Framer | None]:
    """Prefix lines whatever the first line looks like; only a JSON object is still taken for an error reply."""
    auto = typebot_auto(name, None)

    def decide(prefix: bytes, at_eof: bool) -> Framer | None:
        framer = auto(prefix, at_eof)
        return framer if framer is None or isinstance(framer, JSONBodyFramer) else PrefixLineFramer()

    return decide


def _session(reply: Reply) -> str:
    for event in reply.events:
        if event.kind == "session" and event.id:
            return event.id
    raise ProtocolError("typebot answered startChat without a sessionId; check that the base URL is a Typebot viewer.")


def _actions(reply: Reply) -> list[Event]:
    return [event for event in reply.events if event.kind == "action"]


def _seconds(data: Mapping[str, Any]) -> float:
    wait = data.get("wait")
    seconds = wait.get("secondsToWaitFor") if isinstance(wait, dict) else None
    return min(max(float(seconds), 0.0), MAX_WAIT_S) if isinstance(seconds, (int, float)) else 0.0


def _reply(value: Any) -> Iterator[Event]:
    if not isinstance(value, dict):
        yield Event("unknown", data=value)
        return
    if "messages" not in value and ("message" in value or "error" in value or "code" in value):
        # The viewer from 3.5.0 on says its errors with HTTP 200 and the status in the body.
        status = value.get("status")
        yield error_event(value, status if isinstance(status, int) else None)
        return
    session = value.get("sessionId")
    if isinstance(session, str):
        yield Event("session", id=session, data={key: value[key] for key in ("resultId", "typebot") if key in value})
    for message in _dicts(value, "messages"):
        yield _message(message)
    for log in _dicts(value, "logs"):
        yield Event("trace", name="log", data=log)
    for action in _dicts(value, "clientSideActions"):
        yield Event("action", name=str(action.get("type")), data=action)
    if isinstance(value.get("input"), dict):
        yield _input(value["input"])
    if isinstance(value.get("progress"), (int, float)):
        yield Event("trace", name="progress", data=value["progress"])


def _dicts(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = value.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _message(message: Mapping[str, Any]) -> Event:
    content = message.get("content")
    ident = message.get("id")
    ident = ident if isinstance(ident, str) else None
    kind = message.get("type")
    if kind == "text" and isinstance(content, dict):
        text = content.get("markdown")
        if not isinstance(text, str):
            text = "\n".join(_plain(node) for node in _dicts(content, "richText"))
        return Event("message", text, id=ident, data=dict(message))
    return Event("item", name=str(kind), id=ident, data=dict(message))


def _plain(node: Mapping[str, Any]) -> str:
    own = node.get("text")
    return (own if isinstance(own, str) else "") + "".join(_plain(child) for child in _dicts(node, "children"))


def _input(data: dict[str, Any]) -> Event:
    """What the bot waits for. A choice is answered with its text and the id of the item pressed."""
    choices = []
    for item in _dicts(data, "items"):
        label = item.get("content") or item.get("title")
        if isinstance(label, str):
            answer: dict[str, Any] = {"type": "text", "text": label}
            if isinstance(item.get("id"), str):
                answer["metadata"] = {"replyId": item["id"]}
            choices.append(Choice(label, Prompt(label, reply=answer)))
    return Event("step", name=str(data.get("type", "input")), id=data.get("id"), data=data, choices=tuple(choices))
