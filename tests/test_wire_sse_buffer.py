from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wire_sse import ODD_PIECES
from wire_vectors import CUTS, cut_at, cuttings, drain, drive, reports, streams

from streamnb.errors import LimitError
from streamnb.wire import SSEFramer
from streamnb.wire._sse_buffer import SSEBuffer

MIB = 1024 * 1024


@settings(deadline=None)
@given(streams(*ODD_PIECES) | st.binary(max_size=60), CUTS, st.booleans())
def test_how_a_stream_is_cut_changes_nothing(data, places, comment_frames):
    def framer():
        return SSEFramer(comment_frames=comment_frames)

    expected = reports(framer, [data])
    assert reports(framer, cut_at(data, places)) == expected
    assert reports(framer, [data[n : n + 1] for n in range(len(data))]) == expected


@settings(deadline=None)
@given(streams(*ODD_PIECES) | st.binary(max_size=60), st.booleans())
def test_every_byte_is_in_one_frame_or_counted_as_skipped(data, comment_frames):
    framer = SSEFramer(comment_frames=comment_frames)
    frames = drive(framer, [data])
    assert sum(len(frame.raw) for frame in frames) + framer.skipped_bytes == len(data)
    bytes_left = iter(data)
    in_order = [frame.raw for frame in frames if "comment" not in frame.flags] + [framer.tail]
    assert all(byte in bytes_left for raw in in_order for byte in raw)


@pytest.mark.parametrize(
    ("data", "raws", "skipped", "tail"),
    [
        (b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n"], 0, b""),
        (b"\xef\xbb\xbf\ndata: a\n\n\n", [b"data: a\n\n"], 5, b""),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r", b"data: b\r\n\r"], 2, b""),
        (b"foo\nid: 1\nretry: 1\n\n", [], 20, b""),
        (b"foo\ndata: a\nbar\n\n", [b"foo\ndata: a\nbar\n\n"], 0, b""),
        (b": c\r\ndata: a\r\n: d\r\ndata: b\r\n\r\n", [b": c\r", b": d\r", b"data: a\r\ndata: b\r\n\r"], 3, b""),
        (b"event: a\ndata: x\nevent: b\ndata: y\n", [b"event: a\ndata: x\n", b"event: b\ndata: y\n"], 0, b""),
        (b"data: {}\n: c\ndata: []\n\n", [b": c\n", b"data: {}\n", b"data: []\n\n"], 0, b""),
        (b"data: {\n\ndata: x\n\n", [b"data: {\n\n", b"data: x\n\n"], 0, b""),
        (b"data: x\nda", [b"data: x\n"], 2, b"da"),
        (b"data: x\n\nretry: 12", [b"data: x\n\n"], 9, b"retry: 12"),
        (b"foo\nba", [], 6, b"foo\nba"),
    ],
)
def test_raw_is_the_bytes_of_the_block(data, raws, skipped, tail):
    for pieces in cuttings(data):
        framer = SSEFramer(comment_frames=True)
        assert [frame.raw for frame in drive(framer, pieces)] == raws
        assert (framer.skipped_bytes, framer.tail) == (skipped, tail)


def test_strict_keeps_the_bytes_of_the_block_that_the_end_cut_off():
    framer = SSEFramer(strict=True)
    assert framer.tail == b""
    assert len(drive(framer, [b"data: a\n\ndata: b\ndat"])) == 1
    assert (framer.tail, framer.incomplete) == (b"data: b\ndat", True)


def test_closing_twice_adds_nothing():
    framer = SSEFramer()
    assert len(drive(framer, [b"data: x\n\nda"])) == 1
    assert (framer.close(), framer.incomplete, framer.skipped_bytes) == ([], False, 2)


@pytest.mark.parametrize("data", [b"data: xxxxx\n\n", b": xxxxxxxxx\n", b"data: x\n: c\ndata: y\n", b"xxxxxxxxxxxx"])
def test_a_block_beyond_the_limit_is_an_error_after_the_frames_before_it(data):
    for pieces in cuttings(b"data: ok\n\n" + data):
        framer, frames = SSEFramer(limit=11), []
        with pytest.raises(LimitError, match="more than 11 bytes; raise `limit`"):
            drain(framer, [*pieces, b"\n", b"\n"], frames)
        assert [frame.data for frame in frames] == ["ok"]
        with pytest.raises(LimitError):
            framer.close()


def test_a_block_of_exactly_the_limit_is_accepted():
    assert [f.data for f in SSEFramer(limit=11).feed(b"data: abc\n\n: 34567890\n")] == ["abc"]


def test_a_large_event_is_accepted_when_the_limit_allows():
    piece = b"x" * MIB
    framer = SSEFramer(limit=65 * MIB)
    frames = [*framer.feed(b"data: "), *(f for _ in range(64) for f in framer.feed(piece)), *framer.feed(b"\n\n")]
    assert [len(frame.data) for frame in frames] == [64 * MIB]


def timed(data: bytes) -> float:
    framer, begin = SSEFramer(), time.perf_counter()
    for n in range(len(data)):
        framer.feed(data[n : n + 1])
    framer.close()
    return time.perf_counter() - begin


@pytest.mark.parametrize(
    ("head", "unit", "tail"),
    [
        (b"data: ", b"x", b"\n\n"),
        (b"data: {\n", b'"k": {},\n', b"}\n\n"),
        (b"data: {\n", b"\n", b"}\n\n"),
        (b"", b"data: {}\n", b"\n"),
        (b'data: {"', b'\\"', b"\n,}\n\n"),
    ],
    ids=["one line", "continued lines", "held blank lines", "several values", "unterminated string"],
)
def test_time_is_linear_even_byte_by_byte(head, unit, tail):
    data = head + unit * (MIB // 4 // len(unit)) + tail
    assert timed(data) < 10  # quadratic would be an hour; 0.3 s here


def test_an_event_of_one_mebibyte_in_single_bytes_takes_seconds():
    assert timed(b"data: " + b"x" * MIB + b"\n\n") < 20  # C15 asks for 2 s on an idle machine; 1 s here


class CountingBytes(bytearray):
    """Counts how many bytes the search for line ends may look at."""

    searched = 0

    def find(self, sub, start=0, *rest):
        CountingBytes.searched += len(self) - start
        return super().find(sub, start, *rest)


def test_every_byte_of_a_line_is_searched_once_per_kind_of_line_end():
    buffer = SSEBuffer(MIB)
    CountingBytes.searched, buffer._at_start, buffer._held = 0, False, CountingBytes()
    for _ in range(10_000):
        if not buffer._held:
            buffer._held = CountingBytes(b"x")
        else:
            buffer.add(b"x")
        assert list(buffer.lines()) == []
    assert len(buffer.rest()) == 10_000
    assert CountingBytes.searched == 2 * 10_000


def test_memory_is_that_of_one_event_not_of_the_stream():
    event = b'data: {"text": "' + b"word " * 400 + b'"}\n\n: ping\n\nretry: 5\n\n'
    piece = event * (65_536 // len(event))
    framer = SSEFramer()
    tracemalloc.start()
    try:
        frames = sum(len(framer.feed(piece)) for _ in range(64 * MIB // len(piece)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frames > 30_000
    assert peak < 4 * MIB
