from __future__ import annotations

import json

import pytest

from streamnb.simulator.openai_ask import Ask, AskError, check_key, error_body, read_ask

MESSAGES = [{"role": "user", "content": "one two, three"}]


def ask(**fields) -> Ask:
    return read_ask(json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode(), 60)


def test_a_plain_request_asks_for_one_whole_answer():
    read = ask()
    assert (read.model, read.stream, read.usage, read.n, read.tokens, read.cut) == ("m", False, False, 1, 60, False)
    assert read.prompt_tokens > 3


@pytest.mark.parametrize(
    ("fields", "tokens", "cut"),
    [
        ({"max_tokens": 5}, 5, True),
        ({"max_completion_tokens": 7}, 7, True),
        ({"max_tokens": 60}, 60, False),
        ({"max_tokens": 900}, 60, False),
        ({"max_tokens": None}, 60, False),
    ],
)
def test_max_tokens_cuts_the_answer_only_when_it_is_shorter(fields, tokens, cut):
    read = ask(**fields)
    assert (read.tokens, read.cut) == (tokens, cut)


def test_usage_is_wanted_only_when_it_is_asked_for():
    assert ask(stream=True, stream_options={"include_usage": True}).usage
    assert not ask(stream=True, stream_options={"include_usage": False}).usage
    assert not ask(stream=True, stream_options=[]).usage


def test_the_first_tool_offered_gives_its_name():
    assert ask(tools=[{"type": "function", "function": {"name": "look_up"}}]).tool == "look_up"
    assert ask(tools=[]).tool == "river_level"


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"{", 400, None, None),
        (b"", 400, None, None),
        (b"[]", 400, None, None),
        (b"\xff", 400, None, None),
        (b"[" * 100_000, 400, None, None),
        (b'{"model":"m"}', 400, "messages", "missing_required_parameter"),
        (b'{"model":"m","messages":[]}', 400, "messages", "missing_required_parameter"),
        (b'{"messages":[{}]}', 400, "model", "missing_required_parameter"),
        (b'{"messages":[{}],"model":"missing-model"}', 404, "model", "model_not_found"),
        (b'{"messages":[{}],"model":"m","n":0}', 400, "n", "invalid_value"),
        (b'{"messages":[{}],"model":"m","n":true}', 400, "n", "invalid_value"),
        (b'{"messages":[{}],"model":"m","max_tokens":"5"}', 400, "max_tokens", "invalid_value"),
    ],
)
def test_a_wrong_request_is_refused_in_openais_envelope(body, status, param, code):
    with pytest.raises(AskError) as caught:
        read_ask(body, 60)
    error = caught.value.body["error"]
    assert (caught.value.status, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"] == str(caught.value)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer bad-key"])
def test_a_missing_or_bad_key_is_a_401(header):
    with pytest.raises(AskError) as caught:
        check_key(header)
    assert caught.value.status == 401
    assert caught.value.body["error"]["code"] == "invalid_api_key"


def test_any_other_key_will_do():
    check_key("Bearer sk-anything")
    check_key("bearer sk-anything")


def test_a_status_nobody_has_heard_of_still_has_an_envelope():
    assert error_body(418) == {
        "error": {"message": "Error 418.", "type": "invalid_request_error", "param": None, "code": None}
    }
