from __future__ import annotations

import json
import re

import pytest
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import CUTS, PRINTED, cut_at, cuttings, drive, load, reports, streams

from streamnb.wire import Frame, SSEFramer

SSE = load("sse.jsonl")
ODD_PIECES = (
    *(
        b"data",
        b"data:",
        b"data: x",
        b"event: a",
        b"event:",
        b"id: 1",
        b"id",
        b"id: \0",
        b"retry: 7",
        b"retry: x",
        b"foo",
    ),
    *(
        b": c",
        b":",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b" ",
        b"\xef\xbb\xbf",
        b"\xe2\x82",
        b"\xac",
        b"\xff",
        b"\xe2\x80\xa8",
    ),
    *(b"data: {", b"data: }", b"{", b"}", b'"k": 1', b'data: {"a": 1}', b'data: {"b": [2]}', b",", b"data: [DONE]"),
)


def facts(frames: list[Frame]) -> list[dict]:
    return [{"event": f.event, "data": f.data, "id": f.id, "retry": f.retry} for f in frames]


def state(framer: SSEFramer) -> dict:
    return {name: getattr(framer, name) for name in ("last_event_id", "reconnection_time", "incomplete", "comments")}


@pytest.mark.parametrize("vector", SSE, ids=lambda vector: vector["name"])
def test_strict_passes_every_vector_at_every_cut(vector):
    for pieces in cuttings(b"".join(vector["chunks"])):
        framer = SSEFramer(strict=True, **vector.get("init", {}))
        assert facts(drive(framer, pieces)) == vector["expected"], pieces
        assert state(framer) == vector["state"], pieces


@pytest.mark.parametrize("vector", SSE, ids=lambda vector: vector["name"])
def test_an_event_comes_with_the_byte_that_ends_it(vector):
    for options in ({"strict": True}, {}):
        framer = SSEFramer(**options, **vector.get("init", {}))
        counts = [sum("no_data" not in f.flags for f in framer.feed(chunk)) for chunk in vector["chunks"]]
        assert counts == vector["eager_counts"]


@pytest.mark.parametrize("vector", SSE, ids=lambda vector: vector["name"])
def test_the_default_adds_only_flagged_frames_to_what_the_standard_reads(vector):
    whole = [b"".join(vector["chunks"])]
    expected = reports(lambda: SSEFramer(**vector.get("init", {}), comment_frames=True), whole)
    for pieces in cuttings(whole[0]):
        frames, said = reports(lambda: SSEFramer(**vector.get("init", {}), comment_frames=True), pieces)
        assert (frames, said) == expected, pieces
    assert facts([f for f in expected[0] if f.flags <= {"lossy"}]) == vector["expected"]
    assert {name: expected[1][name] for name in vector["state"]} == vector["state"]


def by_the_book(data: bytes) -> tuple[list[tuple[str, str, str, int | None]], str]:
    """WHATWG HTML 9.2.6 on a whole stream, written down naively."""
    lines = re.split("\r\n|\r|\n", data.decode(errors="replace").removeprefix("\ufeff"))[:-1]
    events, last_id, event, lines_of_data, buffered_id, retry = [], "", "", [], "", None
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            last_id = buffered_id
            if lines_of_data:
                events.append((event or "message", "\n".join(lines_of_data), last_id, retry))
            event, lines_of_data = "", []
        elif name == "data":
            lines_of_data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            buffered_id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return events, last_id


@settings(deadline=None)
@given(streams(*ODD_PIECES) | st.binary(max_size=60), CUTS)
def test_strict_reads_any_bytes_as_the_standard_says(data, places):
    framer = SSEFramer(strict=True)
    frames = drive(framer, cut_at(data, places))
    assert ([(f.event, f.data, f.id, f.retry) for f in frames], framer.last_event_id) == by_the_book(data)
    assert all(frame.flags <= {"lossy"} for frame in frames)
    assert sum(len(frame.raw) for frame in frames) + framer.skipped_bytes == len(data)


PLAIN_LINES = st.sampled_from(
    [b"data: x", b"data:", b"data: 1", b'data: "s"', b"data:  {", b"id: 7", b"retry: 5", b"foo: {", b"}", b": c"]
    + [f"data: {json.dumps({'k': [text]}, ensure_ascii=False)}".encode() for text in ("}", '"{', "\\", "\u2028")]
)


@settings(deadline=None)
@given(st.lists(st.lists(PLAIN_LINES, max_size=4)), st.sampled_from([b"\n", b"\r", b"\r\n"]), CUTS)
def test_the_default_reads_well_formed_streams_like_the_standard(blocks, newline, places):
    several_values = [sum(line.startswith(b"data: {") for line in block) > 1 for block in blocks]
    blocks = [block for block, several in zip(blocks, several_values, strict=True) if not several]
    data = b"".join(line + newline for block in blocks for line in [b"event: named", b"data: -", *block, b""])
    framer = SSEFramer()
    frames = drive(framer, cut_at(data, places))
    assert ([(f.event, f.data, f.id, f.retry) for f in frames], framer.last_event_id) == by_the_book(data)
    assert not any(frame.flags for frame in frames)


@pytest.mark.parametrize(
    "name", ["oliver", "oliver_pretty", "voiceflow", "voiceflow_blank_lines", "voiceflow_trailing_commas"]
)
def test_streams_as_vendor_pages_print_them_give_the_frames_expected_at_every_cut(name):
    expected = json.loads((PRINTED / f"{name}.json").read_text())
    data = (PRINTED / f"{name}.txt").read_bytes()
    for pieces in cuttings(data):
        frames = drive(SSEFramer(), pieces)
        assert len(frames) == len(expected["frames"])
        for frame, wanted in zip(frames, expected["frames"], strict=True):
            assert frame.event == wanted["event"]
            assert frame.id == wanted.get("id", "")
            assert (json.loads(frame.data) if frame.data else "") == wanted["data"]
            assert not wanted.get("flags") or frame.flags == set(wanted["flags"])
            assert "malformed" not in frame.flags


def test_the_same_page_with_and_without_blank_lines_or_layout_means_the_same():
    for one, other in (("voiceflow", "voiceflow_blank_lines"), ("oliver", "oliver_pretty")):
        pages = [drive(SSEFramer(), [(PRINTED / f"{name}.txt").read_bytes()]) for name in (one, other)]
        first, second = ([(f.event, f.id, json.loads(f.data)) for f in frames] for frames in pages)
        assert first == second


def test_plain_text_data_is_joined_from_frames():
    frames = drive(SSEFramer(), [(PRINTED / "typebot_sse.txt").read_bytes()])
    assert [frame.data for frame in frames] == ["It left ", "the depot.", "[DONE]"]


HTTPX_SSE_DEVIATES = {
    "wpt-format-bom": "does not strip the byte order mark, so the first field name is unknown",
    "bom-split-2-1": "the same",
    "bom-then-bom-in-data": "the same",
    "event-without-data": "dispatches a named block that has no data",
    "wpt-format-field-id-2-after-reconnect": "cannot be given the last event id to start with",
    "id-initial-persists": "the same",
}


def test_httpx_sse_reads_the_vectors_like_strict_apart_from_known_deviations():
    deviates = set()
    for vector in SSE:
        text = b"".join(vector["chunks"]).decode(errors="replace")
        decoder, splitter = SSEDecoder(), SSELineDecoder()
        lines = (splitter.decode(text) if text else []) + splitter.flush()
        events = [event for event in map(decoder.decode, lines) if event is not None]
        framer = SSEFramer(strict=True, **vector.get("init", {}))
        ours = [(f.event, f.data, f.id) for f in drive(framer, [b"".join(vector["chunks"])])]
        if [(event.event, event.data, event.id) for event in events] != ours:
            deviates.add(vector["name"])
    assert deviates == set(HTTPX_SSE_DEVIATES)


def test_only_the_newest_comments_are_kept():
    framer = SSEFramer()
    framer.feed(b"".join(b":%d\n" % n for n in range(1500)))
    assert (len(framer.comments), framer.comments[0], framer.comments[-1]) == (1000, "500", "1499")
    framer.feed(b": " + b"x" * 1024 * 1024 + b"\n")
    assert [comment[:3] for comment in framer.comments] == [" xx"]


def test_blank_lines_that_end_nothing_are_counted():
    framer = SSEFramer()
    framer.feed(b"\n\n: ping\n\ndata: x\n\n\n")
    assert framer.blank_lines == 4


def test_a_retry_too_long_to_be_a_time_is_ignored():
    framer = SSEFramer()
    framer.feed(b"retry: 5\nretry: " + b"9" * 5000 + b"\n\n")
    assert framer.reconnection_time == 5
