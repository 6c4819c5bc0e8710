from __future__ import annotations

import json

import pytest

from streamnb.simulator.chatbotkit_lines import CSV, JSON, JSONL, SSE, _Late, csv, jsonl, sse, stamp, timed, wanted


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("*/*;q=0.1", JSON),
        ("application/json", JSON),
        ("application/jsonl, application/json", JSONL),
        ("application/jsonl;q=0", JSONL),
        (" Text/Event-Stream ", SSE),
        ("text/csv,*/*", CSV),
        (",application/jsonl", JSON),
        ("application/x-ndjson", None),
        ("application/x-ndjson, application/jsonl", None),
        ("application/*", None),
    ],
)
def test_the_first_entry_of_accept_chooses_the_form(accept, media):
    assert wanted(accept) == media


def test_an_event_is_a_line_with_or_without_its_time():
    assert (
        jsonl("token", {"token": "é\u2028\n"})
        == '{"type":"token","data":{"token":"é\u2028\\n"},"createdAt":0}\n'.encode()
    )
    assert jsonl("ping", {}, timed=False) == b'{"type":"ping","data":{}}\n'


def test_an_event_of_sse_has_no_time():
    assert sse("token", {"token": "a\nb"}) == b'event: token\ndata: {"token":"a\\nb"}\n\n'


def test_a_lone_surrogate_is_escaped_as_json_does():
    line = jsonl("token", {"token": "\ud83c"}, timed=False)
    assert line == b'{"type":"token","data":{"token":"\\ud83c"}}\n'
    assert json.loads(line)["data"]["token"] == "\ud83c"


def test_only_an_item_is_a_row():
    row = {"a": 'say "x"', "b": None, "c": True, "d": False, "e": 3, "f": {"g": 1}}
    assert csv("item", row, timed=False) == b'"say ""x""","","true","false","3","[object Object]"\n'
    assert csv("token", {"token": "x"}) == b""


def test_the_time_is_set_at_the_end_of_a_line_and_nowhere_else():
    tricky = {"text": '"createdAt":0}\n', "inner": {"x": 1, "createdAt": 0}}
    line = timed(jsonl("message", tricky))
    value = json.loads(line)
    assert value["data"] == tricky
    assert value["createdAt"] > 1_700_000_000_000
    assert timed(jsonl("item", tricky, timed=False)) == jsonl("item", tricky, timed=False)


@pytest.mark.parametrize(
    ("block", "found"),
    [
        (jsonl("token", {}), b'{"type":"nop","data":{"t_ns":7}}\n'),
        (jsonl("reasoningToken", {}), b'{"type":"nop","data":{"t_ns":7}}\n'),
        (jsonl("item", {}), b'{"type":"nop","data":{"t_ns":7}}\n'),
        (jsonl("result", {}), b""),
        (sse("token", {}), b": t_ns=7\n"),
        (sse("tokens", {}), b""),
        (b'"a","b"\n', b""),
    ],
)
def test_a_delta_or_an_item_has_a_stamp(block, found):
    assert stamp(7, block) == found


def message(name: str, **fields: object) -> dict[str, object]:
    return {"type": f"http.response.{name}", **fields}


@pytest.mark.parametrize("at_once", [False, True])
async def test_the_head_leaves_with_the_body_once(at_once):
    sent = []

    async def send(message):
        sent.append(message)

    late = _Late(send, at_once=at_once)
    await late(message("start", status=200))
    assert sent == ([message("start", status=200)] if at_once else [])
    await late(message("body", body=b"a"))
    await late(message("start", status=200))
    await late(message("body", body=b"b"))
    assert sent == [message("start", status=200), message("body", body=b"a"), message("body", body=b"b")]
