from __future__ import annotations

from streamnb.simulator.blocks import dumps, line, line_stamp, sse, sse_stamp


def test_json_is_compact_and_keeps_its_letters():
    assert dumps({"a": ["é\n", None]}) == '{"a":["é\\n",null]}'


def test_an_event_is_its_data_line_and_a_blank_line():
    assert sse("é") == b"data: \xc3\xa9\n\n"


def test_a_line_feed_in_the_data_makes_a_further_data_line():
    assert sse("a\n\nb", "error") == b"event: error\ndata: a\ndata: \ndata: b\n\n"


def test_a_line_is_code_colon_json():
    assert line("0", 'a\n"b"') == b'0:"a\\n\\"b\\""\n'


def test_a_stamp_stands_directly_before_what_it_stamps_and_nowhere_else():
    assert sse_stamp(12, sse("x")) == b": t_ns=12\n"
    assert sse_stamp(12, b": keep-alive\n\n") == b""
    assert line_stamp(12, line("0", "x")) == b'8:[{"t_ns":12}]\n'
    assert line_stamp(12, line("d", {})) == b""
