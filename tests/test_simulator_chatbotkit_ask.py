from __future__ import annotations

import pytest
from starlette.requests import Request

from streamnb.simulator.chatbotkit_ask import (
    RefusedError,
    channel_of,
    dispatch_channel,
    error_body,
    history_of,
    key_of,
    messages_of,
    refuse,
    text_of,
)


def request(authorization: str | None = None, channel: str = "") -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers, "path_params": {"channel": channel}})


@pytest.mark.parametrize("authorization", ["Bearer key-1", "Token key-1 more", "x key-1"])
def test_the_key_is_the_second_word(authorization):
    assert key_of(request(authorization)) == "key-1"


@pytest.mark.parametrize("authorization", [None, "", "key-1", "Bearer ", "Bearer  key-1", "Token bad-1"])
def test_without_a_good_second_word_nobody_is_authenticated(authorization):
    with pytest.raises(RefusedError) as error:
        key_of(request(authorization))
    assert error.value.response.status_code == 401


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"message": "No subscription", "code": "NO_SUBSCRIPTION"}),
        (409, {"message": "Conflict", "code": "CONFLICT"}),
        (418, {"message": "Internal server error", "code": "INTERNAL_SERVER_ERROR"}),
    ],
)
def test_an_error_has_a_code_and_the_code_in_words(status, body):
    assert error_body(status) == body


def test_a_text_is_trimmed_and_may_be_missing_where_that_means_something():
    assert text_of({"text": " hi "}, required=True) == "hi"
    assert text_of({}, required=False) is None
    for body, required in (({}, True), ({"text": None}, False), ({"text": 5}, False), ({"text": ""}, False)):
        with pytest.raises(RefusedError):
            text_of(body, required=required)


def test_messages_have_a_known_type_and_a_text():
    good = [{"type": kind, "text": "x", "meta": {}} for kind in ("user", "backstory", "checkpoint")]
    assert messages_of({"messages": good}, required=True) == good
    assert messages_of({"messages": None}, required=False) == []
    for bad in ({"messages": {"type": "user"}}, {"messages": [{"type": "user"}]}, {"messages": []}):
        with pytest.raises(RefusedError):
            messages_of(bad, required=True)


def test_channels_have_a_least_length():
    assert channel_of(request(channel="c" * 16)) == "c" * 16
    assert dispatch_channel({"channelId": "c" * 24}) == "c" * 24
    assert len(dispatch_channel({})) == 24
    with pytest.raises(RefusedError):
        channel_of(request(channel="c" * 15))
    for bad in ("c" * 23, 5, None):
        with pytest.raises(RefusedError):
            dispatch_channel({"channelId": bad})


def test_a_history_has_a_length():
    assert [history_of({}), history_of({"historyLength": 10_000})] == [0, 10_000]
    for bad in (-1, 10_001, 1.5, True, "3"):
        with pytest.raises(RefusedError):
            history_of({"historyLength": bad})


def test_a_busy_bot_can_have_a_conversation_created():
    refuse("busy", created=False)
    refuse("", "conv_1")
    for names, created in ((("busy",), True), (("conv_1", "limit"), False)):
        with pytest.raises(RefusedError):
            refuse(*names, created=created)
