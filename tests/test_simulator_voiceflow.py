from __future__ import annotations

import http.client
import json
import re
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from simulated import FAST, Reply, post, read_until, url

from streamnb.simulator.prose import tokens

FOUR = f"{FAST},tokens=4"
KEY = "VF.DM.example.key"
BETA = "/v2beta1/interact/plain/production/stream"
V2 = "/v2/project/plain/user/{user}/interact/stream"
V4 = "/v4/interact/stream"
LAUNCH = {"type": "launch"}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

USER = iter(f"user-{number}" for number in range(10_000))


def text(payload: str = "hello") -> dict[str, Any]:
    return {"type": "text", "payload": payload}


def call(path: str, body: Any, options: str = FOUR, key: str | None = KEY) -> Reply:
    return post(path, body, options, {} if key is None else {"Authorization": key})


def connected(path: str, body: Any, options: str) -> socket.socket:
    """Send a turn over a socket of our own; what comes back is the caller's to read."""
    parts, data = urlsplit(url(options) + path), json.dumps(body).encode()
    head = f"POST {parts.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nContent-Length: {len(data)}\r\n\r\n"
    wire = socket.create_connection((parts.hostname, parts.port), timeout=20)
    wire.sendall(head.encode() + data)
    return wire


class Chat:
    """One user's conversation in one generation."""

    def __init__(self, generation: str = "v2beta1", project: str = "plain", *, streamed: bool = True) -> None:
        self.generation = generation
        self.project = project
        self.user = next(USER)
        self.streamed = streamed
        self.key = KEY

    def session(self, options: str = FOUR) -> Reply:
        reply = call(f"/v4/project/{self.project}/environment/main/session", {"userID": self.user}, options)
        self.key = reply.value.get("sessionKey", KEY)
        return reply

    def say(self, action: dict[str, Any], options: str = FOUR, **fields: Any) -> Reply:
        body = {"action": action, **fields}
        match self.generation:
            case "v2beta1":
                body["session"] = {"userID": self.user, "sessionID": "s1"}
                path = BETA.replace("plain", self.project)
            case "v2":
                path = V2.format(user=self.user).replace("plain", self.project)
                path += "?completion_events=true" if self.streamed else ""
            case _:
                path = V4
                body |= {"config": {"completionEvents": True}} if self.streamed else {}
        return call(path, body, options, self.key)

    def begin(self, options: str = FOUR) -> Reply:
        if self.generation == "v4":
            self.session(options)
        return self.say(LAUNCH, options)


def events(reply: Reply) -> list[tuple[str, str | None]]:
    """Return name and data of each event."""
    found = []
    for block in re.split(r"\n\n", reply.body.decode()):
        fields = dict(re.findall(r"(?m)^(event|id|data): ?(.*)$", block))
        if "event" in fields:
            found.append((fields["event"], fields.get("data")))
    return found


def traces(reply: Reply) -> list[dict[str, Any]]:
    values = [json.loads(data) for name, data in events(reply) if name == "trace"]
    return [value["trace"] if value["type"] == "trace" else value for value in values]


def kinds(reply: Reply) -> list[str]:
    return [trace["type"] for trace in traces(reply)]


def messages(reply: Reply) -> list[str]:
    return [trace["payload"]["message"] for trace in traces(reply) if trace["type"] == "text"]


def streamed(reply: Reply) -> str:
    payloads = [trace["payload"] for trace in traces(reply) if trace["type"].startswith("completion")]
    return "".join(payload.get("completion", payload.get("content", "")) for payload in payloads)


def masked(body: bytes) -> str:
    """Return the body with its random ids and its clock blotted out."""
    once = re.sub(UUID, "<uuid>", body.decode())
    return re.sub(
        r'"time":\d{13}(?=[,}])', '"time":0', re.sub(r'"(turnID|handleID)":"[0-9a-f]{24}"', r'"\1":"x"', once)
    )


STATE = (
    '{"stack":[{"programID":"plain-root","nodeID":"node-1","storage":{},"variables":{},'
    '"commands":[{"type":"jump","event":{"type":"intent"}}]}],'
    '"storage":{"turn":{"previousOutput":null},"output":[{"children":[{"text":""}]}]},'
    '"variables":{"user_id":"USER","sessions":1,"last_utterance":"hello"}}'
)
BETA_BODY = f"""retry:2000

event:trace
id:<uuid>
data:{{"type":"trace","trace":{{"type":"block","payload":{{"blockID":"65a1f0c2b7"}},"time":0}}}}

event:trace
id:<uuid>
data:{{"type":"trace","trace":{{"type":"completion-start","payload":{{"completion":"##","type":"text",\
"tokens":{{"model":"simulated-1","answer":1,"query":12,"total":13}}}},"time":0}}}}

event:trace
id:<uuid>
data:{{"type":"trace","trace":{{"type":"completion-continue","payload":{{"completion":" Loose",\
"tokens":{{"answer":1,"query":0,"total":1}}}},"time":0}}}}

event:trace
id:<uuid>
data:{{"type":"trace","trace":{{"type":"completion-end","payload":{{}},"time":0}}}}

event:state
id:<uuid>
data:{{"type":"state","state":{STATE}}}

event:end
id:<uuid>
data:{{"type":"end"}}

"""


def test_the_bytes_of_v2beta1_are_exactly_the_documented_ones():
    chat = Chat()
    chat.begin()
    reply = chat.say(text(), f"{FAST},tokens=2")
    assert masked(reply.body) == BETA_BODY.replace("USER", chat.user)
    ids = re.findall(rf"(?m)^id:({UUID})$", reply.body.decode())
    assert len(set(ids)) == 6


def test_the_bytes_of_v2_end_with_an_event_that_has_no_data():
    chat = Chat("v2")
    chat.begin()
    assert masked(chat.say(text(), f"{FAST},tokens=1").body) == (
        'event: trace\nid: 1\ndata: {"type":"block","payload":{"blockID":"65a1f0c2b7"},"time":0}\n\n'
        'event: trace\nid: 2\ndata: {"type":"completion","payload":{"state":"start"},"time":0}\n\n'
        'event: trace\nid: 3\ndata: {"type":"completion","payload":{"state":"content","content":"##"},"time":0}\n\n'
        'event: trace\nid: 4\ndata: {"type":"completion","payload":{"state":"end","tokens":'
        '{"model":"simulated-1","answer":1,"query":12,"total":13}},"time":0}\n\n'
        "event: end\nid: 5\n\n"
    )


def test_the_traces_of_v4_name_their_turn_and_its_end_has_empty_data():
    chat = Chat("v4", streamed=False)
    chat.begin()
    ids = ',"turnID":"x","handleID":"x"'
    slate = '"slate":{"id":"slate-2","content":[{"children":[{"text":"##"}]}],"messageDelayMilliseconds":1000}'
    assert masked(chat.say(text(), f"{FAST},tokens=1").body) == (
        f'event: trace\nid: 1\ndata: {{"type":"block","payload":{{"blockID":"65a1f0c2b7"}},"time":0{ids}}}\n\n'
        f'event: trace\nid: 2\ndata: {{"type":"text","payload":{{{slate},"message":"##","delay":1000}},'
        f'"time":0{ids}}}\n\n'
        "event: end\nid: 3\ndata: {}\n\n"
    )


@pytest.mark.parametrize("generation", ["v2beta1", "v2", "v4"])
def test_the_headers_are_those_of_a_stream_that_nobody_may_store(generation):
    headers = Chat(generation).begin().headers
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "private, no-cache, no-store, no-transform, must-revalidate, max-age=0"
    assert headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("generation", ["v2beta1", "v2", "v4"])
def test_three_turns_have_a_text_each_and_another_conversation_has_the_same(generation):
    def three() -> list[str]:
        chat = Chat(generation)
        greeting = chat.begin()
        assert messages(greeting) == ["Hi! I am simulated.\n\nAsk me anything."]
        return [streamed(chat.say(text(said))) for said in ("one", "two", "three")]

    assert three() == ["".join(tokens(seed, 4)) for seed in (1, 2, 3)] == three()


@pytest.mark.parametrize("generation", ["v2", "v4"])
def test_without_completion_events_the_answer_is_one_text_and_no_piece(generation):
    chat = Chat(generation, streamed=False)
    chat.begin()
    reply = chat.say(text())
    assert kinds(reply) == ["block", "text"]
    assert messages(reply) == ["".join(tokens(1, 4))]


@pytest.mark.parametrize("generation", ["v2beta1", "v2", "v4"])
def test_an_action_before_the_launch_starts_the_flow(generation):
    chat = Chat(generation)
    if generation == "v4":
        chat.session()
    assert messages(chat.say(text())) == ["Hi! I am simulated.\n\nAsk me anything."]
    assert streamed(chat.say(text())) == "".join(tokens(1, 4))


def test_conversations_are_told_apart_by_project_user_and_session():
    body = {"action": text(), "session": {"userID": next(USER), "sessionID": "a"}}
    first = call(BETA, body)
    assert (kinds(first), kinds(call(BETA, body))[1]) == (["block", "text"], "completion-start")
    other_session = {**body, "session": {**body["session"], "sessionID": "b"}}
    for path, asked in ((BETA, other_session), (BETA.replace("plain", "other"), body)):
        assert kinds(call(path, asked)) == ["block", "text"]
    assert kinds(call(BETA.replace("production", "development"), body))[1] == "completion-start"
    path = V2.format(user=next(USER))
    assert kinds(call(path, {"action": LAUNCH})) == kinds(call(path, {"action": text(), "sessionID": "b"}))
    assert messages(call(path, {"action": text()})) == ["".join(tokens(1, 4))]


def test_a_button_pressed_word_for_word_is_answered_and_a_wrong_one_is_not_understood():
    chat = Chat(project="choices")
    greeting = chat.begin()
    assert kinds(greeting) == ["block", "text", "choice"]
    buttons = traces(greeting)[-1]["payload"]["buttons"]
    request = buttons[0]["request"]
    assert request["type"].startswith("path-")
    assert request["payload"] == {"label": buttons[0]["name"]}
    reply = chat.say(request)
    assert messages(reply) == [f"You chose: {buttons[0]['name']}."]
    assert streamed(reply) == "".join(tokens(1, 4))
    assert kinds(reply)[-1] == "choice"
    wrong = chat.say({"type": "path-none", "payload": {"label": "x"}})
    assert (messages(wrong), kinds(wrong)[-1]) == (["Sorry, I did not understand that."], "choice")


def test_a_new_session_of_v4_ends_the_one_before_and_no_other_users():
    chat, other = Chat("v4"), Chat("v4")
    chat.begin()
    other.begin()
    old = chat.key
    again = call("/v4/project/plain/session", {"userID": chat.user}).value["sessionKey"]
    assert again != old
    refused = chat.say(text())
    assert (refused.status, refused.value) == (
        401,
        {"code": 401, "message": "Unauthorized: a newer session of this user has ended this one"},
    )
    chat.key = again
    assert chat.say(text()).status == other.say(text()).status == 200


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "Unauthorized: the API key is missing or invalid"),
        ("bad.key", "Unauthorized: the API key is missing or invalid"),
        (f"Bearer {KEY}", "Unauthorized: send the key as it is, without 'Bearer ' before it"),
    ],
)
@pytest.mark.parametrize("path", [BETA, V2, V4, "/v4/project/plain/session"])
def test_the_key_is_sent_raw_or_the_call_is_a_401(path, key, message):
    reply = call(path, None, key=key)
    assert (reply.status, reply.value) == (401, {"code": 401, "message": message})


def test_v4_takes_the_session_key_and_never_the_api_key():
    reply = call(V4, {"action": LAUNCH})
    assert (reply.status, reply.value["code"]) == (401, 401)
    assert "no session key" in reply.value["message"]


def test_a_scenario_strikes_the_call_that_was_chosen_and_no_other():
    chat = Chat("v4")
    refused = chat.session(f"{FOUR},scenario=http-429,at=start")
    assert (refused.status, refused.value) == (429, {"code": 429, "message": "Too Many Requests"})
    assert chat.session(f"{FOUR},scenario=http-429").status == 200
    assert chat.say(LAUNCH, f"{FOUR},scenario=http-500,at=continue").status == 500
    assert chat.say(LAUNCH, f"{FOUR},scenario=http-500").status == 200
    assert chat.say(text(), f"{FOUR},scenario=http-402").value["message"] == "Payment Required"
    assert chat.say(text(), f"{FOUR},scenario=http-591").value == {"code": 591, "message": "Unknown error"}
    assert chat.say(text(), f"{FOUR},scenario=html-503").body.startswith(b"<html>")
    assert streamed(chat.say(text())) == "".join(tokens(1, 4))


@pytest.mark.parametrize("generation", ["v2beta1", "v2"])
def test_where_no_session_is_begun_the_launch_is_the_start(generation):
    assert Chat(generation).say(LAUNCH, f"{FOUR},scenario=http-500,at=start").status == 500


def test_json_may_come_where_a_stream_was_due():
    chat = Chat()
    chat.begin()
    whole = chat.say(text(), f"{FOUR},scenario=json-200")
    assert whole.headers["content-type"] == "application/json"
    assert list(whole.value) == ["request", "state", "trace"]
    assert whole.value["trace"][0]["payload"]["message"] == "".join(tokens(1, 4))
    fault = chat.say(text(), f"{FOUR},scenario=error-200")
    assert (fault.status, fault.value) == (200, {"code": 500, "message": "Internal Server Error"})


@pytest.mark.parametrize(
    ("scenario", "names", "said"),
    [
        ("truncate", ["trace"] * 3, "## Loose"),
        ("error", ["trace"] * 3, "## Loose"),
        ("no-done", ["trace"] * 6 + ["state"], "".join(tokens(1, 4))),
        ("late", ["trace"] * 6 + ["state", "end", "trace"], "".join(tokens(1, 4)) + "late"),
        ("empty", [], ""),
    ],
)
def test_a_failure_has_no_event_the_body_just_ends(scenario, names, said):
    chat = Chat()
    chat.begin(f"{FOUR},scenario={scenario}")
    reply = chat.say(text(), f"{FOUR},scenario={scenario}")
    assert reply.status == 200
    assert [name for name, _ in events(reply)] == names
    assert streamed(reply) == said


def test_odd_bytes_are_an_event_of_their_own_in_the_middle():
    chat = Chat()
    chat.begin()
    broken = chat.say(text(), f"{FOUR},scenario=malformed").body
    assert b'"type":"completion-continue","payload":{"completion":\n\nevent:trace\n' in broken
    odd = chat.say(text(), f"{FOUR},scenario=bad-utf8").body
    assert b'"payload":{"completion":"\xff\xfe",' in odd
    assert odd.endswith(b'data:{"type":"end"}\n\n')


def test_a_cut_breaks_off_inside_an_announced_chunk():
    chat = Chat()
    chat.begin()
    with pytest.raises(http.client.IncompleteRead):
        chat.say(text(), f"{FOUR},scenario=cut")


def test_a_header_received_is_repeated_in_the_stream_but_not_in_the_launch():
    chat = Chat("v4")
    options = f"{FAST},scenario=echo-auth"
    assert messages(chat.begin(options)) == ["Hi! I am simulated.\n\nAsk me anything."]
    assert streamed(chat.say(text(), options)) == f"authorization: {chat.key}\n"


def test_stamps_are_comments_before_each_event():
    chat = Chat()
    chat.begin()
    before = time.monotonic_ns()
    reply = chat.say(text(), f"{FOUR},stamps=1")
    after = time.monotonic_ns()
    blocks = reply.body.decode().split("\n\n")[:-1]
    assert blocks[0] == "retry:2000"
    stamps = [int(re.match(r": t_ns=(\d+)\nevent:", block)[1]) for block in blocks[1:]]
    assert len(stamps) == 8
    assert [before, *stamps, after] == sorted([before, *stamps, after])


def test_the_first_bytes_come_long_before_the_first_piece_is_due_and_silence_brings_keep_alives():
    body = {"action": text(), "session": {"userID": next(USER), "sessionID": "s"}}
    call(BETA, body)
    with connected(BETA, body, "ttft=3600,ping_every=0.05") as wire:
        got = read_until(wire, b"\r\n:\n\n\r\n")
    assert got.partition(b"\r\n\r\n")[2].startswith(b"c\r\nretry:2000\n\n\r\n")
    assert b"completion" not in got


def test_pings_keep_coming_without_any_data():
    body = {"action": text(), "session": {"userID": next(USER), "sessionID": "s"}}
    call(BETA, body)
    with connected(BETA, body, f"{FOUR},scenario=ping") as wire:
        got = read_until(wire, b"\r\n:\n\n\r\n3\r\n:\n\n\r\n")
    assert got.count(b"completion-") == 1
    assert b"event:end" not in got


def test_a_stall_lies_in_the_answer_and_leaves_the_launch_alone():
    chat = Chat(project="choices")
    options = "ttft=0,gap=0,tokens=4,scenario=stall,stall=3600"
    assert kinds(chat.begin(options)) == ["block", "text", "choice"]
    body = {"action": text(), "session": {"userID": chat.user, "sessionID": "s1"}}
    with connected(BETA.replace("plain", "choices"), body, options) as wire:
        got = read_until(wire, b" Loose")
    assert b"threads" not in got
