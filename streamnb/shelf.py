"""The shelf: run files on disk, listed and opened, and the frames of a run. Opening plays a file at once.

Knows transcripts, journals and records. Must not know: sockets, pandas, displays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from streamnb.errors import LimitError, StreamnbError, TranscriptError
from streamnb.events import Outcome, Prompt
from streamnb.journal import is_locked
from streamnb.playback import Playback, reading_of
from streamnb.providers import Provider
from streamnb.recording import Record
from streamnb.transcript import EndLine, RunLine, decode, read_lines
from streamnb.wire import Frame

_TAIL_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """One run file.

    Attributes:
        outcome: how the run ended; `crashed` when its writer died, `running` while it lives.
        started_ns: wall clock, ns since the epoch.
    """

    path: Path
    run_id: str
    provider: str
    target: str
    model: str | None
    started_ns: int
    outcome: str
    n_bytes: int


def listing(directory: Path) -> list[Recording]:
    """The run files below a directory, oldest first. Files that are none are passed over."""
    found = []
    for path in sorted(directory.glob("**/*.jsonl")):
        try:
            found.append(_glance(path))
        except (OSError, TranscriptError):
            continue
    return sorted(found, key=lambda one: (one.started_ns, one.run_id))


def _glance(path: Path) -> Recording:
    """Read the first line and the last: enough for a list of ten thousand."""
    with path.open("rb") as file:
        first = decode(file.readline())
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        last = file.read().rpartition(b"\n")[0].rpartition(b"\n")[2]
    if not isinstance(first, RunLine):
        raise TranscriptError(f"{path}: its first line is no run line")
    outcome = None
    if last.startswith(b'{"t":"end"') or b'"t": "end"' in last[:40]:
        end = decode(last + b"\n")
        outcome = end.outcome if isinstance(end, EndLine) else None
    if outcome is None:
        outcome = "running" if is_locked(path) else Outcome.CRASHED.value
    model, started = first.meta.get("model"), first.clock["wall_ns"]
    return Recording(path, first.run_id, first.provider, first.target, model, started, outcome, size)


def read_file(path: Path) -> tuple[Record, Provider, Prompt]:
    """Load a run file, whole or torn.

    Returns:
        The record, its provider, and the prompt (redacted as it was recorded).

    Raises:
        TranscriptError: it cannot be read; the message names file and line.
    """
    with naming(path):
        playback = open_playback(path)
        for number in range(len(playback.contents.lines)):
            playback.take(number)
        playback.finish()
    return playback.record, playback.provider, playback.prompt


def open_playback(path: Path) -> Playback:
    """A run file ready to be played, line by line.

    Raises:
        OSError: it cannot be read. StreamnbError: it is no run file, or of a provider that is not here.
    """
    contents = read_lines(path.read_bytes())
    return Playback(contents, running=contents.end is None and is_locked(path))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever is wrong with a run file is said with its name."""
    try:
        yield
    except FileNotFoundError as error:
        raise TranscriptError(f"{path}: {error.strerror}. streamnb.recordings() lists the files there are.") from error
    except OSError as error:
        raise TranscriptError(f"{path}: {error.strerror}") from error
    except StreamnbError as error:
        raise TranscriptError(f"{path}: {error}") from error


def frames(record: Record, provider: Provider) -> list[tuple[int, Frame]]:
    """The frames of a run, each with the number of the chunk that completed it: framed again from the bytes."""
    found: list[tuple[int, Frame]] = []
    chunks = record.chunks
    seqs: dict[int, list[int]] = {}
    for seq, call in enumerate(chunks.call[:]):
        seqs.setdefault(call, []).append(seq)
    for row in record.calls:
        if row.status is None:
            continue
        reading = reading_of(row, provider)
        mine = seqs.get(row.n, [])
        with contextlib.suppress(LimitError):
            for seq in mine:
                reading.feed(chunks.data[seq])
                found += ((seq, frame) for frame in reading.frames)
            reading.close()
            found += ((mine[-1] if mine else -1, frame) for frame in reading.frames)
    found.sort(key=lambda pair: pair[0])  # in the order of arrival, also where a side call came between
    return found
