from __future__ import annotations

import json

import pytest
from chatbotkit_calls import CHANNEL, HELLO, JSONL, KEY, RIVER, TWO, USER, connect, kinds, lines_of, messages, new
from simulated import FAST, Reply, post, read_until

from streamnb.simulator.chatbotkit_functions import Function, called

CALLED = {"channel": CHANNEL, "function": {"name": "river_level", "args": {"station": "Río Tinto"}}}


def publish(message: object, channel: str = CHANNEL, **headers: str) -> Reply:
    return post(f"/v1/channel/{channel}/publish", {"message": message}, FAST, {**KEY, **headers})


def declared(**fields: object) -> dict[str, object]:
    return {"name": "level", "description": "How high", **fields}


def test_the_first_function_with_a_channel_is_called():
    functions = [
        declared(),
        declared(name="known", result={"data": 3}),
        declared(name="asked", result={"channel": "c1"}),
        declared(name="later", result={"channel": "c2"}),
    ]
    assert called(functions) == Function("asked", {}, "c1")
    assert called(functions[:2]) is None
    assert called([]) is called(None) is None


def test_arguments_are_examples_of_what_the_schema_says():
    properties = {
        "station": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"type": "string", "enum": ["m", "ft"]},
        "wet": {"type": "boolean"},
        "odd": {"type": "river"},
        "any": {},
    }
    function = called([declared(parameters={"type": "object", "properties": properties}, result={"channel": "c"})])
    assert function.args == {
        "station": "Río Tinto",
        "days": 3,
        "unit": "m",
        "wet": True,
        "odd": None,
        "any": None,
    }
    assert function.data == {"channel": "c", "function": {"name": "level", "args": function.args}}


@pytest.mark.parametrize(
    "functions",
    [
        {},
        ["level"],
        [{"name": "level"}],
        [declared(description=" ")],
        [declared(name="_level")],
        [declared(name="river level")],
        [declared(name="l" * 65)],
        [declared(result={})],
        [declared(result=None)],
        [declared(result={"channel": 3})],
        [declared(), declared()],
    ],
)
def test_a_declaration_that_is_not_valid_is_refused(functions):
    with pytest.raises(ValueError, match=r"function|Function|Result"):
        called(functions)


def test_a_function_of_the_client_is_answered_over_a_second_connection():
    name = new()
    body = {**HELLO, "functions": [RIVER]}
    with connect(f"/v1/conversation/{name}/complete", body, f"{TWO},ping_every=0.05") as wire:
        asked = list(lines_of(read_until(wire, b'"waitForChannelMessageBegin"') + read_until(wire, b'"ping"')))
        reply = publish({"data": {"level": 3.2}})
        rest = list(lines_of(read_until(wire, b"\r\n0\r\n\r\n")))
    assert (reply.status, reply.value) == (200, {"id": CHANNEL})
    begin = asked[[event["type"] for event in asked].index("operationBegin")]["data"]["action"]
    assert (begin["kind"], begin["name"], begin["input"]) == ("function", "river_level", {"station": "Río Tinto"})
    by_kind = {event["type"]: event["data"] for event in rest}
    assert by_kind["waitForChannelMessageEnd"] == {**CALLED, "message": {"data": {"level": 3.2}}}
    text = "".join(event["data"]["token"] for event in rest if event["type"] == "token")
    assert text == by_kind["result"]["text"] == 'river_level returned {"level":3.2}.\n\n## Loose'
    assert messages(name)[-1] == ("bot", text)


def test_the_wait_begins_with_the_channel_and_the_call():
    with connect("/v1/conversation/complete", {**USER, "functions": [RIVER]}, TWO) as wire:
        asked = read_until(wire, b'"args":{"station":"R\xc3\xado Tinto"}}}')
        assert publish({"error": "the gauge is dry"}).status == 200
        rest = read_until(wire, b"\r\n0\r\n\r\n")
    begin = json.dumps(
        {"type": "waitForChannelMessageBegin", "data": CALLED}, ensure_ascii=False, separators=(",", ":")
    )
    assert begin[:-1].encode() in asked
    assert b'{"token":"the gauge is dry"}' in rest


def test_a_channel_belongs_to_the_key_that_opened_it_and_takes_one_message():
    with connect("/v1/conversation/complete", {**USER, "functions": [RIVER]}, TWO) as wire:
        read_until(wire, b'"waitForChannelMessageBegin"')
        assert publish({"data": 1}, Authorization="Token another").status == 404
        assert publish({"data": 1}).status == 200
        read_until(wire, b"\r\n0\r\n\r\n")
    gone = publish({"data": 2})
    assert (gone.status, gone.value["code"]) == (404, "NOT_FOUND")


def test_nobody_answers_and_the_stream_gives_up():
    body = {**USER, "functions": [RIVER]}
    found = kinds(post("/v1/conversation/complete", body, f"{TWO},idle_limit=0.2,ping_every=0.02", JSONL))
    assert (found[3], found[-1]) == ("waitForChannelMessageBegin", "error")
    assert set(found[4:-1]) == {"ping"}
    table = post("/v1/conversation/complete", body, f"{TWO},idle_limit=0.05", {**KEY, "Accept": "text/csv"})
    assert (table.status, table.body) == (200, b"")


def test_a_whole_reply_does_not_ask_the_client():
    reply = post("/v1/conversation/complete", {**USER, "functions": [RIVER]}, TWO, KEY)
    assert reply.value["text"] == "## Loose"
