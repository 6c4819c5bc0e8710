"""Tables: a Record's columns as DataFrames with declared columns and dtypes, also when there are no rows.

Knows pandas and the Record. Must not know: formulas (analysis), displays, sockets, who holds the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from streamnb.tables.columns import COLUMNS, DOC, columns_markdown
from streamnb.tables.typed import (
    MISSING,
    build,
    inferred,
    is_count,
    moment,
    nullable,
    repeated,
    seconds,
    since,
    snapshot,
    wall_clock,
)

if TYPE_CHECKING:
    from streamnb.providers import Provider
    from streamnb.recording import Record
    from streamnb.shelf import Recording
    from streamnb.wire.frame import Frame

__all__ = [
    "COLUMNS",
    "DOC",
    "build",
    "calls",
    "chunks",
    "citations",
    "columns_markdown",
    "events",
    "frames",
    "lags",
    "providers",
    "recordings",
    "records",
    "run_row",
    "runs",
]


def events(record: Record) -> pd.DataFrame:
    """One row per event, in the order of arrival (`columns_markdown("events")`).

    Times are those of the chunk: `t_ns` of the socket read (ns), `t_s` from t0 (s). Works on a run that still runs.
    """
    # events before chunks: a live record appends a chunk no later than its events
    part = snapshot(record.events, "chunk", "kind", "text", "choice", "name", "id", "data", "flags", "server_ms")
    chunk = part["chunk"]
    t_ns = snapshot(record.chunks, "t_ns")["t_ns"][chunk]
    several = len(record.calls) > 1
    columns = {  # what needs room while it is made comes first
        "server_time": wall_clock(part.pop("server_ms")),
        "t_s": since(t_ns, record.t0_ns),
        "t_ns": t_ns,
        "coalesced": (in_read := np.bincount(chunk)[chunk]) > 1,
        "n_events_in_read": in_read,
        "call": snapshot(record.chunks, "call")["call"][chunk] if several else np.zeros(len(chunk), dtype="int64"),
        "choice": nullable(part["choice"]),
        "run_id": repeated(record.info.run_id, len(chunk)),
        "seq": np.arange(len(chunk)),
        "chunk_seq": chunk,
    }
    return build("events", part | columns, copy=False)


def chunks(record: Record) -> pd.DataFrame:
    """One row per chunk: the decoded body bytes (`data`) that one socket read completed."""
    part = snapshot(record.chunks, *_CHUNK_FIELDS)
    n = len(part["t_ns"])
    kernel_ns = part["kernel_ns"]
    columns = {
        "run_id": repeated(record.info.run_id, n),
        "seq": np.arange(n),
        "t_s": since(part["t_ns"], record.t0_ns),
        "n_bytes": np.fromiter(map(len, part["data"]), dtype="int64", count=n),
        "wire_bytes": nullable(part["wire_bytes"]),
        "server_t_ns": nullable(part["server_t_ns"]),
        "kernel_ns": nullable(kernel_ns),
        "client_lag_s": np.where(kernel_ns < 0, np.nan, (part["read_ns"] - kernel_ns) / 1e9),
    }
    return build("chunks", part | columns, copy=False)


_CHUNK_FIELDS = (
    "call",
    "t_ns",
    "read_ns",
    "kernel_ns",
    "wire_bytes",
    "n_frames",
    "n_events",
    "server_t_ns",
    "data",
    "stamp_source",
)


def calls(record: Record) -> pd.DataFrame:
    """One row per HTTP call. `dns_s`, `connect_s`, `tls_s` are durations; the other `_s` count from its own t0."""
    rows = list(record.calls)
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _CALL_FIELDS}
    columns |= {
        name + "_s": [seconds(getattr(row, name + "_ns"), row.t0_ns) for row in rows]
        for name in ("sent", "headers", "first_byte")
    }
    return build("calls", columns | {"run_id": [record.info.run_id] * len(rows)})


_CALL_FIELDS = ("n", "name", "status", "dns_s", "connect_s", "tls_s", "reused", "transport", "paused_s")


def lags(record: Record) -> pd.DataFrame:
    """One row per time in which this process was held up while the run went on."""
    rows = list(record.lags)
    start_ns = np.array([start for _, start, _ in rows], dtype="int64")
    columns = {
        "run_id": [record.info.run_id] * len(rows),
        "kind": [kind for kind, _, _ in rows],
        "start_ns": start_ns,
        "t_s": since(start_ns, record.t0_ns),
        "length_s": [length / 1e9 for _, _, length in rows],
    }
    return build("lags", columns)


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


def frames(record: Record, found: Iterable[tuple[int, Frame]]) -> pd.DataFrame:
    """One row per frame: the raw stream as messages, before a provider says what they mean.

    Args:
        record: the run.
        found: each frame with the number of the chunk that completed it; -1 when the reply had no bytes.
    """
    pairs = list(found)
    rows = [frame for _, frame in pairs]
    chunk = np.array([seq for seq, _ in pairs], dtype="int64")
    timed = chunk >= 0
    stamps = snapshot(record.chunks, "call", "t_ns")
    call, t_ns = np.full((2, len(rows)), MISSING, dtype="int64")
    call[timed], t_ns[timed] = stamps["call"][chunk[timed]], stamps["t_ns"][chunk[timed]]
    columns = {name: [getattr(frame, name) for frame in rows] for name in ("event", "data", "id", "line", "raw")}
    return build(
        "frames",
        columns
        | {
            "run_id": [record.info.run_id] * len(rows),
            "seq": np.arange(len(rows)),
            "chunk_seq": nullable(chunk),
            "call": nullable(call),
            "t_ns": nullable(t_ns),
            "t_s": np.where(timed, since(t_ns, record.t0_ns), np.nan),
            "retry": [frame.retry if is_count(frame.retry) else None for frame in rows],
            "flags": [" ".join(sorted(frame.flags)) for frame in rows],
        },
    )


def recordings(found: Iterable[Recording]) -> pd.DataFrame:
    """One row per run file on disk."""
    rows = list(found)
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows]
        for name in ("run_id", "provider", "target", "model", "outcome", "n_bytes")
    }
    columns["started_at"] = [moment(row.started_ns) for row in rows]
    columns["path"] = [str(row.path) for row in rows]
    return build("recordings", columns)


def providers(classes: Iterable[type[Provider]]) -> pd.DataFrame:
    """One row per provider class."""
    rows = list(classes)
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows] for name in ("name", "title", "key_env", "key_required", "base_url")
    }
    flags = [" ".join(option.flag for option in row.options) for row in rows]
    limits = ["; ".join(row.limits_in_words()) or None for row in rows]
    lists = [" ".join(row.lists) or None for row in rows]
    return build("providers", columns | {"options": flags, "limits": limits, "lists": lists})


def records(record: Record) -> pd.DataFrame:
    """One row per `item` event: a platform's record, one column per field of it, in the order of their first sight.

    Nested values stay as they are (objects, lists); a record that is no object is in the column `value`.
    """
    events = record.events
    found = [json.loads(data) for kind, data in zip(events.kind, events.data, strict=False) if kind == "item" and data]
    rows = [one if isinstance(one, dict) else {"value": one} for one in found]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [inferred([row.get(name) for row in rows]) for name in names]
    frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(len(rows)))
    frame.columns = pd.Index(names, dtype=object)  # a name may have half a character in it (SAFETY R16)
    return frame


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
        "started_at": moment(info.started_ns),
        "outcome": None if record.outcome is None else record.outcome.value,
        "error": record.error,
        "setup_s": record.setup_s,
        "queued_s": record.queued_s,
        "close_s": seconds(record.close_ns, record.t0_ns),
        "n_chunks": len(data),
        "n_events": len(record.events.kind),
        "n_bytes": sum(map(len, data)),
        "stamp_source": " ".join(sorted(record.chunks.stamp_source.known)) or None,
        "measurement_error_s": record.measurement_error_s,
    }


def _object(data: Any) -> dict[str, Any]:
    value = json.loads(data) if isinstance(data, str) else None
    return value if isinstance(value, dict) else {}


def _text(said: Mapping[str, Any], key: str) -> str | None:
    value = said.get(key)
    return value if isinstance(value, str) else None


def _at_char(said: Mapping[str, Any], before: int) -> int:
    value = said.get("at_char")
    return value if is_count(value) else before


def _chars_before(table: pd.DataFrame, labels: pd.Index) -> Iterator[int]:
    """Characters of the first answer's deltas before each of the given rows."""
    if labels.empty:
        return iter(())
    first = (table["kind"] == "delta") & (table["choice"].fillna(0) == 0)
    length = table["text"].str.len().where(first, 0)
    return iter(length.cumsum()[labels].tolist())
