"""Oliver's flow and events on plain values: what is asked for, and what each frame means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from replies import CUT, read
from samples import contents, replay
from wire_vectors import PRINTED

from streamnb.conversation import Conversation
from streamnb.errors import UsageError
from streamnb.events import Outcome, Prompt
from streamnb.providers import Ending, ReplyHead, load, names
from streamnb.redaction import Secret
from streamnb.shelf import read_file
from streamnb.tables import citations
from streamnb.testing import events

Oliver = load("oliver")
TRANSCRIPTS = Path(__file__).parent / "transcripts" / "oliver"
KEY = {"Authorization": Secret("OLIVER_API_KEY", prefix="Bearer ")}
START = b'event: start\ndata: {"message_id":"m1","created_at":"2026-01-05T08:30:00Z"}\n\n'
HELLO = b'event: chunk\ndata: {"content":"Hello"}\n\n'
ERROR = b'event: error\ndata: {"code":"stream_timeout","message":"No activity"}\n\n'
END = b'event: end\ndata: {"message_id":"m1","complete":true}\n\n'
BROKEN_OFF = b'event: end\ndata: {"message_id":"m1","complete":false}\n\n'


def event(kind: str, value: Any) -> Any:
    """The one event that an event of this type means."""
    (found,) = events("oliver", f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode())
    return found


def talk(prompt: Prompt | None = None, **options: Any) -> Conversation:
    return Conversation(Oliver(**options), prompt or Prompt("Hi"))


def answer(conversation: Conversation, body: Any, status: int = 200, **ending: Any) -> None:
    conversation.begin(ReplyHead(status, {"retry-after": "9"} if status == 429 else {}))
    conversation.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    conversation.close()
    conversation.end(Ending(**ending))


def test_oliver_is_found_by_its_file():
    assert "oliver" in names()
    assert (Oliver.name, Oliver.session_option, Oliver.stream_name) == ("oliver", "chat_id", "stream")


def test_without_a_chat_one_is_created_and_the_message_goes_into_it():
    conversation = talk()
    create = conversation.call
    assert (create.name, create.method, create.path, create.body) == ("create_chat", "POST", "/v1/chats", {})
    assert (create.stream, create.setup, create.headers) == (False, False, KEY)
    answer(conversation, {"success": True, "data": {"id": "chat_1"}}, status=201)
    stream = conversation.call
    assert (stream.name, stream.method, stream.path) == ("stream", "POST", "/v1/chats/chat_1/messages/stream")
    assert (stream.stream, stream.body, stream.headers) == (True, {"content": "Hi"}, KEY)
    answer(conversation, START + HELLO + END)
    assert (conversation.call, conversation.outcome, conversation.error) == (None, Outcome.COMPLETE, None)


def test_the_new_chat_is_made_as_the_options_say():
    call = talk(chat_name="Bonds", rag_containers=["kb_1"], private=True, prefix="/api/v1").call
    assert call.path == "/api/v1/chats"
    assert call.body == {"name": "Bonds", "rag_containers": ["kb_1"], "is_private": True}


def test_in_a_given_chat_there_is_one_call_and_the_prompt_goes_out_byte_exact():
    text = 'Why {x} "y"; \\n\u2028\n '
    (call,) = Oliver(chat_id="a/b c", chat_name="unused").flow(Prompt(text))
    assert call.path == "/v1/chats/a%2Fb%20c/messages/stream"
    assert call.body == {"content": text}


def test_parameters_go_into_the_body_of_the_stream_only():
    conversation = talk(Prompt("Hi", params={"attachments": [{"id": "f"}]}))
    assert conversation.call.body == {}
    answer(conversation, {"success": True, "data": {"id": "c"}})
    assert conversation.call.body == {"content": "Hi", "attachments": [{"id": "f"}]}


def test_what_made_a_chat_is_not_said_again_when_its_run_is_continued():
    once = {option.name for option in Oliver.options if option.once}
    assert once == {"chat_name", "rag_containers", "private"}


def test_the_session_of_a_run_is_the_created_chat_or_else_the_given_one():
    (session,) = [one for one in replay(TRANSCRIPTS / "documented.jsonl")[0] if one.kind == "session"]
    assert session.id == "chat_4f2a90"
    assert Oliver(chat_id="chat_5").session_of(Prompt("Hi")) == "chat_5"
    assert Oliver().session_of(Prompt("Hi")) is None


def test_the_limits_are_the_vendors_and_the_number_of_streams_is_an_option():
    assert dict(Oliver.limits) == {"streams": 5, "idle_s": 60, "total_s": 300}
    assert Oliver().max_streams == 5
    assert Oliver(max_streams=2).max_streams == 2
    with pytest.raises(UsageError, match="max_streams wants int"):
        Oliver(max_streams="many")


@pytest.mark.parametrize(
    ("created_at", "server_ms"),
    [
        ("2026-01-05T08:30:00Z", 1767601800000),
        ("2026-01-05T08:30:00.125999+00:00", 1767601800125),
        ("2026-01-05T10:30:00+02:00", 1767601800000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00+14:00", -62135647200000),
        ("2026-01-05T08:30:00", None),  # whose time?
        ("2026-01-05", None),
        ("\ud800", None),
        ("soon", None),
        (1767601800, None),
        (None, None),
    ],
)
def test_the_start_has_the_servers_time_where_it_can_be_read(created_at, server_ms):
    start = event("start", {"message_id": "m1", "created_at": created_at})
    assert (start.kind, start.id, start.server_ms) == ("start", "m1", server_ms)
    assert start.data == {"created_at": created_at}


def test_a_start_with_nothing_in_it_is_a_start():
    start = event("start", {})
    assert (start.kind, start.id, start.data, start.server_ms) == ("start", None, None, None)


def test_chunks_are_the_text_verbatim():
    pieces = ["  two blanks", "\n\n1. a\n", "\t", "", "</b>"]
    body = b"".join(b"event: chunk\ndata: " + json.dumps({"content": piece}).encode() + b"\n\n" for piece in pieces)
    found = events("oliver", body)
    assert [(one.kind, one.text) for one in found] == [("delta", piece) for piece in pieces]


def test_a_citation_says_where_in_the_text_it_stands():
    source = {"citation_id": "c1", "source_type": "web_page", "title": "T", "url": "https://a.example", "page": 3}
    body = START + HELLO + b"event: citation\ndata: " + json.dumps(source).encode() + b"\n\n" + HELLO
    citation = events("oliver", body)[2]
    assert (citation.kind, citation.id, citation.name) == ("citation", "c1", "T")
    assert citation.data == {
        "title": "T",
        "url": "https://a.example",
        "source_type": "web_page",
        "page": 3,
        "at_char": 5,
    }


def test_the_table_of_citations_has_what_the_stream_said():
    record, _, _ = read_file(TRANSCRIPTS / "citations.jsonl")
    table = citations(record)
    assert list(table["at_char"]) == [0, 13, 13, 28, 29]
    assert list(table["source_type"]) == ["rag_document", "web_page", "filing", "web_page", "rag_document"]
    assert list(table["id"]) == ["citation_1", "citation_2", "citation_3", "citation_2", "citation_4"]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (START + HELLO + END, "complete"),
        (START + HELLO + b"event: end\ndata: {}\n\n", "complete"),
        (START + HELLO + b'event: end\ndata: {"complete":[]}\n\n', "complete"),
        (START + HELLO + b"event: end\ndata: null\n\n", "complete"),
        (START + HELLO + b"event: end\n\n", "complete"),
        (START + HELLO + b"event: end\n", "truncated"),
        (START + HELLO + b'event: end\ndata: {"message_id":', "truncated"),
        (START + HELLO + b"event: end\ndata: [1]\n\n", "truncated"),
        (START + HELLO + BROKEN_OFF, "truncated"),
        (START + HELLO + BROKEN_OFF + END, "truncated"),
        (START + HELLO, "truncated"),
        (START + HELLO + ERROR, "error_in_stream"),
        (START + HELLO + ERROR + HELLO + END, "error_in_stream"),
        (START + HELLO + END + ERROR, "error_in_stream"),
        (START + ERROR + BROKEN_OFF, "error_in_stream"),
        (b'data: {"success":false}\n\n', "error_in_stream"),
        (b'data: {"error":"no"}\n\n', "error_in_stream"),
        (b"event: error\n\n", "error_in_stream"),
        (b'{"success":false,"error":{"code":"c","message":"no"}}', "error_in_stream"),
        (b'{"status":"error","message":"no"}', "error_in_stream"),
        (b'{"success":true,"message":"yes"}', "protocol_error"),
        (b'{"success":true,"data":{"role":"user","content":"Hi"}}', "protocol_error"),
        (b"[1]", "protocol_error"),
        (b"<html>", "protocol_error"),
        (b"", "protocol_error"),
    ],
)
def test_only_an_end_that_is_not_incomplete_makes_a_stream_complete(body, outcome):
    opened, _ = read(body, "oliver", headers={})
    assert opened.outcome(Ending()) == outcome


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (START + HELLO, "protocol_error"),
        (START + HELLO + END, "complete"),
        (START + HELLO + BROKEN_OFF, "truncated"),
        (START + HELLO + ERROR, "error_in_stream"),
    ],
)
def test_a_connection_that_breaks_after_the_end_changes_nothing(body, outcome):
    opened, _ = read(body, "oliver")
    assert opened.outcome(Ending(CUT)) == outcome


def test_a_close_delimited_body_is_complete_with_the_end_event_only():
    assert read(START + HELLO, "oliver")[0].outcome(Ending(framing="close")) is Outcome.TRUNCATED
    assert read(START + HELLO + END, "oliver")[0].outcome(Ending(framing="close")) is Outcome.COMPLETE


def test_an_event_of_an_unknown_type_is_no_error_whatever_it_says():
    warning = event("warning", {"code": "slow", "message": "One source is slow", "error": "no"})
    assert (warning.kind, warning.name) == ("unknown", "warning")
    assert warning.data == {"code": "slow", "message": "One source is slow", "error": "no"}


def test_a_broken_event_keeps_its_text_and_its_type():
    (broken,) = events("oliver", b"event: chunk\ndata: oops\n\n")
    assert (broken.kind, broken.name, broken.data) == ("unknown", "chunk", {"raw": "oops"})
    assert broken.flags == {"malformed"}


@pytest.mark.parametrize("value", [{"content": None}, {"content": 5}, {"text": "x"}, {}, [], "x", 5, None])
def test_a_chunk_without_text_is_kept_as_unknown(value):
    found = event("chunk", value)
    assert (found.kind, found.name, found.data) == ("unknown", "chunk", value)


@pytest.mark.parametrize(
    ("reply", "outcome", "error"),
    [
        (
            {"success": False, "error": {"code": "no_container", "message": "kb_9 does not exist"}},
            "error_in_stream",
            "oliver reported an error to create_chat: kb_9 does not exist (no_container).",
        ),
        ({"success": False, "data": {"id": "chat_1"}}, "error_in_stream", "oliver reported an error to create_chat:"),
        ({"error": "no", "data": {"id": "chat_1"}}, "error_in_stream", "oliver reported an error to create_chat: no."),
        ({"success": True, "data": {}}, "protocol_error", "oliver answered create_chat without the id of a chat;"),
        ({"success": True, "data": {"id": ""}}, "protocol_error", "oliver answered create_chat without the id"),
        ({"success": True, "data": {"id": 5}}, "protocol_error", "oliver answered create_chat without the id"),
        ([], "protocol_error", "oliver answered create_chat without the id of a chat;"),
        (b"<html>", "protocol_error", "oliver answered 200 with 6 bytes of no Content-Type instead of JSON"),
        (b"", "protocol_error", "oliver answered 200 with an empty body"),
    ],
)
def test_a_chat_that_was_not_created_ends_the_run(reply, outcome, error):
    conversation = talk()
    answer(conversation, reply)
    assert (conversation.call, conversation.outcome) == (None, outcome)
    assert conversation.error.startswith(error)


def test_a_message_beside_the_new_chat_is_no_error():
    conversation = talk()
    answer(conversation, {"status": "success", "message": "Chat created", "data": {"id": "chat_1"}})
    assert conversation.call.path == "/v1/chats/chat_1/messages/stream"


@pytest.mark.parametrize("code", ["stream_timeout", "processing_error", "connection_closed"])
def test_every_documented_code_has_a_hint_and_an_unknown_one_the_general(code):
    said = {}
    for name in (code, "other_code"):
        body = f'event: error\ndata: {{"code":"{name}","message":"m"}}\n\n'.encode()
        conversation = talk(chat_id="c")
        answer(conversation, START + body)
        said[name] = conversation.error
    assert said[code] == f"oliver reported an error in the stream: m ({code}). {Oliver.hints[code]}"
    assert said["other_code"].endswith("m (other_code). What arrived is kept; run it again.")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "an API key (oc_live_...), or a token of Oliver's login"),
        (403, "check whose the chat and its RAG containers are"),
        (404, "check --chat-id and --prefix (/v1 or /api/v1)"),
        (429, "other processes hold streams with this key (Oliver allows 5 at once); wait 9 s and run it again."),
        (500, "The fault is on the provider's side; run it again."),
    ],
)
def test_a_status_is_explained_in_olivers_terms(status, says):
    conversation = talk(chat_id="c")
    answer(conversation, {"success": False, "error": {"code": "some_code", "message": "No."}}, status)
    assert conversation.outcome is Outcome.HTTP_ERROR
    assert conversation.error.startswith(f"oliver answered {status}: No. ")
    assert says in conversation.error


def test_the_explanations_name_the_vendors_limits():
    conversation = talk(chat_id="c")
    answer(conversation, START + HELLO, lasted_s=300.4)
    assert conversation.error.endswith("It lasted 300 s, and oliver closes every stream after 300 s (max_duration).")
    conversation = talk(chat_id="c")
    answer(conversation, START + HELLO, lasted_s=120.0)
    assert "max_duration" not in conversation.error


def test_to_stop_is_what_oliver_calls_a_closed_connection():
    for cause in (Outcome.STOPPED, Outcome.INTERRUPTED):
        conversation = talk(chat_id="c")
        answer(conversation, START + HELLO, cause=cause)
        assert conversation.outcome is cause
        assert conversation.error.endswith("what arrived is kept. Oliver notes it as connection_closed.")


@pytest.mark.parametrize("layout", ["oliver", "oliver_pretty"])
def test_a_printed_layout_has_the_events_that_were_meant(layout):
    frames = json.loads((PRINTED / f"{layout}.json").read_text("utf-8"))["frames"]
    meant = json.loads((PRINTED / "oliver.json").read_text("utf-8"))
    found = events("oliver", (PRINTED / f"{layout}.txt").read_bytes())
    kinds = {"start": "start", "chunk": "delta", "citation": "citation", "end": "end"}
    assert [one.kind for one in found] == [kinds[frame["event"]] for frame in frames]
    assert "".join(one.text for one in found) == meant["text"]
    sources = [one.data for one in found if one.kind == "citation"]
    assert [{key: source[key] for key in ("title", "at_char")} for source in sources] == meant["citations"]
    assert [found[0].id, found[-1].id] == ["msg_501", "msg_501"]


def test_the_transcripts_hold_every_ending_and_every_code():
    ends: dict[str, list[str]] = {}
    for path in TRANSCRIPTS.glob("*.jsonl"):
        ends.setdefault(contents(path).end.outcome, []).append(contents(path).end.error or "")
    assert ends.keys() == {"complete", "truncated", "error_in_stream", "http_error", "protocol_error"}
    said = " ".join(ends["error_in_stream"])
    assert all(f"({code})" in said for code in ("stream_timeout", "processing_error", "connection_closed"))
    assert sum("max_duration" in error for error in ends["truncated"]) == 1


@pytest.mark.parametrize("most", [0, -1])
def test_a_limit_that_lets_no_stream_through_is_refused(most: int):
    with pytest.raises(UsageError, match=f"oliver: max_streams wants a number from 1, not {most}"):
        load("oliver")(max_streams=most)
