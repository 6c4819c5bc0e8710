from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamnb.simulator.parent import Parent, main, when_gone

ROOT = Path(__file__).parents[1]
PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def child(code: str, *words: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, **options)


def test_a_living_process_is_not_gone():
    assert not Parent.of(os.getppid()).gone()
    assert not Parent.of(os.getpid()).gone()


def test_a_process_that_has_ended_is_gone():
    process = child("input()", stdin=subprocess.PIPE)
    parent = Parent.of(process.pid)
    assert not parent.gone()
    process.communicate(b"\n")
    assert parent.gone()


@PROC
def test_a_zombie_is_gone():
    process = child("input()", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    parent = Parent.of(process.pid)
    with process.stdin as stdin, process.stdout as stdout:
        stdin.write(b"\n")
        stdin.flush()
        assert stdout.read() == b""  # it has ended, and nobody has waited for it yet
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert parent.gone()
    process.wait()


@PROC
def test_another_process_with_the_same_id_is_not_the_parent():
    assert Parent(os.getpid(), born="1", direct=False).gone()


def test_a_process_that_is_no_longer_our_parent_is_gone():
    assert Parent(os.getpid(), Parent.of(os.getpid()).born, direct=True).gone()


def test_a_process_of_somebody_else_counts_as_alive():
    assert not Parent.of(1).gone()


def test_the_end_of_a_process_calls_once(monkeypatch):
    read, write = os.pipe()
    monkeypatch.setattr("streamnb.simulator.parent._STDIN", read)
    process = child("input()", stdin=subprocess.PIPE)
    called = threading.Event()
    when_gone(process.pid, called.set)
    process.communicate(b"\n")
    assert called.wait(5)
    os.close(write)


def test_the_end_of_stdin_calls_too(monkeypatch):
    read, write = os.pipe()
    monkeypatch.setattr("streamnb.simulator.parent._STDIN", read)
    called = threading.Event()
    when_gone(os.getppid(), called.set)
    os.write(write, b"words are ignored")
    assert not called.is_set()
    os.close(write)
    assert called.wait(5)


WATCHER = [sys.executable, "-m", "streamnb.simulator.parent"]


def test_the_watcher_returns_the_exit_code_of_its_command():
    command = [*WATCHER, str(os.getpid()), "--", sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as watcher:
        assert watcher.wait(20) == 7


def test_the_watcher_ends_its_command_when_stdin_ends():
    code = "import sys, time; print('up', flush=True); time.sleep(3600)"
    command = [*WATCHER, str(os.getpid()), "--", sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout.readline() == b"up\n"
        watcher.stdin.close()
        assert watcher.wait(10) == 128 + 9
        assert watcher.stdout.read() == b""  # nobody holds the pipe any more: the command is gone


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_a_killed_watcher_takes_its_command_along():
    code = "import sys, time; print('up', flush=True); time.sleep(3600)"
    command = [*WATCHER, str(os.getpid()), "--", sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout.readline() == b"up\n"
        watcher.kill()
        assert watcher.stdout.read() == b""


def test_the_watcher_says_how_it_is_used(capsys):
    assert main(["1", "nothing"]) == 2
    assert "PID -- command" in capsys.readouterr().err
