from __future__ import annotations

import pytest

from streamnb import tables
from streamnb.analysis import VERDICTS
from streamnb.analysis.explained import sentences

CHECKS = {
    "text_events": "no_stream",
    "whole_json_body": "no_stream",
    "stamps_backwards": "clock_suspect",
    "kernel_after_read": "clock_suspect",
    "wall_clock_set": "clock_suspect",
    "text_in_bursts": "buffered",
    "client_lag_p90": "client_limited",
    "first_text_lag": "client_limited",
    "shared_reads": "coalesced",
    "first_text_shared": "coalesced",
}


def said(name: str, **fired: tuple[float, float]) -> str:
    """What is said of a verdict when these checks fired with (value, threshold); the others did not, or are unknown."""
    rows = [
        {"run_id": "r1", "check": check, "unit": "", "points_to": points_to, "fires": fires, "value": 7.0}
        for fires, (check, points_to) in zip((False, None) * 9, CHECKS.items(), strict=False)
    ]
    for row in rows:
        row["threshold"] = 1.0
        if row["check"] in fired:
            row["fires"], (row["value"], row["threshold"]) = True, fired[row["check"]]
    return sentences(name, tables.build("evidence", {key: [row[key] for row in rows] for key in rows[0]}))


@pytest.mark.parametrize(
    ("name", "fired", "first"),
    [
        ("clean", {}, "No check found anything that bends these times"),
        ("no_stream", {"text_events": (0, 1)}, "No piece of text was streamed"),
        ("no_stream", {"whole_json_body": (1, 1)}, "The reply came as one JSON body"),
        (
            "clock_suspect",
            {"stamps_backwards": (2, 1), "kernel_after_read": (3, 1), "wall_clock_set": (1, 1)},
            (
                "The clocks behind these times cannot be right: stamps ran backwards (2 times), the kernel's stamp was "
                "later than the read (3 times), the wall clock was set meanwhile (once)"
            ),
        ),
        (
            "buffered",
            {"text_in_bursts": (0.954, 0.8)},
            "95% of the text came in bursts faster than it can have been generated, behind silences",
        ),
        (
            "client_limited",
            {"client_lag_p90": (0.0052, 0.002), "first_text_lag": (0.25, 0.0005)},
            (
                "This process was too busy to read in time: one read in ten was at least 5.2 ms late (2.0 ms is too "
                "much) and the read of the first text was 250 ms late (0.50 ms is too much)"
            ),
        ),
        (
            "coalesced",
            {"shared_reads": (0.5, 0.1), "client_lag_p90": (1, 1)},
            "50% of the text events shared a read with others, and a read has one time stamp",
        ),
        (
            "coalesced",
            {"first_text_shared": (0.04, 0.006)},
            "The first text shared its read, so that TTFT may be 40 ms too long (6.0 ms is too much)",
        ),
        (
            "coalesced",
            {"shared_reads": (0.5, 0.1), "first_text_shared": (0.04, 0.006)},
            (
                "50% of the text events shared a read with others, and a read has one time stamp; the first text "
                "shared its read, so that TTFT may be 40 ms too long (6.0 ms is too much)"
            ),
        ),
    ],
)
def test_the_first_sentence_says_what_bends_the_numbers_with_the_figures_that_fired(name, fired, first):
    assert said(name, **fired).partition(". ")[0] == first


FIRED = {
    "no_stream": "text_events",
    "clock_suspect": "wall_clock_set",
    "buffered": "text_in_bursts",
    "client_limited": "first_text_lag",
    "coalesced": "shared_reads",
}


@pytest.mark.parametrize("name", VERDICTS)
def test_every_verdict_is_two_sentences_and_the_second_says_what_to_do(name):
    text = said(name, **({FIRED[name]: (1.0, 1.0)} if name in FIRED else {}))
    first, second = text.removesuffix(".").split(". ")
    assert not first[0].islower()
    assert second[0].isupper()
    assert any(word in second for word in ("Use them", "There is no", "Do not", "switch it off", "Stream", "leave"))


def test_ttft_holds_unless_the_first_text_shared_its_read():
    assert ". TTFT and total hold, " in said("coalesced", shared_reads=(0.5, 0.1))
    assert ". Total and close_s hold, " in said("coalesced", shared_reads=(0.5, 0.1), first_text_shared=(0.04, 0.006))


def test_a_process_that_was_too_busy_is_told_of_a_capture_outside_of_it():
    assert "isolate=True (--isolate)" in said("client_limited", first_text_lag=(0.25, 0.0005))


def test_no_lateness_at_all_is_said_as_such():
    assert "was at least 0 ms late" in said("client_limited", client_lag_p90=(0.0, 0.0))
