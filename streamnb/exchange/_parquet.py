"""One table to a Parquet file and back, with pyarrow.

Knows Arrow's types. Must not know: directories, what any column means.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pandas as pd

from streamnb.errors import TranscriptError, UsageError
from streamnb.exchange._files import MAX_BYTES, check_size
from streamnb.exchange._shape import MAX_ROWS, Column, Shape, is_missing, read
from streamnb.exchange._text import escape, json_text, unescape

_KEY: Final = b"streamnb"
_SAFE: Final = (14, 0, 1)  # before it, reading a file could run code (CVE-2023-47248)
_ROWS_OF_A_GROUP: Final = 100_000
_NEEDED: Final = 'Parquet needs pyarrow: pip install "streamnb[parquet]"; JSON Lines (to_jsonl) needs nothing.'


class Arrow:
    """pyarrow, or an error that says how to get it.

    Raises:
        UsageError: it is not installed, or too old to be safe.
    """

    def __init__(self) -> None:
        try:
            self.pa: Any = importlib.import_module("pyarrow")
            self.pq: Any = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise UsageError(_NEEDED) from None
        if tuple(map(int, re.findall(r"\d+", self.pa.__version__)[:3])) < _SAFE:
            raise UsageError(
                f"pyarrow {self.pa.__version__} is not safe to read files with (CVE-2023-47248). {_NEEDED}"
            )

    def type_of(self, column: Column) -> Any:
        """The type of a column in the file."""
        pa = self.pa
        match column.kind:
            case "bool":
                return pa.bool_()
            case "int":
                return pa.uint64() if column.dtype == "uint64" else pa.int64()
            case "float":
                return pa.float64()
            case "moment":
                return pa.timestamp("ns", "UTC")
            case "bytes":
                return pa.binary()
            case _:
                return pa.string()

    # -- writing --------------------------------------------------------------------------------------------------

    def write(self, shape: Shape, frame: pd.DataFrame, file: IO[bytes]) -> None:
        """Write a table, zstd inside, with a checksum on each page.

        Raises:
            UsageError: a value is none that a file keeps.
        """
        arrays, escaped = [], []
        for n, column in enumerate(shape.columns):
            array, halves = self._array(shape.table, column, frame.iloc[:, n])
            arrays.append(array)
            if halves:
                escaped.append(escape(column.name))
        mark = json.dumps({**shape.described(), "escaped": escaped}).encode()
        fields = [self.pa.field(escape(one.name), self.type_of(one), one.nullable) for one in shape.columns]
        table = self.pa.Table.from_arrays(arrays, schema=self.pa.schema(fields, {_KEY: mark}))
        self.pq.write_table(
            table, file, compression="zstd", row_group_size=_ROWS_OF_A_GROUP, write_page_checksum=True, version="2.6"
        )

    def _array(self, table: str, column: Column, series: pd.Series[Any]) -> tuple[Any, bool]:
        kind = self.type_of(column)
        if column.kind == "json":
            values: Any = [_json_cell(table, column, value) for value in series]
        elif column.kind == "text":
            values = series.to_numpy(object)
        else:
            return self.pa.array(series, kind, from_pandas=True), False
        try:
            return self.pa.array(values, kind, from_pandas=True), False
        except UnicodeEncodeError:  # half a surrogate pair: legal in JSON, but not in UTF-8
            texts = [escape(value) if isinstance(value, str) else None for value in values]
            return self.pa.array(texts, kind), True

    # -- reading --------------------------------------------------------------------------------------------------

    def read(self, table: str, path: Path) -> pd.DataFrame:
        """Read a table.

        Raises:
            TranscriptError: it is not what `write` wrote; the message names file and column.
        """
        try:
            check_size(path)
            with path.open("rb") as file:
                return self._read(table, file)
        except (OSError, UnicodeError, self.pa.ArrowException) as error:
            raise TranscriptError(f"{path}: {str(error).partition(chr(10))[0]}") from error
        except TranscriptError as error:
            raise TranscriptError(f"{path}: {error}") from None

    def _read(self, table: str, file: IO[bytes]) -> pd.DataFrame:
        shape, escaped, kept = self._inspect(table, self.pq.ParquetFile(file))
        file.seek(0)
        # Texts stay in their dictionary: a small file of one long text a million times over takes little memory.
        opened = self.pq.ParquetFile(file, read_dictionary=kept, page_checksum_verification=True)
        data = opened.read()
        data.validate(full=True)  # Arrow itself trusts a file's indices and offsets
        found = [
            self._series(column, data.column(name), escaped)
            if (name := escape(column.name)) in data.column_names
            else column.series([None] * data.num_rows)
            for column in shape.columns
        ]
        return shape.frame(found, data.num_rows if shape.columns else shape.n_rows)

    def _inspect(self, table: str, opened: Any) -> tuple[Shape, list[str], list[str]]:
        """What the footer says, checked before anything else is read."""
        schema, footer = opened.schema_arrow, opened.metadata
        mark = _mark((schema.metadata or {}).get(_KEY))
        shape = read(table, mark)
        wanted = {escape(one.name): str(self.type_of(one)) for one in shape.columns}
        _check_columns(wanted, schema, {escape(column.name) for column in shape.columns if shape.may_lack(column)})
        n_bytes = sum(footer.row_group(n).total_byte_size for n in range(footer.num_row_groups))
        if footer.num_rows > MAX_ROWS or n_bytes > MAX_BYTES:
            raise TranscriptError(f"{footer.num_rows} rows of {n_bytes} bytes are more than such a file may hold.")
        texts = [escape(one.name) for one in shape.columns if one.kind in {"text", "bytes", "json"}]
        kept = [name for name in texts if name in schema.names]
        escaped = mark.get("escaped")
        if not isinstance(escaped, list) or any(name not in kept for name in escaped):
            raise TranscriptError("what streamnb wrote about it is damaged.")
        return shape, escaped, kept

    def _series(self, column: Column, found: Any, escaped: list[str]) -> pd.Series[Any]:
        if found.null_count and not column.nullable:
            raise TranscriptError(f"a value of column {column.name!r} is missing.")
        if column.kind in {"text", "bytes", "json"}:
            return column.series(_objects(column, found, escape(column.name) in escaped))
        dtype = pd.api.types.pandas_dtype(column.dtype)
        extension = pd.api.types.is_extension_array_dtype(dtype)
        return column.series(found.to_pandas(types_mapper=(lambda _: dtype) if extension else None))


def _json_cell(table: str, column: Column, value: Any) -> str | None:
    if is_missing(value) and value is not None:
        return None
    try:
        return json_text(value)
    except ValueError as error:
        raise UsageError(f"{table}: column {column.name!r} holds what is no JSON value: {error}.") from error


def _mark(said: bytes | None) -> Any:
    if said is None:
        raise TranscriptError("it was not written by streamnb.")
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        raise TranscriptError("what streamnb wrote about it is damaged.") from None


def _check_columns(wanted: dict[str, str], schema: Any, optional: set[str]) -> None:
    for name in schema.names:
        if name not in wanted:
            raise TranscriptError(f"column {name!r} does not belong to this table.")
    for name, kind in wanted.items():
        if name in optional and name not in schema.names:
            continue
        if schema.names.count(name) != 1:
            raise TranscriptError(f"it has no column {name!r}, or has it twice.")
        if str(schema.field(name).type) != kind:
            raise TranscriptError(f"column {name!r} holds {schema.field(name).type}, not {kind}.")


def _objects(column: Column, found: Any, escaped: bool) -> Any:
    """A column of texts, bytes or JSON values as Python objects; equal texts are one object, JSON values are not."""
    parts: list[Any] = []
    for chunk in found.chunks:
        words = chunk.dictionary.to_pylist()
        if escaped:
            words = [unescape(word) for word in words]
        where = chunk.indices.fill_null(len(words)).to_numpy()
        texts = np.fromiter([*words, None], dtype=object, count=len(words) + 1)[where]
        parts += _json_values(column, texts.tolist()) if column.kind == "json" else texts.tolist()
    return parts


def _json_values(column: Column, texts: list[str | None]) -> list[Any]:
    if sum(len(text) for text in texts if text is not None) > MAX_BYTES:
        raise TranscriptError(f"column {column.name!r} is longer than it may be ({MAX_BYTES}).")
    return [np.nan if text is None else _json_value(column, text) for text in texts]


def _json_value(column: Column, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise TranscriptError(f"a value of column {column.name!r} is not JSON.") from None
