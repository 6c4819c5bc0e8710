from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamnb.simulator.__main__ import main
from streamnb.simulator.server import bind

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "streamnb.simulator", "--port", "0"]


@contextlib.contextmanager
def started(*words: str, stdin: int = subprocess.PIPE) -> Iterator[tuple[subprocess.Popen, int]]:
    """Start a simulator in a session of its own; yield it and its port."""
    pipe = subprocess.PIPE
    command = [*COMMAND, *words]
    process = subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=pipe, stderr=pipe, start_new_session=True)
    with process:
        try:
            ready = json.loads(process.stdout.readline())
            assert list(ready) == ["streamnb_simulator", "port", "pid"]
            assert (ready["streamnb_simulator"], ready["pid"]) == (1, process.pid)
            yield process, ready["port"]
        finally:
            process.kill()


def get(port: int, path: str = "/") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def test_it_answers_as_soon_as_it_has_said_its_port_and_tells_a_person_where():
    with started(stdin=subprocess.DEVNULL) as (process, port):
        assert get(port) == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        said = process.stderr.read().decode()
    assert f"openai_chat  http://127.0.0.1:{port}/v1\n" in said
    assert f"typebot      http://127.0.0.1:{port}\n" in said
    assert "Traceback" not in said


def test_the_end_of_stdin_alone_does_not_end_it():
    with started() as (process, port):
        process.stdin.close()
        assert get(port) == 200
        assert process.poll() is None


def test_it_ends_with_its_parents_pipe():
    with started("--parent-pid", str(os.getpid())) as (process, port):
        assert get(port) == 200
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_under_way_does_not_keep_ctrl_c_waiting(stream):
    body = json.dumps({"model": "m", "stream": stream, "messages": [{}]})
    with started() as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", "/~ttft=3600/v1/chat/completions", body, {"Authorization": "Bearer k"})
            assert get(port) == 200  # by now the first request has been read as well
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert b"Cancel" not in said


PARENT = """
import os, subprocess, sys
command = [*sys.argv[1:], "--parent-pid", str(os.getpid())]
child = subprocess.Popen(command, start_new_session=True)
sys.exit(child.wait())
"""


def test_it_ends_with_a_killed_parent_although_somebody_else_holds_its_stdin():
    read, write = os.pipe()  # we are the sibling that keeps the pipe open
    command = [sys.executable, "-c", PARENT, *COMMAND]
    with subprocess.Popen(command, cwd=ROOT, stdin=read, stdout=subprocess.PIPE) as parent:
        os.close(read)
        assert json.loads(parent.stdout.readline())["port"]
        parent.kill()
        assert parent.stdout.read() == b""  # the simulator holds this pipe: its end is the simulator's end
    os.close(write)


def test_a_taken_port_is_one_line_and_exit_code_1(capsys):
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"cannot listen on 127.0.0.1 port {port}: ")
    assert said.err.endswith("; try --port 0\n")


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_an_impossible_port_is_a_usage_error(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([f"--port={port}"])
    assert "argument --port: invalid" in capsys.readouterr().err


def test_the_help_lists_every_scenario(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert "echo-auth" in said
    assert "http-<code>" in said
    assert "--parent-pid PID" in said


FORBIDDEN = {"httpx", "pandas", "IPython", "anywidget", "streamnb.providers", "streamnb.wire"}


def test_it_loads_neither_a_client_nor_a_notebook():
    code = (
        "import sys; import streamnb.simulator.__main__, streamnb.simulator.app as a; a.create(); print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not FORBIDDEN & set(loaded)
