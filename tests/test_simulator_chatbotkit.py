from __future__ import annotations

import http.client
import re
import time

import pytest
from chatbotkit_calls import (
    CHANNEL,
    HELLO,
    JSONL,
    KEY,
    RIVER,
    SSE,
    TWO,
    USER,
    complete,
    connect,
    events,
    kinds,
    listed,
    messages,
    new,
    text_of,
)
from simulated import FAST, chunked, post, read_until

from streamnb.simulator.prose import tokens

ANY_ID = re.compile(rb'"((?:msg|in|it|op|action)-)[0-9a-f]+"')


def test_the_bytes_on_the_wire_are_exactly_the_documented_ones():
    with connect(f"/v1/conversation/{new()}/complete", HELLO, TWO) as wire:
        head, _, body = read_until(wire, b"\r\n0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/jsonl\r\n" in head
    begun = body.partition(b'"createdAt":')[2][:13]
    names = [match[0] for match in ANY_ID.finditer(body)]
    asked, instance, iteration, answered = names[0], names[1], names[2], names[-1]
    end = b'{"id":%s,"text":"## Loose","usage":{"token":6},"end":{"reason":"stop"}}' % answered
    rounds = b'{"instance":%s,"iteration":%s}' % (instance, iteration)
    data = [
        (b"sendResult", b'{"id":%s,"text":"What are your hours?","entities":[],"usage":{"token":4}}' % asked),
        (b"completeBegin", rounds),
        (b"token", b'{"token":"##"}'),
        (b"token", b'{"token":" Loose"}'),
        (b"usage", b'{"model":"simulated-1","inputTokensUsed":4,"outputTokensUsed":2}'),
        (b"message", b'{"type":"bot","text":"## Loose"}'),
        (b"completeEnd", rounds),
        (b"receiveResult", end),
        (b"result", end),
    ]
    lines = [b'{"type":"%s","data":%s,"createdAt":%s}\n' % (kind, value, begun) for kind, value in data]
    assert re.sub(rb'(?<="createdAt":)[0-9]{13}', begun, body) == chunked(*lines)


def test_the_envelope_carries_the_wall_clock_of_the_sending_and_keep_alives_do_not():
    before = time.time_ns() // 1_000_000
    reply = complete(new(), options="ttft=0.2,gap=0,tokens=2,ping_every=0.05")
    after = time.time_ns() // 1_000_000
    pings = [event for event in events(reply) if event["type"] == "ping"]
    times = [event["createdAt"] for event in events(reply) if event["type"] != "ping"]
    assert pings == [{"type": "ping", "data": {}}] * 3
    assert [before, *times, after] == sorted([before, *times, after])
    assert len(times) == 9


def test_server_sent_events_have_names_and_data_and_nothing_else():
    reply = complete("iteration", options=f"{FAST},tokens=1", headers=SSE)
    assert reply.headers["content-type"] == "text/event-stream"
    blocks = ANY_ID.sub(rb'"\g<1>"', reply.body).decode().split("\n\n")
    assert blocks[0].startswith('event: sendResult\ndata: {"id":"msg-","text":"What are your hours?",')
    assert blocks[1:4] == [
        'event: completeBegin\ndata: {"instance":"in-","iteration":"it-"}',
        'event: token\ndata: {"token":"##"}',
        'event: usage\ndata: {"model":"simulated-1","inputTokensUsed":4,"outputTokensUsed":1}',
    ]
    assert blocks[-2].startswith('event: result\ndata: {"id":"msg-","text":"##",')
    assert blocks[-1] == ""
    assert b"createdAt" not in reply.body


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "Application/JSON; q=1, application/jsonl"])
def test_without_a_streaming_accept_the_reply_is_one_json_object(accept):
    headers = KEY if accept is None else {**KEY, "Accept": accept}
    reply = complete(new(), headers=headers)
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.value) == {"id", "text", "usage", "end"}
    assert reply.value["text"] == "## Loose"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/jsonl;q=0.1, application/json", "application/jsonl"),
        (" TEXT/Event-Stream , */*", "text/event-stream"),
        ("text/csv", "text/csv"),
    ],
)
def test_only_the_first_entry_of_accept_counts(accept, media):
    assert complete(headers={**KEY, "Accept": accept}).headers["content-type"] == media


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/html", "application/x-ndjson, application/jsonl"])
def test_an_accept_the_server_does_not_know_is_a_400(accept):
    reply = complete(headers={**KEY, "Accept": accept})
    assert reply.status == 400
    assert reply.value == {"message": "Unsupported accept header", "code": "BAD_REQUEST"}


def test_a_table_has_no_place_for_an_answer():
    assert complete(headers={**KEY, "Accept": "text/csv"}).body == b""


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer k", 200), ("Token k", 200), ("Anything k", 200), (None, 401), ("k", 401), ("Bearer bad-key", 401)],
)
def test_the_second_word_of_authorization_is_the_key_whatever_the_scheme(authorization, status):
    headers = {"Authorization": authorization} if authorization else {}
    reply = complete(headers=headers)
    assert reply.status == status
    if status == 401:
        assert reply.value == {"message": "Not authenticated", "code": "NOT_AUTHENTICATED"}


def test_the_same_paths_exist_under_api():
    reply = post("/api/v1/conversation/create", {}, FAST, KEY)
    again = post(f"/api/v1/conversation/{reply.value['id']}/complete", HELLO, TWO, JSONL)
    assert text_of(again) == "## Loose"


def test_three_turns_of_a_conversation_have_three_texts_and_it_remembers_them():
    name = new(messages=[{"type": "user", "text": "earlier"}])
    texts = [text_of(complete(name, options=f"{FAST},tokens=9,seed=3")) for _ in range(3)]
    assert texts == ["".join(tokens(seed, 9)) for seed in (3, 4, 5)]
    assert len(set(texts)) == 3
    asked = ("user", HELLO["text"])
    assert messages(name) == [("user", "earlier"), *[pair for text in texts for pair in (asked, ("bot", text))]]


def test_without_a_text_the_answer_goes_on_without_a_user_turn():
    reply = complete(new(), {})
    assert kinds(reply)[0] == "completeBegin"
    assert text_of(reply) == "## Loose"


def test_send_and_receive_make_one_turn():
    name = new()
    kept = post(f"/v1/conversation/{name}/send", HELLO, FAST, KEY).value
    assert kept == {"id": kept["id"], "text": HELLO["text"], "entities": [], "usage": {"token": 4}}
    reply = post(f"/v1/conversation/{name}/receive", {}, TWO, JSONL)
    assert kinds(reply) == ["completeBegin", "token", "token", "usage", "message", "completeEnd", "result"]
    assert set(events(reply)[-1]["data"]) == {"id", "text", "usage"}
    assert messages(name) == [("user", HELLO["text"]), ("bot", "## Loose")]


def test_send_streams_its_result_if_asked_to():
    reply = post(f"/v1/conversation/{new()}/send", HELLO, f"{FAST},scenario=cut", JSONL)
    assert kinds(reply) == ["result"]
    assert events(reply)[0]["data"]["entities"] == []


def test_a_stateless_answer_has_no_ids_and_a_text_for_each_turn():
    body = {"messages": [*USER["messages"], {"type": "bot", "text": "x"}, *USER["messages"]], "botId": "bot_1"}
    reply = post("/v1/conversation/complete", body, f"{FAST},tokens=9", JSONL)
    assert text_of(reply) == "".join(tokens(2, 9))
    found = events(reply)
    assert [event["type"] for event in found[:4]] == ["sendResult", "completeBegin", "operationBegin", "operationEnd"]
    assert "id" not in found[0]["data"]
    assert set(found[-1]["data"]) == {"text", "usage", "end"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/conversation/x/complete", b"{"),
        ("/v1/conversation/x/complete", b"[]"),
        ("/v1/conversation/x/complete", {"text": " "}),
        ("/v1/conversation/x/complete", {"functions": {}}),
        ("/v1/conversation/x/send", {}),
        ("/v1/conversation/x/receive", {"functions": [{"name": "f"}]}),
        ("/v1/conversation/complete", {"text": "hi"}),
        ("/v1/conversation/complete", {"messages": [{"type": "alien", "text": "hi"}]}),
        ("/v1/conversation/create", {"messages": ["hi"]}),
        ("/v1/conversation/dispatch", {**USER, "channelId": "short"}),
        ("/v1/channel/short/publish", {"message": {}}),
        (f"/v1/channel/{CHANNEL}/publish", {"message": "hi"}),
        (f"/v1/channel/{CHANNEL}/subscribe", {"historyLength": 10_001}),
    ],
)
def test_a_request_that_is_not_valid_is_a_400(path, body):
    reply = post(path, body, FAST, KEY)
    assert (reply.status, reply.value["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("special", "status", "code"),
    [
        ("missing", 404, "NOT_FOUND"),
        ("no-plan", 402, "NO_SUBSCRIPTION"),
        ("limit", 429, "LIMITS_REACHED"),
        ("busy", 409, "CONFLICT"),
    ],
)
def test_special_ids_refuse_as_conversation_and_as_bot(special, status, code):
    for reply in (
        complete(special),
        listed(path=f"/v1/conversation/{special}/message/list"),
        post("/v1/conversation/complete", {**USER, "botId": special}, FAST, JSONL),
    ):
        assert (reply.status, reply.value["code"]) == (status, code)
    made = post("/v1/conversation/create", {"botId": special}, FAST, KEY)
    assert made.status == (200 if special == "busy" else status)
    if special == "busy":
        assert complete(made.value["id"]).status == 409


def test_a_silent_bot_has_its_text_in_the_results_only():
    reply = complete("silent")
    assert kinds(reply) == ["sendResult", "completeBegin", "usage", "completeEnd", "receiveResult", "result"]
    assert events(reply)[-1]["data"]["text"] == "## Loose"


def test_an_aborted_answer_says_so_and_keeps_half():
    reply = complete("aborts", options=f"{FAST},tokens=5,burst=3")
    assert kinds(reply)[2:] == ["token", "token", "abort", "usage", "receiveResult", "result"]
    abort, result = events(reply)[4]["data"], events(reply)[-1]["data"]
    assert set(abort) == {"instance", "iteration", "reason"}
    assert (result["text"], result["end"]) == ("## Loose", {"reason": "abort"})


def test_an_answer_may_end_at_the_limit_of_iterations():
    found = events(post("/v1/conversation/complete", {**USER, "botId": "iteration"}, TWO, JSONL))
    assert found[-1]["data"]["end"] == {"reason": "iteration"}


def test_a_late_error_has_status_200_in_every_form():
    error = {"message": "Something went wrong", "code": "GENERIC_ERROR"}
    plain = complete("late-error", headers=KEY)
    assert (plain.status, plain.value) == (200, error)
    stream = complete("late-error")
    assert (stream.status, kinds(stream), events(stream)[0]["data"]) == (200, ["error"], error)


@pytest.mark.parametrize(
    ("scenario", "found"),
    [
        ("error", "token error"),
        ("truncate", "token"),
        ("no-done", "token token usage message completeEnd receiveResult"),
        ("late", "token token usage message completeEnd receiveResult result token"),
        ("usage-everywhere", "token token usage usage message completeEnd receiveResult result"),
        ("tools", "operationBegin operationEnd token token usage message completeEnd receiveResult result"),
    ],
)
def test_scenarios_change_which_events_come(scenario, found):
    assert kinds(complete(new(), options=f"{TWO},scenario={scenario}"))[2:] == found.split()


def test_reasoning_comes_first_and_is_no_part_of_the_text():
    reply = complete(new(), options=f"{FAST},tokens=3,scenario=reasoning")
    assert kinds(reply)[2:5] == ["reasoningToken", "token", "token"]
    assert events(reply)[-1]["data"]["text"] == text_of(reply) == " Loose threads"


def test_broken_pieces_stand_in_the_middle_and_the_stream_goes_on():
    malformed = complete("iteration", options=f"{TWO},scenario=malformed").body.split(b"\n")
    assert malformed[3] == b'{"type":"token","data":{"token":}'
    assert malformed[-2].startswith(b'{"type":"result"')
    odd = complete("iteration", options=f"{TWO},scenario=bad-utf8").body.split(b"\n")
    assert odd[3].startswith(b'{"type":"token","data":{"token":"\xff\xfe"},"createdAt":1')
    assert odd[-2].startswith(b'{"type":"result"')


def test_a_cut_breaks_off_and_an_empty_body_is_empty():
    with pytest.raises(http.client.IncompleteRead) as cut:
        complete(new(), options=f"{TWO},scenario=cut")
    assert cut.value.partial.startswith(b'{"type":"sendResult"')
    empty = complete(new(), {**HELLO, "functions": [RIVER]}, options=f"{TWO},scenario=empty")
    assert (empty.status, empty.body, empty.headers["content-type"]) == (200, b"", "application/jsonl")


def test_the_key_received_is_repeated_in_every_form():
    for headers, told in ((JSONL, text_of), (KEY, lambda reply: reply.value["text"])):
        assert told(complete(new(), options=f"{TWO},scenario=echo-auth", headers=headers)) == (
            "authorization: Token cbk-demo\n"
        )


def test_a_status_scenario_strikes_at_the_call_that_was_chosen():
    struck = {
        "start": ["/v1/conversation/create", "/v1/conversation/x/dispatch"],
        "continue": ["/v1/conversation/x/send", f"/v1/channel/{CHANNEL}/publish"],
        "stream": ["/v1/conversation/x/complete", "/v1/conversation/x/receive", f"/v1/channel/{CHANNEL}/subscribe"],
    }
    for at, paths in struck.items():
        for path in paths:
            reply = post(path, {**HELLO, "message": {}}, f"{FAST},scenario=http-503,at={at}", KEY)
            assert (reply.status, reply.value) == (
                503,
                {"message": "Service unavailable", "code": "SERVICE_UNAVAILABLE"},
            )


def test_other_replies_may_stand_where_a_stream_was_due():
    assert complete(options=f"{TWO},scenario=html-502").body.startswith(b"<html>")
    assert complete("iteration", options=f"{TWO},scenario=json-200").value["text"] == "## Loose"
    assert complete(options=f"{TWO},scenario=error-200").value["code"] == "GENERIC_ERROR"
    assert complete(options=f"{TWO},scenario=http-591").value["code"] == "INTERNAL_SERVER_ERROR"


def test_the_headers_wait_for_the_first_event():
    with connect(f"/v1/conversation/{new()}/complete", HELLO, "ttft=3600,tokens=1") as wire:
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.recv(1)
    with connect(f"/v1/conversation/{new()}/complete", HELLO, "ttft=3600,tokens=1,ping_every=0.05") as wire:
        got = read_until(wire, b'{"type":"ping","data":{}}\n')
    assert got.startswith(b"HTTP/1.1 200 OK")


def test_headers_come_and_then_nothing_when_it_hangs():
    body = {**HELLO, "functions": [RIVER]}
    with connect(f"/v1/conversation/{new()}/complete", body, f"{FAST},scenario=hang") as wire:
        head = read_until(wire, b"\r\n\r\n")
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.recv(1)
    assert head.endswith(b"\r\n\r\n")


def test_a_stamp_is_a_nop_line_directly_before_each_delta_and_each_item():
    before = time.monotonic_ns()
    reply = complete(new(), options=f"{FAST},tokens=3,stamps=1,scenario=reasoning")
    after = time.monotonic_ns()
    assert kinds(reply)[2:9] == ["nop", "reasoningToken", "nop", "token", "nop", "token", "usage"]
    stamps = [event for event in events(reply) if event["type"] == "nop"]
    times = [event["data"]["t_ns"] for event in stamps]
    assert stamps == [{"type": "nop", "data": {"t_ns": t_ns}} for t_ns in times]
    assert [before, *times, after] == sorted([before, *times, after])
    rows = listed("?take=2", f"{FAST},stamps=1")
    assert kinds(rows) == ["nop", "item", "nop", "item"]


def test_a_stamp_of_server_sent_events_is_a_comment():
    body = complete(new(), options=f"{TWO},stamps=1", headers=SSE).body
    assert len(re.findall(rb"\n\n: t_ns=\d+\nevent: token\ndata: ", body)) == 2
    assert body.count(b"t_ns") == 2
