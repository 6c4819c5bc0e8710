from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from chatbotkit_calls import HELLO, JSONL, KEY, RIVER, SSE, TWO, USER, connect, events, kinds, new
from simulated import FAST, post, read_until

from streamnb.simulator import chatbotkit_dispatch
from streamnb.simulator.chatbotkit_dispatch import Dispatched, Dispatches
from streamnb.simulator.chatbotkit_lines import Encode, jsonl, sse
from streamnb.simulator.scenarios import Out


class Clock:
    """The monotonic clock of the module under test."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(chatbotkit_dispatch, "time", made)
    return made


def outs(encode: Encode) -> Iterator[Out]:
    yield Out(0.0, (encode("a", 1), encode("b", 2)))
    yield Out(1.0, (encode("c", 3),))
    yield Out(4.0, (encode("d", 4),), torn=True)


def seen(clock, elapsed_s: float, history: int) -> list[tuple[float, bytes]]:
    dispatched = Dispatched(outs)
    clock.now_s += elapsed_s
    return [(out.at_s, b"".join(out.blocks)) for out in dispatched.seen(jsonl, history)]


def line(kind: str, data: int) -> bytes:
    return b'{"type":"message","data":{"type":"%s","data":%d}}\n' % (kind.encode(), data)


@pytest.mark.parametrize(
    ("history", "past"), [(0, []), (2, [line("b", 2), line("c", 3)]), (9, [line("a", 1), line("b", 2), line("c", 3)])]
)
def test_the_past_comes_at_once_and_the_future_when_it_is_due(clock, history, past):
    assert seen(clock, 1.5, history) == [*((0.0, block) for block in past), (2.5, line("d", 4)), (math.inf, b"")]


def test_when_all_is_past_the_channel_stays_open(clock):
    assert seen(clock, 9.0, 1) == [(0.0, line("d", 4)), (math.inf, b"")]


def test_each_subscriber_has_its_form_and_what_was_torn_is_torn():
    found = list(Dispatched(outs).seen(sse, 9))
    assert found[0].blocks == (b'event: message\ndata: {"type":"a","data":1}\n\n',)
    assert [out.torn for out in found] == [False, False, False, True, False]


def test_an_answer_is_found_by_its_key_and_channel_while_it_is_among_the_newest():
    dispatches = Dispatches()
    for number in range(1001):
        dispatches.keep("k", f"c{number}", outs)
    assert dispatches.find("k", "c1") is not None
    assert dispatches.find("k", "c0") is dispatches.find("other", "c1") is None


def test_a_dispatched_answer_is_seen_by_whoever_subscribes():
    body = {**USER, "functions": [RIVER]}
    channel = post("/v1/conversation/dispatch", body, TWO, KEY).value["channelId"]
    path = f"/v1/channel/{channel}/subscribe"
    whole = post(path, {"historyLength": 100}, f"{FAST},max_duration=0.05", JSONL)
    assert events(whole)[0] == {"type": "nop", "data": {}}
    inner = [event["data"] for event in events(whole)[1:]]
    assert set(kinds(whole)[1:]) == {"message"}
    assert [set(event) for event in inner] == [{"type", "data"}] * 9
    assert inner[-1]["type"] == "result"
    again = post(path, {"historyLength": 2}, f"{FAST},max_duration=0.05", SSE).body.decode().split("\n\n")
    assert [block[:31] for block in again[:2]] == ["event: nop\ndata: {}", 'event: message\ndata: {"type":"r']
    assert len(again) == 4


def test_a_subscription_goes_on_with_what_is_still_to_come():
    name = new()
    channel = "a-channel-of-24-letters-"
    post(f"/v1/conversation/{name}/dispatch", {**HELLO, "channelId": channel}, "ttft=0.2,gap=0,tokens=2", KEY)
    reply = post(f"/v1/channel/{channel}/subscribe", {"historyLength": 100}, "max_duration=0.4", JSONL)
    assert len(events(reply)) == 10
    assert events(reply)[-1]["data"]["data"]["text"] == "## Loose"


def test_a_subscription_in_plain_json_never_answers_and_an_unknown_channel_is_a_404():
    channel = post("/v1/conversation/dispatch", USER, TWO, KEY).value["channelId"]
    with connect(f"/v1/channel/{channel}/subscribe", {}, FAST, "application/json") as wire:
        read_until(wire, b"\r\n\r\n")
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.recv(1)
    assert post(f"/v1/channel/{channel[::-1]}/subscribe", {}, FAST, JSONL).status == 404
