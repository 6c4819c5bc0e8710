"""Live figures of one run: TTFT, rate, stalls, phase. Stdlib only; every time is handed in.

Knows arrivals and the definitions of `t0`, `ttft_s`, `e2e_s`. Must not know: clocks, sockets, displays, tables.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any, Final, Literal

from streamnb.events import TEXT_KINDS, Arrival, Chunk, Event

Phase = Literal["connecting", "waiting", "thinking", "answering", "stalled", "done"]

STALL_FACTOR: Final = 5.0
STALL_FLOOR_S: Final = 1.0
_MOMENT_NS: Final = 1_000_000
"""A time of no more than this is no pace."""


class Meter:
    """Folds arrivals into the figures a person watches while an answer arrives.

    Only a chunk has a time: all events of one chunk share it, so a rate counts chunks that carried text, never events.
    A figure that does not exist yet is NaN, never 0.
    """

    def __init__(self) -> None:
        self.t0_ns: int | None = None
        self.last_data_ns: int | None = None
        self.n_chunks = 0
        self.n_text_chunks = 0
        self.n_events = 0
        self.n_chars = 0
        self.tokens_out = math.nan
        self._unseen = False
        self._shown_reasoning = False
        self._hidden_reasoning = False
        self._first_text_ns: int | None = None
        self._first_answer_ns: int | None = None
        self._last_text_ns: int | None = None
        self._last_text_kind = ""
        self._last_text_chunk: Chunk | None = None
        self._last_seq = -1
        self._gaps = _Median()
        self._max_gap_ns: int | None = None
        self._done = False

    def start(self, t0_ns: int) -> None:
        """Set t0: the first byte of the streaming request is handed to a ready connection.

        Args:
            t0_ns: CLOCK_MONOTONIC, ns. A run of several streams keeps the first one. Text that came before it (the
                greeting of a set-up call) has no part in the figures of time.
        """
        if self.t0_ns is None:
            self.t0_ns = t0_ns
            self._first_text_ns = self._first_answer_ns = self._last_text_ns = self._max_gap_ns = None
            self._last_text_chunk, self._last_text_kind = None, ""
            self._gaps, self.n_text_chunks, self.n_chars = _Median(), 0, 0
            self.tokens_out = math.nan
            self._unseen = self._shown_reasoning = self._hidden_reasoning = False

    def arrive(self, arrival: Arrival) -> None:
        """Count one chunk and the events it completed."""
        chunk = arrival.chunk
        t_ns = chunk.t_ns
        self.n_chunks += chunk.seq != self._last_seq  # the end of a body completes events of a chunk counted before
        self._last_seq = chunk.seq
        self.n_events += len(arrival.events)
        texts = [event for event in arrival.events if event.kind in TEXT_KINDS and event.text]
        for event in arrival.events:
            if event.kind == "usage":
                self._count_tokens(event)
            elif event.kind == "tool_call":
                self._unseen = True
            if event.kind != "ping":  # R5: a keepalive is not data
                self.last_data_ns = t_ns
        if texts:
            self._text(chunk, texts)

    def finish(self) -> None:
        """Say that the run ended: nothing is stalled any more and the phase is `done`."""
        self._done = True

    @property
    def ttft_s(self) -> float:
        """First non-empty delta, answer or reasoning, minus t0, s."""
        return self._since_t0(self._first_text_ns)

    @property
    def ttfa_s(self) -> float:
        """First non-empty delta of the answer itself minus t0, s."""
        return self._since_t0(self._first_answer_ns)

    @property
    def e2e_s(self) -> float:
        """Last non-empty delta, answer or reasoning, minus t0, s."""
        return self._since_t0(self._last_text_ns)

    @property
    def max_gap_s(self) -> float:
        """Longest gap between two chunks that carried text, s."""
        return math.nan if self._max_gap_ns is None else self._max_gap_ns / 1e9

    @property
    def rate_per_s(self) -> float:
        """What arrives per second between the first and the last text chunk, in `rate_unit`.

        `(n - 1) / (e2e_s - ttft_s)`: n is the server's own token count where it sent one and all it counts came as
        text, else the number of chunks that carried text. A chunk is not a token, so the unit belongs beside the
        number. NaN for fewer than two, and for one burst.
        """
        if self._first_text_ns is None or self._last_text_ns is None:
            return math.nan
        lasted_ns = self._last_text_ns - self._first_text_ns
        n = self.tokens_out if self._counts_text else self.n_text_chunks
        return (n - 1) / (lasted_ns / 1e9) if n > 1 and lasted_ns > _MOMENT_NS else math.nan

    @property
    def rate_unit(self) -> str:
        """`tokens/s` when the server counted tokens and all of them came as text, else `chunks/s`."""
        return "tokens/s" if self._counts_text else "chunks/s"

    @property
    def _counts_text(self) -> bool:
        """Tool calls, and reasoning that was not streamed, are in the count and not in the time of the text."""
        hidden = self._hidden_reasoning and not self._shown_reasoning
        return not (math.isnan(self.tokens_out) or self._unseen or hidden)

    def stalled(self, now_ns: int, factor: float = STALL_FACTOR, floor_s: float = STALL_FLOOR_S) -> float:
        """Seconds since the last data-bearing chunk, if that is longer than this stream's own pace explains.

        Args:
            now_ns: the present, CLOCK_MONOTONIC ns.
            factor: how many median gaps between text chunks are still ordinary.
            floor_s: silence below this is never a stall, s.

        Returns:
            The silence in s when beyond `max(factor * median gap, floor_s)`, else 0.0; 0.0 before the first text
            (that is waiting, not stalling) and after the end.
        """
        if self._done or self.last_data_ns is None or self._first_text_ns is None:
            return 0.0
        silence = (now_ns - self.last_data_ns) / 1e9
        return silence if silence > max(factor * self._gaps.value / 1e9, floor_s) else 0.0

    def phase(self, now_ns: int) -> Phase:
        """What the run is doing at `now_ns`, in one word."""
        if self._done:
            return "done"
        if self._first_text_ns is None:
            return "connecting" if self.t0_ns is None and not self.n_chunks else "waiting"
        if self.stalled(now_ns):
            return "stalled"
        return "thinking" if self._last_text_kind == "reasoning" else "answering"

    def summary(self) -> dict[str, Any]:
        """The figures under the names of the table `runs`, with `rate_per_s` and `rate_unit` beside them."""
        names = (
            "ttft_s",
            "ttfa_s",
            "e2e_s",
            "max_gap_s",
            "n_chunks",
            "n_events",
            "n_chars",
            "tokens_out",
            "rate_per_s",
        )
        return {name: getattr(self, name) for name in names} | {"rate_unit": self.rate_unit}

    def _text(self, chunk: Chunk, texts: list[Event]) -> None:
        t_ns, before = chunk.t_ns, self._last_text_chunk
        self._last_text_chunk = chunk
        self.n_text_chunks += before is None or before.seq != chunk.seq
        self.n_chars += len(texts[0].text) if len(texts) == 1 else sum(len(event.text) for event in texts)
        self._last_text_kind = texts[-1].kind
        self._shown_reasoning = self._shown_reasoning or any(event.kind == "reasoning" for event in texts)
        gap_ns = 0 if before is None or before.call != chunk.call else t_ns - before.t_ns
        if gap_ns:  # reads with one stamp count as one
            self._gaps.add(gap_ns)
            if self._max_gap_ns is None or gap_ns > self._max_gap_ns:
                self._max_gap_ns = gap_ns
        self._last_text_ns = t_ns
        if self._first_text_ns is None:
            self._first_text_ns = t_ns
        if self._first_answer_ns is None and any(event.kind == "delta" for event in texts):
            self._first_answer_ns = t_ns

    def _count_tokens(self, event: Event) -> None:
        """As `analysis.usage` does: a running total is taken last, counts of several requests are added."""
        said = event.data if isinstance(event.data, Mapping) else {}
        tokens = said.get("tokens_out")
        if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
            before = self.tokens_out if said.get("usage") == "sum" and not math.isnan(self.tokens_out) else 0
            self.tokens_out = before + float(tokens)
        hidden = said.get("tokens_reasoning")
        if isinstance(hidden, int) and not isinstance(hidden, bool) and hidden > 0:
            self._hidden_reasoning = True

    def _since_t0(self, t_ns: int | None) -> float:
        return math.nan if t_ns is None or self.t0_ns is None else (t_ns - self.t0_ns) / 1e9


class _Median:
    """Running median in O(log n) per value: the lower half as a max-heap, the upper half as a min-heap."""

    def __init__(self) -> None:
        self._low: list[int] = []
        self._high: list[int] = []

    def add(self, value: int) -> None:
        low, high = self._low, self._high
        if len(low) > len(high):
            heapq.heappush(high, -heapq.heappushpop(low, -value))
        else:
            heapq.heappush(low, -heapq.heappushpop(high, value))

    @property
    def value(self) -> float:
        """The median so far; 0.0 when there is none, so that the floor decides."""
        if not self._low:
            return 0.0
        return float(-self._low[0]) if len(self._low) > len(self._high) else (self._high[0] - self._low[0]) / 2
