from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import CUTS, PRINTED, cut_at, cuttings, drive, reports, streams

from streamnb.errors import LimitError
from streamnb.wire import PrefixLineFramer

CASES = {
    "codes": (
        b'f:{"messageId":"s"}\n0:"a\\nb"\nd:{}\n',
        [("f", {"messageId": "s"}, ""), ("0", "a\nb", ""), ("d", {}, "")],
    ),
    "unknown code": (b"z:[1]\n", [("z", [1], "")]),
    "CRLF": (b'0:"a"\r\n', [("0", "a", "")]),
    "blank lines": (b'\n\r\n \t\n0:"a"\n\n', [("0", "a", "")]),
    "no last newline": (b'0:"a"', [("0", "a", "unterminated")]),
    "cut": (b'0:"a', [("0", None, "malformed truncated unterminated")]),
    "cut code": (b"0", [("", None, "malformed unterminated")]),
    "bad JSON": (b'0:a\n0:"b"\n', [("0", None, "malformed invalid_json"), ("0", "b", "")]),
    "bad UTF-8": (b'0:"\xff"\n0:"b"\n', [("0", None, "malformed invalid_utf8 lossy"), ("0", "b", "")]),
    "no code": (b'{"message": "no"}\n0:"b"\n', [("", None, "malformed"), ("0", "b", "")]),
    "no code, no JSON": (b"<html>\n", [("", None, "malformed invalid_json")]),
    "upper case is no code": (b'A:"b"\n', [("", None, "malformed invalid_json")]),
    "lone surrogate": (b'0:"\\ud83d"\n', [("0", "\ud83d", "lone_surrogate")]),
    "byte order mark": (b'\xef\xbb\xbf0:"a"\n', [("0", "a", "")]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rules_hold_at_every_cut(name):
    data, expected = CASES[name]
    for pieces in cuttings(data):
        frames = drive(PrefixLineFramer(), pieces)
        assert [(f.event, f.value, f.flags) for f in frames] == [(e, v, set(x.split())) for e, v, x in expected]


def test_a_frame_holds_code_json_text_line_and_raw():
    (frame,) = PrefixLineFramer().feed(b'\ng: "\xe2\x82\xac"\r\n')
    assert (frame.event, frame.data, frame.value) == ("g", ' "\u20ac"', "\u20ac")
    assert (frame.line, frame.raw) == (2, b'g: "\xe2\x82\xac"')


@settings(deadline=None)
@given(
    streams(b"0:", b'"a"', b"d:{}", b"\n", b"\r\n", b"\r", b"x", b"\xff", b"\xef\xbb\xbf") | st.binary(max_size=30),
    CUTS,
)
def test_how_a_stream_is_cut_changes_nothing(data, places):
    assert reports(PrefixLineFramer, cut_at(data, places)) == reports(PrefixLineFramer, [data])


def test_incomplete_says_that_the_last_line_was_cut():
    for data, incomplete in ((b'0:"a"', False), (b'0:"a', True), (b"0:a\n", False)):
        framer = PrefixLineFramer()
        drive(framer, [data])
        assert framer.incomplete is incomplete


def test_a_recorded_stream_gives_its_text():
    for pieces in cuttings((PRINTED / "typebot.txt").read_bytes()):
        frames = drive(PrefixLineFramer(), pieces)
        text = "".join(frame.value for frame in frames if frame.event == "0")
        assert text == json.loads((PRINTED / "typebot.json").read_text())["text"]
        assert [frame.event for frame in frames] == ["f", "0", "0", "e", "d"]


def test_a_line_beyond_the_limit_is_an_error():
    with pytest.raises(LimitError, match="raise `limit`"):
        PrefixLineFramer(limit=3).feed(b"0:12")
