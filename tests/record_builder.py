"""Records put together by hand: the columns a reader would have written, without a reader."""

from __future__ import annotations

import dataclasses
import json
import math
from array import array
from typing import Any

import pandas as pd

from streamnb import tables
from streamnb.events import Event, Outcome

S = 1_000_000_000
T0_NS = 1_000 * S


@dataclasses.dataclass
class RunInfo:
    run_id: str
    provider: str = "openai_chat"
    target: str = "demo"
    started_ns: int = 1_700_000_000_123_456_789
    profile: str | None = None
    model: str | None = None
    cell_id: str | None = None
    chat: str | None = None
    repeat: int | None = None


@dataclasses.dataclass
class CallRow:
    n: int
    name: str = "chat"
    stream: bool = True
    t_ns: int = T0_NS
    status: int | None = 200
    t0_ns: int | None = T0_NS
    dns_s: float = math.nan
    connect_s: float = math.nan
    tls_s: float = math.nan
    sent_ns: int | None = None
    headers_ns: int | None = None
    first_byte_ns: int | None = None
    end_ns: int | None = None
    reused: bool | None = None


class ChunkColumns:
    def __init__(self) -> None:
        self.call = array("i")
        for name in ("t_ns", "wire_bytes", "n_frames", "n_events", "server_t_ns"):
            setattr(self, name, array("q"))
        self.data: list[bytes] = []
        self.stamp_source: list[str] = []


class EventColumns:
    def __init__(self) -> None:
        self.chunk, self.choice = array("q"), array("q")
        for name in ("kind", "text", "name", "id", "data", "flags"):
            setattr(self, name, [])


class Record:
    def __init__(self, info: RunInfo) -> None:
        self.info, self.calls = info, []
        self.chunks, self.events = ChunkColumns(), EventColumns()
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self.t0_ns: int | None = T0_NS
        self.close_ns: int | None = None
        self.queued_s = self.setup_s = math.nan


@dataclasses.dataclass
class Read:
    t_s: float
    events: tuple[Event, ...]
    call: int = 0
    data: bytes = b"{}"
    wire_bytes: int = 7
    stamp: str = "read"
    server_t_ns: int = -1


def read(t_s: float, *events: Event, **more: Any) -> Read:
    """One read at t_s seconds after t0."""
    return Read(t_s, events, **more)


def record(*reads: Read, run_id: str = "r1", t0: bool = True, **info: Any) -> Record:
    made = Record(RunInfo(run_id, **info))
    made.t0_ns = T0_NS if t0 else None
    for one in reads:
        append(made, one)
    return made


def append(made: Record, one: Read) -> None:
    chunks = made.chunks
    seq = len(chunks.data)
    for name, value in {
        "call": one.call,
        "t_ns": T0_NS + round(one.t_s * S),
        "wire_bytes": one.wire_bytes,
        "n_frames": len(one.events),
        "n_events": len(one.events),
        "server_t_ns": one.server_t_ns,
        "data": one.data,
        "stamp_source": one.stamp,
    }.items():
        getattr(chunks, name).append(value)
    for event in one.events:
        for name, value in {
            "chunk": seq,
            "choice": -1 if event.choice is None else event.choice,
            "kind": event.kind,
            "text": event.text,
            "name": event.name,
            "id": event.id,
            "data": None if event.data is None else json.dumps(event.data),
            "flags": " ".join(sorted(event.flags)),
        }.items():
            getattr(made.events, name).append(value)


def events_of(*reads: Read, run_id: str = "r1", t0: bool = True) -> pd.DataFrame:
    return tables.events(record(*reads, run_id=run_id, t0=t0))


def delta(text: str = "a", **more: Any) -> Event:
    return Event("delta", text, **more)


def reasoning(text: str = "hm") -> Event:
    return Event("reasoning", text)


def usage(tokens_in: int | None = None, tokens_out: int | None = None, **more: Any) -> Event:
    return Event("usage", data={"tokens_in": tokens_in, "tokens_out": tokens_out} | more)
