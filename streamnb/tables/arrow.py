"""Arrow: a record's texts as pandas string columns, used in place where they can no longer change.

Knows pyarrow (where it is installed), pandas and a record's columns. Must not know: tables, what a column means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.columns import BLOCK_ROWS, Few, Sparse, Texts

try:
    import pyarrow as pa  # type: ignore[import-untyped]

    pd.StringDtype("pyarrow")  # it may be too old for this pandas
except ImportError:
    pa = None

THERE: Final = pa is not None


def column(values: Any) -> Any:
    """A string column of these values on Arrow memory; None where UTF-8 cannot have one, or one is no string."""
    if isinstance(values, pd.arrays.ArrowStringArray):
        return values
    try:
        return _column([pa.array(values, pa.large_string(), from_pandas=True)])
    except (UnicodeEncodeError, pa.ArrowInvalid, pa.ArrowTypeError):
        return None


def repeated(value: str | None, n: int) -> pd.arrays.ArrowStringArray:
    """A string column of one value, in the memory of one block."""
    return _column(_Same(value, n).parts(n))


def strings(column: Few[str] | Sparse[str | None] | Texts, n: int) -> pd.arrays.ArrowStringArray | None:
    """The first `n` items as a string column; None where UTF-8 cannot have one of them (half a surrogate pair)."""
    try:
        match column:
            case Texts():
                return None if column.odd else _column(_texts(column, n))
            case Few():
                return _column(_few(column, n))
            case _:
                return _column(_sparse(column, n))
    except UnicodeEncodeError:
        return None


def _column(parts: list[Any]) -> pd.arrays.ArrowStringArray:
    return pd.arrays.ArrowStringArray(pa.chunked_array(parts, type=pa.large_string()))


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n, BLOCK_ROWS):
        yield start, min(start + BLOCK_ROWS, n)


class _Same:
    """Parts that are the same value again and again, all in the memory of the first."""

    def __init__(self, value: str | None, n: int) -> None:
        scalar, size = pa.scalar(value, pa.large_string()), min(n, BLOCK_ROWS)
        self._block = pa.nulls(size, scalar.type) if value is None else pa.repeat(scalar, size)

    def part(self, rows: int) -> Any:
        return self._block.slice(0, rows)

    def parts(self, n: int) -> list[Any]:
        return [self.part(stop - start) for start, stop in _blocks(n)]


def _texts(column: Texts, n: int) -> list[Any]:
    parts = []
    for (start, stop), (data, ends) in zip(_blocks(n), column.blocks, strict=False):
        rows = stop - start
        if rows < BLOCK_ROWS:  # it may still grow: a copy, because an append to an exported buffer raises BufferError
            ends = ends[: rows + 1]  # noqa: PLW2901
            data = data[: ends[-1]]  # noqa: PLW2901
        parts.append(pa.LargeStringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(data)))
    return parts


def _few(column: Few[str], n: int) -> list[Any]:
    parts: list[Any] = []
    same: dict[int, _Same] = {}
    known = pa.array(column.known, pa.large_string())
    for start, stop in _blocks(n):
        codes = np.asarray(column.codes[start:stop])
        if (codes == codes[0]).all():
            code = int(codes[0])
            same[code] = same.get(code) or _Same(column.known[code], n)
            parts.append(same[code].part(stop - start))
        else:
            parts.append(known.take(pa.array(codes)))
    return parts


def _sparse(column: Sparse[str | None], n: int) -> list[Any]:
    same = _Same(column.usual, n)
    return [
        same.part(stop - start)
        if bisect_left(column.at, start) == bisect_left(column.at, stop)
        else pa.array(column[start:stop], pa.large_string())
        for start, stop in _blocks(n)
    ]
