"""Analysis: pure functions from tables to tables. Nothing is read from a clock and no input is changed.

Knows the declared tables and these formulas. Must not know: records, providers, displays.
"""

from __future__ import annotations

from streamnb.analysis.pauses import gaps, stalls
from streamnb.analysis.timing import CONVENTIONS, latency, latency_row

__all__ = ["CONVENTIONS", "FORMULAS", "gaps", "latency", "latency_row", "stalls"]

FORMULAS = {
    "ttft_s": "t_s of the first non-empty delta or reasoning event",
    "ttfa_s": "t_s of the first non-empty delta event",
    "ttfr_s": "t_s of the first non-empty reasoning event",
    "e2e_s": "t_s of the last non-empty delta or reasoning event",
    "gap_s": "t_ns of a chunk with text minus t_ns of the chunk with text before it in the same call, over 1e9",
    "max_gap_s": "the longest gap_s of the run",
    "icl_p50_s": "median of gap_s, from 2 gaps on",
    "icl_p95_s": "95th percentile of gap_s (linear between order statistics), from 20 gaps on",
    "tpot_s": "(e2e_s - ttft_s) / (tokens_out - 1), if tokens_out >= 2 and e2e_s > ttft_s",
    "tokens_per_s": "(tokens_out - 1) / (e2e_s - ttft_s), under the same conditions",
    "stall": "gap_s > max(factor * median of the run's other gaps, floor_s); floor_s alone if there are none",
}
"""Each measure as one line of plain text; the same lines stand in the docstrings."""
