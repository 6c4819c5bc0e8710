from __future__ import annotations

import dataclasses
import json
import re

import pytest

from streamnb.simulator.pace import Pace
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Limits, Out, perform
from streamnb.simulator.voiceflow_answer import DIALECTS, Answer, stamp
from streamnb.simulator.voiceflow_flow import Turn
from streamnb.simulator.voiceflow_traces import BLOCK, CHOICE, text

PACE = Pace(tokens=6, ttft=1.0, gap=0.5, gap_dist="constant")
MODEL = Turn((BLOCK,), answers=True, after=(CHOICE,))
WHOLE = Turn((BLOCK, text("a"), text("b")))
NOW_MS = 1_700_000_000_000


def answer(generation: str = "v2beta1", pace: Pace = PACE, *, streamed: bool = True) -> Answer:
    return Answer(DIALECTS[generation], pace, NOW_MS, streamed=streamed)


def outs(built: Answer, turn: Turn = MODEL, scenario: str = "ok") -> list[Out]:
    return list(perform(built.script(turn, {"n": {"m": 1}}, Limits()), built.counted(turn), scenario))


def played(built: Answer, turn: Turn = MODEL, scenario: str = "ok") -> str:
    return b"".join(block for out in outs(built, turn, scenario) for block in out.blocks).decode()


def shown(body: str) -> list[dict]:
    """Return the traces of a body."""
    values = [json.loads(data) for data in re.findall(r"event: ?trace\nid:.*\ndata: ?(.*)", body)]
    return [value.get("trace", value) for value in values]


def test_token_counts_are_increments_whose_sum_is_the_usage():
    payloads = [trace["payload"] for trace in shown(played(answer()))[1:-1]]
    counts = [payload["tokens"] for payload in payloads[:-1]]
    assert payloads[-1] == {}
    assert [count["query"] for count in counts] == [12, 0, 0, 0, 0, 0]
    assert sum(count["answer"] for count in counts) == 6
    assert sum(count["total"] for count in counts) == 18
    assert ["model" in count for count in counts] == [True] + [False] * 5


@pytest.mark.parametrize("generation", ["v2", "v4"])
def test_a_flat_completion_has_a_start_its_pieces_and_an_end_with_the_usage(generation):
    payloads = [trace["payload"] for trace in shown(played(answer(generation)))[1:-1]]
    assert [payload["state"] for payload in payloads] == ["start", *["content"] * 6, "end"]
    assert "".join(payload.get("content", "") for payload in payloads) == "".join(tokens(1, 6))
    assert payloads[-1]["tokens"] == {"model": "simulated-1", "answer": 6, "query": 12, "total": 18}


@pytest.mark.parametrize("pace", [PACE, dataclasses.replace(PACE, tokens=0), dataclasses.replace(PACE, burst=4)])
@pytest.mark.parametrize("turn", [MODEL, WHOLE, Turn()])
@pytest.mark.parametrize("streamed", [True, False])
def test_ids_of_v2_count_from_1_to_the_end(pace, turn, streamed):
    ids = [int(found) for found in re.findall(r"(?m)^id: (\d+)$", played(answer("v2", pace, streamed=streamed), turn))]
    assert ids == list(range(1, len(ids) + 1))
    assert ids


def test_times_are_the_moments_at_which_traces_are_due():
    found = [(trace["type"], trace["time"] - NOW_MS) for trace in shown(played(answer(pace=PACE)))]
    assert found[0] == ("block", 0)
    assert [time for kind, time in found if kind.startswith("completion")] == [1000, 1500, 2000, 2500, 3000, 3500, 3500]
    assert found[-1] == ("choice", 3500)


def test_the_opening_and_what_is_known_come_at_once_and_the_answer_when_it_is_due():
    due = [out.at_s for out in outs(answer())]
    assert due == [0.0, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 3.5, 3.5, 3.5]


def test_a_whole_answer_comes_when_it_is_finished():
    found = outs(answer("v2", streamed=False))
    assert [out.at_s for out in found if out.blocks[0]] == [0.0, 3.5, 3.5, 3.5]
    assert shown(found[2].blocks[0].decode())[0]["payload"]["message"] == "".join(tokens(1, 6))


def test_whole_traces_follow_each_other_at_the_pace_and_a_stall_comes_before_the_last():
    assert [out.at_s for out in outs(answer(), WHOLE)] == [0.0, 1.0, 1.5, 2.0, 2.0, 2.0]
    stalled = dataclasses.replace(PACE, stall_at=3, stall=10.0)
    assert [out.at_s for out in outs(answer(pace=stalled), WHOLE)] == [0.0, 1.0, 1.5, 12.0, 12.0, 12.0]


def test_an_answer_without_tokens_has_no_completion():
    empty = dataclasses.replace(PACE, tokens=0)
    for generation in DIALECTS:
        assert [trace["type"] for trace in shown(played(answer(generation, empty)))] == ["block", "choice"]
    assert [trace["type"] for trace in shown(played(answer("v2", empty, streamed=False)))] == ["block", "choice"]


@pytest.mark.parametrize(
    ("generation", "streamed", "turn", "kinds"),
    [
        ("v2beta1", True, MODEL, ["block", "completion-start", "completion-continue", "completion-continue"]),
        ("v2", True, MODEL, ["block", "completion", "completion", "completion", "completion"]),
        ("v2", False, MODEL, ["block"]),
        ("v4", True, WHOLE, ["block"]),
    ],
)
def test_a_truncated_turn_ends_in_the_middle_of_its_answer(generation, streamed, turn, kinds):
    body = played(answer(generation, streamed=streamed), turn, "truncate")
    assert [trace["type"] for trace in shown(body)] == kinds
    assert not re.search("event: ?(state|end)", body)


def test_a_burst_is_one_write():
    sizes = [len(out.blocks) for out in outs(answer("v2", dataclasses.replace(PACE, burst=3)))]
    assert sizes == [1, 1, 4, 3, 2, 1]


def test_something_else_may_stand_in_place_of_the_answer():
    built = answer()
    script = built.script(MODEL, {}, Limits(), [Out(0.5, (built.piece("said"),))])
    body = b"".join(block for out in perform(script, PACE, "ok") for block in out.blocks).decode()
    assert [trace["payload"]["completion"] for trace in shown(body)] == ["said"]
    assert body.endswith('data:{"type":"end"}\n\n')


def test_a_piece_has_the_form_of_its_answer():
    assert shown(answer("v4").piece("x").decode())[0]["payload"] == {"state": "content", "content": "x"}
    assert shown(answer("v4", streamed=False).piece("x").decode())[0]["payload"]["message"] == "x"
    assert {"turnID", "handleID"} < set(shown(answer("v4").piece("x").decode())[0])


def test_the_state_comes_before_the_end_in_v2beta1_only():
    assert re.findall("(?m)^event: ?(.*)$", played(answer()))[-2:] == ["state", "end"]
    assert '{"type":"state","state":{"n":{"m":1}}}' in played(answer())
    assert "event: state" not in played(answer("v2"))


def test_only_v2beta1_is_known_to_send_keep_alives():
    assert [DIALECTS[name].limits for name in ("v2beta1", "v2", "v4")] == [Limits(ping_s=30.0), Limits(), Limits()]


def test_a_lone_surrogate_goes_out_escaped():
    block = answer().script(MODEL, {"said": "a\ud800"}, Limits()).tail[0]
    assert rb'"said":"a\ud800"' in block
    assert json.loads(block.partition(b"data:")[2])["state"]["said"] == "a\ud800"


def test_a_stamp_stands_directly_before_an_event_and_nowhere_else():
    assert stamp(12, b"event:trace\n") == b": t_ns=12\n"
    assert stamp(12, b"retry:2000\n\n") == stamp(12, b":\n\n") == b""
