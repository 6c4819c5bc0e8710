from __future__ import annotations

import pytest
from wire_vectors import cuttings, drive

from streamnb.wire import SSEFramer

PRETTY = b'data: {\n  "a": 1\n}\n'

# One case per rule of WIRE.md 0.2-0.4: bytes, and the (event, data, flags) they mean.
CASES = {
    "0.2 proper multi-line JSON": (b'data: {\ndata: "a": 1\ndata: }\n\n', [("message", '{\n"a": 1\n}', "")]),
    "0.2 named event without data": (b"event: end\nid: 4\n\n", [("end", "", "no_data")]),
    "0.2 retry alone is no event": (b"retry:2000\n\n", []),
    "0.2 id alone is no event": (b"id: 4\n\n", []),
    "0.2 comments are no events": (b":\n\n: ping - 1\r\n\r\n: OPENROUTER PROCESSING\n", []),
    "0.2 a keepalive in data stays data": (b"data: : keepalive\n\n", [("message", ": keepalive", "")]),
    "0.2 empty data is a frame": (b"data:\n\ndata: \n\n", [("message", "", ""), ("message", "", "")]),
    "0.2 no space after the colon": (b"event:trace\ndata:x\n\n", [("trace", "x", "")]),
    "0.2 only one space goes": (b"data:  end\n\n", [("message", " end", "")]),
    "0.2 lone CR": (b"data: a\r\rdata: b\r\r", [("message", "a", ""), ("message", "b", "")]),
    "0.2 byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
    "0.2 U+2028 and NEL are data": ("data: a\u2028b\x85c\n\n".encode(), [("message", "a\u2028b\x85c", "")]),
    "0.2 last event without blank line": (b"data: [DONE]\n", [("message", "[DONE]", "unterminated")]),
    "0.2 its JSON is cut": (b'data: {"a": "b', [("message", '{"a": "b', "unterminated malformed")]),
    "0.2 bytes that are not UTF-8": (b"data: \xff\n\n", [("message", "\ufffd", "lossy")]),
    "0.3 unprefixed lines of JSON": (PRETTY + b"\n", [("message", '{\n  "a": 1\n}', "continued")]),
    "0.3 blank lines inside": (b"data: [\n\n\n1,\n\n2]\n\n", [("message", "[\n\n\n1,\n\n2]", "continued")]),
    "0.3 a field inside": (b'data: {\nid: 5\n"a": 1}\n\n', [("message", '{\n"a": 1}', "continued")]),
    "0.3 data inside": (b'data: {\n"a":\ndata: 1\n}\n\n', [("message", '{\n"a":\n1\n}', "continued")]),
    "0.3 a comment inside": (b'data: {\n: c\n"a": 1}\n\n', [("message", '{\n"a": 1}', "continued")]),
    "0.3 brackets in strings": (b'data: {\n"a": "}\\"}"\n}\n\n', [("message", '{\n"a": "}\\"}"\n}', "continued")]),
    "0.3 not after complete JSON": (b'data: {"a": 1}\nfoo\n\n', [("message", '{"a": 1}', "")]),
    "0.3 not after text": (b"data: a {\nfoo\n\n", [("message", "a {", "")]),
    "0.3 not after text and JSON": (b"data: a\ndata: {\nfoo\n\n", [("message", "a\n{", "")]),
    "0.3 not without data": (b"event: a\n{\nfoo\n\n", [("a", "", "no_data")]),
    "0.3 trailing commas": (b'data: {\n"a": [1,\n],\n}\n\n', [("message", '{\n"a": [1\n]\n}', "continued repaired")]),
    "0.3 a comma in a string stays": (
        b'data: {\n"a": ",}",}\n\n',
        [("message", '{\n"a": ",}"}', "continued repaired")],
    ),
    "0.3 block after block": (
        PRETTY + b"\n" + PRETTY + b'\ndata: {"b":\ndata: 2}\n\n',
        [("message", '{\n  "a": 1\n}', "continued")] * 2 + [("message", '{"b":\n2}', "")],
    ),
    "0.3 beyond repair": (b"data: {\noops\n}\n\n", [("message", "{\noops\n}", "continued malformed")]),
    "0.3 held, then a field": (b"data: {\n\ndata: x\n\n", [("message", "{", "malformed"), ("message", "x", "")]),
    "0.3 held, then an event": (b"data: [1\n\nevent: e\ndata: x\n\n", [("message", "[1", "malformed"), ("e", "x", "")]),
    "0.3 held, then a comment": (b"data: {\n\n: ping\n", [("message", "{", "malformed")]),
    "0.3 held, then the end": (b"data: {\n\n\n", [("message", "{", "malformed")]),
    "0.3 held, then a cut comment": (b"data: {\n\n: pi", [("message", "{", "malformed")]),
    "0.3 held, then a cut field name": (b"data: {\n\ndat", [("message", "{", "malformed")]),
    "0.3 held, then a cut field": (
        b"data: {\n\ndata: x",
        [("message", "{", "malformed"), ("message", "x", "unterminated")],
    ),
    "0.3 held, then a cut line": (b"data: {\n\n}", [("message", "{\n\n}", "continued unterminated")]),
    "0.3 continued and cut": (b'data: {\n"a": 1\n', [("message", '{\n"a": 1', "continued malformed unterminated")]),
    "0.3 bytes that are not UTF-8": (b'data: {\n"\xff": 1}\n\n', [("message", '{\n"\ufffd": 1}', "continued lossy")]),
    "0.3 the standard's JSON wins": (b'data: {"a":\nfoo\ndata: 1}\n\n', [("message", '{"a":\n1}', "")]),
    "0.3 and wins late": (b'data: {"a":\nfoo {\ndata: 1}\n\n: c\n', [("message", '{"a":\n1}', "")]),
    "0.4 an event line after type and data": (
        b'event: a\ndata: {"n": 1}\nevent: b\ndata: x\nevent: c\ndata: y\n\n',
        [("a", '{"n": 1}', "implicit"), ("b", "x", "implicit"), ("c", "y", "")],
    ),
    "0.4 with ids": (
        b"event: a\nid: 1\ndata: x\nevent: end\nid: 2\n",
        [("a", "x", "implicit"), ("end", "", "no_data unterminated")],
    ),
    "0.4 not after data alone": (b"data: x\nevent: b\n\n", [("b", "x", "")]),
    "0.4 not after type alone": (b"event: a\nevent: b\ndata: x\n\n", [("b", "x", "")]),
    "0.4 not when it is empty": (b"event: a\ndata: x\nevent:\n\n", [("message", "x", "")]),
    "0.4 not inside JSON": (b"event: a\ndata: {\nevent: b\ndata: }\n\n", [("b", "{\n}", "")]),
    "0.4 pretty-printed": (
        b"event: a\n" + PRETTY + b"event: b\n" + PRETTY,
        [("a", '{\n  "a": 1\n}', "continued implicit"), ("b", '{\n  "a": 1\n}', "continued unterminated")],
    ),
    "0.4 several JSON lines": (
        b'data: {"a": 1}\ndata: [2]\n\n',
        [("message", '{"a": 1}', "implicit"), ("message", "[2]", "implicit")],
    ),
    "0.4 and the end marker": (
        b'data: {"a": 1}\ndata: [DONE]\n\n',
        [("message", '{"a": 1}', "implicit"), ("message", "[DONE]", "implicit")],
    ),
    "0.4 several printed values": (
        PRETTY + b'data: {"b":\ndata: 2}\n\n',
        [("message", '{\n  "a": 1\n}', "continued implicit"), ("message", '{"b":\n2}', "implicit")],
    ),
    "0.4 the last one cut": (
        b'data: {"a": 1}\ndata: {"b"',
        [("message", '{"a": 1}', "implicit unterminated"), ("message", '{"b"', "implicit malformed unterminated")],
    ),
    "0.4 not when one is not JSON": (b'data: {"a": 1}\ndata: {x}\n\n', [("message", '{"a": 1}\n{x}', "")]),
    "0.4 not when one is text": (b'data: {"a": 1}\ndata: x\n\n', [("message", '{"a": 1}\nx', "")]),
    "0.4 not for numbers": (b"data: 1\ndata: 2\n\n", [("message", "1\n2", "")]),
    "0.4 not when they join to JSON": (b"data: []\ndata:\n\n", [("message", "[]\n", "")]),
    "0.4 not JSON and unprefixed lines": (
        b"data: {x}\ndata: {\n}\n\n",
        [("message", "{x}\n{\n}", "continued malformed")],
    ),
    "C10 a cut event name": (b"event: e", [("e", "", "no_data unterminated")]),
    "C10 a cut field name": (b"data: x\nev", [("message", "x", "unterminated")]),
    "C10 a cut line after complete data": (b"data: x\nfoo", [("message", "x", "unterminated")]),
    "C10 a cut retry": (b"data: x\nretry: 12", [("message", "x", "unterminated")]),
    "C10 nothing but a cut field": (b"retry: 12", []),
}


@pytest.mark.parametrize("name", CASES)
def test_the_tolerant_rules_hold_at_every_cut(name):
    data, expected = CASES[name]
    for pieces in cuttings(data):
        frames = drive(SSEFramer(), pieces)
        assert [(f.event, f.data, f.flags) for f in frames] == [(e, d, set(f.split())) for e, d, f in expected], pieces


def test_comment_frames_come_in_their_place_and_before_the_block_they_stand_in():
    data = b": one\n\nevent: a\n: two\ndata: x\n\ndata: {\n\n: \xff\ndata: y\n: cut"
    for pieces in cuttings(data):
        framer = SSEFramer(comment_frames=True)
        frames = drive(framer, pieces)
        assert [(f.event, f.data, f.flags) for f in frames] == [
            ("comment", " one", {"comment"}),
            ("comment", " two", {"comment"}),
            ("a", "x", set()),
            ("message", "{", {"malformed"}),
            ("comment", " \ufffd", {"comment", "lossy"}),
            ("comment", " cut", {"comment", "unterminated"}),
            ("message", "y", {"unterminated"}),
        ]
        assert framer.comments == [" one", " two", " \ufffd"]


def test_a_comment_comes_out_as_soon_as_its_line_ends():
    framer = SSEFramer(comment_frames=True)
    assert [frame.data for frame in framer.feed(b"data: x\n: t_ns=5\n")] == [" t_ns=5"]
    assert [frame.raw for frame in framer.feed(b"\n")] == [b"data: x\n\n"]


def test_strict_never_yields_comments():
    assert drive(SSEFramer(strict=True, comment_frames=True), [b": c\ndata: x\n\n"])[0].data == "x"


def test_an_unfinished_block_shows_its_id_but_does_not_commit_it():
    framer = SSEFramer(last_event_id="old")
    frames = drive(framer, [b"id: new\ndata: x\n"])
    assert ([frame.id for frame in frames], framer.last_event_id) == (["new"], "old")


def test_a_block_without_event_still_commits_id_and_retry():
    framer = SSEFramer()
    assert drive(framer, [b"id: 4\nretry: 9\n\n"]) == []
    assert (framer.last_event_id, framer.reconnection_time, framer.incomplete) == ("4", 9, False)


@pytest.mark.parametrize(
    ("data", "incomplete"),
    [(b"data: {\n\n", False), (b"data: {\n\n}\n", True), (b"foo\n", False), (b"data\n", True), (b"foo", True)],
)
def test_incomplete_says_whether_the_stream_ended_inside_a_line_or_block(data, incomplete):
    framer = SSEFramer()
    drive(framer, [data])
    assert framer.incomplete is incomplete
