"""The AI SDK's parts and UI messages in every shape, through the provider that speaks both."""

from __future__ import annotations

import pytest

from streamnb.testing import events


@pytest.mark.parametrize(
    ("line", "kind", "text", "name"),
    [
        (r'3:"{\"context\":\"ctx\",\"description\":\"why\"}"', "error", "why", "ctx"),
        (r'3:"{\"description\":{},\"message\":\"why\"}"', "error", "why", None),
        (r'3:"{\"details\":1}"', "error", '{"details": 1}', None),
        (r'3:"\"why\""', "error", "why", None),
        ('3:"[1]"', "error", "[1]", None),
        ('3:"why"', "error", "why", None),
        ('3:{"message":"why"}', "error", "why", None),
        ("3:5", "unknown", "", "3"),
        ('a:{"toolCallId":"1","result":{"x":1}}', "tool_result", "", None),
        ('9:{"toolName":5,"args":null}', "tool_call", "", None),
        ('c:{"argsTextDelta":"{"}', "tool_call", "{", None),
        ('h:{"sourceType":"url","url":"u"}', "citation", "", None),
        ("0:null", "unknown", "", "0"),
        ("d:[]", "unknown", "", "d"),
        ("x:1", "unknown", "", "x"),
    ],
)
def test_parts_of_any_shape_are_read(line, kind, text, name):
    (event,) = events("typebot", line.encode(), framing="prefix_lines")
    assert (event.kind, event.text, event.name) == (kind, text, name)


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ("9:30", "delta", "9:30"),
        ("0:00", "delta", "0:00"),
        ("a: b", "delta", "a: b"),
        ('0:"part"', "delta", "part"),
        ("{half", "delta", "{half"),
        ('{"type":5,"text":"x"}', "delta", "x"),
        ('{"type":"text-delta"}', "delta", ""),
        ('{"type":"error","errorText":"{\\"message\\":\\"why\\"}"}', "error", "why"),
        ('{"type":"error"}', "error", '{"type": "error"}'),
        ('{"type":"abort"}', "error", "the server aborted the answer"),
        ('{"type":"data-x","data":1}', "trace", ""),
        ('{"message":"no","status":404}', "error", "no"),
        ('{"cut":', "unknown", ""),
        ("[DONE]", "end", ""),
    ],
)
def test_server_sent_data_of_any_shape_is_read(data, kind, text):
    event = events("typebot", f"data: {data}\n\ndata:\n\n".encode())[0]
    assert (event.kind, event.text) == (kind, text)


def test_an_error_event_in_plain_words_is_an_error():
    (event,) = events("typebot", b"event: error\ndata: no\n\n")
    assert (event.kind, event.text) == ("error", "no")
