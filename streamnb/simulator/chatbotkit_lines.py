"""The forms of a ChatBotKit reply: what `Accept` chooses, the bytes of an event, the moment the headers leave.

Knows framings and one habit of the server. Must not know: answers, lists, paths.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from starlette.types import Message, Receive, Scope, Send

from streamnb.simulator.blocks import dumps
from streamnb.simulator.play import Stream
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Out, Script

JSON: Final = "application/json"
JSONL: Final = "application/jsonl"
SSE: Final = "text/event-stream"
CSV: Final = "text/csv"

Json = dict[str, Any]

_UNTIMED: Final = b',"createdAt":0}\n'  # inside strings quotes are escaped, inside `data` no line ends like this
_STAMPED: Final = tuple(
    start
    for kind in (b"token", b"reasoningToken", b"item")
    for start in (b'{"type":"%s",' % kind, b"event: %s\n" % kind)
)
_AT_ONCE: Final = frozenset({"hang", "cut"})


class Encode(Protocol):
    """Makes the bytes of one event; `timed` events carry `createdAt` where the form has it."""

    def __call__(self, kind: str, data: Any, *, timed: bool = True) -> bytes:
        """Return one event; empty where the form cannot say it."""


def jsonl(kind: str, data: Any, *, timed: bool = True) -> bytes:
    """Return one line; `createdAt` is 0 until `LateStream` sends it."""
    value = {"type": kind, "data": data}
    return _bytes(dumps({**value, "createdAt": 0} if timed else value)) + b"\n"


def sse(kind: str, data: Any, *, timed: bool = True) -> bytes:  # noqa: ARG001 - this form loses createdAt
    """Return one SSE event."""
    return _bytes(f"event: {kind}\ndata: {dumps(data)}\n\n")


def csv(kind: str, data: Any, *, timed: bool = True) -> bytes:  # noqa: ARG001 - rows have no envelope
    """Return one row; only an `item` makes one."""
    return _bytes(",".join(map(_cell, data.values())) + "\n") if kind == "item" else b""


ENCODERS: Final[Mapping[str, Encode]] = MappingProxyType({JSONL: jsonl, SSE: sse, CSV: csv})
"""Media type -> encoder; plain JSON has none."""


def wanted(accept: str) -> str | None:
    """Return the media type that the header asks for, None if there is no such form: only its first entry counts."""
    first = accept.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0].strip().lower()
    if first in {"", "*/*"}:
        return JSON
    return first if first == JSON or first in ENCODERS else None


def stamp(t_ns: int, block: bytes) -> bytes:
    """Return what carries the send time before a delta or an item: a `nop` line, or a comment in SSE."""
    if not block.startswith(_STAMPED):
        return b""
    return (b'{"type":"nop","data":{"t_ns":%d}}\n' if block.startswith(b"{") else b": t_ns=%d\n") % t_ns


class LateStream(Stream):
    """A stream as this server sends it: the headers leave with the first event, `createdAt` is the time of sending.

    The first body write follows the headers at once, so that a client sees both in one read or in two reads a few
    microseconds apart. In the scenarios `hang` (which is headers and then nothing) and `cut` (which writes past the
    ASGI server) the headers leave at once.
    """

    def __init__(self, script: Script, setup: Setup, media: str) -> None:
        super().__init__(script, setup, None, {"content-type": media})  # no charset: the server sends none

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play, with the headers held back."""
        await super().__call__(scope, receive, _Late(send, at_once=self._setup.scenario in _AT_ONCE))

    def _stamped(self, out: Out) -> bytes:
        return timed(super()._stamped(out))


def timed(data: bytes) -> bytes:
    """Return the events with their `createdAt`: the wall clock now, in milliseconds."""
    return data.replace(_UNTIMED, b',"createdAt":%d}\n' % (time.time_ns() // 1_000_000))


class _Late:
    """Holds the head of a response until its body begins; a head that comes again is dropped."""

    def __init__(self, send: Send, *, at_once: bool) -> None:
        self._send = send
        self._at_once = at_once
        self._head: Message = {}
        self._begun = False

    async def __call__(self, message: Message) -> None:
        is_head = message["type"] == "http.response.start"
        self._head = self._head or message
        if is_head and not self._at_once:
            return
        if not self._begun:
            self._begun = True
            await self._send(self._head)
        if not is_head:
            await self._send(message)


def _bytes(text: str) -> bytes:
    r"""Encode; a lone surrogate becomes the escape that JSON has for it (`\ud800`)."""
    return text.encode("utf-8", "backslashreplace")


def _cell(value: Any) -> str:
    """Write a value as the server's `toString` does: an object has no better name there."""
    match value:
        case None:
            said = ""
        case bool():
            said = "true" if value else "false"
        case dict():
            said = "[object Object]"
        case _:
            said = str(value)
    return '"' + said.replace('"', '""') + '"'
