"""The vocabulary: what arrived, what it means, what is asked and how a run ended. Frozen values, stdlib only.

Must not know: any API, any socket, any clock, pandas, IPython.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final, Literal

Kind = Literal[
    "start",
    "delta",
    "reasoning",
    "message",
    "citation",
    "tool_call",
    "tool_result",
    "usage",
    "step",
    "file",
    "item",
    "replace",
    "trace",
    "action",
    "session",
    "ping",
    "error",
    "end",
    "unknown",
]

TEXT_KINDS: Final = frozenset({"delta", "reasoning"})
"""Kinds whose text is a piece of the answer; the only ones TTFT, gaps and rates look at."""


class Outcome(enum.StrEnum):
    """How a run ended: exactly one of these, and no other list exists."""

    COMPLETE = "complete"
    LENGTH = "length"
    FILTERED = "filtered"
    TOOL_CALLS = "tool_calls"
    TRUNCATED = "truncated"
    ERROR_IN_STREAM = "error_in_stream"
    HTTP_ERROR = "http_error"
    PROTOCOL_ERROR = "protocol_error"
    CONNECT_ERROR = "connect_error"
    TIMEOUT_FIRST = "timeout_first"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    LIMIT = "limit"
    ENDED_UNVERIFIED = "ended_unverified"
    CRASHED = "crashed"

    @property
    def ok(self) -> bool:
        """True when the API said itself that the answer ended (also by length or with tool calls)."""
        return self in _OK


_OK = frozenset({Outcome.COMPLETE, Outcome.LENGTH, Outcome.TOOL_CALLS, Outcome.ENDED_UNVERIFIED})


@dataclasses.dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call, as an API is told of it.

    Attributes:
        parameters: JSON Schema of its arguments (an object).
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """One thing said to a target.

    Attributes:
        text: what the user says, sent byte-exact.
        system: system prompt, where the API has one.
        model: model name, where the API has one.
        params: extra fields for the body of the streaming request (`--param k=v`).
        reply: a platform's own request to send verbatim instead of `text` (a button pressed).
        tools: functions of this process that the model may call.
        records: instead of a conversation: which list of the platform's records to stream (`Provider.lists`).
        take: at most so many of them.
        fresh_id: a random UUID for what a flow must give a new name: a session, a user. Recorded with the run.
        history: what was said before, oldest first, for APIs that keep no conversation (`Provider.takes_history`):
            (role, text), the role being `user` or `assistant`.
    """

    text: str = ""
    system: str | None = None
    model: str | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reply: Any = None
    tools: tuple[Tool, ...] = ()
    records: str | None = None
    take: int | None = None
    fresh_id: str = ""
    history: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Something the platform offers to answer with: a button and the prompt that presses it."""

    label: str
    prompt: Prompt


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What one frame (or a part of it) means.

    Attributes:
        kind: one of `Kind`.
        text: a piece of the answer (delta, reasoning), a whole message, tool arguments, or an error's message.
        choice: index of the answer it belongs to (OpenAI `n` > 1), else None.
        name: tool, action, error type, finish reason, model: what the kind says.
        id: the platform's identifier of the message, tool call, session or citation.
        data: the JSON value it was read from, as far as it carries more than the fields above.
        flags: what was unusual about the bytes (the frame's flags, `late`).
        choices: what the platform offers to answer with.
        server_ms: the server's own wall clock when it made it (ms since 1970 UTC), where it says so.
    """

    kind: Kind
    text: str = ""
    choice: int | None = None
    name: str | None = None
    id: str | None = None
    data: Any = None
    flags: frozenset[str] = frozenset()
    choices: tuple[Choice, ...] = ()
    server_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """The decoded body bytes that one socket read completed. Only a chunk has a time.

    Attributes:
        seq: number of the chunk in its run, from 0.
        call: number of the call it belongs to, from 0.
        t_ns: CLOCK_MONOTONIC when the read completed, ns.
        n_bytes: length of `data` in bytes.
        wire_bytes: bytes taken from the socket for it (HTTP framing and headers included).
        data: the decoded body bytes, secrets masked in place.
        n_frames: frames it completed.
        stamp_source: where `t_ns` was taken: `read` (the socket read), `chunk` (a client's body iterator), `replay`.
        server_t_ns: the last send time the server put into it (same clock, same machine), ns, or None.
    """

    seq: int
    call: int
    t_ns: int
    n_bytes: int
    wire_bytes: int
    data: bytes
    n_frames: int = 0
    stamp_source: str = "read"
    server_t_ns: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk and the events it completed: what the record and the panel both see."""

    chunk: Chunk
    events: tuple[Event, ...] = ()
