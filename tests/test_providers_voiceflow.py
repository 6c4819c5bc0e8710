"""Voiceflow's flow on plain values, no sockets: which call comes when, where to, with which body and credential."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamnb.conversation import Conversation
from streamnb.errors import UsageError
from streamnb.events import Choice, Event, Outcome, Prompt
from streamnb.providers import Call, Ending, ReplyHead, load
from streamnb.redaction import Secret
from streamnb.testing import events

Voiceflow = load("voiceflow")
FRESH = "0c7e"
KEY = Secret("VOICEFLOW_API_KEY")
LAUNCH = {"type": "launch"}
HI = {"type": "text", "payload": "Hi"}
BETA = "/v2beta1/interact/my%20project/production/stream"
V2 = "/v2/project/my%20project/user/{}/interact/stream"
V4 = "/v4/interact/stream"
OK = b'event:trace\ndata:{"type":"trace","trace":{"type":"text","payload":{"message":"Yes."}}}\n\nevent:end\n\n'
OVER = b'event:trace\ndata:{"type":"end"}\n\nevent:end\ndata:{"type":"end"}\n\n'
STARTED = {"sessionKey": "****"}


def talk(text: str = "Hi", prompt: dict[str, Any] | None = None, **options: Any) -> Conversation:
    asked = {"text": text, "fresh_id": FRESH, **(prompt or {})}
    return Conversation(Voiceflow(**{"project": "my project", **options}), Prompt(**asked))


def play(conversation: Conversation, *replies: Any) -> list[Call]:
    """Answer the calls in order; returns every call asked for, the open one included."""
    asked = []
    for reply in replies:
        assert conversation.call is not None, f"the flow ended before {reply!r}"
        asked.append(conversation.call)
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        conversation.begin(ReplyHead(status))
        conversation.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
        conversation.close()
        conversation.end(Ending())
    return asked if conversation.call is None else [*asked, conversation.call]


def beta(user: str = FRESH, session: str = FRESH) -> dict[str, Any]:
    return {"session": {"userID": user, "sessionID": session}}


def test_a_new_session_is_launched_before_the_text_and_then_the_run_is_over():
    conversation = talk()
    launch, interact = play(conversation, OK, OK)
    assert (launch.name, launch.path, launch.body) == ("launch", BETA, {"action": LAUNCH, **beta()})
    assert (interact.name, interact.path, interact.body) == ("interact", BETA, {"action": HI, **beta()})
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


def test_only_a_launch_before_something_else_is_a_preparation():
    launch, interact = play(talk(), OK, OK)
    assert (launch.stream, launch.setup) == (True, True)
    assert (interact.stream, interact.setup) == (True, False)
    (launch,) = play(talk(""), OK)
    assert (launch.name, launch.stream, launch.setup) == ("launch", True, False)


def test_in_a_session_that_runs_nothing_is_launched_unless_asked():
    (interact,) = play(talk(session_id="s"), OK)
    assert interact.body == {"action": HI, **beta("s", "s")}
    launch, interact = play(talk(session_id="s", launch=True), OK, OK)
    assert [launch.body["action"], interact.body["action"]] == [LAUNCH, HI]
    (launch,) = play(talk("", session_id="s", launch=True), OK)
    assert (launch.body, launch.setup) == ({"action": LAUNCH, **beta("s", "s")}, False)


def test_a_launch_of_ones_own_is_the_launch():
    action = {"type": "launch", "payload": {"persona": "p"}}
    (launch,) = play(talk(action=action), OK)
    assert (launch.name, launch.body["action"], launch.setup) == ("launch", action, False)


INTENT = {"type": "intent", "payload": {"query": "Hi", "intent": {"name": "greet"}, "entities": []}}


@pytest.mark.parametrize(
    ("text", "reply", "options", "action"),
    [
        ("Hi", None, {}, HI),
        ("Hi", None, {"no_reply": True}, {"type": "no-reply"}),
        ("", None, {"no_reply": True}, {"type": "no-reply"}),
        ("Hi", None, {"no_reply": True, "intent": "greet"}, INTENT),
        ("", None, {"intent": "greet"}, {"type": "intent", "payload": {"intent": {"name": "greet"}, "entities": []}}),
        ("Hi", None, {"intent": "greet", "action": {"type": "event"}}, {"type": "event"}),
        ("Hi", {"type": "path-1"}, {"action": {"type": "event"}, "intent": "i", "no_reply": True}, {"type": "path-1"}),
        ("Hi", "odd", {}, "odd"),
    ],
)
def test_a_button_wins_over_an_action_an_intent_silence_and_the_text(text, reply, options, action):
    (interact,) = play(talk(text, {"reply": reply}, session_id="s", **options), OK)
    assert (interact.name, interact.body["action"]) == ("interact", action)


def test_a_button_is_pressed_with_its_own_request():
    request = {"type": "path-7", "payload": {"label": "Track it"}}
    trace = {"type": "choice", "payload": {"buttons": [{"name": "Track it", "request": request}]}}
    (event,) = events("voiceflow", f"data: {json.dumps(trace)}\n\n".encode())
    assert event.choices == (Choice("Track it", Prompt("Track it", reply=request)),)
    (interact,) = play(Conversation(Voiceflow(project="p", session_id="s"), event.choices[0].prompt), OK)
    assert interact.body["action"] is event.choices[0].prompt.reply


def test_v2_has_the_user_in_its_path_and_asks_for_completion_events():
    launch, interact = play(talk(api_version="v2", user_id="ada/2", version="main"), OK, OK)
    assert launch.path == interact.path == V2.format("ada%2F2")
    assert launch.query == interact.query == {"completion_events": "true", "environment": "main"}
    assert launch.body == {"action": LAUNCH, "sessionID": FRESH}
    assert interact.body == {"action": HI, "sessionID": FRESH}


def test_v2beta1_and_v2_carry_the_api_key_as_it_is():
    for version in ("v2beta1", "v2"):
        for call in play(talk(api_version=version), OK, OK):
            assert call.headers == {"Authorization": KEY}
            assert (KEY.prefix, KEY.required, call.secret_fields) == ("", True, ())


def test_v4_gets_a_key_of_its_own_for_the_session_and_never_sends_the_api_key_again():
    session, launch, interact = play(talk(api_version="v4", version="main", user_id="ada"), STARTED, OK, OK)
    assert (session.name, session.method, session.stream) == ("session", "POST", False)
    assert (session.path, session.body) == ("/v4/project/my%20project/environment/main/session", {"userID": "ada"})
    assert session.headers == {"Authorization": KEY}
    assert (session.secret_fields, session.secret_scope) == (("sessionKey",), "ada/0c7e")
    assert launch.headers == interact.headers == {"Authorization": Secret("sessionKey", scope="ada/0c7e")}
    assert launch.path == interact.path == V4
    assert launch.body == {"action": LAUNCH, "config": {"completionEvents": True}}
    assert interact.body == {"action": HI, "config": {"completionEvents": True}}
    assert (session.setup, launch.setup, interact.setup) == (False, True, False)


def test_v4_in_a_session_that_runs_uses_the_key_that_this_process_holds():
    conversation = Conversation(Voiceflow(api_version="v4", session_id="ada/0c7e"), Prompt("Hi", fresh_id="other"))
    (interact,) = play(conversation, OK)
    assert interact.headers == {"Authorization": Secret("sessionKey", scope="ada/0c7e")}


def test_v4_without_an_environment_leaves_it_to_the_traffic_split():
    assert play(talk(api_version="v4", version=""))[0].path == "/v4/project/my%20project/session"


@pytest.mark.parametrize("reply", [{}, {"ok": True}, {"sessionKey": ""}, {"sessionKey": 5}])
def test_v4_does_not_go_on_without_a_key(reply):
    conversation = talk(api_version="v4")
    assert [call.name for call in play(conversation, reply)] == ["session"]
    assert conversation.outcome is Outcome.PROTOCOL_ERROR
    assert conversation.error == "voiceflow answered session without a sessionKey; check the base URL."


@pytest.mark.parametrize(
    ("options", "session", "user", "name"),
    [
        ({}, "0c7e", "0c7e", "0c7e"),
        ({"user_id": "ada"}, "ada/0c7e", "ada", "0c7e"),
        ({"user_id": "ada@x.org/2 %"}, "ada@x.org%2F2%20%25/0c7e", "ada@x.org/2 %", "0c7e"),
        ({"user_id": "0c7e"}, "0c7e", "0c7e", "0c7e"),
        ({"session_id": "s"}, "s", "s", "s"),
        ({"session_id": "s", "user_id": "ada"}, "ada/s", "ada", "s"),
        ({"session_id": "ada/s"}, "ada/s", "ada", "s"),
        ({"session_id": "ada/s", "user_id": "ada"}, "ada/s", "ada", "s"),
        ({"session_id": "bob/s", "user_id": "ada"}, "ada/s", "ada", "s"),
        ({"session_id": "ada/a/b"}, "ada/a/b", "ada", "a/b"),
        ({"session_id": "x/a/b", "user_id": "a/b"}, "a%2Fb/a/b", "a/b", "a/b"),
    ],
)
def test_one_string_names_user_and_session_and_goes_on_in_every_generation(options, session, user, name):
    prompt = Prompt("Hi", fresh_id=FRESH)
    assert Voiceflow(**options).session_of(prompt) == session
    for version in ("v2beta1", "v2", "v4"):
        later = Voiceflow(api_version=version, session_id=session, project="p")
        assert later.session_of(Prompt("And?", fresh_id="another")) == session
    (call,) = play(Conversation(Voiceflow(project="p", session_id=session), prompt), OK)
    assert call.body["session"] == {"userID": user, "sessionID": name}
    (call,) = play(Conversation(Voiceflow(project="p", session_id=session, api_version="v2"), prompt), OK)
    assert call.body["sessionID"] == name


def test_without_a_name_for_the_session_nothing_is_sent():
    assert Voiceflow(user_id="ada").session_of(Prompt("Hi")) is None
    with pytest.raises(UsageError, match="voiceflow cannot name a new session; give --session-id NAME"):
        talk(prompt={"fresh_id": ""})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": None}, r"voiceflow needs --project ID"),
        ({"project": None, "api_version": "v2"}, r"voiceflow needs --project ID"),
        ({"project": None, "api_version": "v4"}, r"voiceflow needs --project ID"),
        ({"session_id": "s"}, r"voiceflow has nothing to send: give a prompt, --action, --intent, --no-reply or --lau"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(options, message):
    with pytest.raises(UsageError, match=message):
        talk("", **options)


def test_parameters_go_over_the_body_and_also_to_the_launch():
    params = {"variables": {"tier": 2}, "config": {"tts": True}, "session": None}
    launch, interact = play(talk(prompt={"params": params}), OK, OK)
    assert launch.body == {"action": LAUNCH, "variables": {"tier": 2}, "config": {"tts": True}}
    assert interact.body == {"action": HI, "variables": {"tier": 2}, "config": {"tts": True}}


def test_an_action_and_a_state_among_the_parameters_are_not_the_launchs():
    params = {"action": {"type": "event"}, "state": {"stack": []}}
    launch, interact = play(talk(prompt={"params": params}), OK, OK)
    assert launch.body == {"action": LAUNCH, **beta()}
    assert interact.body == {**params, **beta()}
    (launch,) = play(talk("", {"params": params}), OK)
    assert launch.body == {**params, **beta()}


@pytest.mark.parametrize(
    ("config", "sent"),
    [
        ({"x": 1}, {"config": {"completionEvents": True, "x": 1}}),
        ({"completionEvents": False}, {"config": {"completionEvents": False}}),
        (None, {}),
        ("odd", {"config": "odd"}),
    ],
)
def test_a_config_of_ones_own_keeps_v4s_completion_events_unless_it_says_otherwise(config, sent):
    conversation = talk(prompt={"params": {"config": config}}, api_version="v4", session_id="s")
    assert play(conversation, OK)[0].body == {"action": HI, **sent}


def test_a_conversation_that_ends_at_its_launch_does_not_get_the_prompt():
    conversation = talk()
    assert [call.name for call in play(conversation, OVER)] == ["launch"]
    assert conversation.outcome is Outcome.PROTOCOL_ERROR
    assert conversation.error.startswith("voiceflow ended the conversation at its launch, so the prompt was not sent")


def test_a_conversation_that_ends_with_the_last_thing_sent_is_complete():
    conversation = talk("")
    play(conversation, OVER)
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)
    conversation = talk()
    play(conversation, OK, OVER)
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([(404, {"message": "no"})], "http_error"),
        ([b"event:trace\n"], "truncated"),
        ([{"code": 500, "message": "no"}], "error_in_stream"),
        ([OK, (429, {"message": "slow down"})], "http_error"),
        ([OK, b"retry:2000\n\n:\n\n"], "protocol_error"),
        ([OK, OK.partition(b"event:end")[0]], "truncated"),
    ],
)
def test_an_error_stops_the_flow_and_nothing_is_sent_again(replies, outcome):
    conversation = talk()
    assert len(play(conversation, *replies)) == len(replies)
    assert conversation.outcome == outcome
    assert conversation.error.startswith("voiceflow")


V4_REFUSED = (
    "Check the key in VOICEFLOW_API_KEY, sent as it is without Bearer, and that --project is the project it is for."
)


@pytest.mark.parametrize(
    ("options", "status", "hint"),
    [
        ({}, 400, "Check --version (v2beta1 takes production, development or a version's 24-digit id) and the action."),
        (
            {},
            401,
            "Check the key in VOICEFLOW_API_KEY, sent as it is without Bearer, and that --project is the project",
        ),
        ({"key_env": "VF_KEY"}, 401, "Check the key in VF_KEY, sent as it is without Bearer"),
        ({}, 402, "The workspace has no plan or no credits for this."),
        ({}, 404, "Check --project and --version."),
        ({}, 429, "A limit on requests or of the plan; wait 7 s and send it again."),
        ({"api_version": "v4", "session_id": "s"}, 401, "The session is over: it expired, or a newer one of the same"),
        ({"api_version": "v4", "session_id": "s"}, 404, "The session is over: it expired, or a newer one of the same"),
        (
            {"api_version": "v4"},
            401,
            f"{V4_REFUSED} A session that had begun was ended by a newer one of the same user.",
        ),
        ({"api_version": "v4"}, 404, "Check --project and --version."),
        ({"session_id": "s"}, 404, "Check --project and --version."),
        ({}, 500, "The fault is on the provider's side; run it again."),
    ],
)
def test_a_refusal_says_what_to_check(options, status, hint):
    conversation = Conversation(Voiceflow(**{"project": "p", **options}), Prompt("Hi", fresh_id=FRESH))
    step = "" if conversation.call.stream else " to session"
    conversation.begin(ReplyHead(status, {"retry-after": "7"}))
    conversation.feed(b'{"message":"No"}')
    conversation.close()
    conversation.end(Ending(framing="length"))
    assert conversation.outcome is Outcome.HTTP_ERROR
    assert conversation.error.startswith(f"voiceflow answered {status}{step}: No. {hint}")


def test_an_end_without_the_end_event_says_that_the_server_broke_off():
    conversation = talk("")
    play(conversation, OK.partition(b"event:end")[0])
    assert conversation.outcome is Outcome.TRUNCATED
    assert conversation.error.endswith(
        "Voiceflow has no error event: its server broke off. The turn may have advanced the session."
    )


def test_the_text_of_a_turn_is_its_pieces_else_its_messages():
    conversation = talk("", session_id="s", launch=True)
    conversation.begin(ReplyHead())
    conversation.feed(OK.partition(b"event:end")[0] * 2)
    assert conversation.reading.seen.text() == "Yes.\n\nYes."
    conversation.feed(b'data:{"type":"completion","payload":{"state":"content","content":"No"}}\n\n')
    conversation.feed(b'data:{"type":"completion","payload":{"state":"content","content":"."}}\n\n')
    assert conversation.reading.seen.text() == "No."


def test_host_key_and_session_option_are_as_documented():
    provider = Voiceflow()
    assert (provider.base_url, provider.key_env) == ("https://general-runtime.voiceflow.com", "VOICEFLOW_API_KEY")
    assert (provider.session_option, provider.stream_name, provider.usage) == ("session_id", "interact", "sum")
    assert {option.name for option in provider.options if option.once} == {"launch", "action", "intent", "no_reply"}
    assert [event.kind for event in events("voiceflow", OK)] == ["message", "end"]
    assert not provider.ends(Event("session", name="ended"))
