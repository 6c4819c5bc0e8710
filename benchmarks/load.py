"""The load server as a process: the C program, built on first use, or the asyncio one where nothing can build it.

Knows processes, processors and certificates. Must not know: clients, what the figures mean.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

SOURCE = Path(__file__).parent / "load_server.c"
CLIENT_CORE, SERVER_CORE = 0, 1
BUILDS = (["-DWITH_TLS", "-lssl", "-lcrypto"], [])


@dataclasses.dataclass(frozen=True)
class Built:
    """How the server is started, what it cannot do, and whether it speaks TLS."""

    command: list[str]
    limit: str = ""
    tls: bool = True


@functools.cache
def built() -> Built:
    """The C server, built into the user's cache directory unless it is there; else the asyncio one."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    slow = [sys.executable, "-m", "benchmarks.slow_server"]
    if compiler is None:
        return Built(slow, "no C compiler: an asyncio server, which limits every figure")
    for flags in BUILDS:
        name = hashlib.sha256(SOURCE.read_bytes() + " ".join(flags).encode()).hexdigest()[:16]
        program = platformdirs.user_cache_path("streamnb") / f"load_server-{name}"
        if program.exists() or _compiled(compiler, program, flags):
            return Built([str(program)], "" if flags else "built without OpenSSL's headers: no TLS", bool(flags))
    return Built(slow, "the C server does not build here: an asyncio server, which limits every figure")


def _compiled(compiler: str, program: Path, flags: list[str]) -> bool:
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, "-O2", str(SOURCE), "-o", str(fresh), *flags], capture_output=True, check=False, timeout=120
    )
    if done.returncode == 0:
        fresh.replace(program)
    return done.returncode == 0


def pin(core: int) -> None:
    """Keep this process on one processor, where there are two."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


class Server:
    """A running load server.

    Attributes:
        origin: its address.
        ca: file with the authority that signed its certificate, for https.
        lock: whether it can see what its clients have not read yet, which `lock` needs.
    """

    def __init__(self, process: subprocess.Popen[bytes], ca: Path | None) -> None:
        self._process = process
        self._unread = b""
        self.ca = ca
        hello = self._line(30)
        self.origin = f"http{'s' if ca else ''}://127.0.0.1:{hello['port']}"
        self.lock: bool = hello["lock"]

    def heard(self, group: str, timeout_s: float = 60) -> dict[str, Any]:
        """What the server saw of a group: events sent, the client's CPU (ns) meanwhile, its own.

        Raises:
            TimeoutError: the group did not come to its end.
        """
        while (line := self._line(timeout_s))["group"] != group:
            pass
        return line

    @property
    def cpu_s(self) -> float:
        """CPU this server has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _line(self, timeout_s: float) -> dict[str, Any]:
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("the load server was started without a pipe")
        with selectors.DefaultSelector() as waiting:
            waiting.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not waiting.select(timeout_s):
                    raise TimeoutError("the load server said nothing")
                more = os.read(stream.fileno(), 65536)
                if not more:
                    raise RuntimeError("the load server has ended")
                self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


@contextlib.contextmanager
def serving(*, tls: bool = False) -> Iterator[Server]:
    """A load server, while the block lasts, on the processor that clients do not use."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ending:
        files = _certificate(Path(folder)) if tls else []
        process = subprocess.Popen(
            [*built().command, *map(str, files[1:])],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            preexec_fn=functools.partial(pin, SERVER_CORE),  # noqa: PLW1509  # no other thread runs here
        )
        ending.enter_context(process)  # closes the pipe and waits
        ending.callback(process.terminate)
        yield Server(process, files[0] if files else None)


def _certificate(folder: Path) -> list[Path]:
    import trustme

    authority = trustme.CA()
    files = [folder / name for name in ("ca.pem", "server.pem", "key.pem")]
    authority.cert_pem.write_to_path(str(files[0]))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(str(files[2]))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(files[1]), append=number > 0)
    return files


def busy_s() -> float:
    """CPU that all processes together have used since this machine started, s; NaN where nobody says."""
    if not Path("/proc/stat").exists():
        return float("nan")
    user, nice, system, _, _, irq, soft = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
