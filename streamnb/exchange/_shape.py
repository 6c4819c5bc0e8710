"""Shape: a table's columns with what a file must know of each to bring it back equal.

Knows pandas dtypes and the declared tables. Must not know: files, formats, what any column means.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from streamnb.errors import TranscriptError, UsageError
from streamnb.exchange._text import escape, unescape
from streamnb.tables import COLUMNS, build

MAX_ROWS: Final = 50_000_000
"""Most rows a table is written or read with."""

_KINDS: Final = {
    "bool": "bool",
    "boolean": "bool",
    "int64": "int",
    "uint64": "int",
    "Int64": "int",
    "float64": "float",
    "datetime64[ns, UTC]": "moment",
    "string": "text",
    "string[python]": "text",
    "str": "text",
    "str[python]": "text",
}
_OF_PANDAS_3: Final[Mapping[str, Callable[[], Any]]] = {
    "str": lambda: "str",
    "str[python]": lambda: pd.StringDtype("python", na_value=np.nan),
}
_OF_OBJECTS: Final = frozenset({"text", "bytes", "json"})
_MISSING: Final = {"None": None, "nan": np.nan}


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        dtype: its pandas dtype; text whose storage is Python's says so, other text takes the storage pandas prefers.
        kind: what its values are: bool, int, float, moment, text, bytes or json.
        missing: what a missing text or bytes value is where the dtype leaves it open: None or nan.
    """

    name: str
    dtype: str
    kind: str
    missing: str = "None"

    @property
    def nullable(self) -> bool:
        """Whether a value may be missing."""
        return self.dtype not in {"bool", "int64", "uint64"}

    def series(self, values: Any) -> pd.Series[Any]:
        """The column from an array or a list of values; None is missing (in JSON: null, and NaN is missing)."""
        if self.missing == "nan":
            values = [np.nan if value is None else value for value in values]
        made: pd.Series[Any] = pd.Series(values, dtype=_dtype(self.dtype))
        return made


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """The columns of one table, in order.

    Attributes:
        declared: it is a table of `streamnb.tables.COLUMNS`.
        labels: dtype of the names of its columns.
        n_rows: number of rows.
    """

    table: str
    columns: tuple[Column, ...]
    declared: bool
    labels: str = "object"
    n_rows: int = 0

    def may_lack(self, column: Column) -> bool:
        """Whether a file may be without it: an earlier version wrote it, before the table had this column."""
        return self.declared and column.nullable

    def frame(self, data: Sequence[Any], n_rows: int) -> pd.DataFrame:
        """The table from its columns' series."""
        if self.declared:
            return build(self.table, dict(zip(COLUMNS[self.table], data, strict=True)))
        made = pd.DataFrame(dict(enumerate(data)), index=pd.RangeIndex(n_rows))
        made.columns = pd.Index([column.name for column in self.columns], dtype=_dtype(self.labels))
        return made

    def described(self) -> dict[str, Any]:
        """What a file has to say of it, as JSON values; `read` undoes it."""
        fields: dict[str, Any] = {"format": 1, "table": self.table, "rows": self.n_rows}
        if not self.declared:
            rows = [[escape(one.name), one.dtype, one.kind, one.missing] for one in self.columns]
            fields |= {"labels": self.labels, "columns": rows}
        return fields


def declared(table: str) -> Shape:
    """The shape of a table of `streamnb.tables.COLUMNS`."""
    columns = []
    for name, dtype in COLUMNS[table].items():
        said = "string[python]" if dtype == "string" else dtype
        columns.append(Column(name, said, _KINDS.get(said, "bytes")))
    return Shape(table, tuple(columns), declared=True)


def examined(table: str, frame: pd.DataFrame) -> Shape:
    """The shape of a table that is to be written.

    Raises:
        UsageError: its name is no file's, or something in it would not come back as it is.
    """
    check_name(table)
    if len(frame) > MAX_ROWS:
        raise UsageError(f"{table} has {len(frame)} rows; at most {MAX_ROWS} are written.")
    if not frame.index.equals(pd.RangeIndex(len(frame))) or [*frame.index.names, *frame.columns.names] != [None, None]:
        raise UsageError(f"{table} has an index of its own, which no file keeps: write {table}.reset_index(drop=True).")
    if table in COLUMNS:
        _check_declared(table, frame)
        return dataclasses.replace(declared(table), n_rows=len(frame))
    names = list(frame.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UsageError(f"{table}: the names of its columns must be texts, each once.")
    columns = tuple(_examined_column(table, name, frame.iloc[:, n]) for n, name in enumerate(names))
    return Shape(table, columns, declared=False, labels=_said(frame.columns.dtype), n_rows=len(frame))


def check_name(table: str, of: str = "") -> None:
    """Refuse what could name a file elsewhere, or the same file as another name."""
    if not (table.isascii() and table.isidentifier() and table == table.lower()):
        raise UsageError(f"{of}{table!r} is no name of a table: small letters, digits and _ only.")


def _check_declared(table: str, frame: pd.DataFrame) -> None:
    has, wanted = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}, COLUMNS[table]
    odd = sorted(name for name in {*has, *wanted} if has.get(name) != wanted.get(name))
    if not odd and list(frame) != list(wanted):
        odd = ["their order"]
    odd = odd or [name for name, dtype in wanted.items() if dtype == "object" and not _is_bytes(frame[name])]
    if odd:
        raise UsageError(f"{table} is not as it is declared ({', '.join(odd)}): write it under a name of your own.")


def _is_bytes(series: pd.Series[Any]) -> bool:
    return all(type(value) is bytes or value is None for value in series)


def _examined_column(table: str, name: str, series: pd.Series[Any]) -> Column:
    dtype = _said(series.dtype)
    if dtype in _KINDS:
        return Column(name, dtype, _KINDS[dtype], "nan" if dtype in _OF_PANDAS_3 else "None")
    if dtype != "object":
        raise UsageError(f"{table}: column {name!r} is {dtype}, which no file keeps: write it with another dtype.")
    gaps = {str(value) for value in series if is_missing(value)}
    types = {type(value) for value in series if not is_missing(value)}
    if len(gaps) < len(_MISSING) and types in ({str}, {bytes}):
        return Column(name, dtype, "text" if str in types else "bytes", *gaps)
    return Column(name, dtype, "json")


def is_missing(value: Any) -> bool:
    """Whether it is None or NaN; unlike pd.isna it asks lists for nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _said(dtype: Any) -> str:
    if isinstance(dtype, pd.StringDtype) and dtype.storage == "python":
        return f"{dtype}[python]"
    return str(dtype)


def _dtype(said: str) -> Any:
    if said == "string[python]":
        return pd.StringDtype("python")
    if said not in _OF_PANDAS_3:
        return said
    is_there = isinstance(pd.api.types.pandas_dtype("str"), pd.StringDtype)
    return _OF_PANDAS_3[said]() if is_there else "object"


def read(table: str, fields: Any) -> Shape:
    """What `Shape.described` said of it, checked: the file may have come from anywhere.

    Raises:
        TranscriptError: nothing of ours says that.
    """
    match fields:
        case {"format": 1, "table": str(name), "rows": int(n_rows)} if name == table and 0 <= n_rows <= MAX_ROWS:
            if table in COLUMNS:
                return dataclasses.replace(declared(table), n_rows=n_rows)
            return _read_columns(table, fields, n_rows)
        case {"format": int(later)} if later > 1:
            raise TranscriptError(f"format {later} is newer than this streamnb reads (1): upgrade streamnb.")
        case _:
            raise TranscriptError(f"it does not say that it is the table {table!r} as streamnb writes it.")


def _read_columns(table: str, fields: Mapping[str, Any], n_rows: int) -> Shape:
    match fields:
        case {"labels": str(labels), "columns": list(rows)} if _is_label(labels, rows):
            columns = tuple(map(_read_column, rows))
        case _:
            raise TranscriptError("its columns are not described as streamnb does it.")
    if len({column.name for column in columns}) < len(columns):
        raise TranscriptError("a column is described twice.")
    return Shape(table, columns, declared=False, labels=labels, n_rows=n_rows)


def _is_label(labels: str, rows: Iterable[Any]) -> bool:
    return labels == "object" or _KINDS.get(labels) == "text" or (labels == "int64" and not rows)


def _read_column(row: Any) -> Column:
    match row:
        case [str(name), str(dtype), str(kind), str(missing)] if missing in _MISSING and (
            _KINDS.get(dtype) == kind or (dtype == "object" and kind in _OF_OBJECTS)
        ):
            return Column(unescape(name), dtype, kind, missing)
        case _:
            raise TranscriptError(f"this column is not described as streamnb does it: {str(row)[:80]}")
