"""Functions of this process that a model may call: how an API is told of them, and how they are called.

Knows signatures and threads. Must not know: any API, HTTP, IPython.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import threading
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from streamnb.errors import UsageError
from streamnb.events import Tool

Function = Callable[..., Any]

_TYPES: Final[Mapping[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    tuple: "array",
    dict: "object",
}


def declare(name: str, function: Function) -> Tool:
    """What an API is told of a function: its docstring, and its parameters as JSON Schema.

    Args:
        name: what the model calls it.
        function: any callable; annotations of str, int, float, bool, list and dict become types, others none.

    Raises:
        UsageError: it cannot be called, or takes arguments by position only.
    """
    if not callable(function):
        raise UsageError(f"tool {name}: {function!r} is no function.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-ins tell nothing
        return Tool(name, _doc(function), {"type": "object", "properties": {}})
    hints = _hints(function)
    properties: dict[str, Any] = {}
    required = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UsageError(f"tool {name}: a model gives arguments by name, and {parameter.name!r} has none to give.")
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        properties[parameter.name] = _schema(hints.get(parameter.name))
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    schema = {"type": "object", "properties": properties, "required": required}
    return Tool(name, _doc(function), schema)


def _doc(function: Function) -> str:
    return inspect.getdoc(function.func if isinstance(function, functools.partial) else function) or ""


def _hints(function: Function) -> dict[str, Any]:
    with _Caught():  # an annotation is the user's own expression, and may be anything
        return typing.get_type_hints(function)
    return {}


def _schema(hint: Any) -> dict[str, Any]:
    origin = typing.get_origin(hint) or hint
    if origin is typing.Union or origin is types.UnionType:
        kinds = [one for one in typing.get_args(hint) if one is not type(None)]
        return _schema(kinds[0]) if len(kinds) == 1 else {}
    if origin is typing.Literal:
        values = list(typing.get_args(hint))
        alike = all(type(value) is type(values[0]) for value in values)
        return {"enum": values, **(_schema(type(values[0])) if alike else {})}
    kind = _TYPES.get(origin) if isinstance(origin, type) else None
    if kind == "array":
        return {"type": kind, "items": _schema(next(iter(typing.get_args(hint)), None))}  # some APIs insist on items
    return {} if kind is None else {"type": kind}


async def call(function: Function, arguments: Any) -> Any:
    """Call a function in a thread of its own, so that no read waits for it.

    Args:
        function: plain or async.
        arguments: by name; anything else than an object is handed over as the one argument.

    Returns:
        What it returned, if that is JSON, else the exception: it raised, or its result is none.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def deliver(value: Any) -> None:
        if not done.done():  # the run was stopped meanwhile
            done.set_result(value)

    def work() -> None:
        value = _run(function, arguments)
        with contextlib.suppress(RuntimeError):  # the loop ended meanwhile, and nobody waits
            loop.call_soon_threadsafe(deliver, value)

    # A daemon: a function that never returns must not keep the process from ending.
    threading.Thread(target=work, name="streamnb tool", daemon=True).start()
    return await done


def _run(function: Function, arguments: Any) -> Any:
    caught = _Caught()
    with caught:
        value = function(**arguments) if isinstance(arguments, dict) else function(arguments)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return _json(value)
    # What means something to a thread or a loop (SystemExit, StopIteration, CancelledError) is only a value here.
    return caught.error if isinstance(caught.error, Exception) else RuntimeError(f"it raised {caught.error!r}")


def _json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return TypeError(f"it returned something that is no JSON ({error})")
    return value


class _Caught:
    """Whatever the block raises, kept: the code in it is the user's, and its failure is an answer like any other."""

    error: BaseException | None = None

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Keep it."""
        self.error = error
        return True
