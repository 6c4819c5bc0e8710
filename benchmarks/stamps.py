"""How late the stamps are: receive stamp minus the simulator's send time, same clock, main thread idle and busy.

Knows the public calls. Must not know: internals. Prints p50, p99 and max with the conditions; compares nothing.

    python benchmarks/stamps.py [tokens]
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time

import pandas as pd

import streamnb

GAP_S = 0.01


def lateness(tokens: int) -> pd.Series:
    """One paced run; microseconds per chunk."""
    run = streamnb.stream("demo", "Hi", pace={"tokens": tokens, "gap": GAP_S, "ttft": 0.05}, record=True)
    chunks = run.chunks.dropna(subset=["server_t_ns"])
    return (chunks["t_ns"] - chunks["server_t_ns"].astype("int64")) / 1e3


def busy(stop: threading.Event) -> None:
    """Pure Python that holds the GIL as a computing cell does."""
    while not stop.is_set():
        sum(range(1000))


def show(name: str, late_us: pd.Series) -> None:
    """One line of the table."""
    p50, p99 = late_us.quantile([0.5, 0.99])
    print(f"{name:<28} n={len(late_us):<6} p50 {p50:7.0f} us   p99 {p99:7.0f} us   max {late_us.max():7.0f} us")


def main() -> None:
    """Interleave both conditions, three rounds each."""
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}, one stream, {GAP_S * 1e3:g} ms between tokens on the loop thread")
    lateness(20)
    idle, loaded = [], []
    for _ in range(3):
        idle.append(lateness(tokens))
        stop = threading.Event()
        thread = threading.Thread(target=busy, args=(stop,))
        thread.start()
        time.sleep(0.05)
        loaded.append(lateness(tokens))
        stop.set()
        thread.join()
    show("main thread idle", pd.concat(idle))
    show("another thread in Python", pd.concat(loaded))


if __name__ == "__main__":
    main()
