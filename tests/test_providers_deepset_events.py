"""deepset's event objects and JSON replies, one at a time: what each means, with fields missing, null or odd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamnb.events import Event
from streamnb.providers import Seen
from streamnb.providers._deepset_events import (
    last_reason,
    pipeline_reply,
    session_reply,
    sessions_reply,
    stream_events,
    whole_reply,
)
from streamnb.testing import events


def read(value: dict[str, Any], *before: Event, name: str = "message") -> list[Event]:
    seen = Seen()
    for event in before:
        seen.fold(event)
    return list(stream_events(value, name, seen))


def test_a_stream_starts_with_its_query_and_the_model_once():
    first = {"query_id": "q", "type": "delta", "delta": {"text": "Hi", "meta": {"model": "m"}}}
    start, delta = read(first)
    assert start == Event("start", id="q", name="m")
    assert delta == Event("delta", "Hi", data={"meta": {"model": "m"}})
    assert read(first, start) == [delta]
    assert read({"query_id": "q", "type": "delta", "delta": {"text": "Hi"}}, Event("end")) == [Event("delta", "Hi")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "delta", "delta": {"text": "Hi", "meta": {}}, "index": 0, "start": False}, [Event("delta", "Hi")]),
        (
            {"type": "delta", "delta": {"text": "Hi"}, "index": 2, "start": True},
            [Event("delta", "Hi", data={"index": 2, "start": True})],
        ),
        ({"type": "delta", "delta": "Hi"}, [Event("delta", "Hi")]),
        ({"type": "delta", "delta": {"text": "Hi", "meta": "m"}}, [Event("delta", "Hi")]),
        ({"type": "delta", "delta": {"text": ""}, "index": 0}, []),
        ({"type": "delta", "delta": {"text": ""}, "start": True}, [Event("trace", name="delta", data={"start": True})]),
        (
            {"type": "delta", "delta": {"text": "Hi"}, "finish_reason": "stop"},
            [Event("delta", "Hi"), Event("step", name="stop")],
        ),
        ({"type": "delta", "delta": {"text": "Hi"}, "finish_reason": ""}, [Event("delta", "Hi")]),
        ({"delta": {"text": "Hi"}}, [Event("delta", "Hi")]),
        ({"type": 5, "reasoning": "Hm"}, [Event("reasoning", "Hm")]),
        (
            {"type": "reasoning", "reasoning": {"reasoning_text": "Hm", "extra": {"a": 1}}},
            [Event("reasoning", "Hm", data={"extra": {"a": 1}})],
        ),
        ({"type": "error", "error": "no"}, [Event("error", "no")]),
        ({"type": "error", "error": None}, [Event("error", "")]),
        ({"type": "error", "error": 7}, [Event("error", "7")]),
        ({"error": "no"}, [Event("error", "no")]),
        ({"type": "ping"}, [Event("ping")]),
        ({"type": "ping", "query_id": "q", "ping": {"n": 1}}, [Event("ping", data={"n": 1})]),
        ({"type": "result", "result": 7}, [Event("end", data=7)]),
        ({"type": "result", "result": {}, "finish_reason": "length"}, [Event("end", name="length", data={})]),
    ],
)
def test_an_event_object_means(value, expected):
    assert read(value) == expected


@pytest.mark.parametrize("value", ["delta", "reasoning", "tool_call_delta", "tool_call_result"])
@pytest.mark.parametrize("payload", [None, 7, [], {"text": 7, "reasoning_text": None}])
def test_a_payload_of_another_shape_is_kept_and_raises_nothing(value, payload):
    odd = {"type": value, value: payload}
    (event,) = read(odd)
    if isinstance(payload, dict) and value.startswith("tool"):
        assert (event.text, event.data) == ("", {"text": 7})
    else:
        assert event == Event("unknown", name=value, data=odd)


def test_an_unknown_type_is_kept_whole_and_its_payloads_are_not_guessed():
    odd = {"type": "summary", "delta": {"text": "Hi"}, "finish_reason": "stop"}
    assert read(odd) == [Event("unknown", name="summary", data=odd), Event("step", name="stop")]


def test_an_error_is_seen_whatever_the_type_says():
    said = read({"type": "summary", "error": "no"})
    assert [event.kind for event in said] == ["unknown", "error"]
    assert said[1] == Event("error", "no")


def test_the_events_name_stands_in_for_a_missing_type():
    assert read({"text": "x", "delta": None, "error": ""}, name="delta")[0].kind == "unknown"
    assert read({"result": {"answers": [{"answer": "Hi"}]}}, name="result")[0].text == "Hi"
    assert read({}, name="delta-ish") == [Event("unknown", data={})]


def test_a_tool_call_comes_in_pieces_each_with_its_index():
    first = {
        "type": "tool_call_delta",
        "tool_call_delta": {"index": 1, "tool_name": "find", "id": "c1", "arguments": None},
    }
    assert read(first) == [Event("tool_call", name="find", id="c1", data={"index": 1})]
    second = {"type": "tool_call_delta", "tool_call_delta": {"index": 1, "arguments": '{"q":1}'}}
    assert read(second) == [Event("tool_call", '{"q":1}', data={"index": 1})]


def test_arguments_that_are_no_text_stay_as_they_are():
    whole = {"type": "tool_call_delta", "tool_call_delta": {"tool_name": "find", "arguments": {"q": 1}}}
    assert read(whole) == [Event("tool_call", name="find", data={"arguments": {"q": 1}})]


def test_the_result_of_a_tool_names_its_call_and_keeps_the_error_flag():
    origin = {"tool_name": "find", "arguments": {"q": 1}, "id": "c1"}
    said = {"type": "tool_call_result", "tool_call_result": {"result": "gone", "origin": origin, "error": True}}
    assert read(said) == [Event("tool_result", "gone", name="find", id="c1", data={"origin": origin, "error": True})]


def test_the_end_is_named_by_the_last_finish_reason():
    result = {"type": "result", "result": {"answers": [{"answer": "Hi"}]}}
    (end,) = read(result, Event("step", name="tool_calls"), Event("step", name="length"))
    assert (end.name, end.text) == ("length", "Hi")
    assert read(result)[0].name is None


def test_the_older_layout_has_finish_reason_and_usage_in_the_generators_meta():
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    said = read({"type": "delta", "delta": {"text": "", "meta": {"finish_reason": "stop", "usage": usage}}})
    assert [event.kind for event in said] == ["trace", "usage", "step"]
    assert said[1].data == {"tokens_in": 5, "tokens_out": 2, "usage": "last", "raw": usage}
    assert said[2].name == "stop"


def test_without_a_step_there_is_no_last_reason():
    assert last_reason(Seen()) is None


RESULT = {"query_id": "q", "answers": [{"answer": "Hi"}], "documents": []}


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (RESULT, ["message", "end"]),
        ({"query_id": "q", "results": [RESULT]}, ["message", "end"]),
        ({"documents": [{"id": "d"}]}, ["citation", "end"]),
        ({"errors": ["no"]}, ["error"]),
        ({"detail": "no"}, ["error"]),
        ({"message": "no"}, ["error"]),
        ({"type": "about:blank", "detail": "no", "status": 404}, ["error"]),
        ({"type": "error", "error": "no"}, ["error"]),
        ({"type": "delta", "delta": {"text": "Hi"}}, ["delta"]),
        ({"foo": 1}, ["unknown"]),
    ],
)
def test_json_instead_of_a_stream_is_an_error_or_the_whole_reply(value, kinds):
    assert [event.kind for event in whole_reply(value, Seen())] == kinds
    assert [event.kind for event in events("deepset", json.dumps(value).encode())] == kinds


def test_the_pipelines_id_is_read_from_either_name():
    assert list(pipeline_reply({"pipeline_id": "p", "id": "x"})) == [
        Event("trace", name="pipeline", id="p", data={"pipeline_id": "p", "id": "x"})
    ]
    assert next(pipeline_reply({"id": "x"})).id == "x"
    assert next(pipeline_reply({"errors": ["no"]})).kind == "error"


@pytest.mark.parametrize("key", ["search_session_id", "session_id", "id"])
def test_the_sessions_id_is_read_from_any_of_three_names(key):
    assert list(session_reply({key: "s"})) == [Event("session", id="s")]
    assert list(session_reply({key: "s", "error": "?"})) == [Event("session", id="s", data={"error": "?"})]


def test_a_session_without_an_id_is_no_session():
    assert [event.kind for event in session_reply({"id": None})] == ["unknown"]
    assert [event.kind for event in session_reply({"errors": ["no"]})] == ["error"]


def test_a_page_of_sessions_says_its_rows_and_whether_there_are_more():
    row = {"id": "s1", "title": "x"}
    assert list(sessions_reply({"data": [row, 7], "has_more": False, "total": None})) == [
        Event("item", name="search_session", id="s1", data=row),
        Event("unknown", data=7),
        Event("trace", name="page", data={"has_more": False}),
    ]
