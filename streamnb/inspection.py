"""Inspection: what a panel may ask about a run while it grows: rows of events, frames, requests, phases.

Knows records, readings and curl commands. Must not know: sockets, clocks, pandas, widgets, how anything is shown.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from streamnb import curl
from streamnb.display.view import EventRow, Phase, Raw, Sent
from streamnb.providers import Provider
from streamnb.recording import CallRow, Record
from streamnb.rereading import Rereading

TEXT_CHARS: Final = 300
RAW_BYTES: Final = 64 * 1024
_MOST_LISTS: Final = 8
"""Filtered lists that are kept: one per set of kinds, the latest asked for."""

_DNS: Final = "resolving the host's name"
_CONNECT: Final = "opening the TCP connection, without the name's resolution"
_TLS: Final = "the TLS handshake"
_REQUEST: Final = "t0, when the request's first byte was handed to the ready connection, to its last byte handed over"
_HEADERS: Final = "the request's last byte handed over to the read that completed the reply's headers"
_FIRST_BYTE: Final = "the reply's headers to the read of its body's first byte; 0 when one read brought both"


class Inspection:
    """A `Look` at a record. Asked on any thread; the run may grow meanwhile on its own.

    Rows of the record below its length never change, so nothing here makes the loop thread wait.

    Args:
        record: the run, live or opened.
        provider: what read it.
    """

    def __init__(self, record: Record, provider: Provider) -> None:
        self._record = record
        self._provider = provider
        self._counts: Counter[str] = Counter()
        self._counted = 0
        self._lists: dict[frozenset[str], _Filtered] = {}
        self._listing = threading.Lock()
        self._rereading = Rereading(record, provider)
        self._reading = threading.Lock()

    def kinds(self) -> Mapping[str, int]:
        """How many events of each kind there are. Looks only at those that came since it was asked before."""
        with self._listing:
            n_events = len(self._record.events)
            self._counts.update(self._record.events.kind[self._counted : n_events])
            self._counted = n_events
            return dict(self._counts)

    def rows(self, first: int, n: int, kinds: Collection[str] | None = None) -> tuple[int, list[EventRow]]:
        """Some events of a list, for a list that scrolls.

        Args:
            first: position in the filtered list, from 0.
            n: at most so many.
            kinds: only these; None: all.

        Returns:
            (length of the filtered list, rows from `first` on); a text is cut to `TEXT_CHARS` characters.
        """
        first, n = max(0, first), max(0, n)
        with self._listing:
            total = len(self._record.events)
            if kinds is None:
                found: Collection[int] = range(total)[first : first + n]
            else:
                listed = self._filtered(frozenset(kinds), total)
                total, found = len(listed), listed[first : first + n]
        t0_ns = self._record.t0_ns
        return total, [self._row(seq, t0_ns) for seq in found]

    def _filtered(self, kinds: frozenset[str], n_events: int) -> array[int]:
        filtered = self._lists.pop(kinds, None) or _Filtered()
        self._lists[kinds] = filtered  # the latest stands last
        if len(self._lists) > _MOST_LISTS:
            del self._lists[next(iter(self._lists))]
        new = enumerate(self._record.events.kind[filtered.scanned : n_events], filtered.scanned)
        filtered.seqs.extend(seq for seq, kind in new if kind in kinds)
        filtered.scanned = n_events
        return filtered.seqs

    def _row(self, seq: int, t0_ns: int | None) -> EventRow:
        events, chunks = self._record.events, self._record.chunks
        chunk = events.chunk[seq]
        coalesced = chunks.n_events[chunk] > 1
        t_s, text = _since(chunks.t_ns[chunk], t0_ns), events.text[seq][:TEXT_CHARS]
        return EventRow(seq, t_s, events.kind[seq], text, events.name[seq], chunk, coalesced)

    def raw(self, seq: int) -> Raw | None:
        """The frame an event was read from, at most `RAW_BYTES` of it; None without such an event or frame."""
        with self._reading:
            found = self._rereading.frame(seq)
        if found is None:
            return None
        t_ns = self._record.chunks.t_ns[self._record.events.chunk[seq]]
        return Raw(found[:RAW_BYTES], len(found), _since(t_ns, self._record.t0_ns))

    def sent(self) -> list[Sent]:
        """Every request so far, in order, as it went out and as a curl command."""
        return [self._sent(row) for row in list(self._record.calls)]

    def _sent(self, row: CallRow) -> Sent:
        line, answered = row.line, tuple(row.headers.items())
        if line is None:
            return Sent(row.name, "", "", (), "", row.status, answered, "")
        body = "" if line.body is None else curl.json_text(line.body, indent=2)
        command = curl.command(line, self._provider)
        return Sent(row.name, line.method, line.url, tuple(line.headers), body, row.status, answered, command)

    def phases(self) -> list[Phase]:
        """The phases of the latest streaming call (of the latest call, where none streams), as far as it came.

        Only those that happened: a connection that was open already was neither resolved nor opened.
        """
        rows = list(self._record.calls)
        row = next((row for row in reversed(rows) if row.timed), rows[-1] if rows else None)
        if row is None:
            return []
        parts = (
            ("DNS", row.dns_s, _DNS),
            ("connect", row.connect_s, _CONNECT),
            ("TLS", row.tls_s, _TLS),
            ("request", _since(row.sent_ns, row.t0_ns), _REQUEST),
            ("headers", _since(row.headers_ns, row.sent_ns), _HEADERS),
            ("first byte", _since(row.first_byte_ns, row.headers_ns), _FIRST_BYTE),
        )
        return [Phase(name, float(seconds), meaning) for name, seconds, meaning in parts if 0 <= seconds < math.inf]


def _since(t_ns: int | None, from_ns: int | None) -> float:
    """Seconds from one stamp to another, NaN while one of them is missing."""
    return math.nan if t_ns is None or from_ns is None else (t_ns - from_ns) / 1e9


class _Filtered:
    """The numbers of the events of some kinds, among those that were looked at."""

    def __init__(self) -> None:
        self.seqs: array[int] = array("q")
        self.scanned = 0
