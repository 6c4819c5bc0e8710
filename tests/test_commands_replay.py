from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import streamnb
from streamnb import cli

HANG_S = 60
FAST = {"ttft": 0, "gap": 0, "tokens": 12, "seed": 1}


def replay(*words: str) -> int:
    return cli.main(["replay", *words])


def test_a_recording_is_streamed_again_by_path_or_by_name(capsys: pytest.CaptureFixture[str]):
    run = streamnb.stream("demo", "hi", pace=FAST)
    for word in (str(run.path), run.run_id, run.run_id[-6:]):
        assert replay(word, "--speed", "100") == 0
        out, err = capsys.readouterr()
        assert out.startswith(run.text)
        assert "nothing was sent" in out
        assert err == ""


def test_json_is_the_row_that_was_recorded(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["record", "demo", "--pace", "gap=0", "--pace", "tokens=5", "--json", "--", "hi"]) == 0
    recorded = json.loads(capsys.readouterr().out)
    assert replay(recorded["path"], "--speed", "max", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == recorded
    assert err == ""


def test_a_run_that_ended_badly_was_replayed_all_the_same(capsys: pytest.CaptureFixture[str]):
    run = streamnb.stream("demo", "hi", pace=FAST, scenario="http-429")
    assert replay(str(run.path), "--speed", "max") == 0
    assert "error: openai_chat answered 429" in capsys.readouterr().out


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
def test_a_speed_that_is_none_is_refused(speed: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        replay("run.jsonl", f"--speed={speed}")
    assert caught.value.code == 2
    assert "above 0 or max" in capsys.readouterr().err


def test_what_is_no_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "letter.txt"
    path.write_text("Dear all\n")
    assert replay(str(path)) == 1
    assert "letter.txt: line 1" in capsys.readouterr().err
    assert replay("letter") == 2
    assert "no recording is called 'letter'" in capsys.readouterr().err


def test_ctrl_c_leaves_with_130():
    run = streamnb.stream("demo", "hi", pace={**FAST, "tokens": 40, "gap": 0.01})
    command = [sys.executable, "-m", "streamnb", "replay", str(run.path), "--speed", "0.05"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "Traceback" not in err
    assert streamnb.open(run.path).outcome == "complete"
