from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from simulated import FAST, KEY, Reply, body_on_the_wire, chunked, post, url

from streamnb.simulator.deepset import PIPELINES
from streamnb.simulator.prose import tokens

FOUR = f"{FAST},tokens=4"
TEXT = "".join(tokens(1, 4))
NOWHERE = "0b8f0f7e-3c8d-4c57-9a7e-2f4d7c1a9e10"
BATCH = ["query_id", "results"]


def path(end: str = "", pipeline: str = "chat", workspace: str = "default") -> str:
    return f"/api/v1/workspaces/{workspace}/pipelines/{pipeline}" + (f"/{end}" if end else "")


def search(options: str = FOUR, pipeline: str = "chat", workspace: str = "default", **fields: Any) -> Reply:
    return post(path("search-stream", pipeline, workspace), {"query": "How is it?", **fields}, options)


def chat(session: str, options: str = FOUR, workspace: str = "default", end: str = "chat-stream") -> Reply:
    asked = {"query": "hi"} if end == "chat-stream" else {"queries": ["hi"]}
    return post(path(end, workspace=workspace), {**asked, "search_session_id": session}, options)


def sessions(query: str = "", workspace: str = "default", options: str = FOUR, body: Any = None) -> Reply:
    method = "GET" if body is None else "POST"
    return post(f"/api/v1/workspaces/{workspace}/search_sessions{query}", body, options, method=method)


def opened(workspace: str = "default") -> str:
    return sessions(workspace=workspace, body={"pipeline_id": NOWHERE}).value["search_session_id"]


def events(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200
    lines = [line.rstrip("\r") for line in reply.lines]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def said(reply: Reply) -> str:
    return "".join(event["delta"]["text"] for event in events(reply) if event["type"] == "delta")


def test_the_whole_conversation_goes_as_documented():
    pipeline = post(path(), method="GET").value
    session = sessions(body={"pipeline_id": pipeline["pipeline_id"]}).value["search_session_id"]
    assert session == str(uuid.UUID(session))
    reply = post(path("chat-stream"), {"query": "hi", "search_session_id": session, "include_result": True}, FOUR)
    assert said(reply) == TEXT
    result = events(reply)[-1]
    assert result["type"] == "result"
    assert result["result"]["answers"][0]["answer"] == TEXT
    assert sessions("?limit=1").value["data"][0]["search_session_id"] == session


def test_the_bytes_on_the_wire_are_exactly_the_documented_ones():
    body = body_on_the_wire(path("search-stream"), {"query": "hi"}, f"{FAST},tokens=2")
    name = re.search(rb'"query_id":"([0-9a-f-]{36})"', body)[1]
    top = b'data: {"query_id":"%b","type":"delta","delta":' % name
    end = b'},"index":0,"start":%b,"finish_reason":%b}\r\n\r\n'
    assert body == chunked(
        top + b'{"text":"##","meta":{"model":"simulated-1"}' + end % (b"true", b"null"),
        top + b'{"text":" Loose","meta":{}' + end % (b"false", b"null"),
        top + b'{"text":"","meta":{"finish_reason":"stop"}' + end % (b"false", b'"stop"'),
    )


def test_the_old_bytes_on_the_wire_are_exactly_those_of_the_old_page():
    body = body_on_the_wire(path("search-stream", "old"), {"query": "hi"}, f"{FAST},tokens=1")
    name = re.search(rb'"query_id":"([0-9a-f-]{36})"', body)[1]
    event = b'data: {"query_id":"%b","type":"delta","delta":{"text":"##"},"result":null,"error":null}\n\n'
    assert body == chunked(event % name)


def test_the_headers_are_those_of_an_event_stream():
    headers = search().headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


def test_a_stamp_stands_directly_before_each_data_line_and_nowhere_else():
    before = time.monotonic_ns()
    lines = search(f"{FOUR},stamps=1").body.decode().split("\r\n")
    after = time.monotonic_ns()
    assert "".join(line[:1] or "|" for line in lines) == ":d|" * 5 + "|"
    stamps = [int(line.removeprefix(": t_ns=")) for line in lines if line.startswith(":")]
    assert [before, *stamps, after] == sorted([before, *stamps, after])


def test_a_silence_brings_a_comment_with_a_date():
    body = search("ttft=0.25,gap=0,tokens=1,ping_every=0.1").body
    assert re.match(rb"(: ping - [0-9-]{10} [0-9:.]{15}\+00:00\r\n\r\n){2}data: \{", body)
    assert body.count(b": ping") == 2
    assert b"ping" not in search("ttft=0.25,gap=0,tokens=1").body


def test_another_reader_of_event_streams_reads_every_event():
    asked = {"query": "hi", "include_result": True}
    options = "ttft=0.1,gap=0,tokens=4,stamps=1,ping_every=0.05"
    with (
        httpx.Client(headers=KEY) as client,
        connect_sse(client, "POST", url(options) + path("search-stream"), json=asked) as source,
    ):
        found = [json.loads(event.data) for event in source.iter_sse()]
    assert [event["type"] for event in found] == ["delta"] * 5 + ["result"]


def test_three_turns_of_a_session_have_three_texts():
    session = opened()
    turns = [said(chat(session, f"{FOUR},seed=3")) for _ in range(3)]
    assert turns == ["".join(tokens(seed, 4)) for seed in (3, 4, 5)]
    assert said(chat(opened(), f"{FOUR},seed=3")) == turns[0]


def test_a_turn_without_a_stream_is_a_turn_of_the_same_session():
    session = opened()
    answer = chat(session, end="chat").value["results"][0]["answers"][0]["answer"]
    assert [answer, said(chat(session))] == [TEXT, "".join(tokens(2, 4))]


def test_a_search_has_no_memory():
    assert said(search()) == said(search()) == TEXT


def test_a_refused_turn_is_none():
    session = opened()
    assert chat(session, f"{FOUR},scenario=http-500").status == 500
    assert said(chat(session)) == TEXT


def test_a_session_that_was_always_there_can_be_gone_on_with():
    session = sessions("?limit=100", "w-seeded").value["data"][-1]["search_session_id"]
    assert said(chat(session, workspace="w-seeded")) == TEXT


@pytest.mark.parametrize("session", [NOWHERE, "other"])
def test_a_session_must_be_one_of_this_workspace(session):
    name = opened("elsewhere") if session == "other" else session
    reply = chat(name)
    assert reply.status == 404
    assert reply.value == {"errors": ["There is no such search session in this workspace."]}


def test_a_chat_needs_a_session():
    reply = post(path("chat-stream"), {"query": "hi"}, FOUR)
    assert reply.status == 422
    detail = {"loc": ["body", "search_session_id"], "msg": "Field required", "type": "missing"}
    assert reply.value == {"detail": [detail]}
    assert post(path("chat"), {"queries": ["hi"]}, FOUR).status == 422


def test_the_list_of_sessions_has_pages():
    place = "w-pages"
    first = sessions(workspace=place).value
    assert (len(first["data"]), first["has_more"], first["total"]) == (10, True, 25)
    last = first["data"][-1]["search_session_id"]
    second = sessions("?page_number=2", place).value
    assert second == sessions(f"?before={last}", place).value
    assert sessions(f"?after={second['data'][0]['search_session_id']}", place).value["data"] == first["data"]
    assert [len(sessions(f"?limit={limit}", place).value["data"]) for limit in (1, 100)] == [1, 25]


@pytest.mark.parametrize("query", ["?limit=101", "?limit=x", "?page_number=0", "?before=x"])
def test_a_page_that_cannot_be_is_a_422(query):
    assert sessions(query).status == 422


def test_a_session_is_made_for_a_pipeline():
    assert sessions(body={}).value["detail"][0]["loc"] == ["body", "pipeline_id"]
    assert sessions(body=b"{").status == 422


def test_a_pipeline_describes_itself():
    value = post(path(), method="GET").value
    assert value["pipeline_id"] == str(uuid.UUID(value["pipeline_id"]))
    assert (value["name"], value["status"], value["service_level"]) == ("chat", "DEPLOYED", "DEVELOPMENT")
    assert set(value) == {
        *("pipeline_id", "name", "status", "service_level"),
        *("created_at", "created_by", "last_edited_at", "last_edited_by"),
    }
    assert set(value["created_by"]) == {"user_id", "given_name", "family_name"}
    assert value["pipeline_id"] != post(path(workspace="w2"), method="GET").value["pipeline_id"]
    assert post(path(pipeline="undeployed"), method="GET").value["status"] == "UNDEPLOYED"
    missing = post(path(pipeline="missing"), method="GET")
    assert (missing.status, list(missing.value)) == (404, ["errors"])


@pytest.mark.parametrize(
    ("pipeline", "status", "words", "wait"),
    [
        ("missing", 404, "no such pipeline", None),
        ("timeout", 408, "too long", None),
        ("undeployed", 409, "not deployed", None),
        ("busy", 429, "Too many requests", "7"),
        ("rebalancing", 503, "rebalanced", None),
    ],
)
def test_a_pipelines_name_selects_why_it_refuses(pipeline, status, words, wait):
    for reply in (search(pipeline=pipeline), post(path("search", pipeline), {"queries": ["hi"]}, FOUR)):
        assert (reply.status, reply.headers.get("retry-after")) == (status, wait)
        assert words in reply.value["errors"][0]


def test_a_strict_pipeline_answers_as_fastapi_does():
    reply = search(pipeline="strict")
    assert reply.status == 422
    assert set(reply.value["detail"][0]) == {"loc", "msg", "type"}


def test_a_pipeline_on_standby_wakes_up_once():
    place = f"w-{uuid.uuid4()}"
    first = search(pipeline="standby", workspace=place)
    assert first.status == 591
    assert "standby" in first.value["errors"][0]
    assert [said(search(pipeline="standby", workspace=place)) for _ in range(2)] == [TEXT, TEXT]
    assert search(pipeline="standby", workspace=f"{place}-2").status == 591


def test_a_pipelines_name_selects_how_it_answers():
    plain = events(search(pipeline="plain", include_result=True))[-1]["result"]
    assert plain["documents"] == []
    assert list(events(search(pipeline="batch", include_result=True))[-1]["result"]) == BATCH
    tools = events(search(pipeline="tools", include_tool_calls=True, include_tool_call_results=True))
    assert {event["type"] for event in tools} == {"delta", "tool_call_delta", "tool_call_result"}
    assert said(search(pipeline="tools")).startswith("**Tool call:**")
    assert said(search(f"{FOUR},scenario=tools", include_tool_calls=False)) == TEXT


def test_every_pipeline_with_a_manner_is_told_of_in_a_line():
    assert set(PIPELINES) == {
        *("missing", "timeout", "undeployed", "strict", "busy", "rebalancing", "standby"),
        *("old", "plain", "tools", "batch"),
    }
    for name in PIPELINES:
        status = search(pipeline=name, workspace=f"w-{uuid.uuid4()}").status
        told = PIPELINES[name][:3]
        assert str(status) == (told if told.isdigit() else "200")


def test_without_a_stream_every_query_has_a_result():
    reply = post(path("search"), {"queries": ["one", "two"]}, FOUR).value
    assert list(reply) == BATCH
    assert [result["query"] for result in reply["results"]] == ["one", "two"]
    answers = [result["answers"][0]["answer"] for result in reply["results"]]
    assert answers == [TEXT, "".join(tokens(2, 4))]


def test_an_answer_without_pieces_comes_too():
    assert said(search(f"{FAST},tokens=0")) == ""
    value = post(path("search"), {"queries": ["hi"]}, f"{FAST},tokens=0").value
    assert value["results"][0]["answers"][0]["answer"] == ""


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer bad-key"}])
@pytest.mark.parametrize(("end", "method"), [("", "GET"), ("search-stream", "POST"), ("chat", "POST")])
def test_no_key_no_answer(headers, end, method):
    reply = post(path(end), None, FOUR, headers, method)
    assert (reply.status, list(reply.value)) == (401, ["errors"])


def test_a_status_scenario_strikes_at_the_call_that_was_chosen():
    reply = search(f"{FOUR},scenario=http-503")
    assert (reply.status, list(reply.value), reply.headers["retry-after"]) == (503, ["errors"], "7")
    assert search(f"{FOUR},scenario=http-591").status == 591
    assert list(search(f"{FOUR},scenario=http-422").value) == ["detail"]
    assert search(f"{FOUR},scenario=html-502").body.startswith(b"<html>")
    assert post(path("search"), {"queries": ["hi"]}, f"{FOUR},scenario=http-500").status == 500
    assert sessions(options=f"{FOUR},scenario=http-403").status == 403
    assert post(path(), None, f"{FOUR},scenario=http-403,at=start", method="GET").status == 403
    opening = {"pipeline_id": NOWHERE}
    assert sessions(options=f"{FOUR},scenario=http-402,at=continue", body=opening).status == 402
    assert sessions(options=f"{FOUR},scenario=http-402", body=opening).status == 200
    assert said(search(f"{FOUR},scenario=http-500,at=start")) == TEXT


def test_json_may_come_where_a_stream_was_due():
    reply = search(f"{FOUR},scenario=json-200")
    assert reply.headers["content-type"] == "application/json"
    assert reply.value["answers"][0]["answer"] == TEXT
    assert list(search(f"{FOUR},scenario=json-200", "batch").value) == BATCH
    assert search(f"{FOUR},scenario=json-200", "missing").status == 404
    assert list(post(path("search"), {"queries": ["hi"]}, f"{FOUR},scenario=json-200").value) == BATCH
    assert sessions(options=f"{FOUR},scenario=json-200").value["total"] >= 25


def test_an_error_may_come_with_status_200():
    reply = search(f"{FOUR},scenario=error-200")
    assert (reply.status, list(reply.value)) == (200, ["errors"])


def test_a_stream_may_fail_end_early_or_be_empty():
    assert events(search(f"{FOUR},scenario=error"))[-1]["type"] == "error"
    assert said(search(f"{FOUR},scenario=truncate", include_result=True)) == "## Loose"
    assert search(f"{FOUR},scenario=empty").body == b""
    torn = body_on_the_wire(path("search-stream"), {"query": "hi"}, f"{FOUR},scenario=cut")
    assert torn.count(b"data: ") == 3
    assert not torn.endswith(b"\r\n")


def test_a_header_received_is_repeated_in_the_stream_and_in_the_result():
    asked = {"query": "hi", "include_result": True}
    options = f"{FOUR},scenario=echo-auth"
    reply = post(path("search-stream"), asked, options, {**KEY, "x-api-key": "canary-0123456789"})
    found = events(reply)
    assert found[1]["delta"]["text"] == "x-api-key: canary-0123456789\n"
    text = "authorization: Bearer sk-dummy\nx-api-key: canary-0123456789\n"
    assert found[-1]["result"]["answers"][0]["answer"] == said(reply) == text
