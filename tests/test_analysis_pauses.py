from __future__ import annotations

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import T0_NS, S, delta, events_of, read, reasoning, usage

from streamnb.analysis import gaps, stalls
from streamnb.errors import UsageError
from streamnb.events import Event
from streamnb.tables import COLUMNS

ROLE = Event("start", name="assistant")
END = Event("end", name="stop")


def at(*times: float, run_id: str = "r1", then: tuple[Event, ...] = ()) -> pd.DataFrame:
    """Events of a run with one delta at each time, and perhaps something later."""
    return events_of(
        *(read(t, delta()) for t in times), *([read(times[-1] + 0.5, *then)] if then else []), run_id=run_id
    )


def steady(step: float, n: int, start: float = 1) -> list[float]:
    return [start + step * i for i in range(n)]


def rows(frame: pd.DataFrame) -> list[tuple]:
    """The rows without the cause of a stall, which has its own tests (test_analysis_causes)."""
    return list(frame.drop(columns="cause", errors="ignore").itertuples(index=False, name=None))


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_a_gap_lies_between_two_reads_that_carried_text():
    frame = gaps(events_of(read(1, delta()), read(1.25, delta()), read(2, reasoning())))
    assert rows(frame) == [("r1", 1, 1, 0, 1.25, 0.25, False), ("r1", 2, 2, 0, 2.0, 0.75, False)]


def test_events_of_one_read_make_no_gap():
    frame = gaps(events_of(read(1, delta(), delta()), read(1.5, delta(), delta(), delta())))
    assert rows(frame) == [("r1", 2, 1, 0, 1.5, 0.5, True)]


def test_a_burst_has_no_gap_at_all():
    assert rows(gaps(events_of(read(1, delta(), delta(), delta())))) == []


@pytest.mark.parametrize(
    "event", [ROLE, delta(""), Event("ping"), usage(1, 2), Event("tool_call", "{}"), Event("message", "hi"), END]
)
def test_only_text_ends_a_gap(event):
    frame = gaps(events_of(read(1, event), read(2, delta()), read(2.5, event), read(3, delta()), read(4, event)))
    assert frame["gap_s"].tolist() == [1.0]
    assert frame["t_s"].tolist() == [3.0]


def test_the_first_text_of_the_later_chunk_names_the_gap():
    frame = gaps(events_of(read(1, delta()), read(2, ROLE, delta(), delta())))
    assert rows(frame) == [("r1", 2, 1, 0, 2.0, 1.0, True)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.lists(st.sampled_from([delta(), reasoning(), ROLE, END, usage(1, 2)]), max_size=3)
        ),
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_the_gaps_of_a_call_add_up_to_the_time_of_its_text_and_none_is_zero(steps, first_of_second):
    t_s, reads = 1.0, []
    for n, (step, events) in enumerate(steps):
        t_s += step / 8
        reads.append(read(t_s, *events, call=int(n >= first_of_second)))
    events = events_of(*reads)
    frame, text = gaps(events), events[events["kind"].isin(["delta", "reasoning"])]
    assert (frame["gap_s"] > 0).all()
    for call, rows_ in text.groupby("call"):
        mine = frame[frame["call"] == call]
        assert mine["gap_s"].sum() == pytest.approx(rows_["t_s"].max() - rows_["t_s"].min())
        assert len(mine) == rows_["t_ns"].nunique() - 1
        assert mine["coalesced"].sum() <= len(mine)


def test_the_pause_between_two_calls_is_no_gap():
    frame = gaps(events_of(read(1, delta()), read(1.5, delta()), read(9, delta(), call=1), read(9.25, delta(), call=1)))
    assert frame["gap_s"].tolist() == [0.5, 0.25]
    assert frame["call"].tolist() == [0, 1]


def test_two_calls_at_once_keep_their_own_gaps_in_order_of_arrival():
    frame = gaps(
        events_of(
            read(1, delta()), read(2, delta(), call=1), read(4, delta()), read(5.5, delta(), call=1), read(6, delta())
        )
    )
    assert frame["seq"].tolist() == [2, 3, 4]
    assert frame["gap_s"].tolist() == [3.0, 3.5, 2.0]


def test_two_choices_share_the_reads_and_so_the_gaps():
    frame = gaps(
        events_of(read(1, delta(choice=0), delta(choice=1)), read(2, delta(choice=1)), read(4, delta(choice=0)))
    )
    assert frame["gap_s"].tolist() == [1.0, 2.0]


def test_gaps_of_several_runs_do_not_mix_even_row_by_row():
    a, b = at(1, 2, 4, run_id="a"), at(1.5, 1.75, 2, run_id="b")
    together = pd.concat([a, b]).sort_values("t_s", kind="stable")
    frame = gaps(together)
    assert frame[frame["run_id"] == "a"]["gap_s"].tolist() == [1.0, 2.0]
    assert frame[frame["run_id"] == "b"]["gap_s"].tolist() == [0.25, 0.25]


def test_gaps_need_no_t0():
    frame = gaps(events_of(read(1, delta()), read(1.5, delta()), t0=False))
    assert frame["gap_s"].tolist() == [0.5]
    assert frame["t_s"].isna().all()


def test_gaps_are_exact_to_the_nanosecond_after_half_a_year_of_uptime():
    frame = at(1, 2)
    frame["t_ns"] = np.array([15_000_000 * S + 1, 15_000_000 * S + 2])
    assert gaps(frame)["gap_s"].tolist() == [1e-9]


def test_two_reads_that_the_clock_cannot_tell_apart_make_no_gap_of_zero():
    frame = gaps(at(1, 1, 2, 3, 3))
    assert frame["gap_s"].tolist() == [1.0, 1.0]
    assert frame["coalesced"].tolist() == [False, True]
    assert stalls(at(1, 1, 1, 1, 2.5, 2.75), floor_s=1)["after_seq"].tolist() == [3]


@pytest.mark.parametrize("beside", [usage(3, 1), END, ROLE, Event("ping"), delta("")])
def test_only_texts_that_share_a_read_are_coalesced(beside):
    frame = gaps(events_of(read(1, delta()), read(2, delta(), beside), read(3, delta(), delta()), read(4, delta())))
    assert frame["coalesced"].tolist() == [False, True, False]


def test_a_silence_beyond_five_medians_is_a_stall():
    frame = stalls(at(*steady(0.25, 5), 5, 5.25))
    assert rows(frame) == [("r1", 2.0, 3.0, 4, True)]


def test_a_silence_of_just_five_medians_is_none():
    assert rows(stalls(at(1, 1.5, 2, 2.5, 5))) == []
    assert rows(stalls(at(1, 1.5, 2, 2.5, 5.125))) == [("r1", 2.5, 2.625, 3, True)]


def test_nothing_up_to_the_floor_is_a_stall():
    assert rows(stalls(at(*steady(0.0625, 5), 2.25))) == []
    assert rows(stalls(at(*steady(0.0625, 5), 2.25), floor_s=0.5)) == [("r1", 1.25, 1.0, 4, True)]


def test_factor_says_how_much_slower_is_a_stall():
    slow = at(*steady(0.5, 5), 4.5)
    assert rows(stalls(slow)) == []
    assert rows(stalls(slow, factor=2)) == [("r1", 3.0, 1.5, 4, True)]


def test_a_lone_gap_is_compared_with_the_floor():
    assert rows(stalls(at(1, 2))) == []
    assert rows(stalls(at(1, 2.25))) == [("r1", 1.0, 1.25, 0, True)]


def test_one_of_two_gaps_cannot_hide_in_their_median():
    assert rows(stalls(at(1, 1.25, 61.25))) == [("r1", 1.25, 60.0, 1, True)]
    assert rows(stalls(at(1, 61, 61.25))) == [("r1", 1.0, 60.0, 0, True)]


def test_a_stall_begins_after_the_last_event_of_the_earlier_read():
    frame = stalls(events_of(read(1, delta(), delta(), ROLE), read(9, delta())))
    assert rows(frame) == [("r1", 1.0, 8.0, 1, True)]


def test_a_run_that_is_slow_throughout_does_not_stall():
    assert rows(stalls(at(*steady(8, 6)))) == []


def test_a_ping_does_not_end_a_stall():
    frame = stalls(events_of(read(1, delta()), read(3, Event("ping")), read(5, delta())))
    assert rows(frame) == [("r1", 1.0, 4.0, 0, True)]


def test_the_wait_for_the_first_text_is_no_stall():
    assert rows(stalls(at(60, 60.25), until_s=60.5)) == []
    assert rows(stalls(events_of(read(1, Event("ping"))), until_s=99)) == []


def test_a_stream_that_fell_silent_did_not_recover():
    assert rows(stalls(at(1, 1.25, 1.5), until_s=9)) == [("r1", 1.5, 7.5, 2, False)]


def test_a_lone_text_before_the_silence_is_enough():
    assert rows(stalls(at(1), until_s=2)) == []
    assert rows(stalls(at(1), until_s=2.5)) == [("r1", 1.0, 1.5, 0, False)]


def test_the_silence_at_the_end_is_compared_with_all_gaps():
    assert rows(stalls(at(1, 2, 3), until_s=8)) == []
    assert rows(stalls(at(1, 2, 3), until_s=8.25)) == [("r1", 3.0, 5.25, 2, False)]


@pytest.mark.parametrize("kind", ["end", "error"])
def test_a_stream_that_said_it_was_over_did_not_stall(kind):
    assert rows(stalls(at(1, 1.25, then=(Event(kind),)), until_s=60)) == []


def test_an_end_before_the_last_text_excuses_nothing():
    frame = stalls(events_of(read(1, delta(), END), read(2, delta(), call=1)), until_s=60)
    assert rows(frame) == [("r1", 2.0, 58.0, 2, False)]


def test_without_an_end_of_the_body_no_tail_is_judged():
    assert rows(stalls(at(1, 1.25))) == []
    assert rows(stalls(at(1, 1.25), until_s=math.nan)) == []


def test_each_run_has_its_own_pace_and_its_own_end():
    runs = [
        at(1, 61, 61.25, 61.5, run_id="z"),
        at(*steady(20, 4), run_id="slow"),
        at(1, 1.25, 5.25, 5.5, run_id="a"),
        at(1, 1.25, run_id="no end known"),
    ]
    frame = stalls(pd.concat(runs), until_s={"z": 99.5, "slow": 70.0, "a": 5.75})
    assert rows(frame) == [("z", 1.0, 60.0, 0, True), ("z", 61.5, 38.0, 3, False), ("a", 1.25, 4.0, 1, True)]


def test_a_tail_of_one_run_is_not_measured_by_the_gaps_of_another():
    frame = stalls(pd.concat([at(*steady(4, 3), run_id="a"), at(1, run_id="b")]), until_s={"a": 20.0, "b": 3.0})
    assert rows(frame) == [("b", 1.0, 2.0, 0, False)]


def test_one_end_for_several_runs_is_refused():
    with pytest.raises(UsageError, match="one until_s for 2 runs; pass a mapping"):
        stalls(pd.concat([at(1, run_id="a"), at(1, run_id="b")]), until_s=5)


def test_a_stall_without_t0_has_a_length_and_no_start():
    frame = stalls(events_of(read(1, delta()), read(9, delta()), t0=False), until_s=99)
    assert frame["length_s"].tolist() == [8.0]
    assert frame["start_s"].isna().all()


@pytest.mark.parametrize(
    "events",
    [events_of(), events_of(read(1, Event("ping"))), at(1), at(1, 2), at(1, 9, 9.25)],
    ids=["no events", "no text", "one text", "no stall", "a stall"],
)
@pytest.mark.parametrize("until_s", [None, 0.5, {"r1": 99.0}, {}])
def test_gaps_and_stalls_keep_their_columns_and_dtypes(events, until_s):
    before = events.copy(deep=True)
    assert dtypes(gaps(events)) == COLUMNS["gaps"]
    assert dtypes(stalls(events, until_s=until_s)) == COLUMNS["stalls"]
    pd.testing.assert_frame_equal(events, before)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30))
def test_a_stall_is_what_the_formula_says(millis):
    times = np.cumsum([0, *millis]) / 1000
    found = set(stalls(at(*times))["after_seq"])
    gap_s = gaps(at(*times))["gap_s"].tolist()
    for n, one in enumerate(gap_s):
        others = gap_s[:n] + gap_s[n + 1 :]
        limit = max(5 * statistics.median(others), 1) if others else 1
        assert (n in found) == (one > limit)


def test_a_greeting_that_came_before_t0_is_no_text():
    greeted = events_of(read(-9, delta("Hello")), read(-8, reasoning()), read(1, delta()), read(1.25, delta()))
    assert gaps(greeted)["gap_s"].tolist() == [0.25]
    assert rows(stalls(greeted)) == []


def test_a_run_that_only_greeted_has_no_gap_and_no_stall():
    greeted = events_of(read(-9, delta()), read(-1, delta()))
    assert rows(gaps(greeted)) == []
    assert rows(stalls(greeted, until_s=60)) == []
    assert dtypes(stalls(greeted, until_s=60)) == COLUMNS["stalls"]


def test_text_in_the_moment_of_t0_is_text():
    assert gaps(events_of(read(0, delta()), read(0.5, delta())))["gap_s"].tolist() == [0.5]


def test_text_of_a_run_without_t0_is_text_whenever_it_came():
    assert gaps(events_of(read(-2, delta()), read(-1, delta()), t0=False))["gap_s"].tolist() == [1.0]


def test_each_stall_has_the_cause_that_the_witnesses_of_its_own_run_tell():
    paused, caught_up = [*steady(0.25, 5), *steady(0.25, 9, 9)], [*steady(0.25, 5), *steady(0.001, 50, 9)]
    both = pd.concat([at(*caught_up, run_id="b"), at(*paused, run_id="a")])
    awake = pd.DataFrame({"run_id": [], "kind": [], "start_ns": [], "t_s": [], "length_s": []})
    found = stalls(both, lags=awake)
    assert list(zip(found["run_id"], found["cause"], strict=True)) == [("b", "network"), ("a", "server")]


def test_a_stall_that_nothing_came_after_has_no_cause():
    assert stalls(at(1, 1.25, 1.5), until_s=9)["cause"].isna().tolist() == [True]


def test_the_log_tells_that_this_process_slept_through_the_end_too():
    slept = pd.DataFrame(
        {"run_id": ["r1"], "kind": ["loop"], "start_ns": [T0_NS + 2 * S], "t_s": [2.0], "length_s": [6.0]}
    )
    assert stalls(at(1, 1.25, 1.5), until_s=9, lags=slept)["cause"].tolist() == ["client"]
    assert stalls(at(1, 1.25, 1.5), until_s=9, lags=slept.assign(run_id="r2"))["cause"].isna().tolist() == [True]


def test_the_pace_that_was_due_is_that_before_the_silence_in_pieces():
    two_a_read = [read(t, delta(), delta()) for t in steady(0.5, 5)]
    rest = [read(t, delta()) for t in steady(0.3, 12, 9)]  # slower than 0.25 s a piece, faster than 0.5 s a read
    awake = pd.DataFrame({"run_id": [], "kind": [], "start_ns": [], "t_s": [], "length_s": []})
    assert stalls(events_of(*two_a_read, *rest), lags=awake)["cause"].tolist() == ["server"]


def test_a_silence_behind_the_first_text_is_measured_by_what_came_later():
    awake = pd.DataFrame({"run_id": [], "kind": [], "start_ns": [], "t_s": [], "length_s": []})
    assert stalls(at(1, *steady(0.25, 9, 9)), lags=awake)["cause"].tolist() == ["server"]
