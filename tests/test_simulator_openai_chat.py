from __future__ import annotations

import re

import openai
import pytest
from simulated import COMPLETIONS, FAST, HELLO, body_on_the_wire, chunked, post, url

from streamnb.simulator.prose import tokens

FOUR = "".join(tokens(1, 4))
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def client():
    clients = []

    def make(options: str = f"{FAST},tokens=4", key: str = "sk-dummy") -> openai.OpenAI:
        clients.append(openai.OpenAI(base_url=f"{url(options)}/v1", api_key=key, max_retries=0))
        return clients[-1]

    yield make
    for made in clients:
        made.close()


def test_the_bytes_on_the_wire_are_exactly_the_documented_ones():
    body = body_on_the_wire(COMPLETIONS, {**HELLO, "stream_options": {"include_usage": True}}, f"{FAST},tokens=2")
    name, created = re.search(rb'"id":"(chatcmpl-[0-9a-f]{24})".*?"created":(\d+)', body).groups()
    top = b'{"id":"%s","object":"chat.completion.chunk","created":%s,"model":"m","choices":' % (name, created)

    def event(choices: bytes, usage: bytes = b"null") -> bytes:
        return b"data: " + top + choices + b',"usage":' + usage + b"}\n\n"

    assert body == chunked(
        event(b'[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]'),
        event(b'[{"index":0,"delta":{"content":"##"},"finish_reason":null}]'),
        event(b'[{"index":0,"delta":{"content":" Loose"},"finish_reason":null}]'),
        event(b'[{"index":0,"delta":{},"finish_reason":"stop"}]'),
        event(b"[]", b'{"prompt_tokens":19,"completion_tokens":2,"total_tokens":21}'),
        b"data: [DONE]\n\n",
    )


def test_the_headers_are_those_of_the_api():
    headers = post(COMPLETIONS, HELLO, "ttft=0.04,gap=0,tokens=1").headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["openai-processing-ms"] == "40"
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])


def test_no_key_no_answer():
    reply = post(COMPLETIONS, HELLO, headers={})
    assert reply.status == 401
    assert reply.headers["x-request-id"]


def test_broken_json_is_a_400():
    assert post(COMPLETIONS, b'{"model":').status == 400


def test_the_official_client_streams_text_and_usage(client):
    stream = client().chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == FOUR
    assert chunks[-1].usage.completion_tokens == 4
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_the_official_client_reads_a_whole_answer(client):
    answer = client().chat.completions.create(**ASK)
    assert answer.choices[0].message.content == FOUR
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4


def test_the_official_client_keeps_two_choices_apart(client):
    texts = {0: "", 1: ""}
    for chunk in client(f"{FAST},tokens=4,seed=2").chat.completions.create(**ASK, stream=True, n=2):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts[0] != texts[1]
    assert texts == {0: "".join(tokens(2, 4)), 1: "".join(tokens(3, 4))}


def test_the_official_client_assembles_tool_calls(client):
    with client(f"{FAST},scenario=tools").chat.completions.stream(**ASK) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert [call.function.arguments for call in message.tool_calls] == ['{"name":"Río Tinto","days":3}'] * 2


def test_the_official_client_reads_a_refusal(client):
    with client(f"{FAST},scenario=refusal").chat.completions.stream(**ASK) as stream:
        assert stream.get_final_completion().choices[0].message.refusal == "I cannot help with that."


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("scenario=http-400", openai.BadRequestError),
        ("scenario=http-403", openai.PermissionDeniedError),
        ("scenario=http-422", openai.UnprocessableEntityError),
        ("scenario=http-429", openai.RateLimitError),
        ("scenario=http-503", openai.InternalServerError),
        ("scenario=html-502", openai.InternalServerError),
    ],
)
def test_the_official_client_raises_its_own_errors(client, options, error):
    with pytest.raises(error):
        client(options).chat.completions.create(**ASK, stream=True)


def test_the_official_client_sees_a_bad_key_and_a_missing_model(client):
    with pytest.raises(openai.AuthenticationError):
        client(key="bad-key").chat.completions.create(**ASK)
    with pytest.raises(openai.NotFoundError):
        client().chat.completions.create(**{**ASK, "model": "missing-model"})


def test_the_official_client_raises_an_error_that_comes_inside_the_stream(client):
    got = []
    stream = client(f"{FAST},tokens=4,scenario=error").chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.APIError, match="had an error"):
        got.extend(chunk.choices[0].delta.content for chunk in stream)
    assert "".join(got) == "## Loose"


def test_the_official_client_lists_models(client):
    assert [model.id for model in client().models.list()] == ["simulated-1", "simulated-1-mini"]
