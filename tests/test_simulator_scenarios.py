from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from streamnb.simulator.pace import Pace
from streamnb.simulator.scenarios import SCENARIOS, Limits, Out, Script, known, perform, status

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


def limited(
    scenario: str = "ok", *, ping: bytes = b":", body: Iterable[float] = range(1, 7), **limits: Any
) -> list[tuple[float, bytes]]:
    """When which bytes are sent of an answer with a write at each of these seconds."""
    outs = [Out(float(second), (b"%g" % second,)) for second in body]
    script = Script(body=outs, head=(b"head",), terminal=(b"end",), ping=ping, limits=Limits(**limits))
    return [(out.at_s, b"".join(out.blocks)) for out in perform(script, PACE, scenario)]


def test_a_platform_that_limits_nothing_sends_everything():
    assert limited() == limited(total_s=6.0, idle_s=1.0, timed_out=(b"bye",), ping_s=1.0)


@pytest.mark.parametrize(
    ("total_s", "sent"),
    [
        (0.5, [(0.5, b"")]),
        (2.5, [(1.0, b"head"), (1.0, b"1"), (2.0, b"2"), (2.5, b"")]),
        (2.0, [(1.0, b"head"), (1.0, b"1"), (2.0, b"2"), (2.0, b"")]),
    ],
)
def test_at_the_total_the_body_ends_without_a_word(total_s, sent):
    assert limited(total_s=total_s, timed_out=(b"bye",)) == sent


SILENT = (1.0, 1.5, 9.0, 9.5)


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({"idle_s": 4.0}, [(1.0, b"head"), (1.0, b"1"), (1.5, b"1.5"), (5.5, b"")]),
        (
            {"idle_s": 4.0, "timed_out": (b"time", b"out")},
            [(1.0, b"head"), (1.0, b"1"), (1.5, b"1.5"), (5.5, b"timeout")],
        ),
        ({"idle_s": 0.5, "timed_out": (b"bye",)}, [(0.5, b"bye")]),
        (
            {"idle_s": 4.0, "timed_out": (b"bye",), "total_s": 3.0},
            [(1.0, b"head"), (1.0, b"1"), (1.5, b"1.5"), (3.0, b"")],
        ),
        (
            {"idle_s": 1.0, "timed_out": (b"bye",), "total_s": 3.0},
            [(1.0, b"head"), (1.0, b"1"), (1.5, b"1.5"), (2.5, b"bye")],
        ),
    ],
)
def test_a_silence_that_is_too_long_ends_the_stream_with_what_the_platform_says_then(limits, sent):
    assert limited(body=SILENT, **limits) == sent


def test_a_silence_of_just_the_limit_is_none():
    assert limited(body=SILENT, idle_s=7.5)[-1] == (9.5, b"end")


def test_a_silence_brings_keep_alives_as_long_as_it_lasts():
    assert limited(body=SILENT, ping_s=3.0) == [
        (1.0, b"head"),
        (1.0, b"1"),
        (1.5, b"1.5"),
        (4.5, b":"),
        (7.5, b":"),
        (9.0, b"9"),
        (9.5, b"9.5"),
        (9.5, b"end"),
    ]


def test_keep_alives_do_not_move_the_end_of_a_silence_or_of_the_stream():
    assert limited(body=SILENT, ping_s=1.0, idle_s=3.25, timed_out=(b"bye",))[3:] == [
        (2.5, b":"),
        (3.5, b":"),
        (4.5, b":"),
        (4.75, b"bye"),
    ]
    assert limited(body=SILENT, ping_s=2.0, total_s=4.0)[3:] == [(3.5, b":"), (4.0, b"")]


def test_the_wait_for_the_first_piece_is_a_silence_too():
    assert limited(body=(1.0,), ping_s=0.4)[:3] == [(0.4, b":"), (0.8, b":"), (1.0, b"head")]


def test_a_framing_without_keep_alives_has_none():
    assert limited(body=SILENT, ping=b"", ping_s=1.0) == limited(body=SILENT)


def test_a_keep_alive_carries_no_stamp():
    script = Script(body=[Out(5.0, (b"x",))], ping=b":", limits=Limits(ping_s=2.0))
    assert [out.stamped for out in perform(script, PACE, "ok")] == [False, False, True]


def test_a_connection_that_drops_is_cut_by_the_clock_as_well():
    assert limited("cut", total_s=3.5)[-2:] == [(3.0, b"3"), (3.5, b"")]
