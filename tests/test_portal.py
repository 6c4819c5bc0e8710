from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import subprocess
import sys
import threading
import time

import pytest
from fault_server import until

from streamnb import portal

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


async def give(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_a_coroutine_runs_on_the_one_loop_thread_and_gives_its_result():
    async def thread() -> str:
        return threading.current_thread().name

    assert portal.wait(portal.spawn(thread())) == "streamnb"
    assert portal.loop() is portal.loop()
    assert portal.wait(portal.spawn(give(3))) == 3


def test_the_loop_thread_keeps_no_process_alive():
    program = "from streamnb import portal; import asyncio; portal.spawn(asyncio.sleep(60)); portal.loop()"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=20, capture_output=True)
    assert done.returncode == 0
    assert time.monotonic() - start < 15


def test_an_error_comes_out_where_somebody_waits():
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        portal.wait(portal.spawn(fail()))


def test_a_coroutine_sees_the_context_of_its_caller():
    async def look() -> str:
        return where.get()

    where.set("cell 7")
    assert portal.wait(portal.spawn(look())) == "cell 7"


def test_a_stop_from_another_thread_cancels_the_task():
    started = threading.Event()

    async def long() -> None:
        started.set()
        await asyncio.sleep(60)

    task = portal.spawn(long())
    assert started.wait(5)
    task.stop()
    with pytest.raises(concurrent.futures.CancelledError):
        task.result(5)
    task.stop()  # nothing is left to stop


def test_while_it_waits_it_paints():
    ticks = []
    over = threading.Event()

    async def until_painted() -> str:
        await until(lambda: len(ticks) >= 3)
        over.set()
        return "done"

    assert portal.wait(portal.spawn(until_painted()), lambda: ticks.append(1), every_s=0.001) == "done"
    assert over.is_set()


def test_a_timeout_error_of_the_task_itself_is_not_taken_for_a_slice():
    async def late() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        portal.wait(portal.spawn(late()))


class EndsInTheSlice(portal.Task[str]):
    """Ends between the end of a slice and the look at it: the race of `wait`, held still."""

    def result(self, timeout: float | None = None) -> str:
        if timeout is not None:
            self.set_result("just in time")
            raise TimeoutError
        return super().result()


def test_a_task_that_ends_just_after_a_slice_gives_its_result():
    assert portal.wait(EndsInTheSlice()) == "just in time"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_gets_a_loop_of_its_own():
    program = """
import os, sys, warnings
from streamnb import portal
async def one(): return 1
assert portal.wait(portal.spawn(one())) == 1
pid = os.fork()
if pid == 0:
    os._exit(0 if portal.wait(portal.spawn(one())) == 1 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False, timeout=20, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
