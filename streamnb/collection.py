"""Runs: several runs in the user's hand, as one sequence and one table.

Knows runs and what turns them into tables. Must not know: clients, sessions, sockets, what bytes mean.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from streamnb import shelf
from streamnb.errors import UsageError, did_you_mean
from streamnb.results import Run, session

if TYPE_CHECKING:
    import pandas as pd

_PathLike = str | os.PathLike[str]
_SHOWN = 20


class Runs(Sequence[Run]):
    """Several runs: a sequence that never changes, and their tables. Runs that still run show what is there so far.

    Args:
        runs: in any order. Each `run_id` stands once, the first of them stays: tables tell runs apart by it.

    Example:
        >>> from streamnb.collection import Runs
        >>> import streamnb
        >>> pace = {"tokens": 3, "ttft": 0, "gap": 0}
        >>> Runs(streamnb.stream("demo", "Hi", pace=pace, record=False) for _ in range(2))
        <Runs: 2 runs, 2 ok>
    """

    __slots__ = ("_runs",)

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        first: dict[str, Run] = {}
        for run in runs:
            first.setdefault(run.run_id, run)
        self._runs = tuple(first.values())

    @classmethod
    def session(cls) -> Runs:
        """The runs of this session, in the order of their starts."""
        return cls(session())

    @classmethod
    def open(cls, source: _PathLike | Iterable[_PathLike]) -> Runs:
        """Recorded runs.

        Args:
            source: a run file, a directory (with all below it, oldest first; files that are no recordings are passed
                over), or several of them, as `streamnb.recordings()["path"]`.

        Raises:
            TranscriptError: one cannot be read; the message names file and line.
        """
        sources = [source] if isinstance(source, str | os.PathLike) else source
        paths = (path for one in sources for path in _files(Path(one)))
        return cls(Run(*shelf.read_file(path), path) for path in paths)

    # -- a sequence -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __add__(self, other: Run | Iterable[Run]) -> Runs:
        if isinstance(other, Run):
            return Runs((*self, other))
        return Runs((*self, *other)) if isinstance(other, Runs) else NotImplemented

    @property
    def ok(self) -> Runs:
        """Those whose answer the API itself ended."""
        return Runs(run for run in self if run.ok)

    def filter(self, predicate: Callable[[Run], bool] | None = None, **equal: Any) -> Runs:
        """Those that fit.

        Args:
            predicate: says of a run whether it stays.
            equal: columns of `table` and the value they must have; None: the value is missing.

        Raises:
            UsageError: the table has no such column.

        Example:
            runs.filter(lambda run: "river" in run.text, provider="openai_chat", outcome="complete")
        """
        from streamnb.tables import COLUMNS

        for name in equal.keys() - COLUMNS["runs"].keys():
            raise UsageError(f"runs have no column {name!r}.{did_you_mean(name, COLUMNS['runs'])}")
        return Runs(
            run for run in self if (predicate is None or predicate(run)) and (not equal or _fits(run.row(), equal))
        )

    # -- tables ---------------------------------------------------------------------------------------------------

    @property
    def table(self) -> pd.DataFrame:
        """One row per run: the table `runs`."""
        from streamnb import tables

        return tables.runs([run.row() for run in self])

    @property
    def events(self) -> pd.DataFrame:
        """The events of all runs, one run after the other."""
        return self._joined("events")

    @property
    def chunks(self) -> pd.DataFrame:
        """The socket reads of all runs, one run after the other."""
        return self._joined("chunks")

    @property
    def latency(self) -> pd.DataFrame:
        """When text came and how fast it flowed (`streamnb.analysis.latency`); runs without any event have no row."""
        from streamnb import analysis

        return analysis.latency(self.events)

    def compare(
        self,
        by: str | Sequence[str] = ("target", "model"),
        metrics: Sequence[str] | None = None,
        quantiles: Sequence[float] = (0.5, 0.95),
    ) -> pd.DataFrame:
        """Groups of these runs beside each other (`streamnb.analysis.compare`); failed runs are only counted.

        Args:
            by: column, or columns, of `table` to group by: as in a race, each model of a target by itself, unless said.
            metrics: columns of `table` to compare; the times unless said.
            quantiles: as of `streamnb.analysis.compare`.

        Raises:
            UsageError: no such column, a metric that is no number, or a quantile that is not between 0 and 1.
        """
        from streamnb import analysis

        said = {} if metrics is None else {"metrics": metrics}
        return analysis.compare(self.table, by, quantiles=quantiles, **said)

    def _joined(self, table: str) -> pd.DataFrame:
        import pandas as pd

        from streamnb import tables

        if not self._runs:
            return tables.build(table, {name: [] for name in tables.COLUMNS[table]})
        tables_: list[pd.DataFrame] = [getattr(run, table) for run in self]
        return pd.concat(tables_, ignore_index=True)

    # -- files ------------------------------------------------------------------------------------------------------

    def to_parquet(self, directory: _PathLike, *, overwrite: bool = False) -> list[Path]:
        """Write the tables of all runs, one file per table; `streamnb.read_parquet(directory)` brings them back equal.

        Raises:
            UsageError: a file is there already, or pyarrow is missing (`pip install "streamnb[parquet]"`).
        """
        from streamnb import exchange

        return exchange.write_parquet(exchange.concatenated(self), directory, overwrite=overwrite)

    def to_jsonl(self, directory: _PathLike, *, overwrite: bool = False) -> list[Path]:
        """The same as JSON Lines; `streamnb.read_jsonl(directory)` brings them back equal.

        Raises:
            UsageError: a file is there already.
        """
        from streamnb import exchange

        return exchange.write_jsonl(exchange.concatenated(self), directory, overwrite=overwrite)

    # -- showing --------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        n = len(self)
        return f"<Runs: {n} run{'s' * (n != 1)}, {len(self.ok)} ok>"

    def _repr_html_(self) -> str:
        return self.table.to_html(max_rows=_SHOWN, border=0, notebook=True)


def _files(path: Path) -> list[Path]:
    return [one.path for one in shelf.listing(path)] if path.is_dir() else [path]


def _fits(row: dict[str, Any], equal: dict[str, Any]) -> bool:
    return all(_same(row.get(name), value) for name, value in equal.items())


def _same(found: Any, value: Any) -> bool:
    missing = found is None or (isinstance(found, float) and math.isnan(found))
    return value is None if missing else bool(found == value)
