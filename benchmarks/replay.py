"""How true a replay's pace is: the gaps of a recording against the gaps at which its replay hands the reads out.

Knows the public calls and one clock. Must not know: how a replay works.

    python benchmarks/replay.py [--seconds 5] [--rounds 3]

Prints the distribution of |gap in the replay - gap in the recording| at speed 1, in ms, idle and with a thread that
computes; the rounds are interleaved.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import threading
import time

os.environ["STREAMNB_RECORDINGS"] = tempfile.mkdtemp()

import numpy as np

import streamnb
from streamnb.client import Replay


def replayed_gaps_s(run: streamnb.Run) -> np.ndarray:
    """Gaps between the moments at which the reads of a replay are handed out, s."""
    stamps: dict[int, int] = {}
    replay = Replay(run)
    replay.on_arrival = lambda arrival: stamps.setdefault(arrival.chunk.seq, time.monotonic_ns()) and None
    replay.wait()
    return np.diff([stamps[seq] for seq in sorted(stamps)]) / 1e9


def computing(stop: threading.Event) -> None:
    """Pure Python, holding the interpreter lock as a busy cell does."""
    while not stop.is_set():
        sum(range(1000))


def main() -> None:
    """Record once, replay in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    tokens = round(asked.seconds / 0.02)
    run = streamnb.stream("demo", "Hi", pace={"tokens": tokens, "gap": 0.02, "ttft": 0.1})
    recorded = np.diff(run.chunks["t_ns"]) / 1e9
    print(
        f"recording: {run.summary['close_s'].item():.2f} s, {len(run.chunks)} reads; {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    errors: dict[str, list[float]] = {"idle": [], "computing": []}
    for _ in range(asked.rounds):
        for name, found in errors.items():
            stop = threading.Event()
            if name == "computing":
                threading.Thread(target=computing, args=(stop,), daemon=True).start()
            found += list(np.abs(replayed_gaps_s(run) - recorded) * 1e3)
            stop.set()
    for name, found in errors.items():
        p50, p99 = np.quantile(found, [0.5, 0.99])
        print(f"{name:10} n={len(found)}  p50 {p50:.3f} ms  p99 {p99:.3f} ms  max {max(found):.3f} ms")


if __name__ == "__main__":
    main()
