from __future__ import annotations

import pytest
from wire_vectors import cuttings, drive

from streamnb.wire import JSONBodyFramer

CASES = [
    (b'{"a": 1}', '{"a": 1}', {"a": 1}, ""),
    (b'\xef\xbb\xbf {"a": 1}\n', ' {"a": 1}\n', {"a": 1}, ""),
    (b"[1, 2]", "[1, 2]", [1, 2], ""),
    (b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}', {"a": 2}, "duplicate_keys"),
    (b"", "", None, "no_data"),
    (b"\r\n", "\r\n", None, "no_data"),
    (b"<html>", "<html>", None, "malformed invalid_json"),
    (b'{"a": ', '{"a": ', None, "malformed invalid_json"),
    (b'{"a": "\xff"}', '{"a": "\ufffd"}', {"a": "\ufffd"}, "lossy"),
    (b"[1e400]", "[1e400]", None, "malformed limit"),
    (b"[" + b" " * 19 + b"]", "[" + " " * 19, None, "malformed invalid_json limit"),
]


@pytest.mark.parametrize(("body", "text", "value", "flags"), CASES)
def test_a_body_is_one_frame_at_every_cut(body, text, value, flags):
    for pieces in cuttings(body):
        framer = JSONBodyFramer("startChat", limit=20)
        (frame,) = drive(framer, pieces)
        assert (frame.event, frame.data, frame.value) == ("startChat", text, value)
        assert frame.flags == set(flags.split())
        assert frame.raw == body[:20]
        assert framer.bom is body.startswith(b"\xef\xbb\xbf")
        assert framer.incomplete is ("malformed" in flags and text.startswith(("{", "[")))


def test_memory_is_that_of_the_limit():
    framer = JSONBodyFramer("error", limit=64)
    for _ in range(100):
        assert framer.feed(b"x" * 1000) == []
    assert len(framer._body) == 64
    assert len(framer.close()[0].raw) == 64
