"""The sans-I/O core on plain values: which outcome, which line about it, what counts as progress."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from streamnb.conversation import MAX_CALLS, Conversation, Reading, Step
from streamnb.errors import LimitError, ProtocolError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers import Call, Ending, Provider, Reply, ReplyHead, Seen, load
from streamnb.providers._error_body import error_event
from streamnb.redaction import Secret
from streamnb.wire import Frame, Framer, JSONLFramer

SSE = {"content-type": "text/event-stream"}
CUT = Outcome.PROTOCOL_ERROR  # what the transport says of a body that breaks off


def chunk(content: str = "", finish: str | None = None, index: int = 0) -> bytes:
    delta = '{"content":"%s"}' % content if content else "{}"
    reason = "null" if finish is None else f'"{finish}"'
    return b'data: {"choices":[{"index":%d,"delta":%s,"finish_reason":%s}]}\n\n' % (
        index,
        delta.encode(),
        reason.encode(),
    )


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


# -- the line about it ------------------------------------------------------------------------------------------------

BEARER = Call("chat.completions", stream=True, headers={"Authorization": Secret("OPENAI_API_KEY", prefix="Bearer ")})


def explained(status: int, body: bytes = b"", call: Call = BEARER, provider: str = "openai_chat", **headers: str) -> str:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    opened, _ = read(body, provider, status=status, headers=names, call=call)
    line = opened.explain(opened.outcome(Ending()), Ending())
    assert line is not None
    assert "\n" not in line
    assert line.endswith(".")
    return line


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "The server refused the request; check the model, the parameters and the ids."),
        (401, "Check the key in OPENAI_API_KEY."),
        (402, "no credit"),
        (403, "Check the key in OPENAI_API_KEY and what it may use."),
        (404, "Check the base URL, the model and the ids."),
        (408, "run it again."),
        (413, "shorten it."),
        (422, "The server refused the request"),
        (429, "wait and run it again."),
        (451, "The server refused the request"),
        (500, "The fault is on the provider's side; run it again."),
        (503, "overloaded or down; wait and run it again."),
        (529, "overloaded; wait and run it again."),
        (591, "The fault is on the provider's side; run it again."),
        (307, "The redirect was not followed; give the final address with --base-url."),
    ],
)
def test_a_status_is_explained_with_whose_fault_and_what_next(status, says):
    line = explained(status, b'{"error":{"message":"no"}}')
    assert line.startswith(f"openai_chat answered {status}: no. ")
    assert line.endswith(says) or says in line


@pytest.mark.parametrize(
    ("retry_after", "says"),
    [
        ("20", "wait 20 s and"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "wait until Wed, 21 Oct 2026 07:28:00 GMT and"),
        ("soon", "wait and"),
        ("-1", "wait and"),
        ("²", "wait and"),
    ],
)
def test_retry_after_is_told_when_it_says_something(retry_after, says):
    assert says in explained(429, retry_after=retry_after)


@pytest.mark.parametrize("name", ["x_request_id", "request_id", "apim_request_id"])
def test_the_request_id_is_told(name):
    assert "no message (request req-7). " in explained(500, **{name: "req-7"})


def test_a_redirect_is_not_followed_and_its_target_is_named_without_credentials():
    line = explained(308, location="https://user:pw@new.example/v1?key=abc")
    assert "The redirect to https://REDACTED:REDACTED@new.example/v1?key=REDACTED was not followed" in line
    assert "The redirect was not followed" in explained(308, location="<redacted>")


@pytest.mark.parametrize("status", [401, 403])
def test_a_call_that_carried_no_key_does_not_blame_the_key(status):
    line = explained(status, call=Call("continueChat"), provider="typebot")
    assert line.startswith(f"typebot answered {status} to continueChat: no message. No key was sent;")


def test_a_key_in_the_query_is_named_too():
    call = Call("chat", stream=True, query={"key": Secret("MY_KEY")})
    assert explained(401, call=call).endswith("Check the key in MY_KEY.")


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"bad","type":"t","code":"c"}}', "bad", "c"),
        (b'{"error":{"message":"bad","type":"t","code":null}}', "bad", "t"),
        (b'{"error":{"message":{"message":"inner"}}}', "inner", "400"),
        (b'{"error":{"message":{"why":1}}}', '{"why": 1}', "400"),
        (b'{"error":{"reason":"x"}}', '{"reason": "x"}', "400"),
        (b'{"error":"bad","code":"c"}', "bad", "c"),
        (b'{"error":true,"message":"bad"}', "bad", "400"),
        (b'{"error":{},"detail":"bad"}', "bad", "400"),
        (b'{"errors":["bad","worse"]}', "bad", "400"),
        (b'{"errors":[{"message":"bad","code":7}]}', "bad", "7"),
        (b'{"errors":[],"message":"bad"}', "bad", "400"),
        (b'{"message":"bad","details":"in line 3"}', "bad (in line 3)", "400"),
        (b'{"message":"bad","context":"while streaming"}', "bad (while streaming)", "400"),
        (b'{"message":"bad","code":"NOT_FOUND","issues":[]}', "bad", "NOT_FOUND"),
        (b'{"description":"bad","status":"INVALID"}', "bad", "INVALID"),
        (b'{"detail":"bad"}', "bad", "400"),
        (b'{"detail":[{"loc":["body","query"],"msg":"Field required","type":"missing"}]}', "body.query: Field required", "400"),
        (b'{"detail":[{"loc":null,"msg":"Field required"}]}', "Field required", "400"),
        (b'{"detail":["bad"]}', "bad", "400"),
        (b'{"detail":{"x":1}}', '{"detail":{"x":1}}', "400"),
        (b'[{"error":{"message":"bad","status":"INVALID_ARGUMENT"}}]', "bad", "INVALID_ARGUMENT"),
        (b"[]", "[]", "400"),
        (b'"just a string"', "just a string", "400"),
        (b"upstream connect error\n or reset", "upstream connect error or reset", "400"),
        (b"", "", "400"),
        (b"<html><head><style>p {}</style><title>502 Bad\nGateway</title></head></html>", "502 Bad Gateway", "400"),
        ("b\xfcse".encode("latin-1"), "b\ufffdse", "400"),
        (b'{"message":true,"code":true}', '{"message":true,"code":true}', "400"),
    ],
)
def test_the_message_of_an_error_body_is_found_wherever_vendors_put_it(body, message, code):
    _, events = read(body, status=400)  # WIRE 0.7
    assert (events[0].text, events[0].name) == (message, code)


def test_of_a_long_error_body_the_line_shows_the_beginning_and_the_event_keeps_it():
    body = b'{"error":{"message":"' + b"x" * 9000 + b'"}}'
    assert len(explained(500, body)) < 700
    _, events = read(body, status=500)
    assert len(events[0].text) == 9000


def test_of_an_error_body_only_64_kib_are_read():
    opened = reading(status=500)
    opened.feed(b"y" * 100_000)
    assert len(opened.close().events[0].text) == 300


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({"content-type": "text/html; charset=utf-8"}, b"<html>", "6 bytes of text/html instead of a stream"),
        ({"content-type": "application/json"}, b'{"ok":true}', "11 bytes of application/json instead of a stream"),
        ({}, b"", "an empty body (no Content-Type) instead of a stream"),
        (SSE, b"", "an empty body (text/event-stream) instead of a stream"),
        (SSE, b"data: 1\n\n", "9 bytes of text/event-stream instead of a stream"),
    ],
)
def test_200_without_a_stream_names_what_came_and_the_base_url(headers, body, says):
    opened, _ = read(body, headers=headers, base_url="https://u:p@api.example/v1")
    assert opened.outcome(Ending()) is Outcome.PROTOCOL_ERROR
    assert opened.explain(Outcome.PROTOCOL_ERROR, Ending()) == (
        f"openai_chat answered 200 with {says}; check the base URL https://REDACTED:REDACTED@api.example/v1."
    )


def test_a_step_that_is_no_json_names_the_call():
    opened, _ = read(b"<html>", "typebot", headers={"content-type": "text/html"}, call=Call("startChat"))
    assert "with 6 bytes of text/html instead of JSON to startChat; " in opened.explain(
        opened.outcome(Ending()), Ending()
    )


@pytest.mark.parametrize(
    ("body", "ending", "says"),
    [
        (TEXT, Ending(), "openai_chat: the stream ended without its end marker; the text is incomplete. Run it again."),
        (
            TEXT + chunk(finish="content_filter"),
            Ending(),
            "openai_chat: the provider's content filter stopped the answer; rephrase the prompt.",
        ),
        (
            TEXT + chunk(finish="error"),
            Ending(),
            "openai_chat: the API ended the stream with an error and no message. What arrived is kept; run it again.",
        ),
        (TEXT, Ending(CUT, "chunked", "the connection\nbroke off."), "openai_chat: the connection broke off."),
        (TEXT, Ending(Outcome.TIMEOUT_IDLE, detail="no data for 120 s"), "openai_chat: no data for 120 s"),
        (TEXT, Ending(Outcome.TIMEOUT_IDLE), "openai_chat: timeout_idle"),
        (ERROR, Ending(Outcome.INTERRUPTED), "openai_chat: interrupted; what arrived is kept."),
        (TEXT, Ending(Outcome.STOPPED), "openai_chat: stopped; what arrived is kept."),
        (TEXT, Ending(Outcome.CRASHED), "openai_chat: the process that recorded it died; what it wrote is here."),
        (
            ERROR,
            Ending(),
            "openai_chat reported an error in the stream: boom. What arrived is kept; run it again.",
        ),
        (
            b'data: {"error":{"message":"boom\\n  at line 3!","code":"E7"}}\n\n',
            Ending(),
            "openai_chat reported an error in the stream: boom at line 3! (E7). What arrived is kept; run it again.",
        ),
        (
            b"event: error\n\n",
            Ending(),
            "openai_chat reported an error in the stream: an error without a message. "
            "What arrived is kept; run it again.",
        ),
        (
            b'data: {"message":"boom","status":429}\n\n',
            Ending(),
            "openai_chat answered 429 inside HTTP 200: boom. "
            "Too many requests or no quota left; wait and run it again.",
        ),
        (TEXT + chunk(finish="stop"), Ending(), None),
        (TEXT + chunk(finish="length"), Ending(), None),
    ],
)
def test_every_bad_outcome_has_one_line_and_a_good_one_has_none(body, ending, says):
    opened, _ = read(body)
    assert opened.explain(opened.outcome(ending), ending) == says


# -- what counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai_chat", b": OPENROUTER PROCESSING\n\n"),
        ("openai_chat", b":\n\n"),
        ("openai_chat", b"data:\n\n"),
        ("openai_chat", b"data:   \n\n"),
        ("openai_chat", b"data: : keepalive\n\n"),
        ("openai_chat", b"event: ping\n\n"),
        ("openai_chat", b'event: ping\ndata: {"type":"ping"}\n\n'),
        ("openai_chat", b"event: message\n\n"),
        ("sse", b"data: : keep-alive\n\n"),
        ("sse", b"data:: PING 3\n\n"),
        ("sse", b"data: : openrouter processing\n\n"),
        ("typebot", b": heartbeat\n\n"),
        ("typebot", b"data: : heartbeat\n\n"),
    ],
)
def test_a_keep_alive_is_a_ping_and_never_progress(provider, body):
    opened, events = reading(provider), []
    step = opened.feed(body)
    assert not step.progress
    events = [*step.events, *opened.close().events]
    assert {event.kind for event in events} == {"ping"}
    assert opened.seen.text() == ""


@pytest.mark.parametrize("body", [b"id: 7\n\n", b"retry: 10\n\n", b"\n\n\n", b": t_ns=5\n\n", chunk(), b""])
def test_what_says_nothing_is_no_progress(body):
    opened = reading()
    opened.feed(chunk(finish=None))  # the first chunk is the start
    assert not opened.feed(body).progress


@pytest.mark.parametrize("body", [TEXT, ERROR, chunk(finish="stop"), DONE, b"data: {broken\n\ndata: x\n\n"])
def test_what_says_something_is_progress(body):
    assert reading().feed(body).progress
    assert not Step().progress


@pytest.mark.parametrize("provider", ["sse", "typebot"])
@pytest.mark.parametrize("text", [":", ": the end", ":)", " ", "\n", "processing", "ping"])
def test_where_data_may_be_text_colons_and_blanks_are_text(provider, text):
    opened, events = read(b"".join(b"data: %s\n" % line.encode() for line in text.split("\n")) + b"\n", provider)
    assert [(event.kind, event.text) for event in events] == [("delta", text)]


def test_the_servers_stamp_is_read_and_is_no_event():
    opened = reading()
    step = opened.feed(b": t_ns=12345\n" + TEXT)
    assert (step.server_t_ns, [event.kind for event in step.events], step.n_frames) == (12345, ["start", "delta"], 2)
    step = opened.feed(b": t_ns=soon\n\n")
    assert (step.server_t_ns, step.events[0].kind) == (None, "ping")


def test_the_servers_stamp_of_prefix_lines_is_read():
    opened = reading("typebot")
    step = opened.feed(b'8:[{"t_ns":77}]\n0:"Hi"\n8:[{"t_ns":78,"more":1}]\n8:[]\n')
    assert step.server_t_ns == 77
    assert [event.kind for event in step.events] == ["delta", "trace", "trace"]


def test_what_comes_after_the_end_marker_is_flagged_late():
    _, events = read(TEXT + chunk(finish="stop") + chunk("in time") + DONE + TEXT + ERROR + b": ping\n\n" + DONE)
    late = [(event.kind, "late" in event.flags) for event in events]
    assert late == [
        ("start", False),
        ("delta", False),
        ("end", False),
        ("delta", False),  # another answer may still come: only [DONE] ends them all
        ("end", False),
        ("delta", True),
        ("error", True),
        ("ping", False),
        ("end", False),
    ]
    _, events = read(b'd:{"finishReason":"stop"}\n0:"ghost"\n', "typebot")
    assert [event.flags for event in events] == [frozenset(), {"late"}]


def test_the_flags_of_the_frame_stand_on_its_events():
    _, events = read(b'data: {"choices":[{"delta":{"content":"caf\xe9"}}]}')
    assert [event.flags for event in events] == [{"lossy", "unterminated"}] * 2


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        (["\\ud83d", "\\ude00"], ["", "\U0001f600"]),
        (["a\\ud83d", "", "\\ude00b"], ["a", "\U0001f600b"]),
        (["a\\ud83d", "b"], ["a", "\ufffdb"]),
        (["\\ude00b"], ["\ufffdb"]),
        (["\\ud83d\\ud83d", "\\ude00"], ["\ufffd", "\U0001f600"]),
        (["ends in \\ud83d"], ["ends in ", "\ufffd"]),
        (["whole \\ud83d\\ude00"], ["whole \U0001f600"]),
    ],
)
def test_halves_of_a_surrogate_pair_become_one_character_and_a_lone_half_is_replaced(pieces, texts):
    opened, events = read(b"".join(map(chunk, pieces)))
    deltas = [event for event in events if event.kind == "delta"]
    assert [event.text for event in deltas] == texts
    assert opened.seen.text() == "".join(texts)
    for event in deltas:
        event.text.encode()  # R16: only well-formed text goes on


def test_halves_of_different_answers_do_not_meet():
    opened, events = read(
        chunk("\\ud83d") + chunk("\\ude00", index=1) + chunk("\\ude00") + chunk("x\\ud83d", index=1) + chunk(finish="stop")
    )
    assert (opened.seen.text(0), opened.seen.text(1)) == ("\U0001f600", "\ufffdx\ufffd")
    assert [event.kind for event in events][-2:] == ["end", "delta"]  # answer 1 never ended


def test_a_lone_half_stands_before_the_end_of_its_answer():
    _, events = read(chunk("x\\ud83d") + chunk(finish="stop") + DONE)
    assert [(event.kind, event.text) for event in events[1:]] == [("delta", "x"), ("delta", "\ufffd"), ("end", ""), ("end", "")]


def test_a_whole_message_that_ends_in_half_a_character_waits_for_nothing():
    body = b'{"messages":[{"type":"text","content":{"markdown":"a\\ud83d"}},{"type":"text","content":{"markdown":"b"}}]}'
    _, events = read(body, "typebot", call=Call("continueChat"))
    assert [event.text for event in events] == ["a\ufffd", "b"]


def test_the_frames_of_the_last_bytes_can_be_looked_at():
    opened = reading()
    opened.feed(TEXT + b"data: x")
    assert [frame.raw for frame in opened.frames] == [TEXT]
    opened.close()
    assert [frame.data for frame in opened.frames] == ["x"]


# -- the whole run ----------------------------------------------------------------------------------------------------


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
