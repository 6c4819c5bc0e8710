from __future__ import annotations

from streamnb.simulator.chatbotkit_talk import LISTED, SPECIAL, Channels, Conversations, listed, told


def test_the_list_is_made_from_the_seed():
    rows = listed(4)
    assert rows == listed(4)
    assert rows != listed(5)
    assert len({row["id"] for row in rows}) == len(rows) == LISTED
    assert [row["createdAt"] for row in rows] == sorted(row["createdAt"] for row in rows)
    assert all(row["updatedAt"] >= row["createdAt"] for row in rows)
    assert {row["meta"]["topic"] for row in rows} == {"billing", "delivery", "returns"}
    assert rows[0]["name"] == "Slow water 1"


def test_a_listed_conversation_has_questions_and_answers():
    messages = told(1, 3)
    assert [message["type"] for message in messages] == ["user", "bot"] * 5
    assert len({message["id"] for message in messages}) == 10
    assert all(message["text"] for message in messages)


def test_a_conversation_begins_when_it_is_first_spoken_to_and_is_found_again():
    conversations = Conversations()
    conversation = conversations.find("conv_1", 1)
    name = conversation.say("user", "hi")
    assert conversations.find("conv_1", 1) is conversation
    assert [message["id"] for message in conversations.messages("conv_1", 1)] == [name]


def test_reading_the_messages_begins_nothing_and_a_listed_one_has_them_from_the_start():
    conversations = Conversations()
    first = listed(1)[0]["id"]
    assert conversations.messages("conv_2", 1) == []
    assert conversations.messages(first, 1) == told(1, 0) == conversations.find(first, 1).messages


def test_a_special_conversation_remembers_nothing():
    conversations = Conversations()
    for name in SPECIAL:
        conversations.find(name, 1).turns += 1
        assert conversations.find(name, 1).turns == 0


def test_only_the_newest_conversations_are_kept():
    conversations = Conversations()
    made = [conversations.create("bot_1") for _ in range(1001)]
    made[0].say("user", "old")
    made[1].say("user", "new")
    assert conversations.messages(made[0].id, 1) == []
    assert len(conversations.messages(made[1].id, 1)) == 1


async def test_a_message_reaches_everybody_who_waits_and_nobody_after():
    channels = Channels()
    with channels.opened("k", "c") as first:
        with channels.opened("k", "c") as second:
            assert channels.publish("k", "other", {}) is False
            assert channels.publish("other", "c", {}) is False
            assert channels.publish("k", "c", {"data": 1}) is True
            assert channels.publish("k", "c", {"data": 2}) is False
        assert (first.result(), second.result()) == ({"data": 1}, {"data": 1})
    assert channels.publish("k", "c", {}) is False
