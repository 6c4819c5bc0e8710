"""AIPerf: what it calls TTFT, TTFO, TTST, ITL, ICL and request latency.

Knows that package's definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions._stream import Stream, per_token, samples, steps
from streamnb.tables.typed import Floats

FORMULAS: Final = {
    "first_aiperf_s": "t_s of the first content event: a non-empty delta or reasoning, or any tool_call",
    "ttft_aiperf_s": "setup_s + first_aiperf_s",
    "ttfo_aiperf_s": "setup_s + t_s of the first content event that is no reasoning",
    "ttst_aiperf_s": "t_s of the second content event minus that of the first",
    "e2e_aiperf_s": "setup_s + t_s of the last content event",
    "itl_aiperf_s": "(e2e_aiperf_s - ttft_aiperf_s) / (tokens_out - k), if tokens_out >= 2; "
    "k = tokens of the first content event by the server's running count, else 1",
    "icl_aiperf_p50_s": "median of the times between neighbouring content events of a call",
    "icl_aiperf_p95_s": "95th percentile of the same samples, from 20 on",
}


def aiperf(stream: Stream) -> dict[str, Any]:
    """As AIPerf has it: its ITL is one mean per request (everyone else's TPOT), its ICL the gaps.

    Source: aiperf, `metrics/types/*.py` (`ttft_metric`, `time_to_first_output_token_metric`, `ttst_metric`,
    `inter_token_latency_metric`, `inter_chunk_latency_metric`, `request_latency_metric`),
    `transports/aiohttp_client.py`.

    - first_aiperf_s = t_s of the first content event: a non-empty delta or reasoning, or any tool_call
    - ttft_aiperf_s = setup_s + first_aiperf_s
    - ttfo_aiperf_s = setup_s + t_s of the first content event that is no reasoning
    - ttst_aiperf_s = t_s of the second content event minus that of the first
    - e2e_aiperf_s = setup_s + t_s of the last content event
    - itl_aiperf_s = (e2e_aiperf_s - ttft_aiperf_s) / (tokens_out - k), if tokens_out >= 2;
      k = tokens of the first content event by the server's running count, else 1
    - icl_aiperf_p50_s = median of the times between neighbouring content events of a call
    - icl_aiperf_p95_s = 95th percentile of the same samples, from 20 on

    Events of one read have one stamp there as here: `ttst_aiperf_s` and its gaps are then 0, and mean that the read
    was late or the server bundled, not that a token took no time. k is also 1 where tokens_out - k would be below 1.

    Not in the events table: by default it counts tokens with a tokenizer of its own; here tokens_out is the server's
    count, as with `--use-server-token-count`, and k the one of `--per-chunk-usage`.
    """
    rows = stream.rows("delta", "reasoning", "tool_call")
    first, last = stream.first(rows), stream.last(rows)
    tokens = np.where(stream.tokens_out >= 2, stream.tokens_out, np.nan)  # noqa: PLR2004  # one token has no pace
    return {
        "first_aiperf_s": first,
        "ttft_aiperf_s": stream.setup_s + first,
        "ttfo_aiperf_s": stream.setup_s + stream.first(stream.rows("delta", "tool_call")),
        "ttst_aiperf_s": stream.second_step(rows),
        "e2e_aiperf_s": stream.setup_s + last,
        "itl_aiperf_s": per_token(last - first, tokens - _in_first(stream, rows)),
        **samples(stream.ids, "icl_aiperf", steps(rows)[1]),
    }


def _in_first(stream: Stream, rows: pd.DataFrame) -> Floats:
    """Tokens of each run's first content event; 1 where the server's word is missing or cannot be true."""
    heads = rows[~rows.duplicated("run_id").to_numpy()]
    said = stream.per_run(pd.Series(stream.tokens_of(heads), index=heads["run_id"].to_numpy(dtype="object")))
    return np.where((said >= 1) & (stream.tokens_out - said >= 1), said, 1)
