"""The public calls: stream, astream, open_stream, open, recordings, runs, run.

Knows how to put a run together: target, driver, record, view; hands the clocks in. Must not know: IPython magics,
what bytes mean, pandas (it delegates).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from streamnb import companions, portal, settings, shelf
from streamnb.deadlines import Deadlines
from streamnb.display import View, open_view
from streamnb.driver import Driver
from streamnb.events import Arrival, Event, Outcome, Prompt
from streamnb.journal import Journal
from streamnb.recording import Record, RunInfo
from streamnb.results import Run, remember, session
from streamnb.transport import StampedTransport

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

_transports: dict[asyncio.AbstractEventLoop, StampedTransport] = {}
_noticed: set[str] = set()
STOP_S = 2.0
"""How long an interrupted cell waits for its socket to close."""


@dataclasses.dataclass(frozen=True)
class Ask:
    """Everything a caller can say about one run; the keywords of `stream`.

    Attributes:
        target: a provider's or a profile's name (`%chatstream providers`).
        prompt: what to say, sent byte-exact.
        params: extra fields for the body of the streaming request; None removes one.
        key_env: the environment variable that holds the key, if it is not the provider's usual one.
        sim: talk to the built-in simulator instead; a dummy key is sent, never yours.
        scenario: what the simulator does (`streamnb simulate --help`).
        pace: the simulator's pace: `ttft`, `gap` (s), `tokens`, `seed`, ...
        timeout: for the whole run, s; None: no limit.
        timeout_first: until the first data, s.
        timeout_idle: between data, s; keep-alives do not count.
        record: write the run to the recordings' directory.
        display: auto, panel, static, plain or none.
        allow_http: send a key over plain http to another host.
        reply: a platform's own request to send verbatim (the `prompt.reply` of a `Choice`).
        options: the provider's own options.
    """

    target: str
    prompt: str = ""
    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    base_url: str | None = None
    key_env: str | None = None
    sim: bool = False
    scenario: str | None = None
    pace: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    timeout: float | None = None
    timeout_first: float | None = 300.0
    timeout_idle: float | None = 120.0
    record: bool = True
    display: str = "none"
    allow_http: bool = False
    reply: Any = None
    cell_id: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def ask(target: str, prompt: str = "", **keywords: Any) -> Ask:
    """An `Ask` from keywords: its own fields by name, the rest are the provider's options."""
    own = {field.name for field in dataclasses.fields(Ask)} - {"target", "prompt", "options"}
    options = {key: value for key, value in keywords.items() if key not in own and value is not None}
    fields: dict[str, Any] = {
        key: value
        for key, value in keywords.items()
        if key in own and (value is not None or key.startswith("timeout"))  # None switches a clock off
    }
    return Ask(target, prompt, options=options, **fields)


class Session:
    """A run under way: made on the caller's thread, driven on the loop thread.

    Raises:
        UsageError: the call does not fit, or a key is missing; nothing was sent or written.
    """

    def __init__(self, asked: Ask) -> None:
        self.asked = asked
        target = _target(asked)
        prompt = Prompt(asked.prompt, asked.system, target.model, asked.params, asked.reply)
        deadlines = Deadlines(first_s=asked.timeout_first, idle_s=asked.timeout_idle, total_s=asked.timeout)
        self.view: View = open_view(asked.display)
        self.events: _Events | None = None
        self._driver = Driver(target, prompt, deadlines, time, (self.view, self), allow_http=asked.allow_http)
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        info = RunInfo(
            run_id,
            target.provider.name,
            asked.target,
            time.time_ns(),
            profile=target.profile,
            model=target.model,
            cell_id=asked.cell_id,
            usage=target.provider.usage,
        )
        path = settings.recordings_dir() / run_id[:8] / f"{run_id}.jsonl" if asked.record else None
        journal = Journal(path) if path else None
        self.record = Record(info, journal)
        self.run = Run(self.record, target.provider, prompt, path)
        self.task: portal.Task[None] | None = None

    def start(self) -> None:
        """Open the view here and the run on the loop thread."""
        remember(self.run)
        self.view.open(self.run.header(_notice(self.run.path)), self.stop)
        self.task = portal.spawn(self._drive())

    async def _drive(self) -> None:
        await self._driver.run(self.record, _transport())

    def phase(self, name: str, t_ns: int) -> None:
        """Observer: nothing to do; the view hears it too."""

    def arrive(self, arrival: Arrival) -> None:
        """Observer: hand the events to whoever iterates."""
        if self.events is not None:
            self.events.put(arrival)

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """End the run, from any thread; what arrived is kept."""
        with contextlib.suppress(RuntimeError):  # the loop ended with the process
            portal.loop().call_soon_threadsafe(self._driver.stop, outcome)

    def tick(self) -> None:
        """Paint what arrived."""
        self.view.paint(time.monotonic_ns())

    def close(self) -> Run:
        """Show the final state."""
        if self.asked.display != "none":
            self.view.close(self.run.final())
        return self.run

    def wait(self) -> Run:
        """Block until the run is over; an interrupt ends it, keeps what arrived and is raised again."""
        if self.task is None:
            self.start()
        task = self._running
        try:
            portal.wait(task, self.tick)
        except KeyboardInterrupt:
            self.stop(Outcome.INTERRUPTED)
            with contextlib.suppress(TimeoutError):
                task.result(timeout=STOP_S)
            raise
        finally:
            self.close()
        return self.run

    async def join(self) -> Run:
        """The same for an awaiting caller, with a heartbeat, so that an interrupt is heard."""
        if self.task is None:
            self.start()
        waiting = asyncio.wrap_future(self._running)
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=0.05)
                self.tick()
            await waiting
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.stop(Outcome.INTERRUPTED)
            raise
        finally:
            self.close()
        return self.run

    @property
    def _running(self) -> portal.Task[None]:
        if self.task is None:
            raise RuntimeError("the session has not started")
        return self.task


def _target(asked: Ask) -> settings.Target:
    pace = dict(asked.pace)
    if asked.scenario is not None:
        pace["scenario"] = asked.scenario
    kind = settings.companion(asked.target, sim=asked.sim)
    origin = None
    if kind == "simulator":
        origin = companions.simulator_url()
    elif kind == "local_model":
        origin = companions.local_model_url()
    return settings.resolve(
        asked.target,
        asked.options,
        origin=origin,
        base_url=asked.base_url,
        key_env=asked.key_env,
        model=asked.model,
        pace=pace,
    )


def _transport() -> StampedTransport:
    loop = asyncio.get_running_loop()
    if loop not in _transports:
        _transports[loop] = StampedTransport()
    return _transports[loop]


def _notice(path: Path | None) -> str:
    """Where runs are recorded and how to switch it off: said once per session."""
    if path is None or "recording" in _noticed:
        return ""
    _noticed.add("recording")
    return f"Runs are recorded in {settings.recordings_dir()}; --no-record (record=False) switches it off."


def stream(target: str, prompt: str = "", **keywords: Any) -> Run:
    """Send a prompt, wait for the whole answer, return the run. Works from any thread and in any notebook.

    Args:
        target: a provider's or a profile's name; `demo` needs no key and no network.
        prompt: what to say.
        keywords: fields of `Ask`; the others are the provider's own options.

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
    started.events = _Events(asyncio.get_running_loop())
    started.start()
    live = LiveStream(started, started.events)
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
        task = session.task
        if task is not None:
            task.add_done_callback(lambda _: events.end())

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
        while (arrival := await self._events.queue.get()) is not None:
            self._session.tick()
            yield arrival

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for arrival in self.arrivals():
            for event in arrival.events:
                yield event


class _Events:
    """Arrivals on their way from the loop thread to the caller's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.queue: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._loop = loop

    def put(self, arrival: Arrival | None) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self.queue.put_nowait, arrival)

    def end(self) -> None:
        self.put(None)


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
