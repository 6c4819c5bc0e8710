"""Turns: one request leaves in each round of the loop, in the order of asking."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from streamnb.transport.turns import turn


async def test_one_goes_in_each_round_of_the_loop_in_the_order_of_asking():
    loop = asyncio.get_running_loop()
    rounds: list[int] = []
    started: list[tuple[int, int]] = []

    def count() -> None:
        rounds.append(0)
        loop.call_soon(count)

    async def start(number: int) -> None:
        await turn()
        started.append((number, len(rounds)))

    count()
    tasks = [asyncio.create_task(start(number)) for number in range(6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert [number for number, _ in started] == [0, 1, 3, 4, 5]
    assert [later - sooner for (_, sooner), (_, later) in pairwise(started)] == [1] * 4
    await asyncio.wait_for(turn(), 10)
