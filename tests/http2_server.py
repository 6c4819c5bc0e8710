"""A server that speaks HTTP/2, and does to clients what bad ones do: resets, farewells, frames that are cut or wrong.

Runs on the fault server's thread; where a client does not take HTTP/2 the script gets an ordinary `Wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import fault_server
import h2.config
import h2.connection
import h2.events
from fault_server import PATIENCE_S, SSE, FaultServer, Script, Wire, certified

ENDS = 1  # a DATA frame's flag


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame, also one that must not be."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def data(block: bytes, stream: int = 1, flags: int = 0) -> bytes:
    return frame(0, flags, stream, block)


def reset(code: int, stream: int = 1) -> bytes:
    return frame(3, 0, stream, code.to_bytes(4))


def ping() -> bytes:
    return frame(6, 0, 0, bytes(8))


def goaway(last: int, code: int = 0, words: bytes = b"") -> bytes:
    return frame(7, 0, 0, last.to_bytes(4) + code.to_bytes(4) + words)


class Wire2(Wire):
    """One connection with HTTP/2, as a script sees it: one request after the other.

    Attributes:
        h2: the server's half of the connection.
        stream: the number of the request being answered.
    """

    def __init__(self, server: Server2, wire: Wire) -> None:
        super().__init__(server, wire._reader, wire._writer, wire._gone)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.stream = 0
        self.listening = asyncio.ensure_future(self._listen())
        self._asked: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._room = asyncio.Event()
        self._bodies: dict[int, bytes] = {}

    async def _listen(self) -> None:
        self.h2.initiate_connection()
        await self.flush()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while came := await self._reader.read(65536):
                for event in self.h2.receive_data(came):
                    self._hear(event)
                await self.flush()

    def _hear(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._bodies[event.stream_id] = "".join(
                    f"{name}: {value}\r\n" for name, value in event.headers
                ).encode()
            case h2.events.DataReceived():
                self._bodies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self._asked.put_nowait((event.stream_id, self._bodies.pop(event.stream_id)))
            case h2.events.WindowUpdated():
                self._room.set()
            case _:
                pass

    async def flush(self) -> None:
        if waiting := self.h2.data_to_send():
            await self.send(waiting)

    async def next_request(self) -> bool:
        asked = asyncio.ensure_future(self._asked.get())
        try:
            await asyncio.wait([asked, self.listening], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if not asked.done() or asked.cancelled():
            return False
        self.stream, self.request = asked.result()
        self.server.requests.append(self.request)
        return True

    def headers(self, content_type: str = SSE, status: str = "200", *, end: bool = False, **more: str) -> bytes:
        """A reply's head as frames, not sent yet."""
        fields = [(name.replace("_", "-").lower(), value) for name, value in more.items()]
        self.h2.send_headers(
            self.stream, [(":status", status), ("content-type", content_type), *fields], end_stream=end
        )
        return bytes(self.h2.data_to_send())

    def trailers(self, **fields: str) -> bytes:
        self.h2.send_headers(self.stream, list(fields.items()), end_stream=True)
        return bytes(self.h2.data_to_send())

    async def head(self, content_type: str = SSE, status: str = "200", **headers: str) -> None:
        await self.send(self.headers(content_type, status, **headers))

    async def chunks(self, *blocks: bytes) -> None:
        """Each block is one DATA frame and one write."""
        for block in blocks:
            await self.send(data(block, self.stream))

    async def end(self) -> None:
        """An empty DATA frame that ends the reply."""
        await self.send(data(b"", self.stream, ENDS))

    async def bye(self) -> None:
        """Close in good order: who cuts while the client still writes makes it lose what it has not read."""
        self.fin()
        await self.gone()

    async def flood(self, block: bytes) -> None:
        """A block as the client's window lets it, in the largest frames."""
        while block:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size)
            if not room:
                self._room.clear()
                await self._room.wait()
                continue
            self.h2.send_data(self.stream, block[:room])
            block = block[room:]
            await self.flush()


class Server2(FaultServer):
    """What a test sees of it; see FaultServer."""

    async def _answer(self, wire: Wire) -> None:
        tls = wire._writer.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            await super()._answer(wire)
            return
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            wire = Wire2(self, wire)
            try:
                await super()._answer(wire)
            finally:
                wire.listening.cancel()


@contextlib.contextmanager
def serving2(script: Script, protocols: tuple[str, ...] = ("h2", "http/1.1"), **more: Any) -> Iterator[Server2]:
    """A server over TLS that runs `script` for each request and speaks these, the first of them rather."""
    context = certified(more.pop("certificate", "127.0.0.1"))
    context.set_alpn_protocols(list(protocols))
    server = Server2(script, more.pop("host", "127.0.0.1"), context)
    loop = fault_server._loop()
    asyncio.run_coroutine_threadsafe(server.open(), loop).result(PATIENCE_S)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(PATIENCE_S)
