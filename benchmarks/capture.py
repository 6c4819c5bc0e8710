"""What capturing a stream costs and how late its stamps are: streamnb beside the clients that people use.

Knows stacks, the load server and the targets. Must not know: how a stack works.

    python -m benchmarks.capture [--quick] [--rounds 5] [--only TEXT] [--json FILE]

One fresh process per round and stack, in turns, client and server each on a processor of its own. CPU is that of the
client's process, read from outside while the stream runs. Modes of the load: see load_server.c. The full form adds
every stack, paced, in bursts and in blast, at 1 to 1000 streams.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Sequence

from benchmarks.cells import LOUD, LOUD_CORES, Cell, Result, measured
from benchmarks.load import Server, built, serving
from benchmarks.loading import load_ext_row
from benchmarks.rows import Row, arguments, report

QUICK_S = 42.0
"""After so many seconds the quick form begins no other measurement of a second round."""
OPENAI, SSE, AIOHTTP, RAW = "openai", "httpx-sse", "aiohttp", "raw"
DEFERRED, ARRIVAL, OURS = "streamnb-deferred", "streamnb-arrival", "streamnb"
NAMES = {
    OPENAI: "openai-python",
    SSE: "httpx-sse + json",
    AIOHTTP: "aiohttp",
    RAW: "the limit",
    DEFERRED: "streamnb, parse deferred",
    ARRIVAL: "streamnb, parsed on arrival",
    OURS: "streamnb",
}
LATE_MS = 5.0
PEERS = (OPENAI, SSE, AIOHTTP, RAW)
MANY = (1, 50, 200, 500, 1000)

LOCK = tuple(Cell(stack, "lock") for stack in (DEFERRED, ARRIVAL, RAW, SSE, OPENAI, AIOHTTP))
LOCK_TLS = tuple(Cell(stack, "lock", tls=True) for stack in (DEFERRED, RAW, OPENAI))
USE = tuple(Cell(stack, "paced", 200) for stack in (OURS, SSE))
LATE = (Cell(OURS, "burst", 200), Cell(OURS, "paced", 500), Cell(OURS, "paced", 20, busy=True))
THOUSAND = Cell(OURS, "paced", 1000)
TTFT = Cell(OURS, "ttft", 256)
PLAN = (*LOCK, *LOCK_TLS, *USE, *LATE, THOUSAND, TTFT)
LATE_PEERS = tuple(dataclasses.replace(cell, stack=SSE) for cell in (*LATE, TTFT))
FULL = (
    *LATE_PEERS,
    Cell(OPENAI, "ttft", 256),
    Cell(SSE, "lock", tls=True),
    Cell(AIOHTTP, "lock", tls=True),
    Cell(ARRIVAL, "lock", tls=True),
    *(Cell(stack, "blast") for stack in (DEFERRED, ARRIVAL, *PEERS)),
    *(Cell(stack, mode, n) for mode in ("paced", "burst") for n in MANY for stack in (OURS, *PEERS)),
)

Found = dict[Cell, list[Result]]


class Figures:
    """Medians over the rounds."""

    def __init__(self, found: Found) -> None:
        self._found = found

    def of(self, cell: Cell, name: str) -> float | None:
        """The median of one figure; None where it could not be had."""
        values = [value for one in self._found.get(cell, ()) if (value := getattr(one, name)) is not None]
        return statistics.median(values) if values else None

    def note(self, cell: Cell) -> str:
        """What there is to say about a cell: of each remark one."""
        remarks = dict.fromkeys(remark for one in self._found.get(cell, ()) for remark in one.notes)
        return "; ".join(remarks)

    def row(self, figure: str, cell: Cell, name: str, unit: str, base: Cell | None = None, **judged: object) -> Row:
        """A figure of a cell, beside the same of another."""
        value, note = self.of(cell, name), self.note(cell)
        baseline = self.of(base, name) if base else None
        if base and baseline is None:
            note = "; ".join(filter(None, [note, f"{NAMES[base.stack]}: {self.note(base) or 'not measured'}"]))
        beside = NAMES[base.stack] if base else ""
        return Row(figure, value, unit, baseline, beside, note=note, **judged)  # type: ignore[arg-type]

    def lag(self, figure: str, cell: Cell, name: str, **judged: object) -> Row:
        """A lag, with the share of events that it does not stand for."""
        row, shared = self.row(figure, cell, name, "us", **judged), self.of(cell, "left_out_percent")
        note = f"{shared:.3g} % shared a read and are left out" if shared else ""
        return dataclasses.replace(row, note="; ".join(filter(None, [note, row.note])))


def rows_of(figures: Figures) -> list[Row]:
    """The table of targets."""
    return [*_costs(figures), *_many(figures), *_lags(figures)]


def _costs(figures: Figures) -> list[Row]:
    deferred, arrival, raw, sse, openai, aiohttp = LOCK
    targets = [
        (deferred, openai, 0.11, True),
        (deferred, sse, 0.20, True),
        (deferred, raw, 1.6, True),
        (arrival, openai, 0.17, False),
        (arrival, sse, 0.35, False),
        (LOCK_TLS[0], LOCK_TLS[2], 0.12, False),
        (LOCK_TLS[0], LOCK_TLS[1], 1.6, False),
    ]
    peers = (openai, sse, aiohttp, raw, LOCK_TLS[2], LOCK_TLS[1])
    rows = [figures.row(f"CPU per event: {_name(cell)}", cell, "cpu_us", "us") for cell in peers]
    for cell, base, target, hard in targets:
        name = f"CPU per event: {_name(cell)}"
        rows.append(figures.row(name, cell, "cpu_us", "us", base, target=target, judge="ratio", hard=hard))
    return rows


def _many(figures: Figures) -> list[Row]:
    ours, sse = USE
    backlog = figures.of(THOUSAND, "backlog_us")
    full = figures.row("core use, 1000 x 50/s", THOUSAND, "core", "cores", target=0.95)
    behind = "" if backlog is None else f"{backlog / 1e3:.3g} ms behind at the end"
    return [
        figures.row("core use, 200 x 50/s: httpx-sse + json", sse, "needed", "cores"),
        figures.row("core use, 200 x 50/s", ours, "needed", "cores", sse, target=0.40, judge="ratio"),
        dataclasses.replace(full, note="; ".join(filter(None, [behind, full.note]))),
        figures.row("age of the last events, 1000 x 50/s", THOUSAND, "backlog_us", "us", target=20_000),
    ]


def _lags(figures: Figures) -> list[Row]:
    rows = []
    names = ("200 in burst", "500 spread", "20, main thread busy")
    for cell, name, peer in zip(LATE, names, LATE_PEERS[:3], strict=True):
        peers = [figures.row(f"lag p99 of the stamp, {name}: httpx-sse", peer, "p99_us", "us")]
        rows += peers if peers[0].value is not None else []
        rows += [
            figures.lag(f"lag p50 of the stamp, {name}", cell, "p50_us"),
            figures.lag(f"lag p99 of the stamp, {name}", cell, "p99_us", target=100, hard=True),
        ]
    for peer in (LATE_PEERS[3], FULL[len(LATE_PEERS)]):
        told = figures.row(f"TTFT bias, 256 streams: {NAMES[peer.stack]}", peer, "ttft_bias_ms", "ms")
        rows += [told] if told.value is not None else []
    bias = figures.row(
        "TTFT bias, 256 streams (100 ms, gap 10 ms), mean", TTFT, "ttft_bias_ms", "ms", target=1, hard=True
    )
    if shared := figures.of(TTFT, "first_shared_percent"):
        note = f"{shared:.3g} % of the streams got their first event in one read with the next"
        bias = dataclasses.replace(bias, note="; ".join(filter(None, [note, bias.note])))
    worst = figures.row("TTFT bias, 256 streams, the worst stream", TTFT, "ttft_bias_worst_ms", "ms")
    return [*rows, bias, worst]


def more_rows(figures: Figures) -> list[Row]:
    """The full form's table of everything, without targets."""
    rows = []
    for cell in dict.fromkeys((*PLAN, *FULL)):
        if figures.of(cell, "core") is None or cell.mode in ("lock", "ttft"):
            continue
        name = f"{cell.mode}{f' {cell.streams} x 50/s' if cell.mode != 'blast' else ''}: {NAMES[cell.stack]}"
        rows.append(figures.row(f"{name}: CPU per event", cell, "cpu_us", "us"))
        if cell.mode != "blast":
            rows.append(figures.row(f"{name}: core use", cell, "needed", "cores"))
            rows += [figures.lag(f"{name}: lag {p}", cell, f"{p}_us") for p in ("p50", "p99")]
    return rows


def _name(cell: Cell) -> str:
    return f"{NAMES[cell.stack]}{', TLS' if cell.tls else ''}"


def collect(plan: Sequence[Cell], rounds: int, until: float, *, quick: bool) -> Found:
    """Measure in turns.

    Args:
        plan: what to measure in each round.
        rounds: at most so many.
        until: after this (`time.monotonic()`) nothing begins but the first round.
        quick: short windows, and after the first round only the CPU per event.
    """
    found: Found = {cell: [] for cell in plan}
    with contextlib.ExitStack() as ending:
        servers: dict[bool, Server] = {False: ending.enter_context(serving())}
        if built().tls and any(cell.tls for cell in plan):
            servers[True] = ending.enter_context(serving(tls=True))
        for number in range(rounds):
            for cell in plan:
                if number and time.monotonic() > until:
                    return found
                if not number or not quick or cell.mode == "lock":
                    found[cell].append(measured(cell, servers.get(cell.tls), quick=quick))
    return found


def main() -> None:
    """Measure, print, write."""
    began = time.monotonic()
    parser = arguments(__doc__, 5)
    parser.add_argument("--only", default="", metavar="TEXT", help="cells whose name has it: lock, tls, burst, ...")
    asked = parser.parse_args()
    plan = [cell for cell in dict.fromkeys(PLAN if asked.quick else (*PLAN, *FULL)) if asked.only in str(cell)]
    ext = None if asked.only else load_ext_row(3 if asked.quick else asked.rounds)
    until = began + (QUICK_S if asked.quick else 1e9)
    found = collect(plan, asked.rounds, until, quick=asked.quick)
    figures = Figures(found)
    rows = [*rows_of(figures), *filter(None, [ext]), *([] if asked.quick else more_rows(figures))]
    report([row for row in rows if row.value is not None or not asked.only], asked.json, *_conditions(found))


def _conditions(found: Found) -> list[str]:
    results = [one for several in found.values() for one in several]
    rounds = sorted({len(several) for several in found.values()})
    late = sum(one.server_late_ms > LATE_MS for one in results)
    said = [f"rounds {'-'.join(map(str, rounds))}"]
    said += (
        [f"other processes {statistics.median(one.foreign for one in results):.2f} cores (median)"] if results else []
    )
    said += [f"the server was over {LATE_MS:g} ms late in {late} of {len(results)} measurements"] if late else []
    if any(LOUD in one.notes for one in results):
        said.append(f"{LOUD}: others used over {LOUD_CORES} cores, so that more events share a read")
    return [*said, *filter(None, [built().limit])]


if __name__ == "__main__":
    main()
