"""The outpost: one child process, which starts or says why not, is replaced when it died, and holds nobody up."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from fault_server import wait_until

from streamnb import portal
from streamnb.errors import CompanionError
from streamnb.isolation import _outpost
from streamnb.isolation._frames import Frame, Kind, pack
from streamnb.isolation._outpost import _OUTPOST, Outpost, outpost

READY = f"import os, sys, time; os.write(1, {pack(Frame(0, Kind.READY, _outpost.__version__.encode()))!r});"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Makes an outpost whose process runs this code."""
    posts = []

    def make(code: str) -> Outpost:
        monkeypatch.setattr(_outpost, "python_command", lambda *_words: [sys.executable, "-c", code])
        posts.append(Outpost())
        return posts[-1]

    yield make
    for post in posts:
        post.stop()


def test_it_starts_once_for_threads_that_ask_at_the_same_time():
    _OUTPOST.stop()
    found: list[Outpost] = []
    threads = [threading.Thread(target=lambda: found.append(outpost())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {outpost()}


def test_one_that_does_not_start_says_why(made):
    with pytest.raises(CompanionError, match=r"did not start: .*no module here.*; leave isolate out"):
        made("raise SystemExit('no module here')")
    with pytest.raises(CompanionError, match="did not start: it said nothing"):
        made("")


def test_one_that_never_gets_ready_is_given_up(made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_outpost, "READY_S", 0.7)
    with pytest.raises(CompanionError, match="did not start"):
        made("import sys; sys.stdin.read()")


def test_one_of_another_version_asks_for_a_restart(made):
    with pytest.raises(CompanionError, match=r"changed from .* to 99 under this kernel: restart the kernel"):
        made(f"import os, sys; os.write(1, {pack(Frame(0, Kind.READY, b'99'))!r}); sys.stdin.read()")


def test_how_it_ended_is_said_in_words(made):
    for code, words in (
        ("sys.exit(3)", "ended with 3"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("os.kill(os.getpid(), 40)", "was killed by signal 40"),
    ):
        post = made(f"{READY} sys.stdin.buffer.read(1); {code}")
        post.send(Frame(1, Kind.STOP, b""))
        wait_until(lambda post=post: not post.lives)
        assert post.end == words


def test_whoever_listens_hears_of_the_end_also_when_it_came_before(made):
    post, heard = made(f"{READY} sys.stdin.buffer.read(1)"), []
    portal.loop().call_soon_threadsafe(post.ask, Kind.CHECK, b"", heard.append)
    wait_until(lambda: heard)
    portal.loop().call_soon_threadsafe(post.ask, Kind.CHECK, b"", heard.append)
    wait_until(lambda: len(heard) == 2)
    assert heard == [None, None]


def test_frames_of_runs_that_nobody_listens_to_are_dropped(made):
    frames = b"".join(pack(Frame(run, Kind.LINE, b"x")) for run in (7, 1, 7))
    post, heard = made(f"{READY} sys.stdin.buffer.read(1); os.write(1, {frames!r}); sys.stdin.read()"), []
    portal.loop().call_soon_threadsafe(post.ask, Kind.CHECK, b"", heard.append)
    wait_until(lambda: heard)
    assert heard == [Frame(1, Kind.LINE, b"x")]
    post.forget(1)


def test_sending_never_waits_and_a_process_that_does_not_read_is_killed_in_the_end(
    made, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_outpost, "STOP_S", 0.7)
    post = made(f"{READY} time.sleep(3600)")
    for _ in range(64):
        post.send(Frame(1, Kind.RUN, bytes(1 << 20)))
    post.stop()
    assert post.end == "was killed by SIGKILL"
