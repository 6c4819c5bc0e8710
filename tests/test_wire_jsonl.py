from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import CUTS, PRINTED, cut_at, cuttings, drain, drive, load, reports, streams

from streamnb.errors import LimitError
from streamnb.wire import JSONLFramer

JSONL = load("jsonl.jsonl")
ERRORS = {"invalid_json", "invalid_utf8", "truncated", "limit"}
PIECES = (
    b'{"a":1}',
    b"{",
    b"[1,",
    b"12",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"\xef\xbb\xbf",
    b"\xff",
    b"data:",
    b"\x1e",
    b'"',
)


def record(frame):
    if "malformed" in frame.flags:
        (error,) = frame.flags & ERRORS
        return {"line": frame.line, "error": error, "raw": base64.b64encode(frame.raw).decode()}
    flags = {"flags": sorted(frame.flags)} if frame.flags else {}
    return {"line": frame.line, "value": frame.value, **flags}


@pytest.mark.parametrize("vector", JSONL, ids=lambda vector: vector["name"])
def test_every_vector_passes_at_every_cut(vector):
    whole = b"".join(vector["chunks"])
    for pieces in [vector["chunks"], *cuttings(whole)]:
        frames, said = reports(JSONLFramer, pieces)
        assert [record(frame) for frame in frames] == vector["expected"]
        assert {name: said[name] for name in vector["state"]} == vector["state"]


# One case per rule J1-J8: bytes, and what each line is: (value, flags) or (None, flags with malformed).
CASES = {
    "J1 LF only, lone CR is whitespace": (b'{"a":\r1}\n\x0b1\n', [({"a": 1}, ""), (None, "malformed invalid_json")]),
    "J1 one CR before LF goes": (b"1\r\r\n", [(1, "")]),
    "J2 blank lines": (b"\n \t\r\n\r\n1\n  ", [(1, "")]),
    "J3 no final newline": (b'{"a":1}', [({"a": 1}, "no_final_newline")]),
    "J3 ambiguous": (b"null", [(None, "no_final_newline ambiguous_scalar")]),
    "J3 truncated": (b'1\n{"a":"\xe2\x82', [(1, ""), (None, "malformed truncated lossy")]),
    "J3 truncated in a byte order mark": (b"\xef\xbb", [(None, "malformed truncated lossy")]),
    "J4 one byte order mark": (b"\xef\xbb\xbf\xef\xbb\xbf1\n", [(None, "malformed invalid_json")]),
    "J5 the stream goes on": (b"{oops}\n1\n", [(None, "malformed invalid_json"), (1, "")]),
    "J6 UTF-8": (b'"\xff"\n1\n', [(None, "malformed invalid_utf8 lossy"), (1, "")]),
    "J6 no NaN": (b"[NaN]\n", [(None, "malformed invalid_json")]),
    "J6 depth": (b"[" * 201 + b"]" * 201 + b"\n", [(None, "malformed limit")]),
    "J6 digits": (b"9" * 4301 + b"\n", [(None, "malformed limit")]),
    "J6 float": (b"1e400\n", [(None, "malformed limit")]),
    "J6 a limit at the end is no truncation": (b"1e400", [(None, "malformed limit")]),
    "J7 lone surrogate": (b'"\\ud83d"\n', [("\ud83d", "lone_surrogate")]),
    "J7 duplicate keys": (b'{"a":1,"a":2}\n', [({"a": 2}, "duplicate_keys")]),
    "J7 big integers": (b"123456789012345678901234567890\n", [(123456789012345678901234567890, "")]),
    "J8 SSE": (
        b'data: {"a":1}\n\n: ping\nevent: x\n',
        [(None, "malformed invalid_json looks_like_sse")] * 3,
    ),
    "J8 array": (b'[{"a":1},\n{"b":2},\n{"c":3}]\n', [(None, "malformed invalid_json looks_like_json_array")] * 3),
    "J8 printed array": (b"[{\n1\n", [(None, "malformed invalid_json looks_like_json_array"), (1, "")]),
    "J8 json-seq": (b'\x1e{"a":1}\n', [(None, "malformed invalid_json looks_like_json_seq")]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rules_hold_at_every_cut(name):
    data, expected = CASES[name]
    for pieces in cuttings(data):
        frames = drive(JSONLFramer(), pieces)
        assert [(f.value, f.flags) for f in frames] == [(value, set(flags.split())) for value, flags in expected]


@settings(deadline=None)
@given(streams(*PIECES) | st.binary(max_size=40), CUTS)
def test_any_bytes_are_read_the_same_however_they_are_cut_and_none_is_lost(data, places):
    expected = reports(JSONLFramer, [data])
    assert reports(JSONLFramer, cut_at(data, places)) == expected
    frames, said = expected
    lines = data.removeprefix(b"\xef\xbb\xbf" if said["bom"] else b"").split(b"\n")
    ended = [line.removesuffix(b"\r") for line in lines[:-1]] + lines[-1:]
    assert [frame.raw for frame in frames] == [line for line in ended if line.strip(b" \t\r")]
    assert [frame.line for frame in frames] == [n for n, line in enumerate(ended, 1) if line.strip(b" \t\r")]


def test_a_frame_holds_text_value_line_and_raw():
    (frame,) = JSONLFramer().feed(b'\n {"t":"\xe2\x82\xac"} \r\n')
    assert (frame.data, frame.value, frame.line) == (' {"t":"\u20ac"} ', {"t": "\u20ac"}, 2)
    assert (frame.raw, frame.event) == (b' {"t":"\xe2\x82\xac"} ', "message")


def test_incomplete_says_that_the_last_line_was_cut():
    for data, incomplete in ((b'{"a":1}', False), (b'{"a":', True), (b"{oops}\n", False), (b"  ", False)):
        framer = JSONLFramer()
        drive(framer, [data])
        assert framer.incomplete is incomplete


def test_a_stream_as_a_vendor_page_prints_it_gives_its_text():
    data = (PRINTED / "chatbotkit.txt").read_bytes()
    for pieces in cuttings(data):
        frames = drive(JSONLFramer(), pieces)
        tokens = [frame.value["data"]["token"] for frame in frames if frame.value["type"] == "token"]
        assert "".join(tokens) == json.loads((PRINTED / "chatbotkit.json").read_text())["text"]
        assert [frame.line for frame in frames] == [1, 3, 4]
        assert frames[-1].flags == {"no_final_newline"}


def test_a_line_beyond_the_limit_is_an_error_after_the_frames_before_it():
    for pieces in cuttings(b'1\n"3456789012"\n2\n'):
        framer, frames = JSONLFramer(limit=11), []
        with pytest.raises(LimitError, match="more than 11 bytes"):
            drain(framer, [*pieces, b""], frames)
        assert [frame.value for frame in frames] == [1]
        with pytest.raises(LimitError):
            framer.close()
    assert [frame.value for frame in JSONLFramer(limit=11).feed(b'"345678901"\n')] == ["345678901"]
