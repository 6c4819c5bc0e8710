from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import openai
import pytest
import simulated
from fault_server import DONE, END, STOP, Wire, certified, chunk, delta, head, serving, trusting

import streamnb
from streamnb.errors import UsageError

STAMP = "kernel" if sys.platform == "linux" else "read"


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def package(request: pytest.FixtureRequest) -> ModuleType:
    """Each package with the transport made for it; a client refuses the other's."""
    found: ModuleType = request.param
    return found


@pytest.fixture
async def client(package: ModuleType) -> AsyncIterator[Any]:
    async with package.AsyncClient(transport=streamnb.timed_transport(package.__name__)) as client:
        yield client


async def echo(wire: Wire) -> None:
    await wire.reply(wire.request, "text/plain")


async def test_each_package_has_its_own_classes(package: ModuleType):
    kind = type(streamnb.timed_transport(package.__name__))
    assert issubclass(kind, package.AsyncBaseTransport)
    assert kind is type(streamnb.timed_transport(package.__name__))


async def test_a_reply_has_its_reads_and_timings_in_its_extensions(client: Any, package: ModuleType):
    async def script(wire: Wire) -> None:
        await wire.send(head(status="201 Made") + chunk(b"a") + END)

    with serving(script) as server:
        response = await client.get(server.origin)
        assert isinstance(response, package.Response)
        extensions = response.extensions
        assert (response.status_code, response.reason_phrase, response.http_version) == (201, "Made", "HTTP/1.1")
        assert extensions["network_stream"].get_extra_info("server_addr") == ("127.0.0.1", server.port)
        assert extensions["streamnb.timings"].transport == "direct"
        async with client.stream("GET", server.origin) as response:
            (read,) = [read async for read in response.extensions["streamnb.reads"]]
        assert (read.data, read.k_ns is not None) == (b"a", STAMP == "kernel")


async def test_auth_and_hooks_are_the_clients(package: ModuleType):
    seen: list[str] = []

    async def asked(request: Any) -> None:
        seen.append(request.method)

    async def replied(response: Any) -> None:
        seen.append(str(response.status_code))

    transport = streamnb.timed_transport(package.__name__)
    hooks = {"request": [asked], "response": [replied]}
    async with package.AsyncClient(transport=transport, auth=("me", "it"), event_hooks=hooks) as client:
        with serving(echo) as server:
            response = await client.get(server.origin)
    assert "authorization: basic bwu6axq=" in response.text.lower()
    assert seen == ["GET", "200"]


async def test_redirects_and_cookies_are_the_clients(client: Any):
    async def script(wire: Wire) -> None:
        if b"GET /there" in wire.request:
            await echo(wire)
        else:
            await wire.reply(b"", status="302 Found", Location="/there", Set_Cookie="taste=good")

    with serving(script) as server:
        assert (await client.get(server.origin)).status_code == 302
        response = await client.get(server.origin, follow_redirects=True)
        assert server.accepted == 1
    assert b"taste=good" in response.content
    assert [one.status_code for one in response.history] == [302]


async def test_an_upload_from_a_generator_goes_out_in_chunks(client: Any):
    async def script(wire: Wire) -> None:
        assert b"transfer-encoding: chunked" in wire.request.lower()
        body = await wire._reader.readuntil(b"0\r\n\r\n")
        await wire.reply(body)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"three"):
            yield piece

    with serving(script) as server:
        response = await client.post(server.origin, content=pieces())
    assert response.content == chunk(b"one") + chunk(b"three") + END


async def test_json_and_gzip_are_the_clients(client: Any):
    async def script(wire: Wire) -> None:
        await wire.reply(gzip.compress(json.dumps({"a": ["ä"] * 1000}).encode()), Content_Encoding="gzip")

    with serving(script) as server:
        assert (await client.post(server.origin, json={"b": 1})).json() == {"a": ["ä"] * 1000}
        assert server.requests[0].endswith(b'{"b":1}')


async def test_a_body_may_be_streamed_and_left(client: Any):
    async def endless(wire: Wire) -> None:
        await wire.head()
        await wire.repeat(chunk(b"x"), 0.001)

    with serving(endless) as server:
        async with client.stream("GET", server.origin) as response:
            async for part in response.aiter_bytes():
                assert part.strip(b"x") == b""
                break
        await asyncio.to_thread(server.wait_left)


async def test_the_end_mark_alone_is_no_piece_of_the_body(client: Any):
    with serving(Wire.obey) as server:
        server.tell(head())
        async with client.stream("GET", server.origin) as response:
            server.tell(chunk(b"a"))
            parts = response.aiter_raw()
            assert await anext(parts) == b"a"
            server.tell(END, None)
            assert [part async for part in parts] == []


async def test_errors_are_the_packages_own(client: Any, package: ModuleType):
    async def reset(wire: Wire) -> None:
        await wire.head()
        wire.reset()

    with serving(reset) as server, pytest.raises(package.ReadError) as caught:
        await client.get(server.origin)
    assert str(caught.value.request.url).rstrip("/") == server.origin
    with pytest.raises(package.ConnectError, match="nothing listens"):
        await client.get(server.origin)
    with serving(Wire.gone) as server, pytest.raises(package.ReadTimeout):
        await client.get(server.origin, timeout=0.05)


async def test_another_scheme_is_unsupported(package: ModuleType):
    transport = streamnb.timed_transport(package.__name__)
    with pytest.raises(package.UnsupportedProtocol, match="ftp:// is not http"):
        await transport.handle_async_request(package.Request("GET", "ftp://127.0.0.1/"))
    await transport.aclose()


async def test_trust_can_be_given_and_is_the_packages_without(package: ModuleType):
    with serving(echo, context=certified()) as server:
        transport = streamnb.timed_transport(package.__name__, ssl_context=trusting())
        async with package.AsyncClient(transport=transport) as client:
            assert (await client.get(server.origin)).status_code == 200
        transport = streamnb.timed_transport(package.__name__)
        async with package.AsyncClient(transport=transport) as client:
            for _ in range(2):
                with pytest.raises(package.ConnectError, match="certificate refused"):
                    await client.get(server.origin)


async def test_the_kernels_stamps_may_be_left_off(package: ModuleType):
    transport = streamnb.timed_transport(package.__name__, kernel_stamps=False)
    async with package.AsyncClient(transport=transport) as client:
        with serving(echo) as server:
            async with client.stream("GET", server.origin) as response:
                reads = [read async for read in response.extensions["streamnb.reads"]]
    assert {read.k_ns for read in reads} == {None}


async def test_a_closed_transport_serves_again(package: ModuleType):
    transport = streamnb.timed_transport(package.__name__)
    with serving(echo) as server:
        for _ in range(2):
            response = await transport.handle_async_request(package.Request("GET", server.origin))
            await response.aread()
            await transport.aclose()
        assert server.accepted == 2


def test_one_transport_serves_one_event_loop_after_another_and_leaks_nothing(package: ModuleType):
    transport = streamnb.timed_transport(package.__name__)

    async def once() -> int:
        response = await transport.handle_async_request(package.Request("GET", server.origin))
        await response.aread()
        return len(transport._cores)

    with serving(echo) as server:
        assert [asyncio.run(once()) for _ in range(4)] == [1, 1, 1, 1]
        assert server.accepted == 4
        server.wait_left(3)  # those of the loops that are no more
    (core,) = transport._cores.values()
    asyncio.run(core.aclose())


@pytest.mark.parametrize("name", ["requests", "httpx3", ""])
def test_for_another_package_there_is_no_transport(name: str):
    with pytest.raises(UsageError, match="there is a transport for httpx and one for httpx2"):
        streamnb.timed_transport(name)


def test_a_package_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(UsageError, match="httpx2 is not installed: pip install httpx2"):
        streamnb.timed_transport("httpx2")


# -- who uses it


async def test_openais_own_client_streams_through_it():
    transport = streamnb.timed_transport("httpx2")
    async with httpx2.AsyncClient(transport=transport) as http:
        api = openai.AsyncOpenAI(base_url=simulated.url() + "/v1", api_key="sk-dummy", http_client=http)
        stream = await api.chat.completions.create(
            model="m", stream=True, messages=[{"role": "user", "content": "hi"}]
        )  # fmt: skip
        text = "".join([part.choices[0].delta.content or "" async for part in stream if part.choices])
        assert stream.response.extensions["streamnb.timings"].transport == "direct"
        again = await api.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert text
    assert again.choices[0].message.content == text


async def test_a_recorded_sse_stream_on_it_has_the_sockets_own_stamps():
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("hel"), delta("lo"), STOP, DONE)
        await wire.send(END)

    with serving(script) as server:
        async with (
            httpx.AsyncClient(transport=streamnb.timed_transport()) as client,
            streamnb.aconnect_sse(client, "POST", server.origin, provider="openai_chat", record=False) as source,
        ):
            events = [event.data async for event in source.aiter_sse()]
        run = source.run
    assert events[-1] == "[DONE]"
    assert (run.text, run.outcome.value) == ("hello", "complete")
    assert set(run.chunks["stamp_source"]) == {STAMP}
    assert run.calls["transport"].tolist() == ["direct"]
    if STAMP == "kernel":
        assert (run.chunks["client_lag_s"] >= 0).all()
