from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from streamnb.simulator.chatbotkit_lines import jsonl
from streamnb.simulator.chatbotkit_talk import Conversation
from streamnb.simulator.chatbotkit_turns import Ask, at_once, begun, limited, told
from streamnb.simulator.play import SETUP
from streamnb.simulator.prefix import Setup, read
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Limits, Script, perform


def request(setup: Setup) -> Request:
    headers = [(b"authorization", b"Token canary-0123456789")]
    return Request({"type": "http", "path": "/", "headers": headers, "query_string": b"", SETUP: setup})


def played(setup: Setup, ask: Ask) -> list[dict[str, Any]]:
    script = told(request(setup), begun(request(setup), ask), jsonl)
    whole = b"".join(block for out in perform(script, setup.pace, setup.scenario) for block in out.blocks)
    return [json.loads(line) for line in whole.decode().split("\n")[:-1]]


def test_each_turn_has_a_text_of_its_own_and_the_words_of_all_turns():
    setup, conversation = read("tokens=9,seed=5"), Conversation("conv_1")
    ask = Ask("complete", conversation, "two words", None)
    answers = [begun(request(setup), ask) for _ in range(3)]
    assert [answer.text for answer in answers] == ["".join(tokens(seed, 9)) for seed in (5, 6, 7)]
    assert [answer.whole()["usage"]["token"] for answer in answers] == [11, 13, 15]
    assert [message["text"] for message in conversation.messages] == ["two words"] * 3


def test_a_turn_without_a_text_keeps_nothing():
    conversation = Conversation("conv_1")
    begun(request(Setup()), Ask("complete", conversation, None, None))
    begun(request(Setup()), Ask("receive", conversation, None, None))
    assert conversation.messages == []
    assert conversation.turns == 2


def test_a_bot_searches_and_a_special_one_is_special():
    setup = read("tokens=2")
    plain = played(setup, Ask("complete", Conversation("conv_1", "bot_1"), None, None))
    assert plain[1]["data"]["action"]["name"] == "search"
    special = played(setup, Ask("complete", Conversation("conv_1", "iteration"), None, None))
    assert special[-1]["data"]["end"] == {"reason": "iteration"}


def test_what_was_received_is_repeated_as_tokens_and_in_the_result():
    found = played(read("scenario=echo-auth"), Ask("complete", Conversation("conv_1"), None, None))
    text = "".join(event["data"]["token"] for event in found if event["type"] == "token")
    assert text == found[-1]["data"]["text"] == "authorization: Token canary-0123456789\n"


def test_limits_are_those_that_the_base_url_asks_for():
    setup = read("max_duration=3,ping_every=2")
    assert limited(setup, Script(body=())).limits == Limits(total_s=3.0, ping_s=2.0)


def test_at_once_is_without_scenario_and_wait():
    setup = at_once(read("scenario=cut,ttft=9,tokens=4"))
    assert (setup.scenario, setup.pace.ttft, setup.pace.tokens) == ("ok", 0.0, 4)
