"""A server that does to clients what networks and bad servers do: raw bytes, cuts, resets, stalls, TLS.

Runs on one thread of its own, so that blocking clients can be tested. A test hands it a script per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import trustme

PATIENCE_S = 10.0
SSE = "text/event-stream"


class Wire:
    """One connection, as a script sees it.

    Attributes:
        request: head and body of the request being answered.
        server: whose connection it is.
    """

    def __init__(
        self, server: FaultServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event
    ) -> None:
        self.server = server
        self._gone = gone
        self.request = b""
        self.closed = False
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Each piece is one write to the socket."""
        for piece in pieces:
            self.server.written += len(piece)
            self._writer.write(piece)
            await self._writer.drain()

    async def head(self, content_type: str = SSE, status: str = "200 OK", **headers: str) -> None:
        await self.send(head(content_type, status, **headers))

    async def chunks(self, *blocks: bytes) -> None:
        """Each block is one HTTP chunk and one write."""
        await self.send(*map(chunk, blocks))

    async def reply(
        self, body: bytes, content_type: str = "application/json", status: str = "200 OK", **headers: str
    ) -> None:
        """A whole reply with its length."""
        await self.send(head(content_type, status, Content_Length=str(len(body)), **headers) + body)

    def fin(self) -> None:
        """Close: the client sees an end."""
        self.closed = True
        self._writer.close()

    def reset(self) -> None:
        """Close so that the client sees a reset (SO_LINGER 0)."""
        self.closed = True
        plain = self._writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def drop(self) -> None:
        """Close now, whatever is still unsent."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed; a next request that comes meanwhile is left for `next_request`."""
        await self._gone.wait()
        raise ConnectionResetError

    async def until_gone(self, work: Coroutine[None, None, None]) -> None:
        """Do something unless the client closes first."""
        tasks = [asyncio.ensure_future(self.gone()), asyncio.ensure_future(work)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if any(isinstance(result, ConnectionError) for result in results):
            raise ConnectionResetError

    async def repeat(self, block: bytes, every_s: float) -> None:
        """Send a block again and again until the client has gone."""

        async def work() -> None:
            while True:
                await self.send(block)
                await asyncio.sleep(every_s)

        await self.until_gone(work())

    async def obey(self) -> None:
        """Send what the test tells, piece by piece, until it tells None or the client has gone."""

        async def work() -> None:
            while (piece := await self.server.told.get()) is not None:
                await self.send(piece)

        await self.until_gone(work())

    async def next_request(self) -> bool:
        """Read one request whole; False when the client has closed instead."""
        try:
            top = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        fields = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:] if line)
        self.request = top + await self._reader.readexactly(int(fields.get(b"content-length", b"0")))
        self.server.requests.append(self.request)
        return True


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells that the client has closed without reading what it sent."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self.gone = asyncio.Event()

    def eof_received(self) -> bool:
        self.gone.set()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


Script = Callable[[Wire], Awaitable[None]]


class FaultServer:
    """What a test sees of the server.

    Attributes:
        requests: every request received, head and body.
        written: bytes handed to sockets.
        left: CLOCK_MONOTONIC (s) of each moment at which the server saw that a client had closed.
        accepted: connections so far.
        told: pieces for `Wire.obey`.
    """

    def __init__(self, script: Script, host: str, context: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self.written = 0
        self.left: list[float] = []
        self.accepted = 0
        self.told: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.port = 0
        self._script = script
        self._host = host
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = threading.Condition()

    @property
    def origin(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._context else 'http'}://{host}:{self.port}"

    def tell(self, *pieces: bytes | None) -> None:
        """Hand pieces to a script that obeys."""
        for piece in pieces:
            _loop().call_soon_threadsafe(self.told.put_nowait, piece)

    def wait_left(self, count: int = 1) -> float:
        """Wait until that many clients have closed; the moment of the last, s."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.left) >= count, PATIENCE_S), "the client did not close"
            return self.left[count - 1]

    async def open(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, 0), family=family)
        self._listener.setblocking(False)  # noqa: FBT003 - it has no name
        self.port = self._listener.getsockname()[1]
        _loop().add_reader(self._listener, self._accept)

    async def close(self) -> None:
        _loop().remove_reader(self._listener)
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else small writes wait for the client's ACK
        self.accepted += 1
        task = _loop().create_task(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(lambda _: accepted.close())  # also when it was cancelled before its first step
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        reader = asyncio.StreamReader(2**24, _loop())
        protocol = _Protocol(reader, loop=_loop())
        try:
            transport, _ = await _loop().connect_accepted_socket(lambda: protocol, accepted, ssl=self._context)
        except (OSError, ssl.SSLError):
            return  # the handshake failed
        transport.set_write_buffer_limits(1, 0)  # so that what was sent has left
        writer = asyncio.StreamWriter(transport, protocol, reader, _loop())
        await self._answer(Wire(self, reader, writer, protocol.gone))

    async def _answer(self, wire: Wire) -> None:
        try:
            while not wire.closed and await wire.next_request():
                await self._script(wire)
        except (ConnectionError, ssl.SSLError):
            pass  # the client closed
        except asyncio.CancelledError:
            wire.closed = True  # the test is over
            raise
        finally:
            if not wire.closed:
                with self._changed:
                    self.left.append(time.monotonic())
                    self._changed.notify_all()
            wire.drop()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="fault server", daemon=True).start()
    return loop


@contextlib.contextmanager
def serving(script: Script, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """A server that runs `script` for each request; gone, with its connections, behind the block."""
    server = FaultServer(script, host, context)
    asyncio.run_coroutine_threadsafe(server.open(), _loop()).result(PATIENCE_S)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), _loop()).result(PATIENCE_S)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread or task does; who waits in vain fails."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], object]) -> None:
    """The same for a test that blocks."""
    asyncio.run(until(condition))


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel drops what else comes (Linux)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - it has no name
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def certified(host: str = "127.0.0.1", **dates: object) -> ssl.SSLContext:
    """A server's TLS context with a certificate for `host` from our own authority, which nobody trusts by default."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert(host, **dates).configure_cert(context)  # type: ignore[arg-type]
    return context


def trusting() -> ssl.SSLContext:
    """A client's TLS context that trusts our own authority."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


def head(content_type: str = SSE, status: str = "200 OK", **headers: str) -> bytes:
    """The head of a reply; chunked unless it says otherwise (`Connection="close"`, `Content_Length=...`)."""
    if not {"Content_Length", "Connection"} & headers.keys():
        headers["Transfer_Encoding"] = "chunked"
    fields = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(block: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(block), block)


END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def delta(text: str, **fields: object) -> bytes:
    """One event of an OpenAI stream."""
    choice = {"index": 0, "delta": {"content": text}, **fields}
    return b"data: %s\n\n" % json.dumps({"choices": [choice]}, ensure_ascii=False).encode()
