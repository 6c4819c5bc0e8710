from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime

import pytest
from simulated import FAST, body_on_the_wire, chunked, post, url

import streamnb
from streamnb.simulator.ollama import LateStream, error_body
from streamnb.simulator.ollama_answer import SPECIAL
from streamnb.simulator.prefix import Setup
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Out, Script

CHAT = "/api/chat"
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
DATE = rb'"created_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z"'
FOUR = "".join(tokens(1, 4))


def lines(reply) -> list:
    assert reply.body.endswith(b"\n")
    return [json.loads(line) for line in reply.body[:-1].split(b"\n")]


def text(values: list) -> str:
    return "".join(value["message"]["content"] for value in values)


def test_the_bytes_on_the_wire_are_exactly_the_documented_ones():
    body = body_on_the_wire(CHAT, ASK, "ttft=0.003,gap=0.001,gap_dist=constant,tokens=2")
    sent = re.findall(rb"\{.*\}\n", body)
    assert body == chunked(*sent)  # each object is a write of its own

    def line(content: bytes, rest: bytes) -> bytes:
        head = b'{"model":"m","created_at":"?","message":{"role":"assistant","content":"%s"},"done":' % content
        return head + rest + b"}\n"

    durations = b'"total_duration":4000000,"load_duration":1000000,"prompt_eval_count":19,'
    evaluated = b'"prompt_eval_duration":2000000,"eval_count":2,"eval_duration":1000000'
    assert [re.sub(DATE, b'"created_at":"?"', one) for one in sent] == [
        line(b"##", b"false"),
        line(b" Loose", b"false"),
        line(b"", b'true,"done_reason":"stop",' + durations + evaluated),
    ]


def test_the_headers_are_those_of_the_server():
    assert post(CHAT, ASK).headers["content-type"] == "application/x-ndjson"
    assert post(CHAT, {**ASK, "stream": False}).headers["content-type"] == "application/json"


def test_no_key_is_wanted():
    assert post(CHAT, ASK, headers={}).status == 200


def test_it_streams_unless_told_otherwise():
    assert text(lines(post(CHAT, ASK, f"{FAST},tokens=4"))) == FOUR
    assert text(lines(post(CHAT, {**ASK, "stream": True}, f"{FAST},tokens=4"))) == FOUR
    whole = post(CHAT, {**ASK, "stream": False}, f"{FAST},tokens=4").value
    assert (whole["message"], whole["done"], whole["done_reason"]) == (
        {"role": "assistant", "content": FOUR},
        True,
        "stop",
    )


def test_each_object_has_a_time_of_its_own():
    values = lines(post(CHAT, ASK, "ttft=0,gap=0.002,gap_dist=constant,tokens=4"))
    moments = [datetime.fromisoformat(value["created_at"]) for value in values]
    assert moments == sorted(moments)
    assert len(set(moments[:4])) == 4


@pytest.mark.parametrize(("scenario", "order"), [("ok", ["made", "start", "body", "body"]), ("hang", ["start"])])
async def test_the_headers_wait_for_the_first_object_unless_there_will_be_none(scenario: str, order: list[str]):
    seen: list[str] = []
    begun, never = asyncio.Event(), asyncio.Event()

    def body():
        seen.append("made")
        yield Out(0.0, (b"{}\n",))

    async def send(message) -> None:
        seen.append(message["type"].rpartition(".")[2])
        begun.set()

    async def receive():
        await (begun if scenario == "hang" else never).wait()
        return {"type": "http.disconnect"}

    await LateStream(Script(body=body()), Setup(scenario=scenario))({"type": "http"}, receive, send)
    assert seen == order


@pytest.mark.parametrize(
    ("messages", "more", "reason"),
    [([], {}, "load"), (None, {}, "load"), ([], {"keep_alive": 0}, "unload"), ([], {"keep_alive": "0"}, "unload")],
)
def test_without_messages_the_model_is_loaded_or_taken_out_of_memory(messages, more, reason):
    reply = post(CHAT, {"model": "m", "messages": messages, **more})
    assert reply.headers["content-type"] == "application/json"
    assert {**reply.value, "created_at": "?"} == {
        "model": "m",
        "created_at": "?",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": reason,
    }


def test_the_models_are_listed_and_the_missing_one_is_not():
    names = [model["name"] for model in post("/api/tags", method="GET").value["models"]]
    assert names == ["simulated:latest", *(f"{name}:latest" for name in SPECIAL if name != "missing")]


def test_the_version_is_told():
    assert post("/api/version", method="GET").value == {"version": "0.0.0"}


@pytest.mark.parametrize(
    ("ask", "status", "error"),
    [
        (b"", 400, "missing request body"),
        ({**ASK, "model": ""}, 400, "model is required"),
        ({**ASK, "model": "missing:7b"}, 404, "model 'missing:7b' not found"),
        ({**ASK, "model": "plain", "think": True}, 400, '"plain" does not support thinking'),
    ],
)
def test_a_request_that_does_not_fit_is_told_so(ask, status: int, error: str):
    reply = post(CHAT, ask)
    assert (reply.status, reply.value) == (status, {"error": error})


def test_an_error_in_the_stream_is_a_line_and_the_last_one():
    *pieces, last = lines(post(CHAT, ASK, f"{FAST},tokens=4,scenario=error"))
    assert last == {"error": "an error was encountered while running the model"}
    assert text(pieces) == "".join([*tokens(1, 4)][:2])


@pytest.mark.parametrize("scenario", ["truncate", "no-done"])
def test_an_answer_without_its_end_has_no_object_that_says_done(scenario: str):
    values = lines(post(CHAT, ASK, f"{FAST},tokens=4,scenario={scenario}"))
    assert values
    assert not any(value["done"] for value in values)


def test_stamps_are_pieces_that_say_nothing():
    values = lines(post(CHAT, ASK, f"{FAST},tokens=4,stamps=1"))
    stamps = [value for value in values if "t_ns" in value]
    assert len(stamps) == 5  # four pieces and the end
    assert all(value["message"]["content"] == "" and not value["done"] for value in stamps)
    assert values.index(stamps[0]) == 0
    assert text(values) == FOUR
    assert [value["t_ns"] for value in stamps] == sorted(value["t_ns"] for value in stamps)


@pytest.mark.parametrize(
    ("scenario", "status", "body"),
    [
        ("http-404", 404, error_body(404)),
        ("http-503", 503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
        ("http-418", 418, error_body(500)),
        ("error-200", 200, error_body(500)),
    ],
)
def test_a_wrong_reply_is_one_object_with_an_error(scenario: str, status: int, body: dict):
    reply = post(CHAT, ASK, f"{FAST},scenario={scenario}")
    assert (reply.status, reply.value) == (status, body)


def test_json_200_is_the_whole_answer():
    reply = post(CHAT, ASK, f"{FAST},tokens=4,scenario=json-200")
    assert reply.value["message"]["content"] == FOUR


def test_a_key_that_was_sent_is_echoed():
    sent = {"Authorization": "Bearer sk-dummy"}
    said = text(lines(post(CHAT, ASK, f"{FAST},scenario=echo-auth", headers=sent)))
    assert "Bearer sk-dummy" in said
    whole = post(CHAT, {**ASK, "stream": False}, f"{FAST},scenario=echo-auth", headers=sent)
    assert "Bearer sk-dummy" in whole.value["message"]["content"]


@pytest.mark.parametrize("options", [{}, {"think": True}])
def test_ollamas_own_client_reads_the_text_that_we_read(options: dict):
    ollama = pytest.importorskip("ollama")
    client = ollama.Client(url("stamps=1,ttft=0,gap=0,tokens=20"), trust_env=False)
    theirs = [*client.chat("simulated", [{"role": "user", "content": "Hi"}], stream=True, **options)]
    ours = streamnb.stream(
        "ollama", "Hi", sim=True, params=options, pace={"ttft": 0, "gap": 0, "tokens": 20}, record=False
    )
    assert "".join(part.message.content for part in theirs) == ours.text
    assert "".join(part.message.thinking or "" for part in theirs) == ours.reasoning
    assert theirs[-1].done
    assert (theirs[-1].done_reason, theirs[-1].eval_count) == ("stop", ours.summary["tokens_out"].item())
    client._client.close()


def test_ollamas_own_client_raises_what_we_call_an_error():
    ollama = pytest.importorskip("ollama")
    client = ollama.Client(url(f"{FAST},tokens=4,scenario=error"), trust_env=False)
    with pytest.raises(ollama.ResponseError, match="an error was encountered") as caught:
        list(client.chat("simulated", [{"role": "user", "content": "Hi"}], stream=True))
    run = streamnb.stream("ollama", "Hi", sim=True, scenario="error", pace={"ttft": 0, "gap": 0}, record=False)
    assert caught.value.error in run.error
    client._client.close()


def test_ollamas_own_client_lists_the_models_and_calls_functions():
    ollama = pytest.importorskip("ollama")
    client = ollama.Client(url(f"{FAST},tokens=4"), trust_env=False)
    assert client.list().models[0].model == "simulated:latest"
    tool = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object"}}}
    answer = client.chat("simulated", [{"role": "user", "content": "Hi"}], tools=[tool])
    assert [(call.function.name, call.function.arguments) for call in answer.message.tool_calls] == [("now", {})]
    client._client.close()
