from __future__ import annotations

import pytest
from http2_server import ENDS, data, frame, goaway, ping, reset

from streamnb.transport.frames import Frames

PADDED = 8


def popped(frames: Frames) -> list[bytes]:
    return list(iter(frames.pop, None))


def fed(*pieces: bytes) -> Frames:
    frames = Frames()
    for piece in pieces:
        frames.feed(piece)
    return frames


def test_frames_come_out_one_by_one_in_their_order():
    sent = [ping(), data(b"one"), ping(), data(b"two", flags=PADDED), data(b"three", 3), reset(2), goaway(0)]
    assert popped(fed(b"".join(sent))) == sent


def test_data_without_flags_comes_out_together():
    row = data(b"one") + data(b"") + data(b"two")
    frames = fed(row + data(b"end", flags=ENDS) + data(b"late"))
    assert popped(frames) == [row, data(b"end"), data(b"", flags=ENDS), data(b"late")]
    frames.feed(data(b"more"))
    assert popped(frames) == [data(b"more")]
    frames.begin_again()
    frames.feed(data(b"a", 3) + data(b"b", 3) + data(b"c") + data(b"d"))
    assert popped(frames) == [data(b"a", 3) + data(b"b", 3), data(b"c"), data(b"d")]


@pytest.mark.parametrize("size", [1, 8, 9, 10, 13])
def test_a_frame_comes_out_when_its_last_byte_is_there(size: int):
    sent = data(b"hello") + data(b"you")
    frames, found = Frames(), []
    for at in range(0, len(sent), size):
        frames.feed(sent[at : at + size])
        found += popped(frames)
        assert sum(map(len, found)) <= at + size
    assert b"".join(found) == sent
    assert frames.reusable


def test_a_frame_that_is_too_large_is_a_fault_behind_what_came_before_and_is_not_waited_for():
    frames = fed(ping() + frame(0, 0, 1, bytes(16_385))[:9])
    assert popped(frames) == [ping()]
    assert frames.fault == "a frame of 16385 bytes, where 16384 are allowed"
    assert not frames.reusable
    largest = fed(data(bytes(16_384)))
    assert popped(largest) == [data(bytes(16_384))]
    assert largest.fault is None


def test_the_end_of_a_reply_is_a_frame_behind_its_data():
    assert popped(fed(data(b"bye", flags=ENDS))) == [data(b"bye"), data(b"", flags=ENDS)]
    assert popped(fed(data(b"", flags=ENDS))) == [data(b"", flags=ENDS)]
    padded = data(b"\x01x\0", flags=ENDS | PADDED)
    assert popped(fed(padded)) == [padded]


def test_a_goaway_without_an_error_waits_for_the_connections_end_and_comes_once():
    frames = fed(goaway(2**31 - 1) + data(b"x") + goaway(1), data(b"y"))
    assert popped(frames) == [data(b"x"), data(b"y")]
    assert frames.last() == goaway(2**31 - 1) + goaway(1)
    assert frames.last() == b""
    assert not frames.reusable


@pytest.mark.parametrize("said", [goaway(1, code=11), goaway(0), frame(7, 0, 0, b"")], ids=["error", "before", "empty"])
def test_a_goaway_that_ends_the_request_is_not_held_back(said: bytes):
    frames = fed(said)
    assert popped(frames) == [said]
    assert not frames.reusable


def test_what_a_goaway_means_depends_on_the_request_under_way():
    frames = Frames()
    frames.begin_again()
    frames.feed(goaway(1))
    assert popped(frames) == [goaway(1)]


def test_a_connection_is_not_used_again_after_half_a_frame_or_an_answer_to_no_question():
    assert fed(ping(), data(b"x")).reusable
    assert not fed(ping()[:-1]).reusable
    assert not fed(data(b"x", stream=3)).reusable
    frames = Frames()
    frames.begin_again()
    frames.feed(data(b"x", stream=3))
    assert frames.reusable
