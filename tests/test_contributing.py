"""What CONTRIBUTING tells a newcomer is true: its diagram, its example, the files it names, its way to a transcript."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import transcribe
from samples import PATHS, bodies, contents, name_of, target

from streamnb.conversation import Conversation
from streamnb.events import Outcome, Prompt
from streamnb.providers import Ending, ReplyHead
from streamnb.redaction import Secret
from streamnb.transcript import read_lines

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SSE = {"content-type": "text/event-stream"}


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_diagram_has_the_layers_that_the_imports_are_held_to():
    drawn: dict[str, str] = {}
    for name, label in re.findall(r'(\w+)(?:\["([^"]+)"\])?', block("mermaid").partition("\n")[2]):
        drawn.setdefault(name, label or name)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (layers,) = (one["layers"] for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    assert list(drawn.values()) == layers


def test_every_file_that_is_named_exists():
    named = {word for word in re.findall(r"`([\w/.]+\.py)`", PAGE) if "<" not in word}
    assert {"_base.py", "ollama.py", "driver.py"} <= named
    places = [ROOT, *(path for path in (ROOT / "streamnb").rglob("*") if path.is_dir()), ROOT / "streamnb"]
    for name in named:
        assert any((place / name).is_file() for place in places), name


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory):
    """The example, as the file it would be."""
    path = tmp_path_factory.mktemp("example") / "acme.py"
    path.write_text(block("python"), "utf-8")
    spec = importlib.util.spec_from_file_location("acme", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Acme()


def played(provider, body: str, status: int = 200) -> tuple[Conversation, list]:
    conversation = Conversation(provider, Prompt("Hi", model="m", params={"temperature": 0}))
    conversation.begin(ReplyHead(status, SSE))
    events = [*conversation.feed(body.encode()).events, *conversation.close().events]
    conversation.end(Ending())
    return conversation, events


def test_the_example_sends_what_it_says(acme):
    call = acme.request(Prompt("Hi", model="m", params={"temperature": 0}))
    assert (acme.name, call.path, call.stream) == ("acme", "/v1/chat", True)
    assert call.body == {"model": "m", "text": "Hi", "temperature": 0}
    assert call.headers == {"Authorization": Secret("ACME_API_KEY", prefix="Bearer ", required=True)}


def test_the_example_reads_the_bytes_beside_it(acme):
    conversation, events = played(acme, block("text"))
    assert (conversation.outcome, conversation.error) == (Outcome.COMPLETE, None)
    assert [(event.kind, event.text, event.name) for event in events] == [
        ("delta", "Hi", None),
        ("usage", "", None),
        ("end", "", "stop"),
    ]
    assert events[1].data == {"tokens_in": 3, "tokens_out": 1}


@pytest.mark.parametrize(
    ("body", "status", "outcome"),
    [
        (block("text").partition("event: done")[0], 200, Outcome.TRUNCATED),
        (block("text").replace("stop", "length"), 200, Outcome.LENGTH),
        ('event: error\ndata: {"error": "boom"}\n\n' + block("text"), 200, Outcome.ERROR_IN_STREAM),
        ('{"error": {"message": "no such model"}}', 200, Outcome.ERROR_IN_STREAM),
        ('{"error": {"message": "no such model"}}', 404, Outcome.HTTP_ERROR),
    ],
)
def test_the_example_fails_as_it_should(acme, body: str, status: int, outcome: Outcome):
    assert played(acme, body, status)[0].outcome is outcome


def test_the_example_drops_nothing(acme):
    odd = 'event: mood\ndata: {"calm": true}\n\nevent: token\ndata: {"text": 7}\n\nevent: token\ndata: {"te\n\n'
    assert [event.kind for event in played(acme, odd)[1]] == ["unknown"] * 3


# -- transcribe.py ------------------------------------------------------------------------------------------------


def printed(status: int, headers: list[tuple[str, str]], body: bytes, end: bytes = b"\r\n") -> bytes:
    head = [f"HTTP/1.1 {status} Fine", *(f"{name}: {value}" for name, value in headers)]
    return b"".join(line.encode("latin-1") + end for line in head) + end + body


SOME = [path for path in PATHS if name_of(path) in {"ollama/documented", "typebot/documented", "openai_chat/http_429"}]


@pytest.mark.parametrize("path", SOME, ids=name_of)
def test_what_curl_printed_makes_the_transcript_that_is_there(path: Path):
    found = contents(path)
    provider, prompt = target(found)
    samples = [
        printed(reply.status, reply.headers, body.data) for reply, body in zip(found.replies, bodies(path), strict=True)
    ]
    made = read_lines(transcribe.transcribe(provider, prompt, found.run.run_id, samples))
    assert (made.end.outcome, made.end.error) == (found.end.outcome, found.end.error)
    assert {key: made.end.counts[key] for key in ("calls", "bytes", "events")} == {
        key: found.end.counts[key] for key in ("calls", "bytes", "events")
    }
    assert [(call.url, call.body) for call in made.calls] == [(call.url, call.body) for call in found.calls]
    assert [reply.framing for reply in made.replies] == [reply.framing for reply in found.replies]
    assert dict(made.calls[0].headers).get("Authorization", "<redacted>") == "<redacted>"


@pytest.mark.parametrize(
    ("version", "header", "framing"),
    [
        ("HTTP/1.1", "Transfer-Encoding: chunked", "chunked"),
        ("HTTP/1.1", "content-length: 2", "length"),
        ("HTTP/1.0", "Server: x", "close"),
        ("HTTP/2", "server: x", "chunked"),
    ],
)
def test_the_headers_say_how_the_body_ended(version: str, header: str, framing: str):
    sample = transcribe.Sample.of(f"{version} 200\r\n{header}\r\n\r\nHi".encode())
    assert (sample.status, sample.framing, sample.body) == (200, framing, b"Hi")


def test_a_sample_may_have_been_saved_with_other_line_ends():
    assert transcribe.Sample.of(printed(404, [("A", "b")], b"x\r\n\r\ny", b"\n")).body == b"x\r\n\r\ny"


def test_a_sample_without_headers_says_how_to_get_them():
    with pytest.raises(SystemExit, match="capture it with -i"):
        transcribe.Sample.of(b'data: {"a":1}\n\n')


def test_the_number_of_samples_is_the_flows():
    path = next(path for path in PATHS if name_of(path) == "typebot/documented")
    provider, prompt = target(contents(path))
    replies = zip(contents(path).replies, bodies(path), strict=True)
    samples = [printed(reply.status, reply.headers, body.data) for reply, body in replies]
    with pytest.raises(SystemExit, match=f"what came to its call '{contents(path).calls[1].name}' is one more sample"):
        transcribe.transcribe(provider, prompt, "r", samples[:1])
    with pytest.raises(SystemExit, match=r"after \d samples it was over: complete"):
        transcribe.transcribe(provider, prompt, "r", [*samples, samples[0]])


def test_it_writes_beside_the_others_and_says_what_comes_next(
    tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(transcribe, "TRANSCRIPTS", tmp_path)
    sample = tmp_path / "sample.txt"
    sample.write_bytes(printed(404, [("Content-Length", "23")], b'{"error":"no such one"}'))
    transcribe.main(["ollama/gone", str(sample), "--prompt", "Hi", "--model", "m", "--param", "think=true"])
    made = read_lines((tmp_path / "ollama" / "gone.jsonl").read_bytes())
    assert made.run.prompt["params"] == {"think": True}
    said = capsys.readouterr().out
    assert "ended: http_error; ollama answered 404: no such one." in said
    assert "--bless -k ollama/gone" in said
