"""Frames: whatever pieces a pipe makes of them, they come out whole and in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.isolation._frames import Frame, Kind, Unpacker, pack

FRAMES = st.lists(st.builds(Frame, st.integers(0, 2**64 - 1), st.sampled_from(Kind), st.binary(max_size=50)))


@given(FRAMES, st.integers(1, 40))
def test_frames_come_out_as_they_went_in_however_the_pipe_cuts_them(frames: list[Frame], size: int):
    data, unpacker, found = b"".join(map(pack, frames)), Unpacker(), []
    for at in range(0, len(data), size):
        found += unpacker.feed(data[at : at + size])
    assert found == frames


def test_a_frame_is_given_out_with_its_last_byte_and_not_before():
    data, unpacker = pack(Frame(7, Kind.LINE, b"abc")), Unpacker()
    assert unpacker.feed(data[:-1]) == []
    assert unpacker.feed(data[-1:]) == [Frame(7, Kind.LINE, b"abc")]


def test_a_kind_that_there_is_not_is_an_error():
    with pytest.raises(ValueError, match="99 is not a valid Kind"):
        Unpacker().feed(b"\0" * 8 + b"\x63" + b"\0" * 4)
