from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from simulated import HELLO, KEY, post
from starlette.routing import Match

from streamnb.providers import load, names
from streamnb.simulator.app import apis, bases

ROUTES = [(name, route) for name, module in apis().items() for route in module.routes()]
PATHS = [route.path for _, route in ROUTES]
NO_SERVER = {"sse"}
"""Providers that speak no API of their own: any of the others will do."""


@pytest.mark.parametrize("name", sorted(set(names()) - NO_SERVER))
def test_every_provider_has_a_module_of_its_name_that_serves_its_api(name):
    assert name in apis(), f"write streamnb/simulator/{name}.py with routes() and BASE: CONTRIBUTING, step 5"


def test_nothing_else_has_routes():
    assert set(apis()) == set(names()) - NO_SERVER


@pytest.mark.parametrize("name", apis())
def test_the_base_url_of_an_api_has_the_path_of_its_providers_base_url(name):
    wanted = urlsplit(load(name).base_url).path.rstrip("/")
    assert bases("http://h")[name] == f"http://h{wanted}", f"BASE of simulator/{name}.py must be {wanted!r}"


def test_no_two_apis_answer_the_same_request():
    for name, route in ROUTES:
        method = min(route.methods - {"HEAD"})
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        scope = {"type": "http", "method": method, "path": path, "root_path": ""}
        taken = {other for other, one in ROUTES if one.matches(scope)[0] is Match.FULL}
        assert taken == {name}, f"{method} {path} is served by {sorted(taken)}"


def test_the_front_page_tells_routes_options_and_scenarios():
    page = post("/", method="GET")
    assert page.status == 200
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    text = page.body.decode()
    assert all(path in text for path in ("/v1/chat/completions", "/{chat_id}/messages/stream", "/api/chat", *PATHS))
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
