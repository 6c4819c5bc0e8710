"""What the lines of a transcript are: frozen values and the types of their fields.

Knows ARCHITECTURE 4. Must not know: JSON, files, clocks, sockets, providers, what a run means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

VERSION: Final = 1
"""Version of the format; a later one may only append fields and types of lines, or it counts up."""

Clock = dict[str, int]
Headers = list[tuple[str, str]]
Timings = dict[str, float | str | None]


@dataclasses.dataclass(frozen=True, slots=True)
class RunLine:
    """The first line: what was asked of whom.

    Attributes:
        run_id: name of the run.
        provider: file stem of the provider.
        target: what the user typed.
        options: provider and client options, redacted.
        prompt: fields of `Prompt`, redacted.
        clock: one moment on both clocks: `t_ns` (CLOCK_MONOTONIC) and `wall_ns` (since 1970 UTC), ns.
        pid: the process that writes.
        meta: anything else (cell, package versions).
        v: version of this format.
    """

    run_id: str
    provider: str
    target: str
    options: dict[str, Any]
    prompt: dict[str, Any]
    clock: Clock
    pid: int
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)
    v: int = dataclasses.field(default=VERSION, kw_only=True)


@dataclasses.dataclass(frozen=True, slots=True)
class CallLine:
    """A request, redacted, as it goes out. `n` numbers the calls of a run from 0; `t_ns` is CLOCK_MONOTONIC.

    Attributes:
        side: it goes out while an earlier call's reply still streams, and answers something in it.
        setup: streamed, but t0 does not count from it.
    """

    n: int
    t_ns: int
    name: str
    method: str
    url: str
    headers: Headers
    body: Any = None
    stream: bool = False
    side: bool = False
    setup: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ReplyLine:
    """Status and headers of a reply.

    Attributes:
        n: number of the call.
        t_ns: CLOCK_MONOTONIC when the headers were complete, ns.
        status: HTTP status.
        headers: (name, value), redacted.
        framing: `chunked`, `length` or `close` (R4), None when not known.
        timings: dns_s, connect_s, tls_s (s), t0_ns, sent_ns, headers_ns (CLOCK_MONOTONIC), reused, transport (its
            name); None = not measured.
    """

    n: int
    t_ns: int
    status: int
    headers: Headers
    framing: str | None = None
    timings: Timings = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReadLine:
    """The decoded body bytes that one read of the socket completed, secrets masked in place.

    Attributes:
        n: number of the call.
        s: number of the read in its run.
        t_ns: CLOCK_MONOTONIC when the read completed, ns.
        k_ns: when the kernel had the bytes, same clock, or None.
        w: bytes taken from the socket, HTTP framing included.
        h: bytes the scrubber holds back after it.
        b: the bytes. On disk: text if they are UTF-8, else `{"base64": ...}`; beside it their CRC-32 as `crc`.
        stamp: where `t_ns` was taken: `read` (the socket) or `chunk` (a client's iterator).
    """

    n: int
    s: int
    t_ns: int
    k_ns: int | None = None
    w: int
    h: int
    b: bytes
    stamp: str = "read"


@dataclasses.dataclass(frozen=True, slots=True)
class DoneLine:
    """The body of a side call is over; every other body is over where the next call, or the end, stands."""

    n: int
    t_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class EndLine:
    """The last line: how the run ended (R1), what the connection said, what was counted. Without it: crashed."""

    outcome: str
    error: str | None
    ending: dict[str, Any]
    counts: dict[str, Any]
    t_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class OtherLine:
    """A line of a type that this version does not know: a later version appended it."""

    kind: str


Line = RunLine | CallLine | ReplyLine | ReadLine | DoneLine | EndLine

LINES: Final[Mapping[str, type[Line]]] = {
    "run": RunLine,
    "call": CallLine,
    "reply": ReplyLine,
    "read": ReadLine,
    "done": DoneLine,
    "end": EndLine,
}
"""The type tag `t` on disk and what it stands for."""


def is_int(value: Any) -> bool:
    """A JSON integer that fits a table's column (int64)."""
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_clock(value: Any) -> bool:
    return isinstance(value, dict) and is_int(value.get("t_ns")) and is_int(value.get("wall_ns"))


def _is_headers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_pair, value))


def _is_pair(value: Any) -> bool:
    match value:
        case [str(), str()]:
            return True
        case _:
            return False


def _is_timings(value: Any) -> bool:
    return isinstance(value, dict) and all(
        item is None
        or (isinstance(item, str) if name == "transport" else isinstance(item, (float, bool)) or is_int(item))
        for name, item in value.items()
    )


CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "Any": lambda _: True,
    "Clock": _is_clock,
    "Headers": _is_headers,
    "Timings": _is_timings,
    "bool": lambda value: isinstance(value, bool),
    "bytes": lambda value: isinstance(value, bytes),
    "dict[str, Any]": lambda value: isinstance(value, dict),
    "int": is_int,
    "int | None": lambda value: value is None or is_int(value),
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
}
"""By annotation: whether a value decoded from JSON is one."""
