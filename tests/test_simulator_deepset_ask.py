from __future__ import annotations

import json

import pytest

from streamnb.simulator.deepset_ask import (
    Ask,
    AskError,
    check_key,
    error_body,
    read_ask,
    read_id,
    read_limit,
    read_object,
    read_rows,
)

ID = "0b8f0f7e-3c8d-4c57-9a7e-2f4d7c1a9e10"


def ask(*, chat: bool = False, stream: bool = True, **fields) -> Ask:
    return read_ask(json.dumps(fields).encode(), chat=chat, stream=stream)


def refused(call, *args, **options) -> tuple[int, list, str]:
    """Return status, place and kind of what a bad request is told."""
    with pytest.raises(AskError) as caught:
        call(*args, **options)
    detail = caught.value.body["detail"][0]
    assert set(detail) == {"loc", "msg", "type"}
    return caught.value.status, detail["loc"], detail["type"]


def test_a_search_needs_a_query_and_nothing_else():
    assert ask(query="hi") == Ask(("hi",), None, result=False, tool_calls="rendered", tool_results=False)


def test_every_field_of_a_chat_is_read():
    read = ask(
        chat=True,
        query="hi",
        search_session_id=ID.upper(),
        include_result=True,
        include_tool_calls=False,
        include_tool_call_results=True,
        filters={"field": "x"},
    )
    assert read == Ask(("hi",), ID, result=True, tool_calls=False, tool_results=True)


@pytest.mark.parametrize("given", [True, False, "rendered", None])
def test_tool_calls_are_true_false_or_rendered(given):
    assert ask(query="hi", include_tool_calls=given).tool_calls == ("rendered" if given is None else given)


def test_without_a_stream_the_queries_are_a_list():
    assert ask(stream=False, queries=["a", "b"]).queries == ("a", "b")


@pytest.mark.parametrize(
    ("fields", "loc", "kind"),
    [
        ({}, ["body", "query"], "missing"),
        ({"query": 5}, ["body", "query"], "string_type"),
        ({"query": "hi", "include_result": "yes"}, ["body", "include_result"], "bool_parsing"),
        ({"query": "hi", "include_tool_calls": "all"}, ["body", "include_tool_calls"], "literal_error"),
        ({"query": "hi", "include_tool_call_results": 1}, ["body", "include_tool_call_results"], "bool_parsing"),
        ({"query": "hi", "chat": True}, ["body", "search_session_id"], "missing"),
        ({"query": "hi", "chat": True, "search_session_id": "new"}, ["body", "search_session_id"], "uuid_parsing"),
        ({"query": "hi", "chat": True, "search_session_id": None}, ["body", "search_session_id"], "uuid_parsing"),
        ({"query": "hi", "chat": True, "search_session_id": 7}, ["body", "search_session_id"], "uuid_parsing"),
        ({"stream": False, "query": "hi"}, ["body", "queries"], "missing"),
        ({"stream": False, "queries": []}, ["body", "queries"], "list_type"),
        ({"stream": False, "queries": "hi"}, ["body", "queries"], "list_type"),
        ({"stream": False, "queries": ["hi", 5]}, ["body", "queries"], "list_type"),
    ],
)
def test_a_field_that_does_not_fit_is_named_in_a_422(fields, loc, kind):
    assert refused(ask, **fields) == (422, loc, kind)


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        (b'{"query":', ["body", 0], "json_invalid"),
        (b"[" * 100_000, ["body", 0], "json_invalid"),
        (b"[]", ["body"], "model_attributes_type"),
    ],
)
def test_a_body_that_is_no_object_is_a_422(body, loc, kind):
    assert refused(read_object, body) == (422, loc, kind)


def test_an_id_in_the_query_string_is_checked_like_one_in_the_body():
    assert read_id({"before": ID}, "before", "query") == ID
    assert refused(read_id, {"before": "x"}, "before", "query") == (422, ["query", "before"], "uuid_parsing")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("x", "int_parsing"),
        ("1.5", "int_parsing"),
        ("9" * 5000, "int_parsing"),
        ("0", "greater_than_equal"),
        ("-1", "greater_than_equal"),
        ("101", "less_than_equal"),
    ],
)
def test_a_limit_is_a_number_from_1_to_100(given, kind):
    assert refused(read_limit, {"limit": given}) == (422, ["query", "limit"], kind)


def test_a_limit_is_10_unless_given_and_a_page_has_no_most():
    assert read_limit({}) == 10
    assert read_limit({"limit": "100"}) == 100
    assert read_rows({}, "page_number") is None
    assert read_rows({"page_number": "1000"}, "page_number") == 1000


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer bad-key", "Basic abc"])
def test_only_a_bearer_key_opens(authorization):
    with pytest.raises(AskError) as caught:
        check_key(authorization)
    assert (caught.value.status, caught.value.body) == (401, {"errors": ["The API key is missing or not valid."]})


def test_any_other_bearer_key_opens():
    assert check_key("bearer api_simulated") is None


def test_an_error_is_a_list_of_sentences_but_for_422():
    assert error_body(591) == {
        "errors": ["The pipeline was on standby and is being activated. Try again later."],
    }
    assert error_body(418) == {"errors": ["Error 418."]}
    assert error_body(404, "No session.") == {"errors": ["No session."]}
    message = "The request does not fit this pipeline."
    assert error_body(422) == {"detail": [{"loc": ["body"], "msg": message, "type": "value_error"}]}
