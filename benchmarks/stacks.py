"""The clients that `benchmarks.capture` compares: each streams from the load server and keeps what it is told.

Knows one way of use per package. Must not know: the server's insides, targets. One process per measurement.

    python -m benchmarks.stacks STACK ORIGIN --streams 1 mode=lock,group=a ...

Every stack keeps, per event, the moment at which its user naturally learns of it, and the text.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import dataclasses
import importlib.util
import json
import os
import resource
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.heard import ID_PREFIX, Heard, digest
from benchmarks.load import CLIENT_CORE, pin

BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
KEY_ENV = "STREAMNB_BENCHMARK_KEY"
KEY = "sk-benchmark-000000000000000000000000"


@dataclasses.dataclass(frozen=True)
class Load:
    """What to ask the server for."""

    origin: str
    spec: str
    streams: int
    ca: str | None

    @property
    def base_url(self) -> str:
        """With what the server shall do as the first segment of its path."""
        return f"{self.origin}/~{self.spec},streams={self.streams},pid={os.getpid()}/v1"

    @property
    def context(self) -> ssl.SSLContext:
        """For stacks that want to be told whom to trust."""
        return ssl.create_default_context(cafile=self.ca)


def _together(load: Load, one: Callable[[Heard], Coroutine[Any, Any, None]]) -> Coroutine[Any, Any, list[Heard]]:
    async def run() -> list[Heard]:
        every = [Heard() for _ in range(load.streams)]
        await asyncio.gather(*map(one, every))
        return every

    return run()


async def httpx_sse(load: Load) -> list[Heard]:
    """httpx, httpx-sse and json, as deepset's page shows it; limits and time-outs out of the way."""
    import httpx
    from httpx_sse import aconnect_sse

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=None, limits=limits, verify=load.context) as client:

        async def one(heard: Heard) -> None:
            heard.asked_ns = time.monotonic_ns()
            async with aconnect_sse(client, "POST", f"{load.base_url}/chat/completions", json=BODY) as source:
                async for event in source.aiter_sse():
                    if event.data == "[DONE]":
                        break
                    chunk = json.loads(event.data)
                    heard.chunk(time.monotonic_ns(), chunk)

        return await _together(load, one)


async def openai(load: Load) -> list[Heard]:
    """openai-python's AsyncOpenAI."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    transport = DefaultAsyncHttpxClient(verify=load.context)
    client = AsyncOpenAI(base_url=load.base_url, api_key=KEY, timeout=None, max_retries=0, http_client=transport)

    async def one(heard: Heard) -> None:
        heard.asked_ns = time.monotonic_ns()
        stream = await client.chat.completions.create(model="m", messages=BODY["messages"], stream=True)
        async for chunk in stream:
            t_ns = time.monotonic_ns()
            text = chunk.choices[0].delta.content
            if text:
                if not heard.stamps:
                    heard.arrived_ns = int(chunk.id.removeprefix(ID_PREFIX))
                heard.stamps.append(t_ns)
                heard.texts.append(text)

    async with client:
        return await _together(load, one)


async def aiohttp(load: Load) -> list[Heard]:
    """aiohttp: `iter_any`, a split at blank lines, json; one stamp per piece."""
    import aiohttp as package

    connector = package.TCPConnector(limit=0, ssl=load.context)
    async with package.ClientSession(connector=connector, timeout=package.ClientTimeout(total=None)) as client:

        async def one(heard: Heard) -> None:
            heard.asked_ns = time.monotonic_ns()
            tail = b""
            async with client.post(f"{load.base_url}/chat/completions", json=BODY) as response:
                async for piece in response.content.iter_any():
                    t_ns = time.monotonic_ns()
                    *events, tail = (tail + piece).split(b"\n\n")
                    for event in events:
                        if event != b"data: [DONE]":
                            heard.chunk(t_ns, json.loads(event[6:]))

        return await _together(load, one)


async def raw(load: Load) -> list[Heard]:
    """The limit: asyncio's BufferedProtocol, httptools, a split, orjson; nothing is kept but stamp and text."""
    import httptools
    import orjson

    loop = asyncio.get_running_loop()
    host, port = load.origin.partition("://")[2].split(":")
    body = orjson.dumps(BODY)
    path = load.base_url.removeprefix(load.origin)
    request = (
        f"POST {path}/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    class Reader(asyncio.BufferedProtocol):
        def __init__(self, heard: Heard) -> None:
            self.heard, self.over = heard, loop.create_future()
            self.parser = httptools.HttpResponseParser(self)
            self.buffer = memoryview(bytearray(65536))
            self.tail, self.t_ns = b"", 0

        def get_buffer(self, _hint: int) -> memoryview:
            return self.buffer

        def buffer_updated(self, n: int) -> None:
            self.t_ns = time.monotonic_ns()
            self.parser.feed_data(self.buffer[:n])

        def on_body(self, body: bytes) -> None:
            *events, self.tail = (self.tail + body if self.tail else body).split(b"\n\n")
            for event in events:
                if event != b"data: [DONE]":
                    self.heard.chunk(self.t_ns, orjson.loads(event[6:]))

        def on_message_complete(self) -> None:
            self.over.set_result(None)

    secure = load.context if load.ca else None

    async def one(heard: Heard) -> None:
        transport, reader = await loop.create_connection(lambda: Reader(heard), host, int(port), ssl=secure)
        heard.asked_ns = time.monotonic_ns()
        transport.write(request)
        await reader.over
        transport.close()

    return await _together(load, one)


PACKAGES = {"httpx-sse": "httpx_sse", "openai": "openai", "aiohttp": "aiohttp", "raw": "httptools"}
STACKS: dict[str, Callable[[Load], Coroutine[Any, Any, list[Heard]]]] = {
    "httpx-sse": httpx_sse,
    "openai": openai,
    "aiohttp": aiohttp,
    "raw": raw,
}
OURS = {"streamnb": "auto", "streamnb-deferred": "deferred", "streamnb-arrival": "arrival"}


def streamnb(load: Load, parse: str, *, busy: bool) -> tuple[list[Heard], list[str]]:
    """streamnb: recorded to files, one key known to the scrubber, nothing displayed; and what it had to leave out."""
    from streamnb.events import Outcome
    from streamnb.session import Ask, Session, ask

    known = {field.name for field in dataclasses.fields(Ask)}
    wanted = {"parse": parse, "ca": load.ca}
    missing = sorted(name for name in wanted.keys() - known if wanted[name] not in (None, "auto"))
    extra = {name: value for name, value in wanted.items() if name in known}
    asked = ask("openai_chat", "x", base_url=load.base_url, model="m", key_env=KEY_ENV, display="none", **extra)
    sessions = [Session(asked) for _ in range(load.streams)]
    tasks = [session.start() for session in sessions]
    while busy and not all(task.done() for task in tasks):
        sum(range(1000))
    concurrent.futures.wait(tasks)
    runs = [session.close() for session in sessions]
    notes = [f"streamnb has no option {name!r} yet" for name in missing]
    notes += sorted({f"{run.outcome}: {run.error}" for run in runs if run.outcome is not Outcome.COMPLETE})
    return [_told(run) for run in runs], notes


def _told(run: Any) -> Heard:
    events, read_ns = run.events, run.chunks["read_ns"].to_numpy()
    is_delta = (events["kind"] == "delta").to_numpy()
    t_ns = events["t_ns"].to_numpy()[is_delta]
    t_s = events["t_s"].to_numpy()[is_delta]
    starts = events["id"].dropna()
    reads = events["chunk_seq"].to_numpy()[is_delta]
    together = Counter(reads.tolist())  # not n_events_in_read: the first chunk is a start and a delta
    return Heard(
        asked_ns=int(t_ns[0] - t_s[0] * 1e9) if len(t_ns) else 0,
        arrived_ns=int(starts.iloc[0].removeprefix(ID_PREFIX)) if len(starts) else 0,
        stamps=t_ns.tolist(),
        texts=events["text"].to_numpy()[is_delta].tolist(),
        alone=[together[read] == 1 for read in reads.tolist()],
        read_ns=read_ns[reads].tolist(),
    )


def run(stack: str, load: Load, *, busy: bool) -> tuple[list[Heard], list[str]]:
    """Let a stack stream; what it heard, and remarks for the table.

    Args:
        stack: one of `STACKS` or `OURS`.
        load: what to ask for.
        busy: the main thread computes in pure Python meanwhile, as a cell does; the stack has a thread of its own.
    """
    if stack in OURS:
        return streamnb(load, OURS[stack], busy=busy)
    if not busy:
        return asyncio.run(STACKS[stack](load)), []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        task = pool.submit(lambda: asyncio.run(STACKS[stack](load)))
        while not task.done():
            sum(range(1000))
        return task.result(), []


def main() -> None:
    """Stream, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", choices=[*STACKS, *OURS])
    parser.add_argument("origin")
    parser.add_argument("spec", help="what the server shall do: mode=...,group=...")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--warm-ms", type=int, default=0)
    parser.add_argument("--ca")
    parser.add_argument("--busy", action="store_true")
    asked = parser.parse_args()
    package = PACKAGES.get(asked.stack)
    if package and importlib.util.find_spec(package) is None:
        print(json.dumps({"absent": package}))
        return
    pin(CLIENT_CORE)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"STREAMNB_RECORDINGS": folder, KEY_ENV: KEY}
        if asked.ca:
            os.environ["SSL_CERT_FILE"] = asked.ca
        load = Load(asked.origin, asked.spec, asked.streams, asked.ca)
        every, notes = run(asked.stack, load, busy=asked.busy)
        print(json.dumps(digest(every, asked.warm_ms * 1_000_000) | {"notes": notes}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
