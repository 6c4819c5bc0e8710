from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import CUTS, PRINTED, cut_at, cuttings, drive, streams

from streamnb.wire import (
    JSONBodyFramer,
    JSONLFramer,
    PrefixLineFramer,
    RawTextFramer,
    SniffFramer,
    SSEFramer,
    sse_or_json,
    typebot_auto,
)

SSE_OR_JSON = [
    (b"", SSEFramer),
    (b"\n\n", SSEFramer),
    (b"data: x\n\n", SSEFramer),
    (b"\n\n: ping\n\n", SSEFramer),
    (b"[1]", SSEFramer),
    (b"<html>", SSEFramer),
    (b'{"error": "x"}', JSONBodyFramer),
    (b'\xef\xbb\xbf\r\n {"error": "x"}', JSONBodyFramer),
    (b"\xef\xbb\xbfdata: x\n\n", SSEFramer),
    (b"\xef\xbb", SSEFramer),
]
TYPEBOT = [
    *SSE_OR_JSON[2:4],
    *SSE_OR_JSON[6:9],
    *((line + ending, SSEFramer) for line in (b"data", b"event", b"id", b"retry") for ending in (b":", b"\n", b"\r")),
    *((code + b':{}\n0:"a"\n', PrefixLineFramer) for code in (b"0", b"3", b"f", b"e", b"d", b"i", b"k", b"a")),
    (b'\r\n0:"a"\n', PrefixLineFramer),
    (b'\xef\xbb\xbf0:"a"\n', PrefixLineFramer),
    *((text, RawTextFramer) for text in (b"", b"\xef\xbb", b"\n", b" ", b"Hello", b"data", b"da", b"d", b"0", b"01")),
    *((text, RawTextFramer) for text in (b"database", b"dear", b"idea", b"l:x", b" 0:1", b"0 :", b"\nHello\n", b"[1]")),
]


@pytest.mark.parametrize(("body", "framer"), SSE_OR_JSON)
def test_an_api_of_sse_may_answer_with_a_json_object(body, framer):
    for pieces in cuttings(body):
        sniffing = SniffFramer(sse_or_json("chat", comment_frames=True))
        drive(sniffing, pieces)
        assert type(sniffing._framer) is framer


@pytest.mark.parametrize(("body", "framer"), TYPEBOT)
@pytest.mark.parametrize("content_type", [None, "text/plain; charset=utf-8"])
def test_typebot_is_recognised_by_its_first_line(body, framer, content_type):
    for pieces in cuttings(body):
        sniffing = SniffFramer(typebot_auto("streamMessage", content_type))
        drive(sniffing, pieces)
        assert type(sniffing._framer) is framer


@pytest.mark.parametrize(("body", "framer"), SSE_OR_JSON)
def test_typebot_with_the_content_type_of_sse_is_sse_or_json(body, framer):
    sniffing = SniffFramer(typebot_auto("streamMessage", "Text/Event-Stream; charset=utf-8"))
    drive(sniffing, [body])
    assert type(sniffing._framer) is framer


@pytest.mark.parametrize(
    ("body", "known_after"),
    [(b":", 1), (b"data: x", 5), (b"dear", 2), (b"d:{}", 2), (b"Hello", 1), (b"{", 1), (b"\n\n{", 3), (b"ik", 2)],
)
def test_typebot_is_recognised_as_early_as_the_bytes_allow(body, known_after):
    sniffing = SniffFramer(typebot_auto("streamMessage", None))
    known = []
    for n in range(len(body)):
        sniffing.feed(body[n : n + 1])
        known.append(sniffing._framer is not None)
    assert known.index(True) + 1 == known_after


def text_of(frames):
    return "".join(frame.value if frame.event == "0" else frame.data for frame in frames if frame.event in "0 text")


@settings(deadline=None)
@given(
    streams(b"0", b":", b'"a"', b"\n", b"data", b"d", b" x", b"\xef\xbb\xbf", b"{", b"id") | st.binary(max_size=9), CUTS
)
def test_how_a_body_is_cut_changes_neither_the_framer_nor_what_it_reads(data, places):
    whole, cut = (SniffFramer(typebot_auto("streamMessage", None)) for _ in range(2))
    expected, frames = drive(whole, [data]), drive(cut, cut_at(data, places))
    assert type(whole._framer) is type(cut._framer)
    if not isinstance(whole._framer, RawTextFramer):
        assert frames == expected
    assert b"".join(frame.raw for frame in frames) == b"".join(frame.raw for frame in expected)


def test_the_recorded_typebot_bodies_are_recognised():
    prefix, sse = (
        drive(SniffFramer(typebot_auto("streamMessage", None)), [(PRINTED / f"{name}.txt").read_bytes()])
        for name in ("typebot", "typebot_sse")
    )
    assert "".join(frame.value for frame in prefix if frame.event == "0") == "It left the depot.\nSoon with you."
    assert "".join(frame.data for frame in sse[:-1]) == "It left the depot."


def test_attributes_are_those_of_the_chosen_framer():
    sniffing = SniffFramer(sse_or_json("chat", last_event_id="3"))
    assert (sniffing.last_event_id, sniffing.comments, sniffing.bom, sniffing.blank_lines) == ("", [], False, 0)
    assert (sniffing.incomplete, sniffing.reconnection_time) == (False, None)
    sniffing.feed(b"id: 4\nretry: 5\n: c\n\n")
    assert (sniffing.last_event_id, sniffing.reconnection_time, sniffing.comments) == ("4", 5, [" c"])
    with pytest.raises(AttributeError):
        sniffing.nonsense  # noqa: B018
    assert copy.copy(sniffing).last_event_id == "4"


@pytest.mark.parametrize("content_type", [None, "text/event-stream"])
def test_typebot_as_sse_keeps_comments_in_their_place(content_type):
    frames = drive(SniffFramer(typebot_auto("streamMessage", content_type)), [b": t_ns=1\ndata: x\n\n"])
    assert [frame.event for frame in frames] == ["comment", "message"]


def test_at_most_one_kibibyte_is_held_back_and_nothing_is_lost():
    sniffing = SniffFramer(lambda prefix, at_eof: None)
    assert sniffing.feed(b"x" * 1023) == []
    assert [frame.data for frame in sniffing.feed(b"y")] == ["x" * 1023 + "y"]
    assert [frame.data for frame in sniffing.feed(b"z")] == ["z"]


def test_the_decider_sees_at_most_one_kibibyte_and_is_told_when_it_is_the_end():
    asked = []

    def decide(prefix, at_eof):
        asked.append((len(prefix), at_eof))
        return JSONLFramer() if at_eof else None

    assert [frame.value for frame in SniffFramer(decide).feed(b"1\n" * 1000)] == [1] * 1000
    assert [frame.value for frame in drive(SniffFramer(decide), [b"1\n", b"2"])] == [1, 2]
    assert asked == [(1024, True), (2, False), (3, False), (3, True)]
