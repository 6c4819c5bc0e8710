"""deepset's page reads its stream with httpx-sse: what that loop prints is the text of the run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx_sse
import pytest
from simulated import KEY, url

import streamnb

PACE = {"ttft": 0, "gap": 0, "tokens": 24, "seed": 7}
OPTIONS = ",".join(f"{key}={value}" for key, value in PACE.items())
ASKED = {"query": "Why do rivers meander?", "include_result": True, "include_tool_calls": True}


def workspace(options: str = OPTIONS) -> str:
    return f"{url(options)}/api/v1/workspaces/default"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=KEY, trust_env=False) as made:
        yield made


async def told(source: httpx_sse.EventSource) -> tuple[str, list[Any], list[Any]]:
    """The text, results and errors of a stream, taken from it as the loop on the page takes them."""
    text, results, errors = "", [], []
    async for sse in source.aiter_sse():
        event = json.loads(sse.data)
        match event["type"]:
            case "delta":
                text += event["delta"]["text"]
            case "result":
                results.append(event["result"])
            case "error":
                errors.append(event["error"])
    return text, results, errors


async def opened(client: httpx.AsyncClient) -> str:
    """A session of the pipeline `demo`."""
    pipeline = (await client.get(f"{workspace()}/pipelines/demo")).json()["pipeline_id"]
    return (await client.post(f"{workspace()}/search_sessions", json={"pipeline_id": pipeline})).json()[
        "search_session_id"
    ]


@pytest.mark.parametrize("pipeline", ["demo", "old", "plain", "tools", "batch"])
async def test_one_stream_read_by_both_has_one_text_and_one_result(client: httpx.AsyncClient, pipeline: str):
    target, asked = f"{workspace()}/pipelines/{pipeline}/search-stream", {**ASKED, "include_tool_call_results": True}
    async with streamnb.aconnect_sse(client, "POST", target, provider="deepset", json=asked) as source:
        text, results, errors = await told(source)
    run = source.run
    assert (run.text, errors) == (text, [])
    assert len(text.split()) > 10
    assert run.outcome == "complete"
    events = run.events
    (end,) = (json.loads(data) for data in events[events["kind"] == "end"]["data"])
    (result,) = results
    assert end == result["results"][0] if pipeline == "batch" else end == result
    assert end["answers"][0]["answer"] == text


async def test_a_chat_with_the_same_seed_says_the_same_over_either(client: httpx.AsyncClient):
    body = {**ASKED, "search_session_id": await opened(client)}
    target = f"{workspace()}/pipelines/demo/chat-stream"
    async with httpx_sse.aconnect_sse(client, "POST", target, json=body) as source:
        text, results, _ = await told(source)
    run = await streamnb.astream("deepset", ASKED["query"], pipeline="demo", sim=True, pace=PACE)
    assert (run.text, run.outcome, run.error) == (text, "complete", None)
    assert run.calls["name"].tolist() == ["pipeline", "session", "chat_stream"]
    assert run.session_id != body["search_session_id"]
    documents = [document["id"] for document in results[0]["documents"]]
    assert run.citations["id"].tolist() == documents
    assert run.citations["at_char"].tolist()[:2] == [
        reference["answer_end_idx"] for reference in results[0]["answers"][0]["meta"]["_references"]
    ]


async def test_an_error_in_the_stream_is_seen_by_both(client: httpx.AsyncClient):
    target = f"{workspace(f'{OPTIONS},scenario=error')}/pipelines/demo/search-stream"
    async with streamnb.aconnect_sse(client, "POST", target, provider="deepset", json=ASKED) as source:
        text, results, errors = await told(source)
    run = source.run
    assert (run.text, run.outcome) == (text, "error_in_stream")
    assert results == []
    events = run.events
    assert events[events["kind"] == "error"]["text"].tolist() == errors
