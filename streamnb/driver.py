"""The engine: drives a conversation over the transport, journals, keeps the deadlines, tells the observers.

Knows the order of things. Must not know: what the bytes mean, pandas, IPython, how anything is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol

import httpx

from streamnb import slots
from streamnb.answers import Answers
from streamnb.conversation import ERROR_BODY_BYTES, Conversation, Reading, Step
from streamnb.deadlines import Deadlines, Watchdog, late
from streamnb.errors import StreamnbError, TransportError
from streamnb.events import Arrival, Outcome, Prompt
from streamnb.functions import Function
from streamnb.intake import Intake
from streamnb.minutes import call_line, reply_line, run_line, timings
from streamnb.pacing import Pacer, Parse, checked
from streamnb.providers import Call, Ending, ReplyHead, _explain
from streamnb.recording import Record
from streamnb.redaction import Scrubber, redact_text
from streamnb.settings import Target
from streamnb.transcript import DoneLine, EndLine
from streamnb.transport import Exchange, Keyring, StampedTransport, classify, exchange, hold_back, prepare, timings_of

_ERROR_CHARS: Final = 1000
STRAGGLERS_S: Final = 2.0


class Clock(Protocol):
    """Where stamps come from: handed in, so that a test can own time."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC, ns."""
        ...

    def time_ns(self) -> int:
        """Wall clock, ns since the epoch."""
        ...


class Observer(Protocol):
    """Whoever watches: only appends, never waits. One whose `listens` is False hears of phases alone."""

    def phase(self, name: str, t_ns: int) -> None:
        """The run entered a phase."""
        ...

    def arrive(self, arrival: Arrival) -> None:
        """A chunk and the events it completed."""
        ...


class _EnoughError(StreamnbError):
    """Not an error of the run: nobody reads further."""


class Driver:
    """One run, from its first call to its outcome. Made on any thread, run on the loop thread.

    Raises:
        UsageError: the prompt does not fit the provider, or a key is missing. Nothing was sent or written.
    """

    def __init__(  # noqa: PLR0913  # everything is handed in
        self,
        target: Target,
        prompt: Prompt,
        deadlines: Deadlines,
        clock: Clock,
        observers: tuple[Observer, ...] = (),
        *,
        functions: Mapping[str, Function] | None = None,
        allow_http: bool = False,
        parse: Parse = "auto",
    ) -> None:
        self.target = target
        self.prompt = prompt
        self.deadlines = deadlines
        self.conversation = Conversation(target.provider, prompt)
        self._clock = clock
        self._observers = observers
        self._allow_http = allow_http
        self._parse: Parse = "arrival" if functions else checked(parse)  # an answer to a call is waited for
        self._broke: StreamnbError | None = None
        self._keys = Keyring(target.provider.name, target.dummy_key, target.host)
        self._request = self._prepare()
        self._scrubber = Scrubber(self._keys.used)
        self._answers = Answers(target.provider, functions or {}, self._post, self._note)
        self._intake: Intake | None = None
        self._whole: tuple[Ending, int] | None = None
        self._watch: Watchdog | None = None
        self._stopped: Outcome | None = None
        self._task: asyncio.Task[Any] | None = None
        self._reached: dict[str, Any] = {}

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """End the run with this outcome. Loop thread only; what arrived is kept."""
        if self._stopped is None:
            self._stopped = outcome
            if self._task is not None:
                self._task.cancel()

    async def run(self, record: Record, transport: StampedTransport) -> None:
        """Do every call the flow asks for. Never raises for what the network or the API does."""
        self._record = record
        self._transport = transport
        self._task = asyncio.current_task()
        self._watch = Watchdog(self._task, None)
        record.begin(run_line(record.info, self.target, self.prompt, self._clock.monotonic_ns(), self._keys.used))
        if self._stopped is not None:  # before its first step: nothing is sent
            self._abort(*self._cancelled())
        try:
            async with self._turn():
                self._watch = Watchdog(self._task, self.deadlines.total_s)
                self._tell("connecting", self._clock.monotonic_ns())
                while self.conversation.call is not None:
                    await self._call(self.conversation.call)
        except asyncio.CancelledError:
            self._abort(*self._cancelled())
        finally:
            self._watch.disarm()
            if self.conversation.outcome is None:  # a bug of ours: the run still ends in exactly one outcome
                self._abort(Outcome.INTERRUPTED, "the run was torn down")
            self._end()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A slot, where the vendor allows only so many streams at once; waiting for it is outside every figure."""
        most = self.target.provider.max_streams
        if most is None or self.conversation.call is None:
            yield
            return
        name = slots.name_of(self.target.host, self._keys.used)
        began_ns = self._clock.monotonic_ns()
        if not slots.free(name, most):
            self._tell("queued", began_ns)
        async with contextlib.AsyncExitStack() as held:
            try:
                await held.enter_async_context(slots.slot(name, most))
            finally:  # also of a run that was stopped while it waited
                self._record.queued_s = (self._clock.monotonic_ns() - began_ns) / 1e9
            yield

    def _prepare(self) -> httpx.Request:
        call = self.conversation.call
        if call is None:
            return httpx.Request("GET", "")
        return prepare(self.target.provider, call, self._keys, allow_http=self._allow_http)

    async def _call(self, call: Call) -> None:
        watch = self._watching
        watch.arm(None, Outcome.TIMEOUT_TOTAL)
        if call.delay_s:
            await asyncio.sleep(call.delay_s)
        n = len(self._record.calls)
        try:
            request = self._prepare() if n else self._request
            self._scrub_known(self._scrubber)
            self._record.call(call_line(n, self._clock.monotonic_ns(), call, request, self._keys.used))
            await self._exchange(n, call, request)
        except (httpx.TransportError, TransportError) as error:
            self._fail(n, request, *classify(error, self.target.host))
        except StreamnbError as error:
            self._abort(Outcome.PROTOCOL_ERROR, str(error))
        except asyncio.CancelledError:
            if self._broke is None or self._stopped is not None:
                self._fail(n, request, *self._cancelled())
            else:
                self._cancelled()
                self._fail(n, request, *classify(self._broke, self.target.host))

    def _scrub_known(self, scrubber: Scrubber) -> None:
        for secret in self._keys.used:
            scrubber.add(secret)

    async def _exchange(self, n: int, call: Call, request: httpx.Request) -> None:
        self._watching.arm(self.deadlines.first_s, Outcome.TIMEOUT_FIRST)
        on_t0 = (lambda t_ns: self._tell("waiting", t_ns)) if call.stream and not call.setup else None
        async with exchange(self._transport, request, self.deadlines.connect_s, on_t0) as live:
            self._record.reply(reply_line(n, live, self._keys.used))
            self.conversation.begin(self._shown(live.head))
            self._whole = None
            headers_ns = live.timings.headers_ns or self._clock.monotonic_ns()
            self._intake = Intake(
                n,
                self.conversation.reading,
                self._record,
                self._scrubber,
                headers_ns=headers_ns,
                tell=self._told,
                heard=self._heard,
            )
            try:
                with contextlib.suppress(_EnoughError):
                    await self._take_in(call, live, self._intake)
                    self._intake.catch_up()  # before the body counts as whole: what it holds may be an error
            finally:
                self._record.calls[n].paused_s = live.body.paused_s
            self._whole = Ending(None, live.framing), live.body.end_ns or self._clock.monotonic_ns()
            self._watching.arm(None, Outcome.TIMEOUT_TOTAL)
            await self._answers.settle(STRAGGLERS_S)
            self._finish(n, *self._whole)

    async def _take_in(self, call: Call, live: Exchange, intake: Intake) -> None:
        """Read the body to its end; where its reply brings credentials, only after these were learnt."""

        def obtained(name: str, value: str) -> None:
            self._keys.keep(name, value, call.secret_scope)
            self._scrubber.add(value)

        if call.secret_fields:
            async for read in hold_back(live.reads, call.secret_fields, obtained):
                intake.read(read)
            return

        parse: Parse = "arrival" if intake.reading.failed else self._parse  # of an error only the beginning counts
        intake.pacer = pacer = Pacer(parse, intake, self._late, watched=self._told is not None)
        self._watching.unread = pacer.examine
        with pacer.watching():
            await live.pour(intake.take)

    def _late(self, error: StreamnbError) -> None:
        """Something was wrong with reads that were put off: it ends the reading as if they had been understood."""
        self._broke = error
        if self._task is not None:
            self._task.cancel()

    def _heard(self, step: Step) -> None:
        """What a read amounted to."""
        reading = self.conversation.reading
        if step.progress:
            self._watching.arm(self._idle_s(over=reading.over), Outcome.TIMEOUT_IDLE)
        for event in step.events:
            if event.kind == "action":
                self._answers.hear(event)
        if reading.failed and reading.n_bytes > ERROR_BODY_BYTES:
            raise _EnoughError  # an error's body says no more than that (SAFETY R7)

    def _idle_s(self, *, over: bool) -> float | None:
        """After the dialect's own end only stragglers may come: a server that forgets to close is not waited for."""
        return min(self.deadlines.idle_s or STRAGGLERS_S, STRAGGLERS_S) if over else self.deadlines.idle_s

    def _finish(self, n: int, ending: Ending, ended_ns: int) -> None:
        """The body is over, well or badly: what is half read comes out, then the account is closed."""
        if self._intake is not None:
            self._intake.close()
        self._record.end_call(ended_ns, n)
        t0_ns = self._record.calls[n].t0_ns
        lasted_s = math.nan if t0_ns is None else (ended_ns - t0_ns) / 1e9
        self.conversation.end(dataclasses.replace(ending, lasted_s=lasted_s))

    async def _post(self, call: Call) -> str | None:
        """A side call, on a connection of its own, while the stream goes on. Returns what went wrong with it."""
        n = len(self._record.calls)
        try:
            request = prepare(self.target.provider, call, self._keys, allow_http=self._allow_http)
            line = call_line(n, self._clock.monotonic_ns(), call, request, self._keys.used, side=True)
            self._record.call(line)
            async with exchange(self._transport, request, self.deadlines.connect_s) as live:
                self._record.reply(reply_line(n, live, self._keys.used))
                reading = Reading(self.target.provider, call, self._shown(live.head))
                headers_ns = live.timings.headers_ns or self._clock.monotonic_ns()
                scrubber = Scrubber(self._keys.used)
                intake = Intake(n, reading, self._record, scrubber, headers_ns=headers_ns, tell=self._told)
                await live.pour(intake.take)
                intake.close()
                self._record.done(DoneLine(n, self._clock.monotonic_ns()))
        except (httpx.TransportError, TransportError) as error:
            return self._redact(f"{self.target.provider.name}: {classify(error, self.target.host)[1]}")
        except StreamnbError as error:
            return self._redact(str(error))
        ending = Ending(None, live.framing)
        return reading.explain(reading.outcome(ending), ending)

    def _shown(self, head: ReplyHead) -> ReplyHead:
        """Headers go into errors, and are cut there: a key must be gone before (SAFETY S14)."""
        return ReplyHead(head.status, {name: self._redact(value) for name, value in head.headers.items()})

    def _redact(self, text: str) -> str:
        return redact_text(text, self._keys.used)

    def _fail(self, n: int, request: httpx.Request, outcome: Outcome, detail: str) -> None:
        """The call broke: before its reply began, or in the middle of it."""
        self._answers.cancel()
        detail = self._redact(detail)
        if self.conversation.replying:
            framing = self._record.calls[n].framing
            if self._whole is not None:  # the body had ended before: what comes to its side calls changes nothing
                self._finish(n, *self._whole)
                if self.conversation.call is not None:  # but a next call is not begun any more
                    self._abort(outcome, _explain.plain(self.target.provider, outcome, Ending(outcome, None, detail)))
                return
            self._finish(n, Ending(outcome, framing, detail), self._clock.monotonic_ns())  # type: ignore[arg-type]  # it came from an Exchange
            return
        if len(self._record.calls) > n:
            self._reached = timings(timings_of(request))
            self._record.reached(n, self._reached)
            self._record.end_call(self._clock.monotonic_ns(), n)
        self._abort(outcome, _explain.plain(self.target.provider, outcome, Ending(outcome, None, detail)))

    def _abort(self, outcome: Outcome, error: str) -> None:
        self.conversation.abort(outcome, error)

    def _cancelled(self) -> tuple[Outcome, str]:
        """Why the task was cancelled: a clock, a stop, or someone from outside."""
        watch = self._watching
        if self._task is not None:
            self._task.uncancel()
        fired, watch.fired = watch.fired, None  # the clocks run on, if another call is due
        if fired is not None and self._stopped is None:
            return fired, late(fired, self.deadlines)
        if self._stopped is Outcome.STOPPED:
            return Outcome.STOPPED, "stopped; what arrived is kept."
        return Outcome.INTERRUPTED, "interrupted; what arrived is kept."

    @property
    def _watching(self) -> Watchdog:
        if self._watch is None:
            raise RuntimeError("the driver does not run")
        return self._watch

    def _end(self) -> None:
        conversation = self.conversation
        outcome = conversation.outcome or Outcome.INTERRUPTED
        error = None if conversation.error is None else _one_line(self._redact(conversation.error))
        now = self._clock.monotonic_ns()
        record = self._record
        ending = {"reached": self._reached, **record.ending()}
        record.end(outcome, error, EndLine(outcome.value, error, ending, record.counts(), now))
        self._tell(outcome.value, now)

    def _note(self, text: str) -> None:
        self._record.notes.append(_one_line(self._redact(text)))

    # -- observers --------------------------------------------------------------------------------------------------

    def _tell(self, phase: str, t_ns: int) -> None:
        for observer in self._observers:
            observer.phase(phase, t_ns)

    @property
    def _told(self) -> Callable[[Arrival], None] | None:
        """Who hears of arrivals; None when nobody does."""
        listeners = [observer.arrive for observer in self._observers if getattr(observer, "listens", True)]
        if len(listeners) <= 1:
            return listeners[0] if listeners else None

        def tell(arrival: Arrival) -> None:
            for listener in listeners:
                listener(arrival)

        return tell


def _one_line(text: str) -> str:
    """An error as a person reads it below a cell: servers put line ends and whole pages into their messages."""
    line = " ".join(text.split())
    return line if len(line) <= _ERROR_CHARS else f"{line[: _ERROR_CHARS - 1]}…"
