from __future__ import annotations

import functools
import itertools
import operator
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display.timeline import ANSWER, COALESCED, NO_TEXT, REASONING, WIDTH, Timeline

MS = 1_000_000
S = 1000 * MS


def started(t0_ms: float = 10) -> Timeline:
    timeline = Timeline()
    timeline.start(5 * S)
    timeline.t0(5 * S + round(t0_ms * MS))
    return timeline


def read(timeline: Timeline, ms: float, seq: int, n_chars: int = 3, **what):
    what = {"call": 0, "n_texts": 1, "kind": "delta"} | what
    timeline.add(5 * S + round(ms * MS), what["call"], seq, n_chars, what["n_texts"], what["kind"])


def rows(marks: list[int]) -> list[tuple[int, ...]]:
    return [tuple(marks[at : at + WIDTH]) for at in range(0, len(marks), WIDTH)]


def test_a_mark_says_when_after_how_much_silence_and_what_came():
    timeline = started()
    read(timeline, 20, 0, 0, n_texts=0, kind="")
    read(timeline, 100, 1, 7, kind="reasoning")
    read(timeline, 130.04, 2, 11)
    read(timeline, 230.06, 3, 5, n_texts=2)
    assert rows(timeline.marks()) == [
        (200, 0, 0, 1, NO_TEXT, 0),
        (800, 0, 7, 1, REASONING, 1),
        (300, 300, 11, 1, ANSWER, 2),
        (1001, 1000, 5, 1, ANSWER | COALESCED, 3),
    ]
    assert (timeline.total_chars, timeline.t0_ms, timeline.end_ms) == (23, 10.0, 230.06)


def test_nothing_is_known_before_the_first_read():
    timeline = Timeline()
    assert (timeline.marks(), timeline.news(), timeline.stalls()) == ([], [], [])
    assert (timeline.t0_ms, timeline.end_ns, timeline.end_ms, timeline.total_chars) == (None, None, 0.0, 0)


def test_a_read_without_text_neither_ends_nor_begins_a_gap():
    timeline = started()
    read(timeline, 100, 0)
    read(timeline, 150, 1, 0, n_texts=0, kind="")
    read(timeline, 180, 2)
    assert [row[1] for row in rows(timeline.marks())] == [0, 0, 800]


def test_a_pause_between_two_calls_is_no_gap():
    timeline = started()
    read(timeline, 100, 0, call=1)
    read(timeline, 9000, 1, call=2)
    read(timeline, 9050, 2, call=2)
    assert [row[1] for row in rows(timeline.marks())] == [0, 0, 500]
    assert timeline.stalls() == []


def test_the_end_of_a_body_adds_to_the_read_it_belongs_to():
    timeline = started()
    read(timeline, 100, 4)
    read(timeline, 100, 4, 2)
    assert rows(timeline.marks()) == [(1000, 0, 3, 1, ANSWER, 4), (0, 0, 2, 0, ANSWER | COALESCED, 4)]
    assert timeline.total_chars == 5


def test_text_that_came_before_the_request_was_sent_is_dropped_whenever_that_is_known():
    timeline = Timeline()
    timeline.start(5 * S)
    read(timeline, 50, 0, 100)
    read(timeline, 70, 1, 100)
    assert timeline.news() == []
    timeline.t0(5 * S + 60 * MS)
    read(timeline, 59, 2, 100)
    read(timeline, 90, 3, 1)
    timeline.t0(6 * S)
    assert rows(timeline.news()) == rows(timeline.marks()) == [(700, 0, 100, 1, 1, 1), (200, 200, 1, 1, 1, 3)]
    assert (timeline.total_chars, timeline.t0_ms) == (101, 60.0)


def test_a_gap_never_begins_before_the_request_was_sent():
    timeline = Timeline()
    timeline.start(5 * S)
    read(timeline, 50, 0)
    timeline.t0(5 * S + 60 * MS)
    read(timeline, 2000, 1)
    assert rows(timeline.marks()) == [(20_000, 0, 3, 1, ANSWER, 1)]


def test_without_a_streaming_request_the_whole_still_has_every_read():
    timeline = Timeline()
    read(timeline, 0, 0)
    read(timeline, 40, 1)
    assert timeline.news() == []
    assert rows(timeline.marks()) == [(0, 0, 3, 1, ANSWER, 0), (400, 400, 3, 1, ANSWER, 1)]


def test_a_stall_stands_out_from_the_other_gaps_of_the_run():
    timeline = started(10)
    for seq, ms in enumerate((100, 150, 200, 3200, 3250, 4240)):
        read(timeline, ms, seq)
    assert timeline.stalls() == [(0.19, 3.0)]


def test_where_every_gap_is_long_none_is_a_stall():
    timeline = started()
    for seq in range(10):
        read(timeline, 1500 * (seq + 1), seq)
    assert timeline.stalls() == []


def test_the_only_gap_of_a_run_is_a_stall_beyond_the_floor():
    timeline = started(10)
    read(timeline, 100, 0)
    read(timeline, 1101, 1)
    assert timeline.stalls() == [(0.09, 1.001)]


def test_a_run_that_fell_silent_and_never_said_it_was_done_ends_with_a_stall():
    timeline = started(10)
    for seq in range(5):
        read(timeline, 100 + 50 * seq, seq)
    read(timeline, 1000, 5, 0, n_texts=0, kind="")
    assert timeline.stalls() == []
    assert timeline.stalls(until_ns=8 * S) == [(0.29, 2.7)]
    assert timeline.stalls(until_ns=6 * S) == []
    assert Timeline().stalls(until_ns=8 * S) == []


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_a_stall_is_compared_with_the_median_of_all_the_others(tenths):
    timeline = started(0)
    read(timeline, 0, 0)
    for seq, at in enumerate(itertools.accumulate(tenths), 1):
        read(timeline, 100 * at, seq)
    wanted = []
    for n, gap in enumerate(tenths):
        others = tenths[:n] + tenths[n + 1 :]
        if gap > max(5 * statistics.median(others or [0]), 10):
            wanted.append((sum(tenths[:n]) / 10, gap / 10))
    assert timeline.stalls() == wanted


def test_news_are_merged_in_equal_bins_of_time():
    timeline = started(0)
    for seq, ms in enumerate((0, 10, 20, 60, 70, 99)):
        read(timeline, ms, seq, kind="reasoning" if seq == 4 else "delta")
    assert rows(timeline.news(2)) == [(200, 100, 9, 3, ANSWER, 2), (790, 400, 9, 3, ANSWER | REASONING, 5)]
    assert timeline.news(2) == []
    read(timeline, 110, 6)
    assert rows(timeline.news(2)) == [(110, 110, 3, 1, ANSWER, 6)]


def test_merging_leaves_the_first_text_and_the_first_of_the_answer_exact():
    timeline = started(0)
    kinds = [""] * 3 + ["reasoning"] * 1000 + ["delta"] * 1000
    for seq, kind in enumerate(kinds):
        read(timeline, 1.5 * seq, seq, kind=kind)
    marks = rows(timeline.marks(100))
    times = list(itertools.accumulate(row[0] for row in marks))
    first = [next(at for at, row in enumerate(marks) if row[4] & bit) for bit in (REASONING, ANSWER)]
    assert [times[at] for at in first] == [45, 15_045]
    assert [marks[at][3] for at in first] == [1, 1]
    assert len(marks) <= 100


def bits(marks) -> int:
    return functools.reduce(operator.or_, (row[4] for row in marks), 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 3000), st.sampled_from(["", "delta", "reasoning"]), st.booleans(), st.booleans()),
        max_size=120,
    ),
    st.integers(1, 30),
)
def test_however_it_is_told_nothing_is_lost(reads, most):
    timeline = started(0)
    told: list[list[int]] = []
    at_ms = 0
    for seq, (wait_ms, kind, other_call, ask) in enumerate(reads):
        at_ms += wait_ms
        read(timeline, at_ms, seq, len(kind), call=int(other_call), n_texts=bool(kind), kind=kind)
        if ask:
            told.append(timeline.news(most))
    told.append(timeline.news(most))
    exact = rows(timeline.marks(10**6))
    for marks in (rows(list(itertools.chain(*told))), rows(timeline.marks(most))):
        assert [sum(column) for column in zip(*(row[2:4] for row in marks), strict=True)] == [
            sum(column) for column in zip(*(row[2:4] for row in exact), strict=True)
        ]
        assert sum(row[0] for row in marks) == sum(row[0] for row in exact)
        assert max((row[1] for row in marks), default=0) == max((row[1] for row in exact), default=0)
        assert bits(marks) == bits(exact)
    assert len(timeline.marks(most)) <= most * WIDTH
    assert all(len(marks) <= most * WIDTH for marks in told)
    assert timeline.total_chars == sum(row[2] for row in exact)


@pytest.mark.parametrize("most", [1, 7, 1500])
def test_all_reads_at_one_moment_are_one_mark_or_each_its_own(most):
    timeline = started(0)
    for seq in range(20):
        read(timeline, 5, seq)
    marks = rows(timeline.marks(most))
    assert len(marks) == (1 if most < 20 else 20)
    assert (sum(row[2] for row in marks), sum(row[3] for row in marks)) == (60, 20)
