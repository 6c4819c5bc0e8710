"""Percentiles: what can be said of one from so many values of so many runs, and what cannot.

Knows tables with a column run_id. Must not know: what a metric means, records, displays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions._stream import needed
from streamnb.analysis.pauses import by_stamp, neighbours, text_events
from streamnb.errors import UsageError, did_you_mean
from streamnb.tables.columns import COLUMNS
from streamnb.tables.typed import Floats, Ints, build

MIN_RUNS: Final = 6
"""Runs from which an interval is given: of 5, even the smallest and the largest miss a median in 1 case of 16."""
_REPLICATES: Final = 1000
_TAIL: Final = 0.025
_BLOCKS: Final = 500
"""More runs than this are put together at random into so many; they are independent, so their sums are too."""
_EXACT: Final = 1024
"""Up to so many values each is a candidate for the ends of an interval, beyond it 512 around the percentile."""
_WINDOW: Final = 8.0  # standard errors to each side


def percentiles(
    table: pd.DataFrame,
    q: float | Sequence[float] = (0.5, 0.95, 0.99),
    by: str | Mapping[Any, Any] | pd.Series | None = None,
    metrics: str | Sequence[str] = "gap_s",
    seed: int = 0,
) -> pd.DataFrame:
    """Percentiles of gaps, or of any column of numbers, with how many values they stand on and how sure they are.

    - percentile = value at position q * (n - 1) of the sorted values, linear between neighbours;
      from 1 / (1 - q) values on, 1 / q below the median
    - percentile_ci = 2.5th to 97.5th percentile of the same quantile in 1000 resamples of the runs, each run whole,
      drawn with replacement; from 6 runs on

    The values of one run are alike (the same server in the same minute), so a run is what is drawn again, never a
    value: thousands of gaps of one run still say nothing about the next run, and there is no interval. Below a dozen
    runs it is a little too narrow, as bootstraps are. An end is missing where not even the largest (smallest) value
    can be one: if, of as many independent values as these are worth, all would lie below the true percentile in more
    than 2.5 % of cases. For p99 that takes 367.

    A gap that ends with a read of several texts is left out, not smoothed and never 0: when its texts came is not
    known. `n_coalesced` says how many were; where it is large, the percentiles are those of the slower gaps only.

    Args:
        table: the events table, whose gaps are taken (see `gaps`; usage beside a text is no second text); or a table
            with run_id and a number per row: gaps (rows with `coalesced` are left out), runs, latency. Failed runs have
            cut-off times: filter them first.
        q: quantiles between 0 and 1.
        by: a column of the table, or a mapping (or Series) from run_id to a group; a missing value is a group of its
            own.
        metrics: columns of the table; for events `gap_s`.
        seed: of the resampling; a group's interval depends on its own rows and on this, not on their order.

    Returns:
        The declared columns of `percentiles`, one row per group, metric and quantile, groups in the order of their
        first row (without `by` the one group `all`). What cannot be said is NaN, and `reason` says why in words.

    Raises:
        UsageError: no such column, a metric that is no number, or a quantile that is not between 0 and 1.
    """
    wanted = [q] if isinstance(q, int | float) else list(q)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    is_events = {"kind", "text", "chunk_seq"} <= set(table.columns)
    _check(table, wanted, by, () if is_events else names)
    if is_events and names != ["gap_s"]:
        raise UsageError(f"of an events table percentiles() takes the gaps: metrics='gap_s', not {metrics!r}.")
    rows = table.reset_index(drop=True)
    group, labels = _groups(rows, by)
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for name in names:
        sample = _gaps(rows) if is_events else _column(rows, name)
        places = sample.groupby(group[sample.index.to_numpy()]).indices
        for number, label in enumerate(labels):
            mine = sample.iloc[places.get(number, [])]
            found[number, name] = [{"group": label, "metric": name} | one for one in _rows(mine, wanted, seed)]
    out = [one for number in range(len(labels)) for name in names for one in found[number, name]]
    return build("percentiles", {name: [one[name] for one in out] for name in COLUMNS["percentiles"]})


_NOTHING: Final[dict[str, Any]] = {"value": math.nan, "ci_low": math.nan, "ci_high": math.nan, "reason": None}


def _check(table: pd.DataFrame, q: Sequence[float], by: Any, metrics: Sequence[str]) -> None:
    for name in ("run_id", *([by] if isinstance(by, str) else []), *metrics):
        if name not in table:
            raise UsageError(f"the table has no column {name!r}.{did_you_mean(name, map(str, table.columns))}")
    for name in metrics:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise UsageError(f"{name} is no column of numbers.")
    for one in q:
        if not 0 < one < 1:
            raise UsageError(f"a quantile lies between 0 and 1, {one!r} does not; 0.95 is the 95th percentile.")


def _groups(rows: pd.DataFrame, by: str | Mapping[Any, Any] | pd.Series | None) -> tuple[Ints, list[str | None]]:
    """The number of each row's group, and the groups' names in the order of their first row."""
    if by is None:
        return np.zeros(len(rows), dtype="int64"), [*["all"][: len(rows)]]  # no rows, no group
    if isinstance(by, str):
        keys = rows[by].astype("object").to_numpy()
    else:
        group_of = dict(by)
        number, runs = pd.factorize(rows["run_id"].astype("object"))
        keys = np.array([group_of.get(run_id) for run_id in runs], dtype="object")[number]
    numbers, labels = pd.factorize(keys, use_na_sentinel=False)
    names: list[str | None] = [None if pd.isna(label) else str(label) for label in labels]
    return np.asarray(numbers, dtype="int64"), names


def _gaps(events: pd.DataFrame) -> pd.DataFrame:
    """The gaps of an events table, each at the row that ends it."""
    chunks, shared = by_stamp(text_events(events))
    earlier, later = neighbours(chunks)
    t_ns = chunks["t_ns"].to_numpy()
    ends = chunks.iloc[later]
    return _sample(ends, (t_ns[later] - t_ns[earlier]) / 1e9, shared[later])


def _column(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    shared = rows["coalesced"] if name == "gap_s" and "coalesced" in rows else pd.Series(data=False, index=rows.index)
    values = rows[name].to_numpy(dtype="float64", na_value=np.nan)
    return _sample(rows, values, shared.to_numpy(dtype=bool, na_value=False))


def _sample(rows: pd.DataFrame, values: Floats, shared: Any) -> pd.DataFrame:
    run = pd.factorize(rows["run_id"], sort=True)[0]
    return pd.DataFrame({"run": run, "value": values, "shared": shared}, index=rows.index)


def _rows(sample: pd.DataFrame, wanted: Sequence[float], seed: int) -> list[dict[str, Any]]:
    """One row per quantile, of one metric of one group."""
    kept = sample[~sample["shared"].to_numpy() & sample["value"].notna().to_numpy()]
    run = np.unique(kept["run"].to_numpy(), return_inverse=True)[1]
    values = kept["value"].to_numpy()
    order = np.lexsort((run, values))
    drawn = _Resampled(values[order], run[order], seed)
    head = _NOTHING | {"n": len(kept), "n_runs": drawn.n_runs, "n_coalesced": int(sample["shared"].sum())}
    return [head | {"q": q} | drawn.at(q) for q in wanted]


class _Resampled:
    """The sorted values of one group, and the resamples of their runs."""

    def __init__(self, values: Floats, run: Ints, seed: int) -> None:
        self.values = values
        self.n_runs = int(run.max()) + 1 if len(run) else 0
        rng = np.random.default_rng(seed)
        blocks = min(self.n_runs, _BLOCKS)
        if self.n_runs > blocks:
            run = (rng.permutation(self.n_runs) % blocks)[run]
        self._block, self._size = run, np.bincount(run, minlength=blocks)
        if blocks >= MIN_RUNS:
            self._weight = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=_REPLICATES).astype("float64")

    def at(self, q: float) -> dict[str, Any]:
        """Value, interval and reason of one quantile."""
        n, least = len(self.values), needed(q)
        name = f"p{round(100 * q, 9):g}"
        if n < least:
            return {"reason": f"{name} wants {math.ceil(least)} values, here are {n}"}
        value: dict[str, Any] = {"value": float(np.quantile(self.values, q))}
        if self.n_runs < MIN_RUNS:
            runs = "one run" if self.n_runs == 1 else f"{self.n_runs} runs"
            return value | {"reason": f"{runs}; an interval wants {MIN_RUNS} or more"}
        ties = self._ties(q)
        error = self._error(*ties, q)
        worth = n * min(1.0, n * q * (1 - q) / error**2) if error else n
        low, high = self._ranks(*ties, q)
        value |= {"ci_low": self._end(low, (1 - q) ** worth), "ci_high": self._end(high, q**worth)}
        missing = " or ci_".join(end for end in ("low", "high") if math.isnan(value[f"ci_{end}"]))
        if not missing:
            return value
        return value | {"reason": f"no ci_{missing}: {n} values count as {worth:.0f}, too few for {name}"}

    def _ties(self, q: float) -> tuple[int, int]:
        """How many values are below the quantile's own, and how many are not above it."""
        there = self.values[min(int(q * len(self.values)), len(self.values) - 1)]
        return int(np.searchsorted(self.values, there)), int(np.searchsorted(self.values, there, side="right"))

    def _error(self, below: int, upto: int, q: float) -> float:
        """Standard error of the number of values up to the quantile, runs being what varies.

        Of values that are equal to it, each run's count in the same share: their order says nothing.
        """
        n, blocks = len(self.values), len(self._size)
        share = min(max((q * n - below) / (upto - below), 0), 1)
        counts = np.bincount(self._block[:below], minlength=blocks) * (1 - share)
        counts += np.bincount(self._block[:upto], minlength=blocks) * share
        excess = counts - counts.sum() / n * self._size
        return float(np.sqrt((excess**2).sum() * blocks / (blocks - 1)))

    def _end(self, rank: int, beyond: float) -> float:
        return math.nan if beyond > _TAIL else float(self.values[rank])

    def _ranks(self, below: int, upto: int, q: float) -> tuple[int, int]:
        """Ranks of the interval's ends: each resample's quantile is the rank up to which enough of its values lie."""
        n = len(self.values)
        candidates = np.arange(n)
        if n > _EXACT:
            reach = _WINDOW * max(self._error(below, upto, below / n), self._error(below, upto, upto / n))
            near = np.linspace(below - reach, upto + reach, 512).round()
            near = np.append(near, [below - 1, upto - 1, n - 1])
            candidates = np.unique(near.clip(0, n - 1).astype("int64"))
        bins = np.repeat(np.arange(len(candidates)), np.diff(candidates, prepend=-1))
        counts = np.bincount(self._block * len(candidates) + bins, minlength=len(self._size) * len(candidates))
        reached = self._weight @ counts.reshape(len(self._size), -1).cumsum(axis=1)
        wanted = q * (reached[:, -1:] - 1)
        ranks = candidates[(reached <= wanted).sum(axis=1)]
        low, high = np.quantile(ranks, _TAIL, method="lower"), np.quantile(ranks, 1 - _TAIL, method="higher")
        return int(low), int(high)
