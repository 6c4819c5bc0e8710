"""What one reading makes of frames: progress, pings, stamps, late events, halves of characters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from replies import DONE, ERROR, TEXT, chunk, read, reading

from streamnb.conversation import Reading, Step
from streamnb.events import Event
from streamnb.providers import Call, Provider, ReplyHead, Seen
from streamnb.wire import Frame


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai_chat", b": OPENROUTER PROCESSING\n\n"),
        ("openai_chat", b":\n\n"),
        ("openai_chat", b"data:\n\n"),
        ("openai_chat", b"data:   \n\n"),
        ("openai_chat", b"data: : keepalive\n\n"),
        ("openai_chat", b"event: ping\n\n"),
        ("openai_chat", b'event: ping\ndata: {"type":"ping"}\n\n'),
        ("openai_chat", b"event: message\n\n"),
        ("sse", b"data: : keep-alive\n\n"),
        ("sse", b"data:: PING 3\n\n"),
        ("sse", b"data: : openrouter processing\n\n"),
        ("typebot", b": heartbeat\n\n"),
        ("typebot", b"data: : heartbeat\n\n"),
    ],
)
def test_a_keep_alive_is_a_ping_and_never_progress(provider, body):
    opened, events = reading(provider), []
    step = opened.feed(body)
    assert not step.progress
    events = [*step.events, *opened.close().events]
    assert {event.kind for event in events} == {"ping"}
    assert opened.seen.text() == ""


@pytest.mark.parametrize("body", [b"id: 7\n\n", b"retry: 10\n\n", b"\n\n\n", b": t_ns=5\n\n", chunk(), b""])
def test_what_says_nothing_is_no_progress(body):
    opened = reading()
    opened.feed(chunk(finish=None))  # the first chunk is the start
    assert not opened.feed(body).progress


@pytest.mark.parametrize("body", [TEXT, ERROR, chunk(finish="stop"), DONE, b"data: {broken\n\ndata: x\n\n"])
def test_what_says_something_is_progress(body):
    assert reading().feed(body).progress
    assert not Step().progress


@pytest.mark.parametrize("provider", ["sse", "typebot"])
@pytest.mark.parametrize("text", [":", ": the end", ":)", " ", "\n", "processing", "ping"])
def test_where_data_may_be_text_colons_and_blanks_are_text(provider, text):
    _, events = read(b"".join(b"data: %s\n" % line.encode() for line in text.split("\n")) + b"\n", provider)
    assert [(event.kind, event.text) for event in events] == [("delta", text)]


def test_the_servers_stamp_is_read_and_is_no_event():
    opened = reading()
    step = opened.feed(b": t_ns=12345\n" + TEXT)
    assert (step.server_t_ns, [event.kind for event in step.events], step.n_frames) == (12345, ["start", "delta"], 2)
    step = opened.feed(b": t_ns=soon\n\n")
    assert (step.server_t_ns, step.events[0].kind) == (None, "ping")


def test_the_servers_stamp_of_prefix_lines_is_read():
    opened = reading("typebot")
    step = opened.feed(b'8:[{"t_ns":77}]\n0:"Hi"\n8:[{"t_ns":78,"more":1}]\n8:[]\n')
    assert step.server_t_ns == 77
    assert [event.kind for event in step.events] == ["delta", "trace", "trace"]
    step = reading("typebot").feed(b": t_ns=79\ndata: Hi\n\n")
    assert (step.server_t_ns, [event.kind for event in step.events]) == (79, ["delta"])


def test_what_comes_after_the_end_marker_is_flagged_late():
    _, events = read(TEXT + chunk(finish="stop") + chunk("in time") + DONE + TEXT + ERROR + b": ping\n\n" + DONE)
    late = [(event.kind, "late" in event.flags) for event in events]
    assert late == [
        ("start", False),
        ("delta", False),
        ("end", False),
        ("delta", False),  # another answer may still come: only [DONE] ends them all
        ("end", False),
        ("delta", True),
        ("error", True),
        ("ping", False),
        ("end", False),
    ]
    _, events = read(b'd:{"finishReason":"stop"}\n0:"ghost"\n', "typebot")
    assert [event.flags for event in events] == [frozenset(), {"late"}]


def test_a_providers_own_pings_are_never_late():
    class Pinging(Provider):
        def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
            yield from (Event("end"), Event("ping"), Event("delta", "ghost"))

    opened = Reading(Pinging(), Call("x", stream=True), ReplyHead())
    assert [event.flags for event in opened.feed(b"data: x\n\n").events] == [frozenset(), frozenset(), {"late"}]


def test_the_flags_of_the_frame_stand_on_its_events():
    _, events = read(b'data: {"choices":[{"delta":{"content":"caf\xe9"}}]}')
    assert [event.flags for event in events] == [{"lossy", "unterminated"}] * 2


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        (["\\ud83d", "\\ude00"], ["", "\U0001f600"]),
        (["a\\ud83d", "", "\\ude00b"], ["a", "\U0001f600b"]),
        (["a\\ud83d", "b"], ["a", "\ufffdb"]),
        (["\\ude00b"], ["\ufffdb"]),
        (["\\ud83d\\ud83d", "\\ude00"], ["\ufffd", "\U0001f600"]),
        (["ends in \\ud83d"], ["ends in ", "\ufffd"]),
        (["whole \\ud83d\\ude00"], ["whole \U0001f600"]),
    ],
)
def test_halves_of_a_surrogate_pair_become_one_character_and_a_lone_half_is_replaced(pieces, texts):
    opened, events = read(b"".join(map(chunk, pieces)))
    deltas = [event for event in events if event.kind == "delta"]
    assert [event.text for event in deltas] == texts
    assert opened.seen.text() == "".join(texts)
    for event in deltas:
        event.text.encode()  # R16: only well-formed text goes on


def test_halves_of_different_answers_do_not_meet():
    opened, events = read(
        chunk("\\ud83d")
        + chunk("\\ude00", index=1)
        + chunk("\\ude00")
        + chunk("x\\ud83d", index=1)
        + chunk(finish="stop")
    )
    assert (opened.seen.text(0), opened.seen.text(1)) == ("\U0001f600", "\ufffdx\ufffd")
    assert [event.kind for event in events][-2:] == ["end", "delta"]  # answer 1 never ended


def test_a_lone_half_stands_before_the_end_of_its_answer():
    _, events = read(chunk("x\\ud83d") + chunk(finish="stop") + DONE)
    assert [(event.kind, event.text) for event in events[1:]] == [
        ("delta", "x"),
        ("delta", "\ufffd"),
        ("end", ""),
        ("end", ""),
    ]


def test_a_whole_message_that_ends_in_half_a_character_waits_for_nothing():
    body = (
        b'{"messages":[{"type":"text","content":{"markdown":"a\\ud83d"}},{"type":"text","content":{"markdown":"b"}}]}'
    )
    _, events = read(body, "typebot", call=Call("continueChat"))
    assert [event.text for event in events if event.kind == "message"] == ["a\ufffd", "b"]


def test_the_frames_of_the_last_bytes_can_be_looked_at():
    opened = reading()
    opened.feed(TEXT + b"data: x")
    assert [frame.raw for frame in opened.frames] == [TEXT]
    opened.close()
    assert [frame.data for frame in opened.frames] == ["x"]
