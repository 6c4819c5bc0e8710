"""ChatBotKit's requests on plain values, no sockets: which call comes when, with which body, and how it ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from samples import TRANSCRIPTS, bodies

from streamnb.conversation import Conversation, Reading
from streamnb.errors import UsageError
from streamnb.events import Event, Outcome, Prompt, Tool
from streamnb.providers import Call, Ending, ReplyHead, load
from streamnb.redaction import Secret
from streamnb.testing import events
from streamnb.wire import JSONBodyFramer, JSONLFramer, SniffFramer

ChatBotKit = load("chatbotkit")
JSONL = {"content-type": "application/jsonl"}
KEY = Secret("CHATBOTKIT_API_KEY", prefix="Bearer ", required=True)
RESULT = b"""{"type":"token","data":{"token":"Hi."}}
{"type":"result","data":{"id":"m2","text":"Hi.","end":{"reason":"stop"}}}
"""
CREATED = b'{"id":"conv/1","messages":[]}'
SENT = b'{"id":"m1","text":"Hi","entities":[],"usage":{"token":2}}'
USER = [{"type": "user", "text": "Hi"}]


def talk(text: str = "Hi", prompt: dict[str, Any] | None = None, **options: Any) -> Conversation:
    return Conversation(ChatBotKit(**options), Prompt(text, **(prompt or {})))


def play(conversation: Conversation, *replies: Any) -> list[tuple[str, str, Any]]:
    """Answer the calls in order; returns (name, path, body) of every call asked for, the open one included."""
    asked = []
    for reply in replies:
        call = conversation.call
        assert call is not None, f"the flow ended before {reply!r}"
        asked.append((call.name, call.path, call.body))
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        conversation.begin(ReplyHead(status, JSONL if call.stream else {"content-type": "application/json"}))
        conversation.feed(body)
        conversation.close()
        conversation.end(Ending())
    if conversation.call is not None:
        asked.append((conversation.call.name, conversation.call.path, conversation.call.body))
    return asked


# -- which calls --------------------------------------------------------------------------------------------------


def test_in_a_conversation_the_prompt_is_completed_with_one_call():
    conversation = talk(conversation_id="conv/1")
    assert play(conversation, RESULT) == [("complete", "/v1/conversation/conv%2F1/complete", {"text": "Hi"})]
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


def test_without_a_conversation_the_prompt_goes_as_a_message_with_bot_model_and_backstory():
    conversation = talk(prompt={"system": "Be kind.", "model": "gpt-x"}, bot_id="b")
    body = {"messages": USER, "botId": "b", "model": "gpt-x", "backstory": "Be kind."}
    assert play(conversation, RESULT) == [("complete", "/v1/conversation/complete", body)]
    assert play(talk()) == [("complete", "/v1/conversation/complete", {"messages": USER})]


def test_a_conversation_is_created_first_and_then_completed():
    conversation = talk(prompt={"system": "Be kind.", "model": "gpt-x"}, create=True, bot_id="b")
    assert play(conversation, CREATED, RESULT) == [
        ("create", "/v1/conversation/create", {"botId": "b", "model": "gpt-x", "backstory": "Be kind."}),
        ("complete", "/v1/conversation/conv%2F1/complete", {"text": "Hi"}),
    ]
    assert conversation.outcome is Outcome.COMPLETE


def test_a_conversation_that_is_named_is_not_created_again():
    asked = play(talk(prompt={"system": "Be kind."}, create=True, conversation_id="c"))
    assert asked == [("complete", "/v1/conversation/c/complete", {"text": "Hi"})]


def test_send_and_receive_are_two_calls_and_only_the_second_is_streamed():
    conversation = talk(prompt={"params": {"debug": True}}, conversation_id="c", send_receive=True)
    assert not conversation.call.stream
    assert play(conversation, SENT) == [
        ("send", "/v1/conversation/c/send", {"text": "Hi"}),
        ("receive", "/v1/conversation/c/receive", {"debug": True}),
    ]
    assert conversation.call.stream
    assert play(talk(create=True, send_receive=True), CREATED, SENT)[-1][0] == "receive"


def test_without_a_prompt_the_bot_goes_on_from_what_is_there():
    assert play(talk(" \n", conversation_id="c")) == [("complete", "/v1/conversation/c/complete", {})]
    assert play(talk("", conversation_id="c", send_receive=True)) == [("receive", "/v1/conversation/c/receive", {})]
    messages = [{"type": "bot", "text": "Hello"}]
    asked = play(talk("", prompt={"params": {"messages": messages}}))
    assert asked == [("complete", "/v1/conversation/complete", {"messages": messages})]


def test_a_system_prompt_for_a_conversation_goes_as_an_extension():
    extension = {"extensions": {"backstory": "Be brief."}}
    asked = play(talk(prompt={"system": "Be brief."}, conversation_id="c"))
    assert asked[-1][2] == {"text": "Hi", **extension}
    asked = play(talk(prompt={"system": "Be brief."}, conversation_id="c", send_receive=True), SENT)
    assert asked[-1][2] == extension


def test_parameters_go_into_the_body_of_the_stream_and_win():
    asked = play(talk(prompt={"params": {"limits": {"iterations": 1}, "text": None}}, conversation_id="c"))
    assert asked[-1][2] == {"limits": {"iterations": 1}}


@pytest.mark.parametrize(
    ("options", "prompt", "says"),
    [
        ({}, Prompt("  "), "chatbotkit needs a prompt, or --conversation-id ID"),
        ({"send_receive": True}, Prompt("Hi"), "--send-receive needs --conversation-id ID or --create"),
        ({"accept": "json"}, Prompt("Hi", tools=(Tool("now"),)), "leave --accept at jsonl or sse"),
        ({}, Prompt(records="messages"), "the list of messages needs --conversation-id ID"),
        ({}, Prompt(records="message"), "chatbotkit has no list 'message'. Did you mean messages"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(options, prompt, says):
    with pytest.raises(UsageError, match=says):
        Conversation(ChatBotKit(**options), prompt)


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([(403, b'{"message":"Not authorized","code":"NOT_AUTHORIZED"}')], "http_error"),
        ([b"{}"], "protocol_error"),
        ([b'{"id":""}'], "protocol_error"),
        ([b'{"id":7}'], "protocol_error"),
        ([b'{"message":"no","code":"CONFLICT"}'], "error_in_stream"),
        ([CREATED, (429, b'{"message":"no","code":"LIMITS_REACHED"}')], "http_error"),
    ],
)
def test_an_error_stops_the_flow(replies, outcome):
    conversation = talk(create=True)
    assert len(play(conversation, *replies)) == len(replies)
    assert conversation.outcome == outcome
    assert conversation.error.startswith("chatbotkit")


# -- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "header"),
    [("jsonl", "application/jsonl"), ("sse", "text/event-stream"), ("json", "application/json")],
)
def test_the_stream_asks_for_exactly_one_type(accept, header):
    assert talk(accept=accept).call.headers == {"Accept": header, "Authorization": KEY}


def test_steps_carry_the_key_too_and_the_scheme_is_an_option():
    assert talk(create=True).call.headers == {"Authorization": KEY}
    token = Secret("MY_KEY", prefix="Token ", required=True)
    provider = ChatBotKit(key_env="MY_KEY", auth_scheme="token")
    call = Conversation(provider, Prompt("Hi")).call
    assert call.headers["Authorization"] == token


def test_the_prefix_and_the_host_are_options():
    conversation = Conversation(ChatBotKit("https://bots.example/", prefix="/api/v1"), Prompt("Hi"))
    assert conversation.provider.base_url + conversation.call.path == (
        "https://bots.example/api/v1/conversation/complete"
    )
    assert ChatBotKit().base_url == "https://api.chatbotkit.com"


# -- functions of this process --------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def test_functions_are_declared_with_the_channel_their_result_is_published_to():
    tools = (Tool("weather", "How it is outside.", {**SCHEMA, "title": "Weather", "$schema": "x"}), Tool("now"))
    prompt = {"tools": tools, "fresh_id": "0f9d2c3a-58b1-4e07-9c44-2a7d51c0be61"}
    functions = [
        {
            "name": "weather",
            "description": "How it is outside.",
            "parameters": SCHEMA,
            "result": {"channel": "weather-0f9d2c3a-58b1-4e07-9c44-2a7d51c0be61"},
        },
        {
            "name": "now",
            "description": "now",  # an empty one is refused
            "parameters": {"type": "object", "properties": {}},
            "result": {"channel": "now-0f9d2c3a-58b1-4e07-9c44-2a7d51c0be61"},
        },
    ]
    assert talk(prompt=prompt).call.body == {"messages": USER, "functions": functions}
    assert talk(prompt=prompt, conversation_id="c").call.body == {"text": "Hi", "functions": functions}
    asked = play(talk(prompt=prompt, conversation_id="c", send_receive=True), SENT)
    assert [body for *_, body in asked] == [{"text": "Hi"}, {"functions": functions}]


def test_a_channel_has_at_least_sixteen_characters():
    (function,) = talk(prompt={"tools": (Tool("f"),), "fresh_id": "1"}).call.body["functions"]
    assert function["result"]["channel"] == "f-10000000000000"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"celsius": 21}, {"data": {"celsius": 21}}),
        (None, {"data": None}),
        (ValueError("no such city"), {"error": "no such city"}),
        (KeyError(), {"error": "KeyError"}),
    ],
)
def test_an_action_is_answered_with_what_the_function_returned_or_the_words_of_what_it_raised(value, message):
    provider = ChatBotKit(prefix="/api/v1")
    action = Event("action", name="weather", id="weather/1", data={"args": {}, "channel": "weather/1"})
    call = provider.answer(action, value)
    assert call == Call(
        "publish",
        path="/api/v1/channel/weather%2F1/publish",
        body={"message": message},
        headers={"Authorization": KEY},
    )


@pytest.mark.parametrize("event", [Event("action", name="weather"), Event("tool_call", name="search", id="op1")])
def test_only_an_action_with_a_channel_is_answered(event):
    assert ChatBotKit().answer(event, 1) is None


# -- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "path", "header"),
    [
        ("conversations", {}, "/v1/conversation/list", "application/jsonl"),
        ("conversations", {"accept": "json"}, "/v1/conversation/list", "application/jsonl"),
        ("conversations", {"accept": "sse"}, "/v1/conversation/list", "text/event-stream"),
        ("messages", {"conversation_id": "c/1"}, "/v1/conversation/c%2F1/message/list", "application/jsonl"),
    ],
)
def test_a_list_is_one_get_that_ends_with_its_body(kind, options, path, header):
    conversation = Conversation(ChatBotKit(**options), Prompt(records=kind, take=3))
    assert conversation.call == Call(
        "list",
        "GET",
        path,
        headers={"Accept": header, "Authorization": KEY},
        query={"take": "3"},
        stream=True,
        ends_at_eof=True,
    )
    assert Conversation(ChatBotKit(**options), Prompt(records=kind)).call.query == {}
    assert kind in ChatBotKit.lists


def test_an_empty_list_is_complete():
    conversation = Conversation(ChatBotKit(), Prompt(records="conversations"))
    play(conversation, b"")
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


# -- framing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type", "framer"),
    [
        ("sse", "application/jsonl", JSONLFramer),
        ("jsonl", "application/json; charset=utf-8", JSONBodyFramer),
        ("json", "", JSONBodyFramer),
        ("json", "text/event-stream", SniffFramer),
        ("jsonl", "", SniffFramer),
        ("jsonl", "application/x-ndjson", SniffFramer),
    ],
)
def test_the_reply_says_how_it_is_framed(accept, content_type, framer):
    head = ReplyHead(200, {"content-type": content_type} if content_type else {})
    assert type(ChatBotKit(accept=accept).framer(Call("complete", stream=True), head)) is framer


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        (b'{"type":"token","data":{"token":"Hi"}}\n', ["delta"]),
        (b'\xef\xbb\xbf\n {"type":"token","data":{"token":"Hi"}}\n', ["delta"]),
        (b'event: token\ndata: {"token":"Hi"}\n\n', ["delta"]),
        (b'{"message":"no","code":"NOT_FOUND"}', ["error"]),
        (b'{"id":"m","text":"Hi","end":{"reason":"stop"}}', ["message", "end"]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("content_type", ["", "text/event-stream", "application/x-ndjson"])
def test_a_reply_that_does_not_say_is_known_by_its_first_byte(body, kinds, content_type):
    assert [event.kind for event in events("chatbotkit", body, content_type=content_type)] == kinds


# -- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("stop", "complete"),
        ("length", "length"),
        ("iteration", "length"),
        ("activity", "tool_calls"),
        ("abort", "truncated"),
        ("error", "error_in_stream"),
        ("something_new", "complete"),
    ],
)
def test_the_reason_of_the_result_is_the_outcome(reason, outcome):
    conversation = talk()
    play(conversation, RESULT.replace(b"stop", reason.encode()))
    assert conversation.outcome == outcome
    assert (conversation.error is None) == conversation.outcome.ok


def test_an_error_wins_over_the_result_that_follows_it():
    conversation = talk()
    play(conversation, b'{"type":"error","data":{"message":"no","code":"CONFLICT"}}\n' + RESULT)
    assert conversation.outcome is Outcome.ERROR_IN_STREAM
    assert "no (CONFLICT)" in conversation.error


@pytest.mark.parametrize(
    "case", ["documented", "stateless", "sse", "json", "no_tokens", "server_tools", "send_receive", "client_tools"]
)
def test_the_text_counts_once_wherever_it_stands(case):
    body = next(body for body in bodies(TRANSCRIPTS / "chatbotkit" / f"{case}.jsonl") if body.call.stream)
    reading = body.reading()
    reading.feed(body.data)
    reading.close()
    assert reading.seen.text() == "We open at 9:00."


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("BAD_REQUEST", 400, "every Accept but application/jsonl"),
        (None, 400, "every Accept but application/jsonl"),
        ("NOT_AUTHENTICATED", 401, "does not know this key"),
        ("NO_SUBSCRIPTION", 402, "The account's plan"),
        ("NOT_AUTHORIZED", 403, "is not its own"),
        ("NOT_FOUND", 404, "--prefix"),
        ("CONFLICT", 409, "wait until other runs"),
        ("UNPROCESSABLE_ENTITY", 422, "cannot be done as it is"),
        ("LIMITS_REACHED", 429, "raise the plan"),
        ("TOO_MANY_REQUESTS", 429, "Nothing is sent again by itself"),
        ("GENERIC_ERROR", 500, "hides the cause"),
    ],
)
def test_an_error_is_explained_by_its_code(code, status, says):
    reading = Reading(ChatBotKit(), Call("complete", stream=True), ReplyHead(status))
    reading.feed(json.dumps({"message": "no", "code": code}).encode())
    reading.close()
    error = reading.explain(reading.outcome(Ending()), Ending())
    assert error.startswith(f"chatbotkit answered {status}: no. ")
    assert says in error
    assert "{" not in error


def test_the_platform_closes_every_stream_after_800_s():
    assert dict(ChatBotKit.limits) == {"total_s": 800}
    assert ChatBotKit().max_streams is None


@pytest.mark.parametrize(
    ("line", "stamp"),
    [
        (b'{"type":"nop","data":{"t_ns":7}}', 7),
        (b'{"type":"nop","data":{}}', None),
        (b'{"type":"nop","data":{"t_ns":7,"more":1}}', None),
        (b'{"type":"token","data":{"token":"x"}}', None),
    ],
)
def test_a_stamp_of_the_simulator_is_a_keep_alive_that_says_nothing_else(line: bytes, stamp: int | None):
    reading = Reading(ChatBotKit(), Call("complete", stream=True), ReplyHead(200, JSONL))
    step = reading.feed(line + b"\n")
    assert step.server_t_ns == stamp
    assert bool(step.events) is (stamp is None)
