"""OpenTelemetry: the client metrics of its semantic conventions for generative AI.

Knows these conventions' definitions. Must not know: other conventions.
"""

from __future__ import annotations

from typing import Any, Final

from streamnb.analysis.conventions._stream import Stream, samples, steps

FORMULAS: Final = {
    "first_otel_s": "t_s of the first read with an event other than ping or [DONE]",
    "time_to_first_chunk_otel_s": "setup_s + first_otel_s",
    "time_per_output_chunk_otel_p50_s": "median of the times between neighbouring such reads of a call",
    "time_per_output_chunk_otel_p95_s": "95th percentile of the same samples, from 20 on",
    "duration_otel_s": "setup_s + close_s",
}


def otel(stream: Stream) -> dict[str, Any]:
    """As OpenTelemetry has it: chunks, not tokens; a role-only chunk is the first one.

    Source: OpenTelemetry semantic-conventions-genai, `docs/gen-ai/gen-ai-metrics.md`
    (`gen_ai.client.operation.time_to_first_chunk`, `.time_per_output_chunk`, `.duration`).

    - first_otel_s = t_s of the first read with an event other than ping or [DONE]
    - time_to_first_chunk_otel_s = setup_s + first_otel_s
    - time_per_output_chunk_otel_p50_s = median of the times between neighbouring such reads of a call
    - time_per_output_chunk_otel_p95_s = 95th percentile of the same samples, from 20 on
    - duration_otel_s = setup_s + close_s

    A chunk is what the client's iterator hands out: roles, usage and the finish reason are chunks like any other.

    Not in the events table: how many messages a read held, when one message made several events. Messages of one
    read give one sample here; an instrumented client records one more for each, microseconds long. Its histograms
    begin at 10 ms, so its backends cannot give these percentiles below that.
    """
    events = stream.events
    nothing = (events["kind"] == "ping") | stream.is_done
    reads = events[~nothing.to_numpy(dtype=bool, na_value=False)].drop_duplicates(["run_id", "chunk_seq"])
    first = stream.first(reads)
    return {
        "first_otel_s": first,
        "time_to_first_chunk_otel_s": stream.setup_s + first,
        **samples(stream.ids, "time_per_output_chunk_otel", steps(reads)[1]),
        "duration_otel_s": stream.setup_s + stream.close_s,
    }
