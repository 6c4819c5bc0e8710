from __future__ import annotations

import dataclasses
import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.events import Arrival, Chunk, Event
from streamnb.meter import Meter, _Median

S = 1_000_000_000
SEQ = itertools.count()


def arrival(t_s: float, *events: Event) -> Arrival:
    return Arrival(Chunk(next(SEQ), 0, t_ns=round(t_s * S), n_bytes=1, wire_bytes=1, data=b"x"), events)


def delta(text: str = "a") -> Event:
    return Event("delta", text)


def fed(*arrivals: Arrival, t0_s: float = 10) -> Meter:
    meter = Meter()
    meter.start(round(t0_s * S))
    for one in arrivals:
        meter.arrive(one)
    return meter


def test_every_figure_is_missing_not_zero_before_anything_arrives():
    meter = Meter()
    figures = (meter.ttft_s, meter.ttfa_s, meter.e2e_s, meter.rate_per_s, meter.tokens_out)
    assert all(math.isnan(figure) for figure in figures)
    assert (meter.n_chunks, meter.n_events, meter.n_chars, meter.last_data_ns) == (0, 0, 0, None)


def test_text_without_t0_has_no_ttft():
    meter = Meter()
    meter.arrive(arrival(1, delta()))
    assert math.isnan(meter.ttft_s)
    assert meter.phase(S) == "answering"


def test_ttft_counts_reasoning_and_ttfa_only_the_answer():
    meter = fed(arrival(10.5, Event("reasoning", "hm")), arrival(12, delta()), arrival(13, delta()))
    assert (meter.ttft_s, meter.ttfa_s, meter.e2e_s) == (0.5, 2.0, 3.0)


@pytest.mark.parametrize("kind", ["start", "usage", "ping", "end", "message", "tool_call"])
def test_only_text_kinds_set_ttft(kind):
    meter = fed(arrival(11, Event(kind, "not a delta")), arrival(12, delta("")), arrival(13, delta()))
    assert meter.ttft_s == 3.0


@pytest.mark.parametrize(
    ("more", "unit"),
    [
        ((Event("tool_call", "{}"),), "chunks/s"),
        ((Event("usage", data={"tokens_out": 21, "tokens_reasoning": 9}),), "chunks/s"),
        ((Event("reasoning", "hm"), Event("usage", data={"tokens_out": 21, "tokens_reasoning": 9})), "tokens/s"),
        ((Event("usage", data={"tokens_out": 21, "tokens_reasoning": 0}),), "tokens/s"),
    ],
)
def test_tokens_that_did_not_come_as_text_are_no_pace_of_the_text(more: tuple[Event, ...], unit: str):
    usage = arrival(12.5, Event("usage", data={"tokens_out": 21}))
    meter = fed(arrival(11, delta()), usage, arrival(12, *more, delta()), arrival(13, delta()))
    assert (meter.rate_unit, meter.rate_per_s) == (unit, 1.0 if unit == "chunks/s" else 10.0)


def test_one_burst_has_no_pace_and_reads_with_one_stamp_are_one():
    meter = fed(arrival(11, delta()), arrival(11, delta()), arrival(11.0005, delta()))
    assert math.isnan(meter.rate_per_s)
    assert meter.max_gap_s == 0.0005
    assert math.isnan(fed(arrival(11, delta()), arrival(11, delta())).max_gap_s)


def test_a_second_stream_of_the_run_does_not_move_t0():
    meter = fed(t0_s=1)
    meter.start(5 * S)
    assert meter.t0_ns == S


def test_the_rate_counts_chunks_that_carried_text_and_says_so():
    meter = fed(
        arrival(11, delta(), delta(), delta()),
        arrival(11.5, Event("ping")),
        arrival(12, delta()),
        arrival(13, delta()),
    )
    assert (meter.rate_per_s, meter.rate_unit) == (1.0, "chunks/s")
    assert (meter.n_chunks, meter.n_text_chunks, meter.n_events, meter.n_chars) == (4, 3, 6, 5)


def test_the_longest_gap_lies_between_chunks_with_text():
    assert math.isnan(fed(arrival(11, delta())).max_gap_s)
    assert fed(*(arrival(t_s, delta()) for t_s in (11, 11.5, 14, 14.5))).max_gap_s == 2.5
    assert fed(arrival(11, delta()), arrival(13, Event("ping")), arrival(14, delta())).max_gap_s == 3.0


def test_one_burst_has_no_rate():
    assert math.isnan(fed(arrival(11, delta(), delta())).rate_per_s)


def usage(t_s: float, tokens: object, how: str = "last") -> Arrival:
    return arrival(t_s, Event("usage", data={"tokens_in": 3, "tokens_out": tokens, "usage": how}))


def test_the_servers_token_count_makes_it_tokens_per_second():
    meter = fed(arrival(11, delta()), arrival(13, delta()), usage(14, 21))
    assert (meter.rate_per_s, meter.rate_unit, meter.tokens_out) == (10.0, "tokens/s", 21.0)


@pytest.mark.parametrize("data", [None, [], {}, {"tokens_out": None}, {"tokens_out": "7"}, {"tokens_out": True}])
def test_a_usage_event_without_a_count_changes_nothing(data):
    meter = fed(arrival(11, delta()), arrival(13, delta()), arrival(14, Event("usage", data=data)))
    assert meter.rate_unit == "chunks/s"


def test_one_token_has_no_rate():
    assert math.isnan(fed(arrival(11, delta()), arrival(13, delta()), usage(13, 1)).rate_per_s)


def test_a_repeated_total_is_taken_last_and_counts_of_several_requests_are_added():
    assert fed(usage(12, 3), usage(13, 5)).tokens_out == 5
    assert fed(usage(12, 3, "sum"), usage(13, None, "sum"), usage(14, 5, "sum")).tokens_out == 8


def test_a_ping_does_not_reset_the_silence():
    meter = fed(arrival(11, delta()), arrival(14, Event("ping")))
    assert meter.last_data_ns == 11 * S
    assert meter.stalled(15 * S) == 4.0


def test_silence_becomes_a_stall_beyond_five_median_gaps():
    meter = fed(*(arrival(11 + n, delta()) for n in range(4)))
    assert meter.stalled(19 * S) == 0.0
    assert meter.stalled(round(19.5 * S)) == 5.5
    assert meter.stalled(19 * S, factor=2) == 5.0


def test_a_fast_stream_is_not_called_stalled_below_the_floor():
    meter = fed(*(arrival(11 + n / 100, delta()) for n in range(10)))
    assert meter.stalled(round(12.09 * S)) == 0.0
    assert meter.stalled(round(12.59 * S)) == pytest.approx(1.5)


def test_waiting_for_the_first_text_is_not_a_stall():
    meter = fed(arrival(11, Event("start")))
    assert meter.stalled(100 * S) == 0.0
    assert meter.phase(100 * S) == "waiting"


def test_phases_follow_the_stream():
    meter = Meter()
    seen = [meter.phase(9 * S)]
    meter.start(10 * S)
    seen.append(meter.phase(10 * S))
    meter.arrive(arrival(11, Event("reasoning", "hm")))
    seen.append(meter.phase(11 * S))
    meter.arrive(arrival(12, delta()))
    seen += [meter.phase(12 * S), meter.phase(30 * S)]
    meter.arrive(arrival(31, delta()))
    seen.append(meter.phase(31 * S))
    meter.finish()
    seen.append(meter.phase(99 * S))
    assert seen == ["connecting", "waiting", "thinking", "answering", "stalled", "answering", "done"]
    assert meter.stalled(99 * S) == 0.0


def test_the_summary_carries_the_names_of_the_table_runs():
    summary = fed(arrival(11, delta()), arrival(13, delta())).summary()
    assert summary["ttft_s"] == 1.0
    assert summary["rate_unit"] == "chunks/s"
    assert set(summary) == {
        *(
            "ttft_s",
            "ttfa_s",
            "e2e_s",
            "max_gap_s",
            "n_chunks",
            "n_events",
            "n_chars",
            "tokens_out",
            "rate_per_s",
            "rate_unit",
        )
    }


@given(st.lists(st.integers(min_value=0, max_value=10**12), min_size=1))
def test_the_running_median_is_the_median(values):
    median = _Median()
    for value in values:
        median.add(value)
    assert median.value == statistics.median(values)


def test_events_that_the_end_of_the_body_completes_belong_to_a_chunk_counted_before():
    first = arrival(11, delta())
    meter = fed(first, dataclasses.replace(first, events=(delta(), Event("end"))))
    assert (meter.n_chunks, meter.n_text_chunks, meter.n_events, meter.n_chars) == (1, 1, 3, 2)
    assert math.isnan(meter.max_gap_s)


def test_the_pause_between_two_calls_is_no_gap_as_in_the_tables():
    second = arrival(15, delta())
    second = dataclasses.replace(second, chunk=dataclasses.replace(second.chunk, call=1))
    meter = fed(arrival(11, delta()), arrival(11.5, delta()), second)
    assert meter.max_gap_s == 0.5


def test_text_from_before_t0_has_no_part_in_the_figures():
    greeting = (arrival(1, Event("reasoning", "hm"), delta("Hello")), arrival(3, delta("!")), usage(3, 5))
    meter = Meter()
    for one in greeting:
        meter.arrive(one)
    assert (meter.n_chars, meter.max_gap_s, meter.tokens_out) == (8, 2.0, 5)
    meter.start(10 * S)
    assert all(map(math.isnan, (meter.ttft_s, meter.ttfa_s, meter.e2e_s, meter.max_gap_s, meter.rate_per_s)))
    assert (meter.n_chars, meter.n_text_chunks, meter.rate_unit) == (0, 0, "chunks/s")
    assert (meter.n_chunks, meter.n_events) == (3, 4)  # they did arrive
    assert meter.phase(10 * S) == "waiting"
    assert meter.stalled(100 * S) == 0.0


def test_after_a_greeting_the_answer_is_measured_as_if_it_had_come_alone():
    answers = [arrival(11, delta()), arrival(11.5, delta()), arrival(13, delta("abc")), usage(13, 9)]
    alone = fed(*answers)
    greeted = Meter()
    for t_s in (1, 1.1, 1.2, 9.9):
        greeted.arrive(arrival(t_s, delta("hello")))
    greeted.start(10 * S)
    for one in answers:
        greeted.arrive(one)
    for name in ("ttft_s", "ttfa_s", "e2e_s", "max_gap_s", "rate_per_s", "n_chars", "n_text_chunks", "tokens_out"):
        assert getattr(greeted, name) == getattr(alone, name), name
    for t_s in (14, 17.9, 18.2, 20):  # its own pace decides what is a stall, not that of the greeting
        assert greeted.stalled(round(t_s * S)) == alone.stalled(round(t_s * S))


def test_what_arrived_before_a_second_stream_of_the_run_still_counts():
    meter = fed(arrival(11, delta()), t0_s=10)
    meter.start(20 * S)
    assert (meter.ttft_s, meter.n_chars) == (1.0, 1)
