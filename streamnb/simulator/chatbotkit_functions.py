"""ChatBotKit's client-side functions: how a request declares them, and the stream that waits for one to be answered.

Knows the declaration and the wait. Must not know: the events of an answer, paths, sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Scope, Send

from streamnb.simulator.chatbotkit_lines import LateStream, timed
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Script

PATIENCE_S: Final = 60.0
"""How long a stream waits for a published message (the platform itself waits five minutes)."""

Json = dict[str, Any]

_NAME: Final = re.compile(r"[A-Za-z$][A-Za-z0-9_$]{0,63}")
_EXAMPLES: Final[dict[str, Any]] = {
    "string": "Río Tinto",
    "integer": 3,
    "number": 3.5,
    "boolean": True,
    "array": [],
    "object": {},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A function to be called by the client: its name, its arguments, the channel that takes the result."""

    name: str
    args: Json
    channel: str

    @property
    def data(self) -> Json:
        """Return it as the two `waitForChannelMessage...` events name it."""
        return {"channel": self.channel, "function": {"name": self.name, "args": self.args}}


def called(declared: Any) -> Function | None:
    """Return the function that will be called: the first one whose `result` names a channel.

    A function whose result is `data`, or that has no result at all, is left alone: a model need not call it.

    Raises:
        ValueError: the declaration is not valid; the message says why.
    """
    match declared:
        case None:
            return None
        case list():
            for function in declared:
                _check(function)
        case _:
            raise ValueError("functions must be an array")
    names = [function["name"] for function in declared]
    if len(set(names)) < len(names):
        raise ValueError("Function names must be unique")
    for function in declared:
        match function:
            case {"name": name, "result": {"channel": str(channel)}}:
                return Function(name, _arguments(function.get("parameters")), channel)
    return None


class Asking(LateStream):
    """A stream that has a function answered by its client before it goes on; meanwhile it sends keep-alives.

    The answer's own pace begins when the message is there.
    """

    def __init__(
        self,
        question: Script,
        wait: contextlib.AbstractContextManager[asyncio.Future[Json]],
        answer: Callable[[Json], Script],
        setup: Setup,
        media: str,
    ) -> None:
        """Prepare.

        Args:
            question: its head asks, its `error` is said when nobody answers, its limits bound the wait.
            wait: yields the message that will be published.
            answer: makes the rest of the stream out of that message.
            setup: what the base URL asked for.
            media: Content-Type of the stream.
        """
        super().__init__(question, setup, media)
        self._wait = wait
        self._answer = answer

    async def _play(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await asyncio.sleep(self._setup.pace.ttft)
        with self._wait as published:  # before the question leaves: the result may come at once
            await _say(send, timed(b"".join(self._script.head)))
            message = await self._published(published, send)
        if message is None:
            await _say(send, timed(b"".join(self._script.error)))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        self._script = self._answer(message)
        await super()._play(scope, send)

    async def _published(self, published: asyncio.Future[Json], send: Send) -> Json | None:
        limits = self._script.limits
        until_s = time.monotonic() + min(PATIENCE_S, limits.idle_s)
        while not published.done() and (left_s := until_s - time.monotonic()) > 0:
            await asyncio.wait({published}, timeout=min(left_s, limits.ping_s))
            if not published.done() and limits.ping_s < left_s:
                await _say(send, self._script.ping)
        return published.result() if published.done() else None


def _check(function: Any) -> None:
    match function:
        case {"name": str(name), "description": str(description)} if _NAME.fullmatch(name) and description.strip():
            pass
        case _:
            raise ValueError("a function needs a name (a JavaScript identifier) and a description")
    match function.get("result", {"data": None}):
        case {"data": _} | {"channel": str(_)}:
            pass
        case _:
            raise ValueError("Result must include at least one of data or channel")


def _arguments(parameters: Any) -> Json:
    """Return an example value for each property of a JSON Schema."""
    match parameters:
        case {"properties": dict(properties)}:
            return {str(name): _example(schema) for name, schema in properties.items()}
        case _:
            return {}


def _example(schema: Any) -> Any:
    match schema:
        case {"enum": [first, *_]}:
            return first
        case {"type": str(kind)}:
            return _EXAMPLES.get(kind)
        case _:
            return None


async def _say(send: Send, data: bytes) -> None:
    if data:
        await send({"type": "http.response.body", "body": data, "more_body": True})
