"""Record: journals each read before anything looks at it, keeps columns, ends in exactly one outcome.

Knows transcript lines and columns. Must not know: pandas, displays, sockets, clocks.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from streamnb.columns import KERNEL, NONE, ChunkColumns, EventColumns
from streamnb.conversation import Step
from streamnb.events import Arrival, Chunk, Event, Outcome
from streamnb.frozen import maker
from streamnb.journal import Journal
from streamnb.transcript import CallLine, DoneLine, EndLine, ReadLine, ReplyLine, RunLine, encode_read

_chunk: Final = maker(Chunk)
_arrival: Final = maker(Arrival)


@dataclasses.dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run was asked to be.

    Attributes:
        started_ns: wall clock, ns since the epoch.
        usage: how several usage reports add up: `sum` or `last`.
    """

    run_id: str
    provider: str
    target: str
    started_ns: int
    profile: str | None = None
    model: str | None = None
    cell_id: str | None = None
    chat: str | None = None
    repeat: int | None = None
    usage: str = "last"


@dataclasses.dataclass(slots=True)
class CallRow:
    """One HTTP call of a run. Durations in s (NaN: did not happen), stamps in CLOCK_MONOTONIC ns (None: the same).

    Attributes:
        headers: of the reply, names in lower case.
        line: the request as it went out, redacted; None where nobody knows it.
    """

    n: int
    name: str
    stream: bool
    t_ns: int
    status: int | None = None
    framing: str | None = None
    t0_ns: int | None = None
    dns_s: float = math.nan
    connect_s: float = math.nan
    tls_s: float = math.nan
    sent_ns: int | None = None
    headers_ns: int | None = None
    first_byte_ns: int | None = None
    end_ns: int | None = None
    reused: bool | None = None
    transport: str | None = None
    paused_s: float = math.nan
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    side: bool = False
    setup: bool = False
    line: CallLine | None = dataclasses.field(default=None, repr=False)

    @property
    def timed(self) -> bool:
        """True for the streams that t0 counts from."""
        return self.stream and not self.setup


class Record:
    """One run as it happens: the journal on disk (if any) and the columns in memory.

    Args:
        info: what was asked.
        journal: where the lines go, or None for no file.

    Attributes:
        problem: for a record read from a file: what of it was torn or unknown.
        queued_s: seconds it waited for a client-side slot; NaN where there are no slots.
        notes: what went wrong beside the stream, one line each: a function that failed, an answer not delivered.
        lags: what held this process up meanwhile: (kind, start in CLOCK_MONOTONIC ns, length in ns).
        measurement_error_s: how late its stamps may be, as this machine was calibrated; NaN unknown.
    """

    def __init__(self, info: RunInfo, journal: Journal | None = None) -> None:
        self.info = info
        self.journal = journal
        self.calls: list[CallRow] = []
        self.chunks = ChunkColumns()
        self.events = EventColumns()
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self.problem: str | None = None
        self.queued_s = math.nan
        self.notes: list[str] = []
        self.lags: list[tuple[str, int, int]] = []
        self.measurement_error_s = math.nan

    # -- what happens, in order ---------------------------------------------------------------------------------

    def begin(self, line: RunLine) -> None:
        """The run starts."""
        self._write(line)

    def call(self, line: CallLine) -> CallRow:
        """A call is handed to the transport."""
        self._write(line)
        row = CallRow(line.n, line.name, line.stream, line.t_ns, side=line.side, setup=line.setup, line=line)
        self.calls.append(row)
        return row

    def reply(self, line: ReplyLine) -> None:
        """The headers of a reply are in."""
        self._write(line)
        row = self.calls[line.n]
        row.status, row.framing = line.status, line.framing
        row.headers = {key.lower(): value for key, value in line.headers}
        self.reached(line.n, line.timings)

    def reached(self, n: int, timings: Mapping[str, Any]) -> None:
        """How far the request of a call came."""
        for name in _TIMINGS & timings.keys():
            value = timings[name]
            setattr(self.calls[n], name, math.nan if value is None and name.endswith("_s") else value)

    def read(self, line: ReadLine) -> int:
        """A read as a transcript has it; its number becomes the next one here."""
        return self.take(line.n, line.t_ns, line.k_ns, line.w, line.h, line.b, line.stamp)

    def take(  # noqa: PLR0913, PLR0917  # the fields of a ReadLine, without making one for every read
        self, n: int, t_ns: int, k_ns: int | None, wire_bytes: int, held: int, data: bytes, stamp: str = "read"
    ) -> int:
        """A read, before anything looks at it: journal first (SAFETY P1). Returns its number."""
        chunks = self.chunks
        seq = len(chunks)
        if self.journal is not None:
            self.journal.append(encode_read(n, seq, t_ns, k_ns, wire_bytes, held, data, stamp))
        best_ns = t_ns
        if k_ns is not None:
            best_ns, stamp = k_ns, KERNEL
        row = self.calls[n]
        if row.first_byte_ns is None and (data or held):  # an empty body has no first byte
            row.first_byte_ns = best_ns
        chunks.call.append(n)
        chunks.t_ns.append(best_ns)
        chunks.read_ns.append(t_ns)
        chunks.wire_bytes.append(wire_bytes)
        chunks.data.append(data)
        chunks.stamp_source.append(stamp)
        chunks.n_frames.append(0)
        chunks.n_events.append(0)
        return seq

    def understood(self, step: Step, seq: int = -1) -> Arrival:
        """What a read (the last, unless its number is given) amounted to; again when the end completes more events."""
        seq = self.note(step, seq)
        chunks = self.chunks
        chunk = _chunk(
            seq,
            chunks.call[seq],
            chunks.t_ns[seq],
            len(chunks.data[seq]),
            chunks.wire_bytes[seq],
            chunks.data[seq],
            chunks.n_frames[seq],
            chunks.stamp_source[seq],
            step.server_t_ns,
        )
        return _arrival(chunk, step.events)

    def note(self, step: Step, seq: int = -1) -> int:
        """The same for a run that nobody watches; returns the number of the read."""
        chunks = self.chunks
        seq = seq if seq >= 0 else len(chunks) - 1
        chunks.n_frames[seq] += step.n_frames
        chunks.n_events[seq] += len(step.events)
        if step.server_t_ns is not None:
            chunks.server_t_ns[seq] = step.server_t_ns
        for event in step.events:
            self.events.append(seq, event)
        return seq

    def end_call(self, t_ns: int, n: int = -1) -> None:
        """The body of a call (of the latest, unless it is named) is over."""
        self.calls[n].end_ns = t_ns

    def done(self, line: DoneLine) -> None:
        """The body of a side call is over."""
        self._write(line)
        self.end_call(line.t_ns, line.n)

    def end(self, outcome: Outcome, error: str | None, line: EndLine) -> None:
        """The run is over; only the first outcome counts."""
        if self.outcome is None:
            self._write(line)
            if self.journal is not None:
                self.journal.close()
            self.error = error
            self.outcome = outcome  # last: whoever sees it may open the file

    @property
    def warning(self) -> str | None:
        """One line: the disk refused the run file, it was found torn, or something beside the stream went wrong."""
        torn = self.journal.failed if self.journal is not None else self.problem
        return " ".join(filter(None, [torn, *self.notes])) or None

    def _write(self, line: Any) -> None:
        if self.journal is not None:
            self.journal.write(line)

    # -- what it amounts to -------------------------------------------------------------------------------------

    @property
    def t0_ns(self) -> int | None:
        """First byte of the first streaming request that got a ready connection (set-up apart), CLOCK_MONOTONIC ns."""
        return next((row.t0_ns for row in self.calls if row.timed and row.t0_ns is not None), None)

    @property
    def setup_s(self) -> float:
        """From the first call to t0, s; NaN without t0."""
        return math.nan if self.t0_ns is None else (self.t0_ns - self.calls[0].t_ns) / 1e9

    @property
    def end_ns(self) -> int | None:
        """End of the last body."""
        return next((row.end_ns for row in reversed(self.calls) if row.end_ns is not None), None)

    @property
    def close_ns(self) -> int | None:
        """End of the last streaming body."""
        return next((row.end_ns for row in reversed(self.calls) if row.timed and row.end_ns is not None), None)

    def happenings(self) -> Iterator[Arrival | tuple[str, int]]:
        """What a view was told while the run lived: phases with their time (ns), and arrivals, in the order of time."""
        told = [("connecting", self.calls[0].t_ns)] if self.calls else []
        told += [("waiting", row.t0_ns) for row in self.calls if row.timed and row.t0_ns is not None]
        due = 0
        for arrival in self._arrivals():
            while due < len(told) and told[due][1] <= arrival.chunk.t_ns:
                yield told[due]
                due += 1
            yield arrival
        yield from told[due:]

    def _arrivals(self) -> Iterator[Arrival]:
        chunks, events = self.chunks, self.events
        n_events, seq = len(events), 0
        for number in range(len(chunks)):
            first = seq
            while seq < n_events and events.chunk[seq] <= number:
                seq += 1
            data = chunks.data[number]
            chunk = Chunk(number, chunks.call[number], chunks.t_ns[number], len(data), chunks.wire_bytes[number], data)
            yield Arrival(chunk, tuple(self._recorded(at) for at in range(first, seq)))

    def _recorded(self, seq: int) -> Event:
        events = self.events
        choice, data = events.choice[seq], events.data[seq]
        return Event(
            events.kind[seq],  # type: ignore[arg-type]  # it was a kind when it was written
            events.text[seq],
            None if choice == NONE else choice,
            events.name[seq],
            events.id[seq],
            None if data is None else json.loads(data),
            choices=events.choices.get(seq, ()),
        )

    def ending(self) -> dict[str, Any]:
        """For the transcript's end line: what is known of the run only at its end. What is missing is left out."""
        said: dict[str, Any] = {
            "ends_ns": [row.end_ns for row in self.calls],
            "paused_s": [_said(row.paused_s) for row in self.calls],
            "notes": self.notes,
            "lags": [list(lag) for lag in self.lags],
            "queued_s": _said(self.queued_s),
            "measurement_error_s": _said(self.measurement_error_s),
        }
        return {name: value for name, value in said.items() if value not in (None, []) or name == "ends_ns"}

    def counts(self) -> dict[str, int]:
        """For the transcript's end line."""
        return {
            "calls": len(self.calls),
            "reads": len(self.chunks),
            "bytes": sum(map(len, self.chunks.data)),
            "events": len(self.events),
            "late_events": sum("late" in flags.split() for flags in self.events.flags.others),
        }


_TIMINGS: Final = frozenset({"dns_s", "connect_s", "tls_s", "t0_ns", "sent_ns", "headers_ns", "reused", "transport"})


def _said(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds
