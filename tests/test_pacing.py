"""Pacing: few runs are understood as they come, many a quarter of a second later, or as was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import pairwise

import pytest

from streamnb import pacing, portal
from streamnb.errors import LimitError, StreamnbError, UsageError
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


@contextlib.contextmanager
def runs(n: int, *, kernel_stamps: bool = True) -> Iterator[None]:
    """So many more runs are under way."""
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            stack.enter_context(pacing.under_way(kernel_stamps=kernel_stamps))
        yield


async def test_few_runs_are_understood_as_their_bytes_come():
    ticks = Ticks()
    pacer = ticks.pacer("auto")
    with runs(MANY - 1), pacer.watching():
        assert not pacer.deferring
        await ticks.next()
        assert not pacer.deferring


async def test_many_runs_are_put_off_and_caught_up_with_until_they_are_few_again():
    ticks = Ticks()
    pacer = ticks.pacer("auto")
    with pacer.watching():
        with runs(MANY):
            assert pacer.deferring
            await ticks.next()
            assert ticks.asked[-1]
        assert not pacer.deferring


async def test_a_loop_without_time_does_not_catch_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(portal, "busy", lambda: pacing.FULL)
    ticks = Ticks()
    with runs(MANY), ticks.pacer("auto").watching():
        await ticks.next()
    assert not any(ticks.asked)  # only told that time goes on


async def test_what_was_asked_counts_whatever_the_number_of_runs():
    ticks = Ticks()
    later, at_once = ticks.pacer("deferred"), Ticks().pacer("arrival")
    with later.watching(), at_once.watching():
        await ticks.next()
        assert (later.deferring, at_once.deferring) == (True, False)
        with runs(MANY):
            assert (later.deferring, at_once.deferring) == (True, False)
        assert not any(ticks.asked)


def test_a_word_that_is_none_is_refused():
    assert pacing.checked("deferred") == "deferred"
    with pytest.raises(UsageError, match=r"parse: there is no 'arival'\. Did you mean arrival\?"):
        pacing.checked("arival")


@pytest.mark.parametrize(
    ("n", "stamped", "patient"), [(MANY - 1, True, False), (MANY, True, True), (MANY, False, False)]
)
def test_the_loop_is_patient_with_very_many_runs_whose_stamps_do_not_depend_on_it(
    n: int, stamped: bool, patient: bool, monkeypatch: pytest.MonkeyPatch
):
    said: list[bool] = []
    monkeypatch.setattr(portal, "be_patient", said.append)
    with runs(n, kernel_stamps=stamped):
        assert said[-1] is patient
        with runs(1, kernel_stamps=False):
            assert said[-1] is False
    assert said[-1] is False


async def test_streams_that_begin_together_do_not_catch_up_together(monkeypatch: pytest.MonkeyPatch):
    after: list[float] = []
    loop = asyncio.get_running_loop()
    real = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda s, what: after.append(s / pacing.CATCH_UP_S) or real(s, what))
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(Ticks().pacer("auto").watching())
    places = sorted(after[:50])
    assert places[0] >= 0.1
    assert max(later - sooner for sooner, later in pairwise(places)) < 0.1


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
    assert not pacing._pacers
