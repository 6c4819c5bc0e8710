"""The simulator's ChatBotKit as its tests call it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from simulated import FAST, Reply, post, url

TWO = f"{FAST},tokens=2"
KEY = {"Authorization": "Token cbk-demo"}
JSONL = {**KEY, "Accept": "application/jsonl"}
SSE = {**KEY, "Accept": "text/event-stream"}
HELLO = {"text": "What are your hours?"}
USER = {"messages": [{"type": "user", "text": "How high is the river?"}]}
CHANNEL = "river_level_0000"
RIVER = {
    "name": "river_level",
    "description": "How high the river is",
    "parameters": {"type": "object", "properties": {"station": {"type": "string"}}},
    "result": {"channel": CHANNEL},
}


def new(**fields: Any) -> str:
    """Return a conversation of our own, so that no other test has a turn in it."""
    return post("/v1/conversation/create", fields, FAST, KEY).value["id"]


def complete(
    conversation: str = "conv_any", body: Any = HELLO, options: str = TWO, headers: dict[str, str] = JSONL
) -> Reply:
    return post(f"/v1/conversation/{conversation}/complete", body, options, headers)


def listed(query: str = "", options: str = FAST, headers: dict[str, str] = JSONL, path: str = "") -> Reply:
    return post(f"{path or '/v1/conversation/list'}{query}", None, options, headers, "GET")


def messages(conversation: str) -> list[tuple[str, str]]:
    """Return the type and the text of each message that a conversation keeps."""
    items = listed(headers=KEY, path=f"/v1/conversation/{conversation}/message/list").value["items"]
    return [(item["type"], item["text"]) for item in items]


def connect(
    path: str, body: Any, options: str, accept: str = "application/jsonl", method: str = "POST"
) -> socket.socket:
    """Send a request over a socket of our own; what comes back is the caller's to read."""
    parts = urlsplit(url(options) + path)
    data = json.dumps(body).encode()
    head = f"{method} {parts.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Token cbk-demo\r\nAccept: {accept}\r\n"
    wire = socket.create_connection((parts.hostname, parts.port), timeout=20)
    wire.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return wire


def events(reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.body.decode().split("\n") if line]


def kinds(reply: Reply) -> list[str]:
    return [event["type"] for event in events(reply)]


def text_of(reply: Reply) -> str:
    return "".join(event["data"]["token"] for event in events(reply) if event["type"] == "token")


def lines_of(wire: bytes) -> Iterator[dict[str, Any]]:
    """Yield the whole lines among the bytes of a chunked body."""
    yield from (json.loads(line) for line in wire.split(b"\n")[:-1] if line.startswith(b'{"type"'))
