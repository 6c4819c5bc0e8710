from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from streamnb.simulator.deepset_answer import Answer, Form, batch
from streamnb.simulator.deepset_ask import Ask
from streamnb.simulator.pace import Pace
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Limits, perform

PACE = Pace(tokens=6)
TEXT = "".join(tokens(1, 6))
TOOLS = Form(tools=True)


def make(scenario: str = "ok", form: Form | None = None, pace: Pace = PACE, said: str = "", **fields: Any) -> Answer:
    return Answer(Ask(("How is it?",), **fields), pace, scenario, form, said)


def played(answer: Answer, scenario: str = "ok") -> bytes:
    outs = perform(answer.script(Limits()), answer.pace, scenario)
    return b"".join(block for out in outs for block in out.blocks)


def events(scenario: str = "ok", form: Form | None = None, **fields: Any) -> list[dict[str, Any]]:
    answer = make(scenario, form, **fields)
    blocks = played(answer, scenario).decode().split("\n\n" if form and form.old else "\r\n\r\n")
    assert blocks.pop() == ""
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def said(found: list[dict[str, Any]]) -> str:
    return "".join(event["delta"]["text"] for event in found if event["type"] == "delta")


def reasons(found: list[dict[str, Any]]) -> list[str]:
    return [event["finish_reason"] for event in found if event.get("finish_reason")]


def test_the_deltas_are_the_text_and_the_last_one_says_why_it_ends():
    found = events()
    assert said(found) == TEXT
    assert [event["type"] for event in found] == ["delta"] * 7
    assert [event["start"] for event in found] == [True] + [False] * 6
    assert [event["finish_reason"] for event in found] == [None] * 6 + ["stop"]
    assert {event["index"] for event in found} == {0}
    assert [event["delta"]["meta"] for event in (found[0], found[1], found[6])] == [
        {"model": "simulated-1"},
        {},
        {"finish_reason": "stop"},
    ]


def test_every_event_has_the_same_query_id_and_every_answer_another():
    first, second = events(result=True), events()
    assert {event["query_id"] for event in first} == {first[-1]["result"]["query_id"]}
    assert first[0]["query_id"] != second[0]["query_id"]


def test_the_result_is_the_last_event_if_asked_for():
    found = events(result=True)
    assert [event["type"] for event in found] == ["delta"] * 7 + ["result"]
    assert set(found[-1]) == {"query_id", "type", "result"}
    result = found[-1]["result"]
    assert set(result) == {"query_id", "query", "answers", "documents", "prompts"}
    assert result["query"] == "How is it?"
    assert (result["answers"][0]["answer"], result["answers"][0]["type"]) == (TEXT, "generative")


def test_the_result_counts_tokens():
    meta = make().bare()["answers"][0]["meta"]
    assert meta["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}
    assert (meta["model"], meta["finish_reason"]) == ("simulated-1", "stop")


def test_references_point_into_the_answer_and_into_documents_that_are_there():
    result = make().bare()
    documents = {document["id"]: document["content"] for document in result["documents"]}
    references = result["answers"][0]["meta"]["_references"]
    assert len(documents) == 3
    assert [reference["document_id"] for reference in references] == list(documents)[:2]
    assert result["answers"][0]["document_ids"] == list(documents)[:2]
    assert [reference["document_position"] for reference in references] == [1, 2]
    spans = [(reference["answer_start_idx"], reference["answer_end_idx"]) for reference in references]
    assert spans == [(0, len(TEXT) // 2), (len(TEXT) // 2, len(TEXT))]
    assert {(reference["score"], reference["label"]) for reference in references} == {(0.8, "grounding")}
    for reference in references:
        content = documents[reference["document_id"]]
        assert (reference["document_start_idx"], reference["document_end_idx"]) == (0, len(content))


def test_a_document_has_a_file_and_an_id_made_from_its_content():
    document = make().bare()["documents"][0]
    assert document["id"] == hashlib.sha256(document["content"].encode()).hexdigest()
    assert document["meta"] == {"file_name": "bends.md"}
    assert (set(document["file"]), document["file"]["name"]) == ({"id", "name"}, "bends.md")
    assert [one["score"] for one in make().bare()["documents"]] == [0.9, 0.7, 0.5]


def test_an_answer_without_documents_refers_to_none():
    result = make(form=Form(documents=False)).bare()
    assert result["documents"] == []
    assert result["answers"][0]["document_ids"] == []
    assert "_references" not in result["answers"][0]["meta"]


def test_the_batch_form_is_a_list_of_results():
    result = events(form=Form(batch=True), result=True)[-1]["result"]
    assert set(result) == {"query_id", "results"}
    assert result["results"][0]["answers"][0]["answer"] == TEXT
    answers = [make(), make(pace=Pace(tokens=6, seed=2))]
    whole = batch(answers)
    assert [one["answers"][0]["answer"] for one in whole["results"]] == [TEXT, "".join(tokens(2, 6))]
    assert whole["query_id"] == whole["results"][0]["query_id"] != whole["results"][1]["query_id"]


def test_the_old_form_names_all_payloads_and_ends_its_lines_with_lf():
    body = played(make(form=Form(old=True), result=True))
    assert b"\r" not in body
    found = events(form=Form(old=True), result=True)
    assert said(found[:-1]) == TEXT
    assert [list(event) for event in found] == [["query_id", "type", "delta", "result", "error"]] * 7
    assert found[0]["delta"] == {"text": "##"}
    assert (found[0]["result"], found[-1]["delta"], found[-1]["type"]) == (None, None, "result")


def test_the_old_form_knows_no_tools():
    assert len(events("tools", Form(old=True), tool_calls=True, tool_results=True)) == 6


@pytest.mark.parametrize(("scenario", "form"), [("tools", None), ("ok", TOOLS)])
def test_tool_calls_come_in_pieces_that_join_to_json(scenario, form):
    found = events(scenario, form, tool_calls=True)
    calls = [event for event in found if event["type"] == "tool_call_delta"]
    for index, arguments in enumerate(({"place": "Río Tinto"}, {"place": "old ford", "days": 3})):
        first, *rest = [event for event in calls if event["tool_call_delta"]["index"] == index]
        assert (first["index"], first["start"]) == (index, True)
        assert first["tool_call_delta"]["tool_name"] == "river_level"
        assert re.fullmatch(r"call_[0-9a-f]{24}", first["tool_call_delta"]["id"])
        assert first["tool_call_delta"]["arguments"] is None
        assert all(set(event["tool_call_delta"]) == {"index", "arguments"} for event in rest)
        assert not any(event["start"] for event in rest)
        assert json.loads("".join(event["tool_call_delta"]["arguments"] for event in rest)) == arguments
    assert reasons(found) == ["tool_calls", "stop"]
    assert said(found) == TEXT


def test_tool_results_follow_the_calls_they_belong_to():
    found = events("tools", tool_calls=True, tool_results=True)
    names = [event["tool_call_delta"]["id"] for event in found if event.get("start") and "tool_call_delta" in event]
    results = [event for event in found if event["type"] == "tool_call_result"]
    assert [event["tool_call_result"]["origin"]["id"] for event in results] == names
    assert results[0]["tool_call_result"] == {
        "result": "1.2 m",
        "origin": {"tool_name": "river_level", "arguments": {"place": "Río Tinto"}, "id": names[0]},
        "error": False,
    }
    assert [event["finish_reason"] for event in results] == [None, "tool_call_results"]
    assert [(event["index"], event["start"]) for event in results] == [(0, True), (1, True)]
    assert reasons(found) == ["tool_calls", "tool_call_results", "stop"]
    assert found[found.index(results[-1]) + 1]["start"] is True


def test_rendered_tool_calls_are_markdown_in_the_text_and_not_in_the_result():
    found = events("tools", result=True)
    assert {event["type"] for event in found} == {"delta", "result"}
    assert said(found).startswith('**Tool call:** `river_level`\n\n```json\n{"place": "Río Tinto"}\n```\n\n**Tool')
    assert said(found).endswith(TEXT)
    assert [event["start"] for event in found[:-1]] == [True, False, False, True] + [False] * 6
    assert found[-1]["result"]["answers"][0]["answer"] == TEXT
    assert reasons(found) == ["tool_calls", "stop"]


def test_tool_calls_may_be_left_out_with_and_without_their_results():
    assert [event["type"] for event in events("tools", tool_calls=False)] == ["delta"] * 7
    found = events("tools", tool_calls=False, tool_results=True)
    assert [event["type"] for event in found] == ["tool_call_result"] * 2 + ["delta"] * 7


def test_usage_on_every_delta_counts_up():
    found = events("usage-everywhere", pace=Pace(tokens=3, burst=2))
    usages = [event["delta"]["meta"]["usage"]["completion_tokens"] for event in found]
    assert usages == [1, 2, 3, 3]
    assert found[0]["delta"]["meta"]["model"] == "simulated-1"
    assert not any("usage" in event["delta"]["meta"] for event in events())


def test_a_refusal_is_a_finish_reason():
    assert reasons(events("refusal")) == ["content_filter"]
    assert make("refusal").bare()["answers"][0]["meta"]["finish_reason"] == "content_filter"


def test_an_error_is_a_plain_sentence_and_the_last_event():
    found = events("error", result=True)
    assert [event["type"] for event in found] == ["delta"] * 3 + ["error"]
    assert found[-1] == {
        "query_id": found[0]["query_id"],
        "type": "error",
        "error": "The pipeline failed while it generated the answer.",
    }


@pytest.mark.parametrize(
    ("scenario", "kinds", "finished"),
    [
        ("truncate", ["delta"] * 3, []),
        ("no-done", ["delta"] * 7, ["stop"]),
        ("late", [*["delta"] * 7, "result", "delta"], ["stop"]),
    ],
)
def test_scenarios_change_which_events_come(scenario, kinds, finished):
    found = events(scenario, result=True)
    assert [event["type"] for event in found] == kinds
    assert reasons(found) == finished


def test_odd_bytes_stand_in_an_event_of_their_own():
    assert b'"type":"delta","delta":{"text":\r\n\r\ndata: {"query_id"' in played(make(), "malformed")
    assert b'"delta":{"text":"\xff\xfe","meta":{}},"index":0' in played(make(), "bad-utf8")


def test_another_text_may_stand_in_the_result():
    assert make(said="authorization: Bearer x\n").bare()["answers"][0]["answer"] == "authorization: Bearer x\n"


@pytest.mark.parametrize(("form", "eol"), [(Form(), rb"\r\n"), (Form(old=True), rb"\n")])
def test_a_comment_carries_the_send_time_or_a_date(form, eol):
    script = make(form=form).script(Limits())
    assert re.fullmatch(rb": ping - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00" + eol + eol, script.ping)
    assert re.fullmatch(rb": t_ns=5" + eol, script.stamp(5, b"data: x"))
    assert script.stamp(5, b'"rest"}') == b""
