"""The sans-I/O core on plain values: how a reply and a run end (SAFETY R1, R2, R4)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import ClassVar

import pytest
from replies import CUT, DONE, ERROR, SSE, STEP, TEXT, chunk, read

from streamnb.conversation import MAX_CALLS, MAX_PAGES, Conversation, Reading, Step
from streamnb.errors import LimitError, ProtocolError, UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers import Call, Ending, Provider, Reply, ReplyHead, Seen, load
from streamnb.providers._error_body import error_event
from streamnb.wire import Frame, Framer, JSONLFramer


@pytest.mark.parametrize("framing", ["chunked", "length", "close", None])
@pytest.mark.parametrize(
    ("body", "cause", "outcome"),
    [
        (TEXT + chunk(finish="stop") + DONE, None, "complete"),
        (TEXT + chunk(finish="stop"), None, "complete"),
        (TEXT + DONE, None, "complete"),
        (TEXT + chunk(finish="length") + DONE, None, "length"),
        (TEXT + chunk(finish="content_filter") + DONE, None, "filtered"),
        (chunk(finish="tool_calls") + DONE, None, "tool_calls"),
        (chunk(finish="function_call") + DONE, None, "tool_calls"),
        (TEXT + chunk(finish="error") + DONE, None, "error_in_stream"),
        (TEXT + chunk(finish="a reason of tomorrow") + DONE, None, "complete"),
        (TEXT, None, "truncated"),
        (TEXT + chunk("No", index=1) + chunk(finish="stop"), None, "truncated"),
        (TEXT + chunk("No", index=1) + chunk(finish="stop"), CUT, "protocol_error"),
        (TEXT + chunk("No", index=1) + chunk(finish="stop") + DONE, None, "complete"),
        (TEXT + ERROR + DONE, None, "error_in_stream"),
        (TEXT + ERROR + chunk(finish="stop") + DONE, None, "error_in_stream"),
        (TEXT + ERROR, CUT, "error_in_stream"),
        (b": ping\n\n", None, "truncated"),
        (TEXT[:-20], None, "truncated"),
        (b"", None, "protocol_error"),
        (TEXT, CUT, "protocol_error"),
        (TEXT + chunk(finish="stop"), CUT, "complete"),  # F31: the API had said that it was over
        (TEXT + chunk(finish="stop") + DONE, Outcome.TIMEOUT_IDLE, "complete"),
        (TEXT, Outcome.TIMEOUT_FIRST, "timeout_first"),
        (TEXT, Outcome.TIMEOUT_IDLE, "timeout_idle"),
        (TEXT, Outcome.CONNECT_ERROR, "connect_error"),
        (TEXT, Outcome.CRASHED, "crashed"),
        (TEXT + chunk(finish="stop"), Outcome.TIMEOUT_TOTAL, "timeout_total"),
        (TEXT + chunk(finish="stop"), Outcome.INTERRUPTED, "interrupted"),
        (TEXT + chunk(finish="stop"), Outcome.STOPPED, "stopped"),
        (TEXT + chunk(finish="stop"), Outcome.LIMIT, "limit"),
        (ERROR, Outcome.INTERRUPTED, "interrupted"),
        (b"", Outcome.STOPPED, "stopped"),
    ],
)
def test_a_stream_with_an_end_marker_ends_as_it_says_whatever_the_framing(body, cause, outcome, framing):
    opened, _ = read(body)
    assert opened.outcome(Ending(cause, framing)) == outcome


@pytest.mark.parametrize(
    ("provider", "body", "cause", "framing", "outcome"),
    [
        ("typebot", STEP + b'0:"Hi"\nd:{"finishReason":"stop"}\n', None, "close", "complete"),
        ("typebot", STEP + b'0:"Hi"\nd:{"finishReason":"stop"}\n', CUT, "chunked", "complete"),
        ("typebot", STEP + b'0:"Hi"\nd:{"finishReason":"length"}\n', None, "chunked", "length"),
        ("typebot", STEP + b'd:{"finishReason":"content-filter"}\n', None, "chunked", "filtered"),
        ("typebot", STEP + b'd:{"finishReason":"tool-calls"}\n', None, "chunked", "tool_calls"),
        ("typebot", STEP + b'd:{"finishReason":"error"}\n', None, "chunked", "error_in_stream"),
        ("typebot", STEP + b'd:{"finishReason":"other"}\n', None, "chunked", "complete"),
        ("typebot", STEP + b'0:"Hi"\n', None, "chunked", "truncated"),
        ("typebot", STEP + b'0:"Hi"\n', CUT, "chunked", "protocol_error"),
        ("typebot", STEP + b'0:"Hi"\n3:"no"\nd:{"finishReason":"stop"}\n', None, "chunked", "error_in_stream"),
        ("typebot", b'0:"Hi"\n', None, "chunked", "complete"),
        ("typebot", b'0:"Hi"\n', None, "length", "complete"),
        ("typebot", b'0:"Hi"\n', None, "close", "ended_unverified"),
        ("typebot", b'0:"Hi"\n', None, None, "ended_unverified"),
        ("typebot", b'0:"Hi"\n', CUT, "chunked", "protocol_error"),
        ("typebot", b'0:"Hi"\n', Outcome.TRUNCATED, "chunked", "truncated"),
        ("typebot", b'0:"Hi"\n0:"ho', None, "chunked", "truncated"),
        ("typebot", b'9:{"toolCallId":"1","toolName":"t","args":{}}\n', None, "chunked", "truncated"),
        ("typebot", b"raw text", None, "chunked", "complete"),
        ("typebot", b"raw text", None, "close", "ended_unverified"),
        ("typebot", b"raw caf\xc3", None, "chunked", "truncated"),
        ("typebot", b"data: text\n\n", None, "chunked", "complete"),
        ("typebot", b"{}", None, "length", "protocol_error"),
        ("typebot", b'{"message":"no","status":404}', None, "length", "error_in_stream"),
        ("typebot", b'{"answer":', None, "length", "protocol_error"),
        ("sse", b"data: text\n\n", None, "chunked", "ended_unverified"),
        ("sse", b"data: text\n\ndata: [DONE]\n\n", None, "chunked", "ended_unverified"),
        ("sse", b'data: {"cut":', None, "chunked", "truncated"),
        ("sse", b"data: text\n\n", CUT, "chunked", "protocol_error"),
        ("sse", b"event: error\ndata: no\n\n", None, "chunked", "error_in_stream"),
        ("sse", b": ping\n\n", None, "chunked", "ended_unverified"),
        ("sse", b"", None, "length", "protocol_error"),
    ],
)
def test_a_stream_ends_as_its_dialect_documents(provider, body, cause, framing, outcome):
    opened, _ = read(body, provider)
    assert opened.outcome(Ending(cause, framing)) == outcome


@pytest.mark.parametrize(
    ("status", "cause", "outcome"),
    [
        (204, None, "http_error"),
        (206, None, "http_error"),
        (301, None, "http_error"),
        (404, None, "http_error"),
        (503, CUT, "http_error"),
        (503, Outcome.TIMEOUT_IDLE, "http_error"),
        (503, Outcome.INTERRUPTED, "interrupted"),
    ],
)
def test_any_status_but_200_is_an_http_error_even_with_an_event_stream_as_body(status, cause, outcome):
    opened, events = read(TEXT + DONE, status=status)  # C21
    assert opened.outcome(Ending(cause)) == outcome
    assert [event.kind for event in events] == ["error"]
    assert events[0].data == {"status": status}


@pytest.mark.parametrize(
    ("status", "body", "cause", "outcome"),
    [
        (200, b'{"messages":[]}', None, "complete"),
        (201, b"{}", None, "complete"),
        (200, b"", None, "protocol_error"),
        (200, b"<html>", None, "protocol_error"),
        (200, b'{"messages":', None, "protocol_error"),
        (200, b'{"messages":[' + b" " * (1 << 20) + b"]}", None, "limit"),
        (200, b"[" * 300 + b"]" * 300, None, "limit"),
        (200, b'{"messages":[]}', CUT, "protocol_error"),
        (200, b'{"messages":[]}', Outcome.TIMEOUT_IDLE, "timeout_idle"),
        (200, b'{"message":"no","code":"X"}', None, "error_in_stream"),
        (404, b'{"message":"no","code":"X"}', None, "http_error"),
    ],
)
def test_a_step_of_a_flow_ends_well_only_when_its_json_was_understood(status, body, cause, outcome):
    opened, _ = read(body, "typebot", status=status, call=Call("continueChat"))
    assert opened.outcome(Ending(cause)) == outcome


class Lines(Provider):
    """JSON Lines whose documented end is the end of the body; a line without `text` breaks its format."""

    key_env = None
    base_url = "https://lines.example"
    eof_is_terminal = True

    def request(self, prompt: Prompt) -> Call:
        return Call("lines", body={"q": prompt.text}, stream=True)

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        return JSONLFramer(limit=100)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        if frame.value is None:
            yield Event("unknown", flags=frozenset({"malformed"}))
        elif "text" not in frame.value:
            raise ProtocolError("lines sent a line without `text`; report it to lines.example.")
        else:
            yield Event("delta", frame.value["text"])


def lines(body: bytes) -> tuple[Reading, list[Event]]:
    opened = Reading(Lines(), Call("lines", stream=True), ReplyHead(200, {"content-type": "application/jsonl"}))
    events = [*opened.feed(body).events, *opened.close().events]
    return opened, events


@pytest.mark.parametrize(
    ("body", "framing", "outcome"),
    [
        (b'{"text":"Hi"}\n', "chunked", "complete"),
        (b'{"text":"Hi"}\n', "length", "complete"),
        (b'{"text":"Hi"}\n', "close", "ended_unverified"),
        (b'{"text":"Hi"}\n', None, "ended_unverified"),
        (b'{"text":"Hi"}\n[1', "chunked", "truncated"),
        (b'{"text":"Hi"}\n{"txet":1}\n{"text":"!"}\n', "chunked", "protocol_error"),
    ],
)
def test_where_the_end_of_the_body_is_the_documented_end_only_a_proper_one_is_complete(body, framing, outcome):
    # JSON Lines frames carry `truncated`, not `unterminated`; either way a cut value is no end.
    opened, _ = lines(body)
    assert opened.outcome(Ending(None, framing)) == outcome


def test_a_missing_mandatory_field_is_a_protocol_error_and_the_stream_goes_on():
    opened, events = lines(b'{"text":"Hi"}\n{"txet":1}\n{"text":"!"}\n')
    assert [(event.kind, event.text) for event in events] == [
        ("delta", "Hi"),
        ("error", "lines sent a line without `text`; report it to lines.example."),
        ("delta", "!"),
    ]
    assert events[1].flags == {"malformed"}
    outcome = opened.outcome(Ending(None))
    assert opened.explain(outcome, Ending(None)) == events[1].text


class Circle(Provider):
    """Asks for ever, unless told to break."""

    key_env = None
    base_url = "https://circle.example"

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        while True:
            yield Call("again")
            if prompt.text == "break":
                raise ProtocolError("circle broke; nothing to do.")

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        yield error_event(frame.value) if frame.value else Event("item")


def answer(conversation: Conversation, body: bytes = b"{}", status: int = 200, ending: Ending | None = None) -> Outcome:
    conversation.begin(ReplyHead(status, {}))
    conversation.feed(body)
    conversation.close()
    return conversation.end(ending or Ending())


def test_a_run_makes_at_most_20_calls():
    conversation = Conversation(Circle(), Prompt())
    for _ in range(MAX_CALLS):
        assert conversation.call.name == "again"
        answer(conversation)
    assert conversation.call is None
    assert conversation.n_calls == MAX_CALLS == 20
    assert conversation.outcome is Outcome.LIMIT
    assert conversation.error == "test_conversation: 20 calls in one run; the flow goes round in circles."


def test_a_flow_that_breaks_ends_the_run():
    conversation = Conversation(Circle(), Prompt("break"))
    assert answer(conversation) is Outcome.COMPLETE
    assert (conversation.outcome, conversation.error) == (Outcome.PROTOCOL_ERROR, "circle broke; nothing to do.")
    assert conversation.call is None


def test_a_bad_reply_ends_the_run_and_no_further_call_is_due():
    conversation = Conversation(Circle(), Prompt())
    assert answer(conversation, b'{"message":"no"}', 500) is Outcome.HTTP_ERROR
    assert conversation.call is None
    assert conversation.outcome is Outcome.HTTP_ERROR
    assert conversation.error == (
        "test_conversation answered 500 to again: no. The fault is on the provider's side; run it again."
    )


def test_a_run_without_a_reply_ends_as_the_local_side_says():
    conversation = Conversation(load("openai_chat")(), Prompt("Hi", model="m"))
    conversation.abort(Outcome.CONNECT_ERROR, "openai_chat: no connection.")
    assert (conversation.call, conversation.outcome, conversation.error) == (
        None,
        Outcome.CONNECT_ERROR,
        "openai_chat: no connection.",
    )
    with pytest.raises(ProtocolError, match="no call is open"):
        conversation.begin(ReplyHead())


def test_bytes_without_a_reply_are_refused():
    conversation = Conversation(load("openai_chat")(), Prompt("Hi", model="m"))
    assert not conversation.replying
    with pytest.raises(ProtocolError, match="no reply has begun"):
        conversation.feed(b"x")
    conversation.begin(ReplyHead(200, SSE))
    assert conversation.replying


def test_a_line_beyond_the_limit_is_the_drivers_to_see_and_closing_says_nothing_new():
    conversation = Conversation(Lines(), Prompt("Hi"))
    conversation.begin(ReplyHead())
    assert conversation.feed(b'{"text":"Hi"}\n').progress
    with pytest.raises(LimitError):
        conversation.feed(b"x" * 101)
    assert conversation.close() == Step()
    assert conversation.end(Ending(Outcome.LIMIT, detail="too long.")) is Outcome.LIMIT
    assert (conversation.outcome, conversation.error) == (Outcome.LIMIT, "test_conversation: too long.")


def test_the_outcome_of_a_run_is_that_of_its_last_stream():
    conversation = Conversation(load("typebot")(session_id="s"), Prompt())
    answer(conversation, STEP + b'0:"Hi"\nd:{"finishReason":"length"}\n')
    assert conversation.call.name == "continueChat"
    assert answer(conversation, b'{"messages":[]}') is Outcome.COMPLETE
    assert (conversation.outcome, conversation.error) == (Outcome.LENGTH, None)


def test_the_flow_gets_the_text_and_the_events_it_looks_back_at():
    seen = []

    class Looking(Provider):
        key_env = None

        def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
            seen.append((yield Call("stream", stream=True)))

        read = load("openai_chat").read

    answer(Conversation(Looking(), Prompt()), b": ping\n\n" + TEXT + chunk("!", finish="stop") + DONE)
    (reply,) = seen
    assert (reply.text, reply.outcome, reply.status) == ("Hi!", Outcome.COMPLETE, 200)
    assert [event.kind for event in reply.events] == ["start", "end", "end"]


def test_a_stop_that_comes_after_the_end_changes_no_outcome():
    conversation = Conversation(load("openai_chat")("http://127.0.0.1"), Prompt("Hi"))
    conversation.begin(ReplyHead(200, {"content-type": "text/event-stream"}))
    conversation.feed(
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    conversation.close()
    conversation.end(Ending())
    conversation.abort(Outcome.STOPPED, "stopped")
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


class Pages(Lines):
    """Streams its records page by page; a page with `{"next": cursor}` on its last line has one behind it."""

    lists: ClassVar[dict[str, str]] = {"things": "all the things", "circles": "pages that never end"}

    def listing(self, kind: str, take: int | None) -> Generator[Call, Reply, None]:
        cursor, left = "", take
        while cursor is not None and (left is None or left > 0):
            query = {"cursor": cursor} | ({} if left is None else {"take": str(left)})
            reply = yield Call("list", "GET", "/" + kind, query=query, stream=True, ends_at_eof=True)
            items = [event for event in reply.events if event.kind == "item"]
            left = None if left is None else left - len(items)
            cursor = next((event.name for event in reply.events if event.kind == "trace"), None)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        match frame.value:
            case {"next": cursor}:
                yield Event("trace", name=cursor)
            case {"error": _}:
                yield error_event(frame.value)
            case {"id": ident}:
                yield Event("item", name="thing", id=ident, data=frame.value)
            case _:
                yield Event("unknown", flags=frame.flags)


def page(conversation: Conversation, body: bytes, framing: str = "chunked", cause: Outcome | None = None) -> Outcome:
    return answer(conversation, body, ending=Ending(cause, framing))


def test_a_list_is_asked_for_page_by_page_and_not_with_the_flow_of_a_prompt():
    conversation = Conversation(Pages(), Prompt("not sent", records="things", take=3))
    call = conversation.call
    assert (call.method, call.path, call.query, call.ends_at_eof) == (
        "GET",
        "/things",
        {"cursor": "", "take": "3"},
        True,
    )
    assert page(conversation, b'{"id":"a"}\n{"id":"b"}\n{"next":"p2"}\n') is Outcome.COMPLETE
    assert conversation.call.query == {"cursor": "p2", "take": "1"}
    assert conversation.outcome is None
    page(conversation, b'{"id":"c"}\n{"next":"p3"}\n')
    assert (conversation.call, conversation.outcome, conversation.error) == (None, Outcome.COMPLETE, None)


def test_without_a_number_every_page_is_asked_for():
    conversation = Conversation(Pages(), Prompt(records="things"))
    page(conversation, b'{"id":"a"}\n{"next":"p2"}\n')
    assert conversation.call.query == {"cursor": "p2"}
    page(conversation, b"")
    assert (conversation.n_calls, conversation.outcome) == (2, Outcome.COMPLETE)


@pytest.mark.parametrize(
    ("body", "framing", "cause", "outcome"),
    [
        (b'{"id":"a"}\n', "chunked", None, "complete"),
        (b'{"id":"a"}\n', "length", None, "complete"),
        (b'{"id":"a"}\n', "close", None, "ended_unverified"),
        (b'{"id":"a"}\n', None, None, "ended_unverified"),
        (b"", "chunked", None, "complete"),
        (b"", "close", None, "ended_unverified"),
        (b'{"id":"a"}\n{"id":"b', "chunked", None, "truncated"),
        (b'{"id":"a"}\n{"id":"b', "close", CUT, "protocol_error"),
        (b'{"id":"a"}\n', "chunked", CUT, "protocol_error"),
        (b"", "chunked", CUT, "protocol_error"),
        (b'{"id":"a"}\n', "chunked", Outcome.TIMEOUT_IDLE, "timeout_idle"),
        (b'{"id":"a"}\n', "chunked", Outcome.STOPPED, "stopped"),
        (b'{"id":"a"}\n{"error":"boom"}\n', "chunked", None, "error_in_stream"),
        (b'{"error":"boom"}\n', "chunked", CUT, "error_in_stream"),
        (b"<html>\n", "chunked", None, "protocol_error"),
        (b'"what?"\n', "chunked", None, "protocol_error"),
        (b'{"id":"a"}\n"what?"\n', "chunked", None, "complete"),
    ],
)
def test_a_list_may_be_empty_and_ends_with_its_body(body, framing, cause, outcome):
    conversation = Conversation(Pages(), Prompt(records="things"))
    assert page(conversation, body, framing, cause) == outcome
    assert conversation.outcome == outcome
    assert (conversation.error is None) is Outcome(outcome).ok


def test_the_same_bytes_are_no_whole_stream_where_the_end_of_the_body_is_not_the_documented_end():
    opened = Reading(Pages(), Call("list", stream=True), ReplyHead())
    opened.close()
    assert opened.outcome(Ending()) is Outcome.PROTOCOL_ERROR


def test_a_failed_page_ends_the_run_and_what_came_before_is_kept():
    conversation = Conversation(Pages(), Prompt(records="things"))
    page(conversation, b'{"id":"a"}\n{"next":"p2"}\n')
    assert answer(conversation, b'{"message":"no"}', 429) is Outcome.HTTP_ERROR
    assert (conversation.call, conversation.outcome, conversation.n_calls) == (None, Outcome.HTTP_ERROR, 2)
    assert conversation.error.startswith("test_conversation answered 429: no. ")


def test_a_list_has_a_thousand_pages_at_most():
    conversation = Conversation(Pages(), Prompt(records="circles"))
    for _ in range(MAX_PAGES):
        assert conversation.call.path == "/circles"
        page(conversation, b'{"next":"again"}\n')
    assert (conversation.n_calls, conversation.outcome) == (MAX_PAGES, Outcome.LIMIT) == (1000, Outcome.LIMIT)
    assert conversation.error == "test_conversation: 1000 calls in one run; what came is kept; ask for fewer with take."


def test_a_provider_without_lists_says_so():
    with pytest.raises(UsageError, match=r"test_conversation defines no listing\(\) for 'things'"):
        Conversation(Lines(), Prompt(records="things", take=1))
