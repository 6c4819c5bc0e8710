"""Ollama's own chat API: JSON Lines from POST /api/chat, here or at ollama.com (WIRE.md 8.5).

Knows the request, the objects of the stream, what ends it. Must not know: sockets, clocks, how models are run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from streamnb.errors import UsageError
from streamnb.events import Event, Outcome, Prompt, Tool
from streamnb.providers._base import Call, Ending, Provider, ReplyHead, merge, parse
from streamnb.providers._error_body import error_event
from streamnb.providers._moment import epoch_ms
from streamnb.providers._seen import Seen
from streamnb.wire import Frame, Framer, JSONBodyFramer, JSONLFramer, SniffFramer
from streamnb.wire.strict_json import JSONError, loads

CLOUD: Final = "ollama.com"
LINES: Final = "application/x-ndjson"
MODEL_OPTIONS: Final = frozenset(
    {"min_p", "num_ctx", "num_predict", "repeat_penalty", "seed", "stop", "temperature", "top_k", "top_p"}
)
"""Documented fields of the body's `options`: anywhere else Ollama ignores them without a word."""

_EMPTY: Final = {"role": "assistant", "content": ""}
_SAID: Final = frozenset({"model", "created_at", "message", "done", "remote_model", "remote_host"})
_SAID_IN_MESSAGE: Final = MappingProxyType(
    {"role": str, "content": str, "thinking": str, "tool_calls": list, "images": list}
)
_HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "400": "Ollama refused the request: check the parameters, and with `ollama show MODEL` what the model can do "
        "(tools, thinking).",
        "401": "Sign in on the machine that runs Ollama (`ollama signin`); for ollama.com check OLLAMA_API_KEY.",
        "403": "This account may not use the model, or cloud models are switched off there.",
        "404": "`ollama pull MODEL` brings a model, `ollama list` shows those that are there; else check the base URL "
        "(one that ends with /v1 is for openai_chat).",
        "429": "A limit of the account is reached; wait{wait} and run it again.",
        "500": "Ollama could not run the model and its log says why: memory that is too small, most often.",
        "502": "Ollama did not reach the cloud that runs this model; check its network.",
        "503": "Ollama has too many requests waiting; wait{wait} and run it again.",
        "connect_error": "Is Ollama running there? Start it (`ollama serve`), or say with --base-url where it runs: "
        "OLLAMA_HOST is not read.",
        "timeout_first": "A large model takes long to load: load it first with a run without a prompt, or allow more "
        "with --timeout-first.",
    }
)


class Ollama(Provider):
    """A model on this machine, on another one, or at ollama.com, which alone wants a key."""

    title: ClassVar[str] = "Ollama /api/chat"
    doc_url: ClassVar[str] = "https://docs.ollama.com/api/chat"
    key_env = "OLLAMA_API_KEY"
    key_required = False
    key_note: ClassVar[str] = "for https hosts; only ollama.com needs it"
    base_url = "http://localhost:11434"
    stream_name: ClassVar[str] = "chat"
    takes_history: ClassVar[bool] = True
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"model": "simulated"})
    hints = _HINTS

    def __init__(self, base_url: str | None = None, key_env: str | None = None, **options: Any) -> None:
        super().__init__(base_url, key_env, **options)
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        self._set("key_required", host == CLOUD or host.endswith("." + CLOUD))
        if key_env is None and parts.scheme != "https":  # a key for the cloud is not shown to servers that want none
            self._set("key_env", None)

    def request(self, prompt: Prompt) -> Call:
        """One POST of system prompt, history, prompt and tools; without a prompt the model is only loaded."""
        if prompt.model is None and "model" not in prompt.params:
            raise UsageError("ollama needs a model: --model NAME (in Python model=...); `ollama list` shows yours.")
        misplaced = sorted(MODEL_OPTIONS.intersection(prompt.params))
        if misplaced:
            example = json.dumps({name: prompt.params[name] for name in misplaced})
            raise UsageError(f"ollama looks for {', '.join(misplaced)} in its options: --param 'options={example}'.")
        said = (("system", prompt.system), *prompt.history, ("user", prompt.text or None))
        body = {
            "model": prompt.model,
            "messages": [{"role": role, "content": text} for role, text in said if text is not None],
            "stream": True,
            "tools": [_tool(tool) for tool in prompt.tools] or None,
        }
        headers, _ = self.credentials()
        return Call(
            self.stream_name,
            path="/chat" if self.base_url.endswith("/api") else "/api/chat",  # its own pages print both base URLs
            body=merge(body, prompt.params),
            headers={"Accept": LINES, **headers},
            stream=True,
        )

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        """Lines, unless the reply does not say so and is one object: what loading, errors and stream=false bring."""
        return JSONLFramer() if head.content_type == LINES else SniffFramer(_by_the_first_line(call.name))

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """One object of the stream, or a whole reply; every event carries the server's own time."""
        said, malformed = parse(frame)
        if malformed is not None:
            yield malformed
        elif not isinstance(said, dict):
            yield Event("unknown", data=said)
        elif said.get("error"):
            yield error_event(said)
        elif not isinstance(said.get("message"), dict) and said.get("done") is not True:
            yield Event("unknown", data=said)
        else:
            server_ms = epoch_ms(said.get("created_at"))
            for event in _object(said, seen, whole=frame.line is None):
                yield dataclasses.replace(event, server_ms=server_ms)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Ollama says `stop` also where the model waits for tools: the calls tell."""
        outcome = super().outcome(seen, ending)
        asked = outcome is Outcome.COMPLETE and seen.count("tool_call") > 0
        return Outcome.TOOL_CALLS if asked else outcome

    def server_t_ns(self, frame: Frame) -> int | None:
        """JSON Lines have no comments: the simulator's stamps come as an empty piece with a field of their own."""
        match frame.value:
            case {"t_ns": int(t_ns), "done": False, "message": message} if message == _EMPTY:
                return t_ns
        return super().server_t_ns(frame)


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _by_the_first_line(name: str) -> Callable[[bytes, bool], Framer | None]:
    """JSON Lines where the first line is JSON, or none could be; else one object, printed over several lines."""

    def decide(prefix: bytes, at_eof: bool) -> Framer | None:
        line, end, _ = prefix.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").partition(b"\n")
        if not end:
            return JSONBodyFramer(name) if at_eof else None
        return JSONLFramer() if not line.startswith(b"{") or _is_json(line) else JSONBodyFramer(name)

    return decide


def _is_json(line: bytes) -> bool:
    try:
        loads(line)
    except JSONError:
        return False
    return True


def _object(said: dict[str, Any], seen: Seen, *, whole: bool) -> Iterator[Event]:
    message = said.get("message")
    message = message if isinstance(message, dict) else {}
    if not seen.count("start"):
        remote = {key: said[key] for key in ("remote_model", "remote_host") if key in said}
        yield Event("start", name=_str(said.get("model")), data=remote or None)
    thinking, content = message.get("thinking"), message.get("content")
    if isinstance(thinking, str) and thinking:
        yield Event("reasoning", thinking)
    if isinstance(content, str) and content:
        yield Event("message" if whole else "delta", content)
    yield from map(_tool_call, _list(message.get("tool_calls")))
    for image in _list(message.get("images")):
        yield Event("file", name="image", data={"data": image})
    if said.get("done") is True:
        yield from _end(said)
    else:  # log probabilities, and what later versions may add or say in another way
        more = {key: said[key] for key in said.keys() - _SAID}
        more |= {key: one for key, one in message.items() if not isinstance(one, _SAID_IN_MESSAGE.get(key, ()))}
        yield from (Event("trace", name=key, data=more[key]) for key in sorted(more) if more[key])


def _tool_call(call: Any) -> Event:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return Event("unknown", name="tool_call", data=call)
    given = function.get("arguments")
    text = given if isinstance(given, str) else "" if given is None else json.dumps(given, ensure_ascii=False)
    return Event("tool_call", text, name=_str(function.get("name")), id=_str(call.get("id")), data=call)


def _end(said: dict[str, Any]) -> Iterator[Event]:
    """The last object: counts, durations (ns). What is 0 the server leaves out: a missing count stays missing."""
    tokens_in, tokens_out = (_int(said.get(key)) for key in ("prompt_eval_count", "eval_count"))
    if tokens_in is not None or tokens_out is not None:
        counts = {key: value for key, value in said.items() if key.endswith("_count")}
        yield Event("usage", data={"tokens_in": tokens_in, "tokens_out": tokens_out, "usage": "last", "raw": counts})
    yield Event("end", name=_str(said.get("done_reason")) or None, data=said)


def _int(value: Any) -> int | None:
    return value if type(value) is int else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None
