"""Functions that a model may call: what an API is told of them, and what comes of calling them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import json
import threading
from typing import Annotated, Any, Literal, Optional

import pytest

from streamnb.errors import UsageError
from streamnb.functions import call, declare


def weather(city: str, days: int = 3, *, exact: bool = False) -> dict[str, Any]:
    """Tell the weather.

    Only for places on land.
    """
    return {"city": city, "days": days, "exact": exact}


def test_a_function_is_declared_with_its_docstring_and_its_parameters():
    tool = declare("forecast", weather)
    assert (tool.name, tool.description) == ("forecast", "Tell the weather.\n\nOnly for places on land.")
    assert tool.parameters == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"}},
        "required": ["city"],
    }


def properties(function: Any) -> dict[str, Any]:
    return declare("f", function).parameters["properties"]


def test_only_annotations_that_json_has_a_type_for_become_types():
    def function(  # noqa: PLR0913, PLR0917
        a: float,
        b: list[int],
        c: dict[str, int],
        d: tuple[int, ...],
        e: bytes,
        f: Annotated[int, "metres"],
        g: Any,
        h=None,
    ): ...

    assert properties(function) == {
        "a": {"type": "number"},
        "b": {"type": "array", "items": {"type": "integer"}},
        "c": {"type": "object"},
        "d": {"type": "array", "items": {"type": "integer"}},
        "e": {},
        "f": {"type": "integer"},
        "g": {},
        "h": {},
    }


def test_one_of_some_words_is_those_words_with_their_type_if_they_have_one_in_common():
    def function(a: Literal["cold", "warm"], b: Literal[1, 2], c: Literal["cold", 3], d: Literal["x"] | None): ...

    assert properties(function) == {
        "a": {"enum": ["cold", "warm"], "type": "string"},
        "b": {"enum": [1, 2], "type": "integer"},
        "c": {"enum": ["cold", 3]},
        "d": {"enum": ["x"], "type": "string"},
    }


def test_a_value_that_may_be_none_has_the_other_type_and_one_of_several_has_none():
    def function(a: str | None, b: Optional[int] = None, c: int | str = 0, d: list[str] | None = None): ...  # noqa: UP045

    words = {"type": "array", "items": {"type": "string"}}  # some APIs insist on items
    assert properties(function) == {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {}, "d": words}


def test_a_function_without_a_docstring_has_an_empty_description_and_none_without_parameters_no_properties():
    tool = declare("now", lambda: 0)
    assert (tool.description, tool.parameters) == ("", {"type": "object", "properties": {}, "required": []})


def test_what_takes_anything_declares_only_what_has_a_name():
    def function(a: int, *args: int, b: int = 2, **more: int): ...

    tool = declare("f", function)
    assert list(tool.parameters["properties"]) == ["a", "b"]
    assert tool.parameters["required"] == ["a"]


class Thermometer:
    """Reads a temperature."""

    unit: str = "C"

    def read(self, place: str) -> str:
        """Read it there."""
        return f"{place}: 20 {self.unit}"

    def __call__(self, place: str) -> str:
        return self.read(place)


def test_methods_and_objects_that_can_be_called_are_functions_too():
    assert declare("m", Thermometer().read).parameters["required"] == ["place"]
    assert declare("m", Thermometer().read).description == "Read it there."
    tool = declare("o", Thermometer())
    assert (tool.description, list(tool.parameters["properties"])) == ("Reads a temperature.", ["place"])
    assert list(properties(functools.partial(weather, "Oslo"))) == ["days", "exact"]


def test_a_class_that_tells_nothing_of_its_arguments_is_declared_without_any():
    assert declare("d", dict).parameters == {"type": "object", "properties": {}}


def test_a_name_in_an_annotation_that_is_not_there_any_more_leaves_the_parameters_without_a_type():
    def function(a: NoSuchName, b: int): ...  # noqa: F821

    assert properties(function) == {"a": {}, "b": {}}


@pytest.mark.parametrize("annotation", ["the name of a city", "1 / 0", ["a", "list"], {"not": "hashable"}], ids=repr)
def test_an_annotation_that_is_no_type_is_no_type(annotation: Any):
    def function(a): ...

    function.__annotations__ = {"a": annotation}
    assert properties(function) == {"a": {}}


@pytest.mark.parametrize("what", [3, "weather", None])
def test_what_cannot_be_called_is_no_tool(what: Any):
    with pytest.raises(UsageError, match=f"^tool f: {what!r} is no function"):
        declare("f", what)


@pytest.mark.parametrize(("function", "parameter"), [(len, "obj"), (lambda a, /, b: 0, "a")])
def test_arguments_by_position_only_are_refused_for_a_model_gives_names(function: Any, parameter: str):
    with pytest.raises(UsageError, match=f"^tool f: a model gives arguments by name, and '{parameter}' has none"):
        declare("f", function)


def test_a_declaration_is_json():
    assert json.loads(json.dumps(declare("f", weather).parameters))["type"] == "object"


async def test_an_object_of_arguments_is_given_by_name_and_anything_else_as_the_one_argument():
    assert await call(weather, {"city": "Oslo", "exact": True}) == {"city": "Oslo", "days": 3, "exact": True}
    assert await call(lambda value: value, [1, 2]) == [1, 2]
    assert await call(lambda: None, {}) is None


async def test_an_async_function_is_awaited():
    async def later(a: int) -> int:
        await asyncio.sleep(0)
        return a + 1

    assert await call(later, {"a": 1}) == 2


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_runs_beside_the_loop_which_goes_on_meanwhile():
    go_on = threading.Event()

    def blocking() -> str:
        assert go_on.wait(10)
        return threading.current_thread().name

    task = asyncio.create_task(call(blocking, {}))
    await settled()
    assert not task.done()
    go_on.set()
    assert await task != threading.current_thread().name


async def test_what_a_function_raises_comes_back_as_a_value():
    def fail(city: str) -> None:
        raise ValueError(f"no weather in {city}")

    error = await call(fail, {"city": "Atlantis"})
    assert (type(error), str(error)) == (ValueError, "no weather in Atlantis")


async def test_arguments_that_do_not_fit_come_back_as_an_error():
    error = await call(weather, {"town": "Oslo"})
    assert isinstance(error, TypeError)
    assert "town" in str(error)


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object, endless(), ValueError("returned, not raised")])
async def test_a_result_that_is_no_json_is_an_error(value: Any):
    error = await call(lambda: value, {})
    assert isinstance(error, TypeError)
    assert str(error).startswith("it returned something that is no JSON (")


async def test_a_result_that_is_nested_too_deeply_is_an_error():
    value: Any = 0
    for _ in range(100_000):
        value = [value]
    assert isinstance(await call(lambda: value, {}), TypeError)


@pytest.mark.parametrize("code", [0, None, "bye"])
async def test_a_function_that_leaves_takes_nobody_with_it(code: Any):
    def leave() -> None:
        raise SystemExit(code)

    error = await call(leave, {})
    assert (type(error), str(error)) == (RuntimeError, f"it raised SystemExit({code!r})")


@pytest.mark.parametrize(
    "error",
    [concurrent.futures.CancelledError, asyncio.CancelledError, StopIteration, GeneratorExit, KeyboardInterrupt],
)
async def test_an_exception_that_means_something_to_the_loop_is_still_only_a_value(error: type[BaseException]):
    def fail() -> None:
        raise error

    async with asyncio.timeout(2):
        assert isinstance(await call(fail, {}), Exception)


async def test_a_function_that_fails_when_nobody_waits_any_more_is_not_talked_about(caplog: pytest.LogCaptureFixture):
    before, go_on = asyncio.all_tasks(), threading.Event()

    def fail() -> None:
        go_on.wait(10)
        raise ValueError

    task = asyncio.create_task(call(fail, {}))
    await settled()
    task.cancel()
    await asyncio.wait({task})
    go_on.set()
    await asyncio.gather(*(asyncio.wait({left}) for left in asyncio.all_tasks() - before))
    gc.collect()  # a task says so when it goes
    await settled()
    assert caplog.records == []


def test_a_partial_is_described_by_the_function_it_calls():
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    assert declare("add", functools.partial(add, 1)).description == "Adds."


async def test_a_number_that_json_has_not_is_no_result():
    assert isinstance(await call(lambda: float("nan"), {}), TypeError)
