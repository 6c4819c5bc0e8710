"""inference-perf: what it calls TTFT, TPOT, normalized TPOT, ITL and request latency.

Knows that package's definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions._stream import Stream, per_token, samples, steps

FORMULAS: Final = {
    "first_inference_perf_s": "t_s of the first non-empty delta event",
    "ttft_inference_perf_s": "setup_s + first_inference_perf_s, unless tokens_out is 1",
    "e2e_inference_perf_s": "setup_s + close_s",
    "tpot_inference_perf_s": "(t_s of the last non-empty delta event - first_inference_perf_s) / (tokens_out - 1), "
    "if tokens_out >= 2",
    "ntpot_inference_perf_s": "e2e_inference_perf_s / tokens_out",
    "itl_inference_perf_p50_s": "median of the times between tokens of a call, each token of a delta event having "
    "its t_s: k - 1 zeros and one gap for k tokens by the server's running count",
    "itl_inference_perf_p95_s": "95th percentile of the same samples, from 20 on",
}


def inference_perf(stream: Stream) -> dict[str, Any]:
    """As inference-perf has it: every token of a chunk came when the chunk came.

    Source: inference-perf, `inference_perf/apis/streaming_parser.py` (`parse_sse_stream`),
    `inference_perf/reportgen/base.py` (`compute_request_latency_metrics`), `docs/metrics.md`.

    - first_inference_perf_s = t_s of the first non-empty delta event
    - ttft_inference_perf_s = setup_s + first_inference_perf_s, unless tokens_out is 1
    - e2e_inference_perf_s = setup_s + close_s
    - tpot_inference_perf_s = (t_s of the last non-empty delta event - first_inference_perf_s) / (tokens_out - 1),
      if tokens_out >= 2
    - ntpot_inference_perf_s = e2e_inference_perf_s / tokens_out
    - itl_inference_perf_p50_s = median of the times between tokens of a call, each token of a delta event having
      its t_s: k - 1 zeros and one gap for k tokens by the server's running count
    - itl_inference_perf_p95_s = 95th percentile of the same samples, from 20 on

    Reasoning is no token there. Versions in which it starts TTFT exist (its issue 559): that is `ttft_s` plus
    `setup_s`.

    Not in the events table: it counts the tokens of each chunk with a tokenizer; without a running count (usage on
    every chunk) there are no samples here. tokens_out is the server's count, as with `use_server_output_tokens`. It
    stamps messages in its parse loop, so those of one read are microseconds apart there and 0 here.
    """
    rows = stream.rows("delta")
    first, last = stream.first(rows), stream.last(rows)
    e2e = stream.setup_s + stream.close_s
    return {
        "first_inference_perf_s": first,
        "ttft_inference_perf_s": np.where(stream.tokens_out == 1, np.nan, stream.setup_s + first),
        "e2e_inference_perf_s": e2e,
        "tpot_inference_perf_s": per_token(last - first, stream.tokens_out - 1),
        "ntpot_inference_perf_s": per_token(e2e, stream.tokens_out),
        **samples(stream.ids, "itl_inference_perf", _between_tokens(stream, rows)),
    }


def _between_tokens(stream: Stream, rows: pd.DataFrame) -> pd.Series:
    tokens = np.nan_to_num(stream.tokens_of(rows)).astype("int64")  # uncounted: its tokens are in the next event's
    return steps(rows.iloc[np.repeat(np.arange(len(rows)), tokens)])[1]
