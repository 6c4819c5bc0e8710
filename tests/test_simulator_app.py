from __future__ import annotations

import pytest
from simulated import HELLO, KEY, post

from streamnb.simulator.app import apis, bases

PATHS = [
    "/v1/chat/completions",
    "/v1/models",
    "/api/v1/typebots/{public_id}/startChat",
    "/api/v1/typebots/{public_id}/preview/startChat",
    "/api/v1/sessions/{session_id}/continueChat",
    "/api/v2/sessions/{session_id}/streamMessage",
    "/api/v1/sessions/{session_id}/streamMessage",
    "/api/integrations/openai/streamer",
    "/v2beta1/interact/{project_id}/{tag}/stream",
    "/v2/project/{project_id}/user/{user_id}/interact/stream",
    "/v4/project/{project_id}/session",
    "/v4/project/{project_id}/environment/{environment}/session",
    "/v4/interact/stream",
    "/api/v1/workspaces/{workspace}/pipelines/{pipeline}",
    *(f"/api/v1/workspaces/{{workspace}}/pipelines/{{pipeline}}/{name}" for name in ("chat", "search")),
    *(f"/api/v1/workspaces/{{workspace}}/pipelines/{{pipeline}}/{name}-stream" for name in ("chat", "search")),
    *["/api/v1/workspaces/{workspace}/search_sessions"] * 2,  # one lists, one creates
    *(f"{prefix}/chats{path}" for prefix in ("/v1", "/api/v1") for path in ("", "/{chat_id}/messages/stream")),
    *(
        prefix + path
        for prefix in ("/v1", "/api/v1")
        for path in (
            "/conversation/create",
            "/conversation/complete",
            "/conversation/dispatch",
            "/conversation/{conversation}/complete",
            "/conversation/{conversation}/dispatch",
            "/conversation/{conversation}/send",
            "/conversation/{conversation}/receive",
            "/channel/{channel}/publish",
            "/channel/{channel}/subscribe",
            "/conversation/list",
            "/conversation/{conversation}/message/list",
        )
    ),
]


def test_a_module_with_routes_is_an_api_and_no_other():
    assert list(apis()) == ["chatbotkit", "deepset", "oliver", "openai_chat", "typebot", "voiceflow"]


def test_each_api_says_where_its_base_url_is():
    rest = dict.fromkeys(("chatbotkit", "deepset", "oliver", "typebot", "voiceflow"), "http://h")
    assert bases("http://h") == {"openai_chat": "http://h/v1", **rest}


def test_the_front_page_tells_routes_options_and_scenarios():
    page = post("/", method="GET")
    assert page.status == 200
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    text = page.body.decode()
    assert all(path in text for path in PATHS)
    assert "gap_dist" in text
    assert "echo-auth" in text


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/chat/completions/", "/~tokens=1"])
def test_an_unknown_path_is_told_which_ones_there_are(path):
    reply = post(path)
    assert reply.status == 404
    assert sorted(route.split()[1] for route in reply.value["routes"]) == sorted(PATHS)
    assert reply.value["error"]["message"].startswith(f"the simulator has no POST {path}")


def test_a_wrong_method_is_told_so():
    assert post("/v1/chat/completions", method="GET").status == 405


def test_a_wrong_prefix_is_a_400_that_names_the_option():
    reply = post("/v1/chat/completions", HELLO, options="tokns=3")
    assert reply.status == 400
    assert reply.value["error"]["param"] == "tokns"
    assert "Did you mean tokens?" in reply.value["error"]["message"]
    assert "gap_dist" in reply.value["known"]


def test_a_percent_encoded_prefix_is_the_same_prefix():
    reply = post("/v1/chat/completions", {**HELLO, "stream": False}, options="tokens%3D1%2Cttft%3D0", headers=KEY)
    assert reply.value["usage"]["completion_tokens"] == 1
