"""The columns of one run: a row per read and a row per event, appended as they come, a few bytes each.

Knows arrays and events. Must not know: pandas, sockets, journals, clocks.
"""

from __future__ import annotations

import abc
import json
from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence, Sized
from itertools import pairwise
from typing import Any, Final, TypeVar, overload

from streamnb.events import Choice, Event

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)

BLOCK_ROWS: Final = 65_536
"""Rows of a sealed block of text; a sealed block never changes again, so that a table may use its bytes in place."""

NONE: Final = -1
"""Stands for no value in a column of integers."""

KERNEL: Final = "kernel"
"""The source of a stamp that the kernel took."""

_BEYOND: Final = 1 << 63
_AT_ONCE: Final = 4096
_WIDE: Final = 256


class Column(Sequence[T], abc.ABC):
    """A sequence that one thread appends to while others read; what it has below its length never changes.

    Equal to any sequence of the same items. A slice is a list.
    """

    __hash__ = None  # type: ignore[assignment]  # it grows

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def _items(self, start: int, stop: int) -> list[T]:
        """The items from `start` to `stop`, which are there."""

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        size = len(self)
        if isinstance(at, slice):
            start, stop, step = at.indices(size)
            if step == 1:
                return self._items(start, max(start, stop))
            return self._items(0, size)[at]
        place = at + size if at < 0 else at
        if not 0 <= place < size:
            raise IndexError(at)
        return self._item(place)

    def _item(self, place: int) -> T:
        return self._items(place, place + 1)[0]

    def __iter__(self) -> Iterator[T]:
        start = 0
        while found := self._items(start, min(start + _AT_ONCE, len(self))):
            yield from found
            start += len(found)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == its for one, its in zip(self, other, strict=False))

    def __repr__(self) -> str:
        return repr(self[:])


class Few(Column[H]):
    """Items of which few are different: a code of one byte each, as long as there are no more than 256.

    Attributes:
        codes: one per row.
        known: what they stand for.
    """

    def __init__(self) -> None:
        self.codes = array("B")
        self.known: list[H] = []
        self._code: dict[H, int] = {}

    def __len__(self) -> int:
        return len(self.codes)

    def append(self, value: H) -> None:
        """One more row."""
        code = self._code.get(value)
        if code is None:
            code = self._new(value)
        self.codes.append(code)

    def _new(self, value: H) -> int:
        code = self._code[value] = len(self.known)
        self.known.append(value)
        if code == _WIDE:
            self.codes = array("I", self.codes)  # who reads the old one reads the same rows
        return code

    def _item(self, place: int) -> H:
        return self.known[self.codes[place]]

    def _items(self, start: int, stop: int) -> list[H]:
        return list(map(self.known.__getitem__, self.codes[start:stop]))


class Numbers(Few[int]):
    """Integers of which few are different."""


class Texts(Column[str]):
    """Texts as Arrow lays them out: UTF-8 in one buffer, and where each text ends in it; in blocks of `BLOCK_ROWS`.

    Attributes:
        blocks: (UTF-8, ends of the rows behind a 0) of each block. Only the last one still grows, and its buffers must
            not be exported: an append to an exported buffer raises BufferError.
        odd: texts with half a surrogate pair, by row: no UTF-8 has them, so their rows are empty in the blocks.
    """

    def __init__(self) -> None:
        self.blocks: list[tuple[bytearray, array[int]]] = []
        self.odd: dict[int, str] = {}
        self._seal()

    def _seal(self) -> None:
        self._data, self._ends = bytearray(), array("q", [0])
        self.blocks.append((self._data, self._ends))

    def __len__(self) -> int:
        n = len(self.blocks)
        return (n - 1) * BLOCK_ROWS + len(self.blocks[n - 1][1]) - 1

    def append(self, text: str) -> None:
        """One more row."""
        try:
            self._data += text.encode()
        except UnicodeEncodeError:
            self.odd[len(self)] = text
        ends = self._ends
        ends.append(len(self._data))
        if len(ends) > BLOCK_ROWS:
            self._seal()

    def _item(self, place: int) -> str:
        block, row = divmod(place, BLOCK_ROWS)
        data, ends = self.blocks[block]
        return self.odd[place] if place in self.odd else data[ends[row] : ends[row + 1]].decode()

    def _items(self, start: int, stop: int) -> list[str]:
        found: list[str] = []
        for block in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
            data, ends = self.blocks[block]
            first = block * BLOCK_ROWS
            places = ends[max(0, start - first) : stop - first + 1]
            begin = places[0]
            piece = bytes(data[begin : places[-1]])
            if piece.isascii():
                text = piece.decode()
                found += [text[one - begin : other - begin] for one, other in pairwise(places)]
            else:
                found += [piece[one - begin : other - begin].decode() for one, other in pairwise(places)]
        for row in range(start, stop) if self.odd else ():  # over the rows: the dict may grow meanwhile
            found[row - start] = self.odd.get(row, found[row - start])
        return found


class Sparse(Column[T]):
    """Items of which most are the same one: only the others take room.

    Args:
        rows: what counts the rows.
        usual: the item of the rows that were not put.
        others: an empty column for the others.

    Attributes:
        at: the rows of the others, ascending.
        others: their items.
    """

    def __init__(self, rows: Sized, usual: T, others: Any) -> None:
        self.at = array("q")
        self.others = others
        self.usual = usual
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: int, value: T) -> None:
        """The next row that differs; before the row counts."""
        self.others.append(value)
        self.at.append(row)

    def _items(self, start: int, stop: int) -> list[T]:
        found = [self.usual] * (stop - start)
        first = bisect_left(self.at, start)
        last = bisect_left(self.at, stop, first)
        for row, value in zip(self.at[first:last], self.others[first:last], strict=True):
            found[row - start] = value
        return found


class Rare(Column[int]):
    """Integers of which nearly all are missing (-1).

    Args:
        rows: what counts the rows.

    Attributes:
        known: the others, by row.
    """

    def __init__(self, rows: Sized) -> None:
        self.known: dict[int, int] = {}
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __setitem__(self, row: int, value: int) -> None:
        self.known[row] = value

    def _items(self, start: int, stop: int) -> list[int]:
        return [self.known.get(row, NONE) for row in range(start, stop)]


class Kernel(Column[int]):
    """The kernel's stamps: those stamps whose source is the kernel, else -1. They take no room of their own."""

    def __init__(self, t_ns: array[int], source: Few[str]) -> None:
        self.t_ns = t_ns
        self.source = source

    def __len__(self) -> int:
        return min(len(self.t_ns), len(self.source))

    def _items(self, start: int, stop: int) -> list[int]:
        stamps = zip(self.t_ns[start:stop], self.source[start:stop], strict=True)
        return [t_ns if source == KERNEL else NONE for t_ns, source in stamps]


class ChunkColumns:
    """One row per read; position is `seq`. -1 stands for a missing stamp of the server or the kernel.

    `t_ns` is the best stamp there is: the kernel's where it gave one, else that of this process, `read_ns`.
    Rows are only appended, and what was read of them stays true: another thread may look at any row below `len`.
    """

    def __init__(self) -> None:
        self.call = Numbers()
        self.t_ns = array("q")
        self.read_ns = array("q")
        self.wire_bytes = array("q")
        self.n_frames = array("i")
        self.n_events = array("i")
        self.data: list[bytes] = []
        self.stamp_source: Few[str] = Few()
        self.kernel_ns = Kernel(self.t_ns, self.stamp_source)
        self.server_t_ns = Rare(self.n_events)

    def __len__(self) -> int:
        return len(self.n_events)  # written last: a row that counts is whole


class EventColumns:
    """One row per event; position is `seq`. -1 stands for no choice index and for no server time.

    Attributes:
        choices: what the platform offered to answer with, by the number of the event.
    """

    def __init__(self) -> None:
        self.chunk = array("i")
        self.kind: Few[str] = Few()
        self.text = Texts()
        self.choice = Numbers()
        self.name: Sparse[str | None] = Sparse(self.chunk, None, Texts())
        self.id: Sparse[str | None] = Sparse(self.chunk, None, Texts())
        self.data: Sparse[str | None] = Sparse(self.chunk, None, Texts())
        self.flags: Sparse[str] = Sparse(self.chunk, "", Few[str]())
        self.server_ms: Sparse[int] = Sparse(self.chunk, NONE, array("q"))
        self.choices: dict[int, tuple[Choice, ...]] = {}

    def __len__(self) -> int:
        return len(self.chunk)  # written last, as in the other columns

    def append(self, chunk: int, event: Event) -> None:
        """One more event, of the chunk of that number; its data as JSON text."""
        row = len(self.chunk)
        if event.data is not None:
            self.data.put(row, json.dumps(event.data))
        if event.name is not None:
            self.name.put(row, _well_formed(event.name))
        if event.id is not None:
            self.id.put(row, _well_formed(event.id))
        if event.flags:
            self.flags.put(row, " ".join(sorted(event.flags)))
        if event.server_ms is not None:
            self.server_ms.put(row, _number(event.server_ms))
        self.choice.append(_number(event.choice))
        self.kind.append(event.kind)
        self.text.append(event.text)
        self.chunk.append(chunk)
        if event.choices:  # a row that has some is there
            self.choices[row] = event.choices


def _number(value: int | None) -> int:
    """What a column can hold: a server may write any number."""
    return NONE if value is None or not 0 <= value < _BEYOND else value


def _well_formed(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
