"""Records put together by hand, through the same calls the driver makes, at times a test can add up in its head."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from streamnb import tables
from streamnb.conversation import Step
from streamnb.events import Event
from streamnb.recording import Record, RunInfo
from streamnb.transcript import CallLine, ReadLine

S = 1_000_000_000
T0_NS = 1_000 * S


@dataclasses.dataclass
class Read:
    t_s: float
    events: tuple[Event, ...]
    call: int = 0
    data: bytes = b"{}"
    wire_bytes: int = 7
    stamp: str = "read"
    server_t_ns: int | None = None


def read(t_s: float, *events: Event, **more: Any) -> Read:
    """One read at t_s seconds after t0."""
    return Read(t_s, events, **more)


def record(*reads: Read, run_id: str = "r1", t0: bool = True, **info: Any) -> Record:
    """A record of streaming calls, each handed over 1/8 s before t0; without `t0` no connection was ever ready."""
    made = Record(RunInfo(run_id, "openai_chat", "demo", 1_700_000_000_123_456_789, **info))
    begin_call(made, t0=t0)
    for one in reads:
        append(made, one, t0=t0)
    return made


def begin_call(made: Record, *, t0: bool = True) -> None:
    n = len(made.calls)
    row = made.call(CallLine(n, T0_NS - S // 8, "chat", "POST", "http://x.example", (), stream=True))
    row.t0_ns = T0_NS if t0 else None


def append(made: Record, one: Read, *, t0: bool = True) -> None:
    while len(made.calls) <= one.call:
        begin_call(made, t0=t0)
    t_ns = T0_NS + round(one.t_s * S)
    made.read(ReadLine(n=one.call, s=len(made.chunks), t_ns=t_ns, w=one.wire_bytes, h=0, b=one.data, stamp=one.stamp))
    made.understood(Step(one.events, len(one.events), one.server_t_ns))


def events_of(*reads: Read, run_id: str = "r1", t0: bool = True) -> pd.DataFrame:
    return tables.events(record(*reads, run_id=run_id, t0=t0))


def delta(text: str = "a", **more: Any) -> Event:
    return Event("delta", text, **more)


def reasoning(text: str = "hm") -> Event:
    return Event("reasoning", text)


def usage(tokens_in: int | None = None, tokens_out: int | None = None, **more: Any) -> Event:
    return Event("usage", data={"tokens_in": tokens_in, "tokens_out": tokens_out} | more)
