"""Sends an answer write by write at its deadlines, and the replies that are no stream at all.

Knows ASGI, the clock and uvicorn's transport. Must not know: any API, how an answer is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, NoReturn

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Out, Script, perform, status

SETUP: Final = "streamnb.setup"
TRANSPORT: Final = "streamnb.transport"
"""Keys of the ASGI scope: the base URL's `Setup`, and the connection's transport (for `cut`)."""

_PING_S: Final = 0.05
_BETWEEN_HALVES_S: Final = 0.03
_RETRY_AFTER: Final = {429: "7", 503: "7", 529: "7"}
_PAGE: Final = "<html>\n<head><title>{0}</title></head>\n<body><h1>{0}</h1><hr>gateway</body>\n</html>\n"


class Stream(Response):
    """A chunked body whose every write leaves at its own moment; ends as the scenario says."""

    def __init__(
        self, script: Script, setup: Setup, media_type: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = 200
        self.media_type = media_type  # None: no Content-Type at all, as Typebot since 3.4.0
        self.background = None
        self.init_headers(headers)
        self._script = script
        self._setup = setup

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play until the end of the script or until the client is gone, whichever comes first."""
        await _while_connected(receive, self._play(scope, send))

    async def _play(self, scope: Scope, send: Send) -> None:
        start_s = time.monotonic()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for out in perform(self._script, self._setup.pace, self._setup.scenario):
            await _until(start_s + out.at_s)
            data = self._stamped(out)
            if out.torn:
                await _drop(scope[TRANSPORT], data)
            await _write(send, data)
        if self._setup.scenario in {"hang", "ping"}:
            await self._hold(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _stamped(self, out: Out) -> bytes:
        if not (self._setup.pace.stamps and out.stamped):
            return b"".join(out.blocks)
        t_ns = time.monotonic_ns()
        return b"".join(self._script.stamp(t_ns, block) + block for block in out.blocks)

    async def _hold(self, send: Send) -> NoReturn:
        while self._setup.scenario == "ping":
            await asyncio.sleep(_PING_S)
            await _write(send, self._script.ping)
        await _until_cancelled()


class Delayed(JSONResponse):
    """A whole reply that takes its time."""

    def __init__(self, content: Any, delay_s: float) -> None:
        super().__init__(content)
        self._delay_s = delay_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then send, unless the client is gone by then."""
        await _while_connected(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self._delay_s)
        await super().__call__(scope, receive, send)


def setup_of(request: Request) -> Setup:
    """Return what the request's base URL asked for."""
    setup: Setup = request.scope[SETUP]
    return setup


def wrong_reply(
    setup: Setup,
    call: str,
    fault: Callable[[int], dict[str, Any]],
    whole: Callable[[], dict[str, Any]],
    fault_200: dict[str, Any],
) -> Response | None:
    """Return the reply that stands instead of a stream under the base URL's scenario, or None if there is none.

    Args:
        setup: what the base URL asked for.
        call: which call this is: `start`, `continue` or `stream`.
        fault: status code -> the API's JSON error body.
        whole: makes the API's JSON reply where a stream was due (`json-200`).
        fault_200: the API's JSON error with status 200 (`error-200`).
    """
    if setup.at != call:
        return None
    if found := status(setup.scenario):
        form, code = found
        headers = {"Retry-After": _RETRY_AFTER[code]} if code in _RETRY_AFTER else None
        if form == "html":
            return HTMLResponse(_PAGE.format(f"{code} from the gateway"), code, headers)
        return JSONResponse(fault(code), code, headers)
    match setup.scenario:
        case "json-200":
            return JSONResponse(whole())
        case "error-200":
            return JSONResponse(fault_200)
        case _:
            return None


def echoed(request: Request) -> list[str]:
    """Return a line for every key and for the query string received."""
    values = {name: request.headers.get(name) for name in ("authorization", "x-api-key", "api-key")}
    values["query"] = request.url.query
    return [f"{name}: {value}\n" for name, value in values.items() if value]


def echo(request: Request, at_s: float, encode: Callable[[str], bytes]) -> Iterator[Out]:
    """Yield `echoed(request)` as the answer, each event torn into two writes inside the secret."""
    for text in echoed(request):
        secret = text.split()[-1].encode()
        block = encode(text)
        tear = block.index(secret) + len(secret) // 2 if secret in block else len(block) // 2
        yield Out(at_s, (block[:tear],))
        yield Out(at_s + _BETWEEN_HALVES_S, (block[tear:],), stamped=False)
        at_s += 2 * _BETWEEN_HALVES_S  # so that the client's reads are two


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    tasks = {asyncio.create_task(_gone(receive)), asyncio.create_task(work)}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _until(deadline_s: float) -> None:
    """Sleep to an absolute deadline; give way once even when it has passed, so that no stream starves another."""
    await asyncio.sleep(max(0.0, deadline_s - time.monotonic()))


async def _write(send: Send, data: bytes) -> None:
    if data:  # an empty chunk would end the body (RFC 9112, 7.1)
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _drop(transport: asyncio.Transport, data: bytes) -> NoReturn:
    """Announce a chunk, send half of it, close: what a client must not take for an end (RFC 9112, 8)."""
    transport.write(b"%x\r\n" % len(data) + data[: len(data) // 2])
    transport.close()
    await _until_cancelled()


async def _until_cancelled() -> NoReturn:
    """Wait for the client to go: `Stream` then cancels its player."""
    while True:
        await asyncio.Event().wait()
