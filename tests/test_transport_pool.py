from __future__ import annotations

import httpx
import pytest
from fault_server import END, Wire, chunk, head, serving

from streamnb.transport.pool import PooledTransport


async def test_a_client_that_asks_for_plain_bytes_has_them_and_their_errors():
    async def script(wire: Wire) -> None:
        await wire.send(head() + chunk(b"one"))
        if b"/whole" in wire.request:
            await wire.send(chunk(b"two") + END)
        else:
            wire.reset()

    with serving(script) as server:
        async with httpx.AsyncClient(transport=PooledTransport()) as client:
            assert (await client.get(server.origin + "/whole")).content == b"onetwo"
            with pytest.raises(httpx.ReadError):
                await client.get(server.origin + "/cut")


async def test_who_pours_has_every_read_without_the_kernels_stamp_and_the_end():
    async def script(wire: Wire) -> None:
        await wire.send(head() + chunk(b"one"), chunk(b"two"), END)

    got: list[tuple[int | None, bytes]] = []
    transport = PooledTransport()
    with serving(script) as server:
        response = await transport.handle_async_request(httpx.Request("GET", server.origin))
        reads = response.extensions["streamnb.reads"]
        assert reads.end_ns is None
        await reads.pour(lambda _t, k_ns, _wire, data: got.append((k_ns, data)))
        assert b"".join(data for _, data in got) == b"onetwo"
        assert {k_ns for k_ns, _ in got} == {None}
        assert reads.end_ns is not None
        assert reads.paused_s == 0
    await transport.aclose()


async def test_an_unknown_scheme_is_httpxs_error():
    transport = PooledTransport()
    with pytest.raises(httpx.UnsupportedProtocol):
        await transport.handle_async_request(httpx.Request("GET", "ftp://127.0.0.1/"))
    await transport.aclose()


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("http://user:word@127.0.0.1:9", r"^127\.0\.0\.1:9: connection refused"),
        ("https://127.0.0.1:9", r"^127\.0\.0\.1:9: connection refused"),
        ("http://proxy.invalid", r"^the name proxy\.invalid cannot be resolved"),
    ],
)
async def test_a_proxy_that_cannot_be_reached_is_the_proxys_error(proxy: str, said: str):
    transport = PooledTransport(proxy=proxy)
    with pytest.raises(httpx.ProxyError, match=said):
        await transport.handle_async_request(httpx.Request("GET", "http://example.org"))


async def test_a_host_that_cannot_be_reached_is_not():
    with pytest.raises(httpx.ConnectError, match=r"^127\.0\.0\.1:9: connection refused"):
        await PooledTransport().handle_async_request(httpx.Request("GET", "http://127.0.0.1:9"))
