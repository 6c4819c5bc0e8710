"""The load server, both forms: what it sends is what the benchmarks take it for."""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from benchmarks import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads another process's CPU clock, as Linux does")
SLOW = load.Built([sys.executable, "-m", "benchmarks.slow_server"], "slow")
SPEC = "group={},warm=0,window=150,settle=10,hold=20,gap=10000,ttft=20000,pid={}"
TOKEN = re.compile(r'"id":"chatcmpl-(\d{19})".*"content":"(\d{19})"')


@pytest.fixture(params=["as built here", "asyncio"])
def form(request, monkeypatch):
    if request.param == "asyncio":
        monkeypatch.setattr(load, "built", lambda: SLOW)
    return request.param


def read(server: load.Server, spec: str) -> list[str]:
    """The payloads of one stream."""
    trusted = ssl.create_default_context(cafile=server.ca)
    url = f"{server.origin}/~{spec}/v1/chat/completions"
    with httpx.Client(verify=trusted) as client, client.stream("POST", url, json={}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = b"".join(response.iter_bytes()).decode()
    assert text.endswith("\n\n")
    return [event.removeprefix("data: ") for event in text.removesuffix("\n\n").split("\n\n")]


@pytest.mark.parametrize("mode", ["lock", "blast", "paced", "burst", "ttft"])
def test_every_token_says_when_it_was_sent_and_when_it_was_asked_for(form, mode):
    with load.serving() as server:
        began = time.monotonic_ns()
        *tokens, last, done = read(server, f"mode={mode},{SPEC.format('a', 0)}")
        ended = time.monotonic_ns()
        seen = server.heard("a", 10)
    assert done == "[DONE]"
    assert json.loads(last)["choices"][0]["finish_reason"] == "stop"
    assert {len(token) for token in tokens} == {238}
    found = [TOKEN.search(token) for token in tokens]
    sent = [int(one[2]) for one in found]
    assert {one[1] for one in found} == {found[0][1]}
    assert began < int(found[0][1]) < sent[0]
    assert sent == sorted(sent)
    assert sent[-1] < ended
    assert seen["all_events"] == len(tokens)


def test_the_first_token_comes_when_ttft_says(form):
    with load.serving() as server:
        first = TOKEN.search(read(server, f"mode=ttft,{SPEC.format('a', 0)}")[0])
    assert int(first[2]) - int(first[1]) >= 20_000_000


def test_a_group_waits_for_its_last_stream(form):
    spec = f"mode=burst,streams=2,{SPEC.format('a', 0)}"
    with load.serving() as server, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: read(server, spec), range(2)))
        seen = server.heard("a", 10)
    found = [[TOKEN.search(token) for token in tokens[:-2]] for tokens in both]
    assert min(int(tokens[0][2]) for tokens in found) > max(int(tokens[0][1]) for tokens in found)
    assert seen["all_events"] == sum(map(len, found))


def test_the_clients_cpu_is_read_from_outside(form):
    with load.serving() as server:
        read(server, f"mode=blast,{SPEC.format('a', os.getpid())}")
        seen = server.heard("a", 10)
    assert 0 < seen["cpu_ns"] <= seen["settled_cpu_ns"]


def test_it_speaks_tls_with_a_certificate_of_its_own(form):
    if not load.built().tls:
        pytest.skip("no OpenSSL headers")
    with load.serving(tls=True) as server:
        assert server.origin.startswith("https://")
        assert read(server, f"mode=paced,{SPEC.format('a', 0)}")[-1] == "[DONE]"


def test_without_a_compiler_the_table_says_so(monkeypatch):
    monkeypatch.setattr(load.shutil, "which", lambda _: None)
    load.built.cache_clear()
    try:
        assert "no C compiler" in load.built().limit
    finally:
        load.built.cache_clear()


def test_a_server_that_says_nothing_is_given_up():
    with load.serving() as server, pytest.raises(TimeoutError):
        server.heard("nobody", 0.01)
