"""vLLM: what `vllm bench serve` calls TTFT, TPOT, ITL and E2EL.

Knows that package's definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

from streamnb.analysis.conventions._stream import Stream, per_token, samples, steps

FORMULAS: Final = {
    "first_vllm_s": "t_s of the first non-empty delta, reasoning or any tool_call event",
    "ttft_vllm_s": "setup_s + first_vllm_s",
    "ttft_vllm_late_s": "setup_s + t_s of the first non-empty delta or any tool_call event",
    "e2e_vllm_s": "setup_s + t_s of the last non-empty delta, reasoning or any tool_call event",
    "tpot_vllm_s": "(e2e_vllm_s - ttft_vllm_s) / (tokens_out - 1), if tokens_out >= 2",
    "itl_vllm_p50_s": "median of the times between such events, one sample per event after a call's first",
    "itl_vllm_p95_s": "95th percentile of the same samples, from 20 on",
}


def vllm(stream: Stream) -> dict[str, Any]:
    """As vLLM's benchmark has it: connecting is in TTFT, and a message is one inter-token sample.

    Source: vllm, `benchmarks/lib/endpoint_request_func.py` (`async_request_openai_chat_completions`) and
    `benchmarks/serve.py` (`calculate_metrics`).

    - first_vllm_s = t_s of the first non-empty delta, reasoning or any tool_call event
    - ttft_vllm_s = setup_s + first_vllm_s
    - ttft_vllm_late_s = setup_s + t_s of the first non-empty delta or any tool_call event
    - e2e_vllm_s = setup_s + t_s of the last non-empty delta, reasoning or any tool_call event
    - tpot_vllm_s = (e2e_vllm_s - ttft_vllm_s) / (tokens_out - 1), if tokens_out >= 2
    - itl_vllm_p50_s = median of the times between such events, one sample per event after a call's first
    - itl_vllm_p95_s = 95th percentile of the same samples, from 20 on

    vLLM reads the field `reasoning` and ignores `reasoning_content`; an event does not say which of the two it came
    in. Where the server says `reasoning_content`, vLLM's TTFT is `ttft_vllm_late_s`. Versions before it told the
    fields apart took any message with choices for a token, a role-only one too (see `otel`).

    Not in the events table: what vLLM's own loop adds. It stamps each message as it parses it, so the events of one
    read are microseconds apart there and 0 here. An empty `content` without a role counts there and is no event. A
    message that holds reasoning and an answer is one sample there and two events here. Where the server counts no
    tokens, vLLM tokenizes the text again; here `tpot_vllm_s` is missing.
    """
    rows = stream.rows("delta", "reasoning", "tool_call")
    first, last = stream.first(rows), stream.last(rows)
    return {
        "first_vllm_s": first,
        "ttft_vllm_s": stream.setup_s + first,
        "ttft_vllm_late_s": stream.setup_s + stream.first(stream.rows("delta", "tool_call")),
        "e2e_vllm_s": stream.setup_s + last,
        "tpot_vllm_s": per_token(last - first, stream.tokens_out - 1),
        **samples(stream.ids, "itl_vllm", steps(rows)[1]),
    }
