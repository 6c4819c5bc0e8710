"""Ollama's requests, its end, its keys and times on plain values, no sockets; then a few runs on the simulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

import streamnb
from streamnb.conversation import Reading
from streamnb.errors import MissingKeyError, UsageError
from streamnb.events import Event, Outcome, Prompt, Tool
from streamnb.providers import Call, Ending, ReplyHead, load
from streamnb.providers import _explain as explain
from streamnb.redaction import Secret
from streamnb.testing import events
from streamnb.transport import Keyring, prepare
from streamnb.wire import Frame, JSONBodyFramer, JSONLFramer, SniffFramer

Ollama = load("ollama")
FAST = {"ttft": 0, "gap": 0, "tokens": 6}
TOOL = Tool("river_level", "The level of a river, m.", {"type": "object", "properties": {"name": {"type": "string"}}})
PIECE = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "Hi"}}


def asked(text: str = "Hi", base_url: str | None = None, **prompt: Any) -> Call:
    return Ollama(base_url).request(Prompt(text, **{"model": "m", **prompt}))


def line(**fields: Any) -> bytes:
    return json.dumps({**PIECE, "done": False, **fields}).encode() + b"\n"


# -- what is asked ------------------------------------------------------------------------------------------------


def test_the_prompt_goes_as_a_message_and_a_stream_is_asked_for():
    call = asked()
    assert (call.method, call.path, call.stream) == ("POST", "/api/chat", True)
    assert call.body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    assert call.headers == {"Accept": "application/x-ndjson"}


def test_the_system_prompt_goes_before_it():
    messages = asked(system="Be brief.").body["messages"]
    assert messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_without_a_prompt_there_are_no_messages_so_that_the_model_is_only_loaded():
    assert asked("").body["messages"] == []


def test_functions_are_declared_as_ollama_wants_them():
    function = {"name": TOOL.name, "description": TOOL.description, "parameters": TOOL.parameters}
    assert asked(tools=(TOOL,)).body["tools"] == [{"type": "function", "function": function}]


def test_parameters_are_fields_of_the_body_and_none_takes_one_away():
    told = {"options": {"temperature": 0}, "think": "low", "keep_alive": 0, "format": "json", "stream": None}
    assert asked(params=told).body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "options": {"temperature": 0},
        "think": "low",
        "keep_alive": 0,
        "format": "json",
    }


def test_what_was_said_before_stands_between_system_prompt_and_prompt():
    history = (("user", "Why?"), ("assistant", "Because."))
    messages = asked("And?", system="Be brief.", history=history).body["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("system", "Be brief."),
        *history,
        ("user", "And?"),
    ]


def test_messages_among_the_parameters_come_in_place_of_the_prompt():
    history = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    assert asked(params={"messages": history}).body["messages"] == history


def test_a_model_is_needed_and_how_to_name_one_is_said():
    with pytest.raises(UsageError, match=r"ollama needs a model: --model NAME \(in Python model=\.\.\.\)") as caught:
        asked(model=None)
    assert "`ollama list`" in str(caught.value)
    assert asked(model=None, params={"model": "n"}).body["model"] == "n"


def test_an_option_of_the_model_that_would_be_ignored_is_refused_with_the_form_that_works():
    with pytest.raises(UsageError) as caught:
        asked(params={"temperature": 0, "num_ctx": 4096, "think": True})
    assert "ollama looks for num_ctx, temperature in its options" in str(caught.value)
    assert """--param 'options={"num_ctx": 4096, "temperature": 0}'""" in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (None, "http://localhost:11434/api/chat"),
        ("http://10.0.0.7:11434/", "http://10.0.0.7:11434/api/chat"),
        ("https://ollama.com/api", "https://ollama.com/api/chat"),
        ("https://lab.example/ollama", "https://lab.example/ollama/api/chat"),
    ],
)
def test_a_base_url_may_end_with_api_as_on_ollamas_own_pages(base_url: str | None, url: str):
    provider = Ollama(base_url)
    assert provider.base_url + provider.request(Prompt("Hi", model="m")).path == url


# -- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "key_env", "carried"),
    [
        (None, None, None),
        ("http://127.0.0.1:4711", None, None),
        ("http://10.0.0.7:11434", None, None),  # a key for the cloud is not shown to it, nor is http complained of
        ("https://lab.example", None, Secret("OLLAMA_API_KEY", prefix="Bearer ", required=False)),
        ("https://ollama.com", None, Secret("OLLAMA_API_KEY", prefix="Bearer ", required=True)),
        ("https://eu.ollama.com/api", None, Secret("OLLAMA_API_KEY", prefix="Bearer ", required=True)),
        ("https://notollama.com", None, Secret("OLLAMA_API_KEY", prefix="Bearer ", required=False)),
        ("http://127.0.0.1:4711", "MINE", Secret("MINE", prefix="Bearer ", required=False)),
    ],
)
def test_only_the_cloud_wants_a_key_and_only_https_is_sent_one_unasked(base_url, key_env, carried):
    call = Ollama(base_url, key_env).request(Prompt("Hi", model="m"))
    assert call.headers.get("Authorization") == carried


def test_the_cloud_without_a_key_names_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    provider = Ollama("https://ollama.com")
    with pytest.raises(MissingKeyError, match="ollama needs OLLAMA_API_KEY"):
        prepare(provider, provider.request(Prompt("Hi", model="m")), Keyring("ollama"))


def test_ollama_host_is_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://elsewhere.example:1")
    assert Ollama().base_url == "http://localhost:11434"


# -- what comes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "framer"),
    [
        ("application/x-ndjson", JSONLFramer),
        ("application/json", SniffFramer),
        ("", SniffFramer),
    ],
)
def test_the_type_decides_the_framing_and_the_first_line_where_the_type_says_nothing(content_type, framer):
    made = Ollama().framer(Call("chat", stream=True), ReplyHead(200, {"content-type": content_type}))
    assert type(made) is framer


@pytest.mark.parametrize(
    ("head", "framer"),
    [
        (b'{"done":true}\n', JSONLFramer),
        (b'\xef\xbb\xbf\n {"done":true}\r\n{"do', JSONLFramer),
        (b'{\n  "done": true\n}', JSONBodyFramer),
        (b'{"done":true}', JSONBodyFramer),
        (b"", JSONBodyFramer),
        (b"data: {}\n", JSONLFramer),
    ],
)
def test_a_first_line_that_is_an_object_of_its_own_begins_lines(head: bytes, framer: type):
    sniffing = Ollama().framer(Call("chat", stream=True), ReplyHead())
    sniffing.feed(head)
    sniffing.close()
    assert type(sniffing._framer) is framer


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        ({"done": True, "done_reason": "stop"}, Outcome.COMPLETE),
        ({"done": True}, Outcome.COMPLETE),
        ({"done": True, "done_reason": None}, Outcome.COMPLETE),
        ({"done": True, "done_reason": "load"}, Outcome.COMPLETE),
        ({"done": True, "done_reason": "length"}, Outcome.LENGTH),
        ({"done": False, "done_reason": "stop"}, Outcome.TRUNCATED),
        ({"done": None, "done_reason": None}, Outcome.TRUNCATED),
        ({"done": "true"}, Outcome.TRUNCATED),
        ({"done": 1}, Outcome.TRUNCATED),
        ({"error": "boom"}, Outcome.ERROR_IN_STREAM),
        ({"error": "boom", "done": True}, Outcome.ERROR_IN_STREAM),
    ],
)
def test_only_done_true_ends_an_answer(last: dict[str, Any], outcome: Outcome):
    reading = Reading(Ollama(), Call("chat", stream=True), ReplyHead(200, {"content-type": "application/x-ndjson"}))
    reading.feed(line() + line(**last))
    reading.close()
    assert reading.outcome(Ending()) is outcome


@pytest.mark.parametrize(
    ("created_at", "server_ms"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600_123),
        ("2025-12-31T17:00:00.999999999-07:00", 1_767_225_600_999),
        ("2026-01-01T00:00:00", None),  # whose midnight?
        ("soon", None),
        (1_767_225_600, None),
        (None, None),
    ],
)
def test_the_servers_own_time_is_on_every_event(created_at: Any, server_ms: int | None):
    said = events("ollama", line(created_at=created_at, done=True), content_type="application/x-ndjson")
    assert [event.kind for event in said] == ["start", "delta", "end"]
    assert {event.server_ms for event in said} == {server_ms}


def test_counts_that_are_left_out_stay_missing():
    (usage,) = (event for event in events("ollama", line(done=True, eval_count=3)) if event.kind == "usage")
    assert usage.data == {"tokens_in": None, "tokens_out": 3, "usage": "last", "raw": {"eval_count": 3}}
    assert "usage" not in [event.kind for event in events("ollama", line(done=True, total_duration=5))]


EMPTY = {**PIECE, "message": {"role": "assistant", "content": ""}, "done": False}


@pytest.mark.parametrize(
    ("value", "t_ns"),
    [
        ({**EMPTY, "t_ns": 7}, 7),
        (EMPTY, None),
        ({**EMPTY, "t_ns": "7"}, None),
        ({**EMPTY, "t_ns": 7, "done": True}, None),
        ({**PIECE, "t_ns": 7, "done": False}, None),
        ({**EMPTY, "t_ns": 7, "message": {"role": "assistant", "content": "", "thinking": "x"}}, None),
        ([], None),
    ],
)
def test_a_stamp_is_a_piece_that_says_nothing_else(value: Any, t_ns: int | None):
    assert Ollama().server_t_ns(Frame(json.dumps(value), value=value, line=1)) == t_ns


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "429", "500", "502", "503"])
def test_every_status_that_ollama_documents_has_a_hint_of_its_own(status: str):
    provider = Ollama()
    call = provider.request(Prompt("Hi", model="m"))
    said = explain.http_error(provider, call, ReplyHead(int(status)), Event("error", "why"))
    assert said.startswith(f"ollama answered {status}: why. ")
    assert provider.hints[status].partition("{wait}")[0] in said
    assert "{" not in said


def test_where_nothing_listens_the_hint_says_how_to_start_it():
    assert "`ollama serve`" in Ollama.hints["connect_error"]
    assert "--base-url" in Ollama.hints["connect_error"]


# -- on the simulator ---------------------------------------------------------------------------------------------


def simulated(**keywords: Any) -> Any:
    return streamnb.stream("ollama", keywords.pop("prompt", "Hi"), sim=True, record=False, **{"pace": FAST, **keywords})


def test_the_result_of_a_run_has_the_durations_in_nanoseconds():
    run = simulated(pace={"ttft": 0.003, "gap": 0.001, "gap_dist": "constant", "tokens": 5})
    assert (run.ok, run.result["done_reason"]) == (True, "stop")
    assert run.result["load_duration"] + run.result["prompt_eval_duration"] == 3_000_000
    assert run.result["total_duration"] == 3_000_000 + run.result["eval_duration"] == 7_000_000
    assert (run.summary["tokens_out"].item(), run.summary["token_source"].item()) == (5, "server")
    assert run.events["server_time"].notna().all()


def test_a_run_without_a_prompt_loads_the_model():
    run = simulated(prompt="")
    assert (run.outcome, run.text, run.result["done_reason"]) == (Outcome.COMPLETE, "", "load")


def test_a_call_ends_the_run_and_its_result_goes_with_the_next_one():
    called: list[str] = []

    def river_level(name: str) -> str:
        """The level of a river."""
        called.append(name)
        return "1.2 m"

    run = simulated(tools={"river_level": river_level})
    assert (run.outcome, called) == (Outcome.TOOL_CALLS, [])  # Ollama waits for no answer while it streams
    (call,) = run.events.query("kind == 'tool_call'").to_dict("records")
    assert (call["name"], json.loads(call["text"])) == ("river_level", {"name": "Río Tinto"})
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [json.loads(call["data"])]},
        {"role": "tool", "tool_name": call["name"], "content": river_level(**json.loads(call["text"]))},
    ]
    answer = simulated(tools={"river_level": river_level}, params={"messages": history})
    assert answer.outcome is Outcome.COMPLETE
    assert answer.text.startswith("1.2 m")


def test_thinking_is_reasoning():
    run = simulated(params={"think": True})
    assert (len(run.events.query("kind == 'reasoning'")), len(run.events.query("kind == 'delta'"))) == (2, 4)


def test_stamps_are_never_before_the_send_times_of_the_simulator():
    run = simulated(pace={"ttft": 0.005, "gap": 0.001, "tokens": 50})
    late_ns = (run.chunks["t_ns"] - run.chunks["server_t_ns"]).dropna()
    assert len(late_ns) >= 20
    assert (late_ns >= 0).all()
