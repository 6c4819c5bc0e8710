"""One answer of Ollama's /api/chat, as JSON Lines and as a whole.

Knows the objects of this API's answers and the models that change them. Must not know: requests, HTTP, sockets.
"""

from __future__ import annotations

import datetime as dt
import secrets
import string
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamnb.simulator.blocks import dumps
from streamnb.simulator.ollama_ask import Ask, Tool
from streamnb.simulator.pace import deadlines, writes
from streamnb.simulator.prefix import Setup
from streamnb.simulator.prose import tokens
from streamnb.simulator.scenarios import Out, Script

SPECIAL: Final[dict[str, str]] = {
    "missing": "404: it was never pulled",
    "plain": "400 to a request with tools or thinking, as models without these answer",
    "cloud": "every object says which remote model and host answered",
    "held-back": "the last object brings the end of the text, as where the server looked for tool calls in it",
    "undone": "done_reason comes in the last object, but `done: true` never does",
}
"""Models and how they answer (a tag behind the name, as in `cloud:latest`, changes nothing); all others just answer."""

Json = dict[str, Any]

_S: Final = 1_000_000_000
_DATE: Final = b'"created_at":""'  # inside strings quotes are escaped: nothing else looks like this
_LETTERS: Final = string.ascii_lowercase + string.digits
_CALLS: Final = (Tool("river_level", {"name": "Río Tinto", "days": 3}), Tool("river_level", {"name": "Ångerman"}))
_REMOTE: Final = {"remote_model": "far-away", "remote_host": "https://ollama.example"}
_FAILED: Final = "an error was encountered while running the model"


class Answer:
    """The answer to one request."""

    def __init__(self, ask: Ask, setup: Setup) -> None:
        self._ask = ask
        self._pace = setup.pace
        self._special = ask.model.partition(":")[0]
        self._everywhere = setup.scenario == "usage-everywhere"
        thinks = setup.scenario == "reasoning" or ask.thinks
        self._thought = ask.tokens // 3 if thinks else 0
        calls = _CALLS if setup.scenario == "tools" else ()
        self._calls = [_call(number, one) for number, one in enumerate(calls or filter(None, (ask.tool,)))]

    def script(self, body: Iterable[Out] | None = None) -> Script:
        """Return the answer in bytes; `body` stands in place of the pieces."""
        return Script(
            body=self._body() if body is None else body,
            terminal=(_line(self._last(_message(self._kept_back()))),),
            error=(_line({"error": _FAILED}),),
            malformed=(b'{"model":"broken","created_at":"","message":{"role":"assistant","content":\n',),
            bad_utf8=(self.piece("<odd>").replace(b"<odd>", b"\xff\xfe"),),
            late=(self.piece("late"),),
            stamp=self._stamp,
        )

    def whole(self, content: str | None = None) -> Json:
        """Return the same answer as one object (`stream: false`), with another content if one is given."""
        messages = [message for _, group in self._groups() for message in group]
        text, thinking = ("".join(one.get(key, "") for one in messages) for key in ("content", "thinking"))
        calls = [call for message in messages for call in message.get("tool_calls", ())]
        return dated_value(self._last(_message(text if content is None else content, thinking, calls)))

    def loaded(self) -> Json:
        """Return the reply to a request without messages."""
        done = {"done": True, "done_reason": "unload" if self._ask.unloads else "load"}
        return dated_value({**self._head(), "message": _message(), **done})

    def piece(self, content: str) -> bytes:
        """Return a piece of text as a line."""
        return _line(self._object(_message(content)))

    def _body(self) -> Iterator[Out]:
        sent = 0
        for at_s, messages in self._groups():
            blocks = []
            for message in messages:
                sent += 1
                counts = self._counts(sent) if self._everywhere else {}
                blocks.append(_line({**self._object(message), **counts}))
            if self._special == "held-back" and sent == self._ask.tokens and not self._calls:
                blocks.pop()
            yield Out(at_s, tuple(blocks))

    def _groups(self) -> Iterator[tuple[float, list[Json]]]:
        """Messages that are sent together, with their deadline."""
        if self._calls:
            due = deadlines(self._pace, len(self._calls))
            yield from ((at_s, [_message(calls=[call])]) for at_s, call in zip(due, self._calls, strict=True))
            return
        number = 0
        for at_s, pieces in writes(self._pace):
            yield at_s, [self._said(number + n, piece) for n, piece in enumerate(pieces)]
            number += len(pieces)

    def _said(self, number: int, piece: str) -> Json:
        if number < self._thought:
            return _message(thinking=piece)
        heard = "".join(f"{text}\n\n" for text in self._ask.heard) if number == self._thought else ""
        return _message(heard + piece)

    def _kept_back(self) -> str:
        if self._special != "held-back" or self._calls:
            return ""
        return "".join([*tokens(self._pace.seed, self._pace.tokens)][-1:])

    def _last(self, message: Json) -> Json:
        """Return the object that ends an answer: the reason, the counts, the durations (ns); what is 0 is left out."""
        pace = self._pace
        first = round(pace.ttft * _S)
        stalled_s = pace.stall if 0 <= pace.stall_at < pace.tokens else 0.0
        rest = round((pace.gap * max(0, -(-pace.tokens // pace.burst) - 1) + stalled_s) * _S)  # by the mean gap
        metrics = {
            "total_duration": first + rest,
            "load_duration": first // 3,
            "prompt_eval_count": self._ask.prompt_tokens,
            "prompt_eval_duration": first - first // 3,
            "eval_count": self._ask.tokens,
            "eval_duration": rest,
        }
        reason = "length" if self._ask.cut else "stop"
        done = {"done": self._special != "undone", "done_reason": reason}
        return {**self._head(), "message": message, **done, **{key: one for key, one in metrics.items() if one}}

    def _counts(self, sent: int) -> Json:
        return {"prompt_eval_count": self._ask.prompt_tokens, "eval_count": sent}

    def _object(self, message: Json) -> Json:
        return {**self._head(), "message": message, "done": False}

    def _head(self) -> Json:
        return {"model": self._ask.model, **(_REMOTE if self._special == "cloud" else {}), "created_at": ""}

    def _stamp(self, t_ns: int, block: bytes) -> bytes:
        """Return a line with the send time: a piece without text, with a field more that no client takes notice of."""
        if not block.startswith(b'{"model":'):
            return b""
        return _line({**self._object(_message()), "t_ns": t_ns})


def dated(data: bytes, t_ns: int) -> bytes:
    """Return the lines with their `created_at`: `t_ns` since 1970, as Go writes it (RFC 3339, no zeros at the end)."""
    return data.replace(_DATE, b'"created_at":"%s"' % _date(t_ns).encode())


def dated_value(value: Json) -> Json:
    """Return an object with its `created_at`: now."""
    return {**value, "created_at": _date(time.time_ns())}


def _date(t_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(t_ns // _S, dt.UTC)
    fraction = f".{t_ns % _S:09d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _message(content: str = "", thinking: str = "", calls: list[Json] | None = None) -> Json:
    """Return a message; what is empty is left out, except the content."""
    more = {"thinking": thinking, "tool_calls": calls}
    return {"role": "assistant", "content": content, **{key: value for key, value in more.items() if value}}


def _call(number: int, tool: Tool) -> Json:
    name = "call_" + "".join(secrets.choice(_LETTERS) for _ in range(8))
    return {"id": name, "function": {"index": number, "name": tool.name, "arguments": tool.arguments}}


def _line(value: Json) -> bytes:
    return dumps(value).encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate becomes its escape in JSON
