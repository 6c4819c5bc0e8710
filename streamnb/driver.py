"""The engine: drives a conversation over the transport, journals, keeps the deadlines, tells the observers.

Knows the order of things. Must not know: what the bytes mean, pandas, IPython, how anything is shown.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import httpx

from streamnb.conversation import ERROR_BODY_BYTES, Conversation
from streamnb.deadlines import Deadlines, Watchdog, late
from streamnb.errors import StreamnbError, TransportError
from streamnb.events import Arrival, Outcome, Prompt
from streamnb.minutes import call_line, reply_line, run_line, timings
from streamnb.providers import Call, Ending, ReplyHead
from streamnb.recording import Record
from streamnb.redaction import Scrubber, redact_text
from streamnb.settings import Target
from streamnb.transcript import EndLine, ReadLine
from streamnb.transport import Keyring, Read, StampedTransport, classify, exchange, hold_back, prepare, timings_of

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
    """Whoever watches: only appends, never waits."""

    def phase(self, name: str, t_ns: int) -> None:
        """The run entered a phase."""
        ...

    def arrive(self, arrival: Arrival) -> None:
        """A chunk and the events it completed."""
        ...


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
        allow_http: bool = False,
    ) -> None:
        self.target = target
        self.prompt = prompt
        self.deadlines = deadlines
        self.conversation = Conversation(target.provider, prompt)
        self._clock = clock
        self._observers = observers
        self._allow_http = allow_http
        self._keys = Keyring(target.provider.name, target.dummy_key)
        self._request = self._prepare()
        self._scrubber = Scrubber(self._keys.used)
        self._watch: Watchdog | None = None
        self._stopped: Outcome | None = None
        self._task: asyncio.Task[Any] | None = None
        self._last_ns = 0
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
        self._task = asyncio.current_task()
        self._watch = Watchdog(self._task, self.deadlines.total_s)
        record.begin(run_line(record.info, self.target, self.prompt, self._clock.monotonic_ns(), self._keys.used))
        self._tell("connecting", self._clock.monotonic_ns())
        if self._stopped is not None:  # before its first step: nothing is sent
            self._abort(*self._cancelled())
        try:
            while self.conversation.call is not None:
                await self._call(self.conversation.call, transport)
        except asyncio.CancelledError:
            self._abort(*self._cancelled())
        finally:
            self._watch.disarm()
            if self.conversation.outcome is None:  # a bug of ours: the run still ends in exactly one outcome
                self._abort(Outcome.INTERRUPTED, "the run was torn down")
            self._end()

    def _prepare(self) -> httpx.Request:
        call = self.conversation.call
        if call is None:
            return httpx.Request("GET", "")
        return prepare(self.target.provider, call, self._keys, allow_http=self._allow_http)

    async def _call(self, call: Call, transport: StampedTransport) -> None:
        watch = self._watching
        watch.arm(None, Outcome.TIMEOUT_TOTAL)
        if call.delay_s:
            await asyncio.sleep(call.delay_s)
        n = len(self._record.calls)
        try:
            request = self._prepare() if n else self._request
            for secret in self._keys.used:
                self._scrubber.add(secret)
            self._record.call(call_line(n, self._clock.monotonic_ns(), call, request, self._keys.used))
            await self._exchange(n, call, request, transport)
        except (httpx.TransportError, TransportError) as error:
            self._fail(n, request, *classify(error, self.target.host))
        except StreamnbError as error:
            self._abort(Outcome.PROTOCOL_ERROR, str(error))
        except asyncio.CancelledError:
            self._fail(n, request, *self._cancelled())

    async def _exchange(self, n: int, call: Call, request: httpx.Request, transport: StampedTransport) -> None:
        watch = self._watching
        watch.arm(self.deadlines.first_s, Outcome.TIMEOUT_FIRST)
        on_t0 = (lambda t_ns: self._tell("waiting", t_ns)) if call.stream else None
        async with exchange(transport, request, self.deadlines.connect_s, on_t0) as live:
            self._record.reply(reply_line(n, live, self._keys.used))
            self.conversation.begin(self._shown(live.head))
            self._last_ns = live.timings.headers_ns or self._clock.monotonic_ns()  # for bodies that bring no read
            reads = hold_back(live.reads, call.secret_fields, self._obtained) if call.secret_fields else live.reads
            async for read in reads:
                self._read(n, read)
                if self.conversation.reading.failed and self.conversation.reading.n_bytes > ERROR_BODY_BYTES:
                    break  # an error's body says no more than that (SAFETY R7)
            self._finish(n, Ending(None, live.framing))

    def _obtained(self, name: str, value: str) -> None:
        """A reply brought a credential: masked from here on, sent where a call names it."""
        self._keys.keep(name, value)
        self._scrubber.add(value)

    def _read(self, n: int, read: Read) -> None:
        """One read: scrub, journal, understand, record, tell. In this order (SAFETY P1)."""
        self._last_ns = read.t_ns
        data = self._scrubber.feed(read.data)
        self._journal(n, read.t_ns, read.wire_bytes, data)
        step = self.conversation.feed(data)
        if step.progress:
            over = self.conversation.reading.over
            self._watching.arm(self._idle_s(over=over), Outcome.TIMEOUT_IDLE)
        self._arrived(self._record.understood(step))

    def _idle_s(self, *, over: bool) -> float | None:
        """After the dialect's own end only stragglers may come: a server that forgets to close is not waited for."""
        return min(self.deadlines.idle_s or STRAGGLERS_S, STRAGGLERS_S) if over else self.deadlines.idle_s

    def _journal(self, n: int, t_ns: int, wire: int, data: bytes) -> None:
        seq = len(self._record.chunks)
        self._record.read(ReadLine(n=n, s=seq, t_ns=t_ns, w=wire, h=self._scrubber.held, b=data))

    def _finish(self, n: int, ending: Ending) -> None:
        """The body is over, well or badly: what is held back or half read comes out, then the account is closed."""
        held = self._scrubber.flush()
        if held:
            self._journal(n, self._last_ns, 0, held)
            self._arrived(self._record.understood(self.conversation.feed(held)))
        step = self.conversation.close()
        if step.events or step.n_frames:
            chunks = self._record.chunks
            if not len(chunks) or chunks.call[-1] != n:  # an empty body: only a chunk has a time
                self._journal(n, self._last_ns, 0, b"")
            self._arrived(self._record.understood(step))
        self._record.end_call(self._clock.monotonic_ns())
        self.conversation.end(ending)

    def _shown(self, head: ReplyHead) -> ReplyHead:
        """Headers go into errors, and are cut there: a key must be gone before (SAFETY S14)."""
        return ReplyHead(head.status, {name: self._redact(value) for name, value in head.headers.items()})

    def _redact(self, text: str) -> str:
        return redact_text(text, self._keys.used)

    def _fail(self, n: int, request: httpx.Request, outcome: Outcome, detail: str) -> None:
        """The call broke: before its reply began, or in the middle of it."""
        detail = self._redact(detail)
        if self.conversation.replying:
            framing = self._record.calls[n].framing
            self._finish(n, Ending(outcome, framing, detail))  # type: ignore[arg-type]  # it came from an Exchange
            return
        if len(self._record.calls) > n:
            self._reached = timings(timings_of(request))
            self._record.reached(n, self._reached)
            self._record.end_call(self._clock.monotonic_ns())
        self._abort(outcome, f"{self.target.provider.name}: {detail}")

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
        ending = {"reached": self._reached, "ends_ns": [row.end_ns for row in self._record.calls]}
        self._record.end(outcome, error, EndLine(outcome.value, error, ending, self._record.counts(), now))
        self._tell(outcome.value, now)

    # -- observers --------------------------------------------------------------------------------------------------

    def _tell(self, phase: str, t_ns: int) -> None:
        for observer in self._observers:
            observer.phase(phase, t_ns)

    def _arrived(self, arrival: Arrival) -> None:
        for observer in self._observers:
            observer.arrive(arrival)


def _one_line(text: str) -> str:
    """An error as a person reads it below a cell: servers put line ends and whole pages into their messages."""
    line = " ".join(text.split())
    return line if len(line) <= _ERROR_CHARS else f"{line[: _ERROR_CHARS - 1]}…"
