from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.analysis.held import Held

MS = 1_000_000


def lags(*rows: tuple[str, float, float]) -> pd.DataFrame:
    """Rows of kind, start and length, both in ms."""
    frame = pd.DataFrame(rows, columns=["kind", "start_ns", "length_s"])
    return frame.assign(start_ns=(frame["start_ns"] * MS).astype("int64"), length_s=frame["length_s"] / 1e3)


def ms(*times: float) -> np.ndarray:
    return np.array([round(one * MS) for one in times], dtype="int64")


def test_without_a_log_nothing_is_known_and_an_empty_one_says_that_nothing_was():
    assert not Held(None).known
    assert Held(lags()).known
    assert Held(lags()).within(ms(0), ms(100)).tolist() == [0.0]
    assert Held(lags()).late(ms(1, 2)).tolist() == [0.0, 0.0]
    assert Held(None).late(ms()).tolist() == []


def test_what_two_lags_share_counts_once():
    held = Held(lags(("loop", 40, 30), ("gc", 10, 20), ("loop", 20, 15), ("gc", 45, 5)))
    assert held.within(ms(0, 20, 33, 90), ms(100, 50, 42, 95)).tolist() == pytest.approx([0.055, 0.025, 0.004, 0])


def test_a_clock_that_was_set_held_nothing_up():
    assert Held(lags(("clock", 0, 1000))).within(ms(0), ms(1000)).tolist() == [0.0]


def test_a_read_is_as_late_as_the_lag_it_lies_in_lasted_by_then():
    held = Held(lags(("loop", 10, 20), ("loop", 100, 10)))
    found = held.late(ms(9, 10, 25, 30, 31, 33, 109))
    assert found.tolist() == pytest.approx([0, 0, 0.015, 0.020, 0.020, 0, 0.009])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(["gc", "loop", "clock"]), st.integers(0, 50), st.integers(0, 20)), max_size=8),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_what_was_held_is_what_one_counts_by_hand(rows, one, other):
    first, last = min(one, other), max(one, other)
    busy = {t for kind, start, length in rows if kind != "clock" for t in range(start, start + length)}
    found = Held(lags(*rows)).within(ms(first), ms(last))[0]
    assert found == pytest.approx(len(busy & set(range(first, last))) / 1e3)
