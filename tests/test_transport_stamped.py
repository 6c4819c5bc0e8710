from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fault_server import (
    END,
    SSE,
    FaultServer,
    Script,
    Wire,
    authority,
    certified,
    chunk,
    head,
    serving,
    trusting,
    until,
)
from http2_server import Wire2, serving2
from proxy_server import forwarding, proxying

from streamnb.errors import UsageError
from streamnb.transport import Read, Route, StampedTransport, Timings, reply, stamps
from streamnb.transport.reads import framing

MIB = 1024 * 1024


@pytest.fixture(params=["direct", "h11", "httpcore"])
async def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StampedTransport]:
    """Each way a request can take: our own HTTP/1.1, the same where httptools is missing, httpcore's pool."""
    if request.param == "h11":
        monkeypatch.setattr(reply, "httptools", None)
    transport = StampedTransport(route=Route("httpcore" if request.param == "httpcore" else "direct"))
    yield transport
    await transport.aclose()


async def ask(transport: StampedTransport, server: FaultServer, path: str = "/", **headers: str) -> httpx.Response:
    return await transport.handle_async_request(httpx.Request("POST", server.origin + path, json={}, headers=headers))


async def reads(response: httpx.Response) -> list[Read]:
    return [read async for read in response.extensions["streamnb.reads"]]


async def body(transport: StampedTransport, server: FaultServer) -> bytes:
    return b"".join(read.data for read in await reads(await ask(transport, server)))


async def test_several_http_chunks_of_one_socket_read_are_one_read(transport: StampedTransport):
    async def script(wire: Wire) -> None:
        await wire.send(head() + chunk(b"one ") + chunk(b"two ") + chunk(b"three") + END)

    with serving(script) as server:
        (only,) = await reads(await ask(transport, server))
    assert (only.n, only.data, only.wire_bytes) == (0, b"one two three", server.written)


async def test_each_piece_of_an_http_chunk_that_comes_alone_is_a_read_of_its_own(transport: StampedTransport):
    with serving(Wire.obey) as server:
        server.tell(head())
        response = await ask(transport, server)
        iterator = response.extensions["streamnb.reads"]
        for told, expected in ((b"9\r\nab", b"ab"), (b"cdefg", b"cdefg"), (b"hi\r\n1\r", b"hi"), (b"\n!\r\n", b"!")):
            server.tell(told)
            assert (await anext(iterator)).data == expected
        server.tell(END, None)
        last = await anext(iterator)
        assert (last.data, last.wire_bytes) == (b"", len(END))  # the read that brought the end mark has a time too
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_a_read_has_the_time_at_which_it_came_and_times_never_decrease(transport: StampedTransport):
    with serving(Wire.obey) as server:
        server.tell(head())
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        stamps = []
        for piece in (b"a", b"b", b"c"):
            before = time.monotonic_ns()
            server.tell(chunk(piece))
            read = await anext(iterator)
            assert before <= read.t_ns <= time.monotonic_ns()
            stamps.append(read.t_ns)
        assert stamps == sorted(stamps)
        await iterator.aclose()


async def slowly(wire: Wire) -> None:
    for piece in (head()[:20], head()[20:], b"3\r", b"\nabc\r\n", b"0\r", b"\nTrailer: x\r\n", b"\r\n"):
        await wire.send(piece)
        await asyncio.sleep(0.01)


async def no_body(wire: Wire) -> None:
    await wire.reply(b"")


async def by_length(wire: Wire) -> None:
    await wire.send(head(Content_Length="6"), b"abc", b"def")


async def until_close(wire: Wire) -> None:
    await wire.send(head(Connection="close"), b"abc", b"def")
    wire.fin()


@pytest.mark.parametrize("script", [slowly, no_body, by_length, until_close])
async def test_wire_bytes_add_up_to_what_the_server_wrote(script, transport: StampedTransport):
    with serving(script) as server:
        for _ in range(2):
            before = server.written
            found = await reads(await ask(transport, server))
            assert sum(read.wire_bytes for read in found) == server.written - before
            assert [read.n for read in found] == list(range(len(found)))


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(b"x" * 1000), 0.001)


async def deaf(wire: Wire) -> None:
    """Writes as fast as it can and never looks at what the client says."""
    await wire.head()
    while True:
        await wire.chunks(bytes(65536))
        await asyncio.sleep(0)


@pytest.mark.parametrize("script", [endless, deaf])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_who_stops_reading_early_closes_the_socket_within_a_second(script: Script, secure: bool):
    transport = StampedTransport(trusting())
    with serving(script, context=certified() if secure else None) as server:
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        await anext(iterator)
        start = time.monotonic()
        await iterator.aclose()
        assert await asyncio.to_thread(server.wait_left) - start < 1
    await transport.aclose()


@pytest.mark.parametrize("where", ["connecting", "waiting for headers", "reading"])
async def test_a_cancelled_caller_closes_the_socket(where: str, transport: StampedTransport):
    async def script(wire: Wire) -> None:
        if where == "reading":
            await wire.head()
            await wire.chunks(b"x")
        await wire.gone()

    reached = asyncio.Event()
    before = len(asyncio.all_tasks())

    async def call() -> None:
        response = await ask(transport, server)
        async for _ in response.extensions["streamnb.reads"]:
            reached.set()

    with serving(script) as server:
        task = asyncio.create_task(call())
        if where != "connecting":
            await until(lambda: reached.is_set() or (server.requests and where == "waiting for headers"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if where != "connecting":
            await asyncio.to_thread(server.wait_left)
        assert len(asyncio.all_tasks()) == before


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(b"hello")
    await wire.send(END)


async def test_a_connection_is_used_again_and_then_name_and_connecting_cost_nothing(transport: StampedTransport):
    with serving(answer) as server:
        responses = []
        for _ in range(2):
            responses.append(await ask(transport, server))
            await reads(responses[-1])
        assert server.accepted == 1
    fresh, reused = (response.extensions["streamnb.timings"] for response in responses)
    assert (fresh.reused, reused.reused) == (False, True)
    assert fresh.dns_s > 0
    assert fresh.connect_s > 0
    assert all(math.isnan(value) for value in (reused.dns_s, reused.connect_s, reused.tls_s, fresh.tls_s))


async def test_the_stamps_of_a_request_come_in_their_order(transport: StampedTransport):
    told = []
    with serving(answer) as server:
        before = time.monotonic_ns()
        request = httpx.Request("GET", server.origin, extensions={"streamnb.on_t0": told.append})
        response = await transport.handle_async_request(request)
        (first, *_) = await reads(response)
    timings = response.extensions["streamnb.timings"]
    stamps = [before, timings.t0_ns, timings.sent_ns, timings.headers_ns, first.t_ns]
    assert stamps == sorted(stamps)
    assert told == [timings.t0_ns]
    assert request.extensions["streamnb.timings"] is timings


async def http2_answer(wire: Wire2) -> None:
    await wire.head()
    await wire.chunks(b"hello")
    await wire.end()


def its_fin_is_here(transport: StampedTransport) -> bool:
    if transport._pool is not None:
        return all(one.has_expired() for one in transport._pool._pool.connections)
    (core,) = transport._direct._cores.values()
    return not any(link.is_quiet() for kept in core._kept.values() for _, link in kept)


async def test_an_idle_connection_that_the_server_closed_is_not_used_again(transport: StampedTransport):
    async def once(wire: Wire) -> None:
        await answer(wire)
        wire.fin()

    with serving(once) as server:
        for _ in range(3):
            assert await body(transport, server) == b"hello"
            await until(lambda: its_fin_is_here(transport))
        assert server.accepted == 3


async def test_what_nobody_takes_is_bounded_and_nothing_is_lost_after(transport: StampedTransport):
    block, n = bytes(range(256)) * 1024, 256  # 64 MiB

    async def flood(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(*[block] * n)
        await wire.send(END)

    with serving(flood) as server:
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        digest = hashlib.sha256((await anext(iterator)).data)
        seen = -1
        while seen != server.written:  # until the server is stuck
            seen = server.written
            await asyncio.sleep(0.25)
        assert server.written < 40 * MIB
        async for read in iterator:
            digest.update(read.data)
    assert digest.digest() == hashlib.sha256(block * n).digest()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
async def test_ipv6_loopback_works(transport: StampedTransport):
    with serving(answer, host="::1") as server:
        assert await body(transport, server) == b"hello"
        assert f"host: [::1]:{server.port}".encode() in server.requests[0].lower()


async def test_over_tls_the_handshake_is_timed_and_trust_can_be_given():
    transport = StampedTransport(trusting())
    with serving(answer, context=certified()) as server:
        response = await ask(transport, server)
        assert b"".join([read.data for read in await reads(response)]) == b"hello"
        assert response.extensions["streamnb.timings"].tls_s > 0
        await transport.aclose()


async def test_by_default_our_own_authority_is_not_trusted(transport: StampedTransport):
    with serving(answer, context=certified()) as server:
        with pytest.raises(httpx.ConnectError, match="TLS: certificate refused"):
            await ask(transport, server)
        assert server.requests == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_a_reply_and_not_followed(status: str, transport: StampedTransport):
    async def script(wire: Wire) -> None:
        await wire.reply(b"", status=status, Location=f"{wire.server.origin}/elsewhere")

    with serving(script) as server:
        response = await ask(transport, server)
        await reads(response)
        assert response.status_code == int(status[:3])
        assert len(server.requests) == 1


async def test_proxies_and_netrc_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, dead)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary-password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    transport = StampedTransport()
    with serving(answer) as server:
        assert await body(transport, server) == b"hello"
        assert b"authorization" not in server.requests[0].lower()
        await transport.aclose()


async def reset(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"5\r\nab")
    wire.reset()


async def fin_in_chunk(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"5\r\nab")
    wire.fin()


async def short(wire: Wire) -> None:
    await wire.send(head(Content_Length="9") + b"ab")
    wire.fin()


async def garbage(wire: Wire) -> None:
    await wire.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    wire.fin()


async def huge_header(wire: Wire) -> None:
    await wire.send(head(X_Big="x" * 200_000))


async def bad_size(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"zz\r\nab\r\n")


async def silent_end(wire: Wire) -> None:
    wire.fin()


BROKEN = {
    reset: (httpx.ReadError, "Connection reset by peer"),
    fin_in_chunk: (httpx.RemoteProtocolError, "peer closed connection without sending complete message body"),
    short: (httpx.RemoteProtocolError, r"received 2 bytes, expected 9"),
    garbage: (httpx.RemoteProtocolError, "illegal (status line|head)"),
    huge_header: (httpx.RemoteProtocolError, "too much|Receive buffer too long|too large|longer than 102400 bytes"),
    bad_size: (httpx.RemoteProtocolError, "illegal (chunk header|body: Invalid character in chunk size)"),
    silent_end: (httpx.RemoteProtocolError, "disconnected without sending a response"),
}


@pytest.mark.parametrize("script", BROKEN, ids=lambda script: script.__name__)
async def test_what_breaks_http_is_an_error_of_httpx_and_the_next_request_works(script, transport: StampedTransport):
    kind, reason = BROKEN[script]
    with serving(script) as server, pytest.raises(kind, match=reason):
        await body(transport, server)
    with serving(answer) as server:
        assert await body(transport, server) == b"hello"


async def test_a_reset_hands_over_what_came_before_it(transport: StampedTransport):
    async def script(wire: Wire) -> None:
        await wire.obey()
        wire.reset()

    with serving(script) as server:
        server.tell(head(), chunk(b"kept"))
        iterator = (await ask(transport, server)).extensions["streamnb.reads"]
        assert (await anext(iterator)).data == b"kept"
        server.tell(b"5\r\nab")
        assert (await anext(iterator)).data == b"ab"
        server.tell(None)
        with pytest.raises(httpx.ReadError):
            await anext(iterator)


async def test_interim_replies_are_passed_over(transport: StampedTransport):
    async def script(wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await answer(wire)

    with serving(script) as server:
        found = await reads(await ask(transport, server))
    assert b"".join(read.data for read in found) == b"hello"
    assert sum(read.wire_bytes for read in found) == server.written


async def test_no_connection_is_an_error_of_httpx_and_tells_how_far_it_came(transport: StampedTransport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    request = httpx.Request("GET", f"http://127.0.0.1:{port}")
    with pytest.raises(httpx.ConnectError, match="nothing listens"):
        await transport.handle_async_request(request)
    timings = request.extensions["streamnb.timings"]
    assert (timings.t0_ns, timings.sent_ns, timings.reused) == (None, None, False)


async def test_a_scheme_that_is_not_http_is_an_error_of_httpx(transport: StampedTransport):
    with pytest.raises(httpx.UnsupportedProtocol):
        await transport.handle_async_request(httpx.Request("GET", "ftp://127.0.0.1/"))


async def test_it_serves_an_ordinary_httpx_client_too():
    with serving(answer) as server:
        async with httpx.AsyncClient(transport=StampedTransport()) as client:
            assert (await client.post(server.origin, json={})).text == "hello"
            async with client.stream("POST", server.origin) as response:
                assert [data async for data in response.aiter_raw()] == [b"hello"]
    with serving(reset) as server:
        async with httpx.AsyncClient(transport=StampedTransport()) as client:
            with pytest.raises(httpx.ReadError):
                await client.post(server.origin)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"transfer-encoding": "chunked"}, "chunked"),
        ({"transfer-encoding": "gzip, Chunked", "content-length": "3"}, "chunked"),
        ({"content-length": "3"}, "length"),
        ({}, "close"),
    ],
)
def test_the_framing_of_a_body_is_named(headers: dict[str, str], expected: str):
    assert framing(httpx.Headers(headers)) == expected


def test_nothing_happened_is_missing_and_not_zero():
    nothing = Timings()
    assert all(math.isnan(value) for value in (nothing.dns_s, nothing.connect_s, nothing.tls_s))
    assert (nothing.t0_ns, nothing.sent_ns, nothing.headers_ns) == (None, None, None)


async def test_one_byte_chunks_are_grouped_by_read_and_none_is_lost(transport: StampedTransport):
    n = 20_000

    async def crumbs(wire: Wire) -> None:
        await wire.head(SSE)
        await wire.send(chunk(b"x") * n + END)

    with serving(crumbs) as server:
        found = await reads(await ask(transport, server))
    assert sum(len(read.data) for read in found) == n
    assert len(found) < n / 100
    assert sum(read.wire_bytes for read in found) == server.written


async def test_an_abandoned_reply_is_closed_with_the_transport():
    transport = StampedTransport()
    with serving(Wire.obey) as server:
        server.tell(head(), chunk(b"x"))
        response = await ask(transport, server)
        with contextlib.suppress(StopAsyncIteration):
            await anext(response.extensions["streamnb.reads"])
        await response.extensions["streamnb.reads"].aclose()
        await response.aclose()
        await transport.aclose()
        await asyncio.to_thread(server.wait_left)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (Route("direkt"), "there is no transport 'direkt'.*direct"),  # type: ignore[arg-type]
        (Route("direct", proxy="http://127.0.0.1:1"), "the direct transport knows no proxies"),
        (Route("direct", uds="/s"), "no unix sockets"),
        (Route("direct", http2=True), "no HTTP/2: leave transport out"),
        (Route(proxy="socks5://me:canary@127.0.0.1:1"), "proxy wants an http:// or https:// address"),
        (Route(ca="/no/such/file"), r"ca: /no/such/file holds no certificates \(No such file"),
    ],
)
def test_a_route_that_cannot_be_is_refused(route: Route, said: str):
    with pytest.raises(UsageError, match=said) as caught:
        StampedTransport(route=route)
    assert "canary" not in str(caught.value)


async def test_a_route_may_bring_its_own_authority(tmp_path: Path):
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    for kind in ("direct", "httpcore"):
        transport = StampedTransport(route=Route(kind, ca=str(path)))  # type: ignore[arg-type]
        with serving(answer, context=certified()) as server:
            assert await body(transport, server) == b"hello"
        await transport.aclose()


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route(), "kernel" if stamps.SUPPORTED else "read"),
        (Route(kernel_stamps=False), "read"),
        (Route(proxy="http://127.0.0.1:1"), "read"),
        (Route(transport="httpcore"), "read"),
    ],
)
def test_a_route_knows_where_its_stamps_will_come_from(route: Route, expected: str):
    assert route.stamps == expected


def test_only_the_direct_transport_can_have_the_kernels_stamps():
    assert StampedTransport().kernel_stamps is stamps.SUPPORTED
    assert not StampedTransport(route=Route(kernel_stamps=False)).kernel_stamps
    assert not StampedTransport(route=Route("httpcore")).kernel_stamps
    assert not StampedTransport(route=Route(http2=True)).kernel_stamps


def test_a_body_of_http_2_always_marks_its_end():
    assert framing(httpx.Headers({}), "HTTP/2") == "chunked"
    assert framing(httpx.Headers({})) == "close"


def test_http_2_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "h2", None)
    with pytest.raises(UsageError, match=r'HTTP/2 needs one more package: pip install "streamnb\[http2\]"'):
        Route(http2=True).checked()
    assert Route(uds="/s").checked() == Route(uds="/s")


async def test_http_2_is_a_matter_of_https():
    transport = StampedTransport(trusting(), Route(http2=True))
    with serving2(http2_answer) as server:
        response = await ask(transport, server)
        assert b"".join([read.data for read in await reads(response)]) == b"hello"
        assert response.extensions["streamnb.timings"].transport == "httpcore-h2"
    with serving(answer) as server:
        with pytest.raises(UsageError, match="HTTP/2 needs https"):
            await ask(transport, server)
        assert server.accepted == 0
    await transport.aclose()


async def test_a_proxy_is_asked_by_the_pool_with_its_password():
    with serving(answer) as server, proxying("me:it") as proxy:
        transport = StampedTransport(route=Route(proxy=proxy.url("me:it@")))
        assert await body(transport, server) == b"hello"
        await transport.aclose()
        assert len(proxy.asked) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")
async def test_a_unix_socket_is_reached_by_the_pool_and_its_connecting_is_timed(tmp_path: Path):
    path = str(tmp_path / "s")
    with serving(answer) as server, forwarding(path, server.port):
        transport = StampedTransport(route=Route(uds=path))
        response = await ask(transport, server)
        assert b"".join([read.data for read in await reads(response)]) == b"hello"
        timings = response.extensions["streamnb.timings"]
        assert timings.connect_s > 0
        assert math.isnan(timings.dns_s)
        await transport.aclose()
