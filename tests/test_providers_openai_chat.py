"""What is sent to an OpenAI-compatible API, and with which key; what comes back is in tests/transcripts."""

from __future__ import annotations

import json

import pytest

from streamnb.conversation import Conversation
from streamnb.errors import UsageError
from streamnb.events import Prompt
from streamnb.providers import Seen, load
from streamnb.redaction import Secret
from streamnb.testing import events
from streamnb.wire import Frame

OpenAIChat = load("openai_chat")
LOCAL = "http://127.0.0.1:8000/v1"


def test_the_prompt_goes_out_byte_exact_in_one_streaming_call():
    text = 'Why {x} $y "z"; \\n\u2028\n '
    (call,) = OpenAIChat().flow(Prompt(text, model="m"))
    assert (call.name, call.method, call.path, call.stream, call.delay_s) == (
        "chat.completions",
        "POST",
        "/chat/completions",
        True,
        0,
    )
    assert call.body == {
        "model": "m",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_system_prompt_stands_before_the_prompt():
    (call,) = OpenAIChat().flow(Prompt("Hi", system="Be brief.", model="m"))
    assert [message["role"] for message in call.body["messages"]] == ["system", "user"]


def test_what_was_said_before_stands_between_system_prompt_and_prompt():
    history = (("user", "Why?"), ("assistant", "Because."))
    (call,) = OpenAIChat().flow(Prompt("And?", system="Be brief.", model="m", history=history))
    assert [(message["role"], message["content"]) for message in call.body["messages"]] == [
        ("system", "Be brief."),
        *history,
        ("user", "And?"),
    ]


def test_parameters_stand_over_the_body_and_none_removes_a_field():
    (call,) = OpenAIChat().flow(
        Prompt("Hi", model="m", params={"temperature": 0, "stream_options": None, "model": "n"})
    )
    assert call.body == {
        "model": "n",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "temperature": 0,
    }


def test_servers_that_refuse_stream_options_are_not_asked_for_usage():
    (call,) = OpenAIChat(no_usage=True, path="/chat").flow(Prompt("Hi", model="m"))
    assert "stream_options" not in call.body
    assert call.path == "/chat"


@pytest.mark.parametrize(
    ("auth", "headers", "query"),
    [
        ("bearer", {"Authorization": Secret("OPENAI_API_KEY", prefix="Bearer ")}, {}),
        ("token", {"Authorization": Secret("OPENAI_API_KEY", prefix="Token ")}, {}),
        ("raw", {"Authorization": Secret("OPENAI_API_KEY")}, {}),
        ("x-api-key", {"x-api-key": Secret("OPENAI_API_KEY")}, {}),
        ("api-key", {"api-key": Secret("OPENAI_API_KEY")}, {}),
        ("query", {}, {"key": Secret("OPENAI_API_KEY")}),
    ],
)
def test_the_key_is_named_never_held_in_each_style(auth, headers, query):
    (call,) = OpenAIChat(auth=auth).flow(Prompt("Hi", model="m"))
    assert (call.headers, call.query) == (headers, query)
    assert all(secret.required for secret in [*headers.values(), *query.values()])


@pytest.mark.parametrize(
    ("base_url", "required"),
    [
        (None, True),
        ("https://api.example/v1/", True),
        ("http://192.168.1.5:8000/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://model.localhost/v1", False),
        ("http://localhost.example/v1", True),
        ("nonsense", True),
    ],
)
def test_a_key_is_needed_unless_the_host_is_this_machine(base_url, required):
    provider = OpenAIChat(base_url, "OTHER_KEY")
    assert not provider.base_url.endswith("/")
    (call,) = provider.flow(Prompt("Hi", model="m"))
    assert call.headers["Authorization"] == Secret("OTHER_KEY", prefix="Bearer ", required=required)


def test_a_model_is_needed_where_a_key_is_and_nothing_is_sent_without_it():
    with pytest.raises(UsageError, match="openai_chat needs a model: --model NAME"):
        Conversation(OpenAIChat(), Prompt("Hi"))
    assert next(OpenAIChat().flow(Prompt("Hi", params={"model": "m"}))).body["model"] == "m"
    assert "model" not in next(OpenAIChat(LOCAL).flow(Prompt("Hi"))).body


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pth": "/x"}, "openai_chat has no option 'pth'. Did you mean path?"),
        ({"auth": "bear"}, "openai_chat: auth='bear' is unknown. Did you mean bearer?"),
        ({"no_usage": "yes"}, "openai_chat: no_usage wants bool, not 'yes'."),
        ({"zz": 1, "aa": 1}, "openai_chat has no option 'aa'. Known: auth, no_usage, path."),
    ],
)
def test_an_option_that_does_not_exist_or_fit_is_one_line(options, says):
    with pytest.raises(UsageError) as caught:
        OpenAIChat(**options)
    assert str(caught.value) == says


def test_a_stream_of_text_completions_is_read_too():
    body = b'data: {"choices":[{"index":0,"text":"Hi","finish_reason":null}]}\n\n'
    assert [(event.kind, event.text) for event in events("openai_chat", body)] == [("start", ""), ("delta", "Hi")]


def test_usage_inside_a_choice_counts():
    body = b'data: {"choices":[{"index":0,"delta":{},"usage":{"prompt_tokens":2,"completion_tokens":3}}]}\n\n'
    (usage,) = [event for event in events("openai_chat", body) if event.kind == "usage"]
    assert (usage.data["tokens_in"], usage.data["tokens_out"]) == (2, 3)


@pytest.mark.parametrize(
    "place", ['"usage":%s', '"x_groq":{"usage":%s}', '"usage":null,"x_groq":{"usage":%s}', '"x_groq":1,"usage":%s']
)
def test_any_usage_that_is_not_null_counts(place):
    body = '{"choices":[],' + place % '{"prompt_tokens":2,"completion_tokens":3}' + "}"
    (usage,) = events("openai_chat", b"data: %s\n\n" % body.encode())
    assert (usage.kind, usage.data["tokens_out"]) == ("usage", 3)


def test_a_chunk_without_choices_but_with_usage_is_usage_and_nothing_else():
    assert [event.kind for event in events("openai_chat", b'data: {"usage":{"prompt_tokens":1}}\n\n')] == ["usage"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": "Hi"}, [("message", "Hi")]),
        ({"content": None, "refusal": "No"}, [("message", "No")]),
        ({"content": None, "tool_calls": [{"id": "1", "function": {"arguments": "{}"}}]}, [("tool_call", "{}")]),
        ({"content": [{"type": "text", "text": "Hi"}]}, [("delta", "Hi")]),
        ({"content": "Hi", "reasoning": "Greet."}, [("reasoning", "Greet."), ("message", "Hi")]),
    ],
)
def test_a_json_reply_instead_of_a_stream_is_read_whole(message, said):
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    found = [(event.kind, event.text) for event in events("openai_chat", body)]
    assert found == [("start", ""), *said, ("end", "")]


@pytest.mark.parametrize("delta", [{"content": ""}, {"content": "", "role": "assistant"}, {"content": None}, {}])
def test_a_piece_without_text_is_no_event(delta):
    provider = OpenAIChat(LOCAL)
    frame = Frame(json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}))
    assert [event.kind for event in provider.read(frame, Seen())] == ["start"]
