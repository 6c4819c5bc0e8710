from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from fault_server import until

from streamnb import attention
from streamnb.attention import SWITCH_S, paid

USUAL_S = 0.005


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """The interpreter as it starts, before and after."""
    sys.setswitchinterval(USUAL_S)
    gc.unfreeze()
    yield
    sys.setswitchinterval(USUAL_S)
    gc.unfreeze()


def settings() -> tuple[float, bool, int]:
    callbacks = gc.callbacks.count(attention._collecting)
    return round(sys.getswitchinterval(), 6), gc.get_freeze_count() > 0, callbacks


def test_settings_hold_inside_and_are_put_back():
    with paid([]):
        assert settings() == (SWITCH_S, True, 1)
    assert settings() == (USUAL_S, False, 0)


def test_only_the_last_to_leave_puts_them_back():
    first, second = paid([]), paid([])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert settings() == (SWITCH_S, True, 1)
    second.__exit__(None, None, None)
    assert settings() == (USUAL_S, False, 0)


def test_an_error_inside_puts_them_back_too():
    with pytest.raises(ZeroDivisionError), paid([]):
        _ = 1 / 0
    assert settings() == (USUAL_S, False, 0)


def test_what_the_user_set_meanwhile_stays():
    with paid([]):
        sys.setswitchinterval(0.002)
    assert settings() == (0.002, False, 0)


def test_a_faster_switch_of_the_user_is_not_slowed_down():
    sys.setswitchinterval(0.0001)
    with paid([]):
        assert round(sys.getswitchinterval(), 6) == 0.0001
    assert round(sys.getswitchinterval(), 6) == 0.0001


def test_what_the_user_froze_before_stays_frozen():
    gc.freeze()
    with paid([]):
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() > 0


def test_a_callback_that_the_user_took_out_is_not_missed():
    with paid([]):
        gc.callbacks.remove(attention._collecting)
    assert settings() == (USUAL_S, False, 0)


def test_blocks_on_many_threads_leave_nothing_behind():
    inside = threading.Barrier(8)

    def run() -> None:
        with paid([]):
            inside.wait(10)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert settings() == (USUAL_S, False, 0)


def test_a_long_collection_is_logged_for_everybody_with_its_time():
    mine: attention.Lags = []
    others: attention.Lags = []
    with paid(mine), paid(others):
        keep = [[n] for n in range(300_000)]
        before = time.monotonic_ns()
        gc.collect()
        after = time.monotonic_ns()
    assert len(keep) == 300_000
    found = [lag for lag in mine if lag[0] == "gc" and lag[1] >= before]
    assert found == [lag for lag in others if lag[0] == "gc" and lag[1] >= before]
    assert len(found) == 1
    _, start_ns, length_ns = found[0]
    assert length_ns >= attention.PAUSE_NS
    assert before <= start_ns < start_ns + length_ns <= after


def test_a_short_collection_is_not_worth_a_line():
    lags: attention.Lags = []
    with paid(lags):
        for _ in range(50):
            gc.collect(0)
    assert sum(kind == "gc" for kind, *_ in lags) < 50


async def test_a_loop_that_was_blocked_is_logged_as_late():
    lags: attention.Lags = []
    with paid(lags):
        before = time.monotonic_ns()
        time.sleep(0.1)  # noqa: ASYNC251  # blocks the loop: that is the point
        blocked_until = time.monotonic_ns()
        await until(lambda: lags)
    kind, start_ns, length_ns = lags[0]
    assert kind == "loop"
    assert before <= start_ns <= before + attention.TICK_S * 1e9 + 1e7
    assert start_ns + length_ns >= blocked_until


async def test_a_loop_that_was_blocked_at_the_very_end_is_logged_too():
    lags: attention.Lags = []
    with paid(lags):
        time.sleep(0.1)  # noqa: ASYNC251
    assert [kind for kind, *_ in lags] == ["loop"]


async def test_the_timer_goes_on_until_the_last_run_of_its_loop_has_ended():
    first: attention.Lags = []
    second: attention.Lags = []
    loop = asyncio.get_running_loop()
    with paid(second):
        with paid(first):
            assert list(attention._timers) == [loop]
        time.sleep(0.05)  # noqa: ASYNC251
        await until(lambda: second)
        assert first == []
    assert not attention._timers


def test_each_loop_has_its_own_lateness():
    mine: attention.Lags = []
    there: attention.Lags = []

    async def blocked() -> None:
        with paid(there):
            time.sleep(0.1)  # noqa: ASYNC251

    async def main() -> None:
        with paid(mine):
            await asyncio.to_thread(asyncio.run, blocked())

    asyncio.run(main())
    assert any(kind == "loop" and length > 5e7 for kind, _, length in there)
    assert not any(kind == "loop" and length > 8e7 for kind, _, length in mine)


def test_lists_that_look_alike_are_told_apart():
    one, other = [("gc", 1, 1)], [("gc", 1, 1)]
    with paid(one):
        with paid(other):
            pass
        assert len(attention._state.listeners) == 1
        assert attention._state.listeners[0] is one
    assert attention._state.listeners == ()


async def test_a_wall_clock_that_is_set_is_logged_and_one_that_runs_is_not(monkeypatch: pytest.MonkeyPatch):
    lags: attention.Lags = []
    with paid(lags):
        await asyncio.sleep(3 * attention.TICK_S)
        assert not any(kind == "clock" for kind, *_ in lags)
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + 3_000_000_000)  # nobody may set the machine's clock
        await until(lambda: any(kind == "clock" for kind, *_ in lags))
        await asyncio.sleep(3 * attention.TICK_S)
    steps = [length for kind, _, length in lags if kind == "clock"]
    assert len(steps) == 1
    assert steps[0] == pytest.approx(3e9, rel=0.01)


class Cyclic:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.me = self


def test_what_dies_while_it_is_frozen_is_found_in_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attention._state, "n_thawed", 0)
    left = []
    for _ in range(attention.COLLECT_EVERY):
        one = Cyclic()
        left.append(weakref.ref(one))
        with paid([]):
            del one
    assert [ref for ref in left if ref() is not None] == []
