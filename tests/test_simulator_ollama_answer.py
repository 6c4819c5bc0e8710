from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from streamnb.simulator.ollama_answer import SPECIAL, Answer, dated, dated_value
from streamnb.simulator.ollama_ask import Ask, Tool
from streamnb.simulator.pace import Pace
from streamnb.simulator.prefix import Setup
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import perform

PACE = Pace(tokens=6, ttft=0.3, gap=0.1, gap_dist="constant")
ASK = Ask(
    model="m",
    stream=True,
    thinks=False,
    loads=False,
    unloads=False,
    tool=None,
    heard=(),
    tokens=6,
    cut=False,
    prompt_tokens=9,
)
SIX = "".join(tokens(1, 6))


def answer(scenario: str = "ok", pace: Pace = PACE, **fields: Any) -> Answer:
    return Answer(dataclasses.replace(ASK, **fields), Setup(pace=pace, scenario=scenario))


def sent(scenario: str = "ok", pace: Pace = PACE, **fields: Any) -> list[Any]:
    outs = perform(answer(scenario, pace, **fields).script(), pace, scenario)
    data = b"".join(block for out in outs for block in out.blocks)
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def content(values: list[Any], key: str = "content") -> str:
    return "".join(value["message"].get(key, "") for value in values)


def test_pieces_come_one_an_object_and_the_last_object_says_how_long_it_took():
    *pieces, last = sent()
    assert content(pieces) == SIX
    assert [value["done"] for value in pieces] == [False] * 6
    assert last == {
        "model": "m",
        "created_at": "",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "total_duration": 800_000_000,
        "load_duration": 100_000_000,
        "prompt_eval_count": 9,
        "prompt_eval_duration": 200_000_000,
        "eval_count": 6,
        "eval_duration": 500_000_000,
    }


def test_a_stall_is_in_the_durations():
    stalled = dataclasses.replace(PACE, stall_at=3, stall=2.0)
    assert sent(pace=stalled)[-1]["eval_duration"] == 2_500_000_000


def test_what_is_0_is_left_out():
    last = sent(pace=Pace(tokens=0, ttft=0, gap=0), tokens=0, prompt_tokens=0)[-1]
    assert last.keys() == {"model", "created_at", "message", "done", "done_reason"}


def test_a_cut_answer_says_length():
    assert sent(cut=True)[-1]["done_reason"] == "length"


@pytest.mark.parametrize(("scenario", "thinks"), [("ok", True), ("reasoning", False)])
def test_thinking_comes_first_in_a_field_of_its_own(scenario: str, thinks: bool):
    values = sent(scenario, thinks=thinks)
    assert (content(values, "thinking"), content(values)) == ("".join(tokens(1, 2)), SIX[len("".join(tokens(1, 2))) :])
    assert "thinking" not in values[2]["message"]
    assert values[0]["message"]["content"] == ""


def test_a_function_is_called_whole_and_nothing_else_is_said():
    call, last = sent(tool=Tool("now", {"zone": "UTC"}))
    (found,) = call["message"]["tool_calls"]
    assert found["function"] == {"index": 0, "name": "now", "arguments": {"zone": "UTC"}}
    assert found["id"].startswith("call_")
    assert (call["message"]["content"], call["done"]) == ("", False)
    assert last["done_reason"] == "stop"


def test_the_scenario_tools_calls_two():
    first, second, _ = sent("tools")
    functions = [value["message"]["tool_calls"][0]["function"] for value in (first, second)]
    assert [function["index"] for function in functions] == [0, 1]
    assert functions[0]["arguments"] != functions[1]["arguments"]


def test_what_a_function_returned_begins_the_text():
    assert content(sent(heard=("1.2 m", "noon"))) == "1.2 m\n\nnoon\n\n" + SIX
    thought = sent(heard=("1.2 m",), thinks=True)
    assert content(thought).startswith("1.2 m\n\n")
    assert "1.2 m" not in content(thought, "thinking")


def test_counts_are_on_every_object_in_one_scenario_only():
    assert [value["eval_count"] for value in sent("usage-everywhere")] == [1, 2, 3, 4, 5, 6, 6]
    assert [value.get("eval_count") for value in sent()] == [None] * 6 + [6]


def test_the_special_models_do_what_is_said_of_them():
    assert set(SPECIAL) == {"missing", "plain", "cloud", "held-back", "undone"}
    assert all(value["remote_host"] == "https://ollama.example" for value in sent(model="cloud:latest"))
    held = sent(model="held-back")
    assert (len(held), content(held)) == (6, SIX)
    assert held[-1]["message"]["content"] == [*tokens(1, 6)][-1]
    assert (sent(model="undone")[-1]["done"], sent(model="undone")[-1]["done_reason"]) == (False, "stop")


@pytest.mark.parametrize("model", ["m", "held-back"])
def test_as_a_whole_it_says_the_same(model: str):
    whole = answer(model=model, thinks=True).whole()
    streamed = sent(model=model, thinks=True)
    assert whole["message"] == {
        "role": "assistant",
        "content": content(streamed),
        "thinking": content(streamed, "thinking"),
    }
    assert (whole["done"], whole["eval_count"]) == (True, 6)
    called = answer(tool=Tool("now", {})).whole()["message"]["tool_calls"]
    assert [call["function"]["name"] for call in called] == ["now"]
    assert answer().whole("other")["message"]["content"] == "other"


def test_the_time_is_set_when_it_is_sent_and_nowhere_else():
    line = answer().piece('say "created_at":""')
    assert dated(line, 1_767_225_600_000_000_000) == line.replace(
        b'"m","created_at":""', b'"m","created_at":"2026-01-01T00:00:00Z"'
    )
    assert json.loads(dated(line, 1_767_225_600_120_000_700))["created_at"] == "2026-01-01T00:00:00.1200007Z"
    assert dated_value({"created_at": "", "done": True}).keys() == {"created_at", "done"}


def test_only_objects_of_an_answer_are_stamped():
    script = answer().script()
    assert json.loads(script.stamp(7, script.late[0])) == {
        "model": "m",
        "created_at": "",
        "message": {"role": "assistant", "content": ""},
        "done": False,
        "t_ns": 7,
    }
    assert script.stamp(7, script.error[0]) == b""


def test_a_lone_surrogate_is_escaped_as_json_does():
    assert b'"\\ud83c"' in answer().piece("\ud83c")
