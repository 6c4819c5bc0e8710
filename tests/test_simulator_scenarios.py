from __future__ import annotations

import pytest

from streamnb.simulator.pace import Pace
from streamnb.simulator.scenarios import SCENARIOS, Out, Script, known, perform, status

PACE = Pace(tokens=6, ttft=1.0)
SCRIPT = Script(
    body=[Out(float(second), (b"%d" % second,)) for second in range(1, 7)],
    head=(b"head",),
    tail=(b"tail",),
    terminal=(b"end",),
    error=(b"error",),
    malformed=(b"broken",),
    bad_utf8=(b"\xff",),
    late=(b"late",),
)
BODY = [b"1", b"2", b"3", b"4", b"5", b"6"]


def sent(scenario: str, script: Script = SCRIPT, pace: Pace = PACE) -> list[bytes]:
    return [b"".join(out.blocks) for out in perform(script, pace, scenario)]


@pytest.mark.parametrize(
    ("scenario", "blocks"),
    [
        ("ok", [b"head", *BODY, b"tail", b"end"]),
        ("stall", [b"head", *BODY, b"tail", b"end"]),
        ("hang", []),
        ("empty", []),
        ("ping", [b"head", b"1", b"2", b"3"]),
        ("truncate", [b"head", b"1", b"2", b"3"]),
        ("error", [b"head", b"1", b"2", b"3", b"error"]),
        ("malformed", [b"head", b"1", b"2", b"3", b"broken", b"4", b"5", b"6", b"tail", b"end"]),
        ("bad-utf8", [b"head", b"1", b"2", b"3", b"\xff", b"4", b"5", b"6", b"tail", b"end"]),
        ("no-done", [b"head", *BODY, b"tail"]),
        ("late", [b"head", *BODY, b"tail", b"end", b"late"]),
    ],
)
def test_a_scenario_chooses_what_is_sent(scenario, blocks):
    assert sent(scenario) == blocks


def test_a_cut_tears_the_write_in_the_middle():
    outs = list(perform(SCRIPT, PACE, "cut"))
    assert [out.torn for out in outs[:5]] == [False, False, False, False, True]
    assert outs[4].blocks == (b"4",)


@pytest.mark.parametrize(("scenario", "count"), [("error", 2), ("truncate", 1), ("ok", 3), ("cut", 1)])
def test_an_answer_without_tokens_still_goes_wrong(scenario, count):
    empty = Script(body=(), head=(b"head",), tail=(b"tail",), terminal=(b"end",), error=(b"error",))
    assert len(sent(scenario, empty, Pace(tokens=0))) == count


def test_what_stands_beside_the_answer_is_due_with_its_neighbour():
    due = [(out.at_s, out.blocks[0]) for out in perform(SCRIPT, PACE, "ok")]
    assert due[:2] == [(1.0, b"head"), (1.0, b"1")]
    assert due[-3:] == [(6.0, b"6"), (6.0, b"tail"), (6.0, b"end")]


def test_bursts_count_as_one_write_when_the_middle_is_looked_for():
    assert sent("truncate", pace=Pace(tokens=12, burst=2)) == [b"head", b"1", b"2", b"3"]


@pytest.mark.parametrize(("name", "found"), [("http-429", ("http", 429)), ("html-502", ("html", 502)), ("ok", None)])
def test_a_status_scenario_is_read_into_form_and_code(name, found):
    assert status(name) == found


def test_every_scenario_has_one_line_of_explanation():
    assert all(text and "\n" not in text for text in SCENARIOS.values())


def test_a_stray_word_is_no_scenario():
    with pytest.raises(ValueError, match="Did you mean truncate"):
        known("truncated")


def test_a_script_without_a_stamp_stamps_nothing():
    assert Script(body=()).stamp(1, b"data: x\n\n") == b""
