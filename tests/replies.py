"""Replies of APIs in a few bytes, and one reading of them without a run around it."""

from __future__ import annotations

from typing import Any

from streamnb.conversation import Reading
from streamnb.events import Event, Outcome
from streamnb.providers import Call, ReplyHead, load

SSE = {"content-type": "text/event-stream"}
CUT = Outcome.PROTOCOL_ERROR  # what the transport says of a body that breaks off


def chunk(content: str = "", finish: str | None = None, index: int = 0) -> bytes:
    """A chunk of OpenAI's; `content` goes in as JSON escapes have it."""
    delta = f'{{"content":"{content}"}}' if content else "{}"
    reason = f'"{finish}"' if finish else "null"
    choice = f'{{"index":{index},"delta":{delta},"finish_reason":{reason}}}'
    return f'data: {{"choices":[{choice}]}}\n\n'.encode()


DONE = b"data: [DONE]\n\n"
TEXT = chunk("Hi")
ERROR = b'data: {"error":{"message":"boom"}}\n\n'
STEP = b'f:{"messageId":"s"}\n'


def reading(
    provider: str = "openai_chat",
    status: int = 200,
    headers: dict[str, str] | None = None,
    call: Call | None = None,
    **options: Any,
) -> Reading:
    made = load(provider)(**options)
    if headers is None:
        headers = {} if provider == "typebot" else SSE
    return Reading(made, call or Call(made.stream_name, stream=True), ReplyHead(status, headers))


def read(body: bytes, provider: str = "openai_chat", **more: Any) -> tuple[Reading, list[Event]]:
    opened = reading(provider, **more)
    events = [*opened.feed(body).events, *opened.close().events]
    return opened, events
