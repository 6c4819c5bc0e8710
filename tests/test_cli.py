"""The command line, as processes where exit codes, pipes and signals matter."""

from __future__ import annotations

import errno
import http.client
import io
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from run_files import days_ago, written

from streamnb import __version__, cli
from streamnb.providers import names

HANG_S = 60
COMMANDS = ("demo", "record", "replay", "recordings", "providers", "simulate")
PAGES = [
    ("--help",),
    ("demo", "--help"),
    ("record", "--help"),
    *(("record", name, "-h") for name in names()),
    ("replay", "--help"),
    ("recordings", "--help"),
    *(("recordings", action, "--help") for action in ("list", "show", "rm", "export")),
    ("providers", "--help"),
]
HEAVY = {"pandas", "numpy", "httpx", "httpcore", "ipywidgets", "anywidget", "IPython", "starlette", "uvicorn"}
TELL = """
import json, sys
from streamnb import cli
try:
    cli.main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def streamnb(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamnb", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, input=stdin, check=False)


def test_the_demo_prints_the_stream_and_the_summary() -> None:
    done = streamnb("demo")
    assert done.returncode == 0, done.stderr
    head, _, table = done.stdout.partition("\ncomplete")
    assert len(head.splitlines()) > 5
    rows = dict(line.split(None, 1) for line in table.splitlines()[1:] if line.strip())
    assert rows["outcome"] == "complete"
    assert float(rows["ttft_s"]) > 0
    assert rows["token_source"] == "server"


def test_the_version_is_printed() -> None:
    assert streamnb("--version").stdout == f"streamnb {__version__}\n"


def test_no_command_prints_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "simulate" in capsys.readouterr().out


def test_simulate_says_what_it_can() -> None:
    done = streamnb("simulate", "--help")
    assert done.returncode == 0
    assert "http-<code>" in done.stdout


def test_simulate_serves_and_says_where() -> None:
    command = [sys.executable, "-m", "streamnb", "simulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        try:
            connection = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=HANG_S)
            connection.request("GET", "/v1/models")
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            os.kill(ready["pid"], signal.SIGTERM)
            process.communicate(timeout=HANG_S)


def buffered() -> dict[str, str]:
    """An environment in which a full buffer, or the end, writes to a pipe."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def exit_code(*words: str) -> int:
    try:
        return cli.main(words)
    except SystemExit as left:
        return int(left.code or 0)


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_every_page_of_help_fits_eighty_columns_and_has_examples(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words) == 0
    page, err = capsys.readouterr()
    assert err == ""
    assert page.startswith("usage: streamnb ")
    assert max(map(len, page.splitlines())) <= 80
    assert ("examples:\n  " in page) is (words[0] != "demo")


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_an_example_of_the_help_is_a_line_that_the_command_understands(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(*words)
    page = capsys.readouterr().out
    lines = [line.strip() for line in page.partition("examples:\n")[2].partition("\n\n")[0].splitlines()]
    for line in lines:
        assert "streamnb " in line
        name, *more = line.partition("streamnb ")[2].split()
        assert name in COMMANDS
        if name == "recordings":
            assert more[0] in {"list", "show", "rm", "export"}


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    page = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in page
    assert exit_code("nonsense") == 2
    err = capsys.readouterr().err
    assert all(command in err for command in COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["record", "--help"],
        ["record", "oliver", "--help"],
        ["recordings", "list"],
        ["recordings", "list", "--json", "--since", "7d"],
        ["recordings", "rm", "--older-than", "1d", "--dry-run"],
        ["providers", "--json"],
    ],
    ids=" ".join,
)
def test_a_command_that_computes_nothing_loads_nothing_heavy(words: list[str], recordings: Path) -> None:
    written(recordings, "20260101-120000-aaa111", wall_ns=days_ago(2))
    command = [sys.executable, "-c", TELL, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert set(json.loads(done.stderr.splitlines()[-1])) & HEAVY == set()


def test_a_reader_that_goes_away_ends_a_long_list_quietly(recordings: Path) -> None:
    for number in range(2000):
        written(recordings, f"20260101-120000-{number:06}")
    command = [sys.executable, "-m", "streamnb", "recordings", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("run_id")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(HANG_S) == 141


def test_a_page_of_help_that_nobody_reads_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "streamnb", "--help"]
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False, env=buffered()
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("words", [[], ["providers", "--json"]])
def test_a_full_disk_is_told_in_one_line(words: list[str]) -> None:
    command = [sys.executable, "-m", "streamnb", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False, env=buffered()
        )
    assert done.returncode == 1
    assert done.stderr.startswith(" ".join(["streamnb", *words[:1]]) + ": ")
    assert done.stderr.count("\n") == 1


class Gone(io.StringIO):
    """A stdout whose reader has gone; `number` is its file."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def flush(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def fileno(self) -> int:
        return self._number


def test_what_is_left_in_the_buffer_of_a_broken_pipe_goes_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("wb") as file:
        monkeypatch.setattr(sys, "stdout", Gone(file.fileno()))
        assert cli.main(["--version"]) == 141
        assert stat.S_ISCHR(os.fstat(file.fileno()).st_mode)


def test_ctrl_c_ends_the_demo_in_one_line() -> None:
    command = [sys.executable, "-m", "streamnb", "demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "Traceback" not in err


def test_ctrl_c_while_a_prompt_is_typed_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Typing(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, size: int = -1) -> str:
            del size
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Typing())
    written(Path(os.environ["STREAMNB_RECORDINGS"]), "20260101-120000-aaa111")
    assert cli.main(["recordings", "rm", "aaa111"]) == 130


def test_the_demo_runs_in_this_process_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "Hi"]) == 0
    assert "\noutcome" in capsys.readouterr().out


def test_a_demo_that_ends_badly_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from streamnb import client

    stream = client.stream
    monkeypatch.setattr(client, "stream", lambda *words, **more: stream(*words, **more, scenario="http-500"))
    assert cli.main(["demo"]) == 1
    assert "http_error" in capsys.readouterr().out


def test_simulate_hands_its_words_on(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda words: called.append(words) or 7)
    assert cli.main(["simulate", "--port", "0"]) == 7
    assert called == [[sys.executable, "-m", "streamnb.simulator", "--port", "0"]]

    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "call", interrupted)
    assert cli.main(["simulate"]) == 130
