from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import CUTS, cut_at, drain, drive

from streamnb.errors import LimitError
from streamnb.wire import SSEFramer
from streamnb.wire._brackets import bracket_step
from streamnb.wire._plain import PlainLines, stays_inside

# what one string of an event may hold, as it stands in JSON or as it would if the server were wrong
STRINGS = st.sampled_from(
    ["", "a", " b", "\\n", '\\"', "\\\\", "\\", '"', '","x":[', "{", "}", "]", "\u00e9", "\u4f60\u597d", "\u2028"]
)
SHAPES = st.sampled_from(
    [
        '{{"id":"c","choices":[{{"delta":{{"content":"{}"}},"end":null}}]}}',
        '{{"id":"{}","n":1}}',
        '{{"n":1,"text":"{}","more":"{{"}}',
        '["{}"]',
        '"{}"',
        "{}",
        '{{"open":["{}"',
    ]
)


@st.composite
def chats(draw: st.DrawFn) -> bytes:
    """A stream whose events mostly differ in one string, with what else can stand between them."""
    shape = draw(SHAPES)
    odd = st.sampled_from(["[DONE]", "", ": c", "{", '{"a":'])
    value = st.builds(shape.format, STRINGS) | st.builds(shape.format, STRINGS.flatmap(lambda one: st.just(one * 3)))
    begin = st.sampled_from(["data: "] * 6 + ["data:", "event: x\ndata: ", "id: 7\ndata: ", ": c\n", "}\n"])
    end = st.sampled_from(["\n\n"] * 6 + ["\n", "\r\n\r\n", "\r\r", "\n\n\n"])
    event = st.tuples(begin, value | value | value | odd, end).map("".join)
    return "".join(draw(st.lists(event, max_size=8))).encode() + draw(st.sampled_from([b"", b"data: \xff\n\n", b"da"]))


class Unhurried(SSEFramer):
    """Looks at every line of every block."""

    feed = SSEFramer._scan


def all_said(framer: SSEFramer, pieces: list[bytes]) -> tuple[object, ...]:
    frames = drive(framer, pieces)
    said = (framer.last_event_id, framer.reconnection_time, framer.incomplete, framer.comments, framer.blank_lines)
    return frames, said, framer.bom, framer.tail, framer.skipped_bytes


@settings(deadline=None, max_examples=400)
@given(chats(), CUTS, st.booleans(), st.booleans())
def test_the_quick_way_gives_what_the_long_way_gives_however_the_stream_is_cut(data, places, strict, comments):
    expected = all_said(Unhurried(strict, comment_frames=comments), [data])
    for pieces in (
        [data],
        cut_at(data, places),
        re.findall(b"(?s).+?\n\n|.+", data),
        [data[n : n + 1] for n in range(len(data))],
    ):
        assert all_said(SSEFramer(strict, comment_frames=comments), pieces) == expected


@settings(deadline=None)
@given(chats(), CUTS, st.integers(10, 80))
def test_the_limit_is_met_at_the_same_byte(data, places, limit):
    told = []
    for kind in (Unhurried, SSEFramer):
        framer, frames, pieces = kind(limit=limit), [], cut_at(data, places)
        try:
            drain(framer, pieces, frames)
            frames += framer.close()
        except LimitError as error:
            frames.append(str(error))
        told.append(frames)
    assert told[0] == told[1]


def test_after_the_limit_every_call_raises_also_for_bytes_without_a_line_end():
    framer = SSEFramer(limit=10)
    for _ in range(3):
        with pytest.raises(LimitError):
            framer.feed(b"x" * 11)


@settings(deadline=None)
@given(st.lists(st.tuples(SHAPES, STRINGS, STRINGS).map(lambda at: at[0].format(at[1] + at[2])), max_size=30))
def test_a_block_is_plain_only_when_its_brackets_are_closed(values):
    plain = PlainLines()
    for value in values:
        line = b"data: " + value.encode()
        data = line + b"\n\n"
        assert plain.blocks(data) == ([data] if bracket_step(line, 0)[0] <= 0 else [])


@given(st.lists(STRINGS, max_size=4).map("".join))
def test_what_stays_inside_quotes_has_every_quote_escaped_and_escapes_nothing_behind_it(text):
    assert stays_inside(text.encode()) == bool(re.fullmatch(r'(?:[^"\\]|\\.)*', text))


def test_several_strings_at_once_are_judged_one_by_one():
    assert stays_inside(b'a\\n\n\\"\n\\\\\n')
    assert not stays_inside(b'a\\\n"b')  # neither is one, though the quote seems escaped
    assert not stays_inside(b'a\\\n\\"b')


def test_the_shape_of_a_stream_is_learnt_from_few_lines_and_used_for_the_rest():
    plain = PlainLines()
    for text in ("Hi", " there", "", "!"):
        plain.blocks(b'data: {"a":"%s","b":{"c":"d"}}\n\n' % text.encode())
    assert (plain.head, plain.tail) == (b'data: {"a":"', b'","b":{"c":"d"}}\n\n')
    assert plain.least == len(plain.head) + len(plain.tail)


def test_a_stream_that_never_has_the_same_shape_stops_being_studied():
    plain = PlainLines()
    for n in range(40):
        assert plain.blocks(b"data: [%d]\n\n" % n)
    for text in ("a", "b"):
        plain.blocks(b'data: ["%s"]\n\n' % text.encode())
    assert plain.head == b""


def test_an_event_of_the_learnt_shape_that_is_not_utf8_is_lossy_as_ever():
    framer, unhurried = SSEFramer(), Unhurried()
    for text in (b"a", b"b", b"\xff", b"c\n", b"d\re", b"f"):
        event = b'data: {"text":"%s"}\n\n' % text
        assert framer.feed(event) == unhurried.feed(event)
    assert framer.close() == unhurried.close()


def test_a_line_of_nothing_but_quotes_costs_no_more_than_its_length():
    framer = SSEFramer()
    for quotes in (b'\\"' * 4_000, b'\\"' * 2_000_000, b'"' * 4_000_000):  # the suite's time limit is the assertion
        (frame,) = framer.feed(b"data: " + quotes + b"\n\n")
        assert frame.data == quotes.decode()
