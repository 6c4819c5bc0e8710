"""Tables: a Record's columns as DataFrames with declared columns and dtypes, also when there are no rows.

Knows pandas and the Record. Must not know: formulas (analysis), displays, sockets, who holds the tables.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from streamnb.tables.columns import COLUMNS, DOC, columns_markdown

if TYPE_CHECKING:
    from streamnb.recording import Record

__all__ = [
    "COLUMNS",
    "DOC",
    "build",
    "calls",
    "chunks",
    "citations",
    "columns_markdown",
    "events",
    "run_row",
    "runs",
]


def build(table: str, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A DataFrame with exactly the declared columns and dtypes of `table`.

    Args:
        table: a key of `COLUMNS`.
        columns: one array or list per declared column, all of one length; other keys are left out.
    """
    typed = {name: pd.Series(columns[name], dtype=dtype) for name, dtype in COLUMNS[table].items()}
    return pd.DataFrame(typed, copy=False)


def events(record: Record) -> pd.DataFrame:
    """One row per event, in the order of arrival (`columns_markdown("events")`).

    Times are those of the chunk: `t_ns` of the socket read (ns), `t_s` from t0 (s). Works on a run that still runs.
    """
    # events before chunks: a live record appends a chunk no later than its events
    part = _snapshot(record.events, "chunk", "kind", "text", "choice", "name", "id", "data", "flags")
    stamps = _snapshot(record.chunks, "call", "t_ns")
    chunk = part["chunk"]
    t_ns = stamps["t_ns"][chunk]
    columns = {
        "run_id": [record.info.run_id] * len(chunk),
        "seq": np.arange(len(chunk)),
        "chunk_seq": chunk,
        "call": stamps["call"][chunk],
        "t_ns": t_ns,
        "t_s": _since(t_ns, record.t0_ns),
        "choice": _nullable(part["choice"]),
        "coalesced": np.bincount(chunk)[chunk] > 1,
    }
    return build("events", part | columns)


def chunks(record: Record) -> pd.DataFrame:
    """One row per chunk: the decoded body bytes (`data`) that one socket read completed."""
    part = _snapshot(
        record.chunks, "call", "t_ns", "wire_bytes", "n_frames", "n_events", "server_t_ns", "data", "stamp_source"
    )
    n = len(part["t_ns"])
    columns = {
        "run_id": [record.info.run_id] * n,
        "seq": np.arange(n),
        "t_s": _since(part["t_ns"], record.t0_ns),
        "n_bytes": np.fromiter(map(len, part["data"]), dtype="int64", count=n),
        "wire_bytes": _nullable(part["wire_bytes"]),
        "server_t_ns": _nullable(part["server_t_ns"]),
    }
    return build("chunks", part | columns)


def calls(record: Record) -> pd.DataFrame:
    """One row per HTTP call. `dns_s`, `connect_s`, `tls_s` are durations; the other `_s` count from its own t0."""
    rows = list(record.calls)
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _CALL_FIELDS}
    columns |= {
        name + "_s": [_seconds(getattr(row, name + "_ns"), row.t0_ns) for row in rows]
        for name in ("sent", "headers", "first_byte")
    }
    return build("calls", columns | {"run_id": [record.info.run_id] * len(rows)})


_CALL_FIELDS = ("n", "name", "status", "dns_s", "connect_s", "tls_s", "reused")


def citations(record: Record) -> pd.DataFrame:
    """One row per event of kind `citation`.

    `title`, `url`, `source_type` and `at_char` are read from the event's data; where the platform does not say,
    `title` is the event's name and `at_char` the number of characters of delta events (choice 0 or none) before it.
    """
    table = events(record)
    rows = table[table["kind"] == "citation"]
    said = [_object(data) for data in rows["data"]]
    columns = {
        "run_id": rows["run_id"].array,
        "seq": rows["seq"].array,
        "t_s": rows["t_s"].array,
        "id": rows["id"].array,
        "title": [_text(one, "title") or name for one, name in zip(said, rows["name"], strict=True)],
        "url": [_text(one, "url") for one in said],
        "source_type": [_text(one, "source_type") for one in said],
        "at_char": [_at_char(one, n) for one, n in zip(said, _chars_before(table, rows.index), strict=True)],
    }
    return build("citations", columns)


def runs(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run, from `{**run_row(record), **analysis.latency_row(events(record))}` of each.

    A key that is not there is a missing value; a key that is no column of `runs` is left out.
    """
    return build("runs", {name: [row.get(name) for row in rows] for name in COLUMNS["runs"]})


def run_row(record: Record) -> dict[str, Any]:
    """The columns of `runs` that the record alone knows: identity, outcome, sizes, and times outside the text.

    `setup_s`, `queued_s`, `close_s` are seconds, NaN when unknown. What is read from events (`ttft_s` and so on)
    comes from `streamnb.analysis.latency_row`.
    """
    info, data = record.info, record.chunks.data[:]
    names = ("run_id", "provider", "model", "target", "profile", "cell_id", "chat", "repeat")
    return {name: getattr(info, name) for name in names} | {
        "started_at": pd.Timestamp(info.started_ns, unit="ns", tz="UTC"),
        "outcome": None if record.outcome is None else record.outcome.value,
        "error": record.error,
        "setup_s": record.setup_s,
        "queued_s": record.queued_s,
        "close_s": _seconds(record.close_ns, record.t0_ns),
        "n_chunks": len(data),
        "n_events": len(record.events.kind),
        "n_bytes": sum(map(len, data)),
        "stamp_source": " ".join(sorted(set(record.chunks.stamp_source))) or None,
    }


def _snapshot(columns: object, *names: str) -> dict[str, Any]:
    """Copies of equal length of a record's columns: int64 arrays and lists.

    Each slice is one step under the interpreter lock. `np.frombuffer` on the live array would make the reader's next
    append raise BufferError, and columns of a run that still runs may differ in length by the row being written.
    """
    copies = {name: getattr(columns, name)[:] for name in names}
    n = min(map(len, copies.values()))
    return {
        name: np.asarray(copy[:n]).astype("int64", copy=False) if isinstance(copy, array) else copy[:n]
        for name, copy in copies.items()
    }


def _nullable(values: np.ndarray[Any, np.dtype[np.int64]]) -> pd.arrays.IntegerArray:
    """Int64 from int64 in which a negative number stands for missing."""
    return pd.arrays.IntegerArray(values, values < 0)


def _since(t_ns: np.ndarray[Any, np.dtype[np.int64]], t0_ns: int | None) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds since t0; the integers are subtracted first, so nothing is lost after months of uptime."""
    return np.full(len(t_ns), np.nan) if t0_ns is None else (t_ns - t0_ns) / 1e9


def _seconds(t_ns: int | None, t0_ns: int | None) -> float:
    return np.nan if t_ns is None or t0_ns is None else (t_ns - t0_ns) / 1e9


def _object(data: Any) -> dict[str, Any]:
    value = json.loads(data) if isinstance(data, str) else None
    return value if isinstance(value, dict) else {}


def _text(said: Mapping[str, Any], key: str) -> str | None:
    value = said.get(key)
    return value if isinstance(value, str) else None


def _at_char(said: Mapping[str, Any], before: int) -> int:
    value = said.get("at_char")
    return value if isinstance(value, int) and not isinstance(value, bool) else before


def _chars_before(table: pd.DataFrame, labels: pd.Index) -> Iterator[int]:
    """Characters of the first answer's deltas before each of the given rows."""
    if labels.empty:
        return iter(())
    first = (table["kind"] == "delta") & (table["choice"].fillna(0) == 0)
    length = table["text"].str.len().where(first, 0)
    return iter(length.cumsum()[labels].tolist())
