"""Plain HTTP to the simulator of this test run: whole replies, raw bytes, one piece at a time."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from streamnb.companions import simulator_url

FAST = "ttft=0,gap=0"
KEY = {"Authorization": "Bearer sk-dummy"}
HELLO = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
COMPLETIONS = "/v1/chat/completions"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[str]:
        return self.body.decode().split("\n")


def url(options: str = FAST) -> str:
    return f"{simulator_url()}/~{options}"


def post(
    path: str, body: Any = None, options: str = FAST, headers: dict[str, str] = KEY, method: str = "POST"
) -> Reply:
    parts = urlsplit(url(options) + path)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), data, headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()


def connect(path: str, body: Any, options: str) -> socket.socket:
    """Send a request over a socket of our own; what comes back is the caller's to read."""
    parts = urlsplit(url(options) + path)
    data = json.dumps(body).encode()
    headers = f"Host: x\r\nAuthorization: Bearer sk-dummy\r\nContent-Length: {len(data)}\r\n"
    head = f"POST {parts.path} HTTP/1.1\r\n{headers}\r\n"
    wire = socket.create_connection((parts.hostname, parts.port), timeout=20)
    wire.sendall(head.encode() + data)
    return wire


def read_until(wire: socket.socket, mark: bytes) -> bytes:
    got = b""
    while mark not in got:
        piece = wire.recv(65536)
        if not piece:
            break
        got += piece
    return got


def body_on_the_wire(path: str, body: Any, options: str, end: bytes = b"\r\n0\r\n\r\n") -> bytes:
    """Return the bytes after the headers, HTTP chunks and all, until `end` or the end of the connection."""
    with connect(path, body, options) as wire:
        return read_until(wire, end).partition(b"\r\n\r\n")[2]


def chunked(*blocks: bytes) -> bytes:
    """Return what the wire carries when each block is a write of its own."""
    return b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"


def data_of(reply: Reply) -> list[Any]:
    """Return the JSON values of an SSE reply, `[DONE]` left out."""
    lines = (line.removeprefix("data: ") for line in reply.lines if line.startswith("data: "))
    return [json.loads(line) for line in lines if line != "[DONE]"]
