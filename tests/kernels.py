"""A real kernel on loopback, for tests: what a front end would send and see."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

HANG_S = 60.0


@dataclasses.dataclass
class Cell:
    """What one execute request brought back."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        return self.reply["status"] == "ok"

    def contents(self, *kinds: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    @property
    def stdout(self) -> str:
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == "stdout")

    @property
    def errors(self) -> list[str]:
        return ["\n".join(content["traceback"]) for content in self.contents("error")]

    @property
    def shown(self) -> str:
        return shown_text(self.messages)


def shown_text(messages: list[dict[str, Any]]) -> str:
    """The answer's text that the panel's deltas have brought to the screen."""
    custom = [m["content"]["data"].get("content", {}) for m in messages if m["msg_type"] == "comm_msg"]
    return "".join(content.get("a", "") for content in custom if content.get("k") == "delta")


class Kernel:
    """One kernel and the client of a front end."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def send(self, code: str, *, headless: bool = True) -> str:
        return self.client.execute(code, allow_stdin=not headless)

    def collect(self, parent: str, *, until: Any = None, hang_s: float = HANG_S) -> list[dict[str, Any]]:
        """The iopub messages of a request, until it is idle or `until(messages)` says so."""
        messages: list[dict[str, Any]] = []
        deadline = time.monotonic() + hang_s
        while time.monotonic() < deadline:
            with contextlib.suppress(Empty):
                message = self.client.get_iopub_msg(timeout=1)
                if message["parent_header"].get("msg_id") != parent:
                    continue
                messages.append(message)
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return messages
                if until is not None and until(messages):
                    return messages
        raise AssertionError(f"no idle within {hang_s} s; got {[m['msg_type'] for m in messages]}")

    def reply(self, parent: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=HANG_S)
            if message["parent_header"].get("msg_id") == parent:
                return message["content"]

    def run(self, code: str, *, headless: bool = True) -> Cell:
        parent = self.send(code, headless=headless)
        messages = self.collect(parent)
        return Cell(self.reply(parent), messages)

    def value(self, expression: str) -> str:
        cell = self.run(f"print(({expression}))")
        assert cell.ok, cell.errors
        return cell.stdout.strip()

    @property
    def pid(self) -> int:
        return self.manager.provisioner.process.pid

    def kill(self) -> list[dict[str, Any]]:
        """Kill it, and return what it had still sent."""
        os.kill(self.pid, signal.SIGKILL)
        self.manager.provisioner.process.wait(timeout=HANG_S)
        messages = []
        with contextlib.suppress(Empty):
            while True:
                messages.append(self.client.get_iopub_msg(timeout=0.5))
        return messages


@contextlib.contextmanager
def kernel(recordings: os.PathLike[str], **env: str) -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    environment = {**os.environ, "STREAMNB_RECORDINGS": os.fspath(recordings), **env}
    environment.pop("STREAMNB_DISPLAY", None)
    manager.start_kernel(env=environment)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=HANG_S)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
