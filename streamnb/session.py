"""A run under way: put together on the caller's thread, driven on the loop thread, waited for or awaited.

Knows target, driver, record and view; hands the clocks in. Must not know: IPython magics, what bytes mean, pandas.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from streamnb import accuracy, attention, companions, pacing, portal, settings
from streamnb.asking import Ask, ask, going_on, keep, prompt_of, route_of, unknown_option
from streamnb.deadlines import clocks
from streamnb.display import PlainView, View, open_progress, open_view
from streamnb.driver import Driver
from streamnb.events import Arrival, Outcome, Prompt
from streamnb.journal import Journal
from streamnb.recording import Record, RunInfo
from streamnb.results import Run, remember
from streamnb.transport import Route, StampedTransport

if TYPE_CHECKING:
    from streamnb.isolation import Isolated

__all__ = ["STOP_S", "Ask", "Session", "ask"]

_transports: dict[tuple[asyncio.AbstractEventLoop, Route], StampedTransport] = {}
_noticed: set[str] = set()
STOP_S: Final = 2.0
"""How long an interrupted cell waits for its socket to close."""


class Engine(Protocol):
    """What works on the loop thread: a driver, or a player."""

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """End it; what arrived is kept."""


class Session:
    """A run under way: made on the caller's thread, driven on the loop thread.

    Args:
        asked: what to do.
        view: where it is shown, if not as `asked.display` says.

    Raises:
        UsageError: the call does not fit, or a key is missing; nothing was sent or written.
    """

    def __init__(self, asked: Ask, view: View | None = None) -> None:
        self.asked = asked = going_on(asked)
        target = _target(asked)
        prompt = prompt_of(asked, target.model)
        self.view: View = view or _view(asked)
        self.on_arrival: Callable[[Arrival], None] | None = None
        self._route = route_of(asked)
        self._route.context()  # a file that holds no certificates is said here, before anything is sent
        self._route.reaches(target.provider.base_url)
        run_id, file = settings.new_run()
        info = RunInfo(
            run_id,
            target.provider.name,
            asked.target,
            time.time_ns(),
            profile=target.profile,
            model=target.model if asked.records is None else None,
            cell_id=asked.cell_id,
            chat=asked.chat,
            repeat=asked.repeat,
            usage=target.provider.usage,
        )
        path = file if asked.record else None
        self._driver = self._made(target, prompt, info, path)
        self._engine: Engine = self._driver
        self.record = Record(info, Journal(path) if path and not asked.isolate else None)
        self.record.measurement_error_s = accuracy.measurement_error_s(self._route.stamps)
        self.run = Run(self.record, target.provider, prompt, path)
        keep(self.run, asked)
        self.task: portal.Task[None] | None = None

    def _made(self, target: settings.Target, prompt: Prompt, info: RunInfo, path: Path | None) -> Driver | Isolated:
        """What will drive it: here, or in a process of its own."""
        asked, watching = self.asked, (self.view, self)
        deadlines = clocks(target.provider.limits, asked.timeout_first, asked.timeout_idle, asked.timeout)
        if asked.isolate:
            from streamnb.isolation import Errand, Isolated  # who does not ask for it does not load it

            errand = Errand(
                target,
                prompt,
                deadlines,
                info,
                self._route,
                path,
                os.environ,
                allow_http=asked.allow_http,
                parse=asked.parse,
                measurement_error_s=accuracy.measurement_error_s(self._route.stamps),
            )
            return Isolated(errand, watching)
        return Driver(
            target,
            prompt,
            deadlines,
            time,
            watching,
            functions=asked.tools,
            allow_http=asked.allow_http,
            parse=asked.parse,
        )

    def start(self) -> portal.Task[None]:
        """Open the view here and the run on the loop thread."""
        remember(self.run)
        note = _notice(self.run.path) if self.asked.notice else ""
        self.view.open(self.run.header(note), self.stop, self.run.look)
        self.task = portal.spawn(self._drive())
        return self.task

    async def _drive(self) -> None:
        if not isinstance(self._driver, Driver):
            await self._driver.run(self.record)  # the rest is done over there
            return
        transport = _transport(self._route)
        stamped = transport.kernel_stamps
        with attention.paid(self.record.lags), pacing.under_way(kernel_stamps=stamped):
            await self._driver.run(self.record, transport)

    @property
    def listens(self) -> bool:
        """Observer: whether somebody iterates over its events."""
        return self.on_arrival is not None

    def phase(self, name: str, t_ns: int) -> None:
        """Observer: nothing to do; the view hears it too."""

    def arrive(self, arrival: Arrival) -> None:
        """Observer: hand the events to whoever iterates."""
        if self.on_arrival is not None:
            self.on_arrival(arrival)

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """End the run, from any thread; what arrived is kept."""
        with contextlib.suppress(RuntimeError):  # the loop ended with the process
            portal.loop().call_soon_threadsafe(self._engine.stop, outcome)

    def tick(self) -> None:
        """Paint what arrived."""
        self.view.paint(time.monotonic_ns())

    def close(self) -> Run:
        """Show the final state."""
        if self.asked.display != "none":
            final = self.run.final()
            if self.asked.raises and isinstance(self.view, PlainView):
                self.view.leave_errors_to_the_caller()
            self.view.close(final)
        return self.run

    def wait(self) -> Run:
        """Block until the run is over; an interrupt ends it, keeps what arrived and is raised again."""
        try:
            if self.task is None:
                self.start()
            portal.wait(self._running, self.tick)
        except KeyboardInterrupt:
            self._interrupt()
            raise
        finally:
            self._close_for_good()
        return self.run

    async def join(self) -> Run:
        """The same for an awaiting caller, with a heartbeat, so that an interrupt is heard."""
        try:
            if self.task is None:
                self.start()
            waiting = asyncio.wrap_future(self._running)
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=0.05)
                self.tick()
            await waiting
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._interrupt()
            raise
        finally:
            self._close_for_good()
        return self.run

    def _close_for_good(self) -> None:
        """Show the final state; an interrupt that comes meanwhile waits for it.

        It may come from the page: where a Stop was not answered in time, it interrupts the kernel.
        """
        try:
            self.close()
        except KeyboardInterrupt:
            self.close()
            raise

    def _interrupt(self) -> None:
        """Stop, and block until the socket is closed and the last line written; awaiting might be cancelled again."""
        self.stop(Outcome.INTERRUPTED)
        if self.task is not None:
            concurrent.futures.wait({self.task}, timeout=STOP_S)

    def follow(self) -> None:
        """Paint until the run is over, then show the final state: what the thread of a background run does."""
        while not self._running.done():
            concurrent.futures.wait({self._running}, timeout=0.05)
            self.tick()
        self.close()

    @property
    def _running(self) -> portal.Task[None]:
        if self.task is None:
            raise RuntimeError("the session has not started")
        return self.task


def _view(asked: Ask) -> View:
    if asked.records is not None:
        return open_progress(asked.display)
    return open_view(asked.display, asked.style, later=asked.background)


def _target(asked: Ask) -> settings.Target:
    pace = dict(asked.pace)
    if asked.scenario is not None:
        pace["scenario"] = asked.scenario
    kind = settings.companion(asked.target, sim=asked.sim)
    own = {option.name for option in settings.options_of(asked.target)}
    for name in asked.options.keys() - own:
        raise unknown_option(f"{asked.target} has no", name, own)
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


def _transport(route: Route) -> StampedTransport:
    key = asyncio.get_running_loop(), route
    if key not in _transports:
        _transports[key] = StampedTransport(route=route)
    return _transports[key]


def _notice(path: Path | None) -> str:
    """Where runs are recorded and how to switch it off: said once per session."""
    if path is None or "recording" in _noticed:
        return ""
    _noticed.add("recording")
    where = settings.recordings_dir()
    with contextlib.suppress(ValueError):  # the notice is saved with the notebook: no need to name the home in it
        where = Path("~") / where.relative_to(Path.home())
    return f"Runs are recorded in {where}; --no-record (record=False) switches it off."
