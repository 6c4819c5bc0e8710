"""SGLang: what `sglang.benchmark.serving` calls TTFT, TPOT, ITL and E2E latency.

Knows that package's definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions._stream import Stream, per_token, samples, steps

FORMULAS: Final = {
    "first_sglang_s": "t_s of the first non-empty delta or reasoning event",
    "ttft_sglang_s": "setup_s + first_sglang_s",
    "e2e_sglang_s": "setup_s + t_s of the last event of any kind",
    "tpot_sglang_s": "(e2e_sglang_s - ttft_sglang_s) / (tokens_out - 1), if tokens_out >= 2",
    "itl_sglang_p50_s": "median of gap / k, taken k times for each text event after a call's first; "
    "k = tokens the server counted for it, 1 without a running count",
    "itl_sglang_p95_s": "95th percentile of the same samples, from 20 on",
}


def sglang(stream: Stream) -> dict[str, Any]:
    """As SGLang's benchmark has it: a gap is shared out among the tokens of its chunk; TPOT gets the tail.

    Source: sglang, `python/sglang/benchmark/serving.py` (`async_request_sglang_generate`,
    `async_request_openai_chat_completions`, `calculate_metrics`).

    - first_sglang_s = t_s of the first non-empty delta or reasoning event
    - ttft_sglang_s = setup_s + first_sglang_s
    - e2e_sglang_s = setup_s + t_s of the last event of any kind
    - tpot_sglang_s = (e2e_sglang_s - ttft_sglang_s) / (tokens_out - 1), if tokens_out >= 2
    - itl_sglang_p50_s = median of gap / k, taken k times for each text event after a call's first;
      k = tokens the server counted for it, 1 without a running count
    - itl_sglang_p95_s = 95th percentile of the same samples, from 20 on

    With a running count (usage on every chunk) this is what it does with its native `/generate`, which sends one; an
    event for which nothing was counted is skipped, and its gap goes to the next. Without one it is what it does with
    an OpenAI-compatible server: one sample per chunk. The last event is usage or [DONE], where they come.

    Not in the events table: it opens a new connection for each request (`setup_s` is what this run needed) and stamps
    after parsing, line by line, so events of one read are microseconds apart there and 0 here. With speculative
    decoding it tokenizes each chunk's text to know k, and without usage it divides by the tokens it asked for.
    """
    rows = stream.rows("delta", "reasoning")
    first, last = stream.first(rows), stream.last(stream.events)
    return {
        "first_sglang_s": first,
        "ttft_sglang_s": stream.setup_s + first,
        "e2e_sglang_s": stream.setup_s + last,
        "tpot_sglang_s": per_token(last - first, stream.tokens_out - 1),
        **samples(stream.ids, "itl_sglang", _shared_out(stream, rows)),
    }


def _shared_out(stream: Stream, rows: pd.DataFrame) -> pd.Series:
    tokens = np.where(stream.has_running_count(rows), np.nan_to_num(stream.tokens_of(rows)), 1)
    # the first text of a call sets the clock, whatever was counted for it
    keep = (tokens > 0) | ~rows.duplicated(["run_id", "call"]).to_numpy()
    later, gap_s = steps(rows[keep])
    copies = tokens[keep][later]
    each: pd.Series = gap_s / copies
    return each.repeat(copies.astype("int64"))
