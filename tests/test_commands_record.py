from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fault_server import Wire, serving, wait_until
from run_files import days_ago, running

import streamnb
from streamnb import cli
from streamnb.commands import chosen
from streamnb.commands.record import help_page
from streamnb.providers import load, names
from streamnb.settings import PROFILES
from streamnb.tables import COLUMNS

HANG_S = 60
FAST = ("--pace", "ttft=0", "--pace", "gap=0", "--pace", "tokens=12", "--pace", "seed=1")
SLOW = ("--pace", "ttft=0", "--pace", "gap=0.005", "--pace", "tokens=100000")
COMMAND = [sys.executable, "-m", "streamnb", "record"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(*words: str) -> int:
    return cli.main(["record", *words])


def latest() -> streamnb.Run:
    return streamnb.open(chosen.every()[-1].path)


def piped(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data))


def test_an_answer_is_streamed_and_kept_and_the_file_named(capsys: pytest.CaptureFixture[str]):
    assert record("demo", *FAST, "--", "Why", "do", "rivers", "meander?") == 0
    run, said = latest(), capsys.readouterr()
    assert said.out.startswith(run.text)
    assert "complete \N{MIDDLE DOT} TTFT" in said.out
    assert said.err == f"recorded: {run.path}\n"
    assert run.prompt.text == "Why do rivers meander?"


def test_json_is_one_document_with_the_row_the_text_and_the_file(capsys: pytest.CaptureFixture[str]):
    assert record("--json", "demo", *FAST, "--", "hi") == 0
    found, run = json.loads(capsys.readouterr().out), latest()
    assert list(found) == [*COLUMNS["runs"], "text", "path"]
    assert (found["outcome"], found["text"], found["path"]) == ("complete", run.text, str(run.path))
    assert (found["tokens_out"], found["error"], found["queued_s"]) == (12, None, None)
    assert found["ttft_s"] > 0


def test_a_run_that_ended_badly_is_kept_and_told_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]):
    assert record("demo", *FAST, "--scenario", "http-429", "--json", "--", "hi") == 1
    run, said = latest(), capsys.readouterr()
    assert json.loads(said.out)["outcome"] == run.outcome == "http_error"
    first, second = said.err.splitlines()
    assert first.startswith("streamnb record: openai_chat answered 429")
    assert second == f"recorded: {run.path}"


def test_options_of_the_target_and_of_every_target_arrive(capsys: pytest.CaptureFixture[str]):
    words = ["typebot", "--sim", "--typebot", "demo", "--no-continue", "--timeout", "30", "--system", "-- no --"]
    assert record(*words[:-2], *FAST, "--json", "hi there") == 0
    assert json.loads(capsys.readouterr().out)["target"] == "typebot"
    assert latest().provider.values["no_continue"] is True
    assert latest().prompt.text == "hi there"


@pytest.mark.parametrize(
    ("words", "stdin", "prompt"),
    [
        (["--", "a", " b"], None, "a  b"),
        (["a", "b"], None, "a b"),
        (["--", "--model", "x"], None, "--model x"),
        (["--", ""], piped(b"not read"), ""),
        ([], piped("two\nlines: n\u00e4ive\r\n\n".encode()), "two\nlines: n\u00e4ive\r\n"),
        (["-"], piped(b"from the pipe\n"), "from the pipe"),
        (["--", "-"], piped(b"again"), "again"),
        (["--"], piped(b"not read"), ""),
        ([], Terminal("not read"), ""),
        ([], None, ""),
    ],
)
def test_the_prompt_stands_behind_the_dashes_or_comes_from_stdin_byte_for_byte(
    words: list[str], stdin: io.TextIOBase | None, prompt: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert record("demo", *FAST, *words) == 0
    assert latest().prompt.text == prompt


KEY = "sk-proj-" + "aB3" * 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a target first"),
        (["--sim"], "name a target first"),
        (["dem", "--", "x"], "Did you mean demo"),
        (["demo", "--sytem", "x", "--", "x"], "Did you mean --system"),
        (
            ["demo", "--timeout", "0", "--", "x"],
            "not '0'. See: streamnb record demo --help",
        ),
        (["demo", "--model"], "expected one argument"),
        (["demo", "word", "--", "x"], "'word' stands before --"),
        (["demo", "-o", "answer", "--", "x"], "a variable of a notebook"),
        (["demo", "--tool", "f", "--", "x"], "a function of a notebook"),
        (["demo", "--no-record", "--", "x"], "leave --no-record out"),
        (["demo", "--json", "--display", "plain", "--", "x"], "leave --display out"),
        (["demo", "--display", "panel", "--", "x"], "needs a notebook kernel"),
        (["demo", "--continue", "--", "x"], "no recording of demo to go on from"),
        (["demo", "--press", "Yes"], "no recording of demo to go on from"),
        (["oliver", "--", "x"], "oliver needs OLIVER_API_KEY"),
        (["demo", "--system", f"it is {KEY}", "--", "x"], "--key-env NAME"),
        (["demo", f"--key-env={KEY}", "--", "x"], "--key-env NAME"),
        (["dem", "--help"], "Did you mean demo"),
    ],
)
def test_words_that_do_not_fit_send_nothing_and_write_nothing(
    words: list[str],
    said: str,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.delenv("OLIVER_API_KEY", raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert record(*words) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.startswith("streamnb record: ")
    assert "chatstream?" not in err
    assert KEY not in err
    assert out == ""
    assert not list(recordings.glob("**/*"))


def test_a_prompt_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "stdin", piped(b"\xff\xfe"))
    assert record("demo", *FAST) == 2
    assert "not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("target", [None, *names(), *PROFILES])
def test_the_help_has_every_option_of_the_target_in_eighty_columns(
    target: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "80")
    assert record(*([] if target is None else [target]), "--help") == 0
    page = capsys.readouterr().out
    assert page == help_page(target)
    assert max(map(len, page.splitlines())) <= 80
    assert "--timeout-idle" in page
    if target is not None:
        for option in load(PROFILES[target].provider if target in PROFILES else target).options:
            assert f"  {option.flag}" in page


def test_continue_goes_on_in_the_session_of_the_latest_recording(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    streamnb.stream("deepset", "hi", sim=True, pipeline="rivers", pace={"ttft": 0, "gap": 0, "tokens": 3})
    before = latest()
    streamnb.records("deepset", "search_sessions", sim=True, pipeline="rivers", display="none")
    journal = running(recordings, "29990101-000000-aaa111", target="deepset", wall_ns=days_ago(-1))
    try:
        code = record("deepset", "--sim", *FAST, "--continue", "--json", "--", "and then?")
    finally:
        journal.close()
    out, err = capsys.readouterr()
    assert f"going on from {before.run_id}" in err
    again = streamnb.open(json.loads(out)["path"])
    assert code == 0
    assert before.session_id is not None
    assert again.provider.values["search_session"] == before.session_id
    assert again.provider.values["pipeline"] == "rivers"


def test_press_answers_with_a_button_of_the_latest_recording_and_reads_no_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run = streamnb.stream("voiceflow", "hi", sim=True, project="choices", pace={"ttft": 0, "gap": 0, "tokens": 3})
    label = run.choices[0].label
    monkeypatch.setattr(sys, "stdin", piped(b"not read"))
    assert record("voiceflow", "--sim", *FAST, "--press", label) == 0
    assert latest().prompt.text == label
    assert latest().prompt.reply == run.choices[0].prompt.reply
    assert record("voiceflow", "--sim", *FAST, "--press", "Nonsense") == 2
    assert "offered no button 'Nonsense'" in capsys.readouterr().err


def test_a_run_that_could_not_be_kept_fails(recordings: Path, capsys: pytest.CaptureFixture[str]):
    recordings.write_text("a file where the directory should be")
    assert record("demo", *FAST, "--", "hi") == 1
    err = capsys.readouterr().err
    assert err.startswith("streamnb record: not recorded on disk any more")
    assert "\nrecorded:" not in err


def test_what_a_model_sends_to_a_terminal_does_not_act(capsys: pytest.CaptureFixture[str]):
    async def hostile(wire: Wire) -> None:
        await wire.reply(
            b'{"error": {"message": "no \\u001b]52;c;AAAA\\u0007\\u001b[2J good"}}', status="400 Bad Request"
        )

    with serving(hostile) as server:
        assert record("openai_chat", "--base-url", f"http://127.0.0.1:{server.port}/v1", "--", "hi") == 1
    out, err = capsys.readouterr()
    assert "no  good" in err
    assert "\x1b" not in out + err


def started(*words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_ctrl_c_keeps_the_partial_run_and_leaves_with_130(more: list[str], recordings: Path):
    with started("demo", *SLOW, *more, "--", "hi") as process:
        if more:  # nothing on stdout before the end: the file says that it streams
            wait_until(lambda: any(path.stat().st_size > 4_000 for path in recordings.glob("*/*.jsonl")))
        else:
            assert process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_S)
    run = latest()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert run.outcome == "interrupted"
    assert run.text
    assert err.splitlines()[-1] == f"recorded: {run.path}"
    if more:
        assert json.loads(out)["text"] == run.text


def test_a_reader_that_goes_away_ends_it_quietly():
    with started("demo", *SLOW, "--", "hi") as process:
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(HANG_S) == 141
    run = latest()
    assert (run.outcome, err) == ("stopped", f"recorded: {run.path}\n")


def test_a_pipe_brings_the_prompt_to_a_process():
    command = [*COMMAND, "demo", *FAST, "--json"]
    done = subprocess.run(command, input="from a pipe\n", capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert streamnb.open(found["path"]).prompt.text == "from a pipe"
    assert Path(found["path"]).name == f"{found['run_id']}.jsonl"
