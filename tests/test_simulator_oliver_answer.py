from __future__ import annotations

import json
import re
from typing import Any

import pytest

from streamnb.simulator.blocks import sse
from streamnb.simulator.oliver_answer import SPECIAL, Answer, now
from streamnb.simulator.pace import Pace
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Out, perform

PACE = Pace(tokens=6)
ERROR = ("error", {"code": "processing_error", "message": "The answer could not be finished"})


def played(chat: str = "chat_1", scenario: str = "ok", pace: Pace = PACE, turn: int = 0) -> bytes:
    script = Answer(pace, chat, turn).script()
    return b"".join(block for out in perform(script, pace, scenario) for block in out.blocks)


def events(chat: str = "chat_1", scenario: str = "ok", pace: Pace = PACE, turn: int = 0) -> list[tuple[str, Any]]:
    blocks = played(chat, scenario, pace, turn).decode().split("\n\n")
    assert blocks.pop() == ""
    return [
        (name, json.loads(data)) for name, data in (re.match(r"event: (\w+)\ndata: (.*)", b).groups() for b in blocks)
    ]


def names(found: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in found]


def text_of(found: list[tuple[str, Any]]) -> str:
    return "".join(value["content"] for name, value in found if name == "chunk")


def test_an_answer_starts_comes_in_chunks_with_citations_between_and_ends():
    found = events()
    assert names(found) == ["start", *["chunk", "citation", "chunk"] * 2, "citation", "chunk", "chunk", "end"]
    assert text_of(found) == "".join(tokens(1, 6))
    start, end = found[0][1], found[-1][1]
    assert re.fullmatch(r"msg_[0-9a-f]{16}", start["message_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", start["created_at"])
    assert list(start) == ["message_id", "created_at"]
    assert end == {"message_id": start["message_id"], "complete": True}


def test_every_answer_is_a_message_of_its_own():
    assert events()[0] != events()[0]


@pytest.mark.parametrize(
    ("count", "marks"),
    [(0, ""), (1, "t"), (2, "tct"), (3, "tctt"), (4, "tctctt"), (60, "t" * 15 + ("c" + "t" * 15) * 3)],
)
def test_citations_stand_between_pieces_of_text_when_there_are_two_or_more(count, marks):
    found = names(events(pace=Pace(tokens=count)))
    assert "".join({"chunk": "t", "citation": "c"}[name] for name in found[1:-1]) == marks


def test_a_citation_has_the_documented_fields_and_each_turn_its_own_numbers():
    first, *more = [value for name, value in events(turn=2) if name == "citation"]
    assert first == {
        "citation_id": "citation_7",
        "source_type": "rag_document",
        "title": "Handbook of Slow Rivers",
        "url": "https://library.example.org/slow-rivers.pdf",
    }
    assert [(value["citation_id"], value["source_type"]) for value in more] == [
        ("citation_8", "web_page"),
        ("citation_9", "rag_document"),
    ]


def test_a_citation_is_sent_in_one_write_with_the_piece_before_it():
    script = Answer(Pace(tokens=6, burst=3), "chat_1").script()
    kinds = [[block.split(b"\n")[0] for block in out.blocks] for out in script.body]
    text, citation = b"event: chunk", b"event: citation"
    assert kinds == [[text, citation, text, text, citation], [text, citation, text, text]]


@pytest.mark.parametrize(
    ("scenario", "found"),
    [
        ("error", ["start", "chunk", "chunk", "error"]),
        ("truncate", ["start", "chunk", "chunk"]),
        ("no-done", ["start", "chunk", "chunk", "chunk", "chunk"]),
        ("late", ["start", "chunk", "chunk", "chunk", "chunk", "end", "chunk"]),
        ("empty", []),
    ],
)
def test_scenarios_change_which_events_come(scenario, found):
    assert names(events("uncited", scenario, Pace(tokens=4))) == found


def test_an_error_names_a_documented_code():
    assert events(scenario="error")[-1] == ERROR


def test_odd_bytes_are_an_event_of_their_own():
    assert b'event: chunk\ndata: {"content":\n\nevent: chunk\n' in played(scenario="malformed")
    assert b'event: chunk\ndata: {"content":"\xff\xfe"}\n\nevent: chunk\n' in played(scenario="bad-utf8")


def test_an_incomplete_answer_says_so_at_its_end():
    found = events("incomplete")
    assert found[-1] == ("end", {"message_id": found[0][1]["message_id"], "complete": False})
    assert text_of(found) == "".join(tokens(1, 6))


def test_text_and_an_end_may_follow_an_error():
    found = events("error-then-end")
    at = found.index(ERROR)
    assert text_of(found[:at]) == "".join(list(tokens(1, 6))[:3])
    assert text_of(found) == "".join(tokens(1, 6))
    assert found[-1][1]["complete"] is True


def test_an_error_with_an_unknown_code_is_the_last_event():
    found = events("unknown-code")
    assert text_of(found) == "".join(list(tokens(1, 6))[:3])
    assert found[-1] == ("error", {"code": "model_overloaded", "message": "The model is overloaded"})


def test_an_error_comes_even_where_there_is_no_text():
    assert names(events("unknown-code", pace=Pace(tokens=0))) == ["start", "error"]


def test_an_answer_without_sources_cites_none():
    assert names(events("uncited")) == ["start", *["chunk"] * 6, "end"]


def test_pretty_events_are_printed_over_lines_without_a_field_name():
    blocks = played("pretty").decode().split("\n\n")
    assert blocks[1] == 'event: chunk\ndata: {\n  "content": "##"\n}'
    assert blocks[2].split("\n")[2] == '  "citation_id": "citation_1",'
    assert [json.loads(block.partition("\ndata: ")[2]) for block in blocks[1:-2]] == [v for _, v in events()[1:-1]]


def test_a_lost_layout_is_the_same_lines_without_the_blank_ones():
    lines = played("layout").decode().split("\n")
    assert lines.pop() == ""
    assert "" not in lines
    assert lines[2:-2] == [line for line in played().decode().split("\n") if line][2:-2]


@pytest.mark.parametrize("chat", sorted(SPECIAL))
def test_every_special_chat_streams_something_of_its_own(chat):
    def shape(body: bytes) -> bytes:
        return re.sub(rb"msg_\w+|\d{4}-\d\d-\d\dT[\d:]+Z", b"", body)

    assert shape(played(chat)) != shape(played())


def test_the_platform_ends_a_stream_after_five_minutes_and_a_silent_one_after_one():
    limits = Answer(PACE, "chat_1").script().limits
    said = sse('{"code":"stream_timeout","message":"No activity for 60 seconds"}', "error")
    assert (limits.total_s, limits.idle_s, limits.timed_out) == (300, 60, (said,))


def test_a_stamp_stands_before_the_first_line_of_an_event_and_before_nothing_else():
    stamp = Answer(PACE, "chat_1").script().stamp
    assert stamp(12, b'event: chunk\ndata: {"content":"x"}\n\n') == b": t_ns=12\n"
    assert stamp(12, b": keep-alive\n\n") == b""


def test_another_body_may_stand_in_place_of_the_text():
    script = Answer(PACE, "chat_1").script([Out(0.0, (b"x",))])
    found = b"".join(block for out in perform(script, PACE, "ok") for block in out.blocks)
    assert re.fullmatch(rb"event: start\n.*\n\nxevent: end\n.*\n\n", found)


def test_the_whole_answer_is_a_message_with_its_citations():
    answer = Answer(PACE, "chat_1")
    whole = answer.whole()
    assert list(whole) == ["id", "chat_id", "role", "content", "attachments", "citations", "created_at"]
    assert (whole["chat_id"], whole["role"], whole["attachments"]) == ("chat_1", "assistant", [])
    assert whole["content"] == "".join(tokens(1, 6))
    assert whole["citations"] == [value for name, value in events() if name == "citation"]


def test_time_is_written_in_utc_with_seconds():
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", now())
