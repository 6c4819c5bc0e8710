"""Causes: who made a silence, this process, the network or the server, by the stamps at both of its ends.

Knows the chunks, events and lags tables. Must not know: which silences count as stalls, records, clocks.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from streamnb.analysis.held import Held
from streamnb.tables.typed import MISSING, Ints

_HALF = 0.5
"""Whoever made at least half of a silence made it."""

_AT_ONCE = 0.25
"""Half of what was due in a silence came at once if it took less than this share of its usual time."""

_ENOUGH = 2
"""Pieces behind the first from which "at once" and "one by one" can be told apart."""


class Silence(NamedTuple):
    """One silence of a run.

    Attributes:
        before: `chunk_seq` of the last text before it.
        after: that of the text that ended it; None when none came.
        start_ns: its start. end_ns: its end.
        call: the call it lies in.
        typical_s: the usual gap of the run, s; NaN unknown.
    """

    before: int
    after: int | None
    start_ns: int
    end_ns: int
    call: int
    typical_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """What is known of one read; -1: not known."""

    read_ns: int
    kernel_ns: int
    server_ns: int
    exact: bool


class Witnesses:
    """What one run has that can tell.

    Args:
        text: its text events.
        chunks: its chunks table, or None.
        lags: its lags table, or None.
    """

    def __init__(self, text: pd.DataFrame, chunks: pd.DataFrame | None, lags: pd.DataFrame | None) -> None:
        self._held = Held(lags)
        self._text = text
        self._reads = {} if chunks is None else _reads(chunks)

    def cause(self, silence: Silence) -> str | None:
        """`client`, `network` or `server`; None when it cannot be told."""
        after = None if silence.after is None else self._reads.get(silence.after)
        before = self._reads.get(silence.before)
        if self._client(silence, before, after):
            return "client"
        if silence.after is None:
            return None
        served = _served(silence, before, after)
        if served is not None:
            return "server" if served >= _HALF else "network"
        at_once = self._at_once(silence)
        if at_once is None:
            return None
        if not at_once:
            return "server"
        awake = self._held.known or (after is not None and after.exact and after.kernel_ns != MISSING)
        return "network" if awake else None  # without a log a client that slept looks the same

    def _client(self, silence: Silence, before: _Read | None, after: _Read | None) -> bool:
        """This process slept through it: by its log, or because the kernel saw no such silence."""
        length_s = (silence.end_ns - silence.start_ns) / 1e9
        if before is not None and after is not None and MISSING not in {before.kernel_ns, after.kernel_ns}:
            kernel_s = (after.kernel_ns - before.kernel_ns) / 1e9
            if after.exact:  # the stamp is of this piece alone: the log of this process changes nothing
                return kernel_s <= _HALF * length_s
        held_s = self._held.within(np.array([silence.start_ns]), np.array([silence.end_ns]))[0]
        return bool(held_s >= _HALF * length_s)

    def _at_once(self, silence: Silence) -> bool | None:
        """Whether half of what was due in the silence came in one go after it; None: too little was due, or came."""
        t_ns = self._text["t_ns"].to_numpy()
        rest = t_ns[(self._text["call"].to_numpy() == silence.call) & (t_ns >= silence.end_ns)]
        due = (silence.end_ns - silence.start_ns) / 1e9 / silence.typical_s if silence.typical_s > 0 else 0
        n = int(min(_HALF * due, len(rest) - 1))
        if n < _ENOUGH:
            return None
        return bool((rest[n] - rest[0]) / 1e9 < _AT_ONCE * n * silence.typical_s)


def _served(silence: Silence, before: _Read | None, after: _Read | None) -> float | None:
    """The share of the silence that lies between the server's own send times; None where it stamps nothing.

    A read of several pieces has the send time of its last one, which says nothing of the first.
    """
    if before is None or after is None or not after.exact or MISSING in {before.server_ns, after.server_ns}:
        return None
    if before.server_ns > silence.start_ns or after.server_ns > silence.end_ns:
        return None  # sent after it arrived: not the clock of this machine
    return (after.server_ns - before.server_ns) / max(silence.end_ns - silence.start_ns, 1)


def _reads(chunks: pd.DataFrame) -> dict[int, _Read]:
    columns = (
        chunks["seq"].tolist(),
        chunks["read_ns"].tolist(),
        _filled(chunks["kernel_ns"]).tolist(),
        _filled(chunks["server_t_ns"]).tolist(),
        (chunks["n_events"] <= 1).tolist(),
    )
    return {seq: _Read(*values) for seq, *values in zip(*columns, strict=True)}


def _filled(column: pd.Series) -> Ints:
    return column.to_numpy(dtype="int64", na_value=MISSING)
