"""What a client was told of its streams, and how late that was: stamps beside the send times that the texts are.

Knows the load server's chunks. Must not know: clients, processes, targets.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

ID_PREFIX = "chatcmpl-"


@dataclasses.dataclass(slots=True)
class Heard:
    """What one stream brought: the moment it was asked for, and of each event the stamp and the text (the send time).

    Attributes:
        asked_ns: when the request went out, as this stack knows it.
        arrived_ns: when the server had it.
        alone: of each event, whether its stamp is its own; None: a stack that does not say.
        read_ns: of each event, when this process had it, where `stamps` is something better.
    """

    asked_ns: int = 0
    arrived_ns: int = 0
    stamps: list[int] = dataclasses.field(default_factory=list)
    texts: list[str] = dataclasses.field(default_factory=list)
    alone: list[bool] | None = None
    read_ns: list[int] | None = None

    def chunk(self, t_ns: int, chunk: dict[str, Any]) -> None:
        """A parsed chunk."""
        text = chunk["choices"][0]["delta"].get("content")
        if text:
            if not self.stamps:
                self.arrived_ns = int(chunk["id"].removeprefix(ID_PREFIX))
            self.stamps.append(t_ns)
            self.texts.append(text)


def digest(every: list[Heard], warm_ns: int) -> dict[str, Any]:
    """How late the stamps are (us), events of the first `warm_ns` left out, and those that shared a read.

    `backlog_us` is the median age of what this process got last (the last tenth): a client that does not keep up grows
    it. `ttft_ms` is what the stack would report less what was so, the mean over its streams.
    """
    told = [heard for heard in every if heard.stamps]
    began = min((int(heard.texts[0]) for heard in told), default=0) + warm_ns
    lags, ages, left_out = [], [], 0
    for heard in told:
        for at, (stamp, text) in enumerate(zip(heard.stamps, heard.texts, strict=True)):
            sent = int(text)
            if sent < began:
                continue
            ages.append((sent, (heard.read_ns[at] if heard.read_ns else stamp) - sent))
            if heard.alone is None or heard.alone[at]:
                lags.append(stamp - sent)
            else:
                left_out += 1
    lags.sort()
    last = sorted(age for _, age in sorted(ages)[-max(1, len(ages) // 10) :])
    biases = [(h.stamps[0] - h.asked_ns) - (int(h.texts[0]) - h.arrived_ns) for h in told if h.arrived_ns]
    return {
        "n": len(lags),
        "left_out": left_out,
        "p50_us": _quantile_us(lags, 0.5),
        "p99_us": _quantile_us(lags, 0.99),
        "backlog_us": _quantile_us(last, 0.5),
        "ttft_bias_ms": sum(biases) / len(biases) / 1e6 if biases else None,
        "ttft_bias_worst_ms": max(biases, key=abs) / 1e6 if biases else None,
        "first_shared_percent": 100 * sum(h.alone is not None and not h.alone[0] for h in told) / max(1, len(told)),
    }


def _quantile_us(ordered: list[int], q: float) -> float | None:
    return ordered[math.ceil(q * len(ordered)) - 1] / 1e3 if ordered else None
