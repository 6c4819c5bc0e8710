"""Conventions: what other packages call time to first token, inter-token latency and the like, by their own code.

Knows who has which formulas. Must not know: records, clocks, tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from streamnb.analysis.conventions import aiperf, genai_perf, guidellm, inference_perf, otel, sglang, vllm
from streamnb.analysis.conventions._stream import Stream

__all__ = ["CONVENTIONS", "FORMULAS", "Stream"]


def streamnb(_stream: Stream) -> dict[str, Any]:
    """Our own: the declared columns of `latency`, nothing appended."""
    return {}


CONVENTIONS: Final[dict[str, Callable[[Stream], dict[str, Any]]]] = {
    "streamnb": streamnb,
    "vllm": vllm.vllm,
    "sglang": sglang.sglang,
    "aiperf": aiperf.aiperf,
    "guidellm": guidellm.guidellm,
    "genai-perf": genai_perf.genai_perf,
    "inference-perf": inference_perf.inference_perf,
    "otel": otel.otel,
}
"""Whose numbers `latency` can append, by name; each function's docstring has its formulas and their source."""

FORMULAS: Final = dict(
    chain.from_iterable(
        module.FORMULAS.items() for module in (vllm, sglang, aiperf, guidellm, genai_perf, inference_perf, otel)
    )
)
"""Column -> formula, of all of them."""
