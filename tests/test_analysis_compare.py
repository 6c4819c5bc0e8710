from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb import analysis, tables
from streamnb.analysis import compare
from streamnb.analysis.compare import METRICS, median_interval
from streamnb.errors import UsageError
from streamnb.events import Outcome
from streamnb.tables import COLUMNS


def runs(provider: str | None, *ttft: float | None, outcome: Outcome | None = Outcome.COMPLETE, **more) -> list[dict]:
    """Rows of the runs table, one per time to first text."""
    value = None if outcome is None else outcome.value
    return [{"provider": provider, "outcome": value, "ttft_s": one, **more} for one in ttft]


def table(*groups: list[dict]) -> pd.DataFrame:
    return tables.runs([row for group in groups for row in group])


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def rows(frame: pd.DataFrame, *names: str) -> list[tuple]:
    """The rows with None for what is missing."""
    plain = frame[list(names)].itertuples(index=False, name=None)
    return [tuple(None if pd.isna(value) else value for value in row) for row in plain]


def test_two_providers_by_hand():
    frame = compare(table(runs("b", 4, 1, 3), runs("a", 2, 1)), metrics=["ttft_s"])
    assert frame.columns.tolist() == ["provider", *COLUMNS["compare"], "p95"]
    assert rows(frame, "provider", "n_runs", "n", "median", "min", "max", "ratio_to_best", "ci_low", "p95") == [
        ("b", 3, 3, 3, 1, 4, 3 / 1.5, None, None),
        ("a", 2, 2, (1 + 2) / 2, 1, 2, 1, None, None),
    ]


def test_what_failed_is_counted_and_left_out():
    frame = compare(
        table(
            runs("a", 1, 3),
            runs("a", 60, None, outcome=Outcome.TIMEOUT_IDLE),
            runs("a", 90, outcome=Outcome.FILTERED),
            runs("a", 0.5, outcome=None),
            runs("b", 70, outcome=Outcome.HTTP_ERROR),
        ),
        metrics=["ttft_s"],
    )
    assert rows(frame, "provider", "n_runs", "n_failed", "n_running", "n", "median", "max", "ratio_to_best") == [
        ("a", 6, 3, 1, 2, 2, 3, 1),
        ("b", 1, 1, 0, 0, None, None, None),
    ]


@pytest.mark.parametrize("outcome", Outcome)
def test_a_run_is_in_the_sample_if_the_api_ended_it(outcome):
    frame = compare(table(runs("a", 1, outcome=outcome)), metrics=["ttft_s"])
    assert rows(frame, "n", "n_failed", "n_running") == [(1, 0, 0) if outcome.ok else (0, 1, 0)]


def test_a_good_run_without_the_figure_is_no_sample():
    frame = compare(table(runs("a", 1, None, 2, tpot_s=None)), metrics=["ttft_s", "tpot_s"])
    assert rows(frame, "metric", "n_runs", "n_failed", "n", "median") == [
        ("ttft_s", 3, 0, 2, 1.5),
        ("tpot_s", 3, 0, 0, None),
    ]


def test_groups_keep_the_order_of_their_first_run_and_metrics_that_of_the_call():
    frame = compare(table(runs("z", 1), runs("a", 2), runs("z", 3)), metrics=["e2e_s", "ttft_s"])
    assert rows(frame, "provider", "metric", "n") == [
        ("z", "e2e_s", 0),
        ("z", "ttft_s", 2),
        ("a", "e2e_s", 0),
        ("a", "ttft_s", 1),
    ]


def test_several_columns_group_together_and_a_missing_value_is_a_group():
    frame = compare(
        table(runs("a", 1, model="m"), runs("a", 2, 4), runs("b", 8, model="m"), runs("a", 3, model="m")),
        by=["provider", "model"],
        metrics=["ttft_s"],
    )
    assert rows(frame, "provider", "model", "n", "median") == [("a", "m", 2, 2), ("a", None, 2, 3), ("b", "m", 1, 8)]
    assert dtypes(frame)["model"] == dtypes(tables.runs([]))["model"]


def test_the_runs_may_have_columns_of_the_users_own():
    frame = table(runs("a", 1, 2, 3)).assign(region=["eu", "us", "eu"], cost=[0.5, 1.0, 1.5])
    assert rows(compare(frame, "region", ["cost"]), "region", "metric", "median", "ratio_to_best") == [
        ("eu", "cost", 1.0, None),  # of a cost per run nobody says that less is better
        ("us", "cost", 1.0, None),
    ]


def test_of_a_count_no_end_is_the_better_one():
    frame = table(runs("a", 1, n_chars=10), runs("b", 1, n_chars=20))
    assert rows(compare(frame, metrics=["n_chars"]), "median", "ratio_to_best") == [(10, None), (20, None)]


def test_a_category_without_runs_is_no_group():
    frame = table(runs("b", 1), runs("a", 2))
    frame["provider"] = frame["provider"].astype(pd.CategoricalDtype(["none", "a", "b"]))
    assert rows(compare(frame, metrics=["ttft_s"]), "provider", "median") == [("b", 1), ("a", 2)]


def test_of_rates_the_largest_is_the_best():
    frame = table(runs("a", 1, 1), runs("b", 1)).assign(tokens_per_s=[50.0, 30.0, 80.0])
    assert rows(compare(frame, metrics=["tokens_per_s"]), "median", "ratio_to_best") == [(40, 80 / 40), (80, 1)]


def test_a_median_of_nothing_is_no_best():
    frame = compare(table(runs("a", 0, 0), runs("b", 2), runs("c", 3)), metrics=["ttft_s"])
    assert rows(frame, "median", "ratio_to_best") == [(0, None), (2, 1), (3, 1.5)]


def test_the_interval_of_a_median_needs_six_values():
    # 2 * P(Binomial(n, 1/2) < 1) = 2 / 2**n: 0.0625 for five, 0.03125 for six
    assert all(map(math.isnan, median_interval(np.arange(5.0))))
    assert median_interval(np.arange(6.0)) == (0, 5)
    frame = compare(table(runs("a", 5, 1, 4, 2, 6, 3), runs("b", 1, 2, 3, 4, 5)), metrics=["ttft_s"])
    assert rows(frame, "median", "ci_low", "ci_high") == [(3.5, 1, 6), (3, None, None)]


@pytest.mark.parametrize(
    ("n", "k"),
    [
        (0, 0),
        (8, 1),  # 2 * (1 + 8) / 256 = 0.070: the second smallest would hold the median too seldom
        (9, 2),  # 2 * (1 + 9) / 512 = 0.039
        (20, 6),  # the table of the sign test: 6th to 15th of 20
        (100, 40),  # 40th to 61st of 100
        (1_000, 469),
    ],
)
def test_the_interval_lies_between_the_order_statistics_of_the_sign_test(n, k):
    low, high = median_interval(np.arange(1.0, n + 1))
    if k:
        assert (low, high) == (k, n + 1 - k)
        assert 2 * sum(math.comb(n, i) for i in range(k)) / 2**n <= 0.05
        assert 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n > 0.05
    else:
        assert math.isnan(low)
        assert math.isnan(high)


def test_the_interval_holds_the_median_as_often_as_it_says():
    draw = random.Random(20)
    samples = (sorted(draw.expovariate(1) for _ in range(15)) for _ in range(2_000))
    held = sum(low <= math.log(2) <= high for low, high in map(median_interval, map(np.array, samples)))
    # exactly 1 - 2 * (1 + 15 + 105 + 455) / 2**15 = 0.9648 of 2,000, give or take four standard deviations (8.2)
    assert 0.9648 * 2_000 - 33 < held < 0.9648 * 2_000 + 33


def test_a_quantile_needs_as_many_values_as_it_has_parts():
    groups = [runs(f"{n}", *range(n)) for n in (9, 10, 19, 20)]
    frame = compare(table(*groups), metrics=["ttft_s"], quantiles=(0.9, 0.95, 0.05))
    assert rows(frame, "provider", "p90", "p95", "p5") == [
        ("9", None, None, None),
        ("10", pytest.approx(0.9 * 9), None, None),
        ("19", pytest.approx(0.9 * 18), None, None),
        ("20", pytest.approx(0.9 * 19), pytest.approx(0.95 * 19), pytest.approx(0.05 * 19)),
    ]


def test_the_median_has_its_own_column_whatever_quantiles_are_asked_for():
    frame = compare(table(runs("a", 1, 2)), metrics=["ttft_s"], quantiles=(0.5, 0.999))
    assert frame.columns.tolist() == ["provider", *COLUMNS["compare"], "p99.9"]
    assert frame["median"].tolist() == [1.5]
    assert compare(table(runs("a", 1, 2)), metrics=["ttft_s"], quantiles=()).shape == (1, 1 + len(COLUMNS["compare"]))


@pytest.mark.parametrize(
    "frame",
    [table(), table(runs("a", None, outcome=None)), table(runs(None, 1), runs("b", *range(20)))],
    ids=["no runs", "one that runs", "some"],
)
def test_it_keeps_its_columns_and_dtypes_and_changes_nothing(frame):
    before = frame.copy(deep=True)
    found = compare(frame, by=["provider", "repeat"])
    by = {name: COLUMNS["runs"][name] for name in ("provider", "repeat")}
    assert dtypes(found) == by | COLUMNS["compare"] | {"p95": "float64"}
    assert found["metric"].tolist() == [*METRICS] * (len(found) // len(METRICS))
    assert found.index.tolist() == list(range(len(found)))
    pd.testing.assert_frame_equal(frame, before)


TIMES = st.lists(st.floats(0.001, 100) | st.none(), max_size=12)


@settings(deadline=None, max_examples=60)
@given(TIMES, TIMES)
def test_a_group_says_the_same_alone_and_beside_others(a, b):
    both = compare(table(runs("a", *a), runs("b", *b)), metrics=["ttft_s"])
    for name, times in (("a", a), ("b", b)):
        alone = compare(table(runs(name, *times)), metrics=["ttft_s"]).drop(columns="ratio_to_best")
        there = both[both["provider"] == name].drop(columns="ratio_to_best").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, there)
    known = both["ratio_to_best"].dropna()
    assert known.empty or known.min() == 1


REFUSED = {
    "a column that is none": ({"by": "povider"}, "the runs table has no column 'povider'. Did you mean provider?"),
    "one of several": ({"by": ["provider", "modle"]}, "no column 'modle'. Did you mean model?"),
    "a metric that is none": ({"metrics": ["ttft"]}, "the runs table has no column 'ttft'. Did you mean ttft_s"),
    "a metric of words": ({"metrics": ["model"]}, "model is no column of numbers."),
    "nothing to group by": ({"by": []}, r"compare() wants a column to group by, as by='provider'."),
    "all of it": ({"quantiles": [1]}, "a quantile lies between 0 and 1, 1 does not"),
    "a percentage": ({"quantiles": [95]}, "a quantile lies between 0 and 1, 95 does not"),
}


@pytest.mark.parametrize(("asked", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_exist_is_refused_with_what_does(asked, message):
    with pytest.raises(UsageError) as caught:
        compare(table(runs("a", 1)), **asked)
    assert message in str(caught.value)


def test_a_table_without_outcomes_is_none_of_runs():
    with pytest.raises(UsageError, match="no column 'outcome'"):
        compare(table(runs("a", 1)).drop(columns="outcome"))


def test_a_column_named_like_one_of_the_result_cannot_group():
    with pytest.raises(UsageError, match="median is a column of the result; rename yours"):
        compare(table(runs("a", 1)).assign(median=1), by="median")


@pytest.mark.parametrize("name", ["median_ci", "ratio_to_best"])
def test_the_formulas_are_those_of_the_docstring(name):
    assert f"{name} = {analysis.FORMULAS[name]}" in " ".join(compare.__doc__.split())
