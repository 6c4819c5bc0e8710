"""uvicorn as this package needs it: a bound socket, no delay, each write at once, the transport within reach.

Knows sockets and uvicorn. Must not know: any API, scenarios.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamnb.simulator.play import TRANSPORT

_KEEP_ALIVE_S: Final = 300
_SHUTDOWN_S: Final = 1


class Protocol(H11Protocol):
    """h11, because each body message is one write there; puts the transport into the scope (a `cut` needs it)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Switch Nagle's algorithm off: asyncio does so only for sockets whose protocol number is set."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, TRANSPORT: transport}, receive, send)

        self.app = with_transport

    def shutdown(self) -> None:
        """Drop the connection when the server ends: a stream that hangs on purpose must not keep Ctrl-C waiting."""
        self.transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 = any free one.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family, backlog=512)


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until the process is interrupted (KeyboardInterrupt) or ends."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
