"""When which piece of an answer is due: a seeded profile and the schedule it makes, a pure function.

Knows numbers and seeds. Must not know: clocks, HTTP, any API.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

from streamnb.simulator.prose import tokens

_PLACES: Final = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How fast an answer comes; the same values give the same text and the same schedule.

    Attributes:
        seed: of the text and of the gaps.
        tokens: number of pieces of the answer.
        ttft: seconds from the request to the first piece.
        gap: mean seconds between two writes.
        gap_dist: `constant`, or `lognormal` with mean `gap`.
        sigma: standard deviation of the logarithm of a lognormal gap.
        burst: pieces sent together in one write.
        stall_at: number of the piece (from 0) before which the stall lies; -1 = no stall.
        stall: length of the stall, seconds.
        stamps: 1 puts the send time (CLOCK_MONOTONIC, ns) before each event.
    """

    seed: int = 1
    tokens: int = 60
    ttft: float = 0.15
    gap: float = 0.02
    gap_dist: Literal["constant", "lognormal"] = "lognormal"
    sigma: float = 0.6
    burst: int = 1
    stall_at: int = -1
    stall: float = 3.0
    stamps: int = 0


class Write(NamedTuple):
    """Pieces sent together, `at_s` seconds after the request: a deadline from the start, so that no drift adds up."""

    at_s: float
    tokens: tuple[str, ...]


def schedule(pace: Pace) -> list[Write]:
    """Return every write of the answer with its deadline in seconds from the request."""
    return list(writes(pace))


def writes(pace: Pace) -> Iterator[Write]:
    """Yield `schedule(pace)` one by one (an hour's stream need not be in memory)."""
    pieces = tokens(pace.seed, pace.tokens)
    for at_s, (first, last) in zip(_deadlines(pace), _groups(pace), strict=False):
        yield Write(at_s, tuple(next(pieces) for _ in range(first, last)))


def deadlines(pace: Pace, count: int) -> list[float]:
    """Return the deadlines of `count` single writes, seconds: for answers that are not made of text pieces."""
    return [write.at_s for write in writes(dataclasses.replace(pace, tokens=count, burst=1))]


def text(pace: Pace) -> str:
    """Return the whole answer."""
    return "".join(tokens(pace.seed, pace.tokens))


def _groups(pace: Pace) -> Iterator[tuple[int, int]]:
    for first in range(0, pace.tokens, pace.burst):
        yield first, min(first + pace.burst, pace.tokens)


def _deadlines(pace: Pace) -> Iterator[float]:
    at_s = pace.ttft
    gaps = _gaps(pace)
    for number, (first, last) in enumerate(_groups(pace)):
        at_s += next(gaps) if number else 0.0
        at_s += pace.stall if first <= pace.stall_at < last else 0.0
        yield round(at_s, _PLACES)


def _gaps(pace: Pace) -> Iterator[float]:
    """Gaps with mean `gap`: E[exp(mu + sigma Z)] = exp(mu + sigma^2 / 2)."""
    rng = random.Random(pace.seed)  # noqa: S311 - a reproducible schedule, no secret
    normal = NormalDist()
    while True:
        if pace.gap_dist == "constant" or pace.gap == 0.0:
            yield pace.gap
        else:
            z = normal.inv_cdf(min(max(rng.random(), 1e-12), 1 - 1e-12))
            yield pace.gap * math.exp(pace.sigma * z - pace.sigma**2 / 2)
