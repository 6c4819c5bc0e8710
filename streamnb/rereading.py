"""Rereading: the frame that an event was read from, found again in the chunks of its reply.

Knows records and readings. Must not know: files, clocks, sockets, displays.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final

from streamnb.conversation import Reading, Step
from streamnb.errors import LimitError
from streamnb.events import Event
from streamnb.playback import reading_of
from streamnb.providers import Provider
from streamnb.recording import CallRow, Record
from streamnb.wire import Frame

HEAD_CHUNKS: Final = 16
"""Chunks of a reply that tell its framing, and what its dialect says only once."""

_FARTHEST: Final = 256
"""Chunks in which the end of a frame is looked for."""

_BLOCK_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LINE_ENDS: Final = (b"\n",)

Given = list[tuple[Frame, tuple[Event, ...]]]
"""Frames, each with the events it gave."""


class Rereading:
    """The frames of a run, by its events; the run may grow meanwhile. Not for two threads at once.

    A reply is read again only around what is asked for: its head, then from the nearest end of a frame on. What comes
    out must be the very events that were recorded; else the reply is read from its beginning, once.

    Args:
        record: the run, live or opened.
        provider: what read it.
    """

    def __init__(self, record: Record, provider: Provider) -> None:
        self._record = record
        self._provider = provider
        self._chunks_of: dict[int, array[int]] = {}
        self._n_sorted = 0
        self._wholes: dict[int, _Whole] = {}

    def frame(self, seq: int) -> bytes | None:
        """The bytes of the frame an event was read from; None without such an event or frame."""
        events, chunks = self._record.events, self._record.chunks
        if not 0 <= seq < len(events):
            return None
        self._sort()
        chunk = events.chunk[seq]
        nth = seq - bisect_left(events.chunk, chunk, 0, seq)
        row = self._record.calls[chunks.call[chunk]]
        given = self._nearby(row, chunk) if row.n not in self._wholes else None
        if given is not None and self._agrees(given, chunk, seq - nth):
            return next(frame.raw for frame, told in given for _ in told if (nth := nth - 1) < 0)
        return self._whole(row, chunk).frame(chunk, nth, events.kind[seq])

    def _sort(self) -> None:
        n_chunks = len(self._record.chunks)
        for number, call in enumerate(self._record.chunks.call[self._n_sorted : n_chunks], self._n_sorted):
            self._chunks_of.setdefault(call, array("q")).append(number)
        self._n_sorted = n_chunks

    def _nearby(self, row: CallRow, chunk: int) -> Given | None:
        """What a chunk gives behind the reply's head and the nearest end of a frame, as if nothing were between."""
        numbers = self._chunks_of[row.n]
        place = bisect_left(numbers, chunk)
        if place < HEAD_CHUNKS:
            return None
        reading, data = Framewise.of(row, self._provider), self._record.chunks.data
        head = [one for number in numbers[:HEAD_CHUNKS] for one in reading.take(data[number])]
        ends = _LINE_ENDS if any(frame.line is not None for frame, _ in head) else _BLOCK_ENDS
        places = range(HEAD_CHUNKS, place + 1)
        begin, start = (
            next((at for at in some if data[numbers[at - 1]].endswith(ends)), None)
            for some in (places[:_FARTHEST], places[: -_FARTHEST - 1 : -1])
        )
        if begin is None or start is None:
            return None
        for number in numbers[HEAD_CHUNKS:begin] + numbers[max(begin, start) : place]:
            reading.take(data[number])
        given = reading.take(data[chunk])
        behind = place + 1 == len(numbers) and len(given) < self._record.chunks.n_frames[chunk]
        return given + reading.end() if behind else given

    def _agrees(self, given: Given, chunk: int, first: int) -> bool:
        """Whether these are the chunk's frames and events, as far as the record has them by now."""
        events, chunks = self._record.events, self._record.chunks
        said = [(event.kind, event.text) for _, told in given for event in told]
        if (len(given), len(said)) != (chunks.n_frames[chunk], chunks.n_events[chunk]):
            return False
        recorded = zip(events.kind[first : first + len(said)], events.text[first : first + len(said)], strict=False)
        return all(one == other for one, other in zip(said, recorded, strict=False))

    def _whole(self, row: CallRow, chunk: int) -> _Whole:
        if row.n not in self._wholes:
            self._wholes[row.n] = _Whole(Framewise.of(row, self._provider))
        whole = self._wholes[row.n]
        for number in self._chunks_of[row.n][whole.n_chunks :]:
            if number > chunk:
                break
            whole.feed(number, self._record.chunks.data[number])
        return whole


class Framewise(Reading):
    """A reading that takes frame by frame what came together, so that each event's frame is known."""

    _given: Given

    @classmethod
    def of(cls, row: CallRow, provider: Provider) -> Framewise:
        """What reads the reply to a recorded call once more."""
        plain = reading_of(row, provider)
        return cls(plain.provider, plain.call, plain.head)

    def take(self, data: bytes) -> Given:
        """The frames that the next bytes of the body complete; none where the run ended for their length."""
        return self._told(lambda: self.feed(data))

    def end(self) -> Given:
        """The frames that the end of the body completes. Events that come from no frame are left out."""
        return self._told(self.close)

    def _told(self, read: Callable[[], Step]) -> Given:
        with contextlib.suppress(LimitError):
            read()
            return self._given
        return []

    def _step(self, frames: list[Frame]) -> Step:
        self._given = [(frame, super(Framewise, self)._step([frame]).events) for frame in frames]
        return Step(tuple(event for _, told in self._given for event in told), len(frames))


class _Whole:
    """The frames of one reply, and which events they gave: read again from its beginning, as far as somebody asked."""

    def __init__(self, reading: Framewise) -> None:
        self._reading = reading
        self._closed = False
        self._chunks: array[int] = array("q")
        self._before: array[int] = array("q")
        """Events of this reply before each of these chunks."""
        self._ends: array[int] = array("q")
        """Events of this reply up to the end of each frame."""
        self._raws: list[bytes] = []
        self._kinds: list[str] = []

    @property
    def n_chunks(self) -> int:
        """How many of its chunks were read again."""
        return len(self._chunks)

    def feed(self, chunk: int, data: bytes) -> None:
        """Take its next chunk, and the number that has in the run."""
        self._chunks.append(chunk)
        self._before.append(len(self._kinds))
        self._keep(self._reading.take(data), data)

    def _keep(self, given: Given, data: bytes = b"") -> None:
        for frame, told in given:
            self._raws.append(data if frame.raw == data else frame.raw)  # most chunks are one frame: kept once
            self._kinds += (event.kind for event in told)
            self._ends.append(len(self._kinds))

    def frame(self, chunk: int, nth: int, kind: str) -> bytes | None:
        """The bytes of the frame that gave an event: the nth that a chunk completed.

        The events behind those of the chunk's own bytes came with the end of the body. None where the kind says that
        they came from elsewhere: in a torn file, the end of one reply may stand behind a chunk of another.
        """
        place = bisect_left(self._chunks, chunk)
        at = self._before[place] + nth
        last = place + 1 == len(self._chunks)
        if last and at >= len(self._kinds) and not self._closed:
            self._closed = True
            self._keep(self._reading.end())
        if at >= (len(self._kinds) if last else self._before[place + 1]) or self._kinds[at] != kind:
            return None
        return self._raws[bisect_right(self._ends, at)]
