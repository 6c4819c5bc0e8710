"""Oliver's Streaming API: a chat, and one stream per message in it (WIRE.md 2).

Knows the five events and the `success` envelope of the JSON replies. Must not know: sockets, clocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from streamnb.errors import ProtocolError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers._base import Call, Ending, Option, Provider, Reply, merge, parse
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._moment import epoch_ms
from streamnb.providers._seen import Seen
from streamnb.wire import Frame

CREATE: Final = "create_chat"
STREAM: Final = "stream"
INCOMPLETE: Final = "incomplete"
_WITHOUT_TYPE: Final = frozenset({CREATE, STREAM, "message"})


class Oliver(Provider):
    """A chat of the key's owner: the one that is named, or a new one for every run."""

    title: ClassVar[str] = "Oliver Streaming API"
    doc_url: ClassVar[str] = "https://api.oliverchat.com/docs"
    key_env = "OLIVER_API_KEY"
    base_url = "https://api.oliverchat.com"
    stream_name: ClassVar[str] = STREAM
    session_option: ClassVar[str | None] = "chat_id"
    options: ClassVar[tuple[Option, ...]] = (
        Option("chat_id", "go on in this chat instead of creating one"),
        Option("chat_name", "name of the chat that is created", once=True),
        Option("rag_containers", "ids of the containers the new chat cites from, as a JSON array", "json", once=True),
        Option("private", "create the chat as a private one", "bool", default=False, once=True),
        Option("prefix", "path before /chats; some of Oliver's own pages say /api/v1", default="/v1"),
        Option("max_streams", "streams at once per key; Oliver allows 5 unless agreed otherwise", "int", default=5),
    )
    limits: ClassVar[Mapping[str, float]] = MappingProxyType({"streams": 5, "idle_s": 60, "total_s": 300})
    hints: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "stream_timeout": "Oliver ends a stream after 60 s without activity; what arrived is kept. Run it again.",
            "processing_error": "Oliver failed while it made the answer; what arrived is kept. Run it again.",
            "connection_closed": "To Oliver this side hung up: look for a proxy or a sleeping machine in between.",
            "interrupted": "Oliver notes it as connection_closed.",
            "stopped": "Oliver notes it as connection_closed.",
            "401": "Check the key in {key}: "
            "an API key (oc_live_...), or a token of Oliver's login, which lasts 24 hours.",
            "403": "Oliver knows the key, but it may not do this: check whose the chat and its RAG containers are.",
            "404": "Oliver has no such chat for this key, or the path is another: check --chat-id and --prefix "
            "(/v1 or /api/v1).",
            "429": "Too many requests, or other processes hold streams with this key (Oliver allows 5 at once); "
            "wait{wait} and run it again.",
        }
    )

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        """The chat, unless there is one; then the message."""
        chat = self.values["chat_id"]
        if not chat:
            chat = _chat((yield self._create()))
        yield self._stream(chat, prompt)

    def _create(self) -> Call:
        body = {
            "name": self.values["chat_name"],
            "rag_containers": self.values["rag_containers"],
            "is_private": self.values["private"] or None,  # false is what Oliver takes when nothing is said
        }
        headers, query = self.credentials()
        return Call(CREATE, path=f"{self.values['prefix']}/chats", body=merge(body, {}), headers=headers, query=query)

    def _stream(self, chat: str, prompt: Prompt) -> Call:
        headers, query = self.credentials()
        path = f"{self.values['prefix']}/chats/{quote(chat, safe='')}/messages/stream"
        body = merge({"content": prompt.text}, prompt.params)
        return Call(STREAM, path=path, body=body, headers=headers, query=query, stream=True)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """One event of a stream, or a whole JSON reply: to `create_chat`, or instead of a stream."""
        value, malformed = parse(frame)
        if frame.event == "error":
            yield error_event(value, text=frame.data)
        elif malformed is not None and frame.data:
            yield dataclasses.replace(malformed, name=frame.event)
        elif frame.event in _WITHOUT_TYPE and isinstance(value, dict) and _refused(value):
            yield error_event(value)
        else:
            yield from _read(frame, value, seen)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """An `end` that says `complete: false` is the end of a part of an answer."""
        outcome = super().outcome(seen, ending)
        return Outcome.TRUNCATED if outcome is Outcome.COMPLETE and seen.finish_reason == INCOMPLETE else outcome


def _chat(reply: Reply) -> str:
    for event in reply.events:
        if event.kind == "session" and event.id:
            return event.id
    raise ProtocolError("oliver answered create_chat without the id of a chat; check the base URL and --prefix.")


def _refused(value: Mapping[str, Any]) -> bool:
    """A JSON object that is an error whatever the status (WIRE.md 0.5); a `message` beside `data` is none."""
    return value.get("success") is False or bool(value.get("error")) or ("data" not in value and says_error(value))


def _read(frame: Frame, value: Any, seen: Seen) -> Iterator[Event]:
    match frame.event, value:
        case "start", dict():
            ident, rest = _split(value, "message_id")
            yield Event("start", id=ident, data=rest, server_ms=epoch_ms(value.get("created_at")))
        case "chunk", {"content": str()}:
            text, rest = _split(value, "content")
            yield Event("delta", text or "", data=rest)
        case "citation", dict():
            yield _citation(value, seen.n_chars())
        case "end", dict():
            ident, rest = _split(value, "message_id")
            yield Event("end", name=INCOMPLETE if value.get("complete") is False else None, id=ident, data=rest)
        case "end", None if "unterminated" not in frame.flags:  # it has no data, and was not cut off before them
            yield Event("end")
        case "create_chat", {"data": {"id": str(ident)}} if ident:
            yield Event("session", id=ident, data=value["data"])
        case "stream", {"data": {"role": "assistant", "content": str(text)}}:
            data = value["data"]
            ident, _ = _split(data, "id")
            yield Event("message", text, id=ident, data=data, server_ms=epoch_ms(data.get("created_at")))
            yield Event("end")
        case _:
            yield Event("unknown", name=frame.event, data=value)


def _citation(value: dict[str, Any], at_char: int) -> Event:
    """Where it stands between the chunks is all that says what it belongs to."""
    ident, rest = _split(value, "citation_id")
    title, _ = _split(value, "title")
    data = {"title": None, "url": None, "source_type": None, **(rest or {}), "at_char": at_char}
    return Event("citation", name=title, id=ident, data=data)


def _split(value: dict[str, Any], key: str) -> tuple[str | None, dict[str, Any] | None]:
    """The text under this key, and what else is said; what is no text stays with the rest."""
    text = value.get(key)
    if not isinstance(text, str):
        return None, dict(value) or None
    return text, {name: one for name, one in value.items() if name != key} or None
