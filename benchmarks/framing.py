"""CPU per event of the framers beside the decoders of httpx-sse, openai-python and httpx2: same bytes, one process.

Knows one decoder per package, private ones where nothing else reads bytes. Must not know: sockets, what events mean.

    python -m benchmarks.framing [--quick] [--rounds 7] [--json FILE]

Events of 238 bytes of JSON, cut three ways, the readers in turns; figures are medians. `strict` is the standard and
nothing else; `tolerant` is what the providers use: it keeps the raw bytes of each frame and repairs what it can.
"""

from __future__ import annotations

import codecs
import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable

from benchmarks.rows import Row, arguments, report
from streamnb.wire import JSONLFramer, SSEFramer

JSON = (
    b'{"id":"chatcmpl-0000000000000000000","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"system_fingerprint":"fp_12345","choices":[{"index":0,"delta":{"content":"0000000000000000000"},"logprobs":null,'
    b'"finish_reason":null}]}'
)
EVENT = b"data: " + JSON + b"\n\n"
LINE = JSON + b"\n"
TARGET = 1.5
Reader = Callable[[list[bytes]], int]


def strict(chunks: list[bytes]) -> int:
    """SSEFramer as the standard says."""
    framer = SSEFramer(strict=True)
    return sum(len(framer.feed(chunk)) for chunk in chunks)


def tolerant(chunks: list[bytes]) -> int:
    """SSEFramer as the providers use it."""
    framer = SSEFramer()
    return sum(len(framer.feed(chunk)) for chunk in chunks)


def httpx_sse(chunks: list[bytes]) -> int:
    """httpx-sse's two decoders behind an incremental UTF-8 decoder, as its EventSource runs them."""
    from httpx_sse._decoders import SSEDecoder, SSELineDecoder

    decode, lines, events = codecs.getincrementaldecoder("utf-8")("replace").decode, SSELineDecoder(), SSEDecoder()
    return sum(events.decode(line) is not None for chunk in chunks for line in lines.decode(decode(chunk)))


def openai(chunks: list[bytes]) -> int:
    """openai-python's decoder of bytes."""
    from openai._streaming import SSEDecoder

    return sum(1 for _ in SSEDecoder().iter_bytes(iter(chunks)))


def httpx2(chunks: list[bytes]) -> int:
    """httpx2's parser behind an incremental UTF-8 decoder, as its EventSource runs it."""
    from httpx2._sse import _SSEParser

    decode, parser = codecs.getincrementaldecoder("utf-8")("replace").decode, _SSEParser(1 << 20)
    return sum(1 for chunk in chunks for _ in parser.decode(decode(chunk)))


def json_lines(chunks: list[bytes]) -> int:
    """JSONLFramer: every line checked and read as JSON, its raw bytes kept."""
    framer = JSONLFramer()
    return sum(len(framer.feed(chunk)) for chunk in chunks)


def httpx_lines(chunks: list[bytes]) -> int:
    """What `aiter_lines` of httpx uses, and json, as people read JSON Lines."""
    from httpx._decoders import LineDecoder

    decode, lines = codecs.getincrementaldecoder("utf-8")("replace").decode, LineDecoder()
    n = 0
    for chunk in chunks:
        for line in lines.decode(decode(chunk)):
            json.loads(line)
            n += 1
    return n


SSE: dict[str, Reader] = {
    "SSEFramer, tolerant": tolerant,
    "SSEFramer, strict": strict,
    "httpx-sse": httpx_sse,
    "openai": openai,
    "httpx2": httpx2,
}
LINES: dict[str, Reader] = {"JSONLFramer": json_lines, "httpx lines + json": httpx_lines}
BASELINES = {"httpx-sse", "httpx lines + json"}


def cuts(unit: bytes) -> dict[str, int]:
    """The ways to cut a stream of `unit`, and the bytes per chunk."""
    return {"1 event per chunk": len(unit), "64 KiB chunks": 65_536, "100-byte chunks": 100}


def measure(readers: dict[str, Reader], chunks: list[bytes], events: int, rounds: int) -> dict[str, float | None]:
    """Median CPU microseconds per event of each reader; None for a package that is not there or has changed.

    Raises:
        SystemExit: a reader did not find the events.
    """
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            begin = time.process_time()
            try:
                found = read(chunks)
            except ImportError:
                continue
            taken[name].append((time.process_time() - begin) / events * 1e6)
            if found not in (events, events - 1):  # a line decoder keeps the last line until the end
                raise SystemExit(f"{name} read {found} of {events} events")
    return {name: statistics.median(values) if values else None for name, values in taken.items()}


def rows_of(cut: str, times: dict[str, float | None], target: float | None) -> list[Row]:
    """Events per second of each reader beside the baseline's."""
    baseline = next(times[name] for name in times if name in BASELINES)
    beside = next(name for name in times if name in BASELINES)
    rows = []
    for name, us in times.items():
        figure = f"{name}, {cut}"
        if us is None:
            rows.append(Row(figure, None, "1/s", note="the package is not there, or its decoder has another name"))
            continue
        other = None if name == beside or baseline is None else 1e6 / baseline
        judged = target if name.startswith("SSEFramer") else None
        row = Row(figure, 1e6 / us, "1/s", other, beside, judged, at_least=True, judge="ratio", note=f"{us:.2f} us")
        rows.append(row)
    return rows


def collect(events: int, rounds: int) -> list[Row]:
    """Both formats, each cut three ways."""
    rows = []
    for readers, unit in ((SSE, EVENT), (LINES, LINE)):
        body = unit * events
        for cut, size in cuts(unit).items():
            chunks = [body[at : at + size] for at in range(0, len(body), size)]
            target = TARGET if size >= len(unit) and readers is SSE else None
            rows += rows_of(cut, measure(readers, chunks, events, rounds), target)
    return rows


def main() -> None:
    """Measure, print, write."""
    asked = arguments(__doc__, 7).parse_args()
    rows = collect(5_000 if asked.quick else 10_000, 5 if asked.quick else asked.rounds)
    packages = ("httpx-sse", "openai", "httpx2")
    installed = {one.metadata["Name"].lower() for one in importlib.metadata.distributions()}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages if name in installed)
    report(rows, asked.json, versions, f"{len(EVENT)}-byte events")


if __name__ == "__main__":
    main()
