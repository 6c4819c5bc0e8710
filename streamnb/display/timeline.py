"""The marks of one lane: when each socket read came, the silence before it, what it brought; merged for a screen.

Knows reads and times that are handed in. Must not know: clocks, widgets, how marks are drawn.
"""

from __future__ import annotations

import array
import bisect
from collections.abc import Sequence
from typing import Final

from streamnb.meter import STALL_FACTOR, STALL_FLOOR_S

ANSWER: Final = 1
"""Bits of a mark's kind: the last text event of the read was a piece of the answer,"""
REASONING: Final = 2
"""a piece of the reasoning;"""
COALESCED: Final = 4
"""the read carried several text events, which share its time;"""
NO_TEXT: Final = 8
"""it carried none."""

WIDTH: Final = 6
"""Numbers of one mark: dt, gap, chars, reads, kind, seq."""

_TICK_NS: Final = 100_000
_FIRSTS: Final = 4
"""Marks kept free, so that the first text and the first text of the answer stay marks of their own with exact times."""
_KINDS: Final = {"delta": ANSWER, "reasoning": REASONING}


class Timeline:
    """Every read of a run in one flat array, 48 bytes each; text that came before t0 has no part in it.

    Times go in as CLOCK_MONOTONIC ns and come out in ticks of 0.1 ms. A mark is six whole numbers: `dt` since the mark
    before (the first: since the lane began), `gap` before it between two reads with text of one call (0: none), its
    characters, how many reads it stands for, its kinds (bits), the number of its chunk.

    Attributes:
        total_chars: characters of text since t0.
        end_ns: when the last read came; None before there is one.
    """

    def __init__(self) -> None:
        self.total_chars = 0
        self.end_ns: int | None = None
        self._began_ns: int | None = None
        self._t0_ns: int | None = None
        self._rows = array.array("q")  # as marks are, but with the absolute time and the gap in ns
        self._told = 0
        self._told_tick = 0
        self._call = -1
        self._text_ns = 0
        self._text_seq = -1
        self._seq = -1

    def start(self, t_ns: int) -> None:
        """The lane's clock starts; without it the first read starts it."""
        if self._began_ns is None:
            self._began_ns = t_ns

    def t0(self, t_ns: int) -> None:
        """The streaming request was handed over: what came before was setting up and is dropped. The first one counts.

        Args:
            t_ns: CLOCK_MONOTONIC, ns; reads that are added later but came earlier are dropped as well.
        """
        if self._t0_ns is not None:
            return
        self.start(t_ns)
        self._t0_ns = t_ns
        rows = self._rows
        n = bisect.bisect_left(range(0, len(rows), WIDTH), t_ns, key=rows.__getitem__)
        del rows[: n * WIDTH]
        self.total_chars = sum(rows[2::WIDTH])
        if self._text_ns < t_ns:
            self._call = self._text_seq = -1
        text = next((at for at in range(0, len(rows), WIDTH) if not rows[at + 4] & NO_TEXT), None)
        if text is not None:
            rows[text + 1] = 0  # the text before it is gone

    def add(  # noqa: PLR0913, PLR0917 - plain numbers, so that no object is made per read
        self, t_ns: int, call: int, seq: int, n_chars: int, n_texts: int, kind: str
    ) -> None:
        """Take one socket read; a second time with the same `seq` it is the same read with more in it.

        Args:
            t_ns: when it completed, CLOCK_MONOTONIC ns.
            call: number of its call; a pause between two calls is no gap.
            seq: number of its chunk.
            n_chars: characters of text in it.
            n_texts: text events in it.
            kind: kind of the last of them, `delta` or `reasoning`; "" without one.
        """
        if self._t0_ns is not None and t_ns < self._t0_ns:
            return
        if self._began_ns is None:
            self._began_ns = t_ns
        gap_ns = 0
        bits = _KINDS.get(kind, NO_TEXT)
        if bits != NO_TEXT:
            if seq == self._text_seq:
                bits |= COALESCED
            elif call == self._call:
                gap_ns = t_ns - self._text_ns
            if n_texts > 1:
                bits |= COALESCED
            self._call, self._text_ns, self._text_seq = call, t_ns, seq
            self.total_chars += n_chars
        self._rows.extend((t_ns, gap_ns, n_chars, 0 if seq == self._seq else 1, bits, seq))
        self._seq = seq
        self.end_ns = t_ns

    @property
    def t0_ms(self) -> float | None:
        """When the request was handed over, ms since the lane began; None before."""
        return None if self._t0_ns is None else self._since_began_ms(self._t0_ns)

    @property
    def end_ms(self) -> float:
        """When the last read came, ms since the lane began; 0.0 before there is one."""
        return 0.0 if self.end_ns is None else self._since_began_ms(self.end_ns)

    def news(self, most: int = 40) -> list[int]:
        """The marks since the last call; none before t0: until then nobody knows whether they count.

        Args:
            most: at most so many marks; more are merged in equal bins of time.
        """
        if self._t0_ns is None:
            return []
        marks, self._told_tick = self._export(self._told, most, self._told_tick)
        self._told = len(self._rows)
        return marks

    def marks(self, most: int = 1500) -> list[int]:
        """All of it, as one list of marks merged in the same way; `news` goes on undisturbed."""
        return self._export(0, most, 0)[0]

    def stalls(self, until_ns: int | None = None) -> list[tuple[float, float]]:
        """Silences that stand out from the run's own pace, by the rule of `analysis.stalls`.

        Args:
            until_ns: when a run ended that never said it was done: the silence up to there counts too.

        Returns:
            (last text before, s since t0 or, without one, since the lane began; length, s).
        """
        times, gaps = self._rows[0::WIDTH], self._rows[1::WIDTH]
        silences = [(t_ns - gap, gap) for t_ns, gap in zip(times, gaps, strict=True) if gap > STALL_FLOOR_S * 1e9]
        if until_ns is not None and self._text_seq >= 0 and until_ns - self._text_ns > STALL_FLOOR_S * 1e9:
            silences.append((self._text_ns, until_ns - self._text_ns))
        if not silences:
            return []
        from_ns = (self._began_ns if self._t0_ns is None else self._t0_ns) or 0
        ordered = sorted(gap for gap in gaps if gap)
        return [
            ((start_ns - from_ns) / 1e9, gap / 1e9)
            for start_ns, gap in silences
            if gap > STALL_FACTOR * _median_of_others(ordered, gap)
        ]

    def _since_began_ms(self, t_ns: int) -> float:
        return (t_ns - (self._began_ns or 0)) / 1e6

    def _export(self, first: int, most: int, before: int) -> tuple[list[int], int]:
        """The rows from `first` on as marks, and the tick of the last one."""
        rows = self._rows[first:]
        began_ns = self._began_ns or 0
        ticks = [(t_ns - began_ns + _TICK_NS // 2) // _TICK_NS for t_ns in rows[0::WIDTH]]
        gaps = [(gap + _TICK_NS // 2) // _TICK_NS for gap in rows[1::WIDTH]]
        columns = (ticks, gaps, *(rows[at::WIDTH] for at in range(2, WIDTH)))
        marks: list[int] = []
        merged = len(ticks) > most
        lowest, span = (ticks[0], ticks[-1] - ticks[0] + 1) if merged else (0, 1)
        bins = most - _FIRSTS if most > 2 * _FIRSTS else most
        unseen = ANSWER | REASONING if bins < most and not first else 0
        last_bin = -1
        for tick, gap, chars, reads, kind, seq in zip(*columns, strict=True):
            this_bin = (tick - lowest) * bins // span
            alone = kind & unseen
            if merged and this_bin == last_bin and not alone:
                marks[-6] += tick - before
                marks[-5] = max(marks[-5], gap)
                marks[-4] += chars
                marks[-3] += reads
                marks[-2] |= kind
                marks[-1] = seq
            else:
                marks += (tick - before, gap, chars, reads, kind, seq)
                last_bin = -1 if alone else this_bin
                unseen &= ~kind
            before = tick
        return marks, before


def _median_of_others(ordered: Sequence[int], one: int) -> float:
    """The median of the numbers, `one` of them left out if it is among them; 0.0 when there is no other."""
    at = bisect.bisect_left(ordered, one)
    among = at < len(ordered) and ordered[at] == one
    n = len(ordered) - among
    if n == 0:
        return 0.0
    low, high = (n - 1) // 2, n // 2
    return (ordered[low + (among and at <= low)] + ordered[high + (among and at <= high)]) / 2
