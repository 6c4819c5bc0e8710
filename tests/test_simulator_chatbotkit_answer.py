from __future__ import annotations

import json
from typing import Any

from streamnb.simulator.chatbotkit_answer import Answer, Turn, blocks, broken, duration, sent
from streamnb.simulator.chatbotkit_functions import Function
from streamnb.simulator.chatbotkit_lines import jsonl, sse
from streamnb.simulator.pace import Pace
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import perform

SIX = Pace(tokens=6, gap=0.0)
FUNCTION = Function("river_level", {"station": "x"}, "river_level_0000")


def played(turn: Turn, scenario: str = "ok") -> list[dict[str, Any]]:
    outs = perform(Answer(turn).script(jsonl), turn.pace, scenario)
    return [json.loads(block) for out in outs for block in out.blocks]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in found]


def test_an_answer_in_a_conversation_goes_as_documented():
    found = played(Turn("complete", SIX, text="How high?", sent="msg-1", words=5, search=True))
    ends = ["usage", "message", "completeEnd", "receiveResult", "result"]
    assert kinds(found) == [
        *("sendResult", "completeBegin", "operationBegin", "operationEnd"),
        *["token"] * 6,
        *ends,
    ]
    assert found[0]["data"] == {"id": "msg-1", **sent("How high?")}
    begin, end = found[2]["data"], found[3]["data"]
    assert (begin["id"], begin["action"]["id"]) == (end["id"], end["action"]["id"])
    assert (begin["action"]["kind"], begin["action"]["input"]) == ("dataset", "How high?")
    assert found[-5]["data"] == {"model": "simulated-1", "inputTokensUsed": 5, "outputTokensUsed": 6}
    assert found[-4]["data"] == {"type": "bot", "text": "".join(tokens(1, 6))}
    assert found[1]["data"] == found[-3]["data"]
    assert found[-1]["data"] == found[-2]["data"]
    assert found[-1]["data"]["usage"] == {"token": 11}


def test_usage_everywhere_adds_up_to_the_usage():
    found = [event["data"] for event in played(Turn("stateless", SIX, "usage-everywhere", words=5))]
    parts = [data for data in found if "model" in data]
    assert [sum(part[key] for part in parts) for key in ("inputTokensUsed", "outputTokensUsed")] == [5, 6]
    assert len(parts) == 2


def test_a_silence_brings_a_ping_every_ten_seconds_and_the_platform_ends_after_800():
    pace = Pace(tokens=2, ttft=25.0, gap=900.0, gap_dist="constant")
    outs = list(perform(Answer(Turn("receive", pace)).script(jsonl), pace, "ok"))
    pings = [out.at_s for out in outs if out.blocks == (b'{"type":"ping","data":{}}\n',)]
    assert pings[:3] == [10.0, 20.0, 35.0]
    assert outs[-1].at_s == 800.0
    assert outs[-1].blocks == ()


def test_a_silent_answer_lasts_as_long_as_one_with_tokens():
    pace = Pace(tokens=3, ttft=1.0, gap=1.0, gap_dist="constant")
    outs = list(perform(Answer(Turn("complete", pace, special="silent")).script(jsonl), pace, "ok"))
    assert [out.at_s for out in outs] == [1.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    assert duration(pace) == 3.0


def test_a_function_is_asked_for_and_its_result_begins_the_answer():
    answer = Answer(Turn("complete", SIX, text="How high?"))
    asked = answer.ask(FUNCTION)
    assert [kind for kind, _ in asked] == [
        "sendResult",
        "completeBegin",
        "operationBegin",
        "waitForChannelMessageBegin",
    ]
    answer.hear(FUNCTION, {"data": {"level": 3}})
    found = [json.loads(block) for out in perform(answer.script(jsonl), SIX, "ok") for block in out.blocks]
    assert kinds(found)[:2] == ["waitForChannelMessageEnd", "operationEnd"]
    assert found[0]["data"] == {**FUNCTION.data, "message": {"data": {"level": 3}}}
    assert found[1]["data"] == dict(asked)["operationBegin"]
    assert answer.text == 'river_level returned {"level":3}.\n\n' + "".join(tokens(1, 6))
    assert found[-1]["data"]["text"] == answer.text


def heard(message: dict[str, Any]) -> str:
    answer = Answer(Turn("stateless", Pace(tokens=0)))
    answer.hear(FUNCTION, message)
    return answer.text


def test_a_message_may_be_data_a_result_an_error_or_anything():
    assert heard({"data": "three metres"}) == "river_level returned three metres.\n\n"
    assert heard({"result": None}) == "river_level returned null.\n\n"
    assert heard({"level": 3}) == 'river_level returned {"level":3}.\n\n'
    assert heard({"error": "no gauge"}) == "river_level failed: no gauge.\n\n"


def test_an_answer_without_tokens_is_an_answer():
    found = played(Turn("complete", Pace(tokens=0)))
    assert kinds(found) == ["completeBegin", "usage", "message", "completeEnd", "receiveResult", "result"]
    assert found[-1]["data"]["text"] == ""


def test_a_broken_event_is_no_json_in_either_form():
    assert broken(jsonl, "token") == b'{"type":"token","data":{"token":}\n'
    assert broken(sse, "token") == b'event: token\ndata: {"token":\n\n'
    assert blocks([("nop", {})], sse) == (b"event: nop\ndata: {}\n\n",)


def test_what_stands_instead_of_the_prose_is_the_text():
    assert Answer(Turn("complete", SIX, instead="echo")).whole()["text"] == "echo"
