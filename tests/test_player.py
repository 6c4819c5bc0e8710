"""The player on a clock of its own: what is told when, and at which pace."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from samples import PATHS, contents, name_of

from streamnb.events import Arrival, Outcome
from streamnb.playback import Playback
from streamnb.player import Player

DOCUMENTED = next(path for path in PATHS if name_of(path) == "oliver/documented")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 5_000_000_000_000
        self.slept: list[float] = []
        really = asyncio.sleep

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.now_ns += round(seconds * 1e9)
            await really(0)

        monkeypatch.setattr("streamnb.player.asyncio.sleep", sleep)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return self.now_ns


class Watcher:
    def __init__(self, clock: Time) -> None:
        self.clock = clock
        self.heard: list[tuple[Any, ...]] = []

    def phase(self, name: str, t_ns: int) -> None:
        self.heard.append((self.clock.now_ns, name, t_ns))

    def arrive(self, arrival: Arrival) -> None:
        self.heard.append((self.clock.now_ns, arrival.chunk.seq, arrival.chunk.t_ns))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


async def play(clock: Time, speed: float) -> tuple[Playback, Watcher]:
    playback, watcher = Playback(contents(DOCUMENTED)), Watcher(clock)
    await Player(playback, speed, clock, (watcher,)).run()
    return playback, watcher


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
async def test_every_read_comes_at_its_time_and_says_the_present(clock: Time, speed: float):
    began = clock.now_ns
    playback, watcher = await play(clock, speed)
    first_ns = playback.contents.run.clock["t_ns"]
    due = [began + round((line.t_ns - first_ns) / speed) for line in playback.contents.reads]
    arrivals: dict[Any, tuple[int, int]] = {}
    for now, what, t_ns in watcher.heard:
        arrivals.setdefault(what, (now, t_ns))  # the end of a body completes more events of a read told before
    reads = [arrivals[seq] for seq in range(len(due))]
    assert [t_ns for _, t_ns in reads] == due
    assert all(abs(now - t_ns) <= 1 for now, t_ns in reads)
    assert list(playback.record.chunks.t_ns) == [line.t_ns for line in playback.contents.reads]  # the record's are old


async def test_the_phases_are_told_and_the_stream_begins_at_its_t0(clock: Time):
    began = clock.now_ns
    playback, watcher = await play(clock, 1.0)
    phases = [(what, t_ns) for _, what, t_ns in watcher.heard if isinstance(what, str)]
    t0_ns = playback.record.t0_ns
    assert phases[0] == ("connecting", began)
    assert phases[1] == ("waiting", began + t0_ns - playback.contents.run.clock["t_ns"])
    assert [name for name, _ in phases] == ["connecting", "waiting", "complete"]


async def test_without_a_pace_nothing_waits(clock: Time):
    playback, watcher = await play(clock, math.inf)
    assert set(clock.slept) == {0}
    assert playback.record.outcome is Outcome.COMPLETE
    assert [what for _, what, _ in watcher.heard if isinstance(what, int)]


async def test_a_stop_before_the_first_step_plays_nothing(clock: Time):
    playback = Playback(contents(DOCUMENTED))
    player = Player(playback, 1.0, clock)
    player.stop()
    player.stop(Outcome.INTERRUPTED)  # the first one counts
    await player.run()
    assert (playback.record.outcome, len(playback.record.chunks)) == (Outcome.STOPPED, 0)


async def test_a_file_whose_writer_lives_has_no_outcome(clock: Time):
    whole = contents(DOCUMENTED)
    playback = Playback(type(whole)(whole.run, whole.lines[:-1]), running=True)
    watcher = Watcher(clock)
    await Player(playback, math.inf, clock, (watcher,)).run()
    assert playback.record.outcome is None
    assert watcher.heard[-1][1] == "running"
