"""An HTTP proxy on loopback: tunnels by CONNECT, forwards by absolute addresses; may ask for a password.

Runs on a thread of its own. What it saw is kept, so that a test can tell that it was used.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_S = 10.0


class Proxy:
    """What a test sees of it.

    Attributes:
        asked: the request lines, in order.
        port: where it listens.
    """

    def __init__(self, password: str | None) -> None:
        self.asked: list[str] = []
        self._password = password
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def url(self, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}"

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(PATIENCE_S)
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            line, _, rest = head.partition(b"\r\n")
            self.asked.append(line.decode())
            if self._password and base64.b64encode(self._password.encode()) not in head:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            method, target, _ = line.decode().split(" ")
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            with socket.create_connection((parts.hostname, parts.port or 80), PATIENCE_S) as server:
                self._open.add(server)
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(f"{method} {parts.path or '/'} HTTP/1.1\r\n".encode() + rest)
                _relay(client, server)


def _relay(one: socket.socket, other: socket.socket) -> None:
    ends = {one: other, other: one}
    while True:
        for readable in select.select(list(ends), [], [], PATIENCE_S)[0]:
            data = readable.recv(65536)
            if not data:
                return
            ends[readable].sendall(data)


@contextlib.contextmanager
def forwarding(path: str, port: int) -> Iterator[None]:
    """A unix socket whose first client is connected to a port."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", port)) as server:
                _relay(client, server)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
    Path(path).unlink()


@contextlib.contextmanager
def proxying(password: str | None = None) -> Iterator[Proxy]:
    """A proxy, while the block lasts.

    Args:
        password: `user:password` it asks for.
    """
    proxy = Proxy(password)
    try:
        yield proxy
    finally:
        proxy.close()
