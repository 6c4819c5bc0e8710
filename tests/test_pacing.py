"""Pacing: few streams are understood as they come, many a quarter of a second later, or as was asked."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from streamnb import pacing
from streamnb.errors import LimitError, StreamnbError
from streamnb.pacing import MANY, Pacer


class Ticks:
    """Notes what a pacer calls, and can be waited for."""

    def __init__(self, error: StreamnbError | None = None) -> None:
        self.asked: list[bool] = []
        self.failed: list[StreamnbError] = []
        self._error = error
        self._again = asyncio.Event()

    def tick(self, now: bool) -> None:
        self.asked.append(now)
        self._again.set()
        if self._error is not None:
            raise self._error

    async def next(self) -> None:
        self._again.clear()
        async with asyncio.timeout(10):
            await self._again.wait()

    def pacer(self, parse: pacing.Parse) -> Pacer:
        return Pacer(parse, self.tick, self.failed.append)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "CATCH_UP_S", 0.001)


async def test_few_streams_are_understood_as_they_come():
    ticks = Ticks()
    pacer = ticks.pacer("auto")
    with pacer.watching():
        assert not pacer.deferring
        await ticks.next()
        assert not pacer.deferring


async def test_many_streams_are_put_off_until_they_are_few_again():
    ticks = Ticks()
    with contextlib.ExitStack() as stack:
        for _ in range(MANY - 1):
            stack.enter_context(Ticks().pacer("auto").watching())
        pacer = ticks.pacer("auto")
        with pacer.watching():
            assert pacer.deferring
            await ticks.next()
            assert all(ticks.asked)
            stack.close()
            await ticks.next()
            assert not pacer.deferring


async def test_what_was_asked_counts_whatever_the_number_of_streams():
    ticks = Ticks()
    later, at_once = ticks.pacer("deferred"), Ticks().pacer("arrival")
    with contextlib.ExitStack() as stack:
        stack.enter_context(later.watching())
        stack.enter_context(at_once.watching())
        await ticks.next()
        assert (later.deferring, at_once.deferring) == (True, False)
        assert not any(ticks.asked)  # only told that time goes on


async def test_what_goes_wrong_in_between_is_told_once_and_ends_the_ticking():
    ticks, other = Ticks(LimitError("too long")), Ticks()
    with ticks.pacer("auto").watching(), other.pacer("auto").watching():
        for _ in range(3):
            await other.next()
    assert [str(error) for error in ticks.failed] == ["too long"]
    assert len(ticks.asked) == 1


async def test_nothing_ticks_behind_the_block():
    ticks = Ticks()
    with ticks.pacer("auto").watching():
        await ticks.next()
    n = len(ticks.asked)
    other = Ticks()
    with other.pacer("auto").watching():
        for _ in range(3):
            await other.next()
    assert len(ticks.asked) == n
    assert not pacing._open
