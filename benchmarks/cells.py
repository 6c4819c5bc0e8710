"""One measurement of the capture benchmark: a stack in a process of its own against the load server.

Knows processes and what the two of them report. Must not know: targets, tables.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.load import Server, busy_s

_groups: Final = itertools.count()
LOUD_CORES: Final = 0.4
LOUD: Final = "loud"
PER_S: Final = 50
"""Events per second and stream, paced and in bursts."""
WINDOWS_MS: Final = {
    "lock": (100, 400, 1000),
    "blast": (100, 400, 1000),
    "paced": (300, 1000, 2500),
    "burst": (300, 1000, 2500),
    "ttft": (0, 600, 600),
}
"""Per mode: what does not count, how long the quick form measures, how long the full one."""
GIVEN_UP_NS: Final = 2_900_000_000
"""The server waits 3 s for what was not read."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured: a stack under a load."""

    stack: str
    mode: str
    streams: int = 1
    tls: bool = False
    busy: bool = False

    def __str__(self) -> str:
        parts = [self.stack, self.mode, str(self.streams), "tls" if self.tls else "", "busy" if self.busy else ""]
        return " ".join(filter(None, parts))


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of it; None: not to be had, `notes` say why.

    Attributes:
        cpu_us: the client's CPU per event.
        core: the client's CPU per time while events came: 1 is a full core.
        needed: CPU per event times the events per second that the load is meant to have: over 1 it cannot keep up.
        backlog_us: age of the last events when the client had them.
        left_out_percent: events that shared a read, for which the lags do not stand.
        first_shared_percent: streams whose first event shared a read with the next: a late client.
        foreign: cores that processes of others used meanwhile; NaN unknown.
        server_late_ms: how late the server was at the worst. Stamps are true all the same: they say when it did send.
    """

    cpu_us: float | None = None
    core: float | None = None
    needed: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    backlog_us: float | None = None
    left_out_percent: float | None = None
    ttft_bias_ms: float | None = None
    ttft_bias_worst_ms: float | None = None
    first_shared_percent: float | None = None
    foreign: float = 0.0
    server_late_ms: float = 0.0
    notes: tuple[str, ...] = ()


def measured(cell: Cell, server: Server | None, *, quick: bool) -> Result:
    """Run a cell; where other processes were loud and there is time, once more, and the quieter one counts."""
    if server is None:
        return Result(notes=("the load server has no TLS here",))
    if cell.mode == "lock" and not server.lock:
        return Result(notes=("the kernel does not say what a client has not read",))
    first = _once(cell, server, quick=quick)
    if quick or not first.foreign > LOUD_CORES:
        return first
    return min(first, _once(cell, server, quick=quick), key=lambda one: one.foreign)


def _spec(cell: Cell, group: str, *, quick: bool) -> tuple[str, int]:
    """What the server shall do, and how many ms at the start do not count."""
    warm, short, long = WINDOWS_MS[cell.mode]
    settle, hold = (400, 450) if cell.mode == "blast" else (50, 100)  # what blast left in the sockets is counted too
    gap_us = 10_000 if cell.mode == "ttft" else round(1e6 / PER_S)
    window = short if quick else long
    return f"mode={cell.mode},group={group},warm={warm},window={window},settle={settle},hold={hold},gap={gap_us}", warm


def _once(cell: Cell, server: Server, *, quick: bool) -> Result:
    group = f"g{next(_groups)}"
    spec, warm_ms = _spec(cell, group, quick=quick)
    command = [sys.executable, "-m", "benchmarks.stacks", cell.stack, server.origin, spec]
    command += ["--streams", str(cell.streams), "--warm-ms", str(warm_ms)]
    command += ["--ca", str(server.ca)] if server.ca else []
    command += ["--busy"] if cell.busy else []
    before, began = _accounts(server), time.monotonic()
    client = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, timeout=180, cwd=Path(__file__).parent.parent
    )
    after, wall_s = _accounts(server), time.monotonic() - began
    foreign = ((after[0] - before[0]) - (after[1] - before[1])) / wall_s
    told = {"notes": [f"{cell.stack} failed, exit status {client.returncode}"]}
    if not client.returncode:
        told = json.loads(client.stdout)
    if "absent" in told:
        return Result(foreign=foreign, notes=(f"{told['absent']} is not installed",))
    try:
        seen = server.heard(group, 5)
    except TimeoutError:
        return Result(foreign=foreign, notes=(*told["notes"], "the server saw no end"))
    return _result(cell, told, seen, foreign)


def _result(cell: Cell, told: dict[str, Any], seen: dict[str, Any], foreign: float) -> Result:
    n = told.get("n", 0) + told.get("left_out", 0)
    cpu_us = seen["settled_cpu_ns"] / seen["events"] / 1e3 if seen["events"] else None
    notes = [*told["notes"], *([] if seen["events"] else ["too slow: no event went out in the time measured"])]
    if foreign > LOUD_CORES and cell.mode in ("paced", "burst", "ttft"):
        notes.append(LOUD)
    if seen["waited_ns"] >= GIVEN_UP_NS:
        notes.append("saturated: 3 s later it had not read everything")
    return Result(
        cpu_us=cpu_us,
        core=seen["cpu_ns"] / seen["wall_ns"] if seen["wall_ns"] else None,
        needed=cpu_us * cell.streams * PER_S / 1e6 if cpu_us else None,
        p50_us=told.get("p50_us"),
        p99_us=told.get("p99_us"),
        backlog_us=told.get("backlog_us"),
        left_out_percent=100 * told["left_out"] / n if n else None,
        ttft_bias_ms=told.get("ttft_bias_ms"),
        ttft_bias_worst_ms=told.get("ttft_bias_worst_ms"),
        first_shared_percent=told.get("first_shared_percent"),
        foreign=foreign,
        server_late_ms=seen["server_late_ns"] / 1e6,
        notes=tuple(notes),
    )


def _accounts(server: Server) -> tuple[float, float]:
    """CPU of all processes, and of ours, s."""
    ended, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    ours = ended.ru_utime + ended.ru_stime + own.ru_utime + own.ru_stime + server.cpu_s
    return busy_s(), ours
