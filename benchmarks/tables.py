"""What it takes to keep a million events and make DataFrames of them, beside a list of dicts; and how it grows.

Knows a Record's own calls and the tables. Must not know: sockets, providers. One fresh process per measurement.

    python -m benchmarks.tables [--quick] [--rounds 5] [--json FILE]

A list of dicts is what people keep: six fields per event, handed to `pandas.DataFrame`. The Record is filled as a run
fills it, one event per read, and gives its table `events`. Memory is the growth of the process, from before the first
event to the most it had while the table was made. The bytes of the bodies, which a Record also keeps, are left out of
the targets (every read has the same object) and have rows of their own, in which the list keeps them too. Times of
tables are medians of three made of the same events.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.framing import EVENT
from benchmarks.rows import Row, arguments, report

MILLION = 1_000_000
SIZES = (10_000, 100_000, MILLION, 10_000_000)
BYTES_PER_EVENT = 700
"""For the largest sizes: so much memory must be free."""
STEP_NS = 20_000_000
FRAMES = 3
"""Tables made of the same events in one process. The time is their median: the first also pays for pages of memory
that the machine may never have had before. The memory is that of the first."""


def recorded(n: int, *, raw: bool) -> Any:
    """A Record of `n` events, each from a read of its own, through the calls that a run makes."""
    from streamnb.conversation import Step
    from streamnb.events import Event
    from streamnb.recording import Record, RunInfo
    from streamnb.transcript import CallLine, ReadLine

    record = Record(RunInfo("r", "openai_chat", "demo", 0))
    record.call(CallLine(0, 0, "chat", "POST", "http://localhost/", (), stream=True)).t0_ns = 0
    for at in range(n):
        data = b"%b%d" % (EVENT, at) if raw else EVENT
        t_ns = at * STEP_NS
        record.read(ReadLine(n=0, s=at, t_ns=t_ns, w=len(EVENT), h=0, b=data, k_ns=t_ns - 3_000))
        record.understood(Step((Event("delta", f" word{at}", 0),), 1))
    return record


def listed(n: int, *, raw: bool) -> list[dict[str, Any]]:
    """The same as a list of dicts."""
    rows = []
    for at in range(n):
        row = {"seq": at, "chunk_seq": at, "t_ns": at * STEP_NS, "kind": "delta", "text": f" word{at}", "choice": 0}
        if raw:
            row["data"] = b"%b%d" % (EVENT, at)
        rows.append(row)
    return rows


def child(way: str, n: int, *, raw: bool) -> None:
    """Fill, make the table, print CPU seconds and MiB as one line of JSON.

    Args:
        way: `dicts`, or a table's name.
        n: events.
        raw: whether each keeps bytes of its own.
    """
    import pandas as pd

    from streamnb import tables

    recorded(10, raw=raw)
    tables.events(recorded(10, raw=raw))
    pd.DataFrame(listed(10, raw=raw))
    before = _reset_peak()
    began = time.process_time()
    kept = listed(n, raw=raw) if way == "dicts" else recorded(n, raw=raw)
    filled_s = time.process_time() - began
    mib, times_s = 0.0, []
    for _ in range(FRAMES):
        began = time.process_time()
        frame = pd.DataFrame(kept) if way == "dicts" else getattr(tables, way)(kept)
        times_s.append(time.process_time() - began)
        mib = mib or _peak() - before  # of one table: what follows may have two at a time
        n_rows = len(frame)
        del frame
    said = {"fill_s": filled_s, "frame_s": statistics.median(times_s), "mib": mib, "rows": n_rows}
    print(json.dumps(said))


def _reset_peak() -> float:
    """Forget the most memory this process had, where that can be done; MiB it has now."""
    file = Path("/proc/self/clear_refs")
    if file.exists():
        file.write_text("5")
    return _peak()


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(way: str, n: int, *, raw: bool = False) -> dict[str, float]:
    """One fresh process: `fill_s`, `frame_s` (CPU), `mib`."""
    command = [sys.executable, "-m", "benchmarks.tables", "--child", way, "--events", str(n)]
    command += ["--raw"] if raw else []
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parent.parent, timeout=600
    )
    said: dict[str, float] = json.loads(done.stdout)
    if said["rows"] != n:
        raise SystemExit(f"{way}: {said['rows']} rows of {n}")
    return said


Found = dict[tuple[str, int, bool], list[dict[str, float]]]


def collect(n: int, sizes: tuple[int, ...], rounds: int, *, raw: bool) -> Found:
    """The list of dicts and the tables in turns; then the sizes."""
    plan = [("dicts", n, False), ("events", n, False), ("chunks", n, False)]
    plan += [("dicts", n, True), ("events", n, True)] if raw else []
    plan += [("events", size, False) for size in sizes if size != n]
    found: Found = {one: [] for one in plan}
    for _ in range(rounds):
        for way, size, bodies in plan:
            if size <= n or size * BYTES_PER_EVENT < _free_bytes():
                found[way, size, bodies].append(measured(way, size, raw=bodies))
    return found


def _free_bytes() -> float:
    file = Path("/proc/meminfo")
    if not file.exists():
        return float("inf")
    line = next(line for line in file.read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def rows_of(found: Found, n: int) -> list[Row]:
    """The table of targets, then the growth."""

    def middle(way: str, size: int, of: str, *, raw: bool = False) -> float | None:
        values = [one[of] for one in found.get((way, size, raw), ())]
        return statistics.median(values) if values else None

    dicts = "a list of dicts"
    base_s, base_mib = middle("dicts", n, "frame_s"), middle("dicts", n, "mib")
    rows = [
        Row(f"{n} events to a DataFrame: {dicts}", base_s, "s CPU"),
        Row(
            f"{n} events to a DataFrame: tables.events",
            middle("events", n, "frame_s"),
            "s CPU",
            base_s,
            dicts,
            0.05,
            judge="ratio",
        ),
        Row(f"{n} reads to a DataFrame: tables.chunks", middle("chunks", n, "frame_s"), "s CPU", base_s, dicts),
        Row(f"memory of {n} events and their table: {dicts}", base_mib, "MiB"),
        Row(
            f"memory of {n} events and their table: Record",
            middle("events", n, "mib"),
            "MiB",
            base_mib,
            dicts,
            0.25,
            judge="ratio",
        ),
        Row(f"recording {n} events: {dicts}", middle("dicts", n, "fill_s"), "s CPU"),
        Row(
            f"recording {n} events: Record", middle("events", n, "fill_s"), "s CPU", note="with Event and line objects"
        ),
    ]
    if ("events", n, True) in found:
        mib, other = (middle(way, n, "mib", raw=True) for way in ("events", "dicts"))
        rows.append(Row(f"memory with {len(EVENT)}-byte bodies: Record", mib, "MiB", other, f"{dicts} with them"))
    return [*rows, *_growth(found)]


def _growth(found: Found) -> list[Row]:
    sizes = sorted(size for way, size, raw in found if way == "events" and not raw)
    rows, base = [], None
    for size in sizes:
        results = found["events", size, False]
        figure = f"tables.events of {size:.0e} events, per event"
        if not results:
            rows.append(Row(figure, None, "ns", note="this machine has too little free memory"))
            continue
        ns = statistics.median(one["frame_s"] for one in results) / size * 1e9
        rows.append(Row(figure, ns, "ns", base, "the smallest" if base else ""))
        base = base or ns
    return rows


def main() -> None:
    """Measure, print, write; or be one of the measured processes."""
    parser = arguments(__doc__, 5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=int, default=MILLION, help=f"how many ({MILLION})")
    parser.add_argument("--raw", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.events, raw=asked.raw)
        return
    sizes = tuple(size for size in SIZES if size <= asked.events or not asked.quick)
    found = collect(asked.events, sizes, 1 if asked.quick else asked.rounds, raw=not asked.quick)
    report(rows_of(found, asked.events), asked.json)


if __name__ == "__main__":
    main()
