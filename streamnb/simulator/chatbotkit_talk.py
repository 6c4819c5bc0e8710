"""ChatBotKit's conversations and channels: what was said, whose turn it is, who waits for a published message.

Knows state. Must not know: the bytes of a stream, HTTP, sockets.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from streamnb.simulator.prose import tokens

SPECIAL: Final[dict[str, str]] = {
    "missing": "404 NOT_FOUND",
    "no-plan": "402 NO_SUBSCRIPTION",
    "limit": "429 LIMITS_REACHED",
    "busy": "a bot whose conversations can be created, but answer 409 CONFLICT",
    "silent": "no token and no message: the text stands in the results only",
    "iteration": "the whole answer, then the end reason `iteration`",
    "aborts": "half of the answer, an `abort` event, then the results with the end reason `abort`",
    "late-error": "an error with status 200: in JSON mode the whole reply, in a stream the only event",
}
"""Ids (of a bot or of a conversation) and what they do. Conversations named so never remember a turn."""

LISTED: Final = 137
"""Conversations in the list."""

Json = dict[str, Any]

_MOST: Final = 1000
_FIRST_MS: Final = 1_760_000_000_000
_HOUR_MS: Final = 3_600_000
_TOPICS: Final = ("billing", "delivery", "returns")
_PHASES: Final = 6
_LINE: Final = "\n"
_ID_BYTES: Final = 8


@dataclasses.dataclass(slots=True)
class Conversation:
    """One conversation.

    Attributes:
        id: its id.
        bot: id of its bot; empty = none.
        messages: records as the message list shows them.
        turns: answers begun: each has a text of its own.
    """

    id: str
    bot: str = ""
    messages: list[Json] = dataclasses.field(default_factory=list)
    turns: int = 0

    def say(self, kind: str, text: str) -> str:
        """Keep a message; return its id."""
        now_ms = time.time_ns() // 1_000_000
        self.messages.append(_message(f"msg-{secrets.token_hex(_ID_BYTES)}", kind, text, now_ms))
        return str(self.messages[-1]["id"])


class Conversations:
    """The newest conversations by id. One that nobody created begins when it is first spoken to."""

    def __init__(self) -> None:
        self._by_id: collections.OrderedDict[str, Conversation] = collections.OrderedDict()

    def create(self, bot: str) -> Conversation:
        """Return a new conversation with a bot."""
        return self._keep(Conversation(f"conv_{secrets.token_hex(_ID_BYTES)}", bot))

    def find(self, name: str, seed: int) -> Conversation:
        """Return the conversation with that id; one of the list has its messages already."""
        if name in SPECIAL:
            return Conversation(name)
        known = self._by_id.get(name)
        return known or self._keep(Conversation(name, messages=self.messages(name, seed)))

    def messages(self, name: str, seed: int) -> list[Json]:
        """Return the messages of a conversation, without beginning one."""
        if name in self._by_id:
            return list(self._by_id[name].messages)
        return next((told(seed, number) for number, row in enumerate(listed(seed)) if row["id"] == name), [])

    def _keep(self, conversation: Conversation) -> Conversation:
        self._by_id[conversation.id] = conversation
        while len(self._by_id) > _MOST:
            self._by_id.popitem(last=False)
        return conversation


class Channels:
    """Who waits for a message on which channel. A channel belongs to the key that opened it."""

    def __init__(self) -> None:
        self._waiting: collections.defaultdict[tuple[str, str], list[asyncio.Future[Json]]]
        self._waiting = collections.defaultdict(list)

    @contextlib.contextmanager
    def opened(self, key: str, channel: str) -> Iterator[asyncio.Future[Json]]:
        """Yield the message that will be published."""
        message: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[key, channel].append(message)
        try:
            yield message
        finally:
            self._waiting[key, channel].remove(message)
            if not self._waiting[key, channel]:
                del self._waiting[key, channel]

    def publish(self, key: str, channel: str, message: Json) -> bool:
        """Hand a message to everybody who waits; return whether anybody did."""
        waiting = [future for future in self._waiting.get((key, channel), ()) if not future.done()]
        for future in waiting:
            future.set_result(message)
        return bool(waiting)


def listed(seed: int) -> list[Json]:
    """Return the conversations of the list, oldest first; what is created later is not among them."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible list, no secret
    return [_row(seed, number, int(rng.random() * 2**48)) for number in range(LISTED)]


def told(seed: int, number: int) -> list[Json]:
    """Return the messages of a listed conversation, oldest first."""
    begun_ms = _FIRST_MS + number * _HOUR_MS
    texts = ("".join(tokens(seed + number + turn, 9)).strip() for turn in range(2 * (2 + number % _PHASES)))
    return [
        _message(f"msg-{number:03d}-{turn:02d}", "bot" if turn % 2 else "user", text, begun_ms + 1000 * turn)
        for turn, text in enumerate(texts)
    ]


def _row(seed: int, number: int, noise: int) -> Json:
    begun_ms = _FIRST_MS + number * _HOUR_MS
    return {
        "id": f"conv_{number:03d}{noise:012x}",
        "name": f"{''.join(tokens(seed + number, 6)).split(_LINE)[0].removeprefix('## ')} {number + 1}",
        "description": None,
        "meta": {"topic": _TOPICS[noise % len(_TOPICS)], "urgent": noise % 5 == 0},
        "botId": "bot_support",
        "createdAt": begun_ms,
        "updatedAt": begun_ms + noise % _HOUR_MS,
    }


def _message(name: str, kind: str, text: str, at_ms: int) -> Json:
    return {"id": name, "type": kind, "text": text, "meta": {}, "createdAt": at_ms, "updatedAt": at_ms}
