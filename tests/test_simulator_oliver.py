from __future__ import annotations

import http.client
import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from simulated import FAST, KEY, Reply, body_on_the_wire, chunked, post, url

from streamnb.simulator.oliver import GONE
from streamnb.simulator.oliver_answer import SPECIAL
from streamnb.simulator.prose import tokens

SIX = f"{FAST},tokens=6"
HELLO = {"content": "hello"}
HANG = "scenario=hang"


def create(body: Any = None, options: str = FAST, headers: dict[str, str] = KEY, prefix: str = "/v1") -> Reply:
    return post(f"{prefix}/chats", body, options, headers)


def new() -> str:
    return create().value["data"]["id"]


def stream(
    chat: str, options: str = SIX, body: Any = HELLO, headers: dict[str, str] = KEY, prefix: str = "/v1"
) -> Reply:
    return post(f"{prefix}/chats/{chat}/messages/stream", body, options, headers)


def key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer oc_test_{name}"}


def held(name: str) -> http.client.HTTPConnection:
    """Return the connection of a stream that hangs, after its headers: it has a slot then."""
    parts = urlsplit(url(HANG))
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    path = f"{parts.path}/v1/chats/uncited/messages/stream"
    connection.request("POST", path, json.dumps(HELLO), key(name))
    assert connection.getresponse().status == 200
    return connection


def kinds(reply: Reply) -> list[str]:
    return [line.removeprefix("event: ") for line in reply.lines if line.startswith("event: ")]


def values(reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in reply.lines if line.startswith("data: ")]


def text_of(reply: Reply) -> str:
    return "".join(value.get("content", "") for value in values(reply))


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_a_chat_is_created_and_then_streams_under_both_prefixes(prefix):
    created = create({"name": "Rivers", "rag_containers": ["rag_1"], "is_private": True}, prefix=prefix)
    assert (created.status, created.value["success"]) == (201, True)
    chat = created.value["data"]
    made = chat.pop("created_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made)
    assert re.fullmatch(r"chat_[0-9a-f]{16}", chat["id"])
    assert chat == {
        "id": chat["id"],
        "name": "Rivers",
        "user_id": "user_simulated",
        "is_private": True,
        "rag_containers": ["rag_1"],
        "last_message_at": None,
        "updated_at": made,
    }
    reply = stream(chat["id"], prefix=prefix)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert text_of(reply) == "".join(tokens(1, 6))
    assert kinds(reply).count("citation") == 3


@pytest.mark.parametrize("body", [None, {}, {"name": None, "rag_containers": None, "is_private": None}])
def test_a_chat_needs_no_field(body):
    chat = create(body).value["data"]
    assert (chat["name"], chat["rag_containers"], chat["is_private"]) == (None, [], False)


def test_the_bytes_on_the_wire_are_exactly_the_documented_ones():
    body = body_on_the_wire(f"/v1/chats/{new()}/messages/stream", HELLO, f"{FAST},tokens=2")
    found = re.search(rb'"message_id":"(msg_[0-9a-f]{16})","created_at":"([^"]{20})"', body)
    message = found[1].decode()
    source = '"title":"Handbook of Slow Rivers","url":"https://library.example.org/slow-rivers.pdf"'
    assert body == chunked(
        f'event: start\ndata: {{"message_id":"{message}","created_at":"{found[2].decode()}"}}\n\n'.encode(),
        b'event: chunk\ndata: {"content":"##"}\n\n'
        + f'event: citation\ndata: {{"citation_id":"citation_1","source_type":"rag_document",{source}}}\n\n'.encode(),
        b'event: chunk\ndata: {"content":" Loose"}\n\n',
        f'event: end\ndata: {{"message_id":"{message}","complete":true}}\n\n'.encode(),
    )


def test_three_turns_are_three_texts_and_each_chat_begins_anew():
    chat, other = new(), new()
    texts = [text_of(stream(name, f"{FAST},tokens=20")) for name in (chat, chat, chat, other)]
    assert texts == ["".join(tokens(seed, 20)) for seed in (1, 2, 3, 1)]
    assert len(set(texts)) == 3
    again = [value["citation_id"] for value in values(stream(chat)) if "citation_id" in value]
    assert again == ["citation_10", "citation_11", "citation_12"]


def test_the_newest_thousand_chats_are_kept():
    first, second = new(), new()
    for _ in range(999):
        new()
    assert stream(first).status == 404
    assert stream(second).status == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer bad-1"}, {"Authorization": "Basic x"}, {"Authorization": "Bearer "}]
)
def test_a_missing_or_wrong_key_is_a_401(headers):
    for reply in (create(headers=headers), stream("uncited", headers=headers)):
        assert reply.status == 401
        message = "The API key is missing or not valid"
        assert reply.value == {"success": False, "error": {"code": "unauthorized", "message": message}}


@pytest.mark.parametrize(
    ("chat", "code"), [("chat_0000", "not_found"), ("missing", "not_found"), ("expired", "chat_expired")]
)
def test_a_chat_that_is_not_there_is_a_404(chat, code):
    reply = stream(chat)
    assert (reply.status, reply.value["success"], reply.value["error"]["code"]) == (404, False, code)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"[]", 400, None),
        (None, 422, "content"),
        ({"content": ""}, 422, "content"),
        ({"content": 5}, 422, "content"),
        ({"content": "x", "attachments": "a.pdf"}, 422, "attachments"),
    ],
)
def test_a_malformed_message_is_refused_in_the_envelope(body, status, field):
    reply = stream("uncited", body=body)
    assert (reply.status, reply.value["success"]) == (status, False)
    assert reply.value["error"].get("details") == (field and {"field": field})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": 5}, "name"),
        ({"is_private": "yes"}, "is_private"),
        ({"rag_containers": "rag_1"}, "rag_containers"),
        ({"rag_containers": [1]}, "rag_containers"),
    ],
)
def test_a_malformed_chat_is_refused_in_the_envelope(body, field):
    reply = create(body)
    assert (reply.status, reply.value["error"]["details"]) == (422, {"field": field})


def test_attachments_are_taken_and_change_nothing():
    reply = stream(new(), body={"content": "x", "attachments": [{"id": "file_1"}]})
    assert text_of(reply) == "".join(tokens(1, 6))


def test_a_sixth_stream_of_one_key_is_refused_and_another_key_is_not():
    streams = [held("six") for _ in range(5)]
    reply = stream("uncited", headers=key("six"))
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert reply.value["error"]["code"] == "rate_limit_exceeded"
    assert stream("uncited", headers=key("another")).status == 200
    for connection in streams:
        connection.close()


def test_the_base_url_may_ask_for_another_number_of_streams():
    chat, one = new(), f"{SIX},max_streams=1"
    connection = held("one")
    assert stream(chat, one, headers=key("one")).status == 429
    assert text_of(stream(chat, f"{SIX},max_streams=2", headers=key("one"))) == "".join(tokens(1, 6))
    connection.close()


def test_a_slot_is_free_again_as_soon_as_a_stream_has_ended():
    replies = [stream("uncited", f"{SIX},max_streams=1", headers=key("in-turn")) for _ in range(50)]
    assert {reply.status for reply in replies} == {200}


def test_a_slot_is_free_again_when_the_client_is_gone():
    held("gone").close()
    tries = (stream("uncited", f"{SIX},max_streams=1", headers=key("gone")).status for _ in range(10_000))
    assert next(status for status in tries if status != 429) == 200


def test_a_slot_is_free_again_after_the_connection_was_cut():
    cut = f"{SIX},scenario=cut,max_streams=1"
    with pytest.raises(http.client.IncompleteRead):
        stream("uncited", cut, headers=key("cut"))
    tries = (stream("uncited", f"{SIX},max_streams=1", headers=key("cut")).status for _ in range(10_000))
    assert next(status for status in tries if status != 429) == 200


def test_a_stream_that_lasts_too_long_ends_without_a_word():
    reply = stream(new(), "ttft=0,gap=0.1,gap_dist=constant,tokens=1000,max_duration=0.25")
    assert kinds(reply) == ["start", "chunk", "chunk", "chunk"]


def test_a_silent_stream_ends_with_a_timeout():
    reply = stream("uncited", f"{FAST},tokens=8,stall_at=2,stall=3600,idle_limit=0.7")
    assert kinds(reply) == ["start", "chunk", "chunk", "error"]
    assert values(reply)[-1] == {"code": "stream_timeout", "message": "No activity for 60 seconds"}


@pytest.mark.parametrize(
    ("chat", "last"),
    [
        ("incomplete", {"complete": False}),
        ("error-then-end", {"complete": True}),
        ("unknown-code", {"code": "model_overloaded", "message": "The model is overloaded"}),
        ("uncited", {"complete": True}),
        ("layout", {"complete": True}),
    ],
)
def test_special_chats_need_no_creation_and_have_no_memory(chat, last):
    first, second = stream(chat), stream(chat)
    assert text_of(first) == text_of(second)
    assert last.items() <= values(first)[-1].items()
    assert (b"\n\n" in first.body) is (chat != "layout")
    assert (b"event: citation\n" in first.body) is (chat != "uncited")


def test_a_pretty_chat_prints_its_json_over_several_lines():
    assert b'\n\nevent: chunk\ndata: {\n  "content": "##"\n}\n\n' in stream("pretty").body


def test_no_id_means_two_things():
    assert not set(GONE) & set(SPECIAL)


def test_a_stamp_stands_inside_each_event_before_its_name():
    before = time.monotonic_ns()
    reply = stream(new(), f"{SIX},stamps=1")
    after = time.monotonic_ns()
    blocks = reply.body.decode().split("\n\n")[:-1]
    stamps = [int(re.match(r": t_ns=(\d+)\nevent: \w+\ndata: \{", block)[1]) for block in blocks]
    assert len(stamps) == 11
    assert [before, *stamps, after] == sorted([before, *stamps, after])


@pytest.mark.parametrize(
    ("status", "code"), [(403, "forbidden"), (404, "not_found"), (429, "rate_limit_exceeded"), (503, "internal_error")]
)
def test_a_status_scenario_strikes_at_the_call_that_was_chosen(status, code):
    scenario = f"{SIX},scenario=http-{status}"
    reply = stream("chat_0000", scenario)
    assert (reply.status, reply.value["success"], reply.value["error"]["code"]) == (status, False, code)
    assert reply.headers.get("retry-after") == ("7" if status in {429, 503} else None)
    assert create(options=scenario).status == 201
    assert create(options=f"{scenario},at=start").value == reply.value
    assert stream("uncited", f"{scenario},at=start").status == 200


def test_a_page_or_json_may_come_where_a_stream_was_due():
    assert stream("uncited", f"{SIX},scenario=html-502").body.startswith(b"<html>")
    whole = stream("uncited", f"{SIX},scenario=json-200")
    assert (whole.status, whole.value["success"]) == (200, True)
    assert whole.value["data"]["content"] == "".join(tokens(1, 6))
    wrong = stream("uncited", f"{SIX},scenario=error-200")
    assert (wrong.status, wrong.value["success"], wrong.value["error"]["code"]) == (200, False, "internal_error")
    assert stream("chat_0000", f"{SIX},scenario=json-200").status == 404


def test_a_failed_call_is_no_turn():
    chat = new()
    stream(chat, f"{SIX},scenario=http-500")
    stream(chat, body={"content": ""})
    assert text_of(stream(chat)) == "".join(tokens(1, 6))


def test_the_key_received_is_repeated_in_the_text():
    reply = stream(new(), f"{SIX},scenario=echo-auth", headers=key("canary-0123456789"))
    assert text_of(reply) == "authorization: Bearer oc_test_canary-0123456789\n"
    assert kinds(reply) == ["start", "chunk", "end"]
