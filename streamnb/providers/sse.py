"""Any Server-Sent Events endpoint: the raw stream, its times, and its text where the data is plain text.

Knows SSE frames only. Must not know: sockets, clocks, any vendor. No dialect, so no run of it is ever `complete`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from streamnb.events import Event, Outcome, Prompt
from streamnb.providers._ai_sdk import DONE, is_text
from streamnb.providers._base import Call, Ending, Option, Provider, merge, parse
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._seen import Seen
from streamnb.wire import Frame

_JSON_HEADS: Final = frozenset('{["')


class SSE(Provider):
    """A POST (or GET) to `base_url`; the prompt goes into one field of the body."""

    title: ClassVar[str] = "any SSE endpoint, raw"
    doc_url: ClassVar[str] = "https://html.spec.whatwg.org/multipage/server-sent-events.html"
    key_env = "SSE_API_KEY"
    key_note: ClassVar[str] = "optional"
    key_required = False
    base_url = "http://127.0.0.1:8000"
    plain_text: ClassVar[bool] = True
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"path": "/v1/chat/completions", "prompt_field": "messages", "model": "simulated"}
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option("path", "appended to the base URL", default=""),
        Option("method", "HTTP method", default="POST", choices=("POST", "GET")),
        Option("prompt_field", "field of the JSON body that takes the prompt; messages: as a chat", default="prompt"),
    )

    def request(self, prompt: Prompt) -> Call:
        """One call; a GET carries no body."""
        headers, query = self.credentials()
        body = None
        if self.values["method"] == "POST":
            field = self.values["prompt_field"]
            said: dict[str, Any] = {field: prompt.text}
            if field == "messages":  # the chat bodies that most endpoints understand, streamed only when asked to
                said = {field: [{"role": "user", "content": prompt.text}], "stream": True}
            body = merge({**said, "model": prompt.model}, prompt.params)
        return Call(self.stream_name, self.values["method"], self.values["path"], body, headers, query, stream=True)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """JSON strings and plain text are deltas, JSON objects items named by their event type, errors are errors."""
        if frame.data.strip() == DONE:
            yield Event("end", name=DONE)
        elif "no_data" in frame.flags:
            yield Event("item", name=frame.event, id=frame.id or None)
        elif frame.data[:1] in _JSON_HEADS:
            yield _json(frame, seen)
        elif frame.event == "error":
            yield error_event(None, text=frame.data)
        else:
            yield Event("delta", frame.data, name=frame.event)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Nothing says that a generic stream is whole (SAFETY R2); only errors (R6) and cuts show."""
        if seen.error is not None:
            return Outcome.ERROR_IN_STREAM
        return ending.cause or (Outcome.TRUNCATED if seen.cut else Outcome.ENDED_UNVERIFIED)


def _json(frame: Frame, seen: Seen) -> Event:
    value, malformed = parse(frame)
    if malformed is not None:
        return Event("delta", frame.data, name=frame.event) if is_text(frame) else malformed
    if frame.event == "error" or (isinstance(value, dict) and says_error(value)):
        return error_event(value)
    if isinstance(value, str):
        return Event("delta", value, name=frame.event)
    if isinstance(value, list) and seen.count("delta") and not seen.count("item"):
        return Event("delta", frame.data, name=frame.event)  # "[1]", a footnote in plain text
    return Event("item", name=frame.event, id=frame.id or None, data=value)
