from __future__ import annotations

import pytest

from streamnb.simulator.voiceflow_flow import PROJECTS, Conversation, Conversations, Turn, take

LAUNCH = {"type": "launch"}
HELLO = {"type": "text", "payload": "hello"}
NO_MATCH = ["Sorry, I did not understand that."]


def no_text() -> str:
    raise AssertionError("the whole text is not needed here")


def begun(project: str) -> Conversation:
    conversation = Conversation(project, "u")
    take(conversation, LAUNCH, no_text)
    return conversation


def kinds(turn: Turn) -> list[str]:
    """Return the types of a turn's traces, `*` for the model's answer."""
    return [trace["type"] for trace in turn.before] + ["*"] * turn.answers + [trace["type"] for trace in turn.after]


def messages(turn: Turn) -> list[str]:
    return [trace["payload"]["message"] for trace in turn.before if trace["type"] == "text"]


@pytest.mark.parametrize(
    ("project", "launch", "heard"),
    [
        ("any", ["block", "text"], ["block", "*"]),
        ("choices", ["block", "text", "choice"], ["block", "*", "choice"]),
        ("intents", ["block", "text"], ["block", "*"]),
        ("cards", ["block", "text"], ["block", "visual", "card", "cardV2", "carousel", "speak"]),
        ("knowledge", ["block", "text"], ["block", "knowledgeBase", "text"]),
        ("ends", ["block", "text"], ["block", "*", "end"]),
        ("no-reply", ["block", "text", "no-reply"], ["block", "*", "no-reply"]),
        ("quota", ["block", "text"], ["block", "text", "debug"]),
        ("custom", ["block", "text"], ["block", "text", "open_ticket"]),
    ],
)
def test_a_project_decides_what_a_launch_and_a_text_bring(project, launch, heard):
    conversation = Conversation(project, "u")
    assert kinds(take(conversation, LAUNCH, no_text)) == launch
    assert kinds(take(conversation, HELLO, lambda: "answer")) == heard


@pytest.mark.parametrize(
    ("project", "action", "said"),
    [
        ("intents", {"type": "intent", "payload": {"intent": {"name": "order_status"}}}, ["Your order is on its way."]),
        ("intents", {"type": "intent", "payload": {"intent": {"name": "unheard_of"}}}, NO_MATCH),
        ("any", {"type": "intent", "payload": {"intent": {"name": "order_status"}}}, NO_MATCH),
        ("any", {"type": "intent", "payload": {}}, NO_MATCH),
        ("any", {"type": "no-reply"}, []),
        ("no-reply", {"type": "no-reply"}, ["Are you still there?"]),
        ("custom", {"type": "done"}, ["Your ticket is open."]),
        ("custom", {"type": "failed"}, ["The ticket could not be opened."]),
        ("custom", {"type": "other"}, NO_MATCH),
        ("cards", {"type": "path-3x8scarf"}, ["You chose: Take the blue one."]),
        ("any", {"type": "path-3x8scarf"}, NO_MATCH),
        ("choices", {"type": "path-none"}, NO_MATCH),
        ("any", {"type": "action", "payload": {"label": "x"}}, NO_MATCH),
    ],
)
def test_an_action_that_is_no_text_has_a_reply_of_its_own_or_is_not_understood(project, action, said):
    assert messages(take(begun(project), action, no_text)) == said


def test_the_text_of_documents_is_the_turns_own():
    turn = take(begun("knowledge"), HELLO, lambda: "answer")
    assert messages(turn) == ["answer"]
    query = turn.before[1]["payload"]["query"]
    assert query == {"messages": [{"role": "user", "content": "hello"}], "output": "answer"}


def test_an_ended_conversation_starts_again_with_the_next_action():
    conversation = begun("ends")
    take(conversation, HELLO, no_text)
    assert conversation.state()["stack"] == []
    assert kinds(take(conversation, HELLO, no_text)) == ["block", "text"]
    assert kinds(take(conversation, HELLO, no_text)) == ["block", "*", "end"]


def test_the_state_is_nested_and_remembers_what_was_said():
    conversation = begun("choices")
    take(conversation, {"type": "path-9m4return", "payload": {"label": "Return it"}}, no_text)
    state = conversation.state()
    assert list(state) == ["stack", "storage", "variables"]
    assert state["stack"][0]["programID"] == "choices-root"
    assert state["variables"] == {"user_id": "u", "sessions": 1, "last_utterance": "Return it"}


def test_a_second_launch_is_a_second_session():
    conversation = begun("any")
    take(conversation, LAUNCH, no_text)
    assert conversation.state()["variables"]["sessions"] == 2


def test_only_the_newest_conversations_are_kept():
    known = Conversations()
    first = known.get("0", "p", "u")
    assert known.get("0", "p", "other") is first
    for number in range(1, 1001):
        known.get(str(number), "p", "u")
    assert known.find("0") is None
    assert known.find("1") is not None


def test_a_session_ends_the_one_before_of_the_same_user_and_project():
    known = Conversations()
    keys = [known.open("p", "u"), known.open("p", "v"), known.open("q", "u"), known.open("p", "u")]
    assert [known.find(key).replaced for key in keys] == [True, False, False, False]
    assert len(set(keys)) == 4


def test_each_project_with_a_way_of_its_own_is_described_in_a_line():
    assert all(line and "\n" not in line for line in PROJECTS.values())
    assert {"choices", "intents", "cards", "knowledge", "ends", "no-reply", "quota", "custom"} < set(PROJECTS)
