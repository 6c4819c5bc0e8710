"""What can go wrong with a stream, as transformations of one API's own bytes.

Knows names, blocks and deadlines. Must not know: HTTP, clocks, any API.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from streamnb.errors import did_you_mean
from streamnb.simulator.pace import Pace

SCENARIOS: Final[dict[str, str]] = {
    "ok": "the whole answer, as the API sends it",
    "stall": "a silence in the middle (stall=SECONDS, 3 unless given; stall_at=TOKEN)",
    "hang": "headers, then nothing for ever",
    "error": "half of the answer, then an error in the API's own form (raw text and Voiceflow have none: it just ends)",
    "truncate": "half of the answer, then a clean end of the body without the API's end signal",
    "cut": "half of the answer, then the connection drops in the middle of an HTTP chunk",
    "http-<code>": "that status with the API's JSON error (400 401 402 403 404 408 409 413 422 429 500 503 529 591)",
    "html-<code>": "that status with an HTML page, as a proxy sends it",
    "json-200": "200 with a whole JSON reply instead of a stream",
    "error-200": "200 with a JSON error instead of a stream",
    "empty": "200 and an empty body",
    "malformed": "one event of broken JSON in the middle; the stream goes on",
    "bad-utf8": "one piece that is not UTF-8 in the middle; the stream goes on",
    "no-done": "everything but the end marker ([DONE], Typebot's d: line, an `end` event, the result)",
    "ping": "a few pieces, then keep-alives every 50 ms and no data for ever",
    "echo-auth": "the answer repeats the key and the query string received, split over two writes inside the secret",
    "usage-everywhere": "token usage on every event that can carry it",
    "late": "events after the end marker",
    "tools": "tool calls: OpenAI's fragments; elsewhere tools of the server, before the answer",
    "reasoning": "a third of the pieces come first, as reasoning",
    "refusal": "OpenAI's refusal field; the finish reason content-filter of Typebot and deepset",
}
"""Every scenario and what it does: the table of `streamnb simulate --help` and of `GET /`."""

CODES: Final = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529, 591)
_CODE: Final = re.compile(r"(http|html)-([45][0-9]{2})")
_FEW: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Out:
    """One write: blocks sent together, `at_s` seconds after the request.

    Attributes:
        at_s: deadline from the request.
        blocks: what is sent.
        stamped: False for the rest of a block begun before.
        torn: only half of it goes out, then the connection drops.
    """

    at_s: float
    blocks: tuple[bytes, ...]
    stamped: bool = True
    torn: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a platform does to a stream by the clock.

    Attributes:
        total_s: the body ends, cleanly and without a word, so long after the request.
        idle_s: a longer silence ends the stream with `timed_out`.
        timed_out: what is said then.
        ping_s: a silence of that length brings a keep-alive.
    """

    total_s: float = math.inf
    idle_s: float = math.inf
    timed_out: tuple[bytes, ...] = ()
    ping_s: float = math.inf


@dataclasses.dataclass(frozen=True, slots=True)
class Script:
    """One answer in one API's own bytes, before a scenario touches it; `body` has deadlines, the rest is sent beside.

    Attributes:
        body: the answer, write by write.
        head: blocks before it.
        tail: blocks after it (finish reason, usage).
        terminal: the end marker, where the API has one.
        error: the API's error inside a stream.
        malformed: an event whose JSON is broken.
        bad_utf8: a piece of text that is not UTF-8.
        late: what a server sends after the end marker when it should not.
        ping: a keep-alive; empty where the framing has none.
        limits: what the platform does by the clock.
        stamp: (send time in ns, block) -> bytes to put before that block.
    """

    body: Iterable[Out]
    head: tuple[bytes, ...] = ()
    tail: tuple[bytes, ...] = ()
    terminal: tuple[bytes, ...] = ()
    error: tuple[bytes, ...] = ()
    malformed: tuple[bytes, ...] = ()
    bad_utf8: tuple[bytes, ...] = ()
    late: tuple[bytes, ...] = ()
    ping: bytes = b""
    stamp: Callable[[int, bytes], bytes] = lambda _t_ns, _block: b""
    limits: Limits = dataclasses.field(default_factory=Limits)


def known(value: str) -> str:
    """Return the scenario's name as it is.

    Raises:
        ValueError: there is no such scenario; the message names the nearest or all.
    """
    if (value in SCENARIOS and "<" not in value) or _CODE.fullmatch(value):
        return value
    raise ValueError(f"there is no such scenario.{did_you_mean(value, SCENARIOS)}")


def status(scenario: str) -> tuple[str, int] | None:
    """Return ("http" or "html", code) of a scenario that answers with an error status, else None."""
    match = _CODE.fullmatch(scenario)
    return (match[1], int(match[2])) if match else None


def perform(script: Script, pace: Pace, scenario: str) -> Iterator[Out]:
    """Yield the writes of `script` under `scenario`, as far as the platform's limits let it come."""
    yield from _limited(_placed(script, pace, scenario), script)


def _limited(outs: Iterable[Out], script: Script) -> Iterator[Out]:
    limits, last_s = script.limits, 0.0
    for out in outs:
        silent_until = min(out.at_s, last_s + limits.idle_s, limits.total_s)
        while script.ping and last_s + limits.ping_s < silent_until:
            last_s += limits.ping_s
            yield Out(last_s, (script.ping,), stamped=False)
        if out.at_s > limits.total_s and silent_until == limits.total_s:
            yield Out(limits.total_s, ())
            return
        if silent_until < out.at_s:
            yield Out(silent_until, limits.timed_out)
            return
        last_s = out.at_s
        yield out


def _placed(script: Script, pace: Pace, scenario: str) -> Iterator[Out]:
    at_s = pace.ttft
    for item in _chosen(script, -(-pace.tokens // pace.burst), scenario):
        out = Out(at_s, (item,)) if isinstance(item, bytes) else item
        at_s = out.at_s  # what stands beside the answer is due with its neighbour
        yield out


def _chosen(script: Script, count: int, scenario: str) -> Iterable[bytes | Out]:
    body = iter(script.body)
    half: Iterable[bytes | Out] = itertools.chain(script.head, itertools.islice(body, max(1, count // 2)))
    end = itertools.chain(script.tail, script.terminal)
    chosen: Iterable[bytes | Out] = itertools.chain(script.head, body, end)
    match scenario:
        case "hang" | "empty":
            chosen = ()
        case "ping":
            chosen = itertools.chain(script.head, itertools.islice(body, _FEW))
        case "truncate":
            chosen = half
        case "cut":
            torn = (dataclasses.replace(out, torn=True) for out in body)
            chosen = itertools.chain(script.head, itertools.islice(body, count // 2), torn)
        case "error":
            chosen = itertools.chain(half, script.error)
        case "malformed":
            chosen = itertools.chain(half, script.malformed, body, end)
        case "bad-utf8":
            chosen = itertools.chain(half, script.bad_utf8, body, end)
        case "no-done":
            chosen = itertools.chain(script.head, body, script.tail)
        case "late":
            chosen = itertools.chain(chosen, script.late)
    return chosen
