"""Held: when this process was held up, from the table `lags`, as spans that do not overlap.

Knows the lags table. Must not know: records, clocks, what was streamed meanwhile.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from streamnb.tables.typed import Floats, Ints

LOGGED_S = 0.005
"""Lateness of the loop up to here is not in the log (`streamnb.attention`)."""

_SLACK_NS = 2_000_000
"""A read that follows a late timer within this was made in the same turn of the loop, so it was late as well."""


class Held:
    """The spans in which a collection ran or the loop was late, merged.

    Args:
        lags: the table `lags` of one run; None: nobody kept a log.

    Attributes:
        known: whether there was a log; an empty one says that nothing held the process up for long.
    """

    def __init__(self, lags: pd.DataFrame | None) -> None:
        self.known = lags is not None
        rows = _spans(lags) if lags is not None else np.empty((0, 2), dtype="int64")
        merged: list[list[int]] = []
        for start, end in rows[np.argsort(rows[:, 0], kind="stable")].tolist():
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        self._start, self._end = np.array(merged, dtype="int64").reshape(-1, 2).T

    def within(self, start_ns: Ints, end_ns: Ints) -> Floats:
        """How much of each span from `start_ns` to `end_ns` the process was held up, s."""
        held_s: Floats = (self._until(np.asarray(end_ns)) - self._until(np.asarray(start_ns))) / 1e9
        return held_s

    def _until(self, t_ns: Ints) -> Ints:
        """How long it was held up before each moment, in all, ns."""
        if not len(self._start):
            return np.zeros(len(t_ns), dtype="int64")
        total = np.concatenate([[0], np.cumsum(self._end - self._start)])
        n_begun = np.searchsorted(self._start, t_ns, side="right")
        to_come = np.where(n_begun > 0, np.maximum(self._end[n_begun - 1] - t_ns, 0), 0)
        until: Ints = total[n_begun] - to_come
        return until

    def late(self, read_ns: Ints) -> Floats:
        """How late each read may have been because of it, s; 0.0 where nothing held it up."""
        if not len(self._start):
            return np.zeros(len(read_ns))
        at = np.searchsorted(self._start, read_ns, side="right") - 1
        start, end = self._start[np.maximum(at, 0)], self._end[np.maximum(at, 0)]
        hit = (at >= 0) & (read_ns <= end + _SLACK_NS)
        return np.where(hit, np.minimum(read_ns, end) - start, 0) / 1e9


def _spans(lags: pd.DataFrame) -> Ints:
    rows = lags[lags["kind"].isin(["gc", "loop"]).to_numpy(dtype=bool)]
    start = rows["start_ns"].to_numpy(dtype="int64")
    length = np.rint(rows["length_s"].to_numpy(dtype="float64") * 1e9).astype("int64")
    return np.stack([start, start + length], axis=1)
