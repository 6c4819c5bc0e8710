"""What ChatBotKit's lines, SSE events and JSON replies mean, of any shape: nothing raises, nothing is dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamnb.conversation import Reading
from streamnb.events import Event
from streamnb.providers import Call, ReplyHead, load
from streamnb.testing import events

JSON = {"content-type": "application/json"}


def line(kind: str, data: Any, **more: Any) -> bytes:
    return json.dumps({"type": kind, "data": data, **more}).encode() + b"\n"


def read(*lines: bytes) -> list[Event]:
    return events("chatbotkit", b"".join(lines), content_type="application/jsonl")


def whole(name: str, value: Any) -> list[Event]:
    """What a step's JSON reply means."""
    reading = Reading(load("chatbotkit")(), Call(name), ReplyHead(200, JSON))
    return [*reading.feed(json.dumps(value).encode()).events, *reading.close().events]


@pytest.mark.parametrize(
    ("kind", "data", "event"),
    [
        ("token", {"token": "Hi"}, Event("delta", "Hi")),
        ("reasoningToken", {"token": "Hm"}, Event("reasoning", "Hm")),
        ("token", {}, Event("unknown", name="token", data={})),
        ("message", {"type": "bot", "text": "Hi"}, Event("item", name="bot", data={"type": "bot", "text": "Hi"})),
        ("message", {"id": "m"}, Event("item", name="message", id="m", data={"id": "m"})),
        ("sendResult", {"id": "m"}, Event("item", name="sendResult", id="m", data={"id": "m"})),
        ("receiveResult", {"text": "Hi"}, Event("item", name="receiveResult", data={"text": "Hi"})),
        ("completeBegin", {"instance": "i"}, Event("step", name="completeBegin", id="i", data={"instance": "i"})),
        ("completeEnd", {}, Event("step", name="completeEnd", data={})),
        ("abort", {"reason": "late"}, Event("trace", "late", name="abort", data={"reason": "late"})),
        ("progressReport", {"id": "p"}, Event("trace", name="progressReport", id="p", data={"id": "p"})),
        ("audio", {"data": "AA"}, Event("file", name="audio", data={"data": "AA"})),
        ("ping", {}, Event("ping", name="ping")),
        ("nop", None, Event("ping", name="nop")),
        ("mood", [1], Event("unknown", name="mood", data=[1])),
        ("usage", 7, Event("unknown", name="usage", data=7)),
        ("error", "no", Event("error", "no")),
        ("error", None, Event("error")),
        ("operationBegin", {"id": "o"}, Event("tool_call", id="o", data={"id": "o"})),
        ("operationEnd", {"id": "o"}, Event("tool_result", id="o", data={"id": "o"})),
        ("item", {"id": 5}, Event("item", name="conversation", data={"id": 5})),
    ],
)
def test_a_type_means_an_event(kind, data, event):
    assert read(line(kind, data)) == [event]


@pytest.mark.parametrize(
    ("given", "text"), [("hours", "hours"), ({"day": "Mo"}, '{"day": "Mo"}'), (["é"], '["é"]'), (None, "")]
)
def test_what_a_tool_of_the_platform_is_asked_is_the_text_of_the_call(given, text):
    data = {"id": "o", "action": {"name": "search", "input": given}}
    assert read(line("operationBegin", data)) == [Event("tool_call", text, name="search", id="o", data=data)]


def test_usage_is_added_up_and_kept_as_it_came():
    data = {"model": "gpt-x", "inputTokensUsed": 4, "outputTokensUsed": 2}
    (usage,) = read(line("usage", data))
    assert (usage.name, usage.data) == ("gpt-x", {"tokens_in": 4, "tokens_out": 2, "usage": "sum", "raw": data})
    assert load("chatbotkit").usage == "sum"


def test_a_function_that_is_asked_for_is_an_action_and_its_answer_a_result():
    begin = {"channel": "now-0123456789abcd", "function": {"name": "now", "args": {"zone": "UTC"}}}
    end = {**begin, "message": {"data": "12:00"}}
    action, result = read(line("waitForChannelMessageBegin", begin), line("waitForChannelMessageEnd", end))
    assert (action.kind, action.name, action.id) == ("action", "now", "now-0123456789abcd")
    assert action.data == {"args": {"zone": "UTC"}, "channel": "now-0123456789abcd"}
    assert (result.kind, result.name, result.id, result.data) == ("tool_result", "now", "now-0123456789abcd", end)


@pytest.mark.parametrize("data", [{}, {"channel": "c", "function": {}}, {"channel": 1, "function": {"name": "f"}}])
def test_a_wait_that_nobody_could_answer_is_a_trace(data):
    assert read(line("waitForChannelMessageBegin", data)) == [
        Event("trace", name="waitForChannelMessageBegin", data=data)
    ]


@pytest.mark.parametrize(
    ("stamp", "server_ms"), [(1760000000900, 1760000000900), ("1", None), (True, None), (1.5, None)]
)
def test_the_time_the_server_made_a_line_is_kept_when_it_is_one(stamp, server_ms):
    assert read(line("token", {"token": "Hi"}, createdAt=stamp)) == [Event("delta", "Hi", server_ms=server_ms)]


def test_the_stamp_of_a_record_is_not_the_time_of_its_line():
    (item,) = read(line("item", {"id": "c", "createdAt": 1}))
    assert (item.id, item.server_ms, item.data["createdAt"]) == ("c", None, 1)


@pytest.mark.parametrize(
    ("value", "event"),
    [
        (b'{"type":"token","token":"Hi"}\n', Event("delta", "Hi")),
        (b'{"type":"ping"}\n', Event("ping", name="ping")),
        (b'{"type":"error","message":"no","code":"CONFLICT"}\n', None),
        (b'{"type":"mood","value":3}\n', Event("unknown", name="mood", data={"type": "mood", "value": 3})),
        (b'{"type":7}\n', Event("unknown", data={"type": 7})),
        (b'"token"\n', Event("unknown", data="token")),
    ],
)
def test_a_line_without_data_is_read_for_what_it_has(value, event):
    (found,) = read(value)
    if event is None:
        assert (found.kind, found.text, found.name) == ("error", "no", "CONFLICT")
    else:
        assert found == event


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ({"complete": True}, Event("end", data={"complete": True})),
        ("done", Event("end", data="done")),
        (None, Event("end")),
        ({"text": 5, "id": 5, "end": "stop"}, Event("end", data={"text": 5, "id": 5, "end": "stop"})),
        ({"end": {"reason": 5}}, Event("end", data={"end": {"reason": 5}})),
        ({"text": "Hi", "id": "m"}, Event("end", "Hi", id="m", data={"text": "Hi", "id": "m"})),
        ({"ping": True}, Event("trace", name="result", data={"ping": True})),
    ],
)
def test_a_result_of_any_shape_is_the_end_but_for_the_servers_stand_in(data, event):
    assert read(line("result", data)) == [event]


@pytest.mark.parametrize(
    ("streamed", "result", "differs"),
    [
        (["We open", " at 9."], "We open at 9.", False),
        (["Let me look. ", "At 9.\n"], " At 9.", False),
        (["We open"], "At 9.", True),
        (["We open"], "", False),
        ([], "At 9.", False),
    ],
)
def test_a_result_that_is_not_the_end_of_what_was_streamed_is_noted(streamed, result, differs):
    found = read(*(line("token", {"token": text}) for text in streamed), line("result", {"text": result}))
    checks = [event.data for event in found if event.name == "text_differs"]
    assert checks == ([{"streamed": len("".join(streamed)), "result": len(result)}] if differs else [])
    assert found[-1].kind == "end"


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        ("create", {"id": "c"}, ["session"]),
        ("create", {"id": None}, ["unknown"]),
        ("create", {"message": "no"}, ["error"]),
        ("send", {"id": "m", "entities": []}, ["item"]),
        ("send", {"message": "no", "code": "NOT_FOUND"}, ["error"]),
        ("publish", {"id": "ch"}, ["trace"]),
        ("publish", {"error": "no"}, ["error"]),
        ("complete", {"text": "Hi", "message": "fine"}, ["message", "end"]),
        ("complete", {"text": ""}, ["end"]),
        ("complete", {"text": 5}, ["unknown"]),
        ("complete", {"ping": True}, ["trace"]),
        ("complete", {"message": 5}, ["unknown"]),
        ("complete", [1], ["unknown"]),
        ("receive", {"text": "Hi"}, ["message", "end"]),
        ("list", {"items": [{"id": "c"}, {"type": "bot", "text": ""}, 7]}, ["item", "item", "unknown"]),
        ("list", {"items": [], "cursor": "c"}, ["trace"]),
        ("list", {"items": [], "cursor": None}, []),
        ("list", {"items": "x"}, ["unknown"]),
    ],
)
def test_a_whole_json_reply_is_read_by_the_call_it_answers(name, value, kinds):
    assert [event.kind for event in whole(name, value)] == kinds


def test_rows_are_told_apart_by_what_only_messages_have():
    rows = [{"id": "c"}, {"id": "m", "type": "user", "text": "Hi"}, {"type": "user"}]
    assert [event.name for event in whole("list", {"items": rows})] == ["conversation", "message", "conversation"]


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b'event: token\ndata: {"token":"Hi"}\n\n', Event("delta", "Hi")),
        (b'event: message\ndata: {"type":"bot"}\n\n', Event("item", name="bot", data={"type": "bot"})),
        (b"event: nop\ndata: {}\n\n", Event("ping", name="nop")),
        (b"event: nop\n\n", Event("ping", name="nop", flags=frozenset({"no_data"}))),
        (b"event: token\ndata: Hi\n\n", Event("unknown", data={"raw": "Hi"}, flags=frozenset({"malformed"}))),
    ],
)
def test_in_sse_the_name_is_the_type_and_the_data_is_the_data(body, event):
    assert events("chatbotkit", body, content_type="text/event-stream") == [event]
