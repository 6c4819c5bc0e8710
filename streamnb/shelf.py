"""The shelf: run files on disk, listed and opened. Opening runs the same readings over the recorded bytes.

Knows transcripts, journals and records. Must not know: sockets, pandas, displays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

from streamnb.conversation import Reading
from streamnb.errors import LimitError, StreamnbError, TranscriptError
from streamnb.events import Outcome, Prompt, Tool
from streamnb.journal import is_locked
from streamnb.providers import Call, Provider, ReplyHead, load
from streamnb.recording import CallRow, Record, RunInfo
from streamnb.transcript import CallLine, Contents, DoneLine, EndLine, ReadLine, ReplyLine, RunLine, decode, read_lines
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
    return found


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
    try:
        contents = read_lines(path.read_bytes())
        provider = _provider(contents.run)
        record = _rebuild(contents, provider, running=contents.end is None and is_locked(path))
    except OSError as error:
        raise TranscriptError(f"{path}: {error.strerror}") from error
    except StreamnbError as error:
        raise TranscriptError(f"{path}: {error}") from error
    return record, provider, _prompt(contents.run)


def _provider(run: RunLine) -> Provider:
    cls = load(run.provider)
    known = {option.name for option in cls.options}
    options = {key: value for key, value in run.options.items() if key in known}
    return cls(_str(run.meta.get("base_url")), **options)


def _prompt(run: RunLine) -> Prompt:
    asked = run.prompt
    params, tools, take = asked.get("params"), asked.get("tools"), asked.get("take")
    return Prompt(
        _str(asked.get("text")) or "",
        _str(asked.get("system")),
        _str(asked.get("model")),
        params if isinstance(params, dict) else {},
        asked.get("reply"),
        tuple(_tool(tool) for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else (),
        _str(asked.get("records")),
        take if isinstance(take, int) else None,
        _str(asked.get("fresh_id")) or "",
    )


def _tool(fields: dict[str, Any]) -> Tool:
    parameters = fields.get("parameters")
    return Tool(
        _str(fields.get("name")) or "",
        _str(fields.get("description")) or "",
        parameters if isinstance(parameters, dict) else {},
    )


def _rebuild(contents: Contents, provider: Provider, *, running: bool) -> Record:
    run, meta = contents.run, contents.run.meta
    info = RunInfo(
        run.run_id,
        run.provider,
        run.target,
        run.clock["wall_ns"],
        profile=_str(meta.get("profile")),
        model=_str(meta.get("model")),
        cell_id=_str(meta.get("cell_id")),
        usage=_str(meta.get("usage")) or "last",
    )
    replaying = _Replaying(Record(info), provider)
    for number, line in enumerate(contents.lines, 1):
        replaying.take(line, number)
    replaying.finish(contents.end, running=running)
    replaying.record.problem = " ".join(contents.problems) or None
    return replaying.record


class _Replaying:
    """Feeds the lines of a transcript to a record and its readings, as the driver fed them."""

    def __init__(self, record: Record, provider: Provider) -> None:
        self.record = record
        self._provider = provider
        self._readings: dict[int, Reading] = {}
        self._main = -1
        self._last_ns = 0

    def take(self, line: Any, number: int) -> None:
        match line:
            case CallLine():
                if not line.side:
                    self._close(self._main)
                    self._main = line.n
                self.record.call(line)
            case ReplyLine():
                self._expect(line.n, number)
                self.record.reply(line)
                self._readings[line.n] = reading_of(self.record.calls[line.n], self._provider)
            case ReadLine():
                self._expect(line.n, number)
                self.record.read(line)
                self._last_ns = line.t_ns
                if line.n in self._readings:
                    with contextlib.suppress(LimitError):  # the run ended there, and its end line says so
                        self.record.understood(self._readings[line.n].feed(line.b))
            case DoneLine():
                self._expect(line.n, number)
                self._close(line.n)
                self.record.done(line)
            case _:
                pass

    def _expect(self, n: int, number: int) -> None:
        calls = self.record.calls
        if n != self._main and not (0 <= n < len(calls) and calls[n].side):
            raise TranscriptError(f"line {number}: it belongs to call {n}, but the latest call is {self._main}.")

    def _close(self, n: int) -> None:
        reading = self._readings.pop(n, None)
        if reading is None:
            return
        with contextlib.suppress(LimitError):
            step = reading.close()
            if len(self.record.chunks):
                self.record.understood(step)
        self.record.end_call(self._last_ns, n)

    def finish(self, end: EndLine | None, *, running: bool) -> None:
        self._close(self._main)
        record = self.record
        if end is None:
            if not running:
                error = f"{record.info.provider}: the process that recorded it died; what it wrote is here."
                record.outcome, record.error = Outcome.CRASHED, error
            return
        if end.outcome not in set(Outcome):
            raise TranscriptError(f"its end line has an outcome that this version does not know: {end.outcome[:40]!r}.")
        reached, ends_ns = end.ending.get("reached"), end.ending.get("ends_ns")
        if isinstance(reached, dict) and record.calls:
            record.reached(len(record.calls) - 1, reached)
        notes, queued_s = end.ending.get("notes"), end.ending.get("queued_s")
        record.notes = [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
        record.queued_s = float(queued_s) if isinstance(queued_s, (int, float)) else math.nan
        for row, t_ns in zip(record.calls, ends_ns if isinstance(ends_ns, list) else (), strict=False):
            row.end_ns = t_ns if isinstance(t_ns, int) else None
        record.end(Outcome(end.outcome), end.error, end)


def reading_of(row: CallRow, provider: Provider) -> Reading:
    """What reads the reply to a recorded call."""
    head = ReplyHead(row.status or HTTPStatus.OK, row.headers)
    return Reading(provider, Call(row.name, stream=row.stream), head)


def frames(record: Record, provider: Provider) -> list[tuple[int, Frame]]:
    """The frames of a run, each with the number of the chunk that completed it: framed again from the bytes."""
    found: list[tuple[int, Frame]] = []
    chunks = record.chunks
    seqs: dict[int, list[int]] = {}
    for seq, call in enumerate(chunks.call[:]):
        seqs.setdefault(call, []).append(seq)
    for row in record.calls:
        if row.status is None:
            break
        reading = reading_of(row, provider)
        mine = seqs.get(row.n, [])
        with contextlib.suppress(LimitError):
            for seq in mine:
                reading.feed(chunks.data[seq])
                found += ((seq, frame) for frame in reading.frames)
            reading.close()
            found += ((mine[-1] if mine else -1, frame) for frame in reading.frames)
    return found


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None
