from __future__ import annotations

import re

import pytest

from streamnb.simulator.typebot_flow import FLOWS, Session, Sessions, go_on, start

STREAM = {"type": "stream", "stream": True, "expectsDedicatedReply": True}


def bubble(text: str) -> dict:
    return {"text": text}


def begin(bot: str = "any", text: str | None = None, *, streams: bool = True) -> tuple[Session, dict]:
    session = Sessions().open(bot, streams=streams)
    return session, start(session, text, lambda: "answer", bubble)


def say(session: Session, text: str | None) -> dict:
    return go_on(session, text, lambda: "answer", bubble)


def test_a_bot_greets_and_asks():
    _, reply = begin()
    assert [message["text"] for message in reply["messages"]] == ["Hi! I am simulated.", "Ask me anything."]
    assert reply["input"] == {"id": "in1", "type": "text input"}


def test_a_prompt_leads_to_a_stream_and_its_text_back_to_an_input():
    session, _ = begin()
    assert say(session, "hello") == {"messages": [], "clientSideActions": [STREAM]}
    assert session.expects_stream
    reply = say(session, "the streamed text")
    assert reply == {
        "messages": [{"text": "Anything else?"}],
        "input": {"id": "in2", "type": "text input"},
        "progress": 60,
    }
    assert not session.expects_stream
    assert session.heard == 1


def test_a_message_with_the_start_saves_a_call():
    _, reply = begin(text="hello")
    assert len(reply["messages"]) == 2
    assert reply["clientSideActions"] == [STREAM]


def test_without_streaming_the_text_comes_as_a_bubble():
    session, _ = begin("two-streams", streams=False)
    reply = say(session, "hello")
    assert [message["text"] for message in reply["messages"]] == ["answer", "answer", "Anything else?"]
    assert "clientSideActions" not in reply


def test_two_streams_follow_each_other():
    session, _ = begin("two-streams")
    assert say(session, "hello")["clientSideActions"] == [STREAM]
    assert say(session, "first text") == {"messages": [], "clientSideActions": [STREAM]}
    assert "input" in say(session, "second text")
    assert session.heard == 2


def test_a_wait_is_answered_with_an_empty_call():
    session, _ = begin("wait")
    action = say(session, "hello")["clientSideActions"][0]
    assert action == {"type": "wait", "wait": {"secondsToWaitFor": 0.05}, "expectsDedicatedReply": True}
    assert not session.expects_stream
    assert say(session, None)["clientSideActions"] == [STREAM]
    assert session.heard == 0


def test_the_legacy_action_carries_the_messages_to_send_back():
    session, _ = begin("legacy")
    action = say(session, "hello")["clientSideActions"][0]
    assert action["type"] == "streamOpenAiChatCompletion"
    assert action["streamOpenAiChatCompletion"]["messages"] == session.history()
    assert session.history()[-1] == {"role": "user", "content": "hello"}


def test_a_bot_may_start_with_a_stream():
    session, reply = begin("starts-with-stream")
    assert reply["clientSideActions"] == [STREAM]
    assert len(reply["messages"]) == 2
    assert say(session, "text")["input"]["id"] == "in1"


def test_buttons_have_an_id_and_a_content_and_take_only_their_content():
    session, _ = begin("choice")
    say(session, "hello")
    choice = say(session, "text")["input"]
    assert choice["type"] == "choice input"
    assert [set(item) for item in choice["items"]] == [{"id", "content"}] * 3
    wrong = say(session, "something else")
    assert wrong["messages"] == [{"text": "Invalid message. Please, try again."}]
    assert wrong["input"] == choice
    assert say(session, choice["items"][0]["content"])["clientSideActions"] == [STREAM]


def test_saying_nothing_to_an_input_asks_again():
    session, _ = begin()
    assert say(session, None) == {"messages": [], "input": {"id": "in1", "type": "text input"}}
    assert session.turns == 0


def test_progress_never_passes_100():
    session, _ = begin(streams=False)
    assert [say(session, "hello")["progress"] for _ in range(5)] == [60, 80, 100, 100, 100]


def test_session_ids_look_like_cuids_and_differ():
    sessions = Sessions()
    names = {sessions.open("any", streams=True).id for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"c[0-9a-z]{24}", name) for name in names)


def test_only_the_newest_thousand_sessions_are_kept():
    sessions = Sessions()
    first, second = sessions.open("any", streams=True), sessions.open("any", streams=True)
    for _ in range(999):
        sessions.open("any", streams=True)
    assert sessions.find(first.id) is None
    assert sessions.find(second.id) is second


@pytest.mark.parametrize("bot", FLOWS)
def test_every_flow_comes_to_an_input_again(bot):
    session, reply = begin(bot, "hello")
    calls = 0
    while "input" not in reply:
        reply = say(session, "text")
        calls += 1
    assert 1 <= calls <= 2
