"""deepset's calls on plain values, no sockets: which call comes when and with which body, and how a stream ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamnb.conversation import Conversation
from streamnb.errors import UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers import Ending, ReplyHead, Seen, load
from streamnb.redaction import Secret
from streamnb.testing import events

Deepset = load("deepset")
ANSWERED = b'data: {"type":"result","result":{"answers":[{"answer":"Hi"}]}}\n\n'
HI = b'data: {"type":"delta","delta":{"text":"Hi"}}\n\n'
ENDED = b'data: {"type":"delta","delta":{"text":"."},"finish_reason":"%s"}\n\n'
BEARER = {"Authorization": Secret("DEEPSET_API_KEY", prefix="Bearer ", required=True)}
INCLUDED = {"include_result": True, "include_tool_calls": True, "include_tool_call_results": True}
SPACE = "/api/v1/workspaces/my%20space"


def talk(prompt: dict[str, Any] | None = None, **options: Any) -> Conversation:
    deepset = Deepset(**{"pipeline": "rag/1", "workspace": "my space", **options})
    return Conversation(deepset, Prompt(**{"text": "Why?", **(prompt or {})}))


def play(conversation: Conversation, *replies: Any) -> list[tuple[str, str, str, Any, Any]]:
    """Answer the calls in order; returns (name, method, path, body, query) of every call, the open one included."""
    asked = []
    for reply in replies:
        asked.append(asked_for(conversation))
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        conversation.begin(ReplyHead(status))
        conversation.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
        conversation.close()
        conversation.end(Ending())
    return asked if conversation.call is None else [*asked, asked_for(conversation)]


def asked_for(conversation: Conversation) -> tuple[str, str, str, Any, Any]:
    call = conversation.call
    assert call is not None
    assert call.headers == BEARER
    return call.name, call.method, call.path, call.body, dict(call.query)


def chat(session: str, **more: Any) -> tuple[str, str, str, Any, Any]:
    body = {"query": "Why?", "search_session_id": session, **INCLUDED, **more}
    return "chat_stream", "POST", f"{SPACE}/pipelines/rag%2F1/chat-stream", body, {}


PIPELINE = ("pipeline", "GET", f"{SPACE}/pipelines/rag%2F1", None, {})


def opened(pipeline_id: str) -> tuple[str, str, str, Any, Any]:
    return "session", "POST", f"{SPACE}/search_sessions", {"pipeline_id": pipeline_id}, {}


def test_a_chat_learns_the_pipelines_id_opens_a_session_and_streams():
    conversation = talk()
    asked = play(conversation, {"pipeline_id": "p1"}, (201, {"search_session_id": "s1"}), HI + ANSWERED)
    assert asked == [PIPELINE, opened("p1"), chat("s1")]
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


def test_a_pipeline_id_spares_the_question_for_it():
    assert play(talk(pipeline_id="p9"), {"search_session_id": "s1"}) == [opened("p9"), chat("s1")]


def test_a_given_session_is_gone_on_in_at_once():
    assert play(talk(search_session="s7")) == [chat("s7")]


def test_a_session_among_the_parameters_opens_none():
    assert play(talk({"params": {"search_session_id": "s8"}})) == [chat("s8")]


def test_search_stream_needs_no_session():
    (asked,) = play(talk(endpoint="search"))
    assert asked == (
        "search_stream",
        "POST",
        f"{SPACE}/pipelines/rag%2F1/search-stream",
        {"query": "Why?", **INCLUDED},
        {},
    )


def test_search_stream_refuses_a_session():
    with pytest.raises(UsageError, match=r"search-stream has no session; use --endpoint chat with --search-session"):
        talk(endpoint="search", search_session="s7")


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({"no_result": True}, {"include_result": False}),
        ({"tool_calls": "rendered"}, {"include_tool_calls": "rendered"}),
        ({"tool_calls": "false"}, {"include_tool_calls": False}),
        ({"tool_calls": False}, {"include_tool_calls": False}),
        ({"tool_calls": True}, {}),
        ({"tool_call_results": "false"}, {"include_tool_call_results": False}),
        ({"tool_call_results": False}, {"include_tool_call_results": False}),
    ],
)
def test_options_say_what_the_stream_includes(options, more):
    assert play(talk(search_session="s", **options)) == [chat("s", **more)]


def test_parameters_go_into_the_body_and_one_that_is_none_leaves_it():
    params = {"chat_history_limit": 5, "filters": {"a": 1}, "include_tool_call_results": None, "include_result": True}
    ((*_, body, _),) = play(talk({"params": params}, search_session="s"))
    expected = {"query": "Why?", "search_session_id": "s", "include_result": True, "include_tool_calls": True}
    assert body == {**expected, "chat_history_limit": 5, "filters": {"a": 1}}


@pytest.mark.parametrize(
    ("no_result", "include_result"), [(False, False), (False, None), (True, True), (False, "true"), (False, 1)]
)
def test_a_parameter_cannot_contradict_the_option_that_says_how_the_stream_ends(no_result, include_result):
    with pytest.raises(UsageError, match=r"leave include_result to --no-result \(no_result=True\)"):
        talk({"params": {"include_result": include_result}}, no_result=no_result)


def test_without_a_pipeline_nothing_is_sent():
    with pytest.raises(UsageError, match=r"deepset needs --pipeline NAME \(in Python pipeline="):
        Conversation(Deepset(), Prompt("Why?"))


def test_without_a_workspace_nothing_is_sent():
    with pytest.raises(UsageError, match=r"deepset needs --workspace NAME \(in Python workspace="):
        talk(workspace="")
    assert Deepset().values["workspace"] == "default"


@pytest.mark.parametrize(
    ("base_url", "region", "host"),
    [
        (None, "eu", "https://api.cloud.deepset.ai"),
        (None, "us", "https://api.us.deepset.ai"),
        ("https://api.cloud.deepset.ai/", "us", "https://api.us.deepset.ai"),
        ("https://api.us.deepset.ai", "us", "https://api.us.deepset.ai"),
        ("https://api.us.deepset.ai", "eu", "https://api.us.deepset.ai"),
        ("http://127.0.0.1:9/~x", "us", "http://127.0.0.1:9/~x"),
    ],
)
def test_the_region_chooses_between_the_vendors_own_hosts_only(base_url, region, host):
    assert Deepset(base_url, region=region).base_url == host


@pytest.mark.parametrize(
    ("replies", "outcome", "said"),
    [
        ([(404, {"errors": ["no"]})], "http_error", "answered 404 to pipeline: no."),
        ([{"errors": ["no"]}], "error_in_stream", "no"),
        ([{"name": "rag"}], "protocol_error", "no pipeline_id; give it with --pipeline-id UUID"),
        ([b"<html>"], "protocol_error", "instead of JSON to pipeline"),
        ([b""], "protocol_error", "instead of JSON to pipeline"),
        ([[1]], "protocol_error", "no pipeline_id"),
        ([{"id": "p1"}, (422, {"detail": "no"})], "http_error", "answered 422 to session: no."),
        ([{"id": "p1"}, {"error": "no"}], "error_in_stream", "no"),
        ([{"id": "p1"}, {"search_session_id": 7}], "protocol_error", "no search_session_id; give one with"),
        ([{"id": "p1"}, {"session_id": "s"}, (591, {"errors": ["asleep"]})], "http_error", "try again in a minute"),
        ([{"id": "p1"}, {"id": "s"}, HI], "truncated", "before its end marker"),
        ([{"id": "p1"}, {"id": "s"}, b"<html>"], "protocol_error", "instead of a stream"),
        ([{"id": "p1"}, {"id": "s"}, b""], "protocol_error", "an empty body"),
    ],
)
def test_an_error_stops_the_flow_and_says_what_to_do(replies, outcome, said):
    conversation = talk()
    assert len(play(conversation, *replies)) == len(replies)
    assert conversation.outcome == outcome
    assert said in conversation.error


@pytest.mark.parametrize("status", ["401", "403", "404", "408", "409", "412", "422", "429", "503", "591"])
def test_every_status_of_the_endpoint_has_a_hint(status):
    conversation = talk(search_session="s")
    play(conversation, (int(status), {"errors": ["no"]}))
    assert conversation.error.endswith(Deepset.hints[status].replace("{wait}", ""))


def outcome_of(body: bytes, ending: Ending | None = None, **options: Any) -> Outcome:
    conversation = talk(search_session="s", **options)
    conversation.begin(ReplyHead(200, {"content-type": "text/event-stream"}))
    conversation.feed(body)
    conversation.close()
    return conversation.end(ending or Ending())


CLOSED, BROKEN = Ending(None, "close"), Ending(Outcome.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("body", "ending", "outcome"),
    [
        (HI, None, "complete"),
        (HI, Ending(None, "length"), "complete"),
        (HI, CLOSED, "ended_unverified"),
        (HI, BROKEN, "protocol_error"),
        (HI + ENDED % b"stop", None, "complete"),
        (HI + ENDED % b"stop", CLOSED, "ended_unverified"),
        (HI + ENDED % b"length", None, "length"),
        (HI + ENDED % b"length", CLOSED, "length"),
        (HI + ENDED % b"content_filter", None, "filtered"),
        (HI + ENDED % b"tool_calls", None, "tool_calls"),
        (ENDED % b"tool_calls" + HI + ENDED % b"stop", None, "complete"),
        (HI + b"data: {", None, "truncated"),
        (HI + b'data: {"type":"error","error":"no"}\n\n', None, "error_in_stream"),
        (b'data: {"type":"tool_call_delta","tool_call_delta":{"id":"c"}}\n\n', None, "truncated"),
        (b": ping\n\n", None, "truncated"),
        (HI + ANSWERED, None, "complete"),
    ],
)
def test_without_a_result_the_end_of_the_body_ends_the_stream(body, ending, outcome):
    assert outcome_of(body, ending, no_result=True) == outcome


@pytest.mark.parametrize(
    ("body", "ending", "outcome"),
    [
        (HI, None, "truncated"),
        (HI + ENDED % b"stop", None, "truncated"),
        (HI + ENDED % b"length", CLOSED, "truncated"),
        (HI + ANSWERED, CLOSED, "complete"),
        (HI + ANSWERED, BROKEN, "complete"),
        (HI + ENDED % b"length" + ANSWERED, None, "length"),
        (ENDED % b"tool_calls" + ENDED % b"stop" + ANSWERED, None, "complete"),
        (HI + b'data: {"type":"error","error":"no"}\n\n' + ANSWERED, None, "error_in_stream"),
    ],
)
def test_where_the_result_was_asked_for_only_it_ends_the_stream(body, ending, outcome):
    assert outcome_of(body, ending) == outcome


def test_the_stream_is_over_with_the_result():
    provider = Deepset()
    assert provider.ends(Event("end"))
    assert not provider.ends(Event("step", name="stop"))
    assert provider.outcome(Seen(), Ending()) is Outcome.TRUNCATED


def test_the_session_opened_is_the_one_that_the_next_run_can_name():
    conversation = talk(pipeline_id="p")
    conversation.begin(ReplyHead(201))
    conversation.feed(b'{"search_session_id":"s1","created_at":"2026-01-01"}')
    assert conversation.close().events == (Event("session", id="s1", data={"created_at": "2026-01-01"}),)
    assert Deepset.session_option == "search_session"
    assert Deepset.session_option in {option.name for option in Deepset.options}


# -- the list of sessions ---------------------------------------------------------------------------------------------


def rows(*idents: str | None, has_more: Any = True, key: str = "data") -> dict[str, Any]:
    return {key: [{"search_session_id": ident, "title": None} for ident in idents], "has_more": has_more, "total": 9}


def listed(*replies: Any, take: int | None = None, **options: Any) -> tuple[Conversation, list[dict[str, str]]]:
    conversation = talk({"records": "search_sessions", "take": take}, **options)
    asked = play(conversation, *replies)
    assert {(name, method, path, body) for name, method, path, body, _ in asked} == {
        ("sessions", "GET", f"{SPACE}/search_sessions", None)
    }
    return conversation, [query for *_, query in asked]


def test_sessions_are_listed_page_by_page_until_there_are_no_more():
    conversation, queries = listed(rows("a", "b"), rows("c", has_more=False))
    assert queries == [{"limit": "100"}, {"limit": "100", "before": "b"}]
    assert conversation.outcome is Outcome.COMPLETE


@pytest.mark.parametrize(
    ("take", "pages", "limits"),
    [
        (2, [rows("a", "b")], ["2"]),
        (3, [rows("a", "b"), rows("c")], ["3", "1"]),
        (150, [rows("a"), rows("b", has_more=False)], ["100", "100"]),
        (1, [rows("a", "b")], ["1"]),
    ],
)
def test_no_more_sessions_are_asked_for_than_are_to_be_taken(take, pages, limits):
    conversation, queries = listed(*pages, take=take)
    assert [query["limit"] for query in queries] == limits
    assert conversation.outcome is Outcome.COMPLETE


@pytest.mark.parametrize(
    "pages",
    [
        [rows()],
        [rows(None)],
        [rows("a", has_more=None), rows(has_more=None)],
        [rows("a", has_more=None), rows("a")],
        [rows("a"), rows("a"), rows("a")],
        [rows("a"), rows(has_more=False), rows(has_more=False)],
        [rows("a", key="search_sessions"), rows("b", has_more=False, key="search_sessions")],
    ],
)
def test_a_page_without_news_ends_the_list(pages):
    conversation, _ = listed(*pages)
    assert (conversation.outcome, conversation.call) == (Outcome.COMPLETE, None)


def test_a_cursor_that_points_the_wrong_way_is_turned_round_once():
    pages = [rows("a", "b"), rows("a", has_more=False), rows("c"), rows("d")]
    _, (first, *others) = listed(*pages, rows("e", has_more=False))
    assert first == {"limit": "100"}
    cursors = [{key: value for key, value in query.items() if key != "limit"} for query in others]
    assert cursors == [{"before": "b"}, {"after": "b"}, {"after": "c"}, {"after": "d"}]
    conversation, queries = listed(*pages, rows("d"))
    assert (len(queries), conversation.outcome) == (5, Outcome.COMPLETE)


def test_sessions_seen_before_do_not_count_as_taken():
    _, queries = listed(rows("a", "b"), rows("a"), rows("c"), take=3)
    assert [query["limit"] for query in queries] == ["3", "1", "1"]


@pytest.mark.parametrize("reply", [{"hits": []}, [1], {"data": None}])
def test_something_else_than_a_list_of_sessions_is_no_empty_list(reply):
    conversation, _ = listed(reply)
    assert conversation.outcome is Outcome.PROTOCOL_ERROR
    assert "answered the list of search sessions with something else; check --base-url" in conversation.error


def test_an_error_instead_of_a_list_of_sessions_is_an_error():
    assert listed({"errors": ["no"]})[0].outcome is Outcome.ERROR_IN_STREAM


def test_an_unknown_list_names_the_nearest():
    with pytest.raises(UsageError, match=r"deepset has no list 'search_session'\. Did you mean search_sessions\?"):
        talk({"records": "search_session"})


# -- frames that are no event object ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b"data: oops\n\n", Event("unknown", data={"raw": "oops"}, flags=frozenset({"malformed"}))),
        (b"event: error\ndata: oops\n\n", Event("error", "oops")),
        (b"data: [1]\n\n", Event("unknown", data=[1])),
        (b"event: end\n\n", Event("trace", name="end", flags=frozenset({"no_data"}))),
        (b'{"cut', Event("unknown", data={"raw": '{"cut'}, flags=frozenset({"malformed"}))),
    ],
)
def test_a_frame_that_is_no_event_object_is_kept(body, event):
    (read,) = events("deepset", body)
    assert (read.kind, read.text, read.name, read.data) == (event.kind, event.text, event.name, event.data)
    assert read.flags >= event.flags
