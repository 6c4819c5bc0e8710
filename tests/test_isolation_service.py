"""The service: journal first, tell after; who reads slowly holds up nobody; it has what the asking process has."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from streamnb.isolation import _service
from streamnb.isolation._frames import Frame, Kind, Unpacker
from streamnb.isolation._service import Outbox, _ToldJournal, adopt


def test_a_line_is_told_after_it_was_written(tmp_path: Path):
    path, seen = tmp_path / "run.jsonl", []
    journal = _ToldJournal(path, lambda line: seen.append((line, path.read_bytes())))
    journal.append(b"one\n")
    journal.append(b"two\n")
    journal.close()
    assert seen == [(b"one\n", b"one\n"), (b"two\n", b"one\ntwo\n")]


def test_without_a_path_a_line_is_only_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    seen: list[bytes] = []
    journal = _ToldJournal(None, seen.append)
    journal.append(b"one\n")
    journal.close()
    assert (seen, journal.failed, list(tmp_path.iterdir())) == ([b"one\n"], None, [])


def test_a_pipe_that_nobody_reads_holds_up_nobody_and_loses_nothing():
    reading, writing = os.pipe()
    frames = [Frame(n, Kind.LINE, bytes(1 << 16)) for n in range(64)]
    outbox, unpacker, found = Outbox(writing), Unpacker(), []
    for frame in frames:
        outbox.put(frame)
    while len(found) < len(frames):
        found += unpacker.feed(os.read(reading, 1 << 16))
    assert found == frames
    os.close(reading)
    outbox.put(frames[0])  # nobody reads any more: its thread ends
    for thread in threading.enumerate():
        if thread.name == "outbox":
            thread.join(30)
            assert not thread.is_alive()
    os.close(writing)


def test_what_is_no_line_does_not_wait_for_the_next_batch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_service, "EVERY_S", 3600.0)
    reading, writing = os.pipe()
    outbox, unpacker, found = Outbox(writing), Unpacker(), []
    for frame in (Frame(1, Kind.LINE, b"a"), Frame(1, Kind.LINE, b"b"), Frame(1, Kind.OVER, b"c")):
        outbox.put(frame)
    while len(found) < 3:
        found += unpacker.feed(os.read(reading, 1 << 16))
    assert [frame.payload for frame in found] == [b"a", b"b", b"c"]
    os.close(reading)
    outbox.put(Frame(1, Kind.OVER))


def test_it_has_the_variables_and_the_path_of_the_process_that_asks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "environ", {"GONE": "1", "OTHER": "old", "SAME": "s"})
    monkeypatch.setattr(sys, "path", ["/own", "/both"])
    adopt({"OTHER": "new", "SAME": "s", "MORE": "m"}, ["/both", "/theirs"])
    assert os.environ == {"OTHER": "new", "SAME": "s", "MORE": "m"}
    assert sys.path == ["/own", "/both", "/theirs"]
