"""OpenAI Chat Completions, and every server that speaks it (WIRE.md 8.1).

Knows the chunks of OpenAI, Azure, vLLM, LiteLLM, OpenRouter, Groq, DeepSeek, llama.cpp. Must not know: sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from streamnb.errors import UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.frozen import maker
from streamnb.providers._base import AUTH_STYLES, Call, Ending, Option, Provider, is_loopback, merge, parse
from streamnb.providers._error_body import error_event, says_error
from streamnb.providers._seen import Seen
from streamnb.wire import Frame

DONE = "[DONE]"
_event: Final = maker(Event)


class OpenAIChat(Provider):
    """Any OpenAI-compatible base URL; a key is needed unless the host is loopback."""

    title: ClassVar[str] = "OpenAI Chat Completions and compatible servers"
    doc_url: ClassVar[str] = "https://platform.openai.com/docs/api-reference/chat"
    key_env = "OPENAI_API_KEY"
    key_note: ClassVar[str] = "not needed on loopback"
    base_url = "https://api.openai.com/v1"
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"model": "simulated"})
    stream_name: ClassVar[str] = "chat.completions"
    takes_history: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("path", "path of the endpoint below the base URL", default="/chat/completions"),
        Option("auth", "how the key is sent", default="bearer", choices=tuple(AUTH_STYLES)),
        Option(
            "no_usage", "do not ask for a usage chunk (strict servers refuse stream_options)", "bool", default=False
        ),
    )

    def __init__(self, base_url: str | None = None, key_env: str | None = None, **options: Any) -> None:
        super().__init__(base_url, key_env, **options)
        self._set("auth", self.values["auth"])
        self._set("key_required", not is_loopback(self.base_url))

    def request(self, prompt: Prompt) -> Call:
        """One POST of system prompt, history and prompt."""
        if prompt.model is None and self.key_required and "model" not in prompt.params:
            raise UsageError("openai_chat needs a model: --model NAME (in Python model=...).")
        said = (("system", prompt.system), *prompt.history, ("user", prompt.text))
        messages = [{"role": role, "content": text} for role, text in said if text is not None]
        body: dict[str, Any] = {"model": prompt.model, "messages": messages, "stream": True}
        if not self.values["no_usage"]:
            body["stream_options"] = {"include_usage": True}
        headers, query = self.credentials()
        return Call(
            self.stream_name,
            path=self.values["path"],
            body=merge(body, prompt.params),
            headers=headers,
            query=query,
            stream=True,
        )

    def read(self, frame: Frame, seen: Seen) -> list[Event]:
        """One chunk; or the whole completion, when the server answers plain JSON instead of a stream."""
        if not frame.data.startswith("{") and frame.data.strip() == DONE:
            return [Event("end", name=DONE)]
        chunk, malformed = parse(frame)
        if isinstance(chunk, dict):
            return _chunk(chunk, frame, seen)
        if frame.event == "error":
            return [error_event(chunk, text=frame.data)]
        return [malformed or Event("unknown", data=chunk)]

    def ends(self, event: Event) -> bool:
        """After finish_reason come usage and other answers; only after [DONE] nothing is due."""
        return event.kind == "end" and event.name == DONE

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Without [DONE], every answer (n > 1) needs its own finish_reason."""
        if seen.error is None and None not in seen.ended and not seen.ended.issuperset(seen.choices):
            return ending.cause or Outcome.TRUNCATED
        return super().outcome(seen, ending)


def _chunk(chunk: dict[str, Any], frame: Frame, seen: Seen) -> list[Event]:
    usage, filtered = _usage(chunk), chunk.get("prompt_filter_results")
    choices, found = chunk.get("choices"), list[Event]()
    if frame.event == "error" or chunk.get("error") or (not choices and says_error(chunk)):
        found.append(error_event(chunk))  # OpenRouter sends choices beside it: what they hold is kept
    elif not isinstance(choices, list) and usage is None and not filtered:
        found.append(Event("unknown", data=chunk))
    choices = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    if choices and not seen.count("start"):
        found.append(Event("start", id=_str(chunk.get("id")), name=_str(chunk.get("model"))))
    if filtered and not choices:  # Azure's first chunk
        found.append(Event("trace", name="prompt_filter_results", data=filtered))
    for choice in choices:
        _choice(choice, found)
    if usage is not None:
        found.append(Event("usage", data=usage))
    return found


def _choice(choice: Mapping[str, Any], found: list[Event]) -> None:
    index = choice.get("index")
    index = index if isinstance(index, int) else 0
    delta = choice.get("delta")
    if isinstance(delta, dict):
        content = delta.get("content")
        if len(delta) == 1 and isinstance(content, str):  # nearly every chunk
            if content:
                found.append(_event("delta", content, index))
        else:
            found += _delta(delta, index)
    elif isinstance(choice.get("message"), dict):  # plain JSON instead of a stream
        found += _message(choice["message"], index)
    elif isinstance(choice.get("text"), str) and choice["text"]:  # legacy completions
        found.append(_event("delta", choice["text"], index))
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason:
        found.append(Event("end", choice=index, name=reason))


def _delta(delta: Mapping[str, Any], index: int) -> Iterator[Event]:
    for text in _reasoning(delta):
        yield _event("reasoning", text, index)
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield _event("delta", content, index)
    elif isinstance(content, list):  # Mistral's magistral models: typed parts
        yield from _parts(content, index)
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield _event("delta", refusal, index, name="refusal")
    audio = delta.get("audio")
    if isinstance(audio, dict):
        if isinstance(audio.get("transcript"), str) and audio["transcript"]:
            yield _event("delta", audio["transcript"], index, name="audio")
        if isinstance(audio.get("data"), str):
            yield Event("file", choice=index, name="audio", id=_str(audio.get("id")), data={"data": audio["data"]})
    yield from _tools(delta, index)


def _message(message: Mapping[str, Any], index: int) -> Iterator[Event]:
    for text in _reasoning(message):
        yield _event("reasoning", text, index)
    words = message.get("content") or message.get("refusal")
    if isinstance(words, str) and words:
        yield Event("message", words, index, name="refusal" if not message.get("content") else None)
    elif isinstance(words, list):
        yield from _parts(words, index)
    yield from _tools(message, index)


def _reasoning(delta: Mapping[str, Any]) -> Iterator[str]:
    """DeepSeek, vLLM and LiteLLM say `reasoning_content`, OpenRouter `reasoning`; some send both: count it once."""
    for key in ("reasoning_content", "reasoning"):
        text = delta.get(key)
        if isinstance(text, str) and text:
            yield text
            return
    details = delta.get("reasoning_details")
    for part in details if isinstance(details, list) else ():
        text = (part.get("text") or part.get("summary")) if isinstance(part, dict) else None
        if isinstance(text, str) and text:
            yield text


def _parts(parts: list[Any], index: int) -> Iterator[Event]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"]:
            yield _event("delta", part["text"], index)
        elif isinstance(part, dict) and isinstance(part.get("thinking"), list):
            for inner in part["thinking"]:
                if isinstance(inner, dict) and isinstance(inner.get("text"), str) and inner["text"]:
                    yield _event("reasoning", inner["text"], index)


def _tools(delta: Mapping[str, Any], index: int) -> Iterator[Event]:
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            function = call.get("function")
            function = function if isinstance(function, dict) else {}
            yield Event(
                "tool_call",
                _str(function.get("arguments")) or "",
                index,
                _str(function.get("name")),
                _str(call.get("id")),
                {"index": call.get("index", 0)},
            )
    legacy = delta.get("function_call")
    if isinstance(legacy, dict):
        yield Event("tool_call", _str(legacy.get("arguments")) or "", index, _str(legacy.get("name")))


def _usage(chunk: Mapping[str, Any]) -> dict[str, Any] | None:
    """Usage wherever it stands: top level, `x_groq`, or inside a choice (Moonshot); any non-null one counts."""
    groq = chunk.get("x_groq")
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for usage in (chunk.get("usage"), groq.get("usage") if isinstance(groq, dict) else None, first.get("usage")):
        if isinstance(usage, dict):
            details = usage.get("completion_tokens_details")
            reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
            return {
                "tokens_in": usage.get("prompt_tokens"),
                "tokens_out": usage.get("completion_tokens"),
                "tokens_reasoning": reasoning,
                "usage": "last",
                "raw": usage,
            }
    return None


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None
