from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import CUTS, cut_at, drive

from streamnb.wire import RawTextFramer

BOM = b"\xef\xbb\xbf"


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode) | st.text().map(lambda text: BOM + text.encode()), CUTS)
def test_how_a_stream_is_cut_never_changes_its_text_or_bytes(data, places):
    framer = RawTextFramer()
    frames = drive(framer, cut_at(data, places))
    assert "".join(frame.data for frame in frames) == data.removeprefix(BOM).decode(errors="replace")
    assert b"".join(frame.raw for frame in frames) == data.removeprefix(BOM)
    assert framer.bom is data.startswith(BOM)
    for frame in frames:
        assert frame.data == frame.raw.decode(errors="replace")
        assert ("lossy" in frame.flags) == (frame.data.encode() != frame.raw)


def test_a_frame_comes_with_the_byte_that_completes_a_character():
    framer = RawTextFramer()
    fed = [[frame.data for frame in framer.feed(piece)] for piece in (b"a\xe2", b"\x82", b"\xacb", b"")]
    assert fed == [["a"], [], ["\u20acb"], []]
    assert (framer.close(), framer.incomplete) == ([], False)


def test_a_character_cut_by_the_end_comes_out_flagged():
    framer = RawTextFramer()
    assert framer.feed(b"\xf0\x9f\x98") == []
    (frame,) = framer.close()
    assert (frame.data, frame.raw, frame.event) == ("\ufffd", b"\xf0\x9f\x98", "text")
    assert frame.flags == {"lossy", "unterminated"}
    assert framer.incomplete


@pytest.mark.parametrize(("data", "text"), [(BOM, ""), (BOM + BOM + b"x", "\ufeffx"), (b"x" + BOM, "x\ufeff")])
def test_exactly_one_leading_byte_order_mark_is_stripped(data, text):
    pieces = [data[n : n + 1] for n in range(len(data))]
    assert "".join(frame.data for frame in drive(RawTextFramer(), pieces)) == text
