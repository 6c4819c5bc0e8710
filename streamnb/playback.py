"""Playback: the lines of a transcript, fed to a record through the same readings as when they arrived.

Knows transcripts and records. Must not know: files, clocks, sockets, pandas, displays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from http import HTTPStatus
from typing import Any, Final

from streamnb.conversation import Reading
from streamnb.errors import LimitError, TranscriptError
from streamnb.events import Arrival, Outcome, Prompt, Tool
from streamnb.providers import Call, Provider, ReplyHead, load
from streamnb.recording import CallRow, Record, RunInfo
from streamnb.transcript import CallLine, Contents, DoneLine, EndLine, Line, ReadLine, ReplyLine, RunLine


class Following:
    """Feeds lines to a record and its readings in the order of their arrival, as the driver fed them.

    Args:
        record: what is filled; without a journal.
        provider: what reads the replies.
    """

    def __init__(self, record: Record, provider: Provider) -> None:
        self.record = record
        self.provider = provider
        self._readings: dict[int, Reading] = {}
        self._main = -1
        self._last_ns = 0

    def follow(self, line: Line, number: int) -> list[Arrival]:
        """Take one line; return what arrived with it (and with the end of the reply before it).

        Args:
            line: the next one. Run and end lines say nothing here.
            number: its number, from 1, for errors.

        Raises:
            TranscriptError: it does not follow from the lines before it; the message names its number.
        """
        arrived = []
        match line:
            case CallLine():
                if line.n != len(self.record.calls):
                    raise TranscriptError(
                        f"line {number}: call {line.n} stands where call {len(self.record.calls)} is due."
                    )
                if not line.side:
                    arrived += self._close(self._main)
                    self._main = line.n
                self.record.call(line)
            case ReplyLine():
                self._expect(line.n, number)
                self.record.reply(line)
                self._readings[line.n] = reading_of(self.record.calls[line.n], self.provider)
            case ReadLine():
                self._expect(line.n, number)
                self.record.read(line)
                self._last_ns = line.t_ns
                if line.n in self._readings:
                    with contextlib.suppress(LimitError):  # the run ended there, and its end line says so
                        arrived.append(self.record.understood(self._readings[line.n].feed(line.b)))
            case DoneLine():
                self._expect(line.n, number)
                arrived += self._close(line.n)
                self.record.done(line)
            case _:
                pass
        return arrived

    def _expect(self, n: int, number: int) -> None:
        calls = self.record.calls
        if not (0 <= n < len(calls) and (n == self._main or calls[n].side)):
            raise TranscriptError(f"line {number}: it belongs to call {n}, but the latest call is {self._main}.")

    def close(self) -> list[Arrival]:
        """No more lines come but the end line: return what the end of the body completed."""
        return self._close(self._main)

    def _close(self, n: int) -> list[Arrival]:
        reading = self._readings.pop(n, None)
        if reading is None:
            return []
        arrived = []
        with contextlib.suppress(LimitError):
            step = reading.close()
            if len(self.record.chunks):
                arrived.append(self.record.understood(step))
        self.record.end_call(self._last_ns, n)
        return arrived

    def end(self, end: EndLine) -> None:
        """Take the end line: the outcome is what it says.

        Raises:
            TranscriptError: an outcome that this version does not know.
        """
        record = self.record
        if end.outcome not in set(Outcome):
            raise TranscriptError(f"its end line has an outcome that this version does not know: {end.outcome[:40]!r}.")
        reached, ends_ns = end.ending.get("reached"), end.ending.get("ends_ns")
        if isinstance(reached, dict) and record.calls:
            record.reached(len(record.calls) - 1, reached)
        said = end.ending
        record.notes = [note for note in _list(said.get("notes")) if isinstance(note, str)]
        record.lags = [lag for lag in map(_lag, _list(said.get("lags"))) if lag is not None]
        record.queued_s = _seconds(said.get("queued_s"))
        record.measurement_error_s = _seconds(said.get("measurement_error_s"))
        for row, paused_s in zip(record.calls, _list(said.get("paused_s")), strict=False):
            row.paused_s = _seconds(paused_s)
        for row, t_ns in zip(record.calls, ends_ns if isinstance(ends_ns, list) else (), strict=False):
            row.end_ns = t_ns if isinstance(t_ns, int) else None
        record.end(Outcome(end.outcome), end.error, end)


class Playback(Following):
    """Follows the lines of a whole transcript, or of the beginning of one.

    Args:
        contents: what the file holds.
        provider: what reads it, if not the one that the file names.
        running: its writer still lives.

    Attributes:
        record: what has been played so far.

    Raises:
        StreamnbError: the provider is not here, or its options do not fit this version.
    """

    def __init__(self, contents: Contents, provider: Provider | None = None, *, running: bool = False) -> None:
        super().__init__(Record(_info(contents.run)), provider or _provider(contents.run))
        self.contents = contents
        self.prompt = _prompt(contents.run)
        self._running = running

    def take(self, index: int) -> list[Arrival]:
        """Play one line; return what arrived with it (and with the end of the reply before it).

        Raises:
            TranscriptError: it does not follow from the lines before it; the message names its number.
        """
        return self.follow(self.contents.lines[index], index + 1)

    def finish(self) -> list[Arrival]:
        """All lines were played: the outcome is what the file says; return what the end of the body completed.

        Raises:
            TranscriptError: an outcome that this version does not know.
        """
        arrived = self.close()
        record, end = self.record, self.contents.end
        if end is not None:
            self.end(end)
        elif not self._running:
            error = f"{record.info.provider}: the process that recorded it died; what it wrote is here."
            record.outcome, record.error = Outcome.CRASHED, error
        record.problem = " ".join(self.contents.problems) or None
        return arrived


def _provider(run: RunLine) -> Provider:
    cls = load(run.provider)
    known = {option.name for option in cls.options}
    options = {key: value for key, value in run.options.items() if key in known}
    return cls(_str(run.meta.get("base_url")), _str(run.meta.get("key_env")), **options)


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
        _history(asked.get("history")),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _lag(value: Any) -> tuple[str, int, int] | None:
    match value:
        case [str(kind), int(start_ns), int(length_ns)]:
            return kind, start_ns, length_ns
        case _:
            return None


def _history(said: Any) -> tuple[tuple[str, str], ...]:
    found = []
    for one in said if isinstance(said, (list, tuple)) else ():
        match one:
            case [str(role), str(text)]:
                found.append((role, text))
    return tuple(found)


def _tool(fields: dict[str, Any]) -> Tool:
    parameters = fields.get("parameters")
    return Tool(
        _str(fields.get("name")) or "",
        _str(fields.get("description")) or "",
        parameters if isinstance(parameters, dict) else {},
    )


def _info(run: RunLine) -> RunInfo:
    meta = run.meta
    return RunInfo(
        run.run_id,
        run.provider,
        run.target,
        run.clock["wall_ns"],
        profile=_str(meta.get("profile")),
        model=_str(meta.get("model")),
        cell_id=_str(meta.get("cell_id")),
        chat=_str(meta.get("chat")),
        repeat=meta["repeat"] if isinstance(meta.get("repeat"), int) else None,
        usage=_str(meta.get("usage")) or "last",
    )


def reading_of(row: CallRow, provider: Provider) -> Reading:
    """What reads the reply to a recorded call."""
    head = ReplyHead(row.status or HTTPStatus.OK, row.headers)
    return Reading(provider, Call(row.name, stream=row.stream), head)


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_TIMINGS: Final = ("dns_s", "connect_s", "tls_s", "t0_ns", "sent_ns", "headers_ns", "reused", "transport")


def contents_of(record: Record, prompt: Prompt) -> Contents:
    """The lines that a run would have left in a file, as far as playing them needs: for runs without one."""
    info = record.info
    asked = {field.name: getattr(prompt, field.name) for field in dataclasses.fields(prompt)} | {"tools": []}
    first_ns = record.calls[0].t_ns if record.calls else 0
    clock = {"t_ns": first_ns, "wall_ns": info.started_ns}
    meta = {name: getattr(info, name) for name in ("profile", "model", "cell_id", "chat", "repeat", "usage")}
    run = RunLine(info.run_id, info.provider, info.target, {}, asked, clock, 0, meta)
    chunks, lines = record.chunks, list[Line]([run])
    begun = 0
    for seq in range(len(chunks)):
        while begun <= chunks.call[seq]:
            lines += _call_lines(record.calls[begun])
            begun += 1
        lines.append(_read_line(record, seq))
        row = record.calls[chunks.call[seq]]
        if row.side and row.end_ns is not None and row.n not in chunks.call[seq + 1 :]:
            lines.append(DoneLine(row.n, row.end_ns))
    for row in record.calls[begun:]:
        lines += _call_lines(row)
    if record.outcome is not None:
        end_ns = record.end_ns or first_ns
        lines.append(EndLine(record.outcome.value, record.error, record.ending(), record.counts(), end_ns))
    return Contents(run, lines)


def _call_lines(row: CallRow) -> list[Line]:
    call = row.line or CallLine(row.n, row.t_ns, row.name, "", "", [], None, row.stream, row.side, row.setup)
    if row.status is None:
        return [call]
    known = {name: getattr(row, name) for name in _TIMINGS}
    timings = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in known.items()}
    headers = list(row.headers.items())
    return [call, ReplyLine(row.n, row.headers_ns or row.t_ns, row.status, headers, row.framing, timings)]


def _read_line(record: Record, seq: int) -> ReadLine:
    chunks = record.chunks
    data, wire, kernel_ns = chunks.data[seq], chunks.wire_bytes[seq], chunks.kernel_ns[seq]
    stamp = chunks.stamp_source[seq] if kernel_ns < 0 else "read"
    k_ns = None if kernel_ns < 0 else kernel_ns
    return ReadLine(n=chunks.call[seq], s=seq, t_ns=chunks.read_ns[seq], k_ns=k_ns, w=wire, h=0, b=data, stamp=stamp)
