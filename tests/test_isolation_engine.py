"""The engine: whatever the other process does, a run here ends in exactly one outcome, with a way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_server import wait_until

from streamnb import portal
from streamnb._version import __version__
from streamnb.errors import CompanionError, MissingKeyError, TranscriptError
from streamnb.isolation import _engine, _outpost
from streamnb.isolation._frames import Frame, Kind
from streamnb.isolation._outpost import _OUTPOST, outpost
from streamnb.session import Session, ask

CHILD = f"""
import json, os, sys
from pathlib import Path
from streamnb.isolation._frames import Frame, Kind, Unpacker, pack

def tell(run, kind, said=None):
    os.write(1, pack(Frame(run, kind, said if isinstance(said, bytes) else json.dumps(said).encode())))

tell(0, Kind.READY, {__version__.encode()!r})
unpacker = Unpacker()
while data := os.read(0, 65536):
    for run, kind, payload in unpacker.feed(data):
        answers = {{Kind.CHECK: "tell(run, Kind.FINE)", **SCRIPT}}
        exec(answers.get(kind, ""))
"""
REFUSAL = {"error": "MissingKeyError", "text": "no key"}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has the next capture process do this at a CHECK, a RUN, a STOP."""
    _OUTPOST.stop()

    def script(**said: str) -> None:
        steps = ", ".join(f"Kind.{name}: {code!r}" for name, code in said.items())
        code = CHILD.replace("SCRIPT", f"{{{steps}}}")
        monkeypatch.setattr(_outpost, "python_command", lambda *_words: [sys.executable, "-c", code])

    yield script
    _OUTPOST.stop()


def made() -> Session:
    return Session(ask("demo", "hi", isolate=True))


def test_a_process_that_died_since_it_was_last_looked_at_is_replaced(scripted, tmp_path: Path):
    mark = tmp_path / "once"
    scripted(
        CHECK=f"(tell(run, Kind.FINE) if Path({str(mark)!r}).exists() else (Path({str(mark)!r}).touch(), os._exit(1)))"
    )
    first = outpost()
    made()
    assert outpost() is not first


def test_one_that_always_dies_is_an_error(scripted):
    scripted(CHECK="os._exit(1)")
    with pytest.raises(CompanionError, match=r"the capture process \(isolate\) ended with 1; run it without isolate"):
        made()


def test_one_that_does_not_answer_is_an_error(scripted, monkeypatch: pytest.MonkeyPatch):
    scripted(CHECK="pass")
    monkeypatch.setattr(_engine, "READY_S", 0.7)
    with pytest.raises(CompanionError, match="does not answer; run it without isolate"):
        made()


def test_a_refusal_is_raised_as_what_it_is(scripted):
    scripted(CHECK=f"tell(run, Kind.REFUSED, {REFUSAL})")
    with pytest.raises(MissingKeyError, match="no key"):
        made()


def test_a_refusal_after_the_check_ends_the_run(scripted):
    scripted(RUN=f"tell(run, Kind.REFUSED, {REFUSAL})")
    run = made().wait()
    assert (run.outcome, run.error) == ("protocol_error", "openai_chat: no key")


def test_a_bug_there_is_an_error_here_with_a_way_out(scripted):
    scripted(RUN="tell(run, Kind.OVER, {'failed': None, 'bug': 'KeyError'})")
    started = made()
    with pytest.raises(CompanionError, match="KeyError in the capture process; run it without isolate to see where"):
        started.wait()
    assert started.run.outcome == "interrupted"
    assert "KeyError in the capture process" in str(started.run.error)


def test_a_bug_in_the_real_process_ends_nothing_but_its_own_run():
    heard: list[Frame] = []
    post = outpost()
    portal.loop().call_soon_threadsafe(post.ask, Kind.CHECK, b"{}", heard.append)
    wait_until(lambda: heard)
    assert (heard[0].kind, json.loads(heard[0].payload)["bug"]) == (Kind.OVER, "KeyError")
    assert Session(ask("demo", "hi", isolate=True, pace={"ttft": 0, "gap": 0})).wait().ok
    assert outpost() is post


def test_a_line_that_is_none_ends_the_run_here_and_there(scripted, tmp_path: Path):
    mark = tmp_path / "stopped"
    scripted(RUN="tell(run, Kind.LINE, b'nonsense')", STOP=f"Path({str(mark)!r}).write_bytes(payload)")
    started = made()
    with pytest.raises(TranscriptError, match="not a whole line of JSON"):
        started.wait()
    assert started.run.outcome == "interrupted"
    wait_until(lambda: mark.exists() and mark.read_text() == "interrupted")


def test_a_line_of_a_later_version_is_skipped(scripted):
    scripted(RUN='tell(run, Kind.LINE, b\'{"t":"later"}\'); os._exit(1)')
    assert made().wait().outcome == "crashed"


def test_frames_that_mean_nothing_to_a_run_are_skipped(scripted):
    scripted(RUN="[tell(run, Kind.FINE) for _ in range(200)]; tell(run, Kind.REFUSED, {'error': '', 'text': 'last'})")
    assert "last" in str(made().wait().error)


def test_one_that_dies_before_it_wrote_anything_ends_the_run_as_crashed(scripted):
    scripted(RUN="os._exit(1)")
    run = made().wait()
    assert run.outcome == "crashed"
    assert not run.path.exists()
    assert "the capture process (isolate) ended with 1" in str(run.error)
    assert len(run.events) == 0


def test_a_file_that_cannot_be_read_adds_nothing(scripted):
    write = "path = Path(json.loads(payload)['path']); path.parent.mkdir(parents=True); path.write_text('x')"
    scripted(RUN=f"{write}; os._exit(1)")
    assert made().wait().outcome == "crashed"


def test_a_run_that_is_stopped_before_its_start_is_told_so(scripted):
    scripted(RUN="tell(run, Kind.REFUSED, {'error': '', 'text': json.loads(payload)['stopped']})")
    started = made()
    portal.loop().call_soon_threadsafe(started._driver.stop)
    started.start()
    assert started.wait().error == "openai_chat: stopped"
