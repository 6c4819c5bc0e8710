"""Run files put together by hand: small, and as old as a test wants them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from streamnb.journal import Journal
from streamnb.transcript import EndLine, RunLine, encode

DAY_NS = 86_400_000_000_000


def run_line(run_id: str, *, target: str = "demo", wall_ns: int = 1_000, **meta: Any) -> RunLine:
    """The first line of a run of OpenAI's API."""
    clock = {"t_ns": 5, "wall_ns": wall_ns}
    return RunLine(run_id, "openai_chat", target, {}, {"text": "Why?"}, clock, 1, {"model": "m-1", **meta})


def days_ago(days: float) -> int:
    return time.time_ns() - round(days * DAY_NS)


def written(directory: Path, run_id: str, *, outcome: str | None = "complete", **more: Any) -> Path:
    """A file of a run that made no call; without an outcome its writer died."""
    path = directory / run_id[:8] / f"{run_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [run_line(run_id, **more)]
    if outcome is not None:
        lines.append(EndLine(outcome, None, {}, {}, 9))
    path.write_bytes(b"".join(map(encode, lines)))
    return path


def running(directory: Path, run_id: str, **more: Any) -> Journal:
    """A file whose writer lives: close it to end that."""
    journal = Journal(directory / run_id[:8] / f"{run_id}.jsonl")
    journal.write(run_line(run_id, **more))
    return journal
