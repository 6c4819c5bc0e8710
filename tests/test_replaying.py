"""A replay is the run again: events, text, outcome and times, in the same panel, with nobody called."""

from __future__ import annotations

import math
import socket
import threading
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from samples import PATHS, contents, name_of, replay

import streamnb
from streamnb import client, portal, testing
from streamnb.errors import TranscriptError, UsageError
from streamnb.events import Outcome
from streamnb.replaying import Replay
from streamnb.results import Run, session
from streamnb.settings import PROFILES

PACE = {"ttft": 0.0, "gap": 0.001, "tokens": 12}
TABLES = ("summary", "calls", "chunks", "events", "citations", "frames", "gaps", "stalls")
TARGETS = {
    "demo": {},
    "oliver": {},
    "voiceflow": {"project": "choices"},
    "chatbotkit": {"tools": {"weather": lambda city: f"rain in {city}"}},
    "deepset": {"pipeline": "tools"},
    "typebot": {"typebot": "two-streams"},
}


def same(one: Run, other: Run, tables: tuple[str, ...] = TABLES) -> None:
    """Two runs that say the same, everywhere."""
    for name in tables:
        assert_frame_equal(getattr(one, name), getattr(other, name))
    for name in ("run_id", "outcome", "error", "text", "texts", "reasoning", "messages", "raw", "session_id", "result"):
        assert getattr(one, name) == getattr(other, name), name
    assert [choice.label for choice in one.choices] == [choice.label for choice in other.choices]
    assert one.warning == other.warning


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be made, connected or looked up a name for; the loop has its own from before."""
    portal.loop()

    def refuse(*words: object, **more: object) -> None:
        raise AssertionError("a replay wants the network")

    for name in ("__init__", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_every_transcript_replays_as_it_was_recorded(path: Path, no_network: None):
    said, conversation, _ = replay(path)
    run = testing.replay(path)
    assert (run.outcome, run.error) == (conversation.outcome, conversation.error)
    assert list(run.events["kind"]) == [event.kind for event in said]
    assert list(run.events["text"]) == [event.text for event in said]
    assert run.raw == b"".join(line.b for line in contents(path).reads)
    assert list(run.chunks["t_ns"]) == [line.t_ns for line in contents(path).reads]
    same(run, streamnb.open(path), ("calls", "chunks", "events"))  # the others are computed from these


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("recorded", [True, False], ids=["from its file", "from memory"])
def test_a_run_replays_as_it_was(target: str, recorded: bool, request: pytest.FixtureRequest):
    sim = target not in PROFILES
    run = streamnb.stream(target, "Hi", sim=sim, pace=PACE, record=recorded, **TARGETS[target])
    assert (run.ok, run.path is not None) == (True, recorded)
    request.getfixturevalue("no_network")
    same(streamnb.replay(run, speed=math.inf), run)


@pytest.mark.parametrize("target", TARGETS)
def test_a_run_file_is_a_test_case_as_it_is(target: str):
    run = streamnb.stream(target, "Hi", sim=target not in PROFILES, pace=PACE, **TARGETS[target])
    said, conversation, asked = replay(run.path)
    assert [event.kind for event in said] == list(run.events["kind"])
    assert conversation.outcome is run.outcome
    assert [(call.name, call.body) for call, line in asked] == [(line.name, line.body) for _, line in asked]


def test_a_list_of_records_replays_too():
    streamnb.records("chatbotkit", "conversations", take=9, sim=True, pace=PACE, display="none")
    run = streamnb.last()
    again = streamnb.replay(run, speed=math.inf)
    assert_frame_equal(again.records, run.records)
    same(again, run)


def test_a_replay_is_no_run_of_the_session_and_leaves_no_file(recordings: Path):
    run = streamnb.stream("demo", "Hi", pace=PACE)
    files = sorted(recordings.rglob("*.jsonl"))
    again = streamnb.replay(run, speed=math.inf)
    assert session() == (run,)
    assert sorted(recordings.rglob("*.jsonl")) == files
    assert again is not run
    assert again.path == run.path


def test_a_run_that_failed_replays_with_its_error():
    run = streamnb.stream("demo", "Hi", pace={**PACE, "scenario": "truncate"})
    again = streamnb.replay(run.path, speed=math.inf)
    assert (again.outcome, again.error) == (Outcome.TRUNCATED, run.error)
    assert run.error is not None
    same(again, run)


def test_a_torn_file_replays_what_it_holds_and_says_that_its_writer_died(tmp_path: Path):
    run = streamnb.stream("demo", "Hi", pace=PACE)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(run.path.read_bytes()[:-400])
    again = streamnb.replay(torn, speed=math.inf)
    assert again.outcome is Outcome.CRASHED
    assert "was cut" in again.warning
    assert run.text.startswith(again.text)


def test_a_replay_can_be_stopped_and_keeps_what_was_played():
    run = streamnb.stream("demo", "Hi", pace={"ttft": 0.0, "gap": 0.002, "tokens": 100})
    playing = Replay(run, 0.05)
    arrived = threading.Event()
    playing.on_arrival = lambda _: arrived.set()
    task = playing.start()
    assert arrived.wait(10)
    playing.stop()
    task.result(10)
    assert playing.run.outcome is Outcome.STOPPED
    assert playing.run.error == "the replay was stopped; what was played is here."
    assert 0 < len(playing.run.chunks) < len(run.chunks)


@pytest.mark.parametrize("speed", [0, -1.0, math.nan])
def test_a_speed_that_is_none_is_refused(speed: float):
    run = streamnb.stream("demo", "Hi", pace=PACE, record=False)
    with pytest.raises(UsageError, match="speed wants a number above 0"):
        streamnb.replay(run, speed=speed)


def test_a_run_that_still_runs_is_refused():
    live = client.Session(client.ask("demo", "Hi", scenario="hang"))
    live.start()
    with pytest.raises(UsageError, match="still runs"):
        streamnb.replay(live.run)
    live.stop()
    live.wait()


def test_a_file_that_is_none_is_named(tmp_path: Path):
    (tmp_path / "x.jsonl").write_text("{}")
    for name, words in (("x.jsonl", "line 1"), ("missing.jsonl", "No such file")):
        with pytest.raises(TranscriptError, match=words) as caught:
            streamnb.replay(tmp_path / name)
        assert name in str(caught.value)
