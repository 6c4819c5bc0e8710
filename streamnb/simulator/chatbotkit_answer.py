"""One answer of ChatBotKit as events: the user's turn again, a search, a function call, tokens, usage, the results.

Knows the order and the shape of these events. Must not know: framings, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from streamnb.simulator.blocks import dumps
from streamnb.simulator.chatbotkit_functions import Function
from streamnb.simulator.chatbotkit_lines import Encode, stamp
from streamnb.simulator.pace import Pace, writes
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Limits, Out, Script

GENERIC_ERROR: Final = {"message": "Something went wrong", "code": "GENERIC_ERROR"}
"""What every error inside a stream is masked as, unless it is safe to show."""

Json = dict[str, Any]
Event = tuple[str, Any]

_PLATFORM: Final = Limits(total_s=800.0, ping_s=10.0)
_TIMEOUT: Final = {"message": "Timeout", "code": "TIMEOUT"}
_REASONS: Final = {"iteration": "iteration", "aborts": "abort"}
_MODEL: Final = "simulated-1"


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What is to be answered.

    Attributes:
        call: `complete` (in a conversation), `stateless`, or `receive` (which has no user's turn and fewer results).
        pace: how fast the answer comes, and the seed of its text.
        scenario: for what changes inside the answer (reasoning, usage-everywhere).
        text: what the user said now; None = nothing.
        sent: id of that message, where there is a conversation.
        words: size of all that was said, for the usage.
        instead: what stands in place of the prose.
        search: a dataset is searched before the answer.
        special: a name of `chatbotkit_talk.SPECIAL`, or empty.
    """

    call: str
    pace: Pace
    scenario: str = "ok"
    text: str | None = None
    sent: str | None = None
    words: int = 1
    instead: str | None = None
    search: bool = False
    special: str = ""


class Answer:
    """The answer to one turn."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._id = f"msg-{secrets.token_hex(8)}"
        self._round = {"instance": f"in-{secrets.token_hex(4)}", "iteration": f"it-{secrets.token_hex(4)}"}
        self._operation = {"id": f"op-{secrets.token_hex(4)}", "action": f"action-{secrets.token_hex(4)}"}
        self._opening = [*self._sent(), ("completeBegin", self._round), *self._searched()]
        self._before: tuple[str, ...] = ()
        count = turn.pace.tokens
        self._thought = count // 3 if turn.scenario == "reasoning" else 0
        self._kept = count // 2 if turn.special == "aborts" else count

    @functools.cached_property
    def text(self) -> str:
        """The whole text, or as much as there will be of it."""
        if self._turn.instead is not None:
            return self._turn.instead
        pace = self._turn.pace
        pieces = itertools.islice(tokens(pace.seed, pace.tokens), self._thought, self._kept)
        return "".join((*self._before, *pieces))

    def ask(self, function: Function) -> list[Event]:
        """Return the events before the client is to answer a function call."""
        return [
            *self._opening,
            ("operationBegin", self._called(function)),
            ("waitForChannelMessageBegin", function.data),
        ]

    def hear(self, function: Function, message: Json) -> None:
        """Go on with what was published: the answer begins with it."""
        ended = {**function.data, "message": message}
        self._opening = [("waitForChannelMessageEnd", ended), ("operationEnd", self._called(function))]
        if error := message.get("error"):
            self._before = (function.name, " failed: ", _words(error), ".\n\n")
        else:
            value = message.get("data", message.get("result", message))
            self._before = (function.name, " returned ", _words(value), ".\n\n")

    def whole(self) -> Json:
        """Return the result, which is also the reply in JSON mode; `receive` sends it without an end reason."""
        if self._turn.special == "late-error":
            return GENERIC_ERROR
        named = {} if self._turn.call == "stateless" else {"id": self._id}
        ended = {} if self._turn.call == "receive" else {"end": {"reason": _REASONS.get(self._turn.special, "stop")}}
        usage = {"token": self._turn.words + self._output()}
        return {**named, "text": self.text, "usage": usage, **ended}

    def script(self, encode: Encode, body: Iterable[Out] | None = None) -> Script:
        """Return the answer in one form; `body` stands in place of the pieces of text."""
        if self._turn.special == "late-error":
            return script((), encode, terminal=[("error", GENERIC_ERROR)])
        result = self.whole()
        results = [] if self._turn.call == "receive" else [("receiveResult", result)]
        return script(
            self._body(encode) if body is None else body,
            encode,
            head=self._opening,
            tail=[*self._closing(), *results],
            terminal=[("result", result)],
        )

    def _sent(self) -> list[Event]:
        turn = self._turn
        if turn.text is None or turn.call == "receive":
            return []
        named = {} if turn.sent is None else {"id": turn.sent}
        return [("sendResult", {**named, **sent(turn.text)})]

    def _searched(self) -> list[Event]:
        if not self._turn.search:
            return []
        action = {"id": f"action-{secrets.token_hex(4)}", "kind": "dataset", "name": "search"}
        name, said = f"op-{secrets.token_hex(4)}", self._turn.text or ""
        begun = {**action, "input": said, "justification": "The answer may stand in the dataset."}
        return [("operationBegin", {"id": name, "action": begun}), ("operationEnd", {"id": name, "action": action})]

    def _called(self, function: Function) -> Json:
        action = {"id": self._operation["action"], "kind": "function", "name": function.name, "input": function.args}
        return {"id": self._operation["id"], "action": action}

    def _closing(self) -> list[Event]:
        match self._turn.special:
            case "aborts":
                return [("abort", {**self._round, "reason": "The completion was stopped."}), *self._usage()]
            case "silent":
                return [*self._usage(), ("completeEnd", self._round)]
            case _:
                message = {"type": "bot", "text": self.text}
                return [*self._usage(), ("message", message), ("completeEnd", self._round)]

    def _usage(self) -> list[Event]:
        """Return the usage: one event for each call of the model, so a client has to add them up."""
        used = [(self._turn.words, self._output())]
        if self._turn.scenario == "usage-everywhere":
            used = [(1, 0), (self._turn.words - 1, self._output())]
        return [
            ("usage", {"model": _MODEL, "inputTokensUsed": tokens_in, "outputTokensUsed": tokens_out})
            for tokens_in, tokens_out in used
        ]

    def _output(self) -> int:
        return len(self._before) + self._kept

    def _body(self, encode: Encode) -> Iterator[Out]:
        pace = self._turn.pace
        if self._before:
            yield Out(pace.ttft, tuple(encode("token", {"token": piece}) for piece in self._before))
        if self._turn.special == "silent":
            yield Out(duration(pace), ())
            return
        number = 0
        for at_s, pieces in writes(pace):
            kept = pieces[: max(0, self._kept - number)]
            kinds = ("reasoningToken" if n < self._thought else "token" for n in itertools.count(number))
            if kept:
                yield Out(at_s, tuple(encode(kind, {"token": piece}) for kind, piece in zip(kinds, kept, strict=False)))
            number += len(pieces)


def script(
    body: Iterable[Out],
    encode: Encode,
    *,
    head: Sequence[Event] = (),
    tail: Sequence[Event] = (),
    terminal: Sequence[Event] = (),
) -> Script:
    """Return events around a body as a script, with all that a scenario can do to them."""
    return Script(
        body=body,
        head=blocks(head, encode),
        tail=blocks(tail, encode),
        terminal=blocks(terminal, encode),
        error=(encode("error", GENERIC_ERROR),),
        malformed=(broken(encode, "token"),),
        bad_utf8=(encode("token", {"token": "<odd>"}).replace(b"<odd>", b"\xff\xfe"),),
        late=(encode("token", {"token": "late"}),),
        ping=encode("ping", {}, timed=False),
        stamp=stamp,
        limits=dataclasses.replace(_PLATFORM, timed_out=(encode("error", _TIMEOUT),)),
    )


def blocks(events: Iterable[Event], encode: Encode) -> tuple[bytes, ...]:
    """Return the bytes of each event."""
    return tuple(encode(kind, data) for kind, data in events)


def broken(encode: Encode, kind: str) -> bytes:
    """Return an event whose JSON stops in the middle."""
    whole = encode(kind, {"token": ""}, timed=False)
    return whole.replace(b'""}', b"", 1)


def sent(text: str) -> Json:
    """Return what the server says about a message of the user."""
    return {"text": text, "entities": [], "usage": {"token": count(text)}}


def count(text: str) -> int:
    """Return the rough size of a text in tokens: its words."""
    return max(1, len(text.split()))


def duration(pace: Pace) -> float:
    """Return when the last piece of an answer is due, seconds from the request."""
    return max((write.at_s for write in writes(pace)), default=pace.ttft)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)
