"""Answers: what a stream asks this process to do, done beside it, and told back with a side call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamnb.answers import Answers
from streamnb.events import Event
from streamnb.providers import Call, Provider


class Asking(Provider):
    """Its `lookup` actions are answered with what came of them, unless that is `silence`; its other actions never."""

    def answer(self, event: Event, value: Any) -> Call | None:
        if event.name == "show" or value == "silence":
            return None
        said = f"{type(value).__name__}: {value}" if isinstance(value, Exception) else value
        return Call("publish", path=f"/channels/{event.id}", body={"data": said})


class Desk:
    """Where answers are posted: keeps them, and says what went wrong with them."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem
        self.posted: list[Call] = []
        self.notes: list[str] = []

    async def post(self, call: Call) -> str | None:
        self.posted.append(call)
        return self.problem

    def answers(self, functions: Mapping[str, Callable[..., Any]]) -> Answers:
        return Answers(Asking(), functions, self.post, self.notes.append)

    @property
    def said(self) -> list[Any]:
        return [call.body["data"] for call in self.posted]


def action(name: str = "lookup", args: Any = None, ident: str = "c1") -> Event:
    return Event("action", name=name, id=ident, data={} if args is None else {"args": args})


async def heard(answers: Answers, *events: Event) -> None:
    """Let the events be heard, and everything be answered."""
    before = asyncio.all_tasks()
    for event in events:
        answers.hear(event)
    tasks = asyncio.all_tasks() - before
    await asyncio.gather(*tasks)


async def test_an_action_gets_what_its_function_returned():
    desk = Desk()
    await heard(desk.answers({"lookup": lambda city: {"in": city}}), action(args={"city": "Oslo"}))
    assert desk.posted == [Call("publish", path="/channels/c1", body={"data": {"in": "Oslo"}})]
    assert desk.notes == []


@pytest.mark.parametrize("data", [None, {}, {"args": None}, {"args": {}}, {"args": ""}, ["args"], "args"])
async def test_an_action_without_arguments_calls_the_function_without_any(data: Any):
    desk = Desk()
    await heard(desk.answers({"lookup": lambda: "done"}), Event("action", name="lookup", data=data))
    assert desk.said == ["done"]


@pytest.mark.parametrize(
    "event",
    [
        Event("delta", "lookup", name="lookup"),
        Event("tool_call", name="lookup", data={"args": {}}),
        action("show"),
    ],
    ids=["text", "a tool of the server's own", "an action that wants no answer"],
)
async def test_what_wants_no_answer_calls_nothing(event: Event):
    desk, called = Desk(), []
    await heard(desk.answers(dict.fromkeys(("lookup", "show"), lambda: called.append(1))), event)
    assert (called, desk.posted, desk.notes) == ([], [], [])


async def test_a_function_that_is_missing_is_told_to_both_sides():
    desk = Desk()
    await heard(desk.answers({"other": print}), action(args={"city": "Oslo"}))
    assert desk.said == ["LookupError: this client has no function 'lookup'"]
    (note,) = desk.notes
    assert note == (
        "test_answers asked for the function 'lookup', and there is none; it was told so. "
        "Give one with --tool lookup=FUNCTION (in Python tools={'lookup': function})."
    )


async def test_a_function_that_fails_is_told_to_both_sides():
    def fail(city: str) -> None:
        raise KeyError(city)

    desk = Desk()
    await heard(desk.answers({"lookup": fail}), action(args={"city": "Oslo"}))
    assert desk.said == ["KeyError: 'Oslo'"]
    assert desk.notes == ["Your function lookup failed, and test_answers was told so: KeyError: 'Oslo'"]


async def test_an_answer_that_does_not_get_through_is_noted():
    desk = Desk("asking answered 410 to publish: gone.")
    await heard(desk.answers({"lookup": lambda: 1}), action())
    assert desk.said == [1]
    assert desk.notes == ["The answer of lookup did not get through. asking answered 410 to publish: gone."]


async def test_a_result_for_which_the_platform_has_no_answer_is_not_posted():
    desk = Desk("never asked")
    await heard(desk.answers({"lookup": lambda: "silence"}), action())
    assert (desk.posted, desk.notes) == ([], [])


async def test_several_actions_are_answered_side_by_side_each_on_its_own_channel():
    gate = asyncio.Event()

    class Crossing(Desk):
        async def post(self, call: Call) -> str | None:
            if call.body["data"] == "first":
                await gate.wait()
            else:
                gate.set()  # the second is through while the first is still on its way
            return await super().post(call)

    desk = Crossing()
    functions = {"lookup": lambda: "first", "count": lambda: "second"}
    await heard(desk.answers(functions), action(ident="c1"), action("count", ident="c2"))
    assert [(call.path, call.body["data"]) for call in desk.posted] == [
        ("/channels/c2", "second"),
        ("/channels/c1", "first"),
    ]


class Slow(Desk):
    """A desk where every answer is on its way until its reply is let in."""

    def __init__(self) -> None:
        super().__init__("refused")
        self.on_its_way, self.reply = asyncio.Event(), asyncio.Event()

    async def post(self, call: Call) -> str | None:
        self.on_its_way.set()
        await self.reply.wait()
        return await super().post(call)


async def begun(answers: Answers, *events: Event) -> list[asyncio.Task[Any]]:
    before = asyncio.all_tasks()
    for event in events:
        answers.hear(event)
    return list(asyncio.all_tasks() - before)


async def test_when_the_stream_is_over_an_answer_under_way_may_still_get_its_reply():
    desk = Slow()
    answers = desk.answers({"lookup": lambda: 1})
    (task,) = await begun(answers, action())
    await desk.on_its_way.wait()
    settling = asyncio.create_task(answers.settle(10))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not settling.done()
    desk.reply.set()
    await settling
    assert (task.cancelled(), desk.said, desk.notes) == (
        False,
        [1],
        ["The answer of lookup did not get through. refused"],
    )
    assert (answers._tasks, answers._posting) == (set(), set())


async def test_a_reply_that_does_not_come_in_time_is_not_waited_for():
    desk = Slow()
    answers = desk.answers({"lookup": lambda: 1})
    (task,) = await begun(answers, action())
    await desk.on_its_way.wait()
    await answers.settle(0)
    await asyncio.wait({task})
    assert (task.cancelled(), desk.said, desk.notes) == (True, [], [])


async def test_when_the_stream_is_over_nobody_waits_for_a_function_any_more():
    go_on, desk = threading.Event(), Desk()
    answers = desk.answers({"lookup": lambda: go_on.wait(10)})
    (task,) = await begun(answers, action())
    await answers.settle(10)
    await asyncio.wait({task})
    go_on.set()
    assert (task.cancelled(), desk.posted, answers._tasks) == (True, [], set())


async def test_when_the_run_is_broken_off_nothing_is_waited_for():
    desk = Slow()
    answers = desk.answers({"lookup": lambda: 1})
    (task,) = await begun(answers, action())
    await desk.on_its_way.wait()
    answers.cancel()
    await asyncio.wait({task})
    assert (task.cancelled(), desk.notes, answers._tasks, answers._posting) == (True, [], set(), set())
    answers.cancel()


async def test_an_answer_that_was_given_is_forgotten():
    desk = Desk()
    answers = desk.answers({"lookup": lambda: 1})
    await heard(answers, action(), action())
    assert (answers._tasks, answers._posting) == (set(), set())
    await answers.settle(10)
    assert desk.said == [1, 1]
