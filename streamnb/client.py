"""The public calls: stream, astream, open_stream, open, recordings, runs, run.

Knows sessions and where recordings are. Must not know: IPython magics, sockets, what bytes mean, pandas (it delegates).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from streamnb import settings, shelf
from streamnb.errors import UsageError, did_you_mean
from streamnb.events import Arrival, Event
from streamnb.replaying import Replay, Source
from streamnb.results import Run, session
from streamnb.session import Ask, Session, ask

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Ask",
    "LiveStream",
    "Replay",
    "Session",
    "ask",
    "astream",
    "last",
    "open_recording",
    "open_stream",
    "recordings",
    "records",
    "replay",
    "run",
    "runs",
    "stream",
]

T = TypeVar("T")


def stream(target: str, prompt: str = "", **keywords: Any) -> Run:
    """Send a prompt, wait for the whole answer, return the run. Works from any thread and in any notebook.

    Args:
        target: a provider's or a profile's name; `demo` needs no key and no network.
        prompt: what to say.
        keywords: what else can be said, each by its name: `model`, `system`, `params` (fields of the request's body,
            such as {"temperature": 0}), `base_url`, `key_env`, `timeout` (s), `tools`, `record`, `display`; `sim`,
            `scenario` and `pace` for the simulator; all are fields of `streamnb.client.Ask`, where each is explained.
            What is none of them is an option of the provider.

    Returns:
        The run, also when the API failed: look at `ok`, `outcome`, `error`, or call `raise_for_outcome()`.

    Raises:
        UsageError: something does not exist or does not fit. MissingKeyError: nothing was sent.

    Example:
        >>> run = stream("demo", "Why do rivers meander?", pace={"tokens": 3, "ttft": 0, "gap": 0}, record=False)
        >>> run.outcome.value
        'complete'
    """
    return Session(ask(target, prompt, **keywords)).wait()


async def astream(target: str, prompt: str = "", **keywords: Any) -> Run:
    """`stream` for a caller that awaits; its loop stays free."""
    started = await asyncio.to_thread(Session, ask(target, prompt, **keywords))
    return await started.join()


@contextlib.asynccontextmanager
async def open_stream(target: str, prompt: str = "", **keywords: Any) -> AsyncIterator[LiveStream]:
    """A run to iterate over while it arrives; leaving the block early stops it.

    Example:
        async with open_stream("demo", "Hi") as live:
            async for event in live:
                print(event.kind, event.text)
        live.run.summary
    """
    started = await asyncio.to_thread(Session, ask(target, prompt, **keywords))
    events = _Events(asyncio.get_running_loop())
    started.on_arrival = events.put
    live = LiveStream(started, events)
    started.start().add_done_callback(lambda _: events.put(None))
    try:
        yield live
    finally:
        if not live.finished:
            started.stop()
        await started.join()


class LiveStream:
    """The events of a run as they arrive.

    Attributes:
        run: the run; grows while the events come.
    """

    def __init__(self, session: Session, events: _Events) -> None:
        self._session = session
        self._events = events
        self.run = session.run

    @property
    def finished(self) -> bool:
        """True when nothing more comes."""
        task = self._session.task
        return task is not None and task.done()

    def stop(self) -> None:
        """End the run; what arrived is kept."""
        self._session.stop()

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """The reads with their times, and the events each completed."""
        async for arrival in self._events:
            self._session.tick()
            yield arrival

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for arrival in self.arrivals():
            for event in arrival.events:
                yield event


class _Events:
    """Arrivals on their way from the loop thread to the caller's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queue: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._loop = loop
        self._over = False

    def put(self, arrival: Arrival | None) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, arrival)

    async def __aiter__(self) -> AsyncIterator[Arrival]:
        while not self._over:
            arrival = await self._queue.get()
            if arrival is None:
                self._over = True
            else:
                yield arrival


def records(target: str, kind: str, *, take: int | None = None, display: str = "auto", **keywords: Any) -> pd.DataFrame:
    """Stream a list of a platform's records (conversations, messages, sessions) into a table.

    A line counts them while they come. An interrupt ends it, and is raised; what came is in `streamnb.last().records`.

    Args:
        target: a provider that has lists (`%chatstream providers`).
        kind: which list, as `conversations` of `chatbotkit`.
        take: at most so many records; all of them unless said.
        display: how the counting line is shown; `none` hides it.
        keywords: as of `stream`.

    Returns:
        One row per record, in the order of the server, with the platform's own fields as columns (as JSON has them).

    Raises:
        UsageError: no such list, or `take` is below 1.
        RunError: it ended badly; the records that came are in `error.run.records`.
    """
    lists = settings.lists_of(target)
    if kind not in lists:
        raise UsageError(f"{target} has no list {kind!r}.{did_you_mean(kind, lists)}")
    if take is not None and take < 1:
        raise UsageError(f"take wants a number from 1, not {take!r}; leave it out for all.")
    done = Session(ask(target, records=kind, take=take, display=display, **keywords)).wait()
    if done.outcome is not None and done.outcome.value != "stopped":
        done.raise_for_outcome()
    return done.records


def replay(source: Source, *, speed: float = 1.0, display: str = "none") -> Run:
    """Stream a recording again, through the same layers and at its own pace. Nothing is sent: no network is used.

    Args:
        source: a run file, or a run.
        speed: 1 is the recorded pace, 2 twice as fast, `math.inf` as fast as it can.
        display: as of `stream`.

    Returns:
        The run as it was recorded: its events, text, outcome and times, read by this version.

    Raises:
        UsageError: a speed that is none, or a run that still runs.
        TranscriptError: the file cannot be read; the message names file and line.

    Example:
        >>> run = stream("demo", "Hi", pace={"tokens": 3, "ttft": 0, "gap": 0}, record=False)
        >>> replay(run, speed=100).text == run.text
        True
    """
    return Replay(source, speed, display).wait()


def runs() -> pd.DataFrame:
    """The table of every run of this session, in the order of their starts."""
    from streamnb import tables

    return tables.runs([run.row() for run in session()])


def last() -> Run | None:
    """The latest run of this session."""
    known = session()
    return known[-1] if known else None


def recordings() -> pd.DataFrame:
    """The run files on disk, oldest first.

    Returns:
        Columns run_id, provider, target, model, started_at, outcome (`crashed`: its writer died; `running`), n_bytes,
        path.
    """
    from streamnb import tables

    return tables.recordings(shelf.listing(settings.recordings_dir()))


def open_recording(path: str | os.PathLike[str]) -> Run:
    """Load a run file, whole or torn.

    Raises:
        TranscriptError: it is not one; the message names file and line.
    """
    where = Path(path)
    return Run(*shelf.read_file(where), where)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from synchronous code, also where a loop already runs (a notebook cell).

    For your own loop-bound clients (an `AsyncOpenAI`, an `httpx.AsyncClient` made in the kernel's loop). streamnb's
    own calls need it not. Uses nest-asyncio2, applied on first use and only then.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    import nest_asyncio2

    nest_asyncio2.apply(loop)
    return loop.run_until_complete(coroutine)
