"""The command line, as processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streamnb import __version__, cli

HANG_S = 60


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
            import http.client

            connection = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=HANG_S)
            connection.request("GET", "/v1/models")
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            import os
            import signal

            os.kill(ready["pid"], signal.SIGTERM)
            process.communicate(timeout=HANG_S)
