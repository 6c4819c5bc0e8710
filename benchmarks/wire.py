"""CPU per event of SSEFramer against httpx-sse's decoder: same bytes, same process, rounds interleaved.

Run: python benchmarks/wire.py [rounds]
"""

from __future__ import annotations

import codecs
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

from httpx_sse._decoders import SSEDecoder, SSELineDecoder

from streamnb.wire import SSEFramer

EVENTS = 10_000
EVENT = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-small","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"Hello there, how are"},"finish_reason":null,"logprobs":null}],"usage":null}\n\n'
)
CUTS = {"1 event per chunk": len(EVENT), "64 KiB chunks": 65_536, "100-byte chunks": 100}
Reader = Callable[[list[bytes]], int]


def default(chunks: list[bytes]) -> int:
    """SSEFramer as the providers use it: tolerant, raw bytes kept per frame."""
    framer = SSEFramer()
    return sum(len(framer.feed(chunk)) for chunk in chunks)


def strict(chunks: list[bytes]) -> int:
    """SSEFramer as the standard says."""
    framer = SSEFramer(strict=True)
    return sum(len(framer.feed(chunk)) for chunk in chunks)


def httpx_sse(chunks: list[bytes]) -> int:
    """httpx-sse's two decoders behind an incremental UTF-8 decoder, as its EventSource runs them."""
    decode, lines, events = codecs.getincrementaldecoder("utf-8")("replace").decode, SSELineDecoder(), SSEDecoder()
    return sum(events.decode(line) is not None for chunk in chunks for line in lines.decode(decode(chunk)))


READERS: dict[str, Reader] = {"httpx-sse": httpx_sse, "strict": strict, "default": default}


def measure(chunks: list[bytes], rounds: int) -> dict[str, float]:
    """Median CPU microseconds per event of each reader."""
    taken: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(rounds):
        for name, read in READERS.items():
            begin = time.process_time()
            events = read(chunks)
            taken[name].append((time.process_time() - begin) / EVENTS * 1e6)
            if events != EVENTS:
                raise SystemExit(f"{name} read {events} of {EVENTS} events")
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Print the conditions, then one line per way of cutting the stream."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    versions = f"Python {platform.python_version()}, httpx-sse {importlib.metadata.version('httpx-sse')}"
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{versions}, {machine}, {len(EVENT)}-byte events, median of {rounds} interleaved rounds of {EVENTS}")
    body = EVENT * EVENTS
    for cut, size in CUTS.items():
        times = measure([body[n : n + size] for n in range(0, len(body), size)], rounds)
        columns = (f"{name} {us:.2f} us ({us / times['httpx-sse']:.2f}x)" for name, us in times.items())
        print(f"{cut:18} {', '.join(columns)}")


if __name__ == "__main__":
    main()
