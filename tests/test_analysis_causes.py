from __future__ import annotations

import asyncio
import math
import time
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from fault_server import END, Wire, serving, wait_until
from record_builder import T0_NS, S, delta, read, record

import streamnb
from streamnb import portal, tables
from streamnb.analysis.causes import Silence, Witnesses
from streamnb.analysis.pauses import text_events
from streamnb.companions import simulator_url
from streamnb.session import Session, ask

BEFORE = [1.0, 1.1, 1.2]
"""The pace: a piece every 100 ms; then 3 s of silence in which 30 pieces were due."""
PIECEWISE = [4.2 + 0.1 * n for n in range(20)]
AT_ONCE = [4.2 + 0.001 * n for n in range(20)]
AWAKE: list[tuple[str, float, float]] = []


def cause(
    after: list[float],
    *,
    kernel: dict[int, float] | None = None,
    served: dict[int, float] | None = None,
    lags: list[tuple[str, float, float]] | None = None,
    **more: Any,
) -> str | None:
    """Who made the silence from 1.2 s to the first of `after`; stamps in s by number of the read, lags in s."""
    made = record(*(read(t, *[delta()] * more.get("together", {}).get(n, 1)) for n, t in enumerate(BEFORE + after)))
    chunks = tables.chunks(made)
    for name, stamps in (("kernel_ns", kernel), ("server_t_ns", served)):
        for seq, t_s in (stamps or {}).items():
            chunks.loc[seq, name] = T0_NS + round(t_s * S)
    made.lags = [(kind, T0_NS + round(start * S), round(length * S)) for kind, start, length in lags or ()]
    held = None if lags is None else tables.lags(made)
    silence = Silence(
        2, 3 if after else None, T0_NS + round(1.2 * S), T0_NS + round(4.2 * S), 0, more.get("typical_s", 0.1)
    )
    text = text_events(tables.events(made))
    return Witnesses(text, chunks if more.get("chunks", True) else None, held).cause(silence)


def test_a_server_that_paused_goes_on_piece_by_piece():
    assert cause(PIECEWISE) == "server"
    assert cause(PIECEWISE, lags=AWAKE) == "server"
    assert cause(PIECEWISE, chunks=False) == "server"


def test_what_was_held_on_the_way_comes_at_once():
    assert cause(AT_ONCE, lags=AWAKE) == "network"
    assert cause([4.2, 4.2, 4.2, 4.2], lags=AWAKE) == "network"
    assert cause([4.2], together={3: 20}, lags=AWAKE) == "network"


def test_after_a_catch_up_without_a_log_nobody_knows_whether_this_process_slept():
    assert cause(AT_ONCE) is None
    assert cause(AT_ONCE, kernel={3: 4.2}) == "network"
    assert cause([4.2, *AT_ONCE], together={3: 2}, kernel={3: 4.2}) is None


@pytest.mark.parametrize("after", [[], [4.2], [4.2, 4.3]])
def test_too_little_came_after_it_to_tell(after):
    assert cause(after, lags=AWAKE) is None


def test_an_unknown_pace_tells_nothing():
    assert cause(PIECEWISE, typical_s=math.nan, lags=AWAKE) is None
    assert cause(AT_ONCE, typical_s=math.nan, lags=AWAKE) is None


@pytest.mark.parametrize("kind", ["gc", "loop"])
def test_a_process_that_slept_for_half_of_it_made_it(kind):
    assert cause(AT_ONCE, lags=[(kind, 2.0, 1.6)]) == "client"
    assert cause(AT_ONCE, lags=[(kind, 2.0, 1.4)]) == "network"
    assert cause([], lags=[(kind, 1.0, 9.0)]) == "client"


def test_where_the_kernel_saw_the_silence_too_a_sleep_changed_nothing():
    slept = [("loop", 1.3, 2.9)]
    assert cause(PIECEWISE, lags=slept) == "client"
    assert cause(PIECEWISE, lags=slept, kernel={2: 1.2, 3: 4.2}) == "server"


def test_the_stamp_of_several_pieces_says_nothing_of_the_first():
    slept = [("loop", 1.3, 2.9)]
    assert cause([4.2], together={3: 20}, lags=slept, kernel={2: 1.2, 3: 4.2}) == "client"


def test_a_silence_that_the_kernel_did_not_see_is_ours():
    assert cause(PIECEWISE, kernel={2: 1.2, 3: 1.3}) == "client"
    assert cause(PIECEWISE, kernel={2: 1.2, 3: 2.6}, lags=AWAKE) == "client"
    assert cause(PIECEWISE, kernel={2: 1.2, 3: 2.8}, lags=AWAKE) == "server"


def test_the_servers_own_stamps_settle_it():
    assert cause(AT_ONCE, served={2: 1.19, 3: 4.19}, lags=AWAKE) == "server"
    assert cause(PIECEWISE, served={2: 1.19, 3: 1.29}, lags=AWAKE) == "network"
    assert cause([4.2], served={2: 1.19, 3: 4.19}) == "server"


def test_the_servers_stamp_of_several_pieces_is_that_of_the_last():
    assert cause([4.2], together={3: 20}, served={2: 1.19, 3: 4.19}, lags=AWAKE) == "network"


def test_stamps_by_the_clock_of_another_machine_settle_nothing():
    assert cause(AT_ONCE, served={2: 7.0, 3: 10.0}, lags=AWAKE) == "network"
    assert cause(AT_ONCE, served={2: 1.19, 3: 10.0}, lags=AWAKE) == "network"


def test_pieces_of_another_call_are_not_what_was_due():
    made = record(*(read(t, delta()) for t in BEFORE), read(4.2, delta()), *(read(4.2, delta(), call=1) for _ in "abc"))
    text = text_events(tables.events(made))
    silence = Silence(2, 3, T0_NS + round(1.2 * S), T0_NS + round(4.2 * S), 0, 0.1)
    assert Witnesses(text, None, pd.DataFrame({"kind": [], "start_ns": [], "length_s": []})).cause(silence) is None


# -- with real streams -------------------------------------------------------------------------------------------------

PACE = {"tokens": 150, "gap": 0.01, "gap_dist": "constant", "ttft": 0.05}
HELD_S = 1.5


def causes(run: streamnb.Run) -> list[str | None]:
    assert len(run.stalls), run.gaps["gap_s"].describe()
    return run.stalls["cause"].tolist()


@pytest.mark.parametrize("stamps", [0, 1])
def test_a_server_that_stops_is_the_servers_stall(stamps):
    pace = {**PACE, "tokens": 60, "stall_at": 30, "stall": HELD_S, "stamps": stamps}
    assert causes(streamnb.stream("demo", "hi", pace=pace, record=False)) == ["server"]


def test_a_proxy_that_holds_what_came_meanwhile_is_the_networks_stall(monkeypatch: pytest.MonkeyPatch):
    async def holding(wire: Wire) -> None:
        parts = urlsplit(simulator_url())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(wire.request)
        n, kept = 0, b""
        while not kept.endswith(END):
            kept = await reader.read(65536)
            n += kept.count(b"data: ")
            if 50 <= n < 150:
                await asyncio.sleep(HELD_S)
                n = 1000
            await wire.send(kept)
        writer.close()

    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-simulator")
    pace = ",".join(f"{key}={value}" for key, value in {**PACE, "tokens": 250}.items())
    with serving(holding) as server:
        base_url = f"{server.origin}/~stamps=1,{pace}/v1"
        assert causes(streamnb.stream("openai_chat", "hi", base_url=base_url, model="m", record=False)) == ["network"]


@pytest.mark.parametrize("kernel_stamps", [True, False])
def test_a_blocked_loop_is_this_process_own_stall(kernel_stamps):
    asked = ask("demo", "hi", pace={**PACE, "tokens": 250}, record=False, kernel_stamps=kernel_stamps)
    started = Session(asked)
    started.start()
    wait_until(lambda: len(started.run.recorded.chunks) > 40)
    portal.loop().call_soon_threadsafe(time.sleep, HELD_S)
    run = started.wait()
    assert causes(run) == ["client"]
    assert (run.lags.loc[run.lags["kind"] == "loop", "length_s"] > HELD_S / 2).any()
