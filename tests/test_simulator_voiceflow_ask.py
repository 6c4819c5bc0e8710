from __future__ import annotations

from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from streamnb.simulator.voiceflow_ask import (
    RefusedError,
    fault,
    read_key,
    read_object,
    read_project,
    read_user,
    read_v2,
    read_v2beta1,
    read_v4,
)
from streamnb.simulator.voiceflow_flow import Conversations

LAUNCH = {"type": "launch"}
SESSION = {"userID": "u", "sessionID": "s"}


def request(key: str | None = "VF.DM.x", query: dict[str, str] | None = None, **path: str) -> Request:
    headers = [] if key is None else [(b"authorization", key.encode())]
    path_params = {"project_id": "p", "user_id": "u", "tag": "production", **path}
    query_string = urlencode(query or {}).encode()
    return Request({"type": "http", "headers": headers, "path_params": path_params, "query_string": query_string})


def refusal(function, *arguments) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        function(*arguments)
    return caught.value


def said(error: RefusedError) -> tuple[int, bytes]:
    return error.response.status_code, error.response.body


def test_a_fault_is_a_code_and_a_message():
    assert fault(401) == {"code": 401, "message": "Unauthorized"}
    assert fault(591) == {"code": 591, "message": "Unknown error"}
    assert fault(400, "why") == {"code": 400, "message": "why"}


@pytest.mark.parametrize("tag", ["production", "development", "65a1f0c2b765a1f0c2b765A1"])
def test_a_version_of_v2beta1_is_one_of_two_names_or_an_id(tag):
    asked = read_v2beta1(request(tag=tag), {"action": LAUNCH, "session": SESSION}, Conversations())
    assert (asked.conversation.project, asked.conversation.user, asked.streamed) == ("p", "u", True)


@pytest.mark.parametrize("tag", ["main", "65a1", "65a1f0c2b765a1f0c2b765ag", "production "])
def test_any_other_version_of_v2beta1_is_refused(tag):
    error = refusal(read_v2beta1, request(tag=tag), {"action": LAUNCH, "session": SESSION}, Conversations())
    assert said(error) == (400, b'{"code":400,"message":"Invalid project version tag"}')


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        ({"action": LAUNCH}, "Required at session.userID", b'["session","userID"]'),
        ({"action": LAUNCH, "session": {"userID": "u"}}, "Required at session.sessionID", b'["session","sessionID"]'),
        ({"session": SESSION}, "Required at action", b'["action"]'),
        ({"session": SESSION, "action": {}}, "Required at action.type", b'["action","type"]'),
        ({"session": "s"}, "Expected object, received string at session", b'["session"]'),
        ({"session": {**SESSION, "userID": 5}}, "Expected string, received number at session.userID", b'"userID"]'),
        ({"session": SESSION, "action": {"type": "text"}}, "Required at action.payload", b'["action","payload"]'),
        (
            {"session": SESSION, "action": {"type": "text", "payload": {}}},
            "Expected string, received object at action.payload",
            b'["action","payload"]',
        ),
    ],
)
def test_a_schema_error_says_what_is_wrong_and_where(body, message, path):
    status, reply = said(refusal(read_v2beta1, request(), body, Conversations()))
    assert status == 400
    assert f'"message":"Validation error: {message}"'.encode() in reply
    assert b'"code":"invalid_type"' in reply
    assert path in reply


@pytest.mark.parametrize(("raw", "message"), [(b"", "not JSON"), (b"{", "not JSON"), (b"[" * 100_000, "not JSON")])
def test_a_body_is_json(raw, message):
    status, reply = said(refusal(read_object, raw))
    assert status == 400
    assert message.encode() in reply


def test_a_body_is_an_object():
    assert read_object(b'{"a":1}') == {"a": 1}
    assert b"Expected object, received array at the body" in said(refusal(read_object, b"[]"))[1]


def test_a_user_of_v4_has_a_name_of_1_to_256_characters():
    assert read_user({"userID": "u" * 256}) == "u" * 256
    for user in ("", "u" * 257):
        assert b"1 to 256 characters" in said(refusal(read_user, {"userID": user}))[1]
    assert b"Required at userID" in said(refusal(read_user, {}))[1]


def test_a_key_is_the_headers_whole_value():
    assert read_key(request("VF.DM.x")) == "VF.DM.x"
    assert "without 'Bearer '" in said(refusal(read_key, request("bearer VF.DM.x")))[1].decode()
    assert [said(refusal(read_key, request(key)))[0] for key in (None, "", "bad")] == [401, 401, 401]


def test_a_project_that_is_missing_or_not_published_is_refused():
    assert said(refusal(read_project, request(project_id="missing"), None)) == (
        401,
        b'{"code":401,"message":"Unauthorized: the API key is not for this project"}',
    )
    assert read_project(request(project_id="unpublished"), "development") == "unpublished"
    assert said(refusal(read_project, request(project_id="unpublished"), "production"))[0] == 400


def test_v2_has_pieces_only_by_the_query_and_a_version_of_development():
    known = Conversations()
    assert not read_v2(request(), {"action": LAUNCH}, known).streamed
    asked = read_v2(request(query={"completion_events": "true"}), {"action": LAUNCH}, known)
    assert asked.streamed
    assert read_v2(request(project_id="unpublished"), {"action": LAUNCH}, known).conversation.user == "u"
    error = refusal(read_v2, request(query={"environment": "production"}, project_id="unpublished"), {}, known)
    assert said(error) == (400, b'{"code":400,"message":"Cannot resolve project version"}')


@pytest.mark.parametrize(
    ("config", "streamed"),
    [
        (None, False),
        ("x", False),
        ({}, False),
        ({"completionEvents": "yes"}, False),
        ({"completionEvents": True}, True),
    ],
)
def test_v4_has_pieces_only_by_the_config(config, streamed):
    known = Conversations()
    key = known.open("p", "u")
    assert read_v4(request(key), {"action": LAUNCH, "config": config}, known).streamed is streamed


def test_v4_knows_its_sessions_by_their_keys_alone():
    known = Conversations()
    old, new = known.open("p", "u"), known.open("p", "u")
    assert read_v4(request(new), {"action": LAUNCH}, known).conversation is known.find(new)
    assert b"a newer session" in said(refusal(read_v4, request(old), {"action": LAUNCH}, known))[1]
    assert b"no session key" in said(refusal(read_v4, request("VF.DM.x"), {"action": LAUNCH}, known))[1]


def test_variables_are_set_where_each_generation_has_them():
    known, sessions = Conversations(), Conversations()
    given = {"action": LAUNCH, "session": SESSION, "variables": {"a": 1}, "state": {"variables": {"b": 2}}}
    assert read_v2beta1(request(), given, Conversations()).conversation.variables == {"b": 2}
    assert read_v2(request(), given, known).conversation.variables == {"a": 1}
    assert read_v4(request(sessions.open("p", "u")), given, sessions).conversation.variables == {"a": 1}
    odd = {**given, "state": "x", "variables": "x"}
    assert read_v2beta1(request(), odd, Conversations()).conversation.variables == {}
    assert read_v2(request(), odd, known).conversation.variables == {"a": 1}
