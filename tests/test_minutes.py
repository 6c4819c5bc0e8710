from __future__ import annotations

import json
import os

import httpx
import pytest

from streamnb import settings
from streamnb.events import Prompt, Tool
from streamnb.minutes import call_line, reply_line, run_line, timings
from streamnb.providers import Call, ReplyHead
from streamnb.recording import RunInfo
from streamnb.redaction import Secret
from streamnb.transcript import encode
from streamnb.transport import Exchange, Timings

KEY = "canary-0123456789"
INFO = RunInfo("run-1", "openai_chat", "demo", 1_000, profile="demo", model="m", cell_id="c1")


def target(base_url: str = "http://127.0.0.1/v1") -> settings.Target:
    return settings.resolve("openai_chat", {}, base_url=base_url)


def test_the_run_line_says_what_was_asked_and_when():
    tools = (Tool("add", "Adds.", {"type": "object"}),)
    prompt = Prompt(
        "hi", "be brief", "m", {"temperature": 0}, {"press": 1}, tools, "conversations", 3, "u-1", (("user", "a"),)
    )
    line = run_line(INFO, target(), prompt, 77, ())
    assert (line.run_id, line.provider, line.target, line.pid) == ("run-1", "openai_chat", "demo", os.getpid())
    assert line.clock == {"t_ns": 77, "wall_ns": 1_000}
    assert line.prompt == {
        "text": "hi",
        "system": "be brief",
        "model": "m",
        "params": {"temperature": 0},
        "reply": {"press": 1},
        "tools": [{"name": "add", "description": "Adds.", "parameters": {"type": "object"}}],
        "records": "conversations",
        "take": 3,
        "fresh_id": "u-1",
        "history": [["user", "a"]],
    }
    assert line.meta["cell_id"] == "c1"
    assert line.options["auth"] == "bearer"


def test_keys_and_passwords_are_in_no_line():
    prompt = Prompt(f"my key is {KEY}", params={"user": KEY, KEY: 1}, history=(("user", f"it was {KEY}"),))
    line = run_line(INFO, target(f"http://me:pa55word@127.0.0.1/v1?key={KEY}"), prompt, 1, (KEY,))
    written = encode(line).decode()
    assert KEY not in written
    assert "pa55word" not in written
    assert "my key is ***" in written
    assert "it was ***" in written


def test_the_call_line_keeps_names_and_hides_values():
    call = Call("chat", body={"messages": [KEY]}, headers={"X-Custom": Secret("SOME_KEY")}, stream=True)
    headers = {"Authorization": f"Bearer {KEY}", "X-Custom": KEY, "Accept": "text/event-stream"}
    request = httpx.Request("POST", f"https://api.example/v1?key={KEY}&alt=sse", headers=headers)
    line = call_line(2, 5, call, request, (KEY,))
    assert (line.n, line.t_ns, line.name, line.method, line.stream) == (2, 5, "chat", "POST", True)
    assert line.url == "https://api.example/v1?key=REDACTED&alt=sse"
    shown = {name.lower(): value for name, value in line.headers}
    assert (shown["accept"], shown["authorization"], shown["x-custom"]) == (
        "text/event-stream",
        "<redacted>",
        "<redacted>",
    )
    assert KEY not in encode(line).decode()


def exchange(headers: list[tuple[str, str]], stamps: Timings) -> Exchange:
    return Exchange(ReplyHead(429), headers, "length", stamps, *[None] * 3)  # type: ignore[arg-type]


def test_the_reply_line_keeps_what_helps_and_masks_keys_even_there():
    headers = [("X-Request-Id", f"req-{KEY}"), ("Set-Cookie", "session=1"), ("Retry-After", "7")]
    line = reply_line(0, exchange(headers, Timings(headers_ns=9)), (KEY,))
    assert (line.status, line.framing, line.t_ns) == (429, "length", 9)
    assert line.headers == [("X-Request-Id", "req-***"), ("Set-Cookie", "<redacted>"), ("Retry-After", "7")]


@pytest.mark.parametrize("stamps", [Timings(), Timings(0.1, 0.2, 0.3, 1, 2, 3, reused=False)])
def test_timings_are_json_and_what_did_not_happen_is_null(stamps: Timings):
    found = timings(stamps)
    assert list(found) == ["dns_s", "connect_s", "tls_s", "t0_ns", "sent_ns", "headers_ns", "reused", "transport"]
    assert "NaN" not in json.dumps(found)
    assert found["dns_s"] == (None if stamps.t0_ns is None else 0.1)
