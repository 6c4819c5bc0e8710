from __future__ import annotations

import base64
import dataclasses
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.errors import TranscriptError
from streamnb.events import Outcome
from streamnb.transcript import (
    MAX_LINE,
    VERSION,
    CallLine,
    Contents,
    DoneLine,
    EndLine,
    OtherLine,
    ReadLine,
    ReplyLine,
    RunLine,
    _codec,
    decode,
    encode,
    read_lines,
)

RUN = RunLine(
    run_id="r1",
    provider="openai_chat",
    target="demo",
    options={"model": "m"},
    prompt={"text": "Why do rivers meander? \u2028 \ud83d é"},
    clock={"t_ns": 5, "wall_ns": 1_700_000_000_000_000_000},
    pid=4711,
    meta={"cell": None},
)
CALL = CallLine(
    0, 10, "chat", "POST", "http://h/v1?key=REDACTED", [("Accept", "*/*"), ("X", "<redacted>")], {"a": [1]}, stream=True
)
TIMINGS = {
    "dns_s": 0.001,
    "connect_s": 0.25,
    "tls_s": None,
    "t0_ns": 11,
    "sent_ns": 12,
    "headers_ns": 20,
    "reused": False,
}
REPLY = ReplyLine(0, 20, 200, [("content-type", "text/event-stream")], "chunked", TIMINGS)
READS = [
    ReadLine(n=0, s=s, t_ns=30 + s, k_ns=29 + s if s % 2 else None, w=40, h=s, b=data, stamp="chunk" if s else "read")
    for s, data in enumerate(
        [
            b'data: {"delta":"rivers"}\r\n\r\n',
            "data:漢 \u2028 \u0085 é 😀\n\n".encode(),
            "data: 漢".encode()[:-1],
            b"\xa2\n\n",
            b"\xff\xfe\x00\x80",
            b"\xed\xa0\xbd",  # a surrogate, which is no UTF-8
            b"",
            b"\x00\x0b\x7f\n\r",
            b'{"base64":"QQ=="}',
        ]
    )
]
SIDE = CallLine(1, 50, "publish", "POST", "http://h/v1/c", [], {"message": {}}, side=True)
LAUNCH = CallLine(2, 60, "launch", "POST", "http://h/v1/l", [], None, stream=True, setup=True)
DONE = DoneLine(1, 55)
END = EndLine(Outcome.COMPLETE, None, {"framing": "chunked"}, {"reads": 9}, 99)
LINES = [RUN, CALL, REPLY, *READS, END]
ENCODED = [encode(line) for line in LINES]
FILE = b"".join(ENCODED)
CRASHED = b"".join(ENCODED[:6])
ERROR_RUN = (
    encode(RUN) + encode(CALL) + encode(ReplyLine(0, 20, 503, [])) + encode(EndLine("http_error", "busy", {}, {}, 30))
)


@pytest.mark.parametrize("line", [*LINES, SIDE, LAUNCH, DONE], ids=lambda line: type(line).__name__)
def test_a_line_comes_back_as_it_went(line):
    encoded = encode(line)
    assert decode(encoded) == line
    assert encoded.isascii()
    assert encoded.endswith(b"}\n")
    assert encoded.count(b"\n") == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_of_a_read_come_back(data):
    line = dataclasses.replace(READS[0], b=data)
    assert decode(encode(line)) == line


def test_bytes_are_readable_text_where_they_are_utf8_and_marked_base64_where_not():
    fields = [json.loads(encode(line)) for line in READS]
    assert fields[0]["b"] == 'data: {"delta":"rivers"}\r\n\r\n'
    assert fields[2]["b"] == {"base64": base64.b64encode(READS[2].b).decode()}
    assert [isinstance(field["b"], str) for field in fields] == [
        True,
        True,
        False,
        False,
        False,
        False,
        True,
        True,
        True,
    ]
    assert [field["crc"] for field in fields] == [zlib.crc32(line.b) for line in READS]


def test_the_names_on_disk_are_the_contracts():
    names = {
        kind: list(json.loads(ENCODED[at]))
        for kind, at in {"run": 0, "call": 1, "reply": 2, "read": 4, "end": -1}.items()
    }
    assert names == {
        "run": ["t", "run_id", "provider", "target", "options", "prompt", "clock", "pid", "meta", "v"],
        "call": ["t", "n", "t_ns", "name", "method", "url", "headers", "body", "stream"],
        "reply": ["t", "n", "t_ns", "status", "headers", "framing", "timings"],
        "read": ["t", "n", "s", "t_ns", "k_ns", "w", "h", "b", "stamp", "crc"],
        "end": ["t", "outcome", "error", "ending", "counts", "t_ns"],
    }
    assert {kind: json.loads(ENCODED[at])["t"] for kind, at in {"run": 0, "read": 4, "end": -1}.items()} == {
        "run": "run",
        "read": "read",
        "end": "end",
    }
    assert "k_ns" not in json.loads(ENCODED[3])
    assert json.loads(ENCODED[0])["v"] == VERSION == 1


def test_a_whole_file_is_read_in_order():
    contents = read_lines(FILE)
    assert contents.lines == LINES
    assert (contents.run, contents.calls, contents.replies) == (RUN, [CALL], [REPLY])
    assert (contents.reads, contents.end, contents.torn, contents.problems) == (READS, END, b"", [])
    assert read_lines(CRASHED).end is None
    assert read_lines(encode(RUN)) == Contents(RUN, [RUN])


@pytest.mark.parametrize("data", [FILE, CRASHED, ERROR_RUN], ids=["whole", "crashed", "error"])
def test_every_prefix_that_holds_the_run_line_loads_exactly_its_whole_lines(data):
    whole = read_lines(data).lines
    first = data.index(b"\n") + 1
    for size in range(len(data) + 1):
        prefix = data[:size]
        if size < first:
            with pytest.raises(TranscriptError, match=r"^line 1: "):
                read_lines(prefix)
            continue
        contents = read_lines(prefix)
        assert contents.lines == whole[: prefix.count(b"\n")]
        assert contents.torn == prefix[prefix.rindex(b"\n") + 1 :]
        assert len(contents.problems) == bool(contents.torn)


def test_a_torn_end_is_cut_so_that_the_rest_can_be_appended_to():
    for torn in (
        ENCODED[5][:30],
        ENCODED[5][:30] + b"\n",
        ENCODED[5][:-1],
        b"\x00" * 9,
        b"[1]\n",
        b"{\n \r\n\n",
        encode(RUN),
    ):
        contents = read_lines(CRASHED + torn)
        assert contents.torn == torn
        assert contents.lines == LINES[:6]
        assert contents.problems[0].startswith("line 7, the last, was cut: ")
        assert read_lines((CRASHED + torn).removesuffix(contents.torn) + ENCODED[-1]).end == END


def test_a_last_line_whose_bytes_were_altered_is_cut():
    altered = ENCODED[6].replace(b'"crc":', b'"crc":1')
    contents = read_lines(CRASHED + altered)
    assert (contents.torn, contents.lines) == (altered, LINES[:6])
    assert "CRC-32 differs" in contents.problems[0]


def loaded(data):
    """Contents, or the message of the only error there may be."""
    try:
        return read_lines(data)
    except TranscriptError as error:
        return str(error)


def test_a_bit_flipped_in_the_middle_is_reported_by_line_or_harmless_but_never_invents_bytes():
    at = len(b"".join(ENCODED[:3]))
    for bit in range(len(ENCODED[3]) * 8):
        flipped = bytearray(FILE)
        flipped[at + bit // 8] ^= 1 << bit % 8
        contents = loaded(bytes(flipped))
        if isinstance(contents, str):
            assert contents.startswith("line 4: ")
            continue
        # A digit of a number, a letter of an unknown name or type: the payload is whole or said to be skipped.
        reads = [line.b for line in contents.reads]
        assert reads == [line.b for line in READS] or (reads == [line.b for line in READS[1:]] and contents.problems)


def test_every_bit_of_a_payload_is_guarded_by_its_crc():
    start = FILE.index(b'"b":"data: {')
    for bit in range(8 * len(b"data: {")):
        flipped = bytearray(FILE)
        flipped[start + 5 + bit // 8] ^= 1 << bit % 8
        with pytest.raises(TranscriptError, match=r"^line 4: "):
            read_lines(bytes(flipped))


def test_translated_line_ends_and_blank_lines_change_nothing():
    assert read_lines(FILE.replace(b"\n", b"\r\n")) == read_lines(FILE)
    assert read_lines(b"\n" + FILE.replace(b"\n", b"\n \t\n\n")) == read_lines(FILE)
    contents = read_lines(FILE[:-1] + b"\r")
    assert (contents.torn, contents.end) == (ENCODED[-1][:-1] + b"\r", None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: the file is empty"),
        (b"\n\r\n", "line 1: the file is empty"),
        (b"hello\n", "line 1: this is not a whole line of JSON. A transcript begins"),
        (b"\xff\xfe{\x00\n\x00", "line 1: this is not a whole line"),
        (b"\n" + encode(RUN)[:-1], "line 2: it has no line end"),
        (b"[1,2]\n", 'line 1: this is JSON, but no line of a transcript: it has no type "t"'),
        (b'{"t":5}\n', "line 1: this is JSON, but no line"),
        (b'{"t":"note"}\n' + FILE, "line 1: a transcript begins with its run line, and this is none"),
        (ENCODED[1] + FILE, "line 1: a transcript begins with its run line, and this is none"),
        (FILE + FILE, "line 14: a second run begins here"),
        (CRASHED + b"oops\n" + ENCODED[-1], "line 7: this is not a whole line"),
        (CRASHED + b"{\n\n{\n", "line 7: this is not a whole line"),
        (CRASHED + ENCODED[6][:20] + FILE[len(CRASHED) :], "line 7: this is not a whole line"),
    ],
)
def test_a_foreign_or_damaged_file_is_refused_by_line(data, message):
    with pytest.raises(TranscriptError) as caught:
        read_lines(data)
    assert str(caught.value).startswith(message)


def changed(line, **fields):
    return json.dumps(json.loads(encode(line)) | fields).encode()


def without(line, name):
    return json.dumps({key: value for key, value in json.loads(encode(line)).items() if key != name}).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (changed(RUN, v=2), "format 2 is newer than this streamnb reads (1): upgrade streamnb"),
        (changed(RUN, v=0), "no format version"),
        (changed(RUN, v="1"), "no format version"),
        (changed(RUN, v=True), "no format version"),
        (without(RUN, "v"), "no format version"),
        (without(RUN, "pid"), "'pid' of this run line is missing"),
        (changed(RUN, clock={"t_ns": 1}), "'clock' of this run line"),
        (changed(RUN, clock=[1, 2]), "'clock' of this run line"),
        (changed(RUN, run_id=7), "'run_id' of this run line"),
        (changed(RUN, options=[]), "'options' of this run line"),
        (changed(CALL, n=1.0), "'n' of this call line"),
        (changed(CALL, n=True), "'n' of this call line"),
        (changed(CALL, t_ns=1 << 63), "'t_ns' of this call line"),
        (changed(CALL, t_ns=-(1 << 63) - 1), "'t_ns' of this call line"),
        (changed(CALL, stream=1), "'stream' of this call line"),
        (changed(CALL, headers={"a": "b"}), "'headers' of this call line"),
        (changed(CALL, headers=["ab"]), "'headers' of this call line"),
        (changed(CALL, headers=[["a", "b", "c"]]), "'headers' of this call line"),
        (changed(CALL, headers=[["a", 1]]), "'headers' of this call line"),
        (changed(REPLY, framing=3), "'framing' of this reply line"),
        (changed(REPLY, timings=None), "'timings' of this reply line"),
        (changed(REPLY, timings={"dns_s": "1"}), "'timings' of this reply line"),
        (changed(READS[1], k_ns="1"), "'k_ns' of this read line"),
        (changed(READS[0], stamp=None), "'stamp' of this read line"),
        (changed(READS[0], b="x"), "CRC-32"),
        (changed(READS[0], crc=None), "CRC-32"),
        (without(READS[0], "crc"), "CRC-32"),
        (without(READS[0], "b"), "has no bytes"),
        (changed(READS[0], b={"base64": 5}), "has no bytes"),
        (changed(READS[0], b={"hex": "41"}), "has no bytes"),
        (changed(READS[0], b={"base64": "Q"}), "cannot be decoded"),
        (changed(READS[0], b={"base64": "QQ==\n"}), "cannot be decoded"),
        (changed(READS[0], b="\ud83d"), "cannot be decoded"),
        (changed(END, error=["x"]), "'error' of this end line"),
        (changed(END, outcome=None), "'outcome' of this end line"),
        (b'{"t":"end","t_ns":' + b"1" * 4301 + b"}", "not a whole line of JSON"),
        (b'{"t":' + b"[" * 100_000, "not a whole line of JSON"),
    ],
)
def test_a_line_that_breaks_the_format_is_refused(line, message):
    with pytest.raises(TranscriptError) as caught:
        decode(line)
    assert message in str(caught.value)


def test_what_a_later_version_adds_is_passed_over():
    assert decode(changed(REPLY, trailers=[1])) == REPLY
    assert decode(b'{"t":"note","x":1}') == OtherLine("note")
    later = CRASHED + changed(READS[4], new={"a": 1}) + b'\n{"t":"' + b"n" * 99 + b'"}\n' + ENCODED[-1]
    contents = read_lines(later)
    assert contents.lines == [*LINES[:6], READS[4], END]
    assert contents.problems == [f"line 8 was skipped: this version does not know lines of type {'n' * 40!r}."]


def test_fields_with_a_default_may_be_missing():
    assert decode(without(RUN, "meta")) == dataclasses.replace(RUN, meta={})
    assert decode(without(CALL, "body")) == dataclasses.replace(CALL, body=None)
    assert decode(without(REPLY, "timings")) == dataclasses.replace(REPLY, timings={})
    assert decode(without(READS[0], "stamp")) == READS[0]
    assert decode(without(END, "error")) == END


def test_numbers_at_the_edge_of_int64_are_read():
    for number in (-(1 << 63), (1 << 63) - 1):
        assert decode(changed(END, t_ns=number)) == dataclasses.replace(END, t_ns=number)


def test_a_line_longer_than_the_bound_is_neither_written_nor_read(monkeypatch):
    assert MAX_LINE == 64 * 1024 * 1024
    monkeypatch.setattr(_codec, "MAX_LINE", len(ENCODED[1]))
    assert decode(encode(CALL)) == CALL
    longer = dataclasses.replace(CALL, name="chat!")
    with pytest.raises(TranscriptError, match="longer than a transcript may hold"):
        encode(longer)
    with pytest.raises(TranscriptError, match="longer than a transcript's line may be"):
        decode(b" " + ENCODED[1])


def test_a_body_that_is_no_json_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="not JSON serializable"):
        encode(dataclasses.replace(CALL, body={1, 2}))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(FILE)), st.integers(0, 300))
def test_whatever_is_written_into_a_file_nothing_but_a_transcript_error_comes_out(junk, at, cut):
    damaged = FILE[:at] + junk + FILE[at + cut :]
    contents = loaded(damaged)
    if isinstance(contents, str):
        assert contents.startswith("line ")
    else:
        assert damaged.endswith(contents.torn)
