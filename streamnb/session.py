"""A run under way: put together on the caller's thread, driven on the loop thread, waited for or awaited.

Knows target, driver, record and view; hands the clocks in. Must not know: IPython magics, what bytes mean, pandas.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from streamnb import companions, portal, settings
from streamnb.deadlines import Deadlines
from streamnb.display import PlainView, View, open_view
from streamnb.driver import Driver
from streamnb.errors import UsageError, did_you_mean
from streamnb.events import Arrival, Outcome, Prompt
from streamnb.journal import Journal
from streamnb.recording import Record, RunInfo
from streamnb.results import Run, remember
from streamnb.transport import StampedTransport

_transports: dict[asyncio.AbstractEventLoop, StampedTransport] = {}
_noticed: set[str] = set()
STOP_S: Final = 2.0
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
        raises: the caller raises what went wrong, so a terminal view need not say it as well.
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
    raises: bool = False
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
        self.on_arrival: Callable[[Arrival], None] | None = None
        self._driver = Driver(target, prompt, deadlines, time, (self.view, self), allow_http=asked.allow_http)
        run_id, file = settings.new_run()
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
        path = file if asked.record else None
        journal = Journal(path) if path else None
        self.record = Record(info, journal)
        self.run = Run(self.record, target.provider, prompt, path)
        self.task: portal.Task[None] | None = None

    def start(self) -> portal.Task[None]:
        """Open the view here and the run on the loop thread."""
        remember(self.run)
        self.view.open(self.run.header(_notice(self.run.path)), self.stop)
        self.task = portal.spawn(self._drive())
        return self.task

    async def _drive(self) -> None:
        await self._driver.run(self.record, _transport())

    def phase(self, name: str, t_ns: int) -> None:
        """Observer: nothing to do; the view hears it too."""

    def arrive(self, arrival: Arrival) -> None:
        """Observer: hand the events to whoever iterates."""
        if self.on_arrival is not None:
            self.on_arrival(arrival)

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
            final = self.run.final()
            twice = self.asked.raises and isinstance(self.view, PlainView)
            self.view.close(dataclasses.replace(final, error=None) if twice else final)
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
            self.close()
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
            self.close()
        return self.run

    def _interrupt(self) -> None:
        """Stop, and block until the socket is closed and the last line written; awaiting might be cancelled again."""
        self.stop(Outcome.INTERRUPTED)
        if self.task is not None:
            concurrent.futures.wait({self.task}, timeout=STOP_S)

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
    own = {option.name for option in settings.options_of(asked.target)}
    for name in asked.options.keys() - own:
        known = own | {field.name for field in dataclasses.fields(Ask)}
        raise UsageError(f"{asked.target} has no option {name!r}.{did_you_mean(name, known)}")
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
    where = settings.recordings_dir()
    with contextlib.suppress(ValueError):  # the notice is saved with the notebook: no need to name the home in it
        where = Path("~") / where.relative_to(Path.home())
    return f"Runs are recorded in {where}; --no-record (record=False) switches it off."
