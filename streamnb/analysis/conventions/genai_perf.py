"""GenAI-Perf: what it calls TTFT, TTST, inter token latency and request latency.

Knows that package's definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions._stream import Stream, per_token, samples, steps
from streamnb.tables.typed import Floats

FORMULAS: Final = {
    "first_genai_perf_s": "t_s of the first read with a non-empty delta event",
    "ttft_genai_perf_s": "setup_s + first_genai_perf_s",
    "ttst_genai_perf_s": "t_s of the second read with a non-empty delta event minus that of the first",
    "e2e_genai_perf_s": "setup_s + t_s of the last read with a non-empty delta event",
    "itl_genai_perf_s": "(e2e_genai_perf_s - ttft_genai_perf_s) / (tokens_out - 1), "
    "if tokens_out >= 2 and the run had neither reasoning nor tool calls",
    "chunked_itl_genai_perf_p50_s": "median of (time between neighbouring such reads) / (tokens the server counted "
    "for the later one, at least 1)",
    "chunked_itl_genai_perf_p95_s": "95th percentile of the same samples, from 20 on",
}


def genai_perf(stream: Stream) -> dict[str, Any]:
    """As GenAI-Perf has it: only answer text counts, and what comes in one read is one response.

    Source: perf_analyzer, `genai-perf/genai_perf/profile_data_parser/llm_profile_data_parser.py`
    (`_parse_requests`, `_preprocess_response`); stamps: `src/infer_context.cc`.

    - first_genai_perf_s = t_s of the first read with a non-empty delta event
    - ttft_genai_perf_s = setup_s + first_genai_perf_s
    - ttst_genai_perf_s = t_s of the second read with a non-empty delta event minus that of the first
    - e2e_genai_perf_s = setup_s + t_s of the last read with a non-empty delta event
    - itl_genai_perf_s = (e2e_genai_perf_s - ttft_genai_perf_s) / (tokens_out - 1),
      if tokens_out >= 2 and the run had neither reasoning nor tool calls
    - chunked_itl_genai_perf_p50_s = median of (time between neighbouring such reads) / (tokens the server counted
      for the later one, at least 1)
    - chunked_itl_genai_perf_p95_s = 95th percentile of the same samples, from 20 on

    Roles, reasoning, tool calls and usage are empty responses there and removed; messages of one read are merged.

    Not in the events table: it counts the answer's tokens with a tokenizer. Here the server's count stands for it,
    which also has reasoning and tool calls in it: where the run had some, `itl_genai_perf_s` is missing. Without a
    running count (usage on every chunk) there are no chunked samples. It stamps with the system clock.
    """
    rows = stream.rows("delta")
    reads = rows[~rows.duplicated(["run_id", "chunk_seq"]).to_numpy()]
    first, last = stream.first(reads), stream.last(reads)
    unseen = stream.rows("reasoning", "tool_call")["run_id"]
    tokens = np.where(stream.ids.isin(unseen), np.nan, stream.tokens_out)
    later, gap_s = steps(reads)
    return {
        "first_genai_perf_s": first,
        "ttft_genai_perf_s": stream.setup_s + first,
        "ttst_genai_perf_s": stream.second_step(reads),
        "e2e_genai_perf_s": stream.setup_s + last,
        "itl_genai_perf_s": per_token(last - first, tokens - 1),
        **samples(stream.ids, "chunked_itl_genai_perf", (gap_s / _per_read(stream, rows)[later]).dropna()),
    }


def _per_read(stream: Stream, rows: pd.DataFrame) -> Floats:
    """Tokens of each read, in the order of its first row; NaN where one of its events was not counted alone."""
    keys = [rows["run_id"], rows["chunk_seq"]]
    tokens = pd.Series(stream.tokens_of(rows), index=rows.index).groupby(keys, sort=False)
    known = tokens.count() == tokens.size()
    return np.asarray(tokens.sum().clip(lower=1).where(known), dtype="float64")
