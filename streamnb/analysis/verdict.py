"""Verdict: whether the times of a run can be trusted, and if not what bends them; each check is a row of evidence.

Knows the chunks, events and lags tables. Must not know: records, clocks, how a verdict is shown.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from streamnb.analysis.explained import sentences
from streamnb.analysis.held import LOGGED_S, Held
from streamnb.analysis.pauses import by_stamp, gaps, text_events
from streamnb.errors import UsageError
from streamnb.tables.typed import Floats, Ints, build

VERDICTS: Final = ("no_stream", "clock_suspect", "buffered", "client_limited", "coalesced", "clean")
"""What a verdict can be; where several checks fire the first of these counts: it makes the others meaningless."""

_SHARED: Final = 0.1
_LAG: Final = 0.1
_LAG_QUANTILE: Final = 0.9
_LAG_FLOOR_S: Final = 0.0005
"""Less lateness than this bends nothing that anybody reads off a token stream."""
_LAG_READS: Final = 5
_BURST: Final = 0.8
_SILENCE_S: Final = 0.1
_AT_ONCE_NS: Final = 1_000_000
"""A piece of text this soon behind another was not generated in between: that would be 1000 pieces a second."""
_BURST_EVENTS: Final = 5
_BURST_CHARS: Final = 200
_LATE_TTFT: Final = 0.9
_JSON_BYTES: Final = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """How far the times of a run can be trusted.

    Attributes:
        name: one of `VERDICTS`.
        evidence: one row per check (`columns_markdown("evidence")`): what was found and from where on it counts.
    """

    name: str
    evidence: pd.DataFrame

    @property
    def clean(self) -> bool:
        """True when no check fired."""
        return self.name == "clean"

    def explain(self) -> str:
        """Two sentences: what bends the numbers, and what to do."""
        return sentences(self.name, self.evidence)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Verdict {self.name}: {self.explain()}>"


class _Check(NamedTuple):
    check: str
    value: float
    unit: str
    threshold: float
    fires: bool | None
    points_to: str


def verdict(chunks: pd.DataFrame, events: pd.DataFrame, lags: pd.DataFrame | None = None) -> Verdict:
    """Judge the times of one run.

    verdict = the first of no_stream, clock_suspect, buffered, client_limited, coalesced one of whose checks fires,
    else clean

    - no_stream: there is no text event, or the body is one JSON value
    - clock_suspect: stamps of a call run backwards, a kernel stamp is later than its read, or the wall clock was set
    - buffered: 80 % of the characters came in bursts, or all in one piece. A burst is 5 text events or more, each
      within 1 ms of the one before, behind a silence of 0.1 s or more in which this process was not held up; text
      that is one single burst needs 5 events or 200 characters. That is a proxy, or a server that plays streaming
    - client_limited: one read in ten is later than 10 % of the median gap (and than 0.5 ms), or that of the first text
      than 10 % of ttft_s. Only reads count whose `t_ns` is not the kernel's: a kernel stamp does not know how busy
      this process was. Lateness is `client_lag_s`; without it the delay behind `server_t_ns` beyond the smallest of
      the run (beyond 5 ms only as far as the log has it), and what the log of this process says
    - coalesced: more than 10 % of the text events shared a read with another, and so one stamp; or the first text did,
      and TTFT may be more than 10 % (and 0.5 ms) too long: it is the stamp of the last of them, each before it came
      about one usual piece earlier

    Args:
        chunks: the chunks table of the run.
        events: its events table.
        lags: its lags table; None: nobody kept a log.

    Returns:
        The verdict with its evidence. A check that cannot be made has a missing value and does not fire.

    Raises:
        UsageError: tables of several runs.
    """
    runs = pd.concat([events["run_id"], chunks["run_id"]]).unique()
    if len(runs) > 1:
        raise UsageError(f"verdict() got tables of {len(runs)} runs; judge them one by one.")
    text = text_events(events)
    held = Held(lags)
    pauses = gaps(events)["gap_s"].to_numpy()
    checks = [
        *_no_stream(text, chunks),
        *_clock(chunks, lags),
        *_buffered(text, held),
        *_client(text, chunks, pauses, held),
        *_coalesced(text, pauses),
    ]
    columns: dict[str, Any] = {name: [getattr(one, name) for one in checks] for name in _Check._fields}
    evidence = build("evidence", columns | {"run_id": [runs[0] if len(runs) else None] * len(checks)})
    fired = {one.points_to for one in checks if one.fires}
    return Verdict(next((name for name in VERDICTS if name in fired), "clean"), evidence)


def _no_stream(text: pd.DataFrame, chunks: pd.DataFrame) -> Iterator[_Check]:
    n_text = len(text)
    yield _Check("text_events", n_text, "events", 1, n_text < 1, "no_stream")
    whole = _one_json_value(text, chunks)
    yield _Check("whole_json_body", whole, "bodies", 1, whole >= 1, "no_stream")


def _one_json_value(text: pd.DataFrame, chunks: pd.DataFrame) -> int:
    """Bodies with text that are one JSON object or array: such a reply was made, and read, as a whole."""
    found = 0
    for call in text["call"].unique():
        parts = chunks[(chunks["call"] == call).to_numpy(dtype=bool)]["data"].tolist()
        ends = (b"".join(parts[:1]).lstrip()[:1], b"".join(parts[-1:]).rstrip()[-1:])
        if ends in {(b"{", b"}"), (b"[", b"]")} and sum(map(len, parts)) <= _JSON_BYTES:
            try:
                json.loads(b"".join(parts))
            except ValueError:
                continue
            found += 1
    return found


def _clock(chunks: pd.DataFrame, lags: pd.DataFrame | None) -> Iterator[_Check]:
    steps = chunks.groupby("call")[["t_ns", "read_ns"]].diff()
    backwards = int((steps < 0).any(axis=1).sum())
    yield _Check("stamps_backwards", backwards, "reads", 1, backwards >= 1, "clock_suspect")
    early = int((chunks["kernel_ns"] > chunks["read_ns"]).fillna(value=False).sum())
    yield _Check("kernel_after_read", early, "reads", 1, early >= 1, "clock_suspect")
    if lags is None:
        yield _Check("wall_clock_set", np.nan, "times", 1, None, "clock_suspect")
    else:
        times = int((lags["kind"] == "clock").sum())
        yield _Check("wall_clock_set", times, "times", 1, times >= 1, "clock_suspect")


def _buffered(text: pd.DataFrame, held: Held) -> Iterator[_Check]:
    share, ttft = np.nan, np.nan
    if len(text):
        t_ns = text["t_ns"].to_numpy(dtype="int64")
        chars = np.asarray(text["text"].str.len(), dtype="float64")
        share = _burst_share(t_ns, chars, float(text["t_s"].iloc[0]), held)
        first_s, last_s = text["t_s"].min(), text["t_s"].max()
        ttft = first_s / last_s if last_s > 0 else np.nan
    fires = bool(share >= _BURST) if len(text) else None
    yield _Check("text_in_bursts", share, "share", _BURST, fires, "buffered")
    at_the_end = None if np.isnan(ttft) else bool(fires and ttft >= _LATE_TTFT)
    yield _Check("ttft_of_total", ttft, "share", _LATE_TTFT, at_the_end, "buffered")


def _burst_share(t_ns: Ints, chars: Floats, first_s: float, held: Held) -> float:
    """The share of the characters that came in bursts behind a silence, as `verdict` says."""
    waited_ns = 0 if np.isnan(first_s) else round(first_s * 1e9)
    since = np.diff(t_ns, prepend=t_ns[0] - waited_ns)
    begins = since > _AT_ONCE_NS
    begins[0] = True
    at = np.flatnonzero(begins)
    silent_s = since[at] / 1e9 - held.within(t_ns[at] - since[at], t_ns[at])
    n_events, n_chars = np.diff(at, append=len(t_ns)), np.add.reduceat(chars, at)
    large = (n_events >= _BURST_EVENTS) | ((len(at) == 1) & (n_chars >= _BURST_CHARS))
    return float(n_chars[large & (silent_s >= _SILENCE_S)].sum() / chars.sum())


def _client(text: pd.DataFrame, chunks: pd.DataFrame, gap_s: Floats, held: Held) -> Iterator[_Check]:
    reads = chunks[chunks["seq"].isin(text["chunk_seq"]).to_numpy(dtype=bool)]
    late_s = _lateness(reads, held)
    limit_s = max(_LAG * float(np.median(gap_s)), _LAG_FLOOR_S) if len(gap_s) else np.nan
    enough = np.count_nonzero(~np.isnan(late_s)) >= _LAG_READS and not np.isnan(limit_s)
    typical = float(np.nanquantile(late_s, _LAG_QUANTILE)) if enough else np.nan
    yield _Check("client_lag_p90", typical, "s", limit_s, typical > limit_s if enough else None, "client_limited")
    ttft_s = text["t_s"].min() if len(text) else np.nan
    limit_s = max(_LAG * ttft_s, _LAG_FLOOR_S) if ttft_s > 0 else np.nan
    first = float(late_s[0]) if len(late_s) else np.nan
    known = not (np.isnan(first) or np.isnan(limit_s))
    yield _Check("first_text_lag", first, "s", limit_s, first > limit_s if known else None, "client_limited")


def _lateness(reads: pd.DataFrame, held: Held) -> Floats:
    """How late `t_ns` of each read is because of this process, s; 0.0 where it is the kernel's, NaN unknown."""
    t_ns = reads["t_ns"].to_numpy()
    by_log = held.late(t_ns) if held.known else np.full(len(reads), np.nan)
    late_s = np.fmax(_behind_server(reads, by_log), by_log)
    client_s = reads["client_lag_s"].to_numpy()
    late_s = np.where(np.isnan(client_s), late_s, client_s)
    exact = (reads["kernel_ns"] == reads["t_ns"]).fillna(value=False).to_numpy(dtype=bool)
    return np.where(exact, 0.0, late_s)


def _behind_server(reads: pd.DataFrame, by_log: Floats) -> Floats:
    """The delay behind the server's stamps beyond the smallest; what is beyond the log's blind spot is not ours."""
    sent = reads["server_t_ns"].to_numpy(dtype="float64", na_value=np.nan)
    delay_s = (reads["t_ns"].to_numpy() - sent) / 1e9
    if np.isnan(delay_s).all() or np.nanmin(delay_s) < 0:  # none, or the clock of another machine
        return np.full(len(reads), np.nan)
    own: Floats = delay_s - np.nanmin(delay_s)
    return np.where(np.isnan(by_log), own, np.minimum(own, np.maximum(by_log, LOGGED_S)))


def _coalesced(text: pd.DataFrame, gap_s: Floats) -> Iterator[_Check]:
    share, late_s, limit_s = np.nan, np.nan, np.nan
    reads, shared = by_stamp(text)
    if len(text):
        share = 1 - float((~shared).sum()) / len(text)
    yield _Check("shared_reads", share, "share", _SHARED, bool(share > _SHARED) if len(text) else None, "coalesced")
    if len(gap_s) and (ttft_s := float(text["t_s"].min())) > 0:
        n_first = int((text["t_ns"] == text["t_ns"].iloc[0]).sum())
        late_s = (n_first - 1) * float(np.median(gap_s)) * len(reads) / len(text)
        limit_s = max(_LAG * ttft_s, _LAG_FLOOR_S)
    fires = None if np.isnan(late_s) else bool(late_s > limit_s)
    yield _Check("first_text_shared", late_s, "s", limit_s, fires, "coalesced")
