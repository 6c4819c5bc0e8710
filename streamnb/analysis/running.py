"""Running usage: what the server's own count was at each piece of text, and what it counted for that piece.

Knows the events table. Must not know: tokenizers, texts' contents, times.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.analysis.pauses import text_events
from streamnb.analysis.usage import fold
from streamnb.tables.typed import Floats, is_count

_ENOUGH: Final = 0.9
"""Share of a call's text events with a report of their own, from which on the server's count is a running one."""


def running_usage(events: pd.DataFrame) -> tuple[Floats, Floats]:
    """The server's count at each text event, and how many tokens it counted for it.

    The report of a text event is the first usage event behind it in its chunk, before the next text: vLLM and SGLang
    (`continuous_usage_stats`) and Perplexity write it into the same message.

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.

    Returns:
        Two arrays as long as `text_events(events)`.
        The first: `tokens_out` of the run as known then; reports add up as in `server_tokens`; NaN before any.
        The second: its report minus that of the text before it in the call; for a call's first text minus the last
        report before it (0 if there was none). NaN for an event without a report: its tokens are in the next one's.
        NaN throughout a call that has no running count: fewer than two reports, or for fewer than 9 in 10 of its
        texts; they fall, or never rise, or are to be added; or several answers (choices) share it, because vLLM's
        running count is then that of one answer.
    """
    rows = events.reset_index(drop=True)
    text = text_events(rows)
    usage = rows[(rows["kind"] == "usage") & ~(rows["t_s"] < 0)]
    both = pd.concat([text, usage]).sort_index()
    choices = both["choice"].fillna(0).tolist()
    columns = (both[name].tolist() for name in ("run_id", "call", "chunk_seq", "kind", "data"))
    totals: dict[str, int | None] = {}
    calls: dict[tuple[str, int], _Call] = {}
    known: list[float] = []
    for run_id, number, chunk, kind, data, choice in zip(*columns, choices, strict=True):
        call = calls.setdefault((run_id, number), _Call())
        if kind == "usage":
            said = json.loads(data) if isinstance(data, str) else None
            said = said if isinstance(said, dict) else {}
            totals[run_id] = fold(totals.get(run_id), said.get("tokens_out"), said.get("usage") == "sum")
            if call.hear(said, chunk):
                known[call.slots[-1]] = _number(totals[run_id])
        else:
            call.text(len(known), chunk, choice)
            known.append(_number(totals.get(run_id)))
    own = np.full(len(known), np.nan)
    for call in calls.values():
        own[call.slots] = call.steps()
    return np.array(known, dtype="float64"), own


def _number(count: int | None) -> float:
    return np.nan if count is None else count


@dataclasses.dataclass(slots=True)
class _Call:
    """The reports of one call, each beside the text that it came with."""

    slots: list[int] = dataclasses.field(default_factory=list)
    counts: list[float] = dataclasses.field(default_factory=list)
    answers: set[int] = dataclasses.field(default_factory=set)
    chunk: int = -1
    before: int = 0
    last: int = 0
    running: bool = True

    def text(self, slot: int, chunk: int, choice: int) -> None:
        self.slots.append(slot)
        self.counts.append(np.nan)
        self.answers.add(choice)
        self.chunk = chunk

    def hear(self, said: dict[str, Any], chunk: int) -> bool:
        """Take a report; true if it is the latest text's own."""
        count = said.get("tokens_out")
        if not is_count(count):
            return False
        self.running &= count >= self.last and said.get("usage") != "sum"
        self.last = count
        if not self.slots:
            self.before = count
            return False
        if chunk != self.chunk or not np.isnan(self.counts[-1]):
            return False
        self.counts[-1] = count
        return True

    def steps(self) -> Floats:
        """What the server counted from report to report."""
        counts = np.array(self.counts, dtype="float64")
        own = ~np.isnan(counts)
        steps = np.full(len(counts), np.nan)
        enough = own.sum() >= max(2, _ENOUGH * len(counts))
        if self.running and enough and len(self.answers) == 1 and np.ptp(counts[own]) > 0:
            steps[own] = np.diff(counts[own], prepend=self.before)
        return steps
