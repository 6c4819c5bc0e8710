"""Compare: the runs table by provider, model or anything else, with what can be said about each median.

Knows the runs table and outcomes. Must not know: events, records, providers' code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.errors import UsageError, did_you_mean
from streamnb.events import Outcome
from streamnb.tables.columns import COLUMNS
from streamnb.tables.typed import Floats, build

METRICS: Final = ("ttft_s", "ttfa_s", "e2e_s", "tpot_s", "max_gap_s")
_OK: Final = [outcome.value for outcome in Outcome if outcome.ok]
_ALPHA_PARTS: Final = 20
"""1 / (1 - confidence): the interval of the median is at 95 %."""


def compare(
    runs: pd.DataFrame,
    by: str | Sequence[str] = "provider",
    metrics: Sequence[str] = METRICS,
    quantiles: Sequence[float] = (0.5, 0.95),
) -> pd.DataFrame:
    """Groups of runs beside each other, one row per group and metric. One run is one sample.

    The figures of failed runs are left out, and the runs are counted: their times are cut off (censored) where they
    failed, so no statistic of them is right. A group that fails when it is slow looks fast: read `n_failed` beside
    every number. Runs that still run are left out in the same way.

    - median_ci = k-th smallest to k-th largest value, k the largest with 2 * P(Binomial(n, 1/2) < k) <= 0.05. It
      holds for any distribution; below 6 values there is none
    - ratio_to_best = median over the smallest median of the metric; for a rate (`_per_s`) the largest over it. Only
      for metrics whose name ends in `_s`: of a count no end is the better one

    Args:
        runs: the runs table (`streamnb.runs()`, `Runs.table`), with any columns of your own.
        by: the column, or columns, to group by; a missing value is a group of its own.
        metrics: columns of numbers.
        quantiles: each q but 0.5 (the column `median`) appends a column, as `p95` for 0.95: linear between order
            statistics, from 1 / (1 - q) values on (1 / q below the median). Fewer would make it a mere extreme.

    Returns:
        The columns of `by`, the declared columns of `compare`, and those of `quantiles`; groups in the order of their
        first run. What cannot be known is missing, never 0.

    Raises:
        UsageError: no such column, a metric that is no number, or a quantile that is not between 0 and 1.
    """
    keys = [by] if isinstance(by, str) else list(by)
    _check(runs, keys, metrics, quantiles)
    group = runs.groupby(keys, sort=False, dropna=False, observed=True).ngroup().to_numpy()
    heads = runs.loc[~pd.Series(group).duplicated().to_numpy(), keys]
    good = runs["outcome"].isin(_OK).to_numpy(dtype=bool)
    running = runs["outcome"].isna().to_numpy(dtype=bool)
    rows: list[dict[str, Any]] = []
    for n in range(len(heads)):
        mine = group == n
        counts = {
            "n_runs": mine.sum(),
            "n_failed": (mine & ~good & ~running).sum(),
            "n_running": (mine & running).sum(),
        }
        for metric in metrics:
            value = runs[metric].to_numpy(dtype="float64", na_value=np.nan)[mine & good]
            rows.append({"metric": metric, **counts, **_statistics(np.sort(value[~np.isnan(value)]), quantiles)})
    names = [*COLUMNS["compare"], *map(_label, _beside_median(quantiles))]
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    columns["ratio_to_best"] = _ratios(columns["metric"], np.array(columns["median"], dtype="float64"))
    grouped = heads.iloc[np.repeat(np.arange(len(heads)), len(metrics))].reset_index(drop=True)
    extra = {name: np.array(columns[name], dtype="float64") for name in names[len(COLUMNS["compare"]) :]}
    return pd.concat([grouped, build("compare", columns).assign(**extra)], axis=1)


def median_interval(ordered: Floats) -> tuple[float, float]:
    """The 95 % confidence interval of a median, from order statistics: no distribution is assumed.

    median_ci = k-th smallest to k-th largest value, k the largest with 2 * P(Binomial(n, 1/2) < k) <= 0.05. In whole
    numbers, so exact for any n.

    Args:
        ordered: the values, smallest first.

    Returns:
        NaN, NaN for fewer than 6 values: the smallest and the largest of 5 hold the median in 93.75 % of cases only.
    """
    n, k = len(ordered), 0
    below = term = 1  # the number of ways, out of 2**n, in which at most k values lie below the true median
    while 2 * below * _ALPHA_PARTS <= 2**n:
        k += 1
        term = term * (n - k + 1) // k
        below += term
    return (float(ordered[k - 1]), float(ordered[n - k])) if k else (math.nan, math.nan)


def _check(runs: pd.DataFrame, keys: list[str], metrics: Sequence[str], quantiles: Sequence[float]) -> None:
    if not keys:
        raise UsageError("compare() wants a column to group by, as by='provider'.")
    for name in (*keys, *metrics, "outcome"):
        if name not in runs:
            raise UsageError(f"the runs table has no column {name!r}.{did_you_mean(name, map(str, runs.columns))}")
    numbers = [str(name) for name in runs if pd.api.types.is_numeric_dtype(runs[name])]
    for name in metrics:
        if name not in numbers:
            raise UsageError(f"{name} is no column of numbers.{did_you_mean(name, numbers)}")
    taken = {*COLUMNS["compare"], *map(_label, quantiles)} & {*keys}
    if taken:
        raise UsageError(f"{min(taken)} is a column of the result; rename yours to group by it.")
    for q in quantiles:
        if not 0 < q < 1:
            raise UsageError(f"a quantile lies between 0 and 1, {q!r} does not; 0.95 is the 95th percentile.")


def _statistics(ordered: Floats, quantiles: Sequence[float]) -> dict[str, float]:
    n = len(ordered)
    if not n:
        return {"n": 0}
    low, high = median_interval(ordered)
    found = {"n": n, "median": float(np.median(ordered)), "ci_low": low, "ci_high": high}
    found |= {"min": float(ordered[0]), "max": float(ordered[-1])}
    enough = [q for q in _beside_median(quantiles) if n >= round(1 / min(q, 1 - q), 9)]
    return found | {_label(q): float(np.quantile(ordered, q)) for q in enough}


def _ratios(metrics: list[str], median: Floats) -> Floats:
    ratio = np.full(len(median), np.nan)
    for metric in {name for name in metrics if name.endswith("_s")}:
        mine = np.array([name == metric for name in metrics]) & (median > 0)
        if mine.any():
            rate = metric.endswith("per_s")
            ratio[mine] = median[mine].max() / median[mine] if rate else median[mine] / median[mine].min()
    return ratio


def _beside_median(quantiles: Sequence[float]) -> list[float]:
    return [q for q in quantiles if q != 0.5]  # noqa: PLR2004  # the median has its own column


def _label(q: float) -> str:
    return f"p{round(100 * q, 9):g}"
