"""Calibration: how late the stamps of this machine are, and how many streams it can time, measured with real streams.

Knows sessions and the built-in simulator's send times. Must not know: IPython, how stamps are taken, displays.
"""

from __future__ import annotations

import re
import time
from typing import Final, NamedTuple

import numpy as np

from streamnb import accuracy, portal
from streamnb.accuracy import Calibration, known
from streamnb.asking import ask
from streamnb.display.view import NullView
from streamnb.errors import CompanionError, UsageError
from streamnb.session import Session
from streamnb.tables.typed import Floats

__all__ = ["Calibration", "calibrate", "known"]

FIRST_GAP_S: Final = 0.01
"""Between two pieces of the first measurement: a hundred in a second, enough for a 99th percentile."""
GAP_S: Final = 0.02
"""The same where more and more streams are tried: 50 a second, as a model writes."""
LAG_SHARE: Final = 0.1
SHARED: Final = 0.1
"""Of a read that several pieces share only the last one has a stamp of its own; the others wait for it."""
_PIECE: Final = b'"delta":{"content":'
_SENT: Final = re.compile(rb"^: t_ns=(\d+)\n", re.MULTILINE)
"""What the simulator writes before each piece: when it sent it."""
FIRST_S: Final = 1.0
STEP_S: Final = 0.25
GRACE_S: Final = 1.0
"""How much longer than planned a measurement may take."""
TRIES: Final = 2
"""A size fails when it fails twice: other processes make some reads late, too."""
SEARCH_S: Final = 1.5
"""No step begins later than this: with the first measurement and the last step it makes some three seconds."""
MOST: Final = 256
"""More sockets than that might not be had."""


class _Measured(NamedTuple):
    lag_s: Floats
    median_gap_s: float
    shared: float
    sources: str

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.lag_s, q))

    @property
    def good(self) -> bool:
        return self.quantile(0.99) < LAG_SHARE * self.median_gap_s and self.shared <= SHARED


def calibrate(streams: int = 1) -> Calibration:
    """Measure how late stamps are, against the built-in simulator, which writes its send times into its streams.

    One second of `streams` streams with 100 pieces a second each; then a quarter of a second each of more and more
    streams with 50, four times as many every time and at last half of what was too many, as long as the 99th percentile
    of their lateness stays below 10 % of the median gap and at most 10 % of the pieces share a read, or until 1.5 s are
    over (some three seconds in all). Both processes share this machine, so the figure is an upper bound. It is kept for
    this boot and this Python, and every later run has it as `measurement_error_s`. Nothing is recorded, and
    `streamnb.runs()` shows none of it.

    Args:
        streams: how many run at once in the first measurement, 1 to 256.

    Raises:
        UsageError: `streams` is no such number.
        CompanionError: the simulator did not start, or nothing came from it.
    """
    if isinstance(streams, bool) or not isinstance(streams, int) or not 1 <= streams <= MOST:
        raise UsageError(f"calibrate wants 1 to {MOST} streams, not {streams!r}.")
    first = _measure(streams, FIRST_S, FIRST_GAP_S)
    largest, searched = _search(streams, first)
    found = Calibration(
        streams=streams,
        n=len(first.lag_s),
        lag_p50_s=first.quantile(0.5),
        lag_p99_s=first.quantile(0.99),
        median_gap_s=first.median_gap_s,
        largest_streams=largest,
        searched=searched,
        stamp_source=first.sources,
        machine=accuracy.machine(),
        measured_ns=time.time_ns(),
    )
    accuracy.keep(found)
    return found


def _search(streams: int, first: _Measured) -> tuple[int, str]:
    """The largest number of streams that were in time, and why no larger one was tried."""
    most = MOST if first.good else streams - 1
    largest, size = (streams, min(4 * streams, most)) if first.good else (0, 1)
    failed = most + 1  # the smallest that is too many
    until_s = time.monotonic() + SEARCH_S
    while largest < size < failed:
        fits = _fits(size, until_s)
        if fits is None:
            return largest, "time"
        if fits:
            largest, size = size, min(4 * size, most) if failed > most else 2 * size
        else:
            failed, size = size, size // 2
    return largest, "time" if first.good and failed > most else "lag"


def _fits(size: int, until_s: float) -> bool | None:
    """Whether so many streams are in time; None: there was none left to see."""
    for _ in range(TRIES):
        if time.monotonic() > until_s:
            return None
        if _measure(size, STEP_S).good:
            return True
    return False


class _Probe(Session):
    """A session that is no run of the user's: on no list, and in no file."""

    def start(self) -> portal.Task[None]:
        self.task = portal.spawn(self._drive())
        return self.task


def _measure(streams: int, seconds: float, gap_s: float = GAP_S) -> _Measured:
    """Let so many streams run at once.

    Raises:
        CompanionError: nothing came.
    """
    pace = {"tokens": round(seconds / gap_s), "gap": gap_s, "gap_dist": "constant", "ttft": gap_s}
    asked = ask("demo", "calibrate", pace=pace, record=False, notice=False, timeout=seconds + GRACE_S)
    probes = [_Probe(asked, NullView()) for _ in range(streams)]
    try:
        for probe in probes:
            probe.start()
        for probe in probes:
            probe.wait()
    except KeyboardInterrupt:
        for probe in probes:
            probe.stop()
        raise
    return _compare(probes)


def _compare(probes: list[_Probe]) -> _Measured:
    lag_s, gap_s, pieces, sources = [np.empty(0)], [np.empty(0)], list[int](), set[str]()
    for probe in probes:
        chunks = probe.run.chunks
        chunks = chunks[chunks["server_t_ns"].notna().to_numpy(dtype=bool)]
        reads = zip(chunks["t_ns"], chunks["data"], strict=True)
        lag_s.append(np.array([(t_ns - int(sent)) / 1e9 for t_ns, data in reads for sent in _SENT.findall(data)]))
        gap_s.append(np.diff(chunks["t_ns"].to_numpy()) / 1e9)
        pieces += [data.count(_PIECE) for data in chunks["data"]]
        sources |= set(chunks["stamp_source"])
    if not np.concatenate(gap_s).size:
        raise CompanionError("the simulator sent nothing that could be timed; try again when the machine is less busy.")
    shared = sum(n for n in pieces if n > 1) / max(sum(pieces), 1)
    return _Measured(np.concatenate(lag_s), float(np.median(np.concatenate(gap_s))), shared, " ".join(sorted(sources)))
