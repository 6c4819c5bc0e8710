"""GuideLLM: what it calls TTFT, ITL, TPOT and request latency.

Knows that package's definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.conventions._stream import Stream, per_token

FORMULAS: Final = {
    "ttft_guidellm_s": "t_s of the first content event: a non-empty delta or reasoning, or any tool_call",
    "ttfot_guidellm_s": "t_s of the first non-empty delta event",
    "e2e_guidellm_s": "t_s of the [DONE] event, else close_s",
    "tokens_guidellm": "tokens_out, else the number of content events",
    "tpot_guidellm_s": "t_s of the last content event / tokens_guidellm: the time to the first token is in it",
    "itl_guidellm_s": "(t_s of the last content event - ttft_guidellm_s) / (tokens_guidellm - 1), "
    "if tokens_guidellm >= 2",
}


def guidellm(stream: Stream) -> dict[str, Any]:
    """As GuideLLM has it: connecting is in no number, the time to the first token is in TPOT.

    Source: guidellm, `backends/openai/http.py`, `schemas/base/request_stats.py` (`GenerativeRequestStats`).

    - ttft_guidellm_s = t_s of the first content event: a non-empty delta or reasoning, or any tool_call
    - ttfot_guidellm_s = t_s of the first non-empty delta event
    - e2e_guidellm_s = t_s of the [DONE] event, else close_s
    - tokens_guidellm = tokens_out, else the number of content events
    - tpot_guidellm_s = t_s of the last content event / tokens_guidellm: the time to the first token is in it
    - itl_guidellm_s = (t_s of the last content event - ttft_guidellm_s) / (tokens_guidellm - 1),
      if tokens_guidellm >= 2

    Its clock starts where t0 is: when the request's headers are sent on a connection that is ready. Both paces are
    one mean per request; it keeps no gaps, and what it plots per token is evenly spaced between first and last. The
    number of content events stands for tokens where the server counts none: true only at one token per message.

    Not in the events table: it stamps lines with the wall clock (`time.time`), after splitting them.
    """
    rows = stream.rows("delta", "reasoning", "tool_call")
    first, last = stream.first(rows), stream.last(rows)
    done = stream.first(stream.events[stream.is_done.to_numpy(dtype=bool, na_value=False)])
    content = stream.per_run(rows.groupby("run_id").size())
    tokens = np.where(np.isnan(stream.tokens_out), content, stream.tokens_out)
    return {
        "ttft_guidellm_s": first,
        "ttfot_guidellm_s": stream.first(stream.rows("delta")),
        "e2e_guidellm_s": np.where(np.isnan(done), stream.close_s, done),
        "tokens_guidellm": pd.Series(tokens, dtype="Int64").array,
        "tpot_guidellm_s": per_token(last, tokens),
        "itl_guidellm_s": per_token(last - first, tokens - 1),
    }
