"""Exchange: tables to files that other tools read, and back as they were; whole files, or none.

Knows which formats there are. Must not know: runs' insides, sockets, displays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import pandas as pd

from streamnb.errors import TranscriptError, UsageError
from streamnb.exchange import _csv, _jsonl
from streamnb.exchange._files import Writer, found, publish
from streamnb.exchange._parquet import Arrow
from streamnb.exchange._shape import check_name, examined
from streamnb.tables import COLUMNS, build

__all__ = [
    "Tables",
    "Writer",
    "concatenated",
    "frames_of",
    "publish",
    "read_jsonl",
    "read_parquet",
    "write_csv",
    "write_jsonl",
    "write_parquet",
]

_PARQUET, _JSONL, _DESCRIPTION = ".parquet", ".jsonl", ".columns.json"


class Tables(Protocol):
    """Whoever has a run's tables."""

    @property
    def summary(self) -> pd.DataFrame:
        """Its row of `runs`."""

    @property
    def calls(self) -> pd.DataFrame:
        """One row per HTTP call."""

    @property
    def chunks(self) -> pd.DataFrame:
        """One row per socket read."""

    @property
    def events(self) -> pd.DataFrame:
        """One row per event."""

    @property
    def citations(self) -> pd.DataFrame:
        """One row per citation."""

    @property
    def records(self) -> pd.DataFrame:
        """One row per record of a list, in the platform's own columns."""


def frames_of(run: Tables) -> dict[str, pd.DataFrame]:
    """The tables of a run that are worth a file, by name.

    `runs`, `calls`, `chunks`, `events`, `citations`, and `records` where the run listed any. Left out is what can be
    computed from these: `frames` (the bytes of `chunks` framed again), gaps, stalls, latency.
    """
    tables = _declared(run)
    records = run.records
    return tables if records.empty else {**tables, "records": records}


def concatenated(runs: Iterable[Tables]) -> dict[str, pd.DataFrame]:
    """The tables of several runs, one below the other; `run_id` says whose a row is.

    Without `records`, whose columns are each platform's own: their rows are the events of kind `item`.
    """
    parts = [_declared(run) for run in runs]
    return {name: _below(name, [part[name] for part in parts]) for name in _RUN_TABLES}


_RUN_TABLES = ("runs", "calls", "chunks", "events", "citations")


def _declared(run: Tables) -> dict[str, pd.DataFrame]:
    citations, events = run.citations, run.events  # before chunks: the chunk of an event is there, also on a live run
    tables = {"calls": run.calls, "chunks": run.chunks, "events": events, "citations": citations, "runs": run.summary}
    return {name: tables[name] for name in _RUN_TABLES}


def _below(name: str, parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else build(name, {column: [] for column in COLUMNS[name]})


def write_parquet(
    frames: Mapping[str, pd.DataFrame], directory: str | os.PathLike[str], *, overwrite: bool = False
) -> list[Path]:
    """Write each table to `<name>.parquet` (zstd); `read_parquet` brings them back equal.

    Args:
        frames: tables by name (small letters, digits, `_`). A name of `streamnb.tables.COLUMNS` is for that table;
            under any other name goes a table of your own, whose nested values become JSON text.
        directory: where to; made (mode 0700) if it is not there. Files have mode 0600.
        overwrite: replace files that are there. Other files in the directory stay.

    Returns:
        The files, in the order of `frames`.

    Raises:
        UsageError: a file is there already, a table cannot be kept as it is, or pyarrow is missing. Nothing changed.
        OSError: the disk refused. No half file is left.
    """
    arrow, files = Arrow(), dict[Path, Writer]()
    for name, frame in frames.items():
        files[_place(directory, name, _PARQUET)] = partial(arrow.write, examined(name, frame), frame)
    return publish(files, overwrite=overwrite)


def read_parquet(directory: str | os.PathLike[str]) -> dict[str, pd.DataFrame]:
    """The tables that `write_parquet` wrote into a directory, by name.

    Raises:
        UsageError: there are none, or pyarrow is missing.
        TranscriptError: a file is not as `write_parquet` writes it; the message names file and column.
    """
    arrow = Arrow()
    return {name: arrow.read(name, path) for name, path in _listed(directory, _PARQUET)}


def write_jsonl(
    frames: Mapping[str, pd.DataFrame], directory: str | os.PathLike[str], *, overwrite: bool = False
) -> list[Path]:
    """Write each table to `<name>.jsonl`, one object per row, in ASCII; `read_jsonl` brings them back equal.

    Bytes are text where they are UTF-8, else `{"base64": ...}`; a missing value is null. Beside a table of your own
    stands `<name>.columns.json` with the dtypes of its columns. Arguments, results and errors as in `write_parquet`,
    but nothing need be installed.
    """
    files: dict[Path, Writer] = {}
    for name, frame in frames.items():
        shape = examined(name, frame)
        files[_place(directory, name, _JSONL)] = partial(_jsonl.write, shape, frame)
        if not shape.declared:
            files[_place(directory, name, _DESCRIPTION)] = partial(_jsonl.write_description, shape)
    return publish(files, overwrite=overwrite)


def read_jsonl(directory: str | os.PathLike[str]) -> dict[str, pd.DataFrame]:
    """The tables that `write_jsonl` wrote into a directory, by name.

    Raises:
        UsageError: there are none.
        TranscriptError: a file is not as `write_jsonl` writes it; the message names file, line and column.
    """
    return {
        name: _jsonl.read_table(name, path, _place(directory, name, _DESCRIPTION))
        for name, path in _listed(directory, _JSONL)
    }


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str], *, safe: bool = True, overwrite: bool = False) -> Path:
    """Write one table for a spreadsheet. It does not come back equal: CSV has no types. Its index is left out.

    Args:
        frame: the table.
        path: the file.
        safe: put `'` before texts that a spreadsheet would calculate as a formula: they come from a model.
        overwrite: replace a file that is there.

    Raises:
        UsageError: the file is there already.
    """
    return publish({Path(path).expanduser(): partial(_csv.write, frame, safe=safe)}, overwrite=overwrite)[0]


def _place(directory: str | os.PathLike[str], name: str, suffix: str) -> Path:
    return Path(directory).expanduser() / f"{name}{suffix}"


def _listed(directory: str | os.PathLike[str], suffix: str) -> list[tuple[str, Path]]:
    files = found(Path(directory).expanduser(), suffix)
    for name, path in files.items():
        try:
            check_name(name)
        except UsageError as error:
            raise TranscriptError(f"{path}: {error} A run file is read by streamnb.open.") from None
    return list(files.items())
