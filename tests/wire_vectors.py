"""The shared vectors, and the ways to cut a stream: whole, every 2-split, byte by byte, at random."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from streamnb.wire import Frame

VECTORS = Path(__file__).parent / "vectors"
PRINTED = VECTORS / "printed"
SMALL = 3000


def load(name: str) -> list[dict[str, Any]]:
    """The vectors of one file, `chunks` decoded; lines end at LF only."""
    vectors = [json.loads(line) for line in (VECTORS / name).read_text("utf-8").split("\n") if line]
    for vector in vectors:
        vector["chunks"] = [base64.b64decode(chunk) for chunk in vector["chunks"]]
    return vectors


def cuttings(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and cut in two everywhere (large streams: in 50 places)."""
    yield [data]
    yield [data[n : n + 1] for n in range(len(data))]
    places = range(1, len(data)) if len(data) <= SMALL else range(1, len(data), len(data) // 50)
    for place in places:
        yield [data[:place], data[place:]]


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at these places (taken modulo its length), empty pieces included."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def drive(framer: Any, pieces: list[bytes]) -> list[Frame]:
    """All frames of a stream."""
    return [frame for piece in pieces for frame in framer.feed(piece)] + framer.close()


def reports(make: Callable[[], Any], pieces: list[bytes]) -> tuple[list[Frame], dict[str, Any]]:
    """All frames of a stream and everything else the framer says about it."""
    framer = make()
    frames = drive(framer, pieces)
    names = ("last_event_id", "reconnection_time", "incomplete", "comments", "blank_lines", "bom")
    return frames, {name: getattr(framer, name) for name in names}


def streams(*alphabet: bytes) -> st.SearchStrategy[bytes]:
    """Streams of these pieces, in any order."""
    return st.lists(st.sampled_from(alphabet), max_size=25).map(b"".join)


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


def drain(framer: Any, pieces: list[bytes], frames: list[Frame]) -> None:
    """Feed all pieces; what came before an error is in `frames`."""
    for piece in pieces:
        frames += framer.feed(piece)
