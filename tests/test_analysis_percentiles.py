from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import delta, events_of, read, usage

from streamnb.analysis import FORMULAS, gaps, percentiles
from streamnb.analysis.percentiles import MIN_RUNS
from streamnb.errors import UsageError
from streamnb.events import Event
from streamnb.tables import COLUMNS


def table(*runs, **more) -> pd.DataFrame:
    """A table of gaps: the numbers of each run."""
    names = [f"r{number:04d}" for number, values in enumerate(runs) for _ in values]
    values = np.concatenate([np.asarray(values, dtype="float64") for values in runs]) if runs else np.array([])
    return pd.DataFrame({"run_id": pd.Series(names, dtype="string"), "gap_s": values} | more)


def alike(n_runs: int, n: int, spread: float = 0.5, seed: int = 3) -> pd.DataFrame:
    """Runs whose values are alike: each has a pace of its own, its values are around it."""
    rng = np.random.default_rng(seed)
    paces = np.exp(rng.normal(0, spread, n_runs))
    return table(*(pace * np.exp(rng.normal(0, 0.3, n)) for pace in paces))


def one(frame: pd.DataFrame, q: float = 0.5, **more) -> pd.Series:
    found = percentiles(frame, q, **more)
    assert len(found) == 1
    return found.iloc[0]


# -- the value ------------------------------------------------------------------------------------------------------


def test_percentiles_by_hand():
    found = percentiles(table(range(1, 101)))
    assert found["q"].tolist() == [0.5, 0.95, 0.99]
    assert found["value"].tolist() == pytest.approx([50.5, 95.05, 99.01])  # 1 + q * 99
    assert found["group"].tolist() == ["all"] * 3
    assert found["metric"].tolist() == ["gap_s"] * 3
    assert found[["n", "n_runs", "n_coalesced"]].to_numpy().tolist() == [[100, 1, 0]] * 3


@pytest.mark.parametrize(
    ("q", "n", "reason"),
    [
        (0.5, 1, "p50 wants 2 values, here are 1"),
        (0.95, 19, "p95 wants 20 values, here are 19"),
        (0.99, 99, "p99 wants 100 values, here are 99"),
        (0.999, 999, "p99.9 wants 1000 values, here are 999"),
        (0.05, 19, "p5 wants 20 values, here are 19"),
    ],
)
def test_a_percentile_is_refused_in_words_below_the_values_that_carry_it(q, n, reason):
    row = one(table(range(n)), q)
    assert math.isnan(row["value"])
    assert math.isnan(row["ci_low"])
    assert math.isnan(row["ci_high"])
    assert row["reason"] == reason
    assert not math.isnan(one(table(range(n + 1)), q)["value"])


def test_a_missing_value_is_no_value():
    row = one(table([1, math.nan, 3], [math.nan]))
    assert (row["value"], row["n"], row["n_runs"]) == (2.0, 2, 1)


def test_nothing_at_all_has_columns_and_no_rows():
    for empty in (table(), events_of()):
        found = percentiles(empty)
        assert found.empty
        assert {name: str(dtype) for name, dtype in found.dtypes.items()} == COLUMNS["percentiles"]


def test_columns_and_dtypes_are_the_declared_ones_and_the_input_stays():
    frame = alike(8, 30)
    before = frame.copy(deep=True)
    found = percentiles(frame)
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == COLUMNS["percentiles"]
    pd.testing.assert_frame_equal(frame, before)


# -- events that shared a read --------------------------------------------------------------------------------------


def test_a_gap_to_several_texts_is_left_out_and_counted_and_no_zero_appears():
    events = events_of(
        read(1, delta(), delta()),  # starts the clock; nothing ends with it
        read(2, delta()),
        read(9, delta(), delta()),  # when the first of them came is not known
        read(12, delta()),
    )
    row = one(events)
    assert row["value"] == 2.0  # of 1 and 3
    assert row[["n", "n_coalesced"]].tolist() == [2, 1]


def test_usage_or_a_ping_beside_a_text_is_no_second_text():
    events = events_of(
        read(1, delta(), usage(3, 1)), read(2, delta(), usage(3, 2)), read(4, Event("ping"), delta(), usage(3, 3))
    )
    assert one(events)[["value", "n", "n_coalesced"]].tolist() == [1.5, 2, 0]
    assert one(gaps(events))[["value", "n", "n_coalesced"]].tolist() == [1.5, 2, 0]


def test_where_every_read_brought_several_texts_there_is_no_percentile():
    row = one(events_of(*(read(t, delta(), delta()) for t in range(1, 30))))
    assert math.isnan(row["value"])
    assert row[["n", "n_runs", "n_coalesced"]].tolist() == [0, 0, 28]
    assert row["reason"] == "p50 wants 2 values, here are 0"


def test_events_and_their_gaps_give_the_same_also_where_reads_were_shared():
    frames = [
        events_of(
            *(read(t * t / 8, *[delta(), usage(1, t)] * (1 + (t % 3 == n % 3))) for t in range(1, 9 + n)),
            run_id=f"r{n}",
        )
        for n in range(7)
    ]
    events = pd.concat(frames)
    found = percentiles(events)
    assert (found["n_coalesced"] > 0).all()
    pd.testing.assert_frame_equal(found, percentiles(gaps(events)))


@settings(deadline=None, max_examples=40)
@given(
    runs=st.lists(
        st.lists(st.one_of(st.floats(0, 1e6), st.integers(0, 2)), min_size=1, max_size=9), min_size=1, max_size=30
    ),
    q=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=5),
)
def test_a_percentile_lies_among_the_values_and_in_its_interval_and_a_higher_one_is_no_smaller(runs, q):
    frame = table(*runs)
    found = percentiles(frame, sorted(q)).dropna(subset=["value"])
    assert found["value"].between(frame["gap_s"].min(), frame["gap_s"].max()).all()
    assert (found["value"].diff().dropna() >= -1e-9 * frame["gap_s"].max()).all()
    slack = 1e-9 * frame["gap_s"].max()
    assert not (found["ci_low"] > found["value"] + slack).any()
    assert not (found["ci_high"] < found["value"] - slack).any()
    assert (found["n"] >= 1 / (1 - found["q"]) - 1e-6).all()


# -- the interval ---------------------------------------------------------------------------------------------------


def test_values_of_one_run_have_no_interval_however_many_they_are():
    row = one(alike(1, 5000))
    assert row["value"] > 0
    assert math.isnan(row["ci_low"])
    assert math.isnan(row["ci_high"])
    assert row["reason"] == "one run; an interval wants 6 or more"


def test_few_runs_have_no_interval_and_six_do():
    assert one(alike(MIN_RUNS - 1, 50))["reason"] == "5 runs; an interval wants 6 or more"
    row = one(alike(MIN_RUNS, 50))
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert pd.isna(row["reason"])


def drawn_plainly(frame: pd.DataFrame, q: float) -> tuple[float, float]:
    """The same bootstrap with nothing clever: every resample written out and sorted."""
    runs = [part.to_numpy() for _, part in frame.groupby("run_id")["gap_s"]]
    drawn = np.random.default_rng(0).multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=1000)
    values = [
        np.quantile(np.concatenate([np.tile(run, n) for run, n in zip(runs, times, strict=True)]), q, method="lower")
        for times in drawn
    ]
    low, high = np.quantile(values, 0.025, method="lower"), np.quantile(values, 0.975, method="higher")
    return float(low), float(high)


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_the_interval_is_that_of_resamples_written_out(q):
    frame = alike(40, 20)
    row = one(frame, q)
    assert (row["ci_low"], row["ci_high"]) == drawn_plainly(frame, q)


def test_with_many_values_the_ends_are_off_by_less_than_a_hundredth_of_the_interval():
    frame = alike(60, 300)
    row = one(frame, 0.9)
    low, high = drawn_plainly(frame, 0.9)
    assert row["ci_low"] == pytest.approx(low, abs=(high - low) / 50)
    assert row["ci_high"] == pytest.approx(high, abs=(high - low) / 50)


def covered(n_runs: int, n: int, *, clustered: bool) -> float:
    """How often the interval of the median holds the true one, which is 1."""
    hits = 0
    for seed in range(40):
        frame = alike(n_runs, n, seed=seed)
        if not clustered:
            frame["run_id"] = [str(number) for number in range(len(frame))]
        row = one(frame)
        hits += row["ci_low"] <= 1 <= row["ci_high"]
    return hits / 40


def test_the_interval_holds_the_true_median_as_often_as_it_says_because_runs_are_drawn():
    assert 0.88 <= covered(25, 12, clustered=True) <= 1
    assert covered(25, 12, clustered=False) < 0.7  # what drawing single values would have promised


def test_an_interval_of_very_many_runs_is_that_of_independent_values():
    values = np.random.default_rng(5).normal(10, 1, 20_000)
    frame = table(*np.split(values, 20_000))
    row = one(frame)
    error = 1.2533 / math.sqrt(20_000)  # of a median of normal values
    assert (row["ci_high"] - row["ci_low"]) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_the_same_seed_gives_the_same_interval_whatever_the_order_and_the_neighbours():
    frame = alike(12, 50)
    first = percentiles(frame)
    pd.testing.assert_frame_equal(percentiles(frame), first)
    pd.testing.assert_frame_equal(percentiles(frame.sample(frac=1, random_state=1)), first)
    groups = pd.concat([alike(9, 40, seed=8).assign(kind_of="b"), frame.assign(kind_of="a")])
    groups["run_id"] = groups["kind_of"] + groups["run_id"]
    beside = percentiles(groups, by="kind_of")
    mine = beside[beside["group"] == "a"].drop(columns="group").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, first.drop(columns="group"))
    other = percentiles(frame, seed=1)
    assert (other[["ci_low", "ci_high"]] != first[["ci_low", "ci_high"]]).to_numpy().any()
    assert other["value"].tolist() == first["value"].tolist()


@pytest.mark.parametrize(("q", "end", "other"), [(0.99, "ci_high", "ci_low"), (0.01, "ci_low", "ci_high")])
def test_an_end_beyond_the_largest_value_is_not_given_as_the_largest(q, end, other):
    few, enough = table(*np.random.default_rng(1).random((30, 10))), table(*np.random.default_rng(1).random((300, 10)))
    row = one(few, q)
    assert math.isnan(row[end])
    assert not math.isnan(row[other])
    assert row["reason"].startswith(f"no {end}: 300 values count as ")
    assert one(enough, q)[["ci_low", "ci_high"]].notna().all()


def test_runs_that_differ_much_are_worth_little_more_than_one_value_each():
    frame = table(*(pace + np.linspace(0, 0.001, 400) for pace in range(1, 13)))
    row = one(frame, 0.95)
    assert row["n"] == 4800
    assert row["reason"].startswith("no ci_high: 4800 values count as ")
    assert one(frame, 0.5)[["ci_low", "ci_high"]].notna().all()


@pytest.mark.parametrize("n", [40, 400])
def test_values_that_are_all_equal_have_an_interval_of_no_width(n):
    row = one(table(*[[0.25] * n] * 20))
    assert row[["value", "ci_low", "ci_high"]].tolist() == [0.25, 0.25, 0.25]


@pytest.mark.parametrize("n", [40, 400])
def test_many_equal_values_in_the_middle_are_the_median_and_both_its_ends(n):
    mixed = [[0.1] * (n // 10) + [0.25] * (8 * n // 10) + [9.0] * (n // 10)] * 20
    row = one(table(*mixed))
    assert row[["value", "ci_low", "ci_high"]].tolist() == [0.25, 0.25, 0.25]


def test_every_run_having_the_same_values_leaves_no_doubt_of_the_median():
    row = one(table(*[np.arange(1, 602)] * 10))
    assert row[["value", "ci_low", "ci_high"]].tolist() == [301.0, 301.0, 301.0]


NUMBERS = st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=12), min_size=6, max_size=12)


@settings(deadline=None, max_examples=40)
@given(NUMBERS, st.sampled_from([0.1, 0.5, 0.9]))
def test_in_another_unit_everything_is_as_many_times_as_large(runs, q):
    frame, row = table(*runs), one(table(*runs), q)
    scaled = one(frame.assign(gap_s=frame["gap_s"] * 4), q)
    for name in ("value", "ci_low", "ci_high"):
        assert scaled[name] == pytest.approx(row[name] * 4, nan_ok=True), name
    assert row["ci_low"] <= row["ci_high"] or math.isnan(row["ci_low"]) or math.isnan(row["ci_high"])
    values = frame["gap_s"]
    assert values.min() <= row["value"] <= values.max() or math.isnan(row["value"])


# -- groups and metrics ---------------------------------------------------------------------------------------------


def test_groups_come_in_the_order_of_their_first_row_and_a_missing_one_is_its_own():
    frame = table([1, 2], [5, 7], [3, 4], model=["z", "z", None, None, "a", "a"])
    found = percentiles(frame, 0.5, by="model")
    assert found["group"].fillna("missing").tolist() == ["z", "missing", "a"]
    assert found["value"].tolist() == [1.5, 6.0, 3.5]


def test_events_are_grouped_by_a_mapping_from_run_to_group():
    runs = {"fast": 0.25, "slow": 2.0, "other": 1.0}
    events = pd.concat(
        [events_of(*(read(1 + n * gap, delta()) for n in range(4)), run_id=name) for name, gap in runs.items()]
    )
    found = percentiles(events, 0.5, by={"slow": 1, "fast": 2})
    assert found["group"].fillna("missing").tolist() == ["2", "1", "missing"]
    assert found["value"].tolist() == [0.25, 2.0, 1.0]
    pd.testing.assert_frame_equal(percentiles(events, 0.5, by=pd.Series({"slow": 1, "fast": 2})), found)
    by_column = percentiles(events.assign(number=[4] * 4 + [5] * 8), 0.5, by="number")
    assert by_column["group"].tolist() == ["4", "5"]
    assert by_column["n_runs"].tolist() == [1, 2]


def test_a_group_that_never_had_a_gap_is_there_without_a_number():
    events = pd.concat([events_of(read(1, delta()), run_id="a"), events_of(read(1, Event("ping")), run_id="b")])
    found = percentiles(events, 0.5, by="run_id")
    assert found["group"].tolist() == ["a", "b"]
    assert found["n"].tolist() == [0, 0]


def test_any_column_of_a_runs_table_has_percentiles_of_which_each_run_is_one_value():
    frame = pd.DataFrame(
        {
            "run_id": [f"r{n}" for n in range(20)],
            "ttft_s": np.arange(20) / 8,
            "tokens_out": pd.array([*range(19), None], dtype="Int64"),
        }
    )
    found = percentiles(frame, (0.5, 0.95), metrics=("ttft_s", "tokens_out"))
    assert found["metric"].tolist() == ["ttft_s", "ttft_s", "tokens_out", "tokens_out"]
    assert found["n"].tolist() == [20, 20, 19, 19]
    assert found["n_runs"].tolist() == [20, 20, 19, 19]
    assert found["value"].fillna(-1).tolist() == [9.5 / 8, 18.05 / 8, 9.0, -1]
    assert found["ci_low"].notna().tolist() == [True, True, True, False]


@pytest.mark.parametrize("name", ["percentile", "percentile_ci"])
def test_the_formulas_stand_in_the_docstring(name):
    assert f"{name} = {FORMULAS[name]}" in " ".join(percentiles.__doc__.split())


# -- errors and cost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"by": "modle"}, "the table has no column 'modle'. Did you mean model?"),
        ({"metrics": "gaps"}, "the table has no column 'gaps'. Did you mean gap_s?"),
        ({"metrics": "model"}, "model is no column of numbers."),
        ({"q": 95}, "a quantile lies between 0 and 1, 95 does not; 0.95 is the 95th percentile."),
        ({"q": (0.5, 1.0)}, "a quantile lies between 0 and 1, 1.0 does not; 0.95 is the 95th percentile."),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(more, message):
    with pytest.raises(UsageError) as caught:
        percentiles(table([1, 2], model=["a", "b"]), **more)
    assert str(caught.value) == message


def test_a_table_without_runs_is_refused_and_so_is_another_metric_of_events():
    with pytest.raises(UsageError, match="the table has no column 'run_id'"):
        percentiles(pd.DataFrame({"gap_s": [1.0]}))
    with pytest.raises(UsageError, match="of an events table percentiles"):
        percentiles(events_of(read(1, delta())), metrics="t_s")


def test_a_million_gaps_take_seconds():
    values = np.random.default_rng(2).lognormal(size=(1000, 1000))
    frame = table(*values)
    begun = time.process_time()
    found = percentiles(frame)
    assert time.process_time() - begun < 20  # 0.4 s; ten times the 2 s that are wanted
    assert found["n"].tolist() == [1_000_000] * 3
    assert found[["ci_low", "ci_high"]].notna().all(axis=None)
