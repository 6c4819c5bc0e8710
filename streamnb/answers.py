"""Answers: functions that a stream asks this process to call, called and answered while it goes on.

Knows events and a provider's side calls. Must not know: HTTP, sockets, clocks, what any API calls things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streamnb.events import Event
from streamnb.functions import Function, call
from streamnb.providers import Call, Provider


class Answers:
    """Hears every event of a stream; what asks for a function gets its result.

    Args:
        functions: by the name that the model calls them.
        post: sends a side call; returns what went wrong with it, or None.
        note: hears, in one line, of a function that is missing or failed and of an answer that did not get through.
    """

    def __init__(
        self,
        provider: Provider,
        functions: Mapping[str, Function],
        post: Callable[[Call], Awaitable[str | None]],
        note: Callable[[str], None],
    ) -> None:
        self._provider = provider
        self._functions = functions
        self._post = post
        self._note = note
        self._tasks: set[asyncio.Task[None]] = set()
        self._posting: set[asyncio.Task[Any]] = set()

    def hear(self, event: Event) -> None:
        """Take an event; never waits."""
        if event.kind != "action" or self._provider.answer(event, None) is None:
            return
        task = asyncio.create_task(self._answer(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, grace_s: float) -> None:
        """The stream is over: nobody waits for a function any more, but replies under way may still come in."""
        for task in self._tasks - self._posting:
            task.cancel()
        if self._posting:
            await asyncio.wait(self._posting, timeout=grace_s)
        self.cancel()

    def cancel(self) -> None:
        """Nothing more is to be sent or read."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, event: Event) -> None:
        side = self._provider.answer(event, await self._value(event))
        task = asyncio.current_task()
        if side is None or task is None:
            return
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)
        problem = await self._post(side)
        if problem is not None:
            self._note(f"The answer of {event.name} did not get through. {problem}")

    async def _value(self, event: Event) -> Any:
        name, who = str(event.name), self._provider.name
        function = self._functions.get(name)
        if function is None:
            self._note(
                f"{who} asked for the function {name!r}, and there is none; it was told so. "
                f"Give one with --tool {name}=FUNCTION (in Python tools={{{name!r}: function}})."
            )
            return LookupError(f"this client has no function {name!r}")
        data = event.data if isinstance(event.data, Mapping) else {}
        value = await call(function, data.get("args") or {})
        if isinstance(value, Exception):
            self._note(f"Your function {name} failed, and {who} was told so: {type(value).__name__}: {value}")
        return value
