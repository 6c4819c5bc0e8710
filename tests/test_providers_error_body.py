"""Where vendors put the message of an error (WIRE 0.5, 0.7)."""

from __future__ import annotations

import pytest
from replies import read, reading

from streamnb.events import Outcome
from streamnb.providers import Ending


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"bad","type":"t","code":"c"}}', "bad", "c"),
        (b'{"error":{"message":"bad","type":"t","code":null}}', "bad", "t"),
        (b'{"error":{"message":{"message":"inner"}}}', "inner", "400"),
        (b'{"error":{"message":{"why":1}}}', '{"why": 1}', "400"),
        (b'{"error":{"reason":"x"}}', '{"reason": "x"}', "400"),
        (b'{"error":"bad","code":"c"}', "bad", "c"),
        (b'{"error":true,"message":"bad"}', "bad", "400"),
        (b'{"error":{},"detail":"bad"}', "bad", "400"),
        (b'{"errors":["bad","worse"]}', "bad", "400"),
        (b'{"errors":[{"message":"bad","code":7}]}', "bad", "7"),
        (b'{"errors":[],"message":"bad"}', "bad", "400"),
        (b'{"message":"bad","details":"in line 3"}', "bad (in line 3)", "400"),
        (b'{"message":"bad","context":"while streaming"}', "bad (while streaming)", "400"),
        (b'{"message":"bad","code":"NOT_FOUND","issues":[]}', "bad", "NOT_FOUND"),
        (b'{"description":"bad","status":"INVALID"}', "bad", "INVALID"),
        (b'{"detail":"bad"}', "bad", "400"),
        (
            b'{"detail":[{"loc":["body","query"],"msg":"Field required","type":"missing"}]}',
            "body.query: Field required",
            "400",
        ),
        (b'{"detail":[{"loc":null,"msg":"Field required"}]}', "Field required", "400"),
        (b'{"detail":["bad"]}', "bad", "400"),
        (b'{"detail":{"x":1}}', '{"detail":{"x":1}}', "400"),
        (b'[{"error":{"message":"bad","status":"INVALID_ARGUMENT"}}]', "bad", "INVALID_ARGUMENT"),
        (b"[]", "[]", "400"),
        (b'"just a string"', "just a string", "400"),
        (b"upstream connect error\n or reset", "upstream connect error or reset", "400"),
        (b"", "", "400"),
        (b"<html><head><style>p {}</style><title>502 Bad\nGateway</title></head></html>", "502 Bad Gateway", "400"),
        ("b\xfcse".encode("latin-1"), "b\ufffdse", "400"),
        (b'{"message":true,"code":true}', '{"message":true,"code":true}', "400"),
    ],
)
def test_the_message_of_an_error_body_is_found_wherever_vendors_put_it(body, message, code):
    _, events = read(body, status=400)  # WIRE 0.7
    assert (events[0].text, events[0].name) == (message, code)


def test_of_a_long_error_body_the_line_shows_the_beginning_and_the_event_keeps_it():
    body = b'{"error":{"message":"' + b"x" * 9000 + b'"}}'
    opened, events = read(body, status=500)
    assert len(opened.explain(Outcome.HTTP_ERROR, Ending())) < 700
    assert len(events[0].text) == 9000


def test_of_an_error_body_only_64_kib_are_read():
    opened = reading(status=500)
    opened.feed(b"y" * 100_000)
    assert len(opened.close().events[0].text) == 300
