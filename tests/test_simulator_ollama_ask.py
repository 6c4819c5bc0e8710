from __future__ import annotations

import json
from typing import Any

import pytest

from streamnb.simulator.ollama_ask import Ask, AskError, Tool, read_ask

USER = [{"role": "user", "content": "Hi there"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "days": {"type": "integer"},
        "level": {"type": "number"},
        "deep": {"type": "boolean"},
        "marks": {"type": "array"},
        "more": {"type": "object"},
        "any": {"type": ["string", "null"]},
        "odd": True,
    },
}


def ask(**fields: Any) -> Ask:
    return read_ask(json.dumps({"model": "m", "messages": USER, **fields}).encode(), 60)


def tool(parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "river_level", "parameters": parameters}}


def test_a_request_is_streamed_and_does_not_think_unless_it_says_so():
    made = ask()
    assert (made.model, made.stream, made.thinks, made.loads, made.tool, made.heard) == (
        "m",
        True,
        False,
        False,
        None,
        (),
    )
    assert (made.tokens, made.cut) == (60, False)
    assert made.prompt_tokens > 0


@pytest.mark.parametrize(("stream", "meant"), [(True, True), (None, True), (False, False)])
def test_only_false_is_no_stream(stream: Any, meant: bool):
    assert ask(stream=stream).stream is meant


@pytest.mark.parametrize(
    ("think", "meant"), [(None, False), (False, False), (True, True), ("low", True), ("medium", True), ("high", True)]
)
def test_thinking_is_asked_for_with_true_or_a_level(think: Any, meant: bool):
    assert ask(think=think).thinks is meant


@pytest.mark.parametrize(
    ("most", "tokens", "cut"),
    [(5, 5, True), (60, 60, False), (90, 60, False), (-1, 60, False), (-2, 60, False), (0, 0, True)],
)
def test_num_predict_cuts(most: int, tokens: int, cut: bool):
    made = ask(options={"num_predict": most})
    assert (made.tokens, made.cut) == (tokens, cut)


def test_the_first_function_is_called_with_an_example_of_every_argument():
    arguments = {
        "name": "Río Tinto",
        "days": 3,
        "level": 3.5,
        "deep": True,
        "marks": [],
        "more": {},
        "any": None,
    }
    assert ask(tools=[tool(SCHEMA), tool()]).tool == Tool("river_level", arguments)


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"properties": []}])
def test_a_function_without_arguments_is_called_without(parameters: Any):
    assert ask(tools=[tool(parameters)]).tool == Tool("river_level", {})


def test_what_the_last_messages_heard_is_not_asked_for_again():
    heard = [{"role": "tool", "content": "1.2 m"}, {"role": "tool", "tool_name": "now", "content": "noon"}]
    made = ask(messages=[*USER, {"role": "tool", "content": "long ago"}, *USER, *heard], tools=[tool()])
    assert (made.tool, made.heard) == (None, ("1.2 m", "noon"))


@pytest.mark.parametrize(
    ("fields", "loads", "unloads"),
    [
        ({}, True, False),
        ({"keep_alive": 0}, True, True),
        ({"keep_alive": "0"}, True, True),
        ({"keep_alive": "5m"}, True, False),
        ({"messages": USER, "keep_alive": 0}, False, False),
    ],
)
def test_no_messages_mean_load_and_with_keep_alive_0_unload(fields: dict[str, Any], loads: bool, unloads: bool):
    made = ask(**{"messages": [], **fields})
    assert (made.loads, made.unloads) == (loads, unloads)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"model": None}, 400, "model is required"),
        ({"model": ""}, 400, "model is required"),
        ({"model": "missing"}, 404, "model 'missing' not found"),
        ({"model": "missing:7b"}, 404, "model 'missing:7b' not found"),
        ({"messages": "Hi"}, 400, "messages must be an array of objects"),
        ({"messages": ["Hi"]}, 400, "messages must be an array of objects"),
        ({"tools": {}}, 400, "tools must be an array of objects"),
        ({"tools": [{"name": "flat"}]}, 400, "a tool needs a function with a name"),
        ({"think": "much"}, 400, 'invalid think value: "much" (must be "high", "medium", "low", true, or false)'),
        ({"think": 1.5}, 400, 'invalid think value: 1.5 (must be "high", "medium", "low", true, or false)'),
        ({"options": [1]}, 400, "options must be an object"),
        ({"options": {"num_predict": "5"}}, 400, 'option "num_predict" must be of type integer'),
        ({"model": "plain:1b", "tools": [tool()]}, 400, "plain:1b does not support tools"),
        ({"model": "plain", "think": "low"}, 400, '"plain" does not support thinking'),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], status: int, message: str):
    with pytest.raises(AskError) as caught:
        ask(**fields)
    assert (caught.value.status, str(caught.value)) == (status, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "missing request body"),
        (b"{", "the request body is not JSON"),
        (b"[" * 100_000, "the request body is not JSON"),
        (b"[1]", "the request body is not a JSON object"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, message: str):
    with pytest.raises(AskError, match=message) as caught:
        read_ask(body, 60)
    assert caught.value.status == 400
