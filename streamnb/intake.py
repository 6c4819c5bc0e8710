"""Intake: the bytes of one reply, in the order that loses nothing: scrub, journal, understand, record, tell.

Knows one call's reading and the record. Must not know: what the bytes mean, sockets, clocks, deadlines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from streamnb.conversation import Reading, Step
from streamnb.errors import LimitError
from streamnb.events import Arrival
from streamnb.recording import Record
from streamnb.redaction import Scrubber
from streamnb.transcript import ReadLine
from streamnb.transport import Read


class Intake:
    """One reply on its way in.

    Args:
        n: number of its call.
        reading: what understands it.
        scrubber: masks secrets; holds back a tail that may begin one.
        headers_ns: when its headers were in, for bodies that bring no read.
        tell: hears of every arrival.
    """

    def __init__(  # noqa: PLR0913  # everything is handed in
        self,
        n: int,
        reading: Reading,
        record: Record,
        scrubber: Scrubber,
        *,
        headers_ns: int,
        tell: Callable[[Arrival], None],
    ) -> None:
        self.reading = reading
        self._n = n
        self._record = record
        self._scrubber = scrubber
        self._last_ns = headers_ns
        self._tell = tell

    def read(self, read: Read) -> Step:
        """One read (SAFETY P1: journal before anything looks at it)."""
        self._last_ns = read.t_ns
        data = self._scrubber.feed(read.data)
        self._journal(read.t_ns, read.wire_bytes, data)
        step = self.reading.feed(data)
        self._tell(self._record.understood(step))
        return step

    def close(self) -> None:
        """No more bytes come, for whatever reason: what is held back or half read comes out."""
        held = self._scrubber.flush()
        if held:
            self._journal(self._last_ns, 0, held)
            self._tell(self._record.understood(_guarded(lambda: self.reading.feed(held))))
        step = _guarded(self.reading.close)
        if step.events or step.n_frames:
            chunks = self._record.chunks
            if not len(chunks) or chunks.call[-1] != self._n:  # only a chunk has a time: an empty body needs one
                self._journal(self._last_ns, 0, b"")
            self._tell(self._record.understood(step))

    def _journal(self, t_ns: int, wire: int, data: bytes) -> None:
        line = ReadLine(n=self._n, s=len(self._record.chunks), t_ns=t_ns, w=wire, h=self._scrubber.held, b=data)
        self._record.read(line)


def _guarded(read: Callable[[], Step]) -> Step:
    """A reply that was too long says no more at its end: its outcome is known."""
    with contextlib.suppress(LimitError):
        return read()
    return Step()
