"""Typebot's flow on plain values, no sockets: which call comes when, with which body and after which wait."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamnb.conversation import MAX_CALLS, Conversation
from streamnb.errors import UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers import Ending, Field, Reply, ReplyHead, load
from streamnb.redaction import Secret
from streamnb.testing import events
from streamnb.wire import JSONBodyFramer, RawTextFramer, SniffFramer

Typebot = load("typebot")
STREAM = {"type": "stream", "stream": True, "expectsDedicatedReply": True}
STARTED = {"sessionId": "s/1", "typebot": {"id": "t"}, "messages": [], "input": {"type": "text input"}}
ASKED = {"messages": [], "clientSideActions": [STREAM]}
OVER = {"messages": [], "input": {"type": "text input"}}
MARKDOWN = {"textBubbleContentFormat": "markdown"}


def said(text: str) -> bytes:
    return f'f:{{"messageId":"s"}}\n0:{json.dumps(text)}\nd:{{"finishReason":"stop"}}\n'.encode()


def wait(seconds: Any, **more: Any) -> dict[str, Any]:
    return {"type": "wait", "wait": {"secondsToWaitFor": seconds}, **more}


def play(conversation: Conversation, *replies: Any) -> list[tuple[str, str, Any, float]]:
    """Answer the calls in order; returns (name, path, body, delay_s) of every call asked for, the open one included."""
    asked = []
    for reply in replies:
        call = conversation.call
        assert call is not None, f"the flow ended before {reply!r}"
        asked.append((call.name, call.path, call.body, call.delay_s))
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        conversation.begin(ReplyHead(status))
        conversation.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
        conversation.close()
        conversation.end(Ending())
    if conversation.call is not None:
        asked.append(
            (conversation.call.name, conversation.call.path, conversation.call.body, conversation.call.delay_s)
        )
    return asked


def start(**body: Any) -> tuple[str, str, Any, float]:
    return ("startChat", "/api/v1/typebots/my%20bot/startChat", {"isStreamEnabled": True, **MARKDOWN, **body}, 0.0)


def go_on(text: str | None, delay_s: float = 0.0, session: str = "s%2F1") -> tuple[str, str, Any, float]:
    message = {} if text is None else {"message": {"type": "text", "text": text}}
    return ("continueChat", f"/api/v1/sessions/{session}/continueChat", {**message, **MARKDOWN}, delay_s)


def stream(delay_s: float = 0.0, session: str = "s%2F1", **body: Any) -> tuple[str, str, Any, float]:
    return ("streamMessage", f"/api/v2/sessions/{session}/streamMessage", body, delay_s)


def talk(text: str = "Hi", prompt: dict[str, Any] | None = None, **options: Any) -> Conversation:
    return Conversation(Typebot(**{"typebot": "my bot", **options}), Prompt(text, **(prompt or {})))


def test_the_loop_with_two_streams():
    conversation = talk()
    asked = play(conversation, STARTED, ASKED, said("One."), ASKED, said("Two."), OVER)
    assert asked == [start(), go_on("Hi"), stream(), go_on("One."), stream(), go_on("Two.")]
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


def test_a_bot_that_streams_first_gets_the_prompt_afterwards():
    asked = play(talk(), {**STARTED, "clientSideActions": [STREAM]}, said("Hello."), OVER, ASKED, said("Yes."), OVER)
    assert asked == [start(), stream(), go_on("Hello."), go_on("Hi"), stream(), go_on("Yes.")]


def test_the_loop_stops_after_20_calls():
    conversation = talk()
    replies = [STARTED, ASKED, *[said("Again."), ASKED] * 9]
    assert len(play(conversation, *replies)) == MAX_CALLS
    assert conversation.outcome is Outcome.LIMIT
    assert conversation.error == "typebot: 20 calls in one run; the flow goes round in circles."


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([(404, {"message": "no", "code": "NOT_FOUND"})], "http_error"),
        ([{"message": "no", "status": 404}], "error_in_stream"),
        ([b"<html>"], "protocol_error"),
        ([{"messages": []}], "protocol_error"),
        ([OVER], "protocol_error"),
        ([{"sessionId": "", "messages": []}], "protocol_error"),
        ([STARTED, (404, {"message": "Session not found."})], "http_error"),
        ([STARTED, ASKED, (500, {"message": "no"})], "http_error"),
        ([STARTED, ASKED, {"message": "Could not find session", "status": 404}], "error_in_stream"),
        ([STARTED, ASKED, b'f:{"messageId":"s"}\n0:"cut'], "truncated"),
        ([STARTED, ASKED, said("One.") + b'3:"no"\n'], "error_in_stream"),
        ([STARTED, ASKED, b'd:{"finishReason":"content-filter"}\n'], "filtered"),
        ([STARTED, ASKED, said("One."), (500, b"")], "http_error"),
    ],
)
def test_an_error_stops_the_flow(replies, outcome):
    conversation = talk()
    asked = play(conversation, *replies)
    assert len(asked) == len(replies)
    assert conversation.outcome == outcome
    assert conversation.error.startswith("typebot")


def test_with_a_session_and_a_prompt_continue_chat_comes_first():
    asked = play(talk(session_id="old"), ASKED, said("One."), OVER)
    assert asked == [go_on("Hi", session="old"), stream(session="old"), go_on("One.", session="old")]


def test_with_a_session_and_no_prompt_the_stream_comes_at_once():
    asked = play(talk("", session_id="old"), said("One."), OVER)
    assert asked == [stream(session="old"), go_on("One.", session="old")]


def test_no_continue_stops_after_the_stream():
    conversation = talk("", session_id="old", no_continue=True)
    assert play(conversation, said("One.")) == [stream(session="old")]
    assert conversation.outcome is Outcome.COMPLETE
    assert play(talk(no_continue=True), STARTED, ASKED, said("One.")) == [start(), go_on("Hi"), stream()]


def test_without_a_prompt_a_bot_that_waits_for_input_is_only_started():
    conversation = talk("")
    assert play(conversation, STARTED) == [start()]
    assert conversation.outcome is Outcome.COMPLETE


def test_a_wait_with_a_dedicated_reply_is_answered_with_an_empty_call_after_it():
    asked = play(
        talk(), STARTED, {"clientSideActions": [wait(2, expectsDedicatedReply=True)]}, ASKED, said("One."), OVER
    )
    assert asked == [start(), go_on("Hi"), go_on(None, 2.0), stream(), go_on("One.")]


def test_a_wait_without_a_dedicated_reply_delays_the_next_call():
    asked = play(talk(), STARTED, {"clientSideActions": [wait(2), wait(0.5), STREAM]}, said("One."), OVER)
    assert asked == [start(), go_on("Hi"), stream(2.5), go_on("One.")]
    asked = play(talk(), {**STARTED, "clientSideActions": [wait(2)]}, OVER)
    assert asked == [start(), go_on("Hi", 2.0)]
    assert play(talk(""), {**STARTED, "clientSideActions": [wait(2)]}) == [start()]


@pytest.mark.parametrize(
    ("seconds", "delay_s"), [(3600, 60.0), (-1, 0.0), ("2", 0.0), (None, 0.0), ({}, 0.0), (0.25, 0.25)]
)
def test_a_wait_is_at_most_a_minute_and_never_negative(seconds, delay_s):
    asked = play(talk(""), {**STARTED, "clientSideActions": [wait(seconds), STREAM]})
    assert asked[-1] == stream(delay_s)


def test_an_action_that_cannot_be_done_here_gets_an_empty_reply_and_not_the_prompt():
    script = {"type": "setVariable", "setVariable": {}, "expectsDedicatedReply": True}
    asked = play(talk(), {**STARTED, "clientSideActions": [{"type": "gtmToExecute"}, script]}, OVER, OVER)
    assert asked == [start(), go_on(None), go_on("Hi")]


def test_the_legacy_action_gets_its_messages_back():
    messages = [{"role": "user", "content": "Hi"}]
    action = {"type": "streamOpenAiChatCompletion", "streamOpenAiChatCompletion": {"messages": messages}}
    asked = play(talk(), STARTED, {"clientSideActions": [action]}, said("One."), OVER)
    assert asked == [start(), go_on("Hi"), stream(messages=messages), go_on("One.")]
    action["streamOpenAiChatCompletion"] = {}
    assert play(talk(), STARTED, {"clientSideActions": [action]})[-1] == stream(messages=[])


def test_parameters_go_into_the_body_of_the_stream():
    asked = play(talk(prompt={"params": {"debug": True}}), STARTED, ASKED)
    assert asked[-1] == stream(debug=True)


def test_a_button_is_pressed_with_its_own_reply():
    asked = play(talk("", session_id="old"), said("One."), {**OVER, "input": CHOICE})
    assert asked[-1][0] == "continueChat"
    (step,) = [event for event in events_of(CHOICE) if event.choices]
    (ship, other, untitled) = step.choices
    assert [choice.label for choice in step.choices] == ["Ship it", "Other", "Picture"]
    assert ship.prompt.reply == {"type": "text", "text": "Ship it", "metadata": {"replyId": "i1"}}
    assert other.prompt.reply == {"type": "text", "text": "Other"}
    assert untitled.prompt.text == "Picture"
    pressed = Conversation(Typebot(session_id="old"), ship.prompt)
    assert pressed.call.body["message"] is ship.prompt.reply


CHOICE = {
    "id": 7,
    "type": "choice input",
    "items": [
        {"id": "i1", "content": "Ship it"},
        {"content": "Other"},
        {"title": "Picture", "id": 3},
        {"id": "i4"},
        "x",
    ],
}


def events_of(input_: dict[str, Any]) -> list[Any]:
    return events("typebot", json.dumps({**OVER, "input": input_}).encode())


def test_a_preview_needs_a_key_and_goes_to_the_builder():
    conversation = Conversation(
        Typebot("https://builder.example/", typebot="t", preview=True, prefilled={"name": "Ada"}), Prompt()
    )
    call = conversation.call
    assert call.path == "/api/v1/typebots/t/preview/startChat"
    assert call.headers == {"Authorization": Secret("TYPEBOT_API_TOKEN", prefix="Bearer ", required=True)}
    assert call.body["prefilledVariables"] == {"name": "Ada"}
    play(conversation, {**STARTED, "clientSideActions": [STREAM]})
    assert (conversation.call.name, conversation.call.headers) == ("streamMessage", {})


def test_no_key_is_sent_to_a_published_bot():
    conversation = talk()
    assert conversation.call.headers == conversation.call.query == {}


def test_host_and_prefixes_are_options():
    conversation = talk(chat_prefix="/chat", stream_prefix="/api/v1")
    asked = play(conversation, STARTED, ASKED)
    assert [path for _, path, *_ in asked] == [
        "/chat/typebots/my%20bot/startChat",
        "/chat/sessions/s%2F1/continueChat",
        "/api/v1/sessions/s%2F1/streamMessage",
    ]
    assert Typebot().base_url == "https://typebot.co"
    assert Typebot("https://bot.example.org/").base_url == "https://bot.example.org"


def test_without_a_bot_or_a_session_nothing_is_sent():
    with pytest.raises(UsageError, match="typebot needs --typebot PUBLIC_ID"):
        Conversation(Typebot(), Prompt("Hi"))


@pytest.mark.parametrize(
    ("framing", "body", "kinds"),
    [
        ("auto", b'0:"Hi"\n', ["delta"]),
        ("auto", b"data: Hi\n\n", ["delta"]),
        ("auto", b"Hi", ["delta"]),
        ("auto", b'{"message":"no","status":404}', ["error"]),
        ("prefix_lines", b'0:"Hi"\n', ["delta"]),
        ("prefix_lines", b"Hi\n", ["unknown"]),
        ("prefix_lines", b'data: x\n0:"Hi"\n', ["unknown", "delta"]),
        ("prefix_lines", b'{"message":"no","status":404}', ["error"]),
        ("sse", b"data: Hi\n\n", ["delta"]),
        ("sse", b'0:"Hi"\n', []),
        ("sse", b'{"message":"no","status":404}', ["error"]),
        ("raw_text", b'{"message":"no","status":404}', ["delta"]),
        ("raw_text", b'0:"Hi"\n', ["delta"]),
    ],
)
def test_the_framing_can_be_said_instead_of_sniffed(framing, body, kinds):
    assert [event.kind for event in events("typebot", body, framing=framing)] == kinds


def test_a_content_type_helps_to_sniff():
    assert [event.kind for event in events("typebot", b'0:"Hi"\n', content_type="text/event-stream")] == []
    (event,) = events("typebot", b"<p>Hi", content_type="text/html")
    assert (event.kind, event.data) == ("unknown", {"raw": "<p>Hi"})


def test_a_framer_is_chosen_per_reply():
    provider = Typebot()
    call = play_call()
    assert isinstance(provider.framer(call, ReplyHead()), SniffFramer)
    assert isinstance(provider.framer(call, ReplyHead(200, {"content-type": "text/html"})), JSONBodyFramer)
    assert isinstance(Typebot(framing="raw_text").framer(call, ReplyHead()), RawTextFramer)


def play_call() -> Any:
    return Conversation(Typebot(session_id="s"), Prompt()).call


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "markdown", "markdown": "**Hi**"}, "**Hi**"),
        ({"type": "richText", "richText": [{"children": [{"text": "a"}, {"text": "b"}]}, {"children": []}]}, "ab\n"),
        ({"type": "richText", "richText": "x"}, ""),
        ({"type": "richText", "richText": [{"text": 5}, "x", {"children": [{"text": "c"}]}]}, "\nc"),
    ],
)
def test_a_bubble_is_a_message_with_its_text(content, text):
    body = {"messages": [{"id": 5, "type": "text", "content": content}]}
    (message,) = events("typebot", json.dumps(body).encode())
    assert (message.kind, message.text, message.id) == ("message", text, None)


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("[1]", ["unknown"]),
        ('{"foo":1}', ["unknown"]),
        ("{}", []),
        ('{"error":{"message":"no"}}', ["error"]),
        ('{"message":"no"}', ["error"]),
        ('{"messages":[],"message":"fine"}', ["session"]),
        ('{"messages":[{"type":"text","content":null},{"type":"image"}]}', ["item", "item", "session"]),
        ('{"messages":[],"input":null,"progress":"much","sessionId":5}', ["session"]),
        ('{"clientSideActions":[]}', []),
        ('{"input":null}', []),
        ('{"logs":[]}', []),
        ('{"progress":1}', ["trace"]),
        ('{"sessionId":"s"}', ["session"]),
        ('{"messages":[],"logs":[{"status":"info"}],"progress":2.5}', ["trace", "trace", "session"]),
    ],
)
def test_replies_of_any_shape_are_read(value, kinds):
    conversation = Conversation(Typebot(session_id="s"), Prompt("Hi"))
    conversation.begin(ReplyHead())
    conversation.feed(value.encode())
    assert [event.kind for event in conversation.close().events] == kinds


@pytest.mark.parametrize(
    ("reply", "over"),
    [
        ({}, True),
        ({"clientSideActions": [{"type": "redirect"}]}, True),
        ({"input": {"type": "text input"}}, False),
        ({"clientSideActions": [STREAM]}, False),
        ({"clientSideActions": [{"type": "stream", "stream": True}]}, False),
        ({"clientSideActions": [wait(1, expectsDedicatedReply=True)]}, False),
        ({"messages": [{"type": "custom-embed", "content": {}}]}, False),
    ],
)
def test_a_reply_that_waits_for_nothing_ends_the_conversation(reply: dict[str, Any], over: bool):
    said_by_bot = [(event.kind, event.name) for event in reading({"messages": [], **reply})]
    assert (("session", "ended") in said_by_bot) is over


def test_a_start_without_a_session_begins_and_ends_nothing():
    conversation = Conversation(Typebot(typebot="t"), Prompt())
    conversation.begin(ReplyHead())
    conversation.feed(b'{"messages":[]}')
    assert conversation.close().events == ()


def reading(reply: Any) -> Any:
    """The events of a reply to continueChat."""
    conversation = Conversation(Typebot(session_id="s"), Prompt("Hi"))
    conversation.begin(ReplyHead())
    conversation.feed(json.dumps(reply).encode())
    return conversation.close().events


@pytest.mark.parametrize(
    ("kind", "options", "field", "says"),
    [
        ("text input", {}, "text", "Type your answer"),
        ("text input", {"labels": {"placeholder": "Your name?"}}, "text", "Your name?"),
        ("text input", {"labels": {"placeholder": " "}}, "text", "Type your answer"),
        ("text input", {"labels": "odd"}, "text", "Type your answer"),
        ("number input", {"min": 1}, "number", "Type a number"),
        ("email input", None, "email", "Type an e-mail address"),
        ("url input", "odd", "url", "Type a link"),
        ("phone number input", {"labels": {"placeholder": "+44"}}, "phone", "+44"),
        ("date input", {}, "date", "Type a date"),
        ("date input", {"hasTime": True}, "text", "Type a date and a time"),
        ("date input", {"hasTime": True, "isRange": True}, "text", "Type two dates: 2026-01-31 to 2026-02-15"),
        ("time input", {}, "text", "Type a time of day"),
        ("rating input", {}, "number", "Type a number up to 10"),
        ("rating input", {"length": 5}, "number", "Type a number up to 5"),
        ("choice input", {}, "text", "Press a button"),
        (
            "picture choice input",
            {"isMultipleChoice": True},
            "text",
            "Press a button, or type several with commas between them",
        ),
        ("cards", {}, "text", "Press a button"),
        ("file input", {}, "url", "Type the link of a file: a file cannot be uploaded here"),
        (
            "file input",
            {"isMultipleAllowed": True},
            "text",
            "Type links of files, with commas between them: none can be uploaded here",
        ),
        ("payment input", {}, "text", "The bot wants a payment, which cannot be made here"),
    ],
)
def test_an_input_says_what_text_answers_it_and_what_none_can(kind: str, options: Any, field: str, says: str):
    (step,) = reading({"messages": [], "input": {"id": "in1", "type": kind, "options": options}})
    assert Typebot().field_of(step) == Field(field, says)


@pytest.mark.parametrize("event", [Event("step", name="cal.com", data={}), Event("step", name="cards"), Event("delta")])
def test_what_is_no_input_wants_no_text(event: Event):
    assert Typebot().field_of(event) is None


def test_a_card_has_a_button_for_each_of_its_paths():
    first = {"id": "c1", "title": "Nile", "paths": [{"id": "p1", "text": "More"}, {"id": "p2"}, {"text": "no id"}, 7]}
    second = {"id": "c2", "title": None, "paths": [{"id": "p3", "text": "More"}, {"id": "p4", "text": None}]}
    (step,) = reading({"messages": [], "input": {"type": "cards", "items": [first, second, {"paths": []}]}})
    pressed = [(choice.label, choice.prompt.reply["text"]) for choice in step.choices]
    assert pressed == [("Nile: More", "p1"), ("Nile", "p2"), ("More", "p3"), ("p4", "p4")]


def test_a_preview_starts_at_the_builder_and_goes_on_at_the_viewer():
    bot = Typebot("https://viewer.example", typebot="t", preview=True, builder_url="https://builder.example")
    flow = bot.flow(Prompt("Hi"))
    start = next(flow)
    assert (start.base_url, start.path) == ("https://builder.example", "/api/v1/typebots/t/preview/startChat")
    session = Event("session", id="s")
    assert flow.send(Reply(200, {}, [session], "", Outcome.COMPLETE)).base_url is None
    published = Typebot("https://viewer.example", typebot="t", builder_url="https://builder.example")
    assert next(published.flow(Prompt())).base_url is None
