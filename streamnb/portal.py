"""The loop thread: one daemon thread with one event loop, and the door from blocking code into it.

Knows asyncio and threads. Must not know: HTTP, recording, IPython. Recipe and figures: NOTEBOOK.md 1 and 9.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from streamnb.patience import PatientSelector

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_selectors: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, PatientSelector] = weakref.WeakKeyDictionary()
_pid = 0


def loop() -> asyncio.AbstractEventLoop:
    """The loop of the thread, started on first use; a fork gets its own."""
    global _loop, _pid  # one thread per process is the point
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = _new(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="streamnb", daemon=True).start()
        return _loop


def _new() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":  # its loop watches no selector
        return asyncio.new_event_loop()
    selector = PatientSelector()
    made = asyncio.SelectorEventLoop(selector)
    _selectors[made] = selector
    return made


def be_patient(patient: bool) -> None:
    """Whether the loop may be a millisecond late for a socket: cheaper with very many of them (`PatientSelector`)."""
    selector = _selectors.get(loop())
    if selector is not None:
        selector.be_patient(patient=patient)


def busy() -> float:
    """Share of the time, 0 to 1, in which the loop thread had something to do lately; 0 where nobody measures."""
    selector = _selectors.get(loop())
    return 0.0 if selector is None else selector.busy


class Task(concurrent.futures.Future[T]):
    """A coroutine running on the loop thread."""

    _task: asyncio.Task[T] | None = None

    def stop(self) -> None:
        """Cancel it, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is gone with its process
            loop().call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()


def spawn(coroutine: Coroutine[Any, Any, T]) -> Task[T]:
    """Start a coroutine on the loop thread, in a copy of the caller's context, so that output finds its cell."""
    future: Task[T] = Task()
    context = contextvars.copy_context()
    target = loop()

    def start() -> None:
        future._task = target.create_task(coroutine, context=context)  # noqa: SLF001  # the same class
        future._task.add_done_callback(finish)  # noqa: SLF001

    def finish(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            future.set_exception(concurrent.futures.CancelledError())
        elif error := task.exception():
            future.set_exception(error)
        else:
            future.set_result(task.result())

    target.call_soon_threadsafe(start)
    return future


def wait(future: Task[T], tick: Callable[[], None] | None = None, every_s: float = 0.05) -> T:
    """Block until a task is done, in slices, so that an interrupt is heard at once.

    Args:
        future: from `spawn`.
        tick: called between the slices, on this thread: painting.
        every_s: length of a slice, s.

    Raises:
        KeyboardInterrupt: the caller decides what becomes of the task.
    """
    while True:
        try:
            return future.result(timeout=every_s)
        except concurrent.futures.TimeoutError:
            if future.done():  # it ended just now, or its own outcome is a TimeoutError
                return future.result()
            if tick is not None:
                tick()
