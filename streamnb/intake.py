"""Intake: the bytes of one reply, in the order that loses nothing: scrub, journal, understand, record, tell.

Knows one call's reading and the record. Must not know: what the bytes mean, sockets, clocks, deadlines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from streamnb.conversation import Reading, Step
from streamnb.errors import LimitError
from streamnb.events import Arrival
from streamnb.pacing import Pacer
from streamnb.recording import Record
from streamnb.redaction import Scrubber
from streamnb.transport import Read

HEAVY_BYTES: Final = 4 * 1024 * 1024


class Intake:
    """One reply on its way in.

    Args:
        n: number of its call.
        reading: what understands it.
        scrubber: masks secrets; holds back a tail that may begin one.
        headers_ns: when its headers were in, for bodies that bring no read.
        tell: hears of every arrival; None: nobody watches.
        heard: hears of what every read amounted to, after that.

    Attributes:
        pacer: decides whether reads are only journaled now, until `catch_up` or the end; None: never.
    """

    def __init__(  # noqa: PLR0913  # everything is handed in
        self,
        n: int,
        reading: Reading,
        record: Record,
        scrubber: Scrubber,
        *,
        headers_ns: int,
        tell: Callable[[Arrival], None] | None,
        heard: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self.reading = reading
        self._n = n
        self._record = record
        self._scrubber = scrubber
        self._last: tuple[int, int | None] = (headers_ns, None)
        self._tell = tell
        self._heard = heard
        self._due: list[int] = []
        self._due_bytes = 0
        self._heard_of: tuple[int, int | None] | None = None
        self.pacer: Pacer | None = None

    def read(self, read: Read) -> None:
        """One read, as an item."""
        self.take(read.t_ns, read.k_ns, read.wire_bytes, read.data)

    def take(self, t_ns: int, k_ns: int | None, wire_bytes: int, data: bytes) -> None:
        """One read (SAFETY P1: journal before anything looks at it); understood now, or with `catch_up`."""
        self._last = t_ns, k_ns
        scrubber = self._scrubber
        data = scrubber.feed(data)
        seq = self._record.take(self._n, t_ns, k_ns, wire_bytes, scrubber.held, data)
        if self.pacer is not None and self.pacer.deferring:
            self._due.append(seq)
            self._due_bytes += len(data)
        else:
            if self._due:
                self.catch_up()
            self._understand(seq, data)

    @property
    def waiting(self) -> bool:
        """Whether there are reads that were put off."""
        return bool(self._due)

    @property
    def heavy(self) -> bool:
        """Whether they are so many bytes that looking at them cannot wait: the limits of an event are theirs too."""
        return self._due_bytes > HEAVY_BYTES

    def paused(self) -> bool:
        """Whether no read came since this was asked last."""
        before, self._heard_of = self._heard_of, self._last
        return before is self._last

    def catch_up(self, most: int | None = None) -> None:
        """Understand the reads that were put off, all of them or at most so many.

        Raises:
            StreamnbError: as `take` would have.
        """
        due, self._due = self._due[:most], [] if most is None else self._due[most:]
        chunks = self._record.chunks
        for seq in due:
            data = chunks.data[seq]
            self._due_bytes -= len(data)
            self._understand(seq, data)

    def _understand(self, seq: int, data: bytes) -> None:
        step = self.reading.feed(data)
        self._note(step, seq)
        self._heard(step)

    def _note(self, step: Step, seq: int = -1) -> None:
        if self._tell is None:
            self._record.note(step, seq)
        else:
            self._tell(self._record.understood(step, seq))

    def close(self) -> None:
        """No more bytes come, for whatever reason: what is held back or half read comes out."""
        with contextlib.suppress(LimitError):  # the outcome says so
            self.catch_up()
        held = self._scrubber.flush()
        if held:
            self._journal(held)
            self._note(_guarded(lambda: self.reading.feed(held)))
        step = _guarded(self.reading.close)
        if step.events or step.n_frames:
            chunks = self._record.chunks
            if not len(chunks) or chunks.call[-1] != self._n:  # only a chunk has a time: an empty body needs one
                self._journal(b"")
            self._note(step)

    def _journal(self, data: bytes) -> None:
        self._record.take(self._n, *self._last, 0, self._scrubber.held, data)


def _guarded(read: Callable[[], Step]) -> Step:
    """A reply that was too long says no more at its end: its outcome is known."""
    with contextlib.suppress(LimitError):
        return read()
    return Step()
