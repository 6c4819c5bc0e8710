"""Stream: what every convention reads of its runs, one number per run in one order.

Knows the events and runs tables. Must not know: any convention's formulas.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.pauses import neighbours, text_events
from streamnb.analysis.running import running_usage
from streamnb.analysis.usage import server_tokens
from streamnb.errors import UsageError
from streamnb.tables.typed import Floats, Ints

_FROM_RUNS: Final = ("run_id", "setup_s", "close_s")


def needed(q: float) -> float:
    """The samples from which a quantile is more than an extreme: 1 / (1 - q), and 1 / q below the median.

    A percentile from fewer would be the largest or the smallest sample under another name.
    """
    return round(1 / min(q, 1 - q), 9)


def per_run(ids: pd.Index, values: pd.Series, missing: float = np.nan) -> Floats:
    """Values by run_id, put in the order of `ids`."""
    return values.reindex(ids).fillna(missing).to_numpy(dtype="float64", na_value=np.nan)


def quantile(ids: pd.Index, by_run: Any, q: float) -> Floats:
    """A quantile of the samples of each run; NaN where they are too few for it.

    Args:
        ids: the runs.
        by_run: the samples grouped by run_id.
        q: the quantile, above 0 and below 1; linear between order statistics.
    """
    return per_run(ids, by_run.quantile(q).where(by_run.size() >= needed(q)))


@dataclasses.dataclass(frozen=True)
class Stream:
    """The events of one or many runs since their t0, and what the runs table adds.

    Attributes:
        events: the events table without what came before t0 (a set-up call's greeting answers no prompt).
        ids: the runs, in the order of their first event.
        setup_s: first call handed to the transport to t0, per run (s); NaN without a runs table, and where the stream
            was not the run's first call: it then holds the other calls as well.
        close_s: t0 to the end of the body, per run (s); NaN without a runs table.
    """

    events: pd.DataFrame
    ids: pd.Index
    setup_s: Floats
    close_s: Floats

    @classmethod
    def of(cls, events: pd.DataFrame, runs: pd.DataFrame | None = None) -> Stream:
        """Of an events table and, where it is known, the runs table of the same runs.

        Raises:
            UsageError: a runs table without run_id, setup_s or close_s.
        """
        ids = pd.Index(events["run_id"].drop_duplicates(), dtype="object")
        rows = events.reset_index(drop=True)
        rows = rows[~(rows["t_s"] < 0)]
        if runs is None:
            return cls(rows, ids, np.full(len(ids), np.nan), np.full(len(ids), np.nan))
        for name in _FROM_RUNS:
            if name not in runs:
                raise UsageError(f"latency() wants the runs table as runs=; this one has no column {name!r}.")
        table = runs.drop_duplicates("run_id", keep="last").set_index("run_id")
        setup_s, close_s = (per_run(ids, table[name]) for name in _FROM_RUNS[1:])
        alone = per_run(ids, rows.groupby("run_id")["call"].min()) == 0
        return cls(rows, ids, np.where(alone, setup_s, np.nan), close_s)

    # -- rows ---------------------------------------------------------------------------------------------------

    def rows(self, *kinds: str) -> pd.DataFrame:
        """The events of these kinds that carry something: text, or any piece of a tool call."""
        kind = self.events["kind"]
        mask = kind.isin(kinds) & ((self.events["text"] != "") | (kind == "tool_call"))
        return self.events[mask.to_numpy(dtype=bool, na_value=False)]

    @property
    def is_done(self) -> pd.Series:
        """Which events are OpenAI's last line: a client's iterator ends on it and hands out nothing."""
        return (self.events["kind"] == "end") & (self.events["name"] == "[DONE]").fillna(value=False)

    @cached_property
    def counted(self) -> pd.Series:
        """The tokens the server counted for each text event (`running_usage`), by the row's label; NaN: unknown."""
        return pd.Series(running_usage(self.events)[1], index=text_events(self.events).index, dtype="float64")

    def tokens_of(self, rows: pd.DataFrame) -> Floats:
        """The same for the given rows."""
        return self.counted.reindex(rows.index).to_numpy()

    def has_running_count(self, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each of the rows, whether the server told a running count in its call."""
        keys = [self.events.loc[self.counted.index, name].to_numpy(dtype="object") for name in ("run_id", "call")]
        known = self.counted.notna().groupby(keys).any()
        calls = pd.MultiIndex.from_arrays([rows["run_id"].astype("object"), rows["call"].astype("object")])
        return known.reindex(calls, fill_value=False).to_numpy(dtype=bool)

    # -- numbers per run ----------------------------------------------------------------------------------------

    @cached_property
    def tokens_out(self) -> Floats:
        """Generated tokens as the server counts them; NaN where it does not say."""
        told = server_tokens(self.events)
        return np.array([told.get(run_id, (None, None))[1] for run_id in self.ids], dtype="float64")

    def first(self, rows: pd.DataFrame) -> Floats:
        """t_s of the first of the rows, per run (s from t0)."""
        return self.per_run(rows.groupby("run_id")["t_s"].min())

    def last(self, rows: pd.DataFrame) -> Floats:
        """t_s of the last of the rows, per run (s from t0)."""
        return self.per_run(rows.groupby("run_id")["t_s"].max())

    def second_step(self, rows: pd.DataFrame) -> Floats:
        """From the first of the rows to the second, per run (s); NaN for fewer than two."""
        second = rows[rows.groupby("run_id").cumcount() == 1]
        return self.per_run(second.set_index("run_id")["t_s"]) - self.first(rows)

    def per_run(self, values: pd.Series, missing: float = np.nan) -> Floats:
        """Values by run_id in the order of the runs."""
        return per_run(self.ids, values, missing)


def per_token(span_s: Floats, steps: Floats) -> Floats:
    """A time over a number of tokens, per run; NaN where there is not one token to divide by."""
    return span_s / np.where(steps >= 1, steps, np.nan)


def steps(rows: pd.DataFrame) -> tuple[Ints, pd.Series]:
    """The times between neighbours of the same call.

    Returns:
        The positions of the later rows, and the times (s) indexed by run_id.
    """
    earlier, later = neighbours(rows)
    t_ns = rows["t_ns"].to_numpy()
    run_id = rows["run_id"].to_numpy(dtype="object")[later]
    return later, pd.Series((t_ns[later] - t_ns[earlier]) / 1e9, index=run_id, dtype="float64")


def samples(ids: pd.Index, name: str, values: pd.Series) -> dict[str, Any]:
    """The three columns of a convention that pools samples: `NAME_p50_s`, `NAME_p95_s`, `n_NAME`."""
    by_run = values.groupby(level=0)
    return {
        f"{name}_p50_s": quantile(ids, by_run, 0.5),
        f"{name}_p95_s": quantile(ids, by_run, 0.95),
        f"n_{name}": pd.Series(per_run(ids, by_run.size(), missing=0), dtype="Int64").array,
    }
