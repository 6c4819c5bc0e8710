from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, END, STOP, Wire, chunk, delta, head, serving
from simulated import url

import streamnb
from streamnb.errors import MissingKeyError, UsageError
from streamnb.results import Run
from streamnb.session import Session, ask

KEY = 'canary/k+e=y"\\0123456789abcdef'
NEEDLES = {
    "raw": KEY,
    "json": json.dumps(KEY)[1:-1],
    "quoted": "canary%2Fk%2Be%3Dy%22%5C0123456789abcdef",
    "base64": base64.b64encode(KEY.encode()).decode()[:-4],
    "beginning": "canary/",
    "middle": "0123456789abcdef",
}
STYLES = ("bearer", "token", "raw", "x-api-key", "api-key", "query")
TABLES = ("events", "chunks", "calls", "citations", "frames", "gaps", "stalls", "summary")


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The key is set, and everything that logs does so."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SSE_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def kept(caplog: pytest.LogCaptureFixture, recordings: Path) -> Callable[[Run], str]:
    """Everything that is kept or shown of a run, as one text."""

    def collect(run: Run) -> str:
        sinks = [path.read_text() for path in recordings.glob("**/*.jsonl")]
        sinks += [repr(run), str(run), run.raw.decode(errors="replace"), run.text, *map(str, run.row().values())]
        sinks += [str(run.error), str(run._repr_mimebundle_()), repr(run.final())]
        tables = [getattr(run, name) for name in TABLES] + [streamnb.recordings()]
        for table in tables:
            raw = table.map(lambda cell: cell.decode("latin-1") if isinstance(cell, bytes) else cell)
            sinks += [raw.to_json(date_format="iso"), raw.to_csv(), repr(table)]
        try:
            run.raise_for_outcome()
        except streamnb.RunError as error:
            sinks += traceback.format_exception(error)
        sinks += [str(vars(record)) for record in caplog.records]
        return "\n".join(sinks)

    return collect


def assert_clean(text: str) -> None:
    assert [text[max(0, text.index(needle) - 60) :][:120] for needle in NEEDLES.values() if needle in text] == []


def echoed(wire: Wire) -> str:
    """The secret parts of the request as this server got them."""
    return wire.request.partition(b"\r\n\r\n")[0].decode("latin-1")


async def in_stream(wire: Wire) -> None:
    block = delta(echoed(wire))
    middle = block.index(b"0123456789")
    await wire.head(X_Request_Id=KEY, X_Key=KEY)
    await wire.chunks(block[:middle])
    await asyncio.sleep(0.02)
    await wire.chunks(block[middle:], STOP, DONE)
    await wire.send(END)


async def in_an_error(wire: Wire) -> None:
    body = json.dumps({"error": {"message": f"wrong key in: {echoed(wire)}", "code": KEY}}).encode()
    await wire.reply(body, status="401 Unauthorized", X_Request_Id=KEY, Retry_After=KEY)


async def in_a_page(wire: Wire) -> None:
    await wire.reply(echoed(wire).encode(), "text/html", status="502 Bad Gateway")


async def in_a_redirect(wire: Wire) -> None:
    target = wire.request.split(b" ")[1].decode()
    await wire.reply(b"", status="307 Temporary Redirect", Location=f"https://other.invalid{target}&k={KEY}")


async def in_a_long_redirect(wire: Wire) -> None:
    await wire.reply(b"", status="307 Temporary Redirect", Location=f"https://other.invalid/{'x' * 465}{KEY}")


async def in_a_cut(wire: Wire) -> None:
    block = b"data: " + echoed(wire).encode()
    await wire.head()
    await wire.chunks(block[:-20])
    wire.reset()


async def in_nonsense(wire: Wire) -> None:
    await wire.send(f"HTTP/1.1 {KEY} {KEY}\r\n{KEY}\r\n\r\n".encode())


PLACES = (in_stream, in_an_error, in_a_page, in_a_redirect, in_a_long_redirect, in_a_cut, in_nonsense)


@pytest.mark.parametrize(
    ("style", "place"),
    [
        *((style, in_stream) for style in STYLES),
        *((style, place) for style in ("raw", "query") for place in PLACES[1:]),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_key_that_the_server_sends_back_is_in_nothing_that_is_kept(
    style: str, place: Any, kept: Callable[[Run], str]
):
    with serving(place) as server:
        run = streamnb.stream(
            "openai_chat", f"my key is {KEY}", base_url=server.origin + "/v1", model="m", auth=style, system=KEY
        )
        top = server.requests[0].partition(b"\r\n\r\n")[0].decode()
    assert (NEEDLES["quoted"] if style == "query" else KEY) in top  # it was really sent
    assert run.outcome is not None
    assert_clean(kept(run))
    opened = streamnb.open(run.path)
    assert (opened.raw, opened.error) == (run.raw, run.error)  # what was clean before is clean


def test_the_simulator_echoes_the_key_and_it_is_masked_in_place(kept: Callable[[Run], str]):
    run = streamnb.stream(
        "openai_chat", "hi", base_url=url("scenario=echo-auth,ttft=0,gap=0,tokens=3") + "/v1", model="m"
    )
    assert run.outcome == "complete"
    assert f"authorization: Bearer {'*' * 8}" in run.text
    assert len(run.raw) == sum(run.chunks["n_bytes"])
    assert_clean(kept(run))


FORMS = {
    "as it is": KEY.encode(),
    "in JSON": json.dumps(KEY).encode(),
    "in a URL": NEEDLES["quoted"].encode(),
    "in base64": base64.b64encode(b"Bearer " + KEY.encode()),
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_key_split_over_two_reads_at_any_place_is_masked(form: str, kept: Callable[[Run], str]):
    block = b": " + FORMS[form] + b" :\n\n"
    with serving(Wire.obey) as server:
        server.tell(head())
        async with streamnb.open_stream("openai_chat", "hi", base_url=server.origin, model="m") as live:
            arrivals = live.arrivals()
            for cut in range(1, len(block)):
                server.tell(chunk(block[:cut]))
                await anext(arrivals)
                server.tell(chunk(block[cut:]))
                await anext(arrivals)
            server.tell(chunk(DONE) + END, None)
            async for _ in arrivals:
                pass
    run = live.run
    assert run.outcome == "complete"
    assert len(run.raw) == (len(block) - 1) * len(block) + len(DONE)  # every byte in its place
    assert len(run.chunks) == 2 * (len(block) - 1) + 1
    assert FORMS[form][10:-4] not in run.raw  # in base64 the outermost characters are not the key's alone
    assert run.raw.count(b"*" * (len(FORMS[form]) - 14)) >= len(block) - 1
    assert_clean(await asyncio.to_thread(kept, run))


@pytest.mark.parametrize(
    ("target", "options"),
    [("openai_chat", {}), ("typebot", {"typebot": "demo", "preview": True}), ("demo", {}), ("sse", {})],
)
def test_the_simulator_never_gets_the_users_key(target: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TYPEBOT_API_TOKEN", KEY)
    plain = "canary-without-anything-to-escape"
    for name in ("OPENAI_API_KEY", "SSE_API_KEY", "TYPEBOT_API_TOKEN"):
        monkeypatch.setenv(name, plain)
    run = streamnb.stream(target, "hi", sim=True, scenario="echo-auth", pace={"ttft": 0, "gap": 0}, **options)
    said = run.raw.decode()
    assert plain not in said
    assert "*" * 8 not in said  # nor was it masked
    if target in {"openai_chat", "demo"}:
        assert "Bearer streamnb-simulator-key" in run.text


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The names that were looked up."""
    names: list[Any] = []
    real = socket.getaddrinfo

    def spy(host: Any, *words: Any, **more: Any) -> Any:
        names.append(host)
        return real(host, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    return names


@pytest.mark.parametrize("style", STYLES)
def test_a_key_never_leaves_in_the_clear_and_not_even_the_name_is_looked_up(
    style: str, asked: list[Any], recordings: Path
):
    with pytest.raises(UsageError, match="would get the key in the clear; use https") as caught:
        streamnb.stream("openai_chat", "hi", base_url="http://notloopback.invalid/v1", model="m", auth=style)
    assert asked == []
    assert not recordings.exists()
    assert_clean("".join(traceback.format_exception(caught.value)))


def test_who_allows_it_may_send_a_key_in_the_clear(asked: list[Any], kept: Callable[[Run], str]):
    run = streamnb.stream("openai_chat", "hi", base_url="http://notloopback.invalid/v1", model="m", allow_http=True)
    assert asked == ["notloopback.invalid"]
    assert (run.outcome, "cannot be resolved" in run.error) == ("connect_error", True)
    assert_clean(kept(run))


def test_credentials_in_the_address_are_in_nothing_that_is_kept(kept: Callable[[Run], str]):
    with serving(in_a_page) as server:
        address = server.origin.replace("://", f"://me:{NEEDLES['middle']}@")
        run = streamnb.stream("openai_chat", "hi", base_url=address + "/v1", model="m")
    assert run.outcome == "http_error"
    assert_clean(kept(run))


@pytest.mark.parametrize("typed", ["sk-proj-abcdefghijklmnop0123456789", "canary/k+e=y0123456789abcdef"])
def test_a_key_typed_where_its_variables_name_belongs_is_refused_and_not_repeated(typed: str):
    with pytest.raises(UsageError) as caught:
        streamnb.stream("openai_chat", "hi", model="m", key_env=typed)
    assert typed not in "".join(traceback.format_exception(caught.value))


def test_a_missing_key_names_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        streamnb.stream("openai_chat", "hi", model="m")


def test_what_is_put_together_shows_no_key():
    session = Session(ask("openai_chat", "hi", base_url="http://127.0.0.1:1/v1", model="m"))
    driver = session._driver
    shown = [repr(one) for one in (session, driver, driver._keys, driver._scrubber, driver.target, driver.conversation)]
    shown += [repr(session.run), repr(session.asked), repr(driver.conversation.call)]
    assert_clean("\n".join(shown))
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        pickle.dumps(driver._scrubber)


def test_files_are_the_users_alone(recordings: Path):
    run = streamnb.stream("demo", "hi", pace={"ttft": 0, "gap": 0, "tokens": 2})
    for path in (run.path, run.path.parent, recordings):
        assert path.stat().st_mode & 0o077 == 0
