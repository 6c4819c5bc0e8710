"""One table to JSON Lines and back: one object a row, ASCII, nothing needed to read it.

Knows JSON and how values are written in it. Must not know: directories, what any column means.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pandas as pd

from streamnb.errors import TranscriptError, UsageError
from streamnb.exchange._files import check_size
from streamnb.exchange._shape import MAX_ROWS, Column, Shape, declared, is_missing, read
from streamnb.exchange._text import escape, has_half, json_text, unescape
from streamnb.tables import COLUMNS
from streamnb.transcript import readable, unreadable
from streamnb.transcript._lines import is_int

MAX_LINE: Final = 256 << 20
"""Longest line written or read, in bytes: an event may be several times longer in ASCII."""

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_BEYOND: Final = ("inf", "-inf")  # JSON has no infinity
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?\+00:00")  # pandas would read "now", too


# -- writing ----------------------------------------------------------------------------------------------------------


def write(shape: Shape, frame: pd.DataFrame, file: IO[bytes]) -> None:
    """Write a table, one line per row; a key that is left out is a missing value.

    Raises:
        UsageError: a value is none that a file keeps, or a row is too long.
    """
    keys = [_dumps(escape(column.name)) for column in shape.columns]
    cells = [_cells(shape.table, column, frame.iloc[:, n]) for n, column in enumerate(shape.columns)]
    for n in range(shape.n_rows):
        said = (f"{key}:{column[n]}" for key, column in zip(keys, cells, strict=True) if column[n] is not None)
        line = f"{{{','.join(said)}}}\n".encode("ascii")
        if len(line) > MAX_LINE:
            raise UsageError(f"{shape.table}: row {n} is longer than a line may be ({MAX_LINE} bytes).")
        file.write(line)


def write_description(shape: Shape, file: IO[bytes]) -> None:
    """Write what no row says of a table of the user's own: its columns and their dtypes."""
    file.write(_dumps(shape.described()).encode("ascii") + b"\n")


def _cells(table: str, column: Column, series: pd.Series[Any]) -> list[str | None]:
    if column.kind == "json":
        return [_json_cell(table, column, value) for value in series]
    write_one = _WRITERS[column.kind]
    missing = series.isna().tolist()
    return ["null" if gone else write_one(value) for value, gone in zip(series.tolist(), missing, strict=True)]


def _json_cell(table: str, column: Column, value: Any) -> str | None:
    if is_missing(value):
        return "null" if value is None else None
    try:
        text = json_text(value)
    except ValueError as error:
        raise UsageError(f"{table}: column {column.name!r} holds what is no JSON value: {error}.") from error
    return _escaped(text) if has_half(text) or _looks_escaped(value) else _dumps(value)


def _looks_escaped(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["escaped"]


def _escaped(text: str) -> str:  # half a character as JSON writes it makes strict readers refuse the file
    return _dumps({"escaped": escape(text)})


def _text(value: str) -> str:
    return _escaped(value) if has_half(value) else _dumps(value)


def _float(value: float) -> str:
    return _dumps(value if math.isfinite(value) else str(value))


_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "bool": _dumps,
    "int": _dumps,
    "float": _float,
    "moment": lambda value: _dumps(value.isoformat()),
    "text": _text,
    "bytes": lambda value: _dumps(readable(value)),
}


# -- reading ----------------------------------------------------------------------------------------------------------


def read_table(table: str, path: Path, description: Path) -> pd.DataFrame:
    """Read a table.

    Args:
        table: its name.
        path: its rows.
        description: what `write_description` wrote, for a table of the user's own.

    Raises:
        TranscriptError: it is not what `write` wrote; the message names file, line and column.
    """
    shape = declared(table) if table in COLUMNS else _described(table, description)
    try:
        check_size(path)
        with path.open("rb") as file:
            values, n_rows = _columns(shape, file)
    except OSError as error:
        raise TranscriptError(f"{path}: {error.strerror}") from error
    except TranscriptError as error:
        raise TranscriptError(f"{path}: {error}") from None
    return shape.frame([column.series(one) for column, one in zip(shape.columns, values, strict=True)], n_rows)


def _described(table: str, path: Path) -> Shape:
    try:
        check_size(path)
        return read(table, json.loads(path.read_bytes()))
    except OSError as error:
        raise TranscriptError(f"{path}, which describes its columns: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise TranscriptError(f"{path}: this is not JSON.") from None
    except TranscriptError as error:
        raise TranscriptError(f"{path}: {error}") from None


def _columns(shape: Shape, file: IO[bytes]) -> tuple[list[list[Any]], int]:
    """The values of each column, and the number of rows."""
    columns = {escape(column.name): column for column in shape.columns}
    values: list[list[Any]] = [[] for _ in columns]
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        try:
            fields = _fields(line, columns, number)
            for (key, column), one in zip(columns.items(), values, strict=True):
                one.append(None if key not in fields and shape.may_lack(column) else _value(column, fields, key))
        except TranscriptError as error:
            raise TranscriptError(f"line {number}: {error}") from None
    return values, number


def _fields(line: bytes, columns: Mapping[str, Column], number: int) -> dict[str, Any]:
    if not line.endswith(b"\n") or number > MAX_ROWS:
        raise TranscriptError("it is torn (no line end), too long, or one too many.")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise TranscriptError("this is not a whole line of JSON.") from None
    if not isinstance(fields, dict):
        raise TranscriptError("this is JSON, but no row of a table.")
    for key in fields:
        if key not in columns:
            raise TranscriptError(f"column {key!r} does not belong to this table.")
    return fields


def _value(column: Column, fields: Mapping[str, Any], key: str) -> Any:
    if key not in fields and column.kind != "json":
        raise TranscriptError(f"it has no column {key!r}.")
    value = fields.get(key, np.nan)
    if value is None and column.nullable:
        return None
    try:
        return _READERS[column.kind](column, value)
    except (TypeError, ValueError, RecursionError):
        raise TranscriptError(f"the value of column {key!r} is not {column.dtype}.") from None


def _check(fits: bool, value: Any) -> Any:
    if not fits:
        raise ValueError
    return value


def _read_text(_: Column, value: Any) -> Any:
    match value:
        case {"escaped": str(text)}:
            return unescape(text)
        case _:
            return _check(isinstance(value, str), value)


def _read_json(_: Column, value: Any) -> Any:
    return (
        json.loads(unescape(_check(isinstance(value["escaped"], str), value["escaped"])))
        if _looks_escaped(value)
        else value
    )


def _read_int(column: Column, value: Any) -> Any:
    fits = is_int(value) if column.dtype != "uint64" else type(value) is int and 0 <= value < 1 << 64
    return _check(fits, value)


def _read_moment(_: Column, value: Any) -> Any:
    return pd.Timestamp(_check(isinstance(value, str) and _MOMENT.fullmatch(value) is not None, value)).as_unit("ns")


_READERS: Final[Mapping[str, Callable[[Column, Any], Any]]] = {
    "bool": lambda _, value: _check(isinstance(value, bool), value),
    "int": _read_int,
    "float": lambda _, value: float(_check(is_int(value) or isinstance(value, float) or value in _BEYOND, value)),
    "moment": _read_moment,
    "text": _read_text,
    "bytes": lambda _, value: unreadable(value),
    "json": _read_json,
}
