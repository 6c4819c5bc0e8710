from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fault_server import END, FaultServer, Wire, certified, chunk, head, serving, silent, trusting, until

from streamnb.errors import UsageError
from streamnb.transport import Route, StampedTransport, Timings, direct
from streamnb.transport.direct import KEPT, Direct, Order
from streamnb.transport.flight import Flight


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(b"hello")
    await wire.send(END)


async def hold(wire: Wire) -> None:
    await wire.gone()


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def large() -> AsyncIterator[bytes]:
    yield bytes(64 * 1024 * 1024)


def fault(kind: str, message: str) -> Exception:
    error: Exception = getattr(httpx, kind)(message)
    return error


def order(port: int, *, scheme: bytes = b"http", host: str = "127.0.0.1", **more: Any) -> Order:
    fields: dict[str, Any] = {
        "method": "GET",
        "target": b"/",
        "headers": [(b"Host", b"x")],
        "body": nothing(),
        "timeouts": {},
        **more,
    }
    return Order(
        fields["method"], (scheme, host, port), fields["target"], fields["headers"], fields["body"],
        fields["timeouts"], fault,
    )  # fmt: skip


@pytest.fixture
async def core() -> AsyncIterator[Direct]:
    core = Direct(trusting)
    yield core
    await core.aclose()


async def fetched(core: Direct, server: FaultServer, **more: Any) -> Flight:
    flight = await core.send(order(server.port, **more), Timings())
    assert b"".join([read.data async for read in flight]) == b"hello"
    return flight


# -- the request

FORBIDDEN = {
    "CR LF in a value": {"headers": [(b"A", b"b\r\nInjected: yes")]},
    "LF in a value": {"headers": [(b"A", b"b\nInjected: yes")]},
    "CR in a value": {"headers": [(b"A", b"b\rc")]},
    "NUL in a value": {"headers": [(b"A", b"b\0c")]},
    "a bell in a value": {"headers": [(b"A", b"b\x07c")]},
    "CR LF in a name": {"headers": [(b"A: b\r\nInjected", b"yes")]},
    "a space in a name": {"headers": [(b"A b", b"c")]},
    "a colon in a name": {"headers": [(b"A:", b"c")]},
    "no name": {"headers": [(b"", b"c")]},
    "CR LF in the path": {"target": b"/ HTTP/1.1\r\nInjected: yes\r\n"},
    "a space in the path": {"target": b"/a b"},
    "NUL in the path": {"target": b"/\0"},
    "an umlaut in the path": {"target": b"/\xc3\xa4"},
    "no path": {"target": b""},
    "a space in the method": {"method": "GET /x"},
    "CR LF in the method": {"method": "GET / HTTP/1.1\r\nInjected: yes\r\n\r\nGET"},
    "an umlaut in the method": {"method": "GÄT"},
    "no method": {"method": ""},
}


@pytest.mark.parametrize("case", FORBIDDEN.values(), ids=FORBIDDEN)
async def test_nothing_in_a_request_begins_a_line_of_its_own(case: dict[str, Any], core: Direct):
    with serving(answer) as server:
        with pytest.raises(httpx.LocalProtocolError, match="characters HTTP forbids"):
            await core.send(order(server.port, **case), Timings())
        assert server.accepted == 0


async def test_what_http_allows_goes_out_as_it_is(core: Direct):
    fields = [(b"Host", b"x"), (b"X-Odd!#$", b" \xe9\t~ "), (b"X-None", b"")]
    with serving(answer) as server:
        await fetched(core, server, method="M-SEARCH", target=b"/a%20b?c=%0D%0A#!~", headers=fields)
        (request,) = server.requests
    assert request == b"M-SEARCH /a%20b?c=%0D%0A#!~ HTTP/1.1\r\nHost: x\r\nX-Odd!#$:  \xe9\t~ \r\nX-None: \r\n\r\n"


async def test_head_is_read_by_h11_whatever_the_headers_are(core: Direct):
    async def script(wire: Wire) -> None:
        await wire.send(head(Content_Length="5"))

    with serving(script) as server:
        for _ in range(2):
            odd = order(server.port, method="HEAD", headers=[(b"X", b" odd ")])
            flight = await core.send(odd, Timings())
            assert [read.data async for read in flight] == [b""]
        assert server.accepted == 1


async def test_nobody_listening_is_a_connect_error(core: Direct):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(httpx.ConnectError, match="nothing listens there"):
        await core.send(order(port), Timings())


# -- timeouts


async def test_a_host_that_does_not_answer_is_a_connect_timeout(core: Direct):
    with silent() as port, pytest.raises(httpx.ConnectTimeout, match=r"did not answer within 0\.1 s"):
        await core.send(order(port, timeouts={"connect": 0.1}), Timings())


async def test_a_handshake_that_hangs_is_a_connect_timeout(core: Direct):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(httpx.ConnectTimeout, match=r"TLS took longer than 0\.1 s"):
            await core.send(order(port, scheme=b"https", timeouts={"connect": 0.1}), Timings())


@pytest.mark.parametrize("limit_s", [None, 5])
async def test_a_handshake_that_breaks_is_a_connect_error(limit_s: float | None, core: Direct):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ordered = order(listener.getsockname()[1], scheme=b"https", timeouts={"connect": limit_s})
        sending = asyncio.create_task(core.send(ordered, Timings()))
        accepted, _ = await asyncio.to_thread(listener.accept)
        accepted.close()
        with pytest.raises(httpx.ConnectError, match="TLS: "):
            await sending


async def test_a_cancelled_handshake_closes_the_socket(core: Direct):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sending = asyncio.create_task(core.send(order(listener.getsockname()[1], scheme=b"https"), Timings()))
        accepted, _ = await asyncio.to_thread(listener.accept)
        with accepted:
            assert await asyncio.to_thread(accepted.recv, 65536)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            accepted.settimeout(10)
            assert await asyncio.to_thread(accepted.recv, 65536) == b""


async def test_a_silent_server_is_a_read_timeout(core: Direct):
    with serving(hold) as server:
        with pytest.raises(httpx.ReadTimeout, match=r"no byte for 0\.05 s"):
            await core.send(order(server.port, timeouts={"read": 0.05}), Timings())
        await asyncio.to_thread(server.wait_left)


async def test_a_server_that_does_not_take_the_request_is_a_write_timeout_and_closed(core: Direct):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ordered = order(listener.getsockname()[1], body=large(), timeouts={"write": 0.05})
        with pytest.raises(httpx.WriteTimeout, match=r"could not send for 0\.05 s"):
            await core.send(ordered, Timings())
    assert not core._flights


async def test_an_error_of_the_callers_body_is_the_callers_and_closes_the_socket(core: Direct):
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise FileNotFoundError

    with serving(hold) as server:
        headers = [(b"Host", b"x"), (b"Transfer-Encoding", b"chunked")]
        with pytest.raises(FileNotFoundError):
            await core.send(order(server.port, body=broken(), headers=headers), Timings())
    assert not core._flights


# -- connections that are kept


async def test_kept_connections_are_few_and_the_oldest_goes_first(core: Direct):
    async def together(wire: Wire) -> None:
        await wire.head()
        await until(lambda: len(wire.server.requests) == KEPT + 5)
        await wire.chunks(b"hello")
        await wire.send(END)

    with serving(together) as server:
        flights = await asyncio.gather(*[core.send(order(server.port), Timings()) for _ in range(KEPT + 5)])
        links = [flight.network_stream for flight in flights]
        await asyncio.gather(*[flight.pour(lambda *_: None) for flight in flights])
        assert sum(map(len, core._kept.values())) == KEPT
        assert sum(not link.closed for link in links) == KEPT
        await asyncio.to_thread(server.wait_left, 5)


async def test_a_connection_that_was_kept_too_long_is_not_used_again(core: Direct, monkeypatch: pytest.MonkeyPatch):
    with serving(answer) as server:
        await fetched(core, server)
        monkeypatch.setattr(direct, "KEPT_S", 0.0)
        await fetched(core, server)
        assert server.accepted == 2
        await asyncio.to_thread(server.wait_left)


async def test_a_kept_connection_that_hears_something_is_closed(core: Direct):
    async def chatty(wire: Wire) -> None:
        await answer(wire)
        await wire.server.told.get()
        await wire.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    with serving(chatty) as server:
        link = (await fetched(core, server)).network_stream
        server.tell(None)
        await until(lambda: link.closed)
        await fetched(core, server)
        assert server.accepted == 2


async def test_a_reply_that_was_split_by_the_server_does_not_answer_the_next_request(core: Direct):
    async def split(wire: Wire) -> None:
        await wire.send(head() + chunk(b"hello") + END + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfor")

    with serving(split) as server:
        for _ in range(2):
            await fetched(core, server)
        assert server.accepted == 2


async def test_a_request_that_says_close_is_the_last_of_its_connection(core: Direct):
    with serving(answer) as server:
        for _ in range(2):
            await fetched(core, server, headers=[(b"Host", b"x"), (b"Connection", b"close")])
        assert server.accepted == 2


# -- turns


async def test_requests_leave_one_in_each_round_of_the_loop(core: Direct):
    loop = asyncio.get_running_loop()
    rounds: list[int] = []

    def count() -> None:
        rounds.append(0)
        loop.call_soon(count)

    with serving(answer) as server:
        count()
        left: list[int] = []
        timings = [Timings(on_t0=lambda _: left.append(len(rounds))) for _ in range(6)]
        flights = await asyncio.gather(*(core.send(order(server.port), one) for one in timings))
        for flight in flights:
            assert b"".join(await drained(flight)) == b"hello"
    assert len(set(left)) == 6


async def test_who_gives_up_before_his_turn_sends_nothing_and_closes(core: Direct, monkeypatch: pytest.MonkeyPatch):
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr("streamnb.transport.direct.turn", lambda: turn)
    with serving(answer) as server:
        sending = asyncio.create_task(core.send(order(server.port), Timings()))
        await until(lambda: core._flights)
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled()
        assert (server.requests, core._flights, core._kept) == ([], set(), {})
        await asyncio.to_thread(server.wait_left, 1)


# -- the end


async def test_closing_it_closes_idle_connections_and_replies_that_somebody_reads():
    async def script(wire: Wire) -> None:
        await (answer if b"/idle" in wire.request else part)(wire)

    async def part(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(b"a")
        await wire.gone()

    core = Direct(trusting)
    with serving(script) as server:
        await fetched(core, server, target=b"/idle")
        flights = [await core.send(order(server.port), Timings()) for _ in range(2)]
        waiting = asyncio.create_task(drained(flights[0]))
        await until(lambda: flights[0]._waiter is not None and flights[1]._queue)
        await core.aclose()
        with pytest.raises(httpx.ReadError, match="the transport was closed"):
            await waiting
        assert (await anext(flights[1])).data == b"a"
        with pytest.raises(httpx.ReadError, match="the transport was closed"):
            await anext(flights[1])
        await asyncio.to_thread(server.wait_left, 2)
    assert (core._flights, core._kept) == (set(), {})


async def drained(flight: Flight) -> list[bytes]:
    return [read.data async for read in flight]


async def test_closing_it_under_who_waits_for_a_head_is_an_error_and_no_hang():
    core = Direct(trusting, kernel_stamps=False)
    with serving(hold) as server:
        sending = asyncio.create_task(core.send(order(server.port), Timings()))
        await until(lambda: server.requests)
        await core.aclose()
        with pytest.raises(httpx.ReadError, match="the transport was closed"):
            await asyncio.wait_for(sending, 10)


# -- event loops that do not watch sockets


class Unwatching(asyncio.SelectorEventLoop):
    """As Windows' default: it does not watch sockets for others."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        raise NotImplementedError


def on_windows(work: Callable[[], Any]) -> Any:
    with contextlib.closing(Unwatching()) as loop:
        return loop.run_until_complete(work())


@pytest.mark.skipif(sys.platform == "win32", reason="the default there")
def test_where_sockets_are_not_watched_the_pool_serves():
    async def work() -> list[str]:
        transport, used = StampedTransport(), []
        for _ in range(2):
            response = await transport.handle_async_request(httpx.Request("GET", server.origin))
            data = [read.data async for read in response.extensions["streamnb.reads"]]
            assert b"".join(data) == b"hello"
            used.append(response.extensions["streamnb.timings"].transport)
        await transport.aclose()
        return used

    with serving(answer) as server:
        assert on_windows(work) == ["httpcore", "httpcore"]
        assert len(server.requests) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the default there")
def test_several_requests_at_once_find_out_together():
    async def work() -> list[bytes]:
        transport = StampedTransport()
        one, two = httpx.Request("GET", server.origin), httpx.Request("GET", server.origin)
        responses = await asyncio.gather(*map(transport.handle_async_request, (one, two)))
        bodies = [await response.aread() for response in responses]
        await transport.aclose()
        return bodies

    with serving(answer) as server:
        assert on_windows(work) == [b"hello", b"hello"]


@pytest.mark.skipif(sys.platform == "win32", reason="the default there")
def test_who_insists_on_the_direct_transport_is_told():
    async def work() -> None:
        transport = StampedTransport(route=Route("direct"))
        try:
            await transport.handle_async_request(httpx.Request("GET", server.origin))
        finally:
            await transport.aclose()

    with serving(answer) as server:
        with pytest.raises(UsageError, match="this event loop does not watch sockets"):
            on_windows(work)
        assert server.requests == []


async def test_tls_works_with_the_kernels_stamps_and_without():
    for stamped in (True, False):
        core = Direct(trusting, kernel_stamps=stamped)
        with serving(answer, context=certified()) as server:
            flight = await fetched(core, server, scheme=b"https")
            assert isinstance(flight.network_stream.get_extra_info("ssl_object"), ssl.SSLObject)
        await core.aclose()
