"""Pauses: gaps between chunks that carried text, and the gaps that are stalls.

Knows the events table. Must not know: tokens, records, clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from streamnb.analysis.causes import Silence, Witnesses
from streamnb.errors import UsageError
from streamnb.events import TEXT_KINDS
from streamnb.tables.typed import Bools, Floats, Ints, build

_PACE_READS = 2
"""More than these make two gaps."""

_STAMP = ["run_id", "call", "t_ns"]
"""What the texts of one read have in common, and those of reads that a coarse clock cannot tell apart."""


def text_events(events: pd.DataFrame) -> pd.DataFrame:
    """The rows that carry a piece of the answer: non-empty deltas and reasoning. A role, a ping, usage are none.

    Nor is what came before t0: the greeting that a set-up call streams answers no prompt.
    """
    mask = events["kind"].isin(TEXT_KINDS) & (events["text"] != "") & ~(events["t_s"] < 0)
    return events[mask.to_numpy(dtype=bool, na_value=False)]


def by_stamp(text: pd.DataFrame) -> tuple[pd.DataFrame, Bools]:
    """The texts that came at different times: of those with one stamp the first, and whether there were more.

    Args:
        text: text events, in order of `seq` within a run.
    """
    first = ~text.duplicated(_STAMP).to_numpy()
    return text[first], text.duplicated(_STAMP, keep=False).to_numpy()[first]


def neighbours(rows: pd.DataFrame) -> tuple[Ints, Ints]:
    """Positions of rows and of their predecessors in the same call of the same run.

    Returns:
        (earlier, later), both as long as there are pairs, in the order of the later rows.
    """
    group = rows.groupby(["run_id", "call"], sort=False).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    same = group[order[1:]] == group[order[:-1]]
    earlier, later = order[:-1][same], order[1:][same]
    back = np.argsort(later)
    return earlier[back], later[back]


def gaps(events: pd.DataFrame) -> pd.DataFrame:
    """Inter-chunk latencies: what a client can see of the pace of an answer.

    gap_s = t_ns of a chunk with text minus t_ns of the chunk with text before it in the same call, over 1e9.
    Events that share a chunk make no gap, so a 0 never stands for "not known"; nor do chunks with one stamp, as a
    coarse clock gives them. The pause between two calls of a run is no gap: then the client was asking.

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.

    Returns:
        run_id, seq (first text event of the later chunk), chunk_seq, call, t_s (end of the gap, s from t0), gap_s,
        coalesced (several texts came with the stamp that ends it; usage, a role or an end beside one is no text).
    """
    chunks, shared = by_stamp(text_events(events))
    earlier, later = neighbours(chunks)
    t_ns = chunks["t_ns"].to_numpy()
    columns = {"gap_s": (t_ns[later] - t_ns[earlier]) / 1e9, "coalesced": shared[later]}
    return build("gaps", _columns(chunks.iloc[later]) | columns)


def stalls(  # noqa: PLR0913  # two thresholds, and what each table can add
    events: pd.DataFrame,
    factor: float = 5,
    floor_s: float = 1,
    until_s: float | Mapping[str, float] | None = None,
    *,
    chunks: pd.DataFrame | None = None,
    lags: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Silences that stand out from the run's own pace, and who made them.

    stall = gap_s > max(factor * median of the run's other gaps, floor_s); floor_s alone if there are none.
    The gap itself is left out of the median, so that in a run of two or three gaps a stall cannot hide itself.
    The wait for the first text is `ttft_s`, not a stall.

    cause = client if this process was held up for half of it, or the kernel saw less than half of it; else by the
    server's stamps: server if half of it lies between two sends, else network; without stamps: network if half of what
    was due came at once after it, server if it came piece by piece.
    "At once" is in less than a quarter of its usual time. Where none of this can be told, as when nothing came again,
    the cause is missing; so it is after a catch-up of which nobody knows whether this process slept (no lags).

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.
        factor: how many times the median.
        floor_s: nothing up to this length is a stall (s).
        until_s: end of the body (s from t0); for several runs a mapping from run_id. The silence from the last text
            to there is compared with the median of all gaps of the run. It is a stall that did not recover, unless
            an event of kind `end` or `error` came after the last text.
        chunks: the chunks table of the same runs, for the stamps of kernel and server.
        lags: their lags table, for what held this process up; a run without rows there was not held up.

    Returns:
        run_id, start_s (last text before, s from t0), length_s, after_seq (that text's event), recovered, cause.

    Raises:
        UsageError: one number as `until_s` for several runs.
    """
    runs = events["run_id"].drop_duplicates().tolist()
    silent, tails = _silences(events), _tails(events, _by_run(until_s, runs))
    length = silent.groupby("run_id")["length_s"]
    silent["typical"] = length.transform(lambda gap_s: _median_of_others(gap_s.to_numpy()))
    tails["typical"] = tails["run_id"].map(length.median()).astype("float64")
    both = pd.concat([silent, tails], ignore_index=True)
    both = both[both["length_s"] > np.fmax(factor * both["typical"], floor_s)]
    turn = pd.Index(runs, dtype="object").get_indexer(both["run_id"].astype("object"))
    ordered = both.iloc[np.lexsort((both["after_seq"], turn))]
    return build("stalls", _columns(ordered) | {"cause": _causes(ordered, events, chunks, lags)})


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): table[name].array for name in table}


def _silences(events: pd.DataFrame) -> pd.DataFrame:
    """Every gap, told from its beginning."""
    text = text_events(events)
    chunks, _ = by_stamp(text)
    last_seq = text.groupby(_STAMP, sort=False)["seq"].max().to_numpy()
    earlier, later = neighbours(chunks)
    t_ns = chunks["t_ns"].to_numpy()
    before = chunks.iloc[earlier]
    columns = {
        "run_id": before["run_id"].array,
        "start_s": before["t_s"].array,
        "length_s": (t_ns[later] - t_ns[earlier]) / 1e9,
        "after_seq": last_seq[earlier],
        "recovered": [True] * len(earlier),
        "cause": [None] * len(earlier),
    }
    return build("stalls", columns)


def _median_of_others(gap_s: Floats) -> Floats:
    """For each number the median of all the others; NaN for a lone one. One sort for all of them."""
    n = len(gap_s)
    if n == 1:
        return np.full(1, np.nan)
    order = np.argsort(gap_s)
    rank = np.argsort(order)
    ordered = gap_s[order]
    low, high = (n - 2) // 2, (n - 1) // 2  # positions of the middle among n - 1
    others: Floats = (ordered[low + (rank <= low)] + ordered[high + (rank <= high)]) / 2
    return others


def _tails(events: pd.DataFrame, until_s: Mapping[str, float]) -> pd.DataFrame:
    """The silence from the last text to the end of the body, for runs that had not said they were done."""
    last = text_events(events).drop_duplicates("run_id", keep="last")
    closed = events[events["kind"].isin(["end", "error"])].groupby("run_id")["seq"].max()
    last = last[~(last["run_id"].map(closed).astype("float64") > last["seq"]).to_numpy()]
    until = np.array([until_s.get(run_id) for run_id in last["run_id"]], dtype="float64")
    columns = {
        "run_id": last["run_id"].array,
        "start_s": last["t_s"].array,
        "length_s": until - last["t_s"].to_numpy(),
        "after_seq": last["seq"].array,
        "recovered": [False] * len(last),
        "cause": [None] * len(last),
    }
    return build("stalls", columns)


def _causes(
    found: pd.DataFrame, events: pd.DataFrame, chunks: pd.DataFrame | None, lags: pd.DataFrame | None
) -> list[str | None]:
    """Who made each of the stalls; they are few, so one by one."""
    causes: list[str | None] = []
    for run_id, stalled in found.groupby("run_id", sort=False):
        text = text_events(events[(events["run_id"] == run_id).to_numpy(dtype=bool)])
        witnesses = Witnesses(text, _of(chunks, run_id), _of(lags, run_id))
        causes += [witnesses.cause(_silence(text, row)) for row in stalled.itertuples()]
    return causes


def _of(table: pd.DataFrame | None, run_id: Any) -> pd.DataFrame | None:
    return None if table is None else table[(table["run_id"] == run_id).to_numpy(dtype=bool)]


def _silence(text: pd.DataFrame, stall: Any) -> Silence:
    before = text[text["seq"] == stall.after_seq].iloc[0]
    text = text[(text["call"] == before["call"]).to_numpy(dtype=bool)]
    start_ns, end_ns, after = int(before["t_ns"]), int(before["t_ns"] + stall.length_s * 1e9), None
    later = text[(text["seq"] > before["seq"]).to_numpy(dtype=bool)]
    if stall.recovered:
        after, end_ns = int(later["chunk_seq"].iloc[0]), int(later["t_ns"].iloc[0])
    typical_s = _pace(text.iloc[: len(text) - len(later)])
    typical_s = float(stall.typical) if np.isnan(typical_s) else typical_s
    return Silence(int(before["chunk_seq"]), after, start_ns, end_ns, int(before["call"]), typical_s)


def _pace(text: pd.DataFrame) -> float:
    """Seconds a piece took before the silence; NaN below two gaps. What came after it may be a catch-up, no pace."""
    reads = text.drop_duplicates("chunk_seq")["t_ns"].to_numpy()
    return float(np.median(np.diff(reads)) / 1e9 * len(reads) / len(text)) if len(reads) > _PACE_READS else np.nan


def _by_run(until_s: float | Mapping[str, float] | None, runs: list[str]) -> Mapping[str, float]:
    if until_s is None:
        return {}
    if isinstance(until_s, Mapping):
        return until_s
    if len(runs) > 1:
        raise UsageError(f"stalls() got one until_s for {len(runs)} runs; pass a mapping from run_id to seconds.")
    return dict.fromkeys(runs, until_s)
