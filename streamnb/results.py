"""Run: what the user holds. A view over a record that delegates to tables, analysis and displays.

Knows how the parts are put together. Must not know: sockets, how a run came about, IPython.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamnb.display import BETWEEN_CALLS, Final, Header, Look, bundle
from streamnb.errors import RunError, UsageError, did_you_mean
from streamnb.events import Choice, Outcome, Prompt
from streamnb.providers import Provider
from streamnb.providers._seen import join
from streamnb.recording import Record

if TYPE_CHECKING:
    import pandas as pd

    from streamnb.analysis import Verdict

_session: list[Run] = []


def remember(run: Run) -> None:
    """Add a run to the session's list; it stays there, with all it holds."""
    _session.append(run)


def session() -> tuple[Run, ...]:
    """The runs of this session, in the order of their starts."""
    return tuple(_session)


class Run:
    """One prompt to one target and all that came back. Works while it still runs; then shows what is there so far.

    Made by `streamnb.stream` and its kin, by the cell magic, and by `streamnb.open`.
    """

    def __init__(self, record: Record, provider: Provider, prompt: Prompt, path: Path | None = None) -> None:
        self._record = record
        self._provider = provider
        self.prompt = prompt
        self._row: dict[str, Any] | None = None
        self.path = path
        """The run file, or None when it was not recorded on disk."""

    @property
    def recorded(self) -> Record:
        """The record behind it: columns as they were written. For streamnb's own modules."""
        return self._record

    @property
    def provider(self) -> Provider:
        """What read it."""
        return self._provider

    @functools.cached_property
    def look(self) -> Look:
        """What a display may ask about it. For streamnb's own modules."""
        from streamnb.inspection import Inspection

        return Inspection(self._record, self._provider)

    # -- what came ------------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The run's name: start time and six random hex digits."""
        return self._record.info.run_id

    @property
    def outcome(self) -> Outcome | None:
        """How it ended (a `str`); None while it runs."""
        return self._record.outcome

    @property
    def ok(self) -> bool:
        """True when the API itself ended the answer."""
        return self.outcome is not None and self.outcome.ok

    @property
    def error(self) -> str | None:
        """One line: whose fault, what next. None when nothing went wrong."""
        return self._record.error

    @property
    def warning(self) -> str | None:
        """One line when the disk refused the recording (the run itself is whole), or when an opened file was torn."""
        return self._record.warning

    @property
    def text(self) -> str:
        """The answer: deltas of the first choice, else whole messages, else the end event's full text."""
        texts = self.texts
        if texts:
            return texts[min(texts)]
        events = self._record.events
        if self.messages:
            return "\n\n".join(self.messages)
        return next((text for kind, text in zip(events.kind, events.text, strict=False) if kind == "end" and text), "")

    @property
    def texts(self) -> dict[int, str]:
        """The streamed text of each choice, by index (0 where the API has only one).

        Where several calls of the run streamed (a greeting, then the answer), a blank line stands between them.
        """
        parts: dict[int, list[str]] = {}
        streamed: dict[int, int] = {}
        events, calls = self._record.events, self._record.chunks.call
        for kind, text, number, chunk in zip(events.kind, events.text, events.choice, events.chunk, strict=False):
            choice, call = max(number, 0), calls[chunk]
            if kind == "delta" and text:
                if streamed.setdefault(choice, call) != call:
                    parts[choice].append(BETWEEN_CALLS)
                    streamed[choice] = call
                parts.setdefault(choice, []).append(text)
            elif kind == "replace":
                parts[choice], streamed[choice] = [text], call
        return {choice: join(pieces) for choice, pieces in parts.items()}

    @property
    def reasoning(self) -> str:
        """The reasoning text, "" when there was none."""
        return join(self._texts_of("reasoning"))

    @property
    def messages(self) -> list[str]:
        """Whole messages (a bot's bubbles), in order."""
        return self._texts_of("message")

    @property
    def target(self) -> str:
        """What was typed behind `%%chatstream`."""
        return self._record.info.target

    @property
    def session_id(self) -> str | None:
        """The platform's session (chat, conversation): what a next run goes on in (`--continue`, `after=run`)."""
        events = self._record.events
        named = (one for kind, one in zip(events.kind, events.id, strict=False) if kind == "session" and one)
        return next(named, None) or self._provider.session_of(self.prompt)

    @property
    def session_over(self) -> bool:
        """True when the platform said that the conversation, not only this turn, has ended."""
        events = self._record.events
        return ("session", "ended") in zip(events.kind, events.name, strict=False)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What the platform offers to answer with now: the buttons of the latest reply that had any, each once."""
        events, calls = self._record.events, self._record.chunks.call
        offered = sorted(events.choices.items())
        latest = calls[events.chunk[offered[-1][0]]] if offered else None
        found: list[Choice] = []
        for seq, group in offered:
            if calls[events.chunk[seq]] == latest:
                found += (choice for choice in group if choice not in found)
        return tuple(found)

    def choice(self, label: str) -> Choice:
        """The button of that label.

        Raises:
            UsageError: the run offered none of that label; the message names those it did.
        """
        found = next((choice for choice in reversed(self.choices) if choice.label == label), None)
        if found is None:
            labels = [choice.label for choice in self.choices]
            raise UsageError(f"{self.target} offered no button {label!r}.{did_you_mean(label, labels)}")
        return found

    def resumed(self) -> dict[str, Any]:
        """The provider's options with which a next run goes on in this one's session.

        Raises:
            UsageError: the platform keeps no conversation, or this run never had one.
        """
        provider, name = self._provider, self._record.info.provider
        if provider.session_option is None:
            raise UsageError(f"{name} keeps no conversation on its server: each run stands alone.")
        if self.session_id is None:
            raise UsageError(
                f"the run of {self.target} has no session to go on in: it ended ({self.outcome}) before one began."
            )
        values = provider.values  # noqa: PD011  # no pandas
        kept = {one.name: values[one.name] for one in provider.options if not one.once}
        said = {key: value for key, value in kept.items() if value is not None}
        return {**said, provider.session_option: self.session_id}

    @property
    def result(self) -> Any:
        """The platform's whole result as it came with its end event, None when it sends none."""
        events = self._record.events
        data = (one for kind, one in zip(events.kind, events.data, strict=False) if kind == "end" and one)
        last = next(reversed(list(data)), None)
        return None if last is None else json.loads(last)

    @property
    def raw(self) -> bytes:
        """The decoded body bytes of all replies, in order, secrets masked in place."""
        return b"".join(self._record.chunks.data)

    def _texts_of(self, kind: str) -> list[str]:
        events = self._record.events
        return [text for found, text in zip(events.kind, events.text, strict=False) if found == kind]

    # -- tables ---------------------------------------------------------------------------------------------------

    @property
    def events(self) -> pd.DataFrame:
        """One row per event; columns as declared in `streamnb.tables`."""
        from streamnb import tables

        return tables.events(self._record)

    @property
    def chunks(self) -> pd.DataFrame:
        """One row per socket read: the only thing that has a time of its own."""
        from streamnb import tables

        return tables.chunks(self._record)

    @property
    def calls(self) -> pd.DataFrame:
        """One row per HTTP call, with the phases of its request."""
        from streamnb import tables

        return tables.calls(self._record)

    @property
    def citations(self) -> pd.DataFrame:
        """One row per citation, with the place in the text where it arrived."""
        from streamnb import tables

        return tables.citations(self._record)

    @property
    def records(self) -> pd.DataFrame:
        """One row per record of a list (`streamnb.records`), with the platform's own fields as columns.

        No more than `take`, also where the server sends whole pages; the events have them all.
        """
        from streamnb import tables

        found = tables.records(self._record)
        return found if self.prompt.take is None else found.head(self.prompt.take)

    @property
    def frames(self) -> pd.DataFrame:
        """The raw stream as a table: one row per SSE, JSON Lines or prefix-line message."""
        from streamnb import shelf, tables

        return tables.frames(self._record, shelf.frames(self._record, self._provider))

    @property
    def gaps(self) -> pd.DataFrame:
        """One row per gap between reads that carried text, s."""
        from streamnb import analysis

        return analysis.gaps(self.events)

    @property
    def stalls(self) -> pd.DataFrame:
        """Gaps far longer than this stream's own pace, and who made them (`streamnb.analysis.stalls`)."""
        from streamnb import analysis

        record = self._record
        close_s = None
        if record.close_ns is not None and record.t0_ns is not None and record.outcome is not None:
            close_s = (record.close_ns - record.t0_ns) / 1e9
        chunks = self.chunks
        return analysis.stalls(self.events, until_s=close_s, chunks=chunks, lags=self._log(chunks))

    @property
    def lags(self) -> pd.DataFrame:
        """What held this process up while the run went on: collections, a late loop."""
        from streamnb import tables

        return tables.lags(self._record)

    @property
    def verdict(self) -> Verdict:
        """How far its times can be trusted, with the evidence (`streamnb.analysis.verdict`)."""
        return self._judge(self.events)

    def _judge(self, events: pd.DataFrame) -> Verdict:
        from streamnb import analysis

        chunks = self.chunks
        return analysis.verdict(chunks, events, self._log(chunks))

    def _log(self, chunks: pd.DataFrame) -> pd.DataFrame | None:
        """The table `lags` where somebody kept it: not for a client of the caller's, nor by a process that died."""
        record = self._record
        kept = record.outcome is not Outcome.CRASHED and not (chunks["stamp_source"] == "chunk").any()
        return self.lags if kept or record.lags else None

    @property
    def summary(self) -> pd.DataFrame:
        """This run's row of the table `runs`."""
        from streamnb import tables

        return tables.runs([self.row()])

    def row(self) -> dict[str, Any]:
        """The values of `summary` as a plain dict; missing values are NaN or None."""
        from streamnb import analysis, tables

        if self._row is not None:
            return dict(self._row)
        over = self.outcome is not None
        events = self.events
        row = {**tables.run_row(self._record), **analysis.latency_row(events), "verdict": self._judge(events).name}
        if over:  # a finished run changes no more
            self._row = dict(row)
        return row

    # -- files ---------------------------------------------------------------------------------------------------

    def to_parquet(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write the tables to `<table>.parquet`; `streamnb.read_parquet(directory)` brings them back equal.

        Raises:
            UsageError: a file is there already, or pyarrow is missing (`pip install "streamnb[parquet]"`).
        """
        from streamnb import exchange

        return exchange.write_parquet(exchange.frames_of(self), directory, overwrite=overwrite)

    def to_jsonl(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write the tables to `<table>.jsonl`; `streamnb.read_jsonl(directory)` brings them back equal.

        Raises:
            UsageError: a file is there already.
        """
        from streamnb import exchange

        return exchange.write_jsonl(exchange.frames_of(self), directory, overwrite=overwrite)

    # -- showing --------------------------------------------------------------------------------------------------

    def final(self) -> Final:
        """What a display shows at the end."""
        cited = self.citations
        return Final(
            text=self.text,
            reasoning=self.reasoning,
            outcome=self.outcome or Outcome.CRASHED,
            error=self.error or self.warning,
            summary={**self.row(), **self._rate()},
            citations=[{str(name): value for name, value in row.items()} for row in cited.to_dict("records")],
            choices=[choice.label for choice in self.choices],
            request=self._curl(),
        )

    def _curl(self) -> str:
        """The streaming request as a command: what a colleague needs to see the same."""
        sent = [one.curl for row, one in zip(self._record.calls, self.look.sent(), strict=False) if row.timed]
        return sent[-1] if sent else ""

    def _rate(self) -> dict[str, Any]:
        """Text chunks per second, for displays: shown only where the server counted no tokens."""
        from streamnb import analysis

        for row in analysis.latency(self.events).to_dict("records"):
            span = row["e2e_s"] - row["ttft_s"]
            if row["n_gaps"] > 0 and span > 0:
                return {"rate_per_s": row["n_gaps"] / span, "rate_unit": "chunks/s"}
        return {}

    def header(self, note: str = "") -> Header:
        """What a display shows at the top."""
        from urllib.parse import urlsplit

        info = self._record.info
        host = urlsplit(self._provider.base_url).netloc.rpartition("@")[2]
        return Header(info.provider, info.model, info.target, host, info.run_id, note)

    def __repr__(self) -> str:
        state = self.outcome.value if self.outcome is not None else "running"
        return f"<Run {self.run_id} {self._record.info.target}: {state}, {len(self.text)} characters>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        del kwargs
        return bundle(self._record.happenings(), self.final(), self.header(), self.look)

    def raise_for_outcome(self) -> None:
        """Do nothing when it is `ok`.

        Raises:
            RunError: it ended badly; the message is `error`, and the run is in its `run`.
        """
        if self.outcome is not None and not self.ok:
            raise RunError(self.error or f"{self._record.info.target} ended as {self.outcome.value}", self)
