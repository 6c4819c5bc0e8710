"""Which recordings are meant: by name, by the beginning or end of one, by path, by age.

Knows the shelf and the names of runs. Must not know: what is done with them, pandas, sockets.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from streamnb import settings, shelf
from streamnb.commands.printing import size, table
from streamnb.errors import UsageError
from streamnb.shelf import Recording

RUNNING: Final = "running"
"""What stands for an outcome while the writer of a run file lives."""

_AGE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([mhdw])", re.ASCII)
_UNIT_S: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_CANDIDATES: Final = 10


def every() -> list[Recording]:
    """All recordings, in the order of their starts."""
    return sorted(shelf.listing(settings.recordings_dir()), key=lambda one: (one.started_ns, one.run_id))


def find(word: str) -> Recording:
    """The recording that a word names.

    Args:
        word: a run id, the beginning or end of one or the beginning of its last part, or the path of a run file.

    Raises:
        UsageError: it names none, or more than one; the message lists these. TranscriptError: that file is no run file.
    """
    path = Path(word)
    if path.is_file():
        return _at(path)
    known = every()
    found = [one for one in known if one.run_id == word] or [one for one in known if _begins_or_ends(one, word)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{word!r} names {len(found)} recordings; say more of the name, or a path:{_listed(found)}")
    if os.sep in word or path.suffix == ".jsonl":
        raise UsageError(f"there is no file {word}")
    raise UsageError(f"no recording is called {word!r}. See: streamnb recordings list")


def _listed(found: Sequence[Recording]) -> str:
    """Candidates, a line each; copies of one run by their paths, for nothing else tells them apart."""
    copies = len({one.run_id for one in found}) == 1
    lines = [str(one.path) for one in found] if copies else described(found)
    more = [f"and {len(lines) - _CANDIDATES} more"] if len(lines) > _CANDIDATES else []
    return "".join(f"\n  {text}" for text in [*lines[:_CANDIDATES], *more])


def find_each(words: Sequence[str]) -> list[Recording]:
    """The recordings that words name, each once."""
    return list({one.path.resolve(): one for one in map(find, words)}.values())


def path_of(word: str) -> Path:
    """The file that a word names, without a look into it where it is a path."""
    return Path(word) if Path(word).is_file() else find(word).path


def refuse_running(found: Sequence[Recording]) -> None:
    """Refuse what is still being written.

    Raises:
        UsageError: one of them runs.
    """
    names = " and ".join(one.run_id for one in found if one.outcome == RUNNING)
    if names:
        raise UsageError(f"{names} still runs: wait for its end.")


def _begins_or_ends(one: Recording, word: str) -> bool:
    digits = one.run_id.rpartition("-")[2]  # what people copy, and cut short
    return bool(word) and (one.run_id.startswith(word) or one.run_id.endswith(word) or digits.startswith(word))


def _at(path: Path) -> Recording:
    record = shelf.read_file(path)[0]
    info, outcome = record.info, RUNNING if record.outcome is None else record.outcome.value
    n_bytes = path.stat().st_size
    return Recording(path, info.run_id, info.provider, info.target, info.model, info.started_ns, outcome, n_bytes)


def described(found: Sequence[Recording], *, heads: bool = False) -> list[str]:
    """Recordings as lines of text in columns."""
    names = ("run_id", "started_at", "target", "model", "outcome", "size")
    rows = [(one.run_id, local(one.started_ns), one.target, one.model, one.outcome, size(one.n_bytes)) for one in found]
    lines = table(names, rows)
    return lines if heads else lines[1:]


def values(one: Recording) -> dict[str, Any]:
    """A recording as JSON values: its row of the table `recordings`."""
    started = dt.datetime.fromtimestamp(one.started_ns / 1e9, dt.UTC).isoformat()
    return {
        "run_id": one.run_id,
        "provider": one.provider,
        "target": one.target,
        "model": one.model,
        "started_at": started,
        "outcome": one.outcome,
        "n_bytes": one.n_bytes,
        "path": str(one.path),
    }


def local(started_ns: int) -> str:
    """A moment (ns since 1970 UTC) as the clock on the wall here says it, to the second."""
    return dt.datetime.fromtimestamp(started_ns // 10**9, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(text: str) -> float:
    """An age, s: `90m`, `12h`, `30d`, `2w`.

    Raises:
        ArgumentTypeError: it is none.
    """
    match = _AGE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"an age is wanted, such as 90m, 12h, 30d or 2w, not {text!r}")
    return float(match[1]) * _UNIT_S[match[2]]


def since(text: str) -> float:
    """A moment, s since 1970: a date or a date with time, local unless it says otherwise, or an age.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        return time.time() - age(text) if _AGE.fullmatch(text) else dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"a date is wanted, such as 2026-03-31 or 2026-03-31T14:30, or an age such as 7d, not {text!r}"
        ) from None
