"""What a request to Ollama's /api/chat asks for, and what is wrong with it.

Knows the request's fields and checks. Must not know: the answer, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, Final

_LEVELS: Final = ("high", "medium", "low")
_UNLIMITED: Final = -1
_EXAMPLES: Final[dict[str, Any]] = {
    "string": "Río Tinto",
    "integer": 3,
    "number": 3.5,
    "boolean": True,
    "array": [],
    "object": {},
}


class AskError(Exception):
    """A request that is refused: the status, and the text of its `error`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call, and the arguments it will call it with."""

    name: str
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One request, checked.

    Attributes:
        model: name to answer under.
        stream: a stream is wanted: so it is unless `stream` is false.
        thinks: `think` is true or a level.
        loads: there are no messages: the model is loaded, or taken out of memory when `keep_alive` is 0.
        unloads: the latter.
        tool: the first function offered, while its result is not among the messages.
        heard: what the functions returned, if that is what the last messages say.
        tokens: pieces of the answer: the pace's, or fewer by `num_predict`.
        cut: True when `num_predict` made it fewer (done_reason `length`).
        prompt_tokens: rough size of the messages, words.
    """

    model: str
    stream: bool
    thinks: bool
    loads: bool
    unloads: bool
    tool: Tool | None
    heard: tuple[str, ...]
    tokens: int
    cut: bool
    prompt_tokens: int


def read_ask(body: bytes, tokens: int) -> Ask:
    """Read a request's body; `tokens` is the length of an answer that no `num_predict` cuts.

    Raises:
        AskError: 400 or 404, as the server answers.
    """
    value = _object(body)
    model = value.get("model")
    if not isinstance(model, str) or not model:
        raise AskError(400, "model is required")
    if model.partition(":")[0] == "missing":
        raise AskError(404, f"model '{model}' not found")
    messages, tools = _objects(value, "messages"), _objects(value, "tools")
    thinks = _thinks(value.get("think"))
    if model.partition(":")[0] == "plain":
        _refuse_skills(model, tools=bool(tools), thinks=thinks)
    most = _most(value.get("options"))
    heard = _heard(messages)
    return Ask(
        model=model,
        stream=value.get("stream") is not False,
        thinks=thinks,
        loads=not messages,
        unloads=not messages and value.get("keep_alive") in (0, "0"),
        tool=_tool(tools[0]) if tools and not heard else None,
        heard=heard,
        tokens=tokens if most == _UNLIMITED else min(most, tokens),
        cut=_UNLIMITED < most < tokens,
        prompt_tokens=len(re.findall(r"\w+|[^\w\s]", json.dumps(messages))),
    )


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        raise AskError(400, "missing request body")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AskError(400, "the request body is not JSON") from error
    if not isinstance(value, dict):
        raise AskError(400, "the request body is not a JSON object")
    return value


def _objects(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise AskError(400, f"{name} must be an array of objects")
    return found


def _thinks(think: Any) -> bool:
    if think is None or isinstance(think, bool):
        return think is True
    if think not in _LEVELS:
        raise AskError(
            400, f'invalid think value: {json.dumps(think)} (must be "high", "medium", "low", true, or false)'
        )
    return True


def _refuse_skills(model: str, *, tools: bool, thinks: bool) -> None:
    if tools:
        raise AskError(400, f"{model} does not support tools")
    if thinks:
        raise AskError(400, f'"{model}" does not support thinking')


def _most(options: Any) -> int:
    if options is not None and not isinstance(options, dict):
        raise AskError(400, "options must be an object")
    most = (options or {}).get("num_predict", _UNLIMITED)
    if type(most) is not int:
        raise AskError(400, 'option "num_predict" must be of type integer')
    return max(most, _UNLIMITED)


def _tool(declared: dict[str, Any]) -> Tool:
    match declared:
        case {"function": {"name": str(name), **rest}}:
            return Tool(name, _arguments(rest.get("parameters")))
        case _:
            raise AskError(400, "a tool needs a function with a name")


def _arguments(schema: Any) -> dict[str, Any]:
    """An example of every declared argument, by its type."""
    match schema:
        case {"properties": dict(properties)}:
            kinds = {name: one.get("type") for name, one in properties.items() if isinstance(one, dict)}
            return {name: _EXAMPLES.get(str(kind)) for name, kind in kinds.items()}
        case _:
            return {}


def _heard(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    heard: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        heard.insert(0, str(message.get("content", "")))
    return tuple(heard)
