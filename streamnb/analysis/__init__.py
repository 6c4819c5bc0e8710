"""Analysis: pure functions from tables to tables. Nothing is read from a clock and no input is changed.

Knows the declared tables and these formulas. Must not know: records, providers, displays.
"""

from __future__ import annotations

from streamnb.analysis.compare import compare
from streamnb.analysis.conventions import CONVENTIONS
from streamnb.analysis.conventions import FORMULAS as _THEIRS
from streamnb.analysis.pauses import gaps, stalls
from streamnb.analysis.percentiles import percentiles
from streamnb.analysis.timing import latency, latency_row
from streamnb.analysis.tokens import token_totals, tokens
from streamnb.analysis.verdict import VERDICTS, Verdict, verdict

__all__ = [
    "CONVENTIONS",
    "FORMULAS",
    "VERDICTS",
    "Verdict",
    "compare",
    "gaps",
    "latency",
    "latency_row",
    "percentiles",
    "stalls",
    "token_totals",
    "tokens",
    "verdict",
]

FORMULAS = {
    "ttft_s": "t_s of the first non-empty delta or reasoning event",
    "ttfa_s": "t_s of the first non-empty delta event",
    "ttfr_s": "t_s of the first non-empty reasoning event",
    "e2e_s": "t_s of the last non-empty delta or reasoning event",
    "gap_s": "t_ns of a chunk with text minus t_ns of the chunk with text before it in the same call, over 1e9",
    "max_gap_s": "the longest gap_s of the run",
    "icl_p50_s": "median of gap_s, from 2 gaps on",
    "icl_p95_s": "95th percentile of gap_s (linear between order statistics), from 20 gaps on",
    "tpot_s": "(e2e_s - ttft_s) / (tokens_out - 1), if tokens_out >= 2, e2e_s - ttft_s > 0.001 and all it "
    "counts came as text",
    "tokens_per_s": "(tokens_out - 1) / (e2e_s - ttft_s), under the same conditions",
    "stall": "gap_s > max(factor * median of the run's other gaps, floor_s); floor_s alone if there are none",
    "cause": (
        "client if this process was held up for half of it, or the kernel saw less than half of it; else by the "
        "server's stamps: server if half of it lies between two sends, else network; without stamps: network if half "
        "of what was due came at once after it, server if it came piece by piece"
    ),
    "verdict": (
        "the first of no_stream, clock_suspect, buffered, client_limited, coalesced one of whose checks fires, "
        "else clean"
    ),
    "n_tokens_server": "the server's running count at the event minus that at the text before it in the call",
    "n_tokens_counter": "counter(text up to the event) minus counter(text before it), of one call, choice and kind",
    "rate_per_s": "sum of n_tokens of the call's events in (t - window_s, t], over window_s",
    "tokens_per_chunk": "mean of chunk_tokens (see `tokens`) over the chunks with text",
    "multi_token_share": "share of these chunks with more than one token",
    "median_ci": "k-th smallest to k-th largest value, k the largest with 2 * P(Binomial(n, 1/2) < k) <= 0.05",
    "ratio_to_best": "median over the smallest median of the metric; for a rate (`_per_s`) the largest over it",
    "percentile": (
        "value at position q * (n - 1) of the sorted values, linear between neighbours; from 1 / (1 - q) values on, "
        "1 / q below the median"
    ),
    "percentile_ci": (
        "2.5th to 97.5th percentile of the same quantile in 1000 resamples of the runs, each run whole, drawn with "
        "replacement; from 6 runs on"
    ),
    **_THEIRS,
}
"""Each measure as one line of plain text; the same lines stand in the docstrings."""
