from __future__ import annotations

import http.client
import json
import re
import time

import pytest
from simulated import COMPLETIONS, FAST, HELLO, body_on_the_wire, connect, data_of, post, read_until

from streamnb.simulator.prose import tokens

FOUR = f"{FAST},tokens=4"


def scenario(name: str, options: str = FOUR) -> str:
    return f"{options},scenario={name}"


def text_of(chunks) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk.get("choices"))


def test_a_piece_arrives_while_the_next_is_not_due_for_a_long_time():
    with connect(COMPLETIONS, HELLO, "ttft=0,gap=3600,gap_dist=constant,tokens=2") as wire:
        got = read_until(wire, b'{"content":"##"}')
    assert b"200 OK" in got
    assert b" Loose" not in got


def test_a_burst_is_one_write():
    body = body_on_the_wire(COMPLETIONS, HELLO, f"{FAST},tokens=6,burst=3")
    sizes = [chunk.count(b"data: ") for chunk in re.split(rb"\r\n[0-9a-f]+\r\n", body)]
    assert sizes == [1, 3, 3, 1, 1, 0]


def test_stamps_are_this_machines_monotonic_clock_and_never_go_back():
    before = time.monotonic_ns()
    reply = post(COMPLETIONS, HELLO, f"{FOUR},stamps=1")
    after = time.monotonic_ns()
    blocks = reply.body.decode().split("\n\n")[:-1]
    stamps = [int(re.match(r": t_ns=(\d+)\ndata: ", block)[1]) for block in blocks]
    assert len(stamps) == 7
    assert [before, *stamps, after] == sorted([before, *stamps, after])


def test_no_stamps_unless_asked_for():
    assert b"t_ns" not in post(COMPLETIONS, HELLO, FOUR).body


def test_a_cut_breaks_off_inside_an_announced_chunk():
    body = body_on_the_wire(COMPLETIONS, HELLO, scenario("cut"))
    *_, size, rest = body.split(b"\r\n")
    assert rest.startswith(b'data: {"id":"chatcmpl-')
    assert len(rest) == int(size, 16) // 2
    with pytest.raises(http.client.IncompleteRead):
        post(COMPLETIONS, HELLO, scenario("cut"))


def test_a_truncated_answer_ends_properly_but_says_nothing_of_an_end():
    reply = post(COMPLETIONS, HELLO, scenario("truncate"))
    assert text_of(data_of(reply)) == "## Loose"
    assert b"[DONE]" not in reply.body
    assert b'"stop"' not in reply.body


def test_headers_come_and_then_nothing_when_it_hangs():
    with connect(COMPLETIONS, HELLO, scenario("hang")) as wire:
        head = read_until(wire, b"\r\n\r\n")
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.recv(1)
    assert head.endswith(b"\r\n\r\n")


def test_pings_keep_coming_without_any_data():
    with connect(COMPLETIONS, HELLO, scenario("ping")) as wire:
        got = read_until(wire, b": keep-alive\n\n") + read_until(wire, b": keep-alive\n\n")
    assert got.count(b"data: ") == 4
    assert b"\n\nThe" not in got


def test_a_client_that_leaves_ends_its_stream_and_no_other():
    connect(COMPLETIONS, HELLO, scenario("hang")).close()
    assert post(COMPLETIONS, HELLO, FOUR).status == 200


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 422, 429, 500, 503, 529])
def test_an_error_status_comes_with_the_apis_json(code):
    reply = post(COMPLETIONS, HELLO, scenario(f"http-{code}"))
    assert reply.status == code
    assert set(reply.value["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers.get("retry-after") == ("7" if code in {429, 503, 529} else None)
    assert reply.headers["x-request-id"].startswith("req_")


def test_a_proxys_page_is_html():
    reply = post(COMPLETIONS, HELLO, scenario("html-502"))
    assert reply.status == 502
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<h1>502" in reply.body


def test_json_may_come_where_a_stream_was_due():
    reply = post(COMPLETIONS, HELLO, scenario("json-200"))
    assert reply.status == 200
    assert reply.value["choices"][0]["message"]["content"] == "".join(tokens(1, 4))


def test_an_error_may_come_with_status_200():
    reply = post(COMPLETIONS, HELLO, scenario("error-200"))
    assert reply.status == 200
    assert reply.value["error"]["type"] == "server_error"


def test_an_empty_body_has_the_headers_of_a_stream():
    reply = post(COMPLETIONS, HELLO, scenario("empty"))
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_broken_json_stands_in_the_middle_and_the_stream_goes_on():
    lines = [line for line in post(COMPLETIONS, HELLO, scenario("malformed")).lines if line.startswith("data: {")]
    broken = [number for number, line in enumerate(lines) if not is_json(line[6:])]
    assert broken == [3]
    assert len(lines) == 7


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_bytes_that_are_not_utf_8_stand_in_the_middle_and_the_stream_goes_on():
    reply = post(COMPLETIONS, HELLO, scenario("bad-utf8"))
    assert reply.body.count(b'"content":"\xff\xfe"') == 1
    assert reply.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("name", "end"), [("no-done", b'"finish_reason":"stop"}]}\n\n'), ("late", b"}]}\n\n")])
def test_the_end_marker_may_be_missing_or_not_the_end(name, end):
    reply = post(COMPLETIONS, HELLO, scenario(name))
    assert reply.body.endswith(end)
    assert (b"[DONE]" in reply.body) is (name == "late")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer canary-0123456789abcdef"},
        {"Authorization": "Bearer k", "x-api-key": "canary-0123456789abcdef"},
        {"Authorization": "Bearer k", "api-key": "canary-0123456789abcdef"},
    ],
)
def test_a_key_received_is_repeated_in_the_answer(headers):
    reply = post(COMPLETIONS, HELLO, scenario("echo-auth"), headers)
    assert "canary-0123456789abcdef" in text_of(data_of(reply))


def test_the_query_string_is_repeated_in_the_answer():
    path = f"{COMPLETIONS}?key=canary-0123456789abcdef"
    reply = post(path, HELLO, scenario("echo-auth"))
    assert "query: key=canary-0123456789abcdef\n" in text_of(data_of(reply))


def test_what_is_repeated_is_torn_into_two_writes_inside_the_secret():
    body = body_on_the_wire(COMPLETIONS, HELLO, scenario("echo-auth"))
    assert re.search(rb"Bearer sk-d\r\n[0-9a-f]+\r\nummy", body)


def test_the_key_is_repeated_in_a_whole_reply_too():
    reply = post(COMPLETIONS, {**HELLO, "stream": False}, scenario("echo-auth"))
    assert reply.value["choices"][0]["message"]["content"] == "authorization: Bearer sk-dummy\n"


def test_a_stall_lies_in_the_middle():
    with connect(COMPLETIONS, HELLO, f"{FOUR},scenario=stall,stall=3600") as wire:
        got = read_until(wire, b" Loose")
        wire.settimeout(0.1)
        with pytest.raises(TimeoutError):
            read_until(wire, b"[DONE]")
    assert b" threads" not in got


def test_two_streams_run_side_by_side():
    slow = connect(COMPLETIONS, HELLO, "ttft=0,gap=3600,tokens=2")
    with slow:
        read_until(slow, b"##")
        assert post(COMPLETIONS, HELLO, FOUR).body.endswith(b"data: [DONE]\n\n")
