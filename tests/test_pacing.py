"""Pacing: few runs are understood as they come, many later, or as was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import pairwise

import pytest

from streamnb import pacing, portal
from streamnb.errors import LimitError, StreamnbError, UsageError
from streamnb.pacing import AT_ONCE, MANY, Pacer


class Pile:
    """A backlog in the hands of the test; it can be waited until a pacer has looked at it again."""

    def __init__(self, error: StreamnbError | None = None, *, waiting: int = 0) -> None:
        self.taken: list[int | None] = []
        self.failed: list[StreamnbError] = []
        self.n_waiting = waiting
        self.heavy = False
        self.still = False
        self._error = error
        self._looked = asyncio.Event()

    @property
    def waiting(self) -> bool:
        return self.n_waiting > 0

    def paused(self) -> bool:
        self._looked.set()
        return self.still

    def catch_up(self, most: int | None = None) -> None:
        self.taken.append(most)
        self.n_waiting -= most or self.n_waiting
        if self._error is not None:
            raise self._error

    async def looks(self, n: int) -> None:
        for _ in range(n):
            self._looked.clear()
            async with asyncio.timeout(10):
                await self._looked.wait()

    def pacer(self, parse: pacing.Parse, *, watched: bool = True) -> Pacer:
        return Pacer(parse, self, self.failed.append, watched=watched)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "CATCH_UP_S", 0.001)
    monkeypatch.setattr(pacing, "SOON_S", 0.001)


@contextlib.contextmanager
def runs(n: int, *, kernel_stamps: bool = True) -> Iterator[None]:
    """So many more runs are under way."""
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            stack.enter_context(pacing.under_way(kernel_stamps=kernel_stamps))
        yield


async def test_few_runs_are_understood_as_their_bytes_come():
    pile = Pile()
    pacer = pile.pacer("auto")
    with runs(MANY - 1), pacer.watching():
        assert not pacer.deferring
        await pile.looks(1)
        assert not pacer.deferring


async def test_many_runs_are_put_off_and_caught_up_with_in_goes_until_they_are_few_again():
    pile = Pile(waiting=AT_ONCE + 1)
    pacer = pile.pacer("auto")
    with pacer.watching():
        with runs(MANY):
            assert pacer.deferring
            await pile.looks(4)
            assert pile.taken == [AT_ONCE] * 2  # and no more when nothing waits
        assert not pacer.deferring


@pytest.mark.parametrize(("parse", "watched"), [("auto", False), ("deferred", True)])
async def test_what_nobody_waits_for_is_left_from_its_beginning_until_it_pauses(parse: pacing.Parse, watched: bool):
    pile = Pile()
    with runs(MANY), pile.pacer(parse, watched=watched).watching():
        await pile.looks(2)
        pile.n_waiting = 3 * AT_ONCE
        await pile.looks(4)
        assert pile.taken == [AT_ONCE]
        pile.still = True
        await pile.looks(4)
        assert pile.taken == [AT_ONCE] * 3


async def test_what_has_become_too_much_is_not_left():
    pile = Pile(waiting=2 * AT_ONCE)
    with pile.pacer("deferred").watching():
        await pile.looks(3)
        assert pile.taken == [AT_ONCE]
        pile.heavy = True
        await pile.looks(3)
    assert pile.taken == [AT_ONCE] * 2


async def test_a_pause_lets_the_rest_follow_soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pacing, "CATCH_UP_S", 30)
    pile = Pile(waiting=5 * AT_ONCE)
    pile.still = True
    pacer = pile.pacer("deferred")
    with pacer.watching():
        pacer._look()
        await pile.looks(4)
    assert len(pile.taken) == 5


async def test_a_loop_without_time_does_not_catch_up_for_those_who_watch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(portal, "busy", lambda: pacing.FULL)
    pile = Pile(waiting=2 * AT_ONCE)
    with runs(MANY), pile.pacer("auto").watching():
        await pile.looks(3)
        assert pile.taken == [AT_ONCE]
        pile.still = True
        await pile.looks(3)
        assert pile.taken == [AT_ONCE] * 2


async def test_who_asks_whether_all_was_read_makes_it_so_in_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pacing, "CATCH_UP_S", 30)
    pile = Pile(waiting=AT_ONCE + 1)
    pacer = pile.pacer("deferred")
    assert [pacer.examine() for _ in range(3)] == [True, True, False]
    assert pile.taken == [AT_ONCE] * 2


async def test_what_was_asked_counts_whatever_the_number_of_runs():
    later, at_once = Pile().pacer("deferred"), Pile().pacer("arrival")
    with later.watching(), at_once.watching():
        assert (later.deferring, at_once.deferring) == (True, False)
        with runs(MANY):
            assert (later.deferring, at_once.deferring) == (True, False)


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
            stack.enter_context(Pile().pacer("auto").watching())
    places = sorted(after[:50])
    assert places[0] >= 0.1
    assert max(later - sooner for sooner, later in pairwise(places)) < 0.1


async def test_what_goes_wrong_in_between_is_told_once_and_ends_the_looking():
    pile, other = Pile(LimitError("too long"), waiting=1000), Pile()
    with pile.pacer("auto").watching(), other.pacer("auto").watching():
        await other.looks(5)
    assert [str(error) for error in pile.failed] == ["too long"]
    assert len(pile.taken) == 1


async def test_nobody_looks_behind_the_block():
    pile = Pile(waiting=1000 * AT_ONCE)
    with pile.pacer("auto").watching():
        await pile.looks(2)
    n = len(pile.taken)
    other = Pile()
    with other.pacer("auto").watching():
        await other.looks(3)
    assert len(pile.taken) == n
    assert not pacing._pacers
