"""The shelf: run files on disk, listed and opened. Opening runs the same conversation over the recorded bytes.

Knows transcripts, journals and records. Must not know: sockets, pandas, displays.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from streamnb.conversation import Conversation, Step
from streamnb.errors import StreamnbError, TranscriptError
from streamnb.events import Outcome, Prompt
from streamnb.journal import is_locked
from streamnb.providers import Ending, Provider, ReplyHead, load
from streamnb.recording import Record, RunInfo
from streamnb.transcript import CallLine, Contents, EndLine, ReadLine, ReplyLine, RunLine, decode, read_lines
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
    except OSError as error:
        raise TranscriptError(f"{path}: {error.strerror}") from error
    except StreamnbError as error:
        raise TranscriptError(f"{path}: {error}") from error
    return _rebuild(path, contents, provider), provider, _prompt(contents.run)


def _provider(run: RunLine) -> Provider:
    cls = load(run.provider)
    known = {option.name for option in cls.options}
    options = {key: value for key, value in run.options.items() if key in known}
    return cls(run.meta.get("base_url"), **options)


def _prompt(run: RunLine) -> Prompt:
    fields = {field.name for field in dataclasses.fields(Prompt)}
    return Prompt(**{key: value for key, value in run.prompt.items() if key in fields and value is not None})


def _rebuild(path: Path, contents: Contents, provider: Provider) -> Record:
    run, meta = contents.run, contents.run.meta
    info = RunInfo(
        run.run_id,
        run.provider,
        run.target,
        run.clock["wall_ns"],
        profile=meta.get("profile"),
        model=meta.get("model"),
        cell_id=meta.get("cell_id"),
        usage=meta.get("usage", "last"),
    )
    replaying = _Replaying(Record(info), Conversation(provider, _prompt(run)))
    for line in contents.lines:
        replaying.take(line)
    replaying.finish(contents, running=contents.end is None and is_locked(path))
    return replaying.record


class _Replaying:
    """Feeds the lines of a transcript to a record and a conversation, as the driver fed them."""

    def __init__(self, record: Record, conversation: Conversation) -> None:
        self.record = record
        self.conversation = conversation
        self._last_ns = 0

    def take(self, line: Any) -> None:
        match line:
            case CallLine():
                self._close(Ending(None, self._framing()))
                self.record.call(line)
            case ReplyLine():
                self.record.reply(line)
                self.conversation.begin(ReplyHead(line.status, self.record.calls[line.n].headers))
            case ReadLine():
                self.record.read(line)
                self._last_ns = line.t_ns
                if self.conversation.replying:
                    self._understood(self.conversation.feed(line.b))
            case _:
                pass

    def _framing(self) -> Any:
        return self.record.calls[-1].framing if self.record.calls else None

    def _understood(self, step: Step) -> None:
        if len(self.record.chunks):
            self.record.understood(step)

    def _close(self, ending: Ending) -> None:
        if self.conversation.replying:
            self._understood(self.conversation.close())
            self.record.end_call(self._last_ns)
            self.conversation.end(ending)

    def finish(self, contents: Contents, *, running: bool) -> None:
        end = contents.end
        if end is not None:
            self._close(Ending(None, self._framing()))
            reached = end.ending.get("reached")
            if isinstance(reached, dict) and reached and self.record.calls:
                self.record.reached(len(self.record.calls) - 1, reached)
            ends = end.ending.get("ends_ns")
            for row, t_ns in zip(self.record.calls, ends if isinstance(ends, list) else (), strict=False):
                row.end_ns = t_ns
            self.record.end(Outcome(end.outcome), end.error, end)
            return
        self._close(Ending(Outcome.CRASHED, self._framing()))
        if not running:
            error = f"{self.record.info.provider}: the process that recorded it died; what it wrote is here."
            self.record.outcome, self.record.error = Outcome.CRASHED, error


def frames(record: Record, provider: Provider, prompt: Prompt) -> list[tuple[int, Frame]]:
    """The frames of a run, each with the number of the chunk that completed it: framed again from the bytes."""
    found: list[tuple[int, Frame]] = []
    conversation = Conversation(provider, prompt)
    chunks = record.chunks
    seqs: dict[int, list[int]] = {}
    for seq, call in enumerate(chunks.call):
        seqs.setdefault(call, []).append(seq)
    for row in record.calls:
        if row.status is None or conversation.call is None:
            break
        conversation.begin(ReplyHead(row.status, row.headers))
        mine = seqs.get(row.n, [])
        for seq in mine:
            conversation.feed(chunks.data[seq])
            found += ((seq, frame) for frame in conversation.reading.frames)
        conversation.close()
        found += ((mine[-1] if mine else -1, frame) for frame in conversation.reading.frames)
        conversation.end(Ending(None, row.framing))  # type: ignore[arg-type]
    return found
