"""Timing: when text came, how fast it flowed, and how much; one row per run.

Knows the events table and whose formula it computes. Must not know: records, calls, clocks, tokenizers.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions import CONVENTIONS, Stream
from streamnb.analysis.conventions._stream import per_run, quantile
from streamnb.analysis.pauses import gaps, text_events
from streamnb.analysis.usage import server_tokens, unseen
from streamnb.errors import UsageError, did_you_mean
from streamnb.tables.columns import COLUMNS
from streamnb.tables.typed import Bools, Floats, build

_MOMENT_S: Final = 0.001
"""A time of no more than this is no pace: stamps of this process are good to a tenth of it."""


def latency(events: pd.DataFrame, convention: str = "streamnb", runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """When text came and how fast it flowed, one row per run in the events table.

    Times count from t0, the first byte of the streaming request on a ready connection. "Text" is a non-empty delta
    or reasoning event; a role, a ping, usage are none.

    - ttft_s = t_s of the first non-empty delta or reasoning event; ttfa_s = t_s of the first non-empty delta event;
      ttfr_s = t_s of the first non-empty reasoning event
    - e2e_s = t_s of the last non-empty delta or reasoning event
    - tpot_s = (e2e_s - ttft_s) / (tokens_out - 1), if tokens_out >= 2, e2e_s - ttft_s > 0.001 and all it counts came
      as text; tokens_out only as the server counts it; several choices or calls count together. Missing for one burst,
      with tool calls, and where the server counted reasoning that it did not stream: that took its time elsewhere
    - tokens_per_s = (tokens_out - 1) / (e2e_s - ttft_s), under the same conditions
    - max_gap_s = the longest gap_s of the run (see `gaps`)
    - icl_p50_s = median of gap_s, from 2 gaps on; icl_p95_s = 95th percentile of gap_s (linear between order
      statistics), from 20 gaps on

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.
        convention: `streamnb` gives the columns above. `vllm`, `sglang`, `aiperf`, `guidellm`, `genai-perf`,
            `inference-perf` and `otel` append the numbers that package prints, under names of their own
            (`ttft_vllm_s`): the field uses "ITL" for five things, so no column has that name alone. Each formula, its
            source, and what cannot be had from the events is in `help(CONVENTIONS["vllm"])`. A run counts as one
            request; an event stands for a message. What such a package prints as 0 is 0 in its columns.
        runs: the runs table of the same runs (`Runs.table`). Most packages count from before they connect: that is
            `setup_s` earlier than t0, so without it their TTFT and E2E are missing (`first_vllm_s` is the first token
            by their rule, from t0). Missing too where the stream was not the run's first call.

    Returns:
        The declared columns of `latency`. A number that cannot be known is NaN or NA, never 0.

    Raises:
        UsageError: unknown convention, or a runs table without run_id, setup_s or close_s.
    """
    if convention not in CONVENTIONS:
        raise UsageError(f"latency() knows no convention {convention!r}.{did_you_mean(convention, CONVENTIONS)}")
    ids = pd.Index(events["run_id"].drop_duplicates(), dtype="object")
    columns = _text_times(events, ids) | _pace(events, ids)
    columns |= {"run_id": ids} | _tokens(events, ids)
    columns |= _rates(columns, ids.isin(list(unseen(events))))
    theirs = CONVENTIONS[convention](Stream.of(events, runs)) if convention != "streamnb" else {}
    return build("latency", columns).assign(**theirs)


def latency_row(events: pd.DataFrame) -> dict[str, Any]:
    """The columns of `runs` that come from the events of one run, as a mapping; the other half is `tables.run_row`.

    Missing seconds are NaN, missing counts and names None. An empty table (nothing arrived) gives `n_chars` 0 and
    leaves the rest out.

    Raises:
        UsageError: events of several runs.
    """
    rows = latency(events).to_dict("records")
    if not rows:
        return {"n_chars": 0}
    if len(rows) > 1:
        raise UsageError(f"latency_row() got events of {len(rows)} runs; use latency() for several.")
    row = {str(name): value for name, value in rows[0].items() if name in COLUMNS["runs"]}
    return {name: None if value is pd.NA else value for name, value in row.items()}


def _text_times(events: pd.DataFrame, ids: pd.Index) -> dict[str, Any]:
    text = text_events(events)
    kinds = {"ttft_s": text, "ttfa_s": text[text["kind"] == "delta"], "ttfr_s": text[text["kind"] == "reasoning"]}
    times = {name: per_run(ids, rows.groupby("run_id")["t_s"].min()) for name, rows in kinds.items()}
    by_run = text.groupby("run_id")
    return times | {
        "e2e_s": per_run(ids, by_run["t_s"].max()),
        "n_text_events": per_run(ids, by_run.size(), missing=0),
        "n_chars": per_run(ids, text["text"].str.len().groupby(text["run_id"]).sum(), missing=0),
    }


def _pace(events: pd.DataFrame, ids: pd.Index) -> dict[str, Any]:
    gap_s = gaps(events).groupby("run_id")["gap_s"]
    return {
        "max_gap_s": per_run(ids, gap_s.max()),
        "icl_p50_s": quantile(ids, gap_s, 0.5),
        "icl_p95_s": quantile(ids, gap_s, 0.95),
        "n_gaps": per_run(ids, gap_s.size(), missing=0),
    }


def _tokens(events: pd.DataFrame, ids: pd.Index) -> dict[str, Any]:
    counts = server_tokens(events)
    told = [counts.get(run_id, (None, None)) for run_id in ids]
    return {
        "tokens_in": [tokens_in for tokens_in, _ in told],
        "tokens_out": [tokens_out for _, tokens_out in told],
        "token_source": [None if one == (None, None) else "server" for one in told],
    }


def _rates(columns: dict[str, Any], beyond_text: Bools) -> dict[str, Floats]:
    """Both need a second token and a second moment: one burst has no pace, and 0 or millions would be a lie."""
    steps = np.array(columns["tokens_out"], dtype="float64") - 1
    span = columns["e2e_s"] - columns["ttft_s"]
    known = (steps >= 1) & (span > _MOMENT_S) & ~beyond_text
    steps, span = np.where(known, steps, np.nan), np.where(known, span, np.nan)
    return {"tpot_s": span / steps, "tokens_per_s": steps / span}
