from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import httpx
import httpx_sse
import pandas as pd
import pytest
from fault_server import DONE, END, STOP, FaultServer, Wire, chunk, delta, head, serving, until
from simulated import COMPLETIONS, HELLO, KEY, url

import streamnb
from streamnb.results import Run

CANARY = "canary-0123456789abcdef"
OPTIONS = "ttft=0,gap=0,tokens=20,seed=4"


@pytest.fixture
async def mine() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
    await wire.send(END)


def said(event: httpx_sse.ServerSentEvent) -> tuple[str, str, str, int | None]:
    """What an event says, without what differs from answer to answer."""
    data = event.data
    if data.startswith("{"):
        value = json.loads(data)
        data = json.dumps([value["choices"], value.get("usage")])
    return event.event, data, event.id, event.retry


async def test_its_events_are_those_of_httpx_sse(mine: httpx.AsyncClient):
    target = url(OPTIONS) + COMPLETIONS
    async with httpx_sse.aconnect_sse(mine, "POST", target, json=HELLO, headers=KEY) as source:
        plain = [said(event) async for event in source.aiter_sse()]
    async with streamnb.aconnect_sse(mine, "POST", target, json=HELLO, headers=KEY) as source:
        assert isinstance(source, httpx_sse.EventSource)
        recorded = [said(event) async for event in source.aiter_sse()]
        assert source.response.status_code == 200
    assert recorded == plain
    assert len(plain) > 20


async def test_the_run_has_its_tables_and_can_be_opened(mine: httpx.AsyncClient):
    target = url(OPTIONS) + COMPLETIONS
    async with streamnb.aconnect_sse(mine, "POST", target, provider="openai_chat", json=HELLO, headers=KEY) as source:
        async for _ in source.aiter_sse():
            pass
    run = source.run
    assert (run.outcome, run.ok, len(run.text) > 20) == ("complete", True, True)
    assert set(run.chunks["stamp_source"]) == {"chunk"}
    assert run.calls["status"].tolist() == [200]
    assert run.summary["ttft_s"].iloc[0] > 0
    assert streamnb.last() is run
    opened = streamnb.open(run.path)
    for name in ("events", "chunks", "calls", "frames", "summary"):
        pd.testing.assert_frame_equal(getattr(opened, name), getattr(run, name))
    assert (opened.text, opened.error) == (run.text, run.error)


async def test_the_raw_provider_knows_no_end_and_says_so(mine: httpx.AsyncClient):
    with serving(answer) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin) as source:
            async for _ in source.aiter_sse():
                pass
    assert source.run.outcome == "ended_unverified"
    assert len(source.run.frames) == 4


async def test_it_needs_no_file(mine: httpx.AsyncClient):
    with serving(answer) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, record=False) as source:
            async for _ in source.aiter_sse():
                pass
    assert source.run.path is None
    assert len(streamnb.recordings()) == 0


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(delta("x ")), 0.002)


async def test_leaving_early_is_a_stopped_run(mine: httpx.AsyncClient):
    with serving(endless) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, provider="openai_chat") as source:
            async for _ in source.aiter_sse():
                break
        await asyncio.to_thread(server.wait_left)
    assert (source.run.outcome, source.run.text[:2]) == ("stopped", "x ")
    assert source.run.error == "openai_chat: the block was left before the end; what arrived is kept."
    assert streamnb.open(source.run.path).outcome == "stopped"


async def test_leaving_at_the_end_marker_as_everybody_does_is_a_whole_run(mine: httpx.AsyncClient):
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hello"), STOP, DONE)
        await wire.gone()

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, provider="openai_chat") as source:
            async for event in source.aiter_sse():
                if event.data == "[DONE]":
                    break
    assert (source.run.outcome, source.run.error) == ("complete", None)


async def test_a_cancelled_caller_is_an_interrupted_run(mine: httpx.AsyncClient):
    runs = []

    async def watch() -> None:
        async with streamnb.aconnect_sse(mine, "POST", server.origin) as source:
            runs.append(source.run)
            async for _ in source.aiter_sse():
                pass

    with serving(endless) as server:
        task = asyncio.create_task(watch())
        await until(lambda: runs and runs[0].raw)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert runs[0].outcome == "interrupted"


async def test_an_error_of_the_caller_comes_out_and_the_run_is_stopped(mine: httpx.AsyncClient):
    async def fail(server: FaultServer) -> None:
        async with streamnb.aconnect_sse(mine, "POST", server.origin) as source:
            async for _ in source.aiter_sse():
                raise ZeroDivisionError

    with serving(endless) as server, pytest.raises(ZeroDivisionError):
        await fail(server)
    assert streamnb.last().outcome == "stopped"


@pytest.mark.parametrize("read_it", [True, False])
async def test_an_error_status_is_an_http_error_whether_its_body_is_read_or_not(read_it: bool, mine: httpx.AsyncClient):
    async def script(wire: Wire) -> None:
        await wire.reply(b'{"error":{"message":"bad luck"}}', status="429 Too Many", X_Request_Id="req-7")

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin) as source:
            if read_it:
                await source.response.aread()
    assert source.run.outcome == "http_error"
    assert ("bad luck" in source.run.error) == read_it
    assert "req-7" in source.run.error


async def test_a_connection_that_breaks_is_told_to_both(mine: httpx.AsyncClient):
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hel"))
        await wire.send(b"40\r\ndata: ")
        wire.fin()

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, provider="openai_chat") as source:
            with pytest.raises(httpx.RemoteProtocolError):
                _ = [event async for event in source.aiter_sse()]
    assert (source.run.outcome, source.run.text) == ("protocol_error", "Hel")
    assert "the connection broke off: peer closed connection" in source.run.error


def shown(run: Run) -> str:
    return run.path.read_text() + run.raw.decode() + run.events.to_json(date_format="iso") + repr(run)


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"Authorization": f"Bearer {CANARY}"}},
        {"headers": {"x-api-key": CANARY}},
        {"headers": {"x-goog-api-key": CANARY}},
        {"params": {"key": CANARY}},
        {"auth": ("me", CANARY)},
    ],
    ids=["bearer", "x-api-key", "google", "query", "basic"],
)
async def test_the_callers_keys_are_in_nothing_that_is_kept_and_in_everything_the_caller_sees(
    sent: dict[str, object], mine: httpx.AsyncClient
):
    async def echo(wire: Wire) -> None:
        await wire.head(X_Request_Id=CANARY)
        request = wire.request.decode("latin-1")
        block = b"data: %s\n\n" % json.dumps(request).encode()
        middle = len(block) // 2
        await wire.chunks(block[:middle], block[middle:])
        await wire.send(END)

    with serving(echo) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, **sent) as source:
            (event,) = [event async for event in source.aiter_sse()]
    kept = shown(source.run)
    assert CANARY not in kept
    if "auth" not in sent:
        assert CANARY in event.data
    else:
        authorization = httpx.BasicAuth("me", CANARY)._auth_header.split()[1]
        assert authorization in event.data
        assert authorization not in kept


async def test_what_cannot_be_recorded_ends_the_recording_and_not_the_callers_stream(mine: httpx.AsyncClient):
    body = gzip.compress(delta("Hello") + DONE)

    async def script(wire: Wire) -> None:
        await wire.head(Content_Encoding="gzip", status="200 OK")
        await wire.send(chunk(body[:-6]) + END)

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin) as source:
            raw = b"".join([data async for data in source.response.aiter_raw()])
    assert raw == body[:-6]
    assert (source.run.outcome, len(source.run.frames)) == ("protocol_error", 2)
    assert "ends before its end mark" in source.run.error

    async def unknown(wire: Wire) -> None:
        await wire.send(head(Content_Encoding="zzz") + chunk(b"abc") + END)

    with serving(unknown) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin) as source:
            assert b"".join([data async for data in source.response.aiter_raw()]) == b"abc"
    assert source.run.outcome == "protocol_error"
    assert "Content-Encoding 'zzz'" in source.run.error


async def test_the_beginning_of_a_key_at_the_very_end_is_kept(mine: httpx.AsyncClient):
    async def script(wire: Wire) -> None:
        await wire.send(head() + chunk(b"data: " + CANARY[:9].encode()) + END)

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "GET", server.origin, headers={"x-api-key": CANARY}) as source:
            _ = [event async for event in source.aiter_sse()]
    assert source.run.raw == b"data: " + CANARY[:9].encode()
    assert source.run.frames["data"].tolist() == [CANARY[:9]]


async def test_packed_bytes_are_recorded_unpacked(mine: httpx.AsyncClient):
    async def script(wire: Wire) -> None:
        await wire.send(head(Content_Encoding="gzip") + chunk(gzip.compress(delta("Hello") + STOP + DONE)) + END)

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, provider="openai_chat") as source:
            events = [event async for event in source.aiter_sse()]
    assert len(events) == 3
    assert (source.run.outcome, source.run.text) == ("complete", "Hello")


async def test_an_event_beyond_the_limit_ends_the_recording_only(mine: httpx.AsyncClient):
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hello"), b"data: " + bytes(33 << 20), DONE)
        await wire.send(END)

    with serving(script) as server:
        async with streamnb.aconnect_sse(mine, "POST", server.origin, provider="openai_chat") as source:
            size = sum([len(data) async for data in source.response.aiter_raw()])
    assert size > 33 << 20
    assert (source.run.outcome, source.run.text) == ("limit", "Hello")
