"""One streamed answer of Oliver: start, chunks with citations between them, end; and its errors.

Knows the bytes of these events and the chat ids that change them. Must not know: requests, HTTP, sockets.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamnb.simulator.blocks import dumps, sse
from streamnb.simulator.pace import Pace, text, writes
from streamnb.simulator.scenarios import Limits, Out, Script

SPECIAL: Final[dict[str, str]] = {
    "incomplete": "the answer, then an end that says complete: false",
    "error-then-end": "half of the answer, an error event, the other half, then an end",
    "unknown-code": "half of the answer, an error event whose code no page names, then the end of the body",
    "uncited": "the answer without citations",
    "pretty": "every event's JSON printed over several lines, as the vendor's page shows the event types",
    "layout": "no blank line between the events, as the vendor's page loses them",
}
"""Chats that exist without being created and what they stream: always the first turn, whatever came before."""

Json = dict[str, Any]

_TOTAL_S: Final = 300.0
_IDLE_S: Final = 60.0
_SOURCES: Final = (
    ("rag_document", "Handbook of Slow Rivers", "https://library.example.org/slow-rivers.pdf"),
    ("web_page", "Where gravel goes", "https://gravel.example.org/where?lang=en&page=2"),
    ("rag_document", "Ångström's café notes", "https://library.example.org/caf%C3%A9-notes.pdf"),
)
_MESSAGES: Final = {
    "stream_timeout": "No activity for 60 seconds",
    "processing_error": "The answer could not be finished",
    "model_overloaded": "The model is overloaded",
}


class Answer:
    """The answer to one message: its id, its text, its sources."""

    def __init__(self, pace: Pace, chat: str, turn: int = 0) -> None:
        """Prepare the answer of a turn (from 0) in a chat; `pace` has the seed of that turn."""
        self._pace = pace
        self._chat = chat
        self._id = f"msg_{secrets.token_hex(8)}"
        self._created = now()
        self._citations = {} if chat == "uncited" else _citations(pace.tokens, turn)

    def script(self, body: Iterable[Out] | None = None) -> Script:
        """Return the answer in bytes; `body` stands in place of the chunks, if it is given."""
        end = {"message_id": self._id, "complete": self._chat != "incomplete"}
        return Script(
            body=self._chosen() if body is None else body,
            head=(self._event("start", {"message_id": self._id, "created_at": self._created}),),
            terminal=() if self._chat == "unknown-code" else (self._event("end", end),),
            error=(self._error("processing_error"),),
            malformed=(b'event: chunk\ndata: {"content":\n\n',),
            bad_utf8=(self.chunk("<odd>").replace(b"<odd>", b"\xff\xfe"),),
            late=(self.chunk("late"),),
            ping=b": keep-alive\n\n",
            limits=Limits(_TOTAL_S, _IDLE_S, (self._error("stream_timeout"),)),
            stamp=_stamp,
        )

    def whole(self) -> Json:
        """Return the same answer as a message object."""
        return {
            "id": self._id,
            "chat_id": self._chat,
            "role": "assistant",
            "content": text(self._pace),
            "attachments": [],
            "citations": list(self._citations.values()),
            "created_at": self._created,
        }

    def chunk(self, content: str) -> bytes:
        """Return a piece of text as an event."""
        return self._event("chunk", {"content": content})

    def _chosen(self) -> Iterable[Out]:
        code = {"unknown-code": "model_overloaded", "error-then-end": "processing_error"}.get(self._chat)
        body = self._body()
        return body if code is None else self._interrupted(body, code)

    def _body(self) -> Iterator[Out]:
        """A citation leaves together with the piece of text it belongs to, right after it."""
        numbers = itertools.count(1)
        for at_s, pieces in writes(self._pace):
            blocks = (self._piece(piece, number) for piece, number in zip(pieces, numbers, strict=False))
            yield Out(at_s, tuple(itertools.chain.from_iterable(blocks)))

    def _piece(self, content: str, number: int) -> Iterator[bytes]:
        yield self.chunk(content)
        if number in self._citations:
            yield self._event("citation", self._citations[number])

    def _interrupted(self, body: Iterator[Out], code: str) -> Iterator[Out]:
        at_s = self._pace.ttft
        for out in itertools.islice(body, -(-self._pace.tokens // self._pace.burst) // 2):
            at_s = out.at_s
            yield out
        yield Out(at_s, (self._error(code),))
        if self._chat == "error-then-end":
            yield from body

    def _error(self, code: str) -> bytes:
        return self._event("error", {"code": code, "message": _MESSAGES[code]})

    def _event(self, name: str, value: Json) -> bytes:
        match self._chat:
            case "pretty":  # the lines after the first have no `data:` of their own
                return f"event: {name}\ndata: {json.dumps(value, indent=2, ensure_ascii=False)}\n\n".encode()
            case "layout":
                return sse(dumps(value), name)[:-1]
            case _:
                return sse(dumps(value), name)


def now() -> str:
    """Return the time as this API writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _citations(tokens: int, turn: int) -> dict[int, Json]:
    """Citations by the number of the piece they follow, spread so that a piece stands on both sides of each."""
    count = min(len(_SOURCES), tokens // 2)
    first = 1 + turn * len(_SOURCES)
    return {
        tokens * (number + 1) // (count + 1): {
            "citation_id": f"citation_{first + number}",
            "source_type": source_type,
            "title": title,
            "url": url,
        }
        for number, (source_type, title, url) in enumerate(_SOURCES[:count])
    }


def _stamp(t_ns: int, block: bytes) -> bytes:
    """Return the comment line with the send time before the `event:` line; no reader takes it for data."""
    return b": t_ns=%d\n" % t_ns if block.startswith(b"event:") else b""
