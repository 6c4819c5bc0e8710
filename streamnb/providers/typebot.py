"""Typebot: startChat, continueChat and streamMessage, looping (WIRE.md 1).

Knows the AI SDK v4 data stream, the older raw text and the documented SSE. Must not know: sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from streamnb.errors import ProtocolError, UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers._ai_sdk import part, sse
from streamnb.providers._base import (
    Call,
    Ending,
    Field,
    Option,
    Provider,
    Reply,
    ReplyHead,
    merge,
    parse,
)
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._seen import Seen
from streamnb.providers._typebot_input import dicts, field_of, input_of
from streamnb.redaction import Secret
from streamnb.wire import (
    Frame,
    Framer,
    JSONBodyFramer,
    PrefixLineFramer,
    RawTextFramer,
    SniffFramer,
    sse_or_json,
    typebot_auto,
)

START: Final = "startChat"
CONTINUE: Final = "continueChat"
STREAM: Final = "streamMessage"
STREAM_ACTIONS: Final = frozenset({"stream", "streamOpenAiChatCompletion"})
MAX_WAIT_S: Final = 60.0
_REPLY_FIELDS: Final = frozenset({"sessionId", "messages", "clientSideActions", "input", "logs", "progress"})
_INLINE: Final = frozenset({"a", "inline-variable"})
_MAY_WAIT: Final = frozenset({"embed", "custom-embed"})
"""Messages that can report back from the page that shows them, after which the bot goes on."""


class Typebot(Provider):
    """A published bot, cloud or self-hosted. The session id is the capability; only a preview needs a key."""

    title: ClassVar[str] = "Typebot streamMessage"
    doc_url: ClassVar[str] = "https://docs.typebot.io/api-reference/chat/stream-message"
    key_env = "TYPEBOT_API_TOKEN"
    key_required = False
    key_note: ClassVar[str] = "for `--preview` only"
    base_url = "https://typebot.co"
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"typebot": "demo"})
    stream_name: ClassVar[str] = STREAM
    session_option: ClassVar[str | None] = "session_id"
    greets: ClassVar[bool] = True
    plain_text: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("typebot", "public id of the bot (the end of its share URL)"),
        Option("session_id", "go on in this session instead of starting one"),
        Option(
            "no_continue", "stop after the stream: do not send its text back with continueChat", "bool", default=False
        ),
        Option("preview", "start the unpublished bot from the builder (needs the key)", "bool", default=False),
        Option("builder_url", "address of the builder, for --preview, where it is not the viewer's own", "url"),
        Option("prefilled", "variables the bot starts with, as a JSON object", "json", once=True),
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
        session, message = self.values["session_id"], _message_of(prompt)
        due: Event | None = None
        delay_s = 0.0
        if session is None:
            reply = yield self._start()
            session = _session(reply)
            due, delay_s = _due(reply)
        elif message is None:
            due = Event("action", name="stream")
        while due is not None or message is not None:
            if due is not None and due.name in STREAM_ACTIONS:
                reply = yield self._stream(session, due, prompt, delay_s)
                if self.values["no_continue"]:
                    return
                # The text goes into the bot's variable; the server then skips the bubble that would repeat it.
                reply = yield self._continue(session, {"type": "text", "text": reply.text})
            elif due is not None:
                reply = yield self._continue(session, None, delay_s)
            else:
                reply = yield self._continue(session, message, delay_s)
                message = None
            due, delay_s = _due(reply)

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
        builder = self.values["builder_url"] if self.values["preview"] else None
        return Call(START, path=path, body=merge(body, {}), headers=headers, base_url=builder)

    def _continue(self, session: str, message: Any, delay_s: float = 0.0) -> Call:
        body = merge({"message": message, "textBubbleContentFormat": "markdown"}, {})
        path = f"{self.values['chat_prefix']}/sessions/{quote(session, safe='')}/continueChat"
        return Call(CONTINUE, path=path, body=body, delay_s=delay_s)

    def _stream(self, session: str, action: Event, prompt: Prompt, delay_s: float) -> Call:
        data = action.data if isinstance(action.data, dict) else {}
        legacy = data.get("streamOpenAiChatCompletion")
        body = {"messages": legacy.get("messages", [])} if isinstance(legacy, dict) else {}
        path = f"{self.values['stream_prefix']}/sessions/{quote(session, safe='')}/streamMessage"
        return Call(STREAM, path=path, body=merge(body, prompt.params), stream=True, delay_s=delay_s)

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        """By the bytes: the endpoint names no Content-Type, and three generations of it are in use."""
        if head.content_type == "text/html":  # a page, from a host that is no viewer: not an answer in raw text
            return JSONBodyFramer(call.name)
        match self.values["framing"]:
            case "sse":
                return SniffFramer(sse_or_json(call.name, comment_frames=True))
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
            if isinstance(value, dict) and (frame.event == CONTINUE or "sessionId" in value) and _is_over(value):
                yield Event("session", name="ended")
        elif frame.event == "text":
            yield Event("delta", frame.data)
        elif frame.line is not None:
            yield from part(frame)
        else:
            yield from sse(frame)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Without `d:` a stream is cut, unless it never had steps: the assistant block, raw text and SSE end at EOF."""
        outcome = super().outcome(seen, ending)
        unmarked = seen.text() and not seen.count("step") and not seen.cut
        if outcome is Outcome.TRUNCATED and ending.cause is None and unmarked:
            return ending.at_eof
        return outcome

    def field_of(self, event: Event) -> Field | None:
        """What the bot's input asks for, in the words of the bot where it has any."""
        return field_of(event)

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


def _message_of(prompt: Prompt) -> Any:
    """What continueChat says for a prompt, None when there is nothing to say."""
    if prompt.reply is not None:
        return prompt.reply
    return {"type": "text", "text": prompt.text} if prompt.text else None


def _session(reply: Reply) -> str:
    for event in reply.events:
        if event.kind == "session" and event.id:
            return event.id
    raise ProtocolError("typebot answered startChat without a sessionId; check that the base URL is a Typebot viewer.")


def _due(reply: Reply) -> tuple[Event | None, float]:
    """The first action that wants a call of its own, and the seconds to wait before the next call.

    What else wants a reply (a script, a webhook) cannot be done here: an empty one lets the bot go on, and the prompt
    is not mistaken for it.
    """
    delay_s = 0.0
    for event in reply.events:
        if event.kind != "action":
            continue
        if event.name == "wait":
            delay_s += _seconds(event.data)
        if event.name in STREAM_ACTIONS or event.data.get("expectsDedicatedReply") is True:
            return event, delay_s
    return None, delay_s


def _seconds(data: Mapping[str, Any]) -> float:
    wait = data.get("wait")
    seconds = wait.get("secondsToWaitFor") if isinstance(wait, dict) else None
    return min(max(float(seconds), 0.0), MAX_WAIT_S) if isinstance(seconds, (int, float)) else 0.0


def _reply(value: Any) -> Iterator[Event]:
    if not isinstance(value, dict):
        yield Event("unknown", data=value)
        return
    if "messages" not in value and (says_error(value) or "message" in value):
        yield error_event(value)  # the viewer from 3.5.0 on: HTTP 200, and the status in the body
        return
    if value and not value.keys() & _REPLY_FIELDS:
        yield Event("unknown", data=value)
    session = value.get("sessionId")
    if isinstance(session, str):
        yield Event("session", id=session, data={key: value[key] for key in ("resultId", "typebot") if key in value})
    for message in dicts(value, "messages"):
        yield _message(message)
    for log in dicts(value, "logs"):
        yield Event("trace", name="log", data=log)
    for action in dicts(value, "clientSideActions"):
        yield Event("action", name=str(action.get("type")), data=action)
    if isinstance(value.get("input"), dict):
        yield input_of(value["input"])
    if isinstance(value.get("progress"), (int, float)):
        yield Event("trace", name="progress", data=value["progress"])


def _is_over(value: Mapping[str, Any]) -> bool:
    """The server's own account of it: no input, and no action or message that waits for a reply of its own."""
    actions = dicts(value, "clientSideActions")
    waits = any(one.get("expectsDedicatedReply") is True or one.get("type") in STREAM_ACTIONS for one in actions)
    embeds = any(one.get("type") in _MAY_WAIT for one in dicts(value, "messages"))
    return isinstance(value.get("messages"), list) and not (value.get("input") or waits or embeds)


def _message(message: Mapping[str, Any]) -> Event:
    content = message.get("content")
    ident = message.get("id")
    ident = ident if isinstance(ident, str) else None
    kind = message.get("type")
    if kind == "text" and isinstance(content, dict):
        text = content.get("markdown")
        if not isinstance(text, str):
            text = "\n".join(_plain(node) for node in dicts(content, "richText"))
        return Event("message", text, id=ident, data=dict(message))
    return Event("item", name=str(kind), id=ident, data=dict(message))


def _plain(node: Mapping[str, Any]) -> str:
    """The text of a rich text node; blocks inside it (the items of a list) stand on lines of their own."""
    own = node.get("text")
    children = dicts(node, "children")
    blocks = any("type" in child and child["type"] not in _INLINE for child in children)
    return (own if isinstance(own, str) else "") + ("\n" if blocks else "").join(map(_plain, children))
