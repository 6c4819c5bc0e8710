"""Typed: from a reader's columns to pandas columns of the declared dtypes.

Knows numpy, pandas and the declared columns. Must not know: what any column means.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard

import numpy as np
import pandas as pd

from streamnb.columns import KERNEL, NONE, Few, Kernel, Numbers, Rare, Sparse, Texts
from streamnb.tables import arrow
from streamnb.tables.columns import COLUMNS

Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Bools: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

MISSING: Final = -1
"""Stands for "no value" in a reader's integer columns."""


def is_count(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a number of things that an Int64 column can hold; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def build(table: str, columns: Mapping[str, Any], *, copy: bool = True) -> pd.DataFrame:
    """A DataFrame with exactly the declared columns and dtypes of `table`.

    Args:
        table: a key of `COLUMNS`.
        columns: one array or list per declared column, all of one length; other keys are left out.
        copy: False when nobody else has the arrays, and no array is there twice: they are used in place.
    """
    typed = {name: _series(columns[name], dtype, copy) for name, dtype in COLUMNS[table].items()}
    return pd.DataFrame(typed, copy=False)


def _series(values: Any, dtype: str, copy: bool) -> pd.Series[Any]:
    if dtype != "string":
        return pd.Series(values, dtype=dtype, copy=copy)
    found = arrow.column(values) if arrow.THERE else None
    return pd.Series(values, dtype=_STRING) if found is None else pd.Series(found)


_STRING: Final = pd.StringDtype("python")
"""Python strings where pyarrow is not, or cannot: half a surrogate pair is a legal delta (R16)."""


def repeated(value: str, n: int) -> Any:
    """A string column of one value."""
    return arrow.repeated(value, n) if arrow.THERE else [value] * n


def snapshot(columns: object, *names: str) -> dict[str, Any]:
    """Copies of equal length of a record's columns: int64 arrays, string columns and lists.

    Each slice is one step under the interpreter lock. `np.frombuffer` on the live array would make the reader's next
    append raise BufferError, and columns of a run that still runs may differ in length by the row being written.
    Text that can no longer change is used in place.
    """
    live = {name: getattr(columns, name) for name in names}
    n = min(map(len, live.values()))
    return {name: _frozen(column, n) for name, column in live.items()}


def _frozen(column: Any, n: int) -> Any:
    match column:
        case array():
            return _int64(column[:n])
        case Sparse(others=array()) | Rare() | Kernel() | Numbers():
            return _integers(column, n)
        case Few() | Sparse() | Texts() if arrow.THERE:
            found = arrow.strings(column, n)
            return column[:n] if found is None else found
        case _:
            return column[:n]


def _integers(column: Sparse[int] | Rare | Kernel | Numbers, n: int) -> Ints:
    """The first `n` numbers of a column that is not an array; of `Sparse` for reading only."""
    match column:
        case Sparse(usual=usual, at=at):
            rows = _int64(at[:])
            rows = rows[rows < n]
            part = np.broadcast_to(np.int64(usual), n)  # takes no memory
            if rows.size:
                part = part.copy()
                part[rows] = _int64(column.others[: len(rows)])
            return part
        case Rare():
            part = np.full(n, NONE, dtype="int64")
            known = [(row, value) for row, value in list(column.known.items()) if row < n]
            part[[row for row, _ in known]] = [value for _, value in known]
            return part
        case Kernel(source=source):
            code = source.known.index(KERNEL) if KERNEL in source.known else NONE
            return np.where(np.asarray(source.codes[:n]) == code, _int64(column.t_ns[:n]), NONE)
        case _:
            values: Ints = np.array(column.known, dtype="int64")
            picked: Ints = values[np.asarray(column.codes[:n])]
            return picked


def _int64(values: array[int]) -> Ints:
    return np.asarray(values).astype("int64", copy=False)


def nullable(values: Ints) -> pd.arrays.IntegerArray:
    """Int64 from int64 in which a negative number stands for missing."""
    return pd.arrays.IntegerArray(values, values < 0)


def since(t_ns: Ints, t0_ns: int | None) -> Floats:
    """Seconds since t0; the integers are subtracted first, so nothing is lost after months of uptime."""
    return np.full(len(t_ns), np.nan) if t0_ns is None else (t_ns - t0_ns) / 1e9


def seconds(t_ns: int | None, t0_ns: int | None) -> float:
    """The same for one stamp; NaN when either is missing."""
    return np.nan if t_ns is None or t0_ns is None else (t_ns - t0_ns) / 1e9


def moment(wall_ns: int) -> pd.Timestamp:
    """A wall clock reading (ns since 1970 UTC), to the nanosecond."""
    return pd.Timestamp(wall_ns, unit="ns", tz="UTC")


def wall_clock(ms: Ints) -> pd.DatetimeIndex:
    """Wall clock readings (ms since 1970 UTC); a negative number, or one beyond what ns can count, is missing."""
    known = (ms >= 0) & (ms < _LAST_MS)
    if not known.any():
        return pd.DatetimeIndex(np.full(len(ms), _NAT).view("datetime64[ns]"), tz="UTC")
    return pd.DatetimeIndex(np.where(known, ms * known * 1_000_000, _NAT).view("datetime64[ns]"), tz="UTC")


_LAST_MS: Final = (2**63 - 1) // 1_000_000
_NAT: Final = np.iinfo("int64").min


def inferred(values: list[Any]) -> Any:
    """A column of JSON values in the dtype that loses nothing: whole numbers stay whole beside missing ones."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds == {float}:
        return pd.array(values, dtype="float64")
    return pd.Series(values, dtype=_STRING if kinds == {str} else object)
