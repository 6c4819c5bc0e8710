"""A transcript out of what `curl -isN` saw: `python tests/transcribe.py NAME/CASE sample.txt --prompt "Hi" --model M`.

One sample per call of the flow, in their order. How the run ended is what the provider makes of the bytes: look at it.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from samples import TRANSCRIPTS, name_of

from streamnb.conversation import Conversation
from streamnb.events import Prompt
from streamnb.minutes import call_line
from streamnb.options import json_value
from streamnb.playback import Playback
from streamnb.providers import Call, Ending, Provider, ReplyHead, load
from streamnb.redaction import RESPONSE_HEADERS, redact_headers
from streamnb.transcript import EndLine, Line, ReadLine, ReplyLine, RunLine, encode, read_lines
from streamnb.transport import Keyring, prepare

MS = 1_000_000
START_NS = 5_000_000 * MS
WALL_NS = 1_767_225_600_000 * MS  # 2026-01-01
CALL_MS, HEADERS_MS, READ_MS = 2, 180, 21


class Sample(NamedTuple):
    """One reply as curl prints it with -i: status line, headers, a blank line, the body."""

    status: int
    headers: list[tuple[str, str]]
    framing: str
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> Sample:
        end = b"\r\n" if data.partition(b"\n")[0].endswith(b"\r") else b"\n"  # an editor may have saved it
        head, blank, body = data.partition(end * 2)
        first, *rest = head.decode("latin-1").splitlines()
        version, status, *_ = [*first.split(), "", ""]
        if not (blank and version.startswith("HTTP/") and status.isdigit()):
            raise SystemExit("a sample begins with the status line and the headers of the reply: capture it with -i")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
        names = {name.lower() for name, _ in headers}
        ends = "chunked" if "transfer-encoding" in names or not version.startswith("HTTP/1") else "close"
        return cls(int(status), headers, "length" if "content-length" in names else ends, body)

    @property
    def reads(self) -> list[bytes]:
        """The body event by event, or line by line: how it is cut changes nothing."""
        end = b"\n\n" if b"\n\n" in self.body else b"\n"
        *whole, rest = self.body.split(end)
        return [piece + end for piece in whole] + ([rest] if rest else [])


class Writing:
    """A transcript being written: the lines so far and the clock of their stamps."""

    def __init__(self, provider: Provider, prompt: Prompt, run_id: str, note: str) -> None:
        meta = {"base_url": provider.base_url, "model": prompt.model, "usage": provider.usage, "note": note}
        clock = {"t_ns": START_NS, "wall_ns": WALL_NS}
        asked = dataclasses.asdict(dataclasses.replace(prompt, params=dict(prompt.params)))
        run = RunLine(run_id, provider.name, provider.name, dict(provider.values), asked, clock, 4242, meta)
        self.lines: list[Line] = [run]
        self._provider = provider
        self._t_ns = START_NS
        self._ends: list[int] = []
        self._n_reads = 0

    def exchange(self, call: Call, sample: Sample) -> float:
        """A call and what came; returns how long it lasted, s."""
        n, keys = len(self._ends), Keyring(self._provider.name, "dummy")
        t0_ns = self._tick(CALL_MS + call.delay_s * 1000)
        request = prepare(self._provider, call, keys, allow_http=True)
        self.lines.append(call_line(n, t0_ns, call, request, ()))
        headers = redact_headers(sample.headers, RESPONSE_HEADERS)
        timings = {"t0_ns": t0_ns, "sent_ns": t0_ns, "headers_ns": self._tick(HEADERS_MS), "reused": n > 0}
        self.lines.append(ReplyLine(n, self._t_ns, sample.status, headers, sample.framing, timings))
        for piece in sample.reads:
            self.lines.append(ReadLine(n=n, s=self._n_reads, t_ns=self._tick(READ_MS), w=len(piece), h=0, b=piece))
            self._n_reads += 1
        self._ends.append(self._tick(1))
        return (self._t_ns - t0_ns) / 1e9

    def end(self, outcome: str, error: str | None) -> bytes:
        """The file, with the counts that its own lines amount to."""
        playback = Playback(read_lines(b"".join(map(encode, self.lines))))
        for number in range(len(self.lines)):
            playback.take(number)
        playback.finish()
        ending = {"reached": {}, "ends_ns": self._ends}
        last = EndLine(outcome, error, ending, playback.record.counts(), self._t_ns)
        return b"".join(map(encode, [*self.lines, last]))

    def _tick(self, ms: float) -> int:
        self._t_ns += round(ms * MS)
        return self._t_ns


def transcribe(provider: Provider, prompt: Prompt, run_id: str, samples: Sequence[bytes], note: str = "") -> bytes:
    """The file of a run that got these replies."""
    conversation = Conversation(provider, prompt)
    writing = Writing(provider, prompt, run_id, note)
    for n, sample in enumerate(map(Sample.of, samples)):
        call = conversation.call
        if call is None:
            raise SystemExit(f"after {n} samples it was over: {conversation.outcome}; {conversation.error}")
        lasted_s = writing.exchange(call, sample)
        conversation.begin(ReplyHead(sample.status, {name.lower(): value for name, value in sample.headers}))
        for piece in sample.reads:
            conversation.feed(piece)
        conversation.close()
        conversation.end(Ending(None, sample.framing, lasted_s=lasted_s))
    if conversation.call is not None:
        raise SystemExit(f"the flow goes on: what came to its call {conversation.call.name!r} is one more sample")
    return writing.end(str(conversation.outcome), conversation.error)


def _pair(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json_value(value)


def main(words: Sequence[str] | None = None) -> None:
    """Write the transcript, say how it ended and what comes next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", metavar="NAME/CASE", help="the provider's name and what the case shall be called")
    parser.add_argument("samples", metavar="FILE", nargs="+", type=Path, help="a reply as `curl -isN` printed it")
    parser.add_argument("--prompt", default="", metavar="TEXT")
    parser.add_argument("--system", metavar="TEXT")
    parser.add_argument("--model", metavar="M")
    parser.add_argument("--base-url", metavar="URL")
    parser.add_argument("--param", default=[], action="append", type=_pair, metavar="K=V", help="as in %%%%chatstream")
    parser.add_argument("--option", default=[], action="append", type=_pair, metavar="K=V", help="of the provider")
    parser.add_argument("--note", default="", metavar="TEXT", help="where the bytes come from")
    found = parser.parse_args(words)
    name, _, case = found.case.partition("/")
    provider = load(name)(found.base_url, **dict(found.option))
    prompt = Prompt(found.prompt, found.system, found.model, dict(found.param))
    data = transcribe(provider, prompt, f"{name}-{case}", [path.read_bytes() for path in found.samples], found.note)
    path = TRANSCRIPTS / name / f"{case}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    end = read_lines(data).end
    sys.stdout.write(
        f"{path}\nended: {end.outcome if end else None}; {end.error if end else None}\n"
        f"next: pytest tests/test_providers.py --bless -k {name_of(path)}, then read its .events\n"
    )


if __name__ == "__main__":
    main()
