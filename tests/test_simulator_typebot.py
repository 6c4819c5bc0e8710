from __future__ import annotations

import json
import time
from typing import Any

import pytest
from simulated import FAST, Reply, body_on_the_wire, chunked, post

from streamnb.simulator.prose import tokens

FOUR = f"{FAST},tokens=4"
MARKDOWN = {"textBubbleContentFormat": "markdown"}
START = {"isStreamEnabled": True, **MARKDOWN}


def start(bot: str = "simple", options: str = FOUR, **fields: Any) -> Reply:
    return post(f"/api/v1/typebots/{bot}/startChat", {**START, **fields}, options, {})


def go_on(session: str, message: Any = None, options: str = FOUR) -> Reply:
    return post(f"/api/v1/sessions/{session}/continueChat", {"message": message, **MARKDOWN}, options, {})


def stream(session: str, options: str = FOUR, version: int = 2, body: Any = None) -> Reply:
    return post(f"/api/v{version}/sessions/{session}/streamMessage", body, options, {})


def expecting(bot: str = "simple") -> str:
    """Return a session that waits for its streamMessage."""
    session = start(bot).value["sessionId"]
    assert "clientSideActions" in go_on(session, {"type": "text", "text": "hello"}).value
    return session


def test_the_whole_conversation_goes_as_documented():
    opened = start()
    assert opened.status == 200
    assert set(opened.value) == {"sessionId", "resultId", "typebot", "messages", "input"}
    assert opened.value["typebot"] == {"id": "tb_simple", "version": "6.1", "theme": {}, "settings": {}}
    assert opened.value["messages"][0]["content"] == {"type": "markdown", "markdown": "Hi! I am simulated."}
    session = opened.value["sessionId"]
    action = {"type": "stream", "stream": True, "expectsDedicatedReply": True}
    assert go_on(session, "hello").value == {"messages": [], "clientSideActions": [action]}
    lines = stream(session).lines
    text = "".join(json.loads(line[2:]) for line in lines if line.startswith("0:"))
    assert text == "".join(tokens(1, 4))
    after = go_on(session, {"type": "text", "text": text}).value
    assert [message["content"]["markdown"] for message in after["messages"]] == ["Anything else?"]
    assert after["input"] == {"id": "in2", "type": "text input"}
    assert after["progress"] == 60


def test_the_bytes_on_the_wire_are_exactly_the_documented_ones():
    path = f"/api/v2/sessions/{expecting()}/streamMessage"
    assert body_on_the_wire(path, {}, f"{FAST},tokens=4") == chunked(
        b'f:{"messageId":"step-1"}\n',
        b'0:"##"\n',
        b'0:" Loose"\n',
        b'0:" threads"\n',
        b'0:"\\n\\nThe"\n',
        b'e:{"finishReason":"stop","isContinued":false}\n',
        b'd:{"finishReason":"stop"}\n',
    )


def test_a_stream_has_no_content_type():
    assert "content-type" not in stream(expecting()).headers


def test_a_stamp_stands_directly_before_each_piece_of_text_and_nowhere_else():
    before = time.monotonic_ns()
    lines = stream(expecting(), f"{FOUR},stamps=1").lines
    after = time.monotonic_ns()
    assert "".join(line[:1] for line in lines) == "f80808080ed"
    stamps = [json.loads(line[2:])[0]["t_ns"] for line in lines if line.startswith("8:")]
    assert [before, *stamps, after] == sorted([before, *stamps, after])


def test_running_a_stream_again_gives_the_same_and_moves_nothing():
    session = expecting()
    assert stream(session).body == stream(session).body
    assert go_on(session, "text").value["progress"] == 60


def test_a_second_stream_has_a_text_of_its_own():
    session = expecting("two-streams")
    first = stream(session, f"{FOUR},seed=2").lines
    assert "clientSideActions" in go_on(session, "first").value
    second = stream(session, f"{FOUR},seed=2").lines
    assert [first[2], second[2]] == ['0:" Loose"', '0:" Quiet"']
    assert "input" in go_on(session, "second").value


@pytest.mark.parametrize(
    ("options", "version", "media", "body"),
    [
        (FOUR, 1, "text/plain; charset=utf-8", "".join(tokens(1, 4))),
        (f"{FOUR},framing=raw_text", 2, "text/plain; charset=utf-8", "".join(tokens(1, 4))),
        (f"{FAST},tokens=1,framing=sse", 2, "text/event-stream; charset=utf-8", "data: ##\n\ndata: [DONE]\n\n"),
        (f"{FAST},tokens=1,framing=prefix_lines", 1, None, 'f:{"messageId":"step-1"}\n0:"##"\n'),
    ],
)
def test_each_generation_of_the_endpoint_has_its_framing(options, version, media, body):
    reply = stream(expecting(), options, version)
    assert reply.headers.get("content-type") == media
    assert reply.body.decode().startswith(body)


def test_the_legacy_action_needs_its_messages_back():
    session = start("legacy").value["sessionId"]
    action = go_on(session, "hello").value["clientSideActions"][0]
    refused = stream(session)
    assert (refused.status, refused.value["status"]) == (200, 400)
    body = action["streamOpenAiChatCompletion"]
    assert stream(session, body=body).lines[1] == '0:"##"'
    old = post("/api/integrations/openai/streamer", {"sessionId": session, **body}, FOUR, {})
    assert old.lines[1] == '0:"##"'


@pytest.mark.parametrize(("bot", "first"), [("tools", "f:"), ("assistant", "0:"), ("starts-with-stream", "f:")])
def test_a_bots_name_selects_what_it_streams(bot, first):
    session = start(bot, message="hello").value["sessionId"]
    body = stream(session).body.decode()
    assert body.startswith(first)
    assert ("\n9:" in body) is (bot == "tools")
    assert ("\nd:" in body) is (bot != "assistant")


def test_without_streaming_the_text_is_a_message():
    session = start(isStreamEnabled=False).value["sessionId"]
    reply = go_on(session, "hello").value
    assert reply["messages"][0]["content"]["markdown"] == "".join(tokens(1, 4))
    assert "clientSideActions" not in reply


def test_text_is_rich_unless_markdown_is_asked_for():
    reply = post("/api/v1/typebots/simple/startChat", {}, FOUR, {}).value
    rich = [{"type": "p", "children": [{"text": "Hi! I am simulated."}]}]
    assert reply["messages"][0]["content"] == {"type": "richText", "richText": rich}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("x", True),
        ({"type": "text", "text": "x"}, True),
        ({"type": "audio", "url": "http://x/a.mp3"}, True),
        ({"type": "command", "command": "/restart"}, True),
        (None, False),
    ],
)
def test_a_message_may_have_any_documented_form(message, said):
    reply = go_on(start().value["sessionId"], message).value
    assert ("clientSideActions" in reply) is said


@pytest.mark.parametrize("body", [b"{", b"[]", {"message": 5}, {"message": {"type": "text"}}])
def test_a_malformed_request_is_a_400(body):
    reply = post(f"/api/v1/sessions/{start().value['sessionId']}/continueChat", body, FOUR, {})
    assert (reply.status, reply.value["code"]) == (400, "BAD_REQUEST")


def test_an_unknown_bot_and_an_unknown_session_are_404s():
    assert start("missing").value == {
        "defined": False,
        "code": "NOT_FOUND",
        "status": 404,
        "message": "Typebot not found",
    }
    reply = go_on("cnone", "x")
    assert (reply.status, reply.value["message"]) == (404, "Session not found.")


def test_the_stream_endpoint_hides_its_errors_in_a_200():
    reply = stream("cnone")
    assert reply.status == 200
    assert reply.value == {
        "message": "Could not find session",
        "status": 404,
        "details": "",
        "context": "While streaming message",
    }
    early = stream(start().value["sessionId"])
    assert (early.status, early.value["status"]) == (200, 400)
    assert stream(expecting(), f"{FOUR},scenario=error-200").value["status"] == 500


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Bearer bad"}, 401), ({"Authorization": "Bearer t"}, 200)]
)
def test_a_preview_needs_a_token(headers, status):
    reply = post("/api/v1/typebots/simple/preview/startChat", START, FOUR, headers)
    assert reply.status == status
    assert ("sessionId" in reply.value) is (status == 200)


def test_a_status_scenario_strikes_at_the_call_that_was_chosen():
    session = expecting()
    reply = stream(session, f"{FOUR},scenario=http-500")
    assert (reply.status, list(reply.value)) == (500, ["message"])
    reply = start(options=f"{FOUR},scenario=http-429,at=start")
    assert (reply.status, reply.value["code"], reply.headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "7")
    assert go_on(session, "x", f"{FOUR},scenario=html-503,at=continue").body.startswith(b"<html>")
    assert start(options=f"{FOUR},scenario=http-429").status == 200


def test_json_may_come_where_a_stream_was_due():
    reply = stream(expecting(), f"{FOUR},scenario=json-200")
    assert reply.value["input"]["type"] == "text input"


def test_a_header_received_is_repeated_in_the_stream():
    session = expecting()
    path = f"/api/v2/sessions/{session}/streamMessage"
    reply = post(path, None, f"{FOUR},scenario=echo-auth", {"x-api-key": "canary-0123456789"})
    assert '0:"x-api-key: canary-0123456789\\n"' in reply.lines
