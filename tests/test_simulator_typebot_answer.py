from __future__ import annotations

import json

import pytest

from streamnb.simulator.pace import Pace
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Script, perform
from streamnb.simulator.typebot_answer import encoder, events, lines, raw

PACE = Pace(tokens=6)


def played(script: Script, scenario: str = "ok") -> bytes:
    return b"".join(block for out in perform(script, PACE, scenario) for block in out.blocks)


def plain(scenario: str = "ok", *, tools: bool = False, assistant: bool = False) -> list[str]:
    script = lines(PACE, scenario, tools=tools, assistant=assistant)
    return played(script, scenario).decode().splitlines()


def codes(found: list[str]) -> str:
    return "".join(line[0] for line in found)


def test_lines_open_and_close_a_step_and_end_with_a_finish():
    found = plain()
    assert codes(found) == "f000000ed"
    assert "".join(json.loads(line[2:]) for line in found[1:7]) == "".join(tokens(1, 6))
    assert found[-2:] == ['e:{"finishReason":"stop","isContinued":false}', 'd:{"finishReason":"stop"}']


def test_a_tool_call_is_a_step_of_its_own():
    found = plain(tools=True)
    assert codes(found) == "fbc9aef000000ed"
    assert found[3] == '9:{"toolCallId":"call_a1","toolName":"order_status","args":{"id":1042}}'
    assert found[5] == 'e:{"finishReason":"tool-calls","isContinued":false}'


def test_the_assistant_block_sends_text_and_nothing_else():
    assert codes(plain(assistant=True)) == "000000"


def test_an_error_is_json_inside_a_json_string_and_the_last_line():
    found = plain("error")
    assert codes(found) == "f0003"
    assert json.loads(json.loads(found[-1][2:])) == {
        "context": "While streaming AI",
        "description": "429 quota exceeded",
    }


@pytest.mark.parametrize(
    ("scenario", "found"),
    [("truncate", "f000"), ("no-done", "f000000e"), ("late", "f000000ed0"), ("reasoning", "fgg0000ed")],
)
def test_scenarios_change_which_lines_come(scenario, found):
    assert codes(plain(scenario)) == found


def test_a_refusal_is_a_finish_reason_and_usage_may_stand_on_finishes():
    assert plain("refusal")[-1] == 'd:{"finishReason":"content-filter"}'
    assert json.loads(plain("usage-everywhere")[-1][2:])["usage"] == {"promptTokens": 9, "completionTokens": 6}


def test_odd_bytes_stand_in_a_line_of_their_own():
    assert b'0:"never closed\n0:' in played(lines(PACE, "malformed", tools=False, assistant=False), "malformed")
    assert b'0:"\xff\xfe"\n0:' in played(lines(PACE, "bad-utf8", tools=False, assistant=False), "bad-utf8")


def test_sse_carries_plain_text_and_ends_with_done():
    found = played(events(PACE)).decode()
    assert found.endswith("data: [DONE]\n\n")
    texts = ["\n".join(line[6:] for line in block.split("\n")) for block in found.split("\n\n")[:-2]]
    assert "".join(texts) == "".join(tokens(1, 6))


def test_raw_text_is_the_text():
    assert played(raw(PACE)).decode() == "".join(tokens(1, 6))
    assert played(raw(PACE), "error").decode() == "".join(list(tokens(1, 6))[:3])


@pytest.mark.parametrize(
    ("framing", "block"), [("sse", b"data: x\n\n"), ("raw_text", b"x"), ("prefix_lines", b'0:"x"\n')]
)
def test_each_framing_has_an_encoder(framing, block):
    assert encoder(framing)("x") == block
