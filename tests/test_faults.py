from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import END, FaultServer, Wire, certified, serving
from fault_table import FAULTS, WHOLE

import streamnb
from streamnb import portal
from streamnb.results import Run
from streamnb.transcript import EndLine, read_lines

NEXT_STEP = re.compile(
    r"run it again|check|allow more|--base-url|is kept|is not read further|shorten|raise `limit`|wait|account",
    re.IGNORECASE,
)


def state() -> tuple[int, int, int]:
    """Open sockets, tasks on the loop thread, threads."""
    sockets = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets += str(link.readlink()).startswith("socket:")
    return sockets, len(asyncio.all_tasks(portal.loop())), threading.active_count()


def settled(before: tuple[int, int, int]) -> tuple[int, int, int]:
    """The state, as soon as it is no more than before, at latest after a second."""
    deadline = time.monotonic() + 1
    while any(now > then for now, then in zip(state(), before, strict=True)) and time.monotonic() < deadline:
        time.sleep(0.002)
    return state()


def ask(server: FaultServer, **keywords: Any) -> Run:
    return streamnb.stream("openai_chat", "hi", base_url=server.origin + "/v1", model="m", **keywords)


async def healthy(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(*WHOLE)
    await wire.send(END)


@pytest.fixture(scope="module")
def well() -> Iterator[FaultServer]:
    """A server without faults: runs must work with it after each fault as before."""
    with serving(healthy) as server:
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_one_honest_outcome_keeps_every_byte_and_leaves_nothing_behind(name: str, well: FaultServer):
    fault = FAULTS[name]
    assert ask(well).outcome == "complete"
    before = state()
    with serving(fault.script) as server:
        start = time.monotonic()
        run = ask(server, **fault.keywords)
        took_s = time.monotonic() - start
    assert (run.outcome, run.error is None) == (fault.outcome, fault.error is None), run.error
    if name == "R5 total":
        assert set(run.text) == {"x"}
    else:
        assert run.text == fault.text
    if fault.error is not None:
        assert re.search(fault.error, run.error), run.error
        assert NEXT_STEP.search(run.error), run.error
        assert "\n" not in run.error
        assert len(run.error) < 1000
    assert took_s < fault.within_s
    contents = read_lines(run.path.read_bytes())
    assert sum(isinstance(line, EndLine) for line in contents.lines) == 1
    assert b"".join(line.b for line in contents.reads) == run.raw
    if fault.body is not None:
        assert run.raw == fault.body
    assert set(run.events["flags"]) - {""} == fault.flags
    assert len(server.requests) == 1  # no retry
    assert all(now <= then for now, then in zip(settled(before), before, strict=True))
    assert ask(well).text == "Hello"


def test_late_events_are_counted_in_the_file():
    with serving(FAULTS["F50 events after the end marker"].script) as server:
        run = ask(server)
    assert read_lines(run.path.read_bytes()).end.counts["late_events"] == 1


def test_a_bomb_costs_no_memory():
    with serving(FAULTS["F59 gzip bomb"].script) as server:
        run = ask(server)
    assert len(run.raw) < 16 << 20


def address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


CONNECTS = {
    "F1 refused": (address, "connection refused; nothing listens there. Check the base URL and the network."),
    "F2 no such name": (lambda: "http://nothing.invalid", "the name nothing.invalid cannot be resolved"),
}


@pytest.mark.parametrize("name", CONNECTS)
def test_no_connection_is_told_at_once(name: str, well: FaultServer):
    base_url, reason = CONNECTS[name]
    start = time.monotonic()
    run = streamnb.stream("sse", "hi", base_url=base_url())
    assert time.monotonic() - start < 5
    assert run.outcome == "connect_error"
    assert reason in run.error
    assert run.calls["status"].isna().all()
    assert ask(well).outcome == "complete"


@pytest.mark.parametrize("host", ["127.0.0.1", "example.org"])
def test_a_certificate_that_nobody_trusts_sends_nothing(host: str):
    with serving(healthy, context=certified(host)) as server:
        run = streamnb.stream("sse", "hi", base_url=server.origin)
        assert server.requests == []
    assert run.outcome == "connect_error"
    assert "TLS: certificate refused: " in run.error
