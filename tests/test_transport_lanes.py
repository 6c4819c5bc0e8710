"""HTTP/2: one request at a time on a connection, every read stamped, and nothing lost that came before a fault."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fault_server import END, FaultServer, Wire, serving, trusting, until
from http2_server import ENDS, Wire2, data, frame, goaway, ping, reset, serving2
from proxy_server import forwarding, proxying

from streamnb.transport import Read
from streamnb.transport.pool import PooledTransport

MIB = 1024 * 1024


@pytest.fixture
async def transport() -> AsyncIterator[PooledTransport]:
    transport = PooledTransport(trusting(), http2=True)
    yield transport
    await transport.aclose()


async def ask(transport: PooledTransport, server: FaultServer, **headers: str) -> httpx.Response:
    return await transport.handle_async_request(httpx.Request("POST", server.origin, json={"a": 1}, headers=headers))


async def reads(response: httpx.Response) -> list[Read]:
    found = [read async for read in response.extensions["streamnb.reads"]]
    await response.aclose()
    return found


def joined(found: list[Read]) -> bytes:
    return b"".join(read.data for read in found)


async def body(transport: PooledTransport, server: FaultServer) -> bytes:
    return joined(await reads(await ask(transport, server)))


async def closed(transport: PooledTransport, response: httpx.Response) -> None:
    """Close, and wait until who stands between has closed too."""
    network = response.extensions["network_stream"]
    await transport.aclose()
    await until(lambda: network._protocol.eof)


async def broken(response: httpx.Response, kind: type[Exception], said: str) -> list[Read]:
    """What came before the error."""
    found: list[Read] = []
    with pytest.raises(kind, match=said):
        await response.extensions["streamnb.reads"].pour(lambda *read: found.append(Read(0, read[0], read[2], read[3])))
    return found


async def answer(wire: Wire2) -> None:
    await wire.head()
    await wire.chunks(b"hel", b"lo")
    await wire.end()


async def obey(wire: Wire2) -> None:
    await wire.head()
    await wire.obey()


# -- reads


async def test_each_socket_read_is_one_read_with_its_time_and_its_bytes(transport: PooledTransport):
    with serving2(obey) as server:
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        server.tell(data(b"first"))
        assert (await anext(iterator)).data == b"first"
        stamps = []
        for told, expected in (
            (data(b"a"), b"a"),
            (data(b"b") + data(b"c") + data(b"def"), b"bcdef"),
            (ping() + data(b""), None),
            (data(b"ghij")[:11], None),
            (data(b"ghij")[11:] + data(b"k")[:9], b"ghij"),
            (data(b"k")[9:], b"k"),
        ):
            before, had = time.monotonic_ns(), server.written
            server.tell(told)
            if expected is None:
                await until(lambda had=had, told=told: server.written == had + len(told))
                continue
            read = await anext(iterator)
            assert read.data == expected
            assert before <= read.t_ns <= time.monotonic_ns()
            stamps.append(read.t_ns)
        assert stamps == sorted(stamps)
        server.tell(data(b"", flags=ENDS), None)
        last = await anext(iterator)
        assert (last.data, last.wire_bytes) == (b"", 9)
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def at_once(wire: Wire2) -> None:
    await wire.send(wire.headers() + data(b"one ", wire.stream) + data(b"two", wire.stream, ENDS))


async def no_body(wire: Wire2) -> None:
    await wire.send(wire.headers(status="204", end=True))


async def crumbs(wire: Wire2) -> None:
    await wire.head()
    for byte in data(b"abc", wire.stream) + data(b"de", wire.stream, ENDS):
        await wire.send(bytes([byte]))
        await asyncio.sleep(0.001)


async def with_trailers(wire: Wire2) -> None:
    wire.h2.send_headers(wire.stream, [(":status", "103"), ("link", "</x>")])
    await wire.flush()
    await wire.head()
    await wire.send(data(b"body", wire.stream) + wire.trailers(x_sum="1"))


@pytest.mark.parametrize("script", [answer, at_once, no_body, crumbs, with_trailers])
async def test_wire_bytes_add_up_to_what_the_server_wrote(script, transport: PooledTransport):
    expected = {answer: b"hello", at_once: b"one two", no_body: b"", crumbs: b"abcde", with_trailers: b"body"}[script]
    with serving2(script) as server:
        for _ in range(3):
            before = server.written
            found = await reads(await ask(transport, server))
            assert sum(read.wire_bytes for read in found) == server.written - before
            assert [read.n for read in found] == list(range(len(found)))
            assert joined(found) == expected
        assert server.accepted == 1


async def test_one_byte_frames_are_grouped_by_read_and_none_is_lost(transport: PooledTransport):
    n = 20_000

    async def script(wire: Wire2) -> None:
        await wire.send(wire.headers() + data(b"x", wire.stream) * n + data(b"", wire.stream, ENDS))

    with serving2(script) as server:
        found = await reads(await ask(transport, server))
        assert sum(read.wire_bytes for read in found) == server.written
    assert joined(found) == b"x" * n
    assert len(found) < n / 100


async def test_what_nobody_takes_is_bounded_and_nothing_is_lost_after(transport: PooledTransport):
    block, n = bytes(range(256)) * 4096, 64  # 64 MiB

    async def script(wire: Wire2) -> None:
        await wire.head()
        for _ in range(n):
            await wire.flood(block)
        await wire.end()

    with serving2(script) as server:
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        digest = hashlib.sha256((await anext(iterator)).data)
        seen = -1
        while seen != server.written:  # until the server is stuck
            seen = server.written
            await asyncio.sleep(0.25)
        assert server.written < 48 * MIB
        async for read in iterator:
            digest.update(read.data)
    assert digest.digest() == hashlib.sha256(block * n).digest()


async def test_a_large_request_waits_for_the_servers_window_and_goes_out_whole(transport: PooledTransport):
    async def script(wire: Wire2) -> None:
        await wire.send(wire.headers() + data(b"%d" % wire.request.count(b"#"), wire.stream, ENDS))

    with serving2(script) as server:
        request = httpx.Request("POST", server.origin, content=b"#" * MIB)
        response = await transport.handle_async_request(request)
        assert joined(await reads(response)) == b"%d" % MIB


# -- one at a time


async def test_a_connection_is_used_again_and_then_name_and_connecting_cost_nothing(transport: PooledTransport):
    told = []
    with serving2(answer) as server:
        responses = []
        for _ in range(2):
            request = httpx.Request("GET", server.origin, extensions={"streamnb.on_t0": told.append})
            responses.append(await transport.handle_async_request(request))
            first = (await reads(responses[-1]))[0]
            timings = responses[-1].extensions["streamnb.timings"]
            stamps = [timings.t0_ns, timings.sent_ns, timings.headers_ns, first.t_ns]
            assert stamps == sorted(stamps)
        assert server.accepted == 1
    fresh, reused = (response.extensions["streamnb.timings"] for response in responses)
    assert told == [fresh.t0_ns, reused.t0_ns]
    assert (fresh.reused, reused.reused) == (False, True)
    assert (fresh.transport, reused.transport) == ("httpcore-h2", "httpcore-h2")
    assert min(fresh.dns_s, fresh.connect_s, fresh.tls_s) > 0
    assert all(math.isnan(value) for value in (reused.dns_s, reused.connect_s, reused.tls_s))


async def test_requests_at_the_same_time_have_a_connection_each_and_both_are_kept(transport: PooledTransport):
    async def script(wire: Wire2) -> None:
        await wire.head()
        told = await wire.server.told.get()
        await wire.send(data(told, wire.stream, ENDS))

    with serving2(script) as server:
        one, two = await asyncio.gather(ask(transport, server), ask(transport, server))
        assert server.accepted == 2
        server.tell(b"x", b"x")
        assert [joined(found) for found in await asyncio.gather(reads(one), reads(two))] == [b"x", b"x"]
        for _ in range(2):
            server.tell(b"y")
            assert await body(transport, server) == b"y"
        assert server.accepted == 2


async def test_another_server_has_a_connection_of_its_own(transport: PooledTransport):
    with serving2(answer) as server, serving2(answer) as other:
        for one in (server, other, server, other):
            assert await body(transport, one) == b"hello"
        assert (server.accepted, other.accepted) == (1, 1)


async def test_of_many_idle_connections_twenty_are_kept(transport: PooledTransport):
    with serving2(answer) as server:
        responses = [await ask(transport, server) for _ in range(22)]
        for response in responses:
            await reads(response)
        assert server.accepted == 22
        assert len(transport._pool._idle) == len(transport._pool._all) == 20


@pytest.mark.parametrize(
    ("came", "again"),
    [
        (ping(), True),
        (goaway(1), False),
        (ping()[:12], False),
        (data(b"early", stream=3), False),
        (None, False),
    ],
    ids=["ping", "goaway", "half a frame", "a reply to nothing", "end"],
)
async def test_what_comes_to_an_idle_connection_is_of_no_reply_and_may_end_it(
    came: bytes | None, again: bool, transport: PooledTransport
):
    async def script(wire: Wire2) -> None:
        await answer(wire)
        if wire.stream == 1:
            if (told := await wire.server.told.get()) is None:
                await wire.bye()
            await wire.send(told)

    with serving2(script) as server:
        await body(transport, server)
        server.tell(came)
        (lane,) = transport._pool._idle
        await until(lambda: lane.network.get_extra_info("is_readable"))
        before = server.written
        found = await reads(await ask(transport, server))
        assert joined(found) == b"hello"
        if again:  # the answer to our answer to its settings may be among them otherwise
            assert sum(read.wire_bytes for read in found) == server.written - before
        assert server.accepted == (1 if again else 2)


async def test_a_reply_let_go_of_early_closes_its_connection(transport: PooledTransport):
    with serving2(obey) as server:
        response = await ask(transport, server)
        server.tell(data(b"x"))
        iterator = response.extensions["streamnb.reads"]
        assert (await anext(iterator)).data == b"x"
        await iterator.aclose()
        await response.aclose()
        await asyncio.to_thread(server.wait_left)
        server.tell(data(b"y", flags=ENDS), None)
        assert await body(transport, server) == b"y"
        assert server.accepted == 2


@pytest.mark.parametrize("where", ["connecting", "waiting for headers", "reading"])
async def test_a_cancelled_caller_closes_the_connection(where: str, transport: PooledTransport):
    async def script(wire: Wire2) -> None:
        if where == "reading":
            await wire.head()
            await wire.chunks(b"x")
        await wire.gone()

    reached = asyncio.Event()

    async def call() -> None:
        async for _ in (await ask(transport, server)).extensions["streamnb.reads"]:
            reached.set()

    with serving2(script) as server:
        task = asyncio.create_task(call())
        if where != "connecting":
            await until(lambda: reached.is_set() or (server.requests and where == "waiting for headers"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if where != "connecting":
            await asyncio.to_thread(server.wait_left)
        assert not transport._pool._idle


async def test_closing_the_transport_closes_what_is_under_way_and_nothing_comes_back(transport: PooledTransport):
    with serving2(obey) as server:
        response = await ask(transport, server)
        server.tell(data(b"x"))
        iterator = response.extensions["streamnb.reads"]
        await anext(iterator)
        await transport.aclose()
        await asyncio.to_thread(server.wait_left)
        await iterator.aclose()
        assert not transport._pool._all
        assert not transport._pool._idle


# -- faults


def sending(*pieces: bytes, fin: bool = False, **headers: str) -> object:
    """A script whose reply and fault come with one write."""

    async def script(wire: Wire2) -> None:
        await wire.send(wire.headers(**headers) + b"".join(pieces))
        if fin:
            await wire.bye()
        await wire.gone()

    return script


BROKEN = {
    "reset": (sending(data(b"ab"), reset(2)), httpx.ReadError, r"^the server reset the stream \(INTERNAL_ERROR\)$"),
    "reset, unknown": (sending(data(b"ab"), reset(99)), httpx.ReadError, r"reset the stream \(99\)"),
    "goaway, error": (
        sending(data(b"ab"), goaway(1, 11, b"too much")),
        httpx.ReadError,
        r"^the server said goodbye \(ENHANCE_YOUR_CALM: too much\)$",
    ),
    "goaway, binary": (sending(data(b"ab"), goaway(1, 2, b"\0")), httpx.ReadError, r"goodbye \(INTERNAL_ERROR\)$"),
    "goaway, long": (sending(data(b"ab"), goaway(1, 2, b"x" * 999)), httpx.ReadError, r"\(INTERNAL_ERROR\)$"),
    "goaway, gone": (sending(data(b"a"), goaway(1), data(b"b"), fin=True), httpx.ReadError, r"goodbye \(NO_ERROR\)$"),
    "gone": (sending(data(b"ab"), fin=True), httpx.RemoteProtocolError, "disconnected"),
    "gone in a frame": (sending(data(b"ab"), data(b"cd")[:10], fin=True), httpx.RemoteProtocolError, "disconnected"),
    "too large": (
        sending(data(b"ab"), frame(0, 0, 1, bytes(20_000))),
        httpx.RemoteProtocolError,
        "frame of 20000 bytes",
    ),
    "nonsense": (sending(data(b"ab"), data(b"x", stream=0)), httpx.RemoteProtocolError, "."),
    "too short": (
        sending(data(b"ab", flags=ENDS), content_length="9"),
        httpx.RemoteProtocolError,
        "Expected 9 bytes, received 2",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_came_before_a_fault_is_kept_and_the_fault_is_named(case: str, transport: PooledTransport):
    script, kind, said = BROKEN[case]
    with serving2(script) as server:
        found = await broken(await ask(transport, server), kind, said)
        assert joined(found) == b"ab"
        assert not transport._pool._all
        if case != "too large":
            assert sum(read.wire_bytes for read in found) == server.written


async def test_a_connection_that_is_torn_down_is_an_error_and_keeps_what_came(transport: PooledTransport):
    async def script(wire: Wire2) -> None:
        await wire.head()
        await wire.obey()
        wire.reset()

    with serving2(script) as server:
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        server.tell(data(b"ab"))
        assert (await anext(iterator)).data == b"ab"
        server.tell(None)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await anext(iterator)


async def test_a_server_that_says_goodbye_finishes_its_reply_and_is_asked_on_another_connection(
    transport: PooledTransport,
):
    async def script(wire: Wire2) -> None:
        await wire.send(wire.headers() + goaway(2**31 - 1) + data(b"a") + goaway(1) + data(b"b", flags=ENDS))

    with serving2(script) as server:
        for n in (1, 2):
            before = server.written
            found = await reads(await ask(transport, server))
            assert joined(found) == b"ab"
            assert sum(read.wire_bytes for read in found) == server.written - before
            assert server.accepted == n


async def refuse(wire: Wire2) -> None:
    if wire.stream == 1:
        await answer(wire)
    else:
        await wire.send(goaway(1))
        await wire.gone()


async def refuse_late(wire: Wire2) -> None:
    if wire.stream == 1:
        await answer(wire)
    else:
        await wire.send(wire.headers() + data(b"x", 3) + goaway(1))
        await wire.gone()


async def test_a_request_that_the_server_dropped_is_not_sent_again(transport: PooledTransport):
    told = []
    with serving2(refuse) as server:
        await body(transport, server)
        request = httpx.Request("GET", server.origin, extensions={"streamnb.on_t0": told.append})
        with pytest.raises(httpx.ReadError, match="said goodbye and dropped the request"):
            await transport.handle_async_request(request)
        assert (server.accepted, len(server.requests), len(told)) == (1, 2, 1)
        assert request.extensions["streamnb.timings"].transport == "httpcore-h2"


async def test_a_reply_that_the_server_drops_after_it_began_is_an_error(transport: PooledTransport):
    with serving2(refuse_late) as server:
        await body(transport, server)
        found = await broken(await ask(transport, server), httpx.ReadError, "said goodbye and dropped the request")
        assert joined(found) == b"x"


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        (reset(7), r"reset the stream \(REFUSED_STREAM\)"),
        (goaway(0), r"goodbye \(NO_ERROR\)"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of 4740180 bytes, where 16384 are allowed"),
        (None, "disconnected"),
    ],
    ids=["reset", "goaway", "not HTTP/2", "fin"],
)
async def test_no_reply_at_all_is_an_error_that_says_why(piece: bytes | None, said: str, transport: PooledTransport):
    async def script(wire: Wire2) -> None:
        if piece is None:
            await wire.bye()
        await wire.send(piece)
        await wire.gone()

    with serving2(script) as server:
        with pytest.raises(httpx.TransportError, match=said):
            await ask(transport, server)
        assert not transport._pool._all


# -- around it


async def test_a_server_that_speaks_only_http_1_1_is_spoken_to_in_it(transport: PooledTransport):
    async def old(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(b"old")
        await wire.send(END)

    with serving2(old, ("http/1.1",)) as server:
        for n in range(3):
            before = server.written
            response = await ask(transport, server)
            found = await reads(response)
            timings = response.extensions["streamnb.timings"]
            assert (joined(found), timings.transport, timings.reused) == (b"old", "httpcore", n > 0)
            assert sum(read.wire_bytes for read in found) == server.written - before
        assert server.accepted == 1


async def test_http_2_is_offered_before_http_1_1(transport: PooledTransport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        task = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", url)))
        accepted, _ = await asyncio.to_thread(listener.accept)
        with accepted:
            hello = await asyncio.to_thread(accepted.recv, 65536)
        assert b"\x02h2\x08http/1.1" in hello
        with pytest.raises(httpx.ConnectError):
            await task


async def test_who_does_not_ask_for_it_does_not_get_it():
    transport = PooledTransport(trusting())

    async def old(wire: Wire) -> None:
        assert not isinstance(wire, Wire2)
        await wire.reply(b"{}")

    with serving2(old) as server:
        assert await body(transport, server) == b"{}"
        await transport.aclose()


async def test_a_proxy_tunnels_it_and_its_own_answer_is_not_counted():
    with serving2(answer) as server, proxying() as proxy:
        through = PooledTransport(trusting(), http2=True, proxy=proxy.url())
        for _ in range(2):
            before = server.written
            response = await ask(through, server)
            found = await reads(response)
            assert joined(found) == b"hello"
            assert sum(read.wire_bytes for read in found) == server.written - before
            assert response.extensions["streamnb.timings"].transport == "httpcore-h2"
        assert len(proxy.asked) == server.accepted == 1
        await closed(through, response)


@pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")
async def test_a_unix_socket_carries_it_too(tmp_path: Path):
    path = str(tmp_path / "s")
    with serving2(answer) as server, forwarding(path, server.port):
        transport = PooledTransport(trusting(), http2=True, uds=path)
        response = await ask(transport, server)
        assert joined(await reads(response)) == b"hello"
        await closed(transport, response)


async def test_a_client_that_asks_for_plain_bytes_has_them_and_their_errors():
    async def script(wire: Wire2) -> None:
        if b"/cut" in wire.request:
            await wire.send(wire.headers() + data(b"one", wire.stream) + reset(2, wire.stream))
            await wire.gone()
        else:
            await at_once(wire)

    with serving2(script) as server:
        async with httpx.AsyncClient(transport=PooledTransport(trusting(), http2=True)) as client:
            for _ in range(2):
                response = await client.get(server.origin)
                assert (response.content, response.http_version) == (b"one two", "HTTP/2")
            with pytest.raises(httpx.ReadError, match="INTERNAL_ERROR"):
                await client.get(server.origin + "/cut")
            assert server.accepted == 1


async def test_our_requests_leave_no_record_of_their_headers(
    caplog: pytest.LogCaptureFixture, transport: PooledTransport
):
    key = "canary-0123456789"

    async def echo(wire: Wire2) -> None:
        await wire.send(wire.headers(x_echo=key) + data(b"x", wire.stream) + wire.trailers(x_again=key))

    with serving2(echo) as server:
        caplog.set_level(logging.DEBUG)
        assert joined(await reads(await ask(transport, server, x_api_key=key))) == b"x"
        await transport.aclose()
    ours = [record.getMessage() for record in caplog.records if record.threadName == "MainThread"]
    assert not [said for said in ours if key in said]
    assert ours  # asyncio's own


async def test_a_plain_http_address_is_spoken_to_in_http_1_1_by_the_pool_itself(transport: PooledTransport):
    async def old(wire: Wire) -> None:
        await wire.reply(b"{}")

    with serving(old) as server:
        assert await body(transport, server) == b"{}"
