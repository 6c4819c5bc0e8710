"""The load server in Python, for machines without a C compiler: the same protocol, far slower, so the table says so.

Knows asyncio and one netlink question. Must not know: clients. See load_server.c for what it does.

    python -m benchmarks.slow_server [CERT KEY]
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import resource
import signal
import socket
import ssl
import struct
import sys
import time
from typing import Any

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
EVENT = (
    'data: {"id":"chatcmpl-%019d","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    '"system_fingerprint":"fp_12345","choices":[{"index":0,"delta":{"content":"%019d"},"logprobs":null,'
    '"finish_reason":null}]}\n\n'
)
FINISH = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,'
    b'"delta":{},"finish_reason":"stop"}]}\n\n'
)
BACKLOG = 131072
_ASK = struct.Struct("=IHHII BBBxI HH4s12x4s12xIII".replace(" ", ""))


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Diagnosis:
    """What a client has not read yet, by NETLINK_SOCK_DIAG; `works` is False where the kernel does not say."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        with contextlib.suppress(OSError, AttributeError):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)

    @property
    def works(self) -> bool:
        """Whether it can be asked."""
        return self._socket is not None

    def unread(self, writer: asyncio.StreamWriter) -> int:
        """Bytes in the client's receive queue, those included that wait for it to leave the kernel; -1 unknown."""
        if self._socket is None:
            return -1
        theirs, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        ports = (socket.htons(theirs[1]), socket.htons(own[1]))
        here = socket.inet_aton("127.0.0.1")
        states, cookie = 0xFFFFFFFF, 0xFFFFFFFF
        self._socket.send(
            _ASK.pack(72, 20, 1, 0, 0, socket.AF_INET, 6, 1 << 6, states, *ports, here, here, 0, cookie, cookie)
        )
        answer = self._socket.recv(1024)
        if struct.unpack_from("=H", answer, 4)[0] != 20:
            return -1
        (queued,) = struct.unpack_from("=I", answer, 16 + 56)
        at = 16 + 72
        while at + 4 <= len(answer):
            length, kind = struct.unpack_from("=HH", answer, at)
            if kind == 7:
                queued += struct.unpack_from("=I", answer, at + 4 + 7 * 4)[0]
            at += max(4, (length + 3) & ~3)
        return int(queued)


@dataclasses.dataclass
class Group:
    """Streams that begin together; times in s."""

    name: str
    mode: str
    streams: int
    pid: int
    warm: float
    window: float
    settle: float
    hold: float
    gap: float
    ttft: float
    joined: int = 0
    events: int = 0
    late_s: float = 0.0
    go: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    start: float = 0.0
    writers: list[asyncio.StreamWriter] = dataclasses.field(default_factory=list)

    def clocks(self) -> tuple[int, int, int, int]:
        """The client's CPU, that of this process, the time (ns), events so far."""
        theirs = time.clock_gettime_ns((~self.pid << 3) | 2) if self.pid else 0
        return theirs, time.process_time_ns(), time.monotonic_ns(), self.events


class Server:
    """Serves groups until it is told to stop."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.diagnosis = Diagnosis()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                arrived_ns = time.monotonic_ns()
                lengths = [
                    line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length")
                ]
                await reader.readexactly(int(lengths[0]) if lengths else 0)
                spec = head.partition("/~")[2].partition("/")[0]
                await self._stream(dict(part.split("=") for part in spec.split(",")), arrived_ns, writer)
        writer.close()

    async def _stream(self, spec: dict[str, str], arrived_ns: int, writer: asyncio.StreamWriter) -> None:
        group = self._join(spec)
        number, group.joined = group.joined, group.joined + 1
        group.writers.append(writer)
        writer.write(HEAD)
        due = time.monotonic() + group.ttft
        if group.mode == "ttft" or group.joined == group.streams:
            self._begin(group)
        if group.mode != "ttft":
            await group.go.wait()
            due = group.start + (group.gap * number / group.streams if group.mode == "paced" else 0)
        end = group.start + group.warm + group.window
        while (now := time.monotonic()) < end:
            if group.mode in ("lock", "blast"):
                await self._fast(group, arrived_ns, writer)
                continue
            if now < due:
                await asyncio.sleep(min(due, end) - now)
                continue
            group.late_s = max(group.late_s, now - due)
            due = max(due + group.gap, now)
            self._token(group, arrived_ns, writer)
        await group.over.wait()
        writer.write(chunk(FINISH) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()

    async def _fast(self, group: Group, arrived_ns: int, writer: asyncio.StreamWriter) -> None:
        waiting = self.diagnosis.unread(writer)
        if waiting == 0 or (group.mode == "blast" and waiting < BACKLOG):
            for _ in range(240 if group.mode == "blast" else 1):
                self._token(group, arrived_ns, writer)
            await writer.drain()
        await asyncio.sleep(0)

    def _token(self, group: Group, arrived_ns: int, writer: asyncio.StreamWriter) -> None:
        writer.write(chunk((EVENT % (arrived_ns, time.monotonic_ns())).encode()))
        group.events += 1

    def _join(self, spec: dict[str, str]) -> Group:
        name = spec["group"]
        if name not in self._groups:
            defaults = {"warm": 100, "window": 500, "settle": 50, "hold": 500}
            times = {key: float(spec.get(key, default)) / 1e3 for key, default in defaults.items()}
            gap, ttft = (float(spec.get(key, default)) / 1e6 for key, default in (("gap", 20_000), ("ttft", 100_000)))
            streams, pid = int(spec.get("streams", 1)), int(spec.get("pid", 0))
            self._groups[name] = Group(name, spec["mode"], streams, pid, **times, gap=gap, ttft=ttft)
        return self._groups[name]

    def _begin(self, group: Group) -> None:
        if not group.go.is_set():
            group.start = time.monotonic()
            group.go.set()
            task = asyncio.create_task(self._watch(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _watch(self, group: Group) -> None:
        await asyncio.sleep(group.warm)
        first = group.clocks()
        await asyncio.sleep(group.window)
        last = group.clocks()
        await asyncio.sleep(group.settle)
        for _ in range(600):
            if all(self.diagnosis.unread(writer) <= 0 for writer in group.writers):
                break
            await asyncio.sleep(0.005)
        settled = group.clocks()
        await asyncio.sleep(max(0.0, group.hold - group.settle))
        said: dict[str, Any] = {
            "group": group.name,
            "events": last[3] - first[3],
            "wall_ns": last[2] - first[2],
            "cpu_ns": last[0] - first[0],
            "settled_cpu_ns": settled[0] - first[0],
            "server_cpu_ns": last[1] - first[1],
            "server_late_ns": round(group.late_s * 1e9),
            "all_events": group.events,
            "waited_ns": settled[2] - last[2] - round(group.settle * 1e9),
        }
        print(json.dumps(said), flush=True)
        del self._groups[group.name]
        group.over.set()


async def main() -> None:
    """Listen, say where, serve until SIGTERM."""
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    serving = Server()
    listener = await asyncio.start_server(serving.serve, "127.0.0.1", 0, ssl=context, backlog=4096)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    port = listener.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "lock": serving.diagnosis.works}), flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
