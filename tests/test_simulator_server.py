from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from streamnb.simulator.play import TRANSPORT
from streamnb.simulator.server import Protocol, bind


async def one_request(app: ASGIApp) -> None:
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None)
    listener = bind("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(
        lambda: Protocol(config=config, server_state=ServerState(), app_state={}), sock=listener
    )
    async with server:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        await writer.wait_closed()


def test_the_transport_is_within_reach_and_small_writes_leave_at_once():
    options = []

    async def app(scope, receive, send):
        wire = scope[TRANSPORT].get_extra_info("socket")
        options.append(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await PlainTextResponse("hello")(scope, receive, send)

    asyncio.run(one_request(app))
    assert options == [1]


def test_port_0_takes_a_free_port():
    with bind("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_taken_port_is_refused():
    with bind("127.0.0.1", 0) as listener, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", listener.getsockname()[1])
