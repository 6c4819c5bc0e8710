"""What is sent to any SSE endpoint; what comes back is in tests/transcripts."""

from __future__ import annotations

import pytest

from streamnb.errors import UsageError
from streamnb.events import Prompt
from streamnb.providers import load
from streamnb.redaction import Secret
from streamnb.testing import events

SSE = load("sse")


def test_the_prompt_goes_into_one_field_of_the_body():
    (call,) = SSE("https://api.example").flow(Prompt("Hi", model="m", params={"n": 2}))
    assert (call.method, call.path, call.stream) == ("POST", "", True)
    assert call.body == {"prompt": "Hi", "model": "m", "n": 2}
    assert call.headers == {"Authorization": Secret("SSE_API_KEY", prefix="Bearer ", required=False)}


def test_the_field_and_the_path_are_options():
    (call,) = SSE(path="/ask", prompt_field="question").flow(Prompt("Hi"))
    assert (call.path, call.body) == ("/ask", {"question": "Hi"})


def test_a_get_carries_no_body():
    (call,) = SSE(method="GET").flow(Prompt("Hi"))
    assert (call.method, call.body) == ("GET", None)
    with pytest.raises(UsageError, match="method='PUT' is unknown"):
        SSE(method="PUT")


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ("Hi", "delta", "Hi"),
        ('"Hi"', "delta", "Hi"),
        ('"', "delta", '"'),
        ("{", "delta", "{"),
        ("{name}", "delta", "{name}"),
        ("[link](", "delta", "[link]("),
        ("[1]", "item", ""),
        ("{}", "item", ""),
        ('{"a": 1}', "item", ""),
        ('{"error": null}', "item", ""),
        ('{"error": "no"}', "error", "no"),
        ('{"errors": ["no"]}', "error", "no"),
        ('{"message": "no", "code": 3}', "error", "no"),
        ('{"message": "no", "status": 500}', "error", "no"),
        ('{"message": "yes"}', "item", ""),
        ('{"message": {"text": "yes"}, "code": 3}', "item", ""),
        ('{"a": ', "unknown", ""),
        ("[DONE]", "end", ""),
    ],
)
def test_data_is_text_json_or_an_error(data, kind, text):
    (event,) = events("sse", f"data: {data}\n\ndata:\n\n".encode())[:-1]
    assert (event.kind, event.text) == (kind, text)


def test_after_text_a_list_is_text_too_and_after_json_it_is_json():
    assert [event.kind for event in events("sse", b"data: see\n\ndata: [1]\n\n")] == ["delta", "delta"]
    assert [event.kind for event in events("sse", b"data: {}\n\ndata: see\n\ndata: [1]\n\n")] == [
        "item",
        "delta",
        "item",
    ]


def test_an_error_event_is_an_error_whatever_its_data():
    for data, text in ((b'{"detail":"no"}', "no"), (b'"no"', "no"), (b"no", "no"), (b"[]", "[]")):
        (event,) = events("sse", b"event: error\ndata: %s\n\n" % data)
        assert (event.kind, event.text) == ("error", text)


def test_a_field_named_messages_takes_the_prompt_as_a_chat():
    (call,) = SSE(path="/v1/chat/completions", prompt_field="messages").flow(Prompt("Hi", model="m"))
    assert call.body == {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "model": "m"}
