from __future__ import annotations

import json

import pytest

from streamnb.simulator.openai_answer import Answer
from streamnb.simulator.openai_ask import read_ask
from streamnb.simulator.prefix import read
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import perform


def answer(segment: str = "tokens=6", **fields) -> tuple[Answer, list]:
    """Return the answer and the values of its events."""
    setup = read(segment)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}], **fields}
    made = Answer(read_ask(json.dumps(body).encode(), setup.pace.tokens), setup)
    blocks = [block for out in perform(made.script(), setup.pace, setup.scenario) for block in out.blocks]
    data = [block.decode().removeprefix("data: ").strip() for block in blocks]
    return made, [json.loads(text) for text in data if text != "[DONE]"]


def deltas(events: list, index: int = 0) -> list[dict]:
    return [choice["delta"] for event in events for choice in event["choices"] if choice["index"] == index]


def joined(events: list, key: str, index: int = 0) -> str:
    return "".join(delta.get(key) or "" for delta in deltas(events, index))


def finish(events: list) -> list[str]:
    return [choice["finish_reason"] for event in events for choice in event["choices"] if choice["finish_reason"]]


@pytest.mark.parametrize("scenario", ["ok", "tools", "reasoning", "refusal", "usage-everywhere"])
def test_the_chunks_add_up_to_the_whole(scenario):
    made, events = answer(f"scenario={scenario},tokens=9")
    message = made.whole()["choices"][0]["message"]
    assert joined(events, "content") == (message["content"] or "")
    assert joined(events, "reasoning_content") == message.get("reasoning_content", "")
    assert joined(events, "refusal") == (message["refusal"] or "")
    assert finish(events) == [made.whole()["choices"][0]["finish_reason"]]


def test_every_chunk_has_the_same_id_and_creation_time():
    _, events = answer()
    assert len({(event["id"], event["created"], event["object"]) for event in events}) == 1
    assert answer()[1][0]["id"] != events[0]["id"]


def test_two_choices_interleave_and_have_texts_of_their_own():
    _, events = answer("tokens=5,seed=2", n=2)
    assert [event["choices"][0]["index"] for event in events] == [0, 1] * 7
    assert joined(events, "content", 0) == "".join(tokens(2, 5))
    assert joined(events, "content", 1) == "".join(tokens(3, 5))
    assert finish(events) == ["stop", "stop"]


def test_a_third_of_the_pieces_is_reasoning_and_comes_first():
    made, events = answer("scenario=reasoning,tokens=9", stream_options={"include_usage": True})
    kinds = [next(iter(delta)) for delta in deltas(events) if delta]
    assert kinds == ["role", *["reasoning_content"] * 3, *["content"] * 6]
    assert events[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert made.whole()["choices"][0]["message"]["reasoning_content"] == "".join(list(tokens(1, 9))[:3])


def test_tool_calls_come_in_fragments_that_join_to_json():
    made, events = answer("scenario=tools", tools=[{"type": "function", "function": {"name": "look_up"}}])
    fragments = [call for delta in deltas(events) for call in delta.get("tool_calls", [])]
    for index in (0, 1):
        first, *rest = [call for call in fragments if call["index"] == index]
        assert first["function"] == {"name": "look_up", "arguments": ""}
        assert all("id" not in call for call in rest)
        text = "".join(call["function"]["arguments"] for call in rest)
        assert json.loads(text) == {"name": "Río Tinto", "days": 3}
        assert made.whole()["choices"][0]["message"]["tool_calls"][index]["function"]["arguments"] == text
    assert finish(events) == ["tool_calls"]


def test_max_tokens_ends_with_length():
    _, events = answer("tokens=60", max_tokens=60)
    assert finish(events) == ["stop"]
    made, _ = answer("tokens=60", max_tokens=2)
    assert made.whole()["choices"][0]["finish_reason"] == "length"


def test_usage_on_every_chunk_counts_up():
    _, events = answer("scenario=usage-everywhere,tokens=3,burst=2")
    assert [event["usage"]["completion_tokens"] for event in events] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(("scenario", "count"), [("tools", 20), ("refusal", 7), ("reasoning", 60)])
def test_usage_counts_what_is_really_sent(scenario, count):
    _, events = answer(f"scenario={scenario}", stream_options={"include_usage": True})
    assert events[-1]["usage"]["completion_tokens"] == count == len(events) - 3


def test_usage_is_absent_null_or_last():
    _, events = answer("tokens=1")
    assert not any("usage" in event for event in events)
    _, events = answer("tokens=1", n=2, stream_options={"include_usage": True})
    assert [event["usage"] for event in events[:-1]] == [None] * 6
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 2
