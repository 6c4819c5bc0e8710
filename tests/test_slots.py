"""Slots: so many streams at once per host and key, and the others in the order in which they asked."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb import slots

NAMES = (f"slots-{number}" for number in itertools.count())


@pytest.fixture
def name() -> Iterator[str]:
    """A limit of this test's own; nothing of it may be left behind."""
    mine = next(NAMES)
    yield mine
    assert (mine in slots._waiting, slots._running[mine]) == (False, 0)


@dataclasses.dataclass
class Stream:
    """One stream that enters, and holds its slot until it is told to leave."""

    number: int
    most: int
    over: asyncio.Event
    task: asyncio.Task[None] | None = None


class Crowd:
    """Streams that share a limit: who is inside, and in which order they came in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[Stream] = []
        self.inside: list[Stream] = []
        self.order: list[int] = []

    def enter(self, most: int) -> Stream:
        stream = Stream(len(self.asked), most, asyncio.Event())
        stream.task = asyncio.create_task(self._live(stream))
        self.asked.append(stream)
        return stream

    async def _live(self, stream: Stream) -> None:
        async with slots.slot(self.name, stream.most):
            assert len(self.inside) < stream.most, "more streams at once than allowed"
            self.inside.append(stream)
            self.order.append(stream.number)
            try:
                await stream.over.wait()
            finally:
                self.inside.remove(stream)

    @property
    def alive(self) -> list[Stream]:
        return [stream for stream in self.asked if not stream.task.done()]

    @property
    def waiting(self) -> list[Stream]:
        return [stream for stream in self.alive if stream not in self.inside]


async def settled(steps: int = 20) -> None:
    """Let everything happen that needs no more than the loop's own steps."""
    for _ in range(steps):
        await asyncio.sleep(0)


async def test_as_many_as_allowed_run_at_once_and_the_next_one_waits(name: str):
    crowd = Crowd(name)
    first, _, _ = (crowd.enter(2) for _ in range(3))
    await settled()
    assert crowd.order == [0, 1]
    first.over.set()
    await settled()
    assert crowd.order == [0, 1, 2]
    for stream in crowd.asked:
        stream.over.set()
    await settled()
    assert crowd.alive == []


async def test_a_slot_is_free_until_the_last_one_is_taken_and_never_while_somebody_waits(name: str):
    assert slots.free(name, 1)
    crowd = Crowd(name)
    holder, waiter = crowd.enter(1), crowd.enter(1)
    await settled()
    assert not slots.free(name, 1)
    assert not slots.free(name, 5)  # there is room, but who waits was first
    waiter.task.cancel()
    await settled()
    assert slots.free(name, 2)
    assert not slots.free(name, 1)
    holder.over.set()
    await settled()
    assert slots.free(name, 1)


async def test_who_comes_while_the_called_one_is_on_its_way_does_not_overtake(name: str):
    crowd = Crowd(name)
    first = crowd.enter(1)
    crowd.enter(1)
    await settled()
    first.over.set()
    await settled(1)  # the slot is given back, and the one that waits was called but has not come yet
    crowd.enter(1)
    for _ in range(3):
        await settled()
        for stream in crowd.inside:
            stream.over.set()
    await settled()
    assert crowd.order == [0, 1, 2]


async def test_two_slots_given_back_at_once_let_two_in(name: str):
    crowd = Crowd(name)
    for _ in range(4):
        crowd.enter(2)
    await settled()
    for stream in list(crowd.inside):
        stream.over.set()
    await settled()
    assert [stream.number for stream in crowd.inside] == [2, 3]
    for stream in crowd.asked:
        stream.over.set()
    await settled()


async def test_one_that_asked_for_fewer_slots_is_passed_by_none_of_those_behind_it(name: str):
    crowd = Crowd(name)
    two = [crowd.enter(2), crowd.enter(2)]
    careful, bold = crowd.enter(1), crowd.enter(3)
    await settled()
    two[0].over.set()
    await settled()
    assert crowd.waiting == [careful, bold]  # one stream still runs: one too many for the careful one
    two[1].over.set()
    await settled()
    assert crowd.inside == [careful, bold]
    careful.over.set()
    bold.over.set()
    await settled()


async def test_who_gives_up_in_the_queue_makes_way_for_those_behind(name: str):
    crowd = Crowd(name)
    holder = crowd.enter(2)
    careful, bold = crowd.enter(1), crowd.enter(2)
    await settled()
    assert crowd.waiting == [careful, bold]
    careful.task.cancel()
    await settled()
    assert crowd.inside == [holder, bold]
    holder.over.set()
    bold.over.set()
    await settled()


async def test_who_gives_up_in_the_moment_it_was_called_hands_its_turn_on(name: str):
    crowd = Crowd(name)
    holder, called, behind = (crowd.enter(1) for _ in range(3))
    await settled()
    holder.over.set()
    await settled(1)
    called.task.cancel()
    await settled()
    assert called.task.cancelled()
    assert crowd.order == [0, 2]
    behind.over.set()
    await settled()


async def test_a_stream_that_fails_gives_its_slot_back(name: str):
    with pytest.raises(ZeroDivisionError):
        async with slots.slot(name, 1):
            raise ZeroDivisionError
    assert slots.free(name, 1)


async def test_other_hosts_and_other_keys_have_slots_of_their_own():
    names = [
        slots.name_of("a.example", ("k1",)),
        slots.name_of("b.example", ("k1",)),
        slots.name_of("a.example", ("k2",)),
        slots.name_of("a.example", ()),
    ]
    assert len(set(names)) == len(names)
    async with slots.slot(names[0], 1):
        assert [slots.free(one, 1) for one in names] == [False, True, True, True]
    assert slots.name_of("a.example", ("k1",)) == names[0]


def test_the_name_of_a_limit_does_not_show_the_key():
    assert "canary" not in slots.name_of("a.example", ("canary-0123456789",))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("pause"), st.integers(1, 4)),  # so many steps of the loop; without one, all at once
    ),
    max_size=40,
)


async def _played(steps: list[tuple[str, int]]) -> None:
    crowd = Crowd(next(NAMES))
    for what, number in steps:
        match what:
            case "enter":
                crowd.enter(number)
            case "leave" if crowd.inside:
                crowd.inside[number % len(crowd.inside)].over.set()
            case "cancel" if crowd.alive:
                crowd.alive[number % len(crowd.alive)].task.cancel()
            case "pause":
                await settled(number)
        assert crowd.order == sorted(crowd.order), "somebody was overtaken"
    await settled()
    for _ in crowd.asked:
        if crowd.waiting:  # no slot stands empty while the first in the queue may have it
            assert len(crowd.inside) >= crowd.waiting[0].most
        for stream in crowd.inside[:1]:
            stream.over.set()
        await settled()
    assert crowd.alive == [], "somebody waits for ever"
    assert crowd.order == sorted(crowd.order)
    assert set(crowd.order) >= {stream.number for stream in crowd.asked if not stream.task.cancelled()}
    for stream in crowd.asked:
        assert stream.task.cancelled() or stream.task.exception() is None
    assert (crowd.name in slots._waiting, slots._running[crowd.name]) == (False, 0)


@settings(deadline=None, max_examples=200)
@given(STEPS)
def test_however_streams_come_go_and_give_up_no_limit_is_passed_and_everyone_gets_a_turn(steps: list[tuple[str, int]]):
    asyncio.run(_played(steps))
