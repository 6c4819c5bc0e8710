from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from simulated import url

import streamnb
from streamnb.journal import Journal, is_locked
from streamnb.transcript import EndLine, ReadLine, RunLine, encode, read_lines

RUN = RunLine("run-1", "openai_chat", "demo", {}, {}, {"t_ns": 5, "wall_ns": 1_000}, 1)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def read(s: int, data: bytes = b"data: x\n\n") -> ReadLine:
    return ReadLine(n=0, s=s, t_ns=s, w=9, h=0, b=data)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-simulator")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "recordings" / "20260101" / "run-1.jsonl")


def test_nothing_is_on_disk_before_the_first_line(journal: Journal):
    assert not journal.path.parent.parent.exists()
    journal.close()
    journal.write(RUN)  # over before it began
    assert not journal.path.exists()


def test_each_line_is_one_write_at_the_end_of_the_file(journal: Journal):
    lines = [RUN, read(0), read(1, b"\xff\xfe")]
    for count, line in enumerate(lines, 1):
        journal.write(line)
        assert journal.path.read_bytes() == b"".join(map(encode, lines[:count]))
    journal.close()
    assert journal.failed is None


def test_files_and_directories_are_the_users_alone(journal: Journal):
    old = os.umask(0)
    try:
        journal.write(RUN)
    finally:
        os.umask(old)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(journal.path.parent.parent.stat().st_mode) == 0o700
    journal.close()


def test_a_file_that_exists_is_never_written_to(journal: Journal):
    journal.path.parent.mkdir(parents=True)
    journal.path.write_text("precious")
    journal.write(RUN)
    assert journal.path.read_text() == "precious"
    assert journal.failed.startswith("not recorded on disk any more (File exists)")


def test_the_file_is_locked_as_long_as_its_writer_lives(journal: Journal):
    journal.write(RUN)
    assert is_locked(journal.path)
    journal.close()
    assert not is_locked(journal.path)
    assert not is_locked(journal.path.with_name("nothing"))


def no_locks(*words: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_file_system_without_locks_still_takes_the_run(journal: Journal, monkeypatch: pytest.MonkeyPatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    journal.write(RUN)
    assert (journal.failed, is_locked(journal.path)) == (None, False)
    assert journal.path.read_bytes() == encode(RUN)
    journal.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line_and_no_error(journal: Journal):
    journal.write(RUN)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._fd)
    os.close(full)
    journal.write(read(0))
    assert journal.failed == (
        f"not recorded on disk any more (No space left on device): {journal.path}; the run goes on in memory."
    )
    journal.write(read(1))
    journal.close()
    assert read_lines(journal.path.read_bytes()).lines == [RUN]


def run_python(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


STREAM = """
import sys, streamnb
run = streamnb.stream("openai_chat", "hi", base_url=sys.argv[1] + "/v1", model="m")
print(run.outcome, len(run.text), run.warning, sep="|")
"""
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n" + STREAM


@LINUX
def test_a_file_that_may_not_grow_is_torn_and_the_run_goes_on(recordings: Path):
    done = run_python(LIMITED, url("ttft=0,gap=0,tokens=100"))
    outcome, n_chars, warning = done.stdout.strip().split("|")
    assert (outcome, int(n_chars) > 300) == ("complete", True)
    assert warning.startswith("not recorded on disk any more (File too large)")
    (path,) = recordings.glob("**/*.jsonl")
    assert path.stat().st_size == 5000  # the last write was a short one
    torn = streamnb.open(path)
    assert torn.outcome.value == "crashed"
    assert "was cut" in torn.warning


@LINUX
def test_a_directory_that_cannot_be_made_is_a_warning_and_the_run_goes_on():
    done = run_python(STREAM, url("ttft=0,gap=0,tokens=5"), STREAMNB_RECORDINGS="/proc/streamnb")
    outcome, n_chars, warning = done.stdout.strip().split("|")
    assert (outcome, int(n_chars) > 0) == ("complete", True)
    assert "not recorded on disk any more" in warning


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_a_warning_and_the_run_goes_on(recordings: Path):
    recordings.mkdir(mode=0o500)
    done = run_python(STREAM, url("ttft=0,gap=0,tokens=5"))
    assert "Permission denied" in done.stdout


KILLED = """
import sys, streamnb, asyncio
async def main():
    async with streamnb.open_stream("openai_chat", "hi", base_url=sys.argv[1] + "/v1", model="m") as live:
        async for event in live:
            sys.stdout.write(event.text if event.kind == "delta" else "")
            sys.stdout.flush()
asyncio.run(main())
"""


def kill_one(recordings: Path, at_s: float) -> None:
    """Kill a process that streams; what it showed must be in the file, which must load."""
    pace = url("ttft=0.02,gap=0.002,tokens=5000,seed=7")
    child = subprocess.Popen([sys.executable, "-c", KILLED, pace], stdout=subprocess.PIPE)
    with child, child.stdout:
        shown = child.stdout.read1()  # it streams
        path = max(recordings.glob("**/*.jsonl"), key=lambda one: one.stat().st_mtime_ns)
        assert streamnb.recordings().set_index("path")["outcome"][str(path)] == "running"
        time.sleep(at_s)
        child.send_signal(signal.SIGKILL)
        shown += child.stdout.read()
    run = streamnb.open(path)
    text = shown.decode(errors="ignore")
    assert len(text) > 1
    assert run.text.startswith(text)
    assert (run.outcome.value, run.path) == ("crashed", path)
    assert "the process that recorded it died" in run.error
    assert streamnb.recordings().set_index("path")["outcome"][str(path)] == "crashed"
    assert not any(isinstance(line, EndLine) for line in read_lines(path.read_bytes()).lines)


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_after_kill_9_nothing_that_was_shown_is_missing_and_the_file_says_crashed(recordings: Path):
    chance = random.Random(5)
    for _ in range(5):
        kill_one(recordings, chance.random() * 0.2)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_after_twenty_kills_too(recordings: Path):
    chance = random.Random(20)
    for _ in range(20):
        kill_one(recordings, chance.random() * 0.5)


def test_what_was_written_is_put_on_the_disk_within_a_quarter_second_and_no_oftener(journal, monkeypatch):
    synced: list[int] = []
    woken = threading.Event()

    def fdatasync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        woken.set()

    monkeypatch.setattr("streamnb.journal._fdatasync", fdatasync)
    journal.write(RUN)
    for _ in range(3):
        woken.clear()
        for _ in range(50):
            journal.append(b"{}\n")
        assert woken.wait(10)
    size = journal.path.stat().st_size
    assert synced[-1] <= size
    assert len(synced) <= 4  # of 151 writes
    woken.clear()
    journal.append(b"{}\n")
    assert woken.wait(10)
    assert synced[-1] == size + 3
    journal.close()


def test_a_journal_that_was_closed_meanwhile_is_not_synced(journal, monkeypatch):
    monkeypatch.setattr("streamnb.journal._fdatasync", lambda _: pytest.fail("a closed file"))
    journal.write(RUN)
    journal.close()
    journal.sync()


def test_a_disk_that_cannot_sync_does_not_stop_the_run(journal, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("streamnb.journal._fdatasync", full)
    journal.write(RUN)
    journal.sync()
    journal.append(b"{}\n")
    assert journal.failed is None
    journal.close()
