from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from fault_server import DONE, END, STOP, FaultServer, Wire, chunk, delta, head, serving, silent, until

from streamnb import analysis, settings, tables
from streamnb.conversation import Reading
from streamnb.deadlines import Deadlines
from streamnb.driver import Driver
from streamnb.errors import MissingKeyError, UsageError
from streamnb.events import Arrival, Event, Outcome, Prompt
from streamnb.journal import Journal
from streamnb.providers import Call, Provider, Reply, ReplyHead, Seen
from streamnb.providers.openai_chat import OpenAIChat
from streamnb.recording import Record, RunInfo
from streamnb.redaction import Secret
from streamnb.settings import Target
from streamnb.transcript import CallLine, Contents, DoneLine, EndLine, ReadLine, ReplyLine, RunLine, read_lines
from streamnb.transport import StampedTransport
from streamnb.wire import Frame

SOON = Deadlines(connect_s=5, first_s=5, idle_s=5)


class Watcher:
    """Hears what an observer hears, in order."""

    def __init__(self, on_arrival: Callable[[Arrival], None] = lambda _: None) -> None:
        self.heard: list[Any] = []
        self._on_arrival = on_arrival

    def phase(self, name: str, t_ns: int) -> None:
        self.heard.append(name)

    def arrive(self, arrival: Arrival) -> None:
        self.heard.append(arrival)
        self._on_arrival(arrival)

    @property
    def phases(self) -> list[str]:
        return [one for one in self.heard if isinstance(one, str)]


def target(origin: str, provider: str = "openai_chat", **options: Any) -> Target:
    return settings.resolve(provider, options, base_url=origin, model="m")


def driver(origin: str, deadlines: Deadlines = SOON, watcher: Watcher | None = None, **options: Any) -> Driver:
    observers = () if watcher is None else (watcher,)
    return Driver(target(origin, **options), Prompt("hi", model="m"), deadlines, time, observers)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(RunInfo("run-1", "openai_chat", "openai_chat", time.time_ns()), Journal(tmp_path / "run.jsonl"))


@pytest.fixture
def written(record: Record) -> Callable[[], Contents]:
    """What the run file holds now."""
    return lambda: read_lines(record.journal.path.read_bytes())


async def run(driver: Driver, record: Record) -> None:
    transport = StampedTransport()
    try:
        await driver.run(record, transport)
    finally:
        await transport.aclose()


def text(record: Record) -> str:
    return "".join(record.events.text)


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
    await wire.send(END)


async def begin(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"))
    await wire.gone()


async def hold(wire: Wire) -> None:
    await wire.gone()


async def test_a_run_is_written_line_by_line_in_its_order(record: Record, written: Callable[[], Contents]):
    with serving(answer) as server:
        await run(driver(server.origin), record)
    lines = written().lines
    kinds = [type(line) for line in lines]
    assert kinds[:3] == [RunLine, CallLine, ReplyLine]
    assert set(kinds[3:-1]) == {ReadLine}
    assert kinds[-1] is EndLine
    assert (record.outcome, text(record)) == (Outcome.COMPLETE, "Hello")
    stamps = [line.t_ns for line in lines[1:]]
    assert stamps == sorted(stamps)


async def test_observers_hear_the_phases_and_the_arrivals_between_them(record: Record):
    watcher = Watcher()
    with serving(answer) as server:
        await run(driver(server.origin, watcher=watcher), record)
    assert watcher.phases == ["connecting", "waiting", "complete"]
    assert watcher.heard[:2] == ["connecting", "waiting"]
    assert b"".join(one.chunk.data for one in watcher.heard[2:-1]) == b"".join(record.chunks.data)


class Clumsy(OpenAIChat):
    """Its framer has a bug."""

    def framer(self, call: Any, head: Any) -> Any:
        return self

    def feed(self, data: bytes) -> Any:
        raise ZeroDivisionError


async def test_the_bytes_are_on_disk_before_anything_looks_at_them(record: Record, written: Callable[[], Contents]):
    with serving(answer) as server:
        clumsy = Target("clumsy", Clumsy(server.origin), None, "m", None)
        with pytest.raises(ZeroDivisionError):
            await run(Driver(clumsy, Prompt("hi"), SOON, time), record)
    contents = written()
    assert b"".join(line.b for line in contents.reads).startswith(delta("Hel"))
    assert [line.outcome for line in contents.lines if isinstance(line, EndLine)] == ["interrupted"]


async def test_an_arrival_is_on_disk_when_an_observer_hears_of_it(record: Record, written: Callable[[], Contents]):
    seen = []
    watcher = Watcher(lambda arrival: seen.append(arrival.chunk.data == written().reads[-1].b))
    with serving(answer) as server:
        await run(driver(server.origin, watcher=watcher), record)
    assert seen
    assert all(seen)


async def test_a_stop_before_the_first_step_sends_nothing(record: Record, written: Callable[[], Contents]):
    with serving(answer) as server:
        stopped = driver(server.origin)
        stopped.stop()
        await run(stopped, record)
        assert server.accepted == 0
    assert (record.outcome, record.error) == (Outcome.STOPPED, "stopped; what arrived is kept.")
    assert [type(line) for line in written().lines] == [RunLine, EndLine]


async def test_a_stop_while_connecting_ends_the_run(record: Record):
    with silent() as port:
        stopped = driver(f"http://127.0.0.1:{port}")
        task = asyncio.create_task(run(stopped, record))
        await until(lambda: record.calls)
        await asyncio.sleep(0.02)
        stopped.stop()
        await task
    assert (record.outcome, record.calls[0].status, record.calls[0].t0_ns) == (Outcome.STOPPED, None, None)


async def test_a_host_that_does_not_answer_is_a_connect_error_after_the_connect_clock(record: Record):
    with silent() as port:
        clocks = Deadlines(connect_s=0.1, first_s=5)
        await asyncio.wait_for(run(driver(f"http://127.0.0.1:{port}", clocks), record), 5)
    assert record.outcome is Outcome.CONNECT_ERROR
    assert "did not answer within 0.1 s. Check the base URL and the network." in record.error


@pytest.mark.parametrize("script", [hold, begin])
async def test_a_stop_keeps_what_arrived_and_closes_the_socket_within_a_second(script: Any, record: Record):
    with serving(script) as server:
        stopped = driver(server.origin)
        task = asyncio.create_task(run(stopped, record))
        await until(lambda: record.events.kind if script is begin else server.requests)
        start = time.monotonic()
        stopped.stop()
        stopped.stop(Outcome.INTERRUPTED)  # too late: the first counts
        await task
        assert await asyncio.to_thread(server.wait_left) - start < 1
    assert (record.outcome, text(record)) == (Outcome.STOPPED, "Hel" if script is begin else "")


async def test_who_cancels_the_task_from_outside_interrupts(record: Record, written: Callable[[], Contents]):
    with serving(begin) as server:
        task = asyncio.create_task(run(driver(server.origin), record))
        await until(lambda: record.events.kind)
        task.cancel()
        await task
        await asyncio.to_thread(server.wait_left)
    assert record.outcome is Outcome.INTERRUPTED
    assert written().end.outcome == "interrupted"


async def test_no_connection_is_recorded_with_how_far_it_came(record: Record, written: Callable[[], Contents]):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await run(driver(origin), record)
    assert record.outcome is Outcome.CONNECT_ERROR
    assert record.error == (
        f"openai_chat: no connection to {origin[7:]}: connection refused; nothing listens there. "
        "Check the base URL and the network."
    )
    assert [type(line) for line in written().lines] == [RunLine, CallLine, EndLine]
    assert written().end.ending["reached"]["reused"] is False


@pytest.mark.parametrize("length", [None, 10_000_000])
async def test_of_an_error_body_no_more_than_64_kib_is_read(length: int | None, record: Record):
    async def script(wire: Wire) -> None:
        await wire.send(
            head("text/html", "500 Internal Server Error", **({"Content_Length": str(length)} if length else {}))
        )
        await wire.repeat(bytes(20_000) if length else chunk(b"<p>x</p>" * 2500), 0.001)

    with serving(script) as server:
        await run(driver(server.origin), record)
        await asyncio.to_thread(server.wait_left)
    assert record.outcome is Outcome.HTTP_ERROR
    assert sum(map(len, record.chunks.data)) < 200_000


async def test_an_error_is_one_line_however_long_the_server_is(record: Record):
    async def script(wire: Wire) -> None:
        message = "first\nsecond\r\n\tthird " * 500
        await wire.reply(json.dumps({"error": {"message": message}}).encode(), status="400 Bad Request")

    with serving(script) as server:
        await run(driver(server.origin), record)
    assert record.error.startswith("openai_chat answered 400: first second third first")
    assert "\n" not in record.error
    assert len(record.error) <= 1000


async def test_a_failing_observer_still_leaves_exactly_one_end_line(record: Record, written: Callable[[], Contents]):
    def fail(arrival: Arrival) -> None:
        raise ZeroDivisionError

    with serving(answer) as server, pytest.raises(ZeroDivisionError):
        await run(driver(server.origin, watcher=Watcher(fail)), record)
    assert sum(isinstance(line, EndLine) for line in written().lines) == 1


STREAM = {"messages": [], "clientSideActions": [{"type": "stream", "stream": True, "expectsDedicatedReply": True}]}


async def typebot(wire: Wire) -> None:
    """Ends its stream but not the connection, and never answers what comes then."""
    path = wire.request.split(b" ")[1]
    if path.endswith(b"startChat"):
        await wire.reply(json.dumps({"sessionId": "s1", **STREAM}).encode())
        return
    if path.endswith(b"streamMessage"):
        await wire.head("text/plain")
        await wire.chunks(b'0:"Hello"\n', b'e:{"finishReason":"stop"}\n', b'd:{"finishReason":"stop"}\n')
    await wire.gone()


async def test_the_clocks_run_on_when_a_stream_that_was_whole_is_left_by_one_of_them(record: Record):
    clocks = Deadlines(first_s=1.5, idle_s=0.7)
    with serving(typebot) as server:
        chat = settings.resolve("typebot", {"typebot": "demo"}, base_url=server.origin)
        await asyncio.wait_for(run(Driver(chat, Prompt(), clocks, time), record), 5)
    assert [row.name for row in record.calls] == ["startChat", "streamMessage", "continueChat"]
    assert record.outcome is Outcome.TIMEOUT_FIRST
    assert text(record) == "Hello"


KEY = "canary-0123456789abcdef"


async def test_the_beginning_of_a_key_at_the_very_end_is_held_back_and_then_released(
    record: Record, monkeypatch: pytest.MonkeyPatch, written: Callable[[], Contents]
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def script(wire: Wire) -> None:
        await wire.send(head() + chunk(DONE) + chunk(b": " + KEY[:9].encode()) + END)

    with serving(script) as server:
        await run(driver(server.origin), record)
    reads = written().reads
    assert [line.h for line in reads][-2:] == [9, 0]
    assert b"".join(line.b for line in reads) == DONE + b": " + KEY[:9].encode()
    assert sum(line.w for line in reads) == server.written


def test_a_missing_key_or_a_wrong_prompt_is_an_error_before_anything_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        driver("https://api.example/v1")
    with pytest.raises(UsageError, match="needs a model"):
        Driver(settings.resolve("openai_chat", {}), Prompt("hi"), SOON, time)


def test_a_driver_that_does_not_run_has_no_clock():
    idle = driver("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="does not run"):
        _ = idle._watching


async def test_the_same_driver_code_serves_two_runs_at_once(tmp_path: Path):
    async def one(server: FaultServer, name: str) -> Record:
        record = Record(RunInfo(name, "openai_chat", "openai_chat", 0), Journal(tmp_path / f"{name}.jsonl"))
        await run(driver(server.origin), record)
        return record

    with serving(answer) as server:
        records = await asyncio.gather(*(one(server, f"run-{number}") for number in range(8)))
    assert {(record.outcome, text(record)) for record in records} == {(Outcome.COMPLETE, "Hello")}


class TwoSteps(Provider):
    """Gets a session key with one call and sends it with the next."""

    key_required = False

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        reply = yield Call("session", path="/session", body={}, secret_fields=("sessionKey",))
        assert [event.data["sessionKey"] for event in reply.events] == ["*" * len(SESSION_KEY)]
        yield Call("stream", path="/stream", headers={"Authorization": Secret("sessionKey")}, stream=True)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        if frame.event == "session":
            yield Event("session", data=frame.value)
        else:
            yield Event("end" if frame.data == "over" else "delta", frame.data)


SESSION_KEY = "s3ss10n-k3y-of-the-day"


@pytest.mark.parametrize("cut", [1, 18, 25, 40])
async def test_a_credential_in_a_reply_is_masked_before_it_is_written_and_still_sent(
    cut: int, record: Record, written: Callable[[], Contents]
):
    async def steps(wire: Wire) -> None:
        if b"POST /session" in wire.request:
            body = json.dumps({"a": 1, "sessionKey": SESSION_KEY, "b": 2}).encode()
            await wire.head("application/json")
            await wire.chunks(body[:cut], body[cut:])
        else:
            sent = SESSION_KEY.encode() in wire.request.partition(b"\r\n\r\n")[0]
            await wire.head()
            await wire.chunks(b"data: %s, echo %s\n\n" % (b"sent" if sent else b"lost", SESSION_KEY.encode()))
            await wire.chunks(b"data: over\n\n")
        await wire.send(END)

    with serving(steps) as server:
        whom = Target("steps", TwoSteps(server.origin), None, None, None)
        await run(Driver(whom, Prompt("hi"), SOON, time), record)
    assert (record.outcome, record.error) == (Outcome.COMPLETE, None)
    assert text(record).startswith(f"sent, echo {'*' * len(SESSION_KEY)}")
    assert SESSION_KEY.encode() not in record.journal.path.read_bytes()
    masked = b"".join(read.b for read in written().reads if read.n == 0)
    assert json.loads(masked) == {"a": 1, "sessionKey": "*" * len(SESSION_KEY), "b": 2}


async def test_a_reply_with_a_credential_that_breaks_off_is_masked_too(record: Record):
    async def cut(wire: Wire) -> None:
        await wire.head("application/json")
        await wire.chunks(b'{"sessionKey": "' + SESSION_KEY.encode() + b'", "x')
        wire.fin()

    with serving(cut) as server:
        whom = Target("steps", TwoSteps(server.origin), None, None, None)
        await run(Driver(whom, Prompt("hi"), SOON, time), record)
    assert record.outcome is Outcome.PROTOCOL_ERROR
    assert SESSION_KEY.encode() not in record.journal.path.read_bytes()
    assert b"*" * len(SESSION_KEY) in record.journal.path.read_bytes()


async def test_after_the_end_mark_a_server_that_keeps_the_body_open_is_not_waited_for(
    record: Record, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("streamnb.driver.STRAGGLERS_S", 0.1)

    async def forget(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hello"), STOP, DONE)
        await wire.gone()

    with serving(forget) as server:
        await run(driver(server.origin, Deadlines(connect_s=5, first_s=60, idle_s=60)), record)
    assert (record.outcome, record.error, text(record)) == (Outcome.COMPLETE, None, "Hello")


class Asking(Provider):
    """Streams JSON Lines of SSE; asks for functions and is told their results on another connection."""

    key_required = False
    limits = MappingProxyType({"streams": 1, "idle_s": 60, "total_s": 300})

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        if prompt.system:
            yield Call("greet", path="/greet", stream=True, setup=True)
        yield Call("talk", path="/talk", stream=True)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        value = json.loads(frame.data or "null") if frame.value is None else frame.value
        if frame.event == "tell":
            yield Event("trace", name="told", data=value)
        elif frame.event == "ask":
            yield Event("action", name=value["name"], data=value)
        else:
            yield Event("end" if value == "over" else "delta", str(value))

    def answer(self, event: Event, value: Any) -> Call | None:
        said = {"error": f"{type(value).__name__}: {value}"} if isinstance(value, Exception) else {"data": value}
        return Call("tell", path="/tell", body=said)


def asking(origin: str, functions: dict[str, Any], prompt: Prompt = Prompt("hi"), **more: Any) -> Driver:  # noqa: B008
    return Driver(Target("asking", Asking(origin), None, "m", None), prompt, SOON, time, functions=functions, **more)


async def ask_and_go_on(wire: Wire) -> None:
    """Talk: ask for the function, wait until its result was told on the other connection, say it."""
    if b"POST /tell" in wire.request:
        wire.server.tell(wire.request.partition(b"\r\n\r\n")[2])
        await wire.reply(b'{"ok": true}')
        return
    await wire.head()
    await wire.chunks(b'data: "before"\n\n', b'event: ask\ndata: {"name": "add", "args": {"a": 1, "b": 2}}\n\n')
    told = await wire.server.told.get()
    await wire.chunks(b"data: " + json.dumps(told.decode()).encode() + b'\n\ndata: "over"\n\n')
    await wire.send(END)


async def test_a_function_is_called_and_answered_while_the_stream_is_open(
    record: Record, written: Callable[[], Contents]
):
    threads = set()

    def add(a: int, b: int) -> int:
        threads.add(threading.current_thread())
        return a + b

    with serving(ask_and_go_on) as server:
        await run(asking(server.origin, {"add": add}), record)
        assert server.accepted == 2
    assert (record.outcome, record.error, record.warning) == (Outcome.COMPLETE, None, None)
    assert [row.name for row in record.calls] == ["talk", "tell"]
    assert [(row.side, row.status) for row in record.calls] == [(False, 200), (True, 200)]
    said = [text for kind, text in zip(record.events.kind, record.events.text, strict=True) if kind == "delta"]
    assert said == ["before", '{"data": 3}']
    assert record.calls[0].end_ns > record.calls[1].t0_ns  # it was told before the stream ended
    assert threading.current_thread() not in threads
    assert [type(line).__name__ for line in written().lines].count("DoneLine") == 1


async def test_a_run_with_a_side_call_opens_from_disk_as_it_was(record: Record):
    with serving(ask_and_go_on) as server:
        await run(asking(server.origin, {"add": lambda a, b: a + b}), record)
    columns = record.events
    reading = {
        n: Reading(Asking(""), Call(row.name, stream=row.stream), ReplyHead()) for n, row in enumerate(record.calls)
    }
    again = []
    for line in read_lines(record.journal.path.read_bytes()).lines:
        match line:
            case ReadLine():
                again += reading[line.n].feed(line.b).events
            case DoneLine():
                again += reading[line.n].close().events
    assert [event.kind for event in again] == columns.kind
    assert [event.text for event in again] == columns.text


@pytest.mark.parametrize(
    ("functions", "told", "note"),
    [
        (
            {},
            "LookupError: this client has no function 'add'",
            "asking asked for the function 'add', and there is none",
        ),
        ({"add": lambda **_: 1 / 0}, "ZeroDivisionError: division by zero", "Your function add failed"),
        ({"add": lambda **_: {1, 2}}, "TypeError: it returned something that is no JSON", "Your function add failed"),
        ({"add": lambda a: a}, "TypeError: ", "Your function add failed"),
        ({"add": lambda **_: sys.exit(3)}, "RuntimeError: it raised SystemExit(3)", "Your function add failed"),
    ],
)
async def test_a_function_that_is_missing_or_fails_is_told_and_noted(
    functions: dict[str, Any], told: str, note: str, record: Record, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Asking, "name", "asking")
    with serving(ask_and_go_on) as server:
        await run(asking(server.origin, functions), record)
    assert record.outcome is Outcome.COMPLETE
    said = [text for kind, text in zip(record.events.kind, record.events.text, strict=True) if kind == "delta"]
    assert said[-1].startswith(f'{{"error": "{told}')
    assert note in record.warning


async def test_an_answer_that_does_not_get_through_is_noted_and_the_stream_goes_on(record: Record):
    async def deaf(wire: Wire) -> None:
        if b"POST /tell" in wire.request:
            await wire.reply(b'{"message": "no such channel"}', status="404 Not Found")
            wire.server.tell(b"refused")
            return
        await ask_and_go_on(wire)

    with serving(deaf) as server:
        await run(asking(server.origin, {"add": lambda **_: 3}), record)
    assert record.outcome is Outcome.COMPLETE
    assert "The answer of add did not get through. " in record.warning
    assert "answered 404 to tell: no such channel" in record.warning


async def test_a_stop_while_a_function_runs_ends_the_run_at_once(record: Record):
    entered, leave = threading.Event(), threading.Event()

    def wait(**_: Any) -> None:
        entered.set()
        leave.wait(10)

    async def ask_and_hold(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(b'event: ask\ndata: {"name": "add", "args": {}}\n\n')
        await wire.gone()

    with serving(ask_and_hold) as server:
        stopped = asking(server.origin, {"add": wait})
        task = asyncio.create_task(run(stopped, record))
        await until(entered.is_set)
        stopped.stop()
        await task
        leave.set()
        assert record.outcome is Outcome.STOPPED
        assert [row.name for row in record.calls] == ["talk"]
        server.wait_left()


async def test_a_stream_beyond_the_limit_waits_for_its_turn_and_its_times_do_not(record: Record, tmp_path: Path):
    second = Record(RunInfo("run-2", "asking", "asking", time.time_ns()), Journal(tmp_path / "second.jsonl"))
    watcher = Watcher()

    async def obey(wire: Wire) -> None:
        await wire.head()
        await wire.obey()
        await wire.send(END)

    over = chunk(b'data: "hi"\n\ndata: "over"\n\n')
    with serving(obey) as server:
        one = asyncio.create_task(run(asking(server.origin, {}), record))
        await until(lambda: record.calls and record.calls[0].status)
        other = asyncio.create_task(run(asking(server.origin, {}, observers=(watcher,)), second))
        await until(lambda: watcher.phases)
        assert (watcher.phases, second.calls) == (["queued"], [])
        waited_since = time.monotonic_ns()
        server.tell(over, None)
        await one
        server.tell(over, None)
        await other
    assert (record.outcome, second.outcome) == (Outcome.COMPLETE, Outcome.COMPLETE)
    assert watcher.phases == ["queued", "connecting", "waiting", "complete"]
    first_ended, second_began = record.calls[0].end_ns, second.calls[0].t_ns
    assert waited_since <= first_ended <= second_began
    assert second.queued_s * 1e9 >= first_ended - waited_since
    assert second.t0_ns >= second_began
    assert read_lines((tmp_path / "second.jsonl").read_bytes()).end.ending["queued_s"] == second.queued_s


async def test_a_stop_while_waiting_for_a_turn_sends_nothing(record: Record, tmp_path: Path):
    second = Record(RunInfo("run-2", "asking", "asking", time.time_ns()), Journal(tmp_path / "second.jsonl"))
    with serving(hold) as server:
        watcher = Watcher()
        first, queued = asking(server.origin, {}), asking(server.origin, {}, observers=(watcher,))
        one = asyncio.create_task(run(first, record))
        await until(lambda: server.accepted)
        other = asyncio.create_task(run(queued, second))
        await until(lambda: watcher.phases == ["queued"])
        queued.stop()
        await other
        assert (second.outcome, second.calls, server.accepted) == (Outcome.STOPPED, [], 1)
        assert second.queued_s > 0
        first.stop()
        await one


async def test_times_count_from_the_call_the_prompt_is_for_not_from_a_greeting(record: Record):
    async def greet(wire: Wire) -> None:
        await wire.head()
        word = b'data: "hello"\n\n' if b"POST /greet" in wire.request else b'data: "answer"\n\n'
        await wire.chunks(word, b'data: "over"\n\n')
        await wire.send(END)

    watcher = Watcher()
    with serving(greet) as server:
        await run(asking(server.origin, {}, Prompt("hi", "be kind"), observers=(watcher,)), record)
    greeting, main = record.calls
    assert (greeting.setup, main.setup) == (True, False)
    assert record.t0_ns == main.t0_ns > greeting.t0_ns
    assert watcher.phases.count("waiting") == 1
    latency = analysis.latency_row(tables.events(record))
    assert latency["ttft_s"] == (record.chunks.t_ns[record.events.chunk[2]] - main.t0_ns) / 1e9
    assert latency["n_chars"] == len("answer")


class Scoped(Provider):
    """Opens a session with one run and goes on in it with the next."""

    key_required = False

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        if prompt.text == "open":
            yield Call("session", path="/session", body={}, secret_fields=("sessionKey",), secret_scope="me")
        yield Call("stream", path="/s", headers={"Authorization": Secret("sessionKey", scope="me")}, stream=True)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        yield Event("end" if frame.data == "over" else "delta", frame.data)


async def test_a_later_run_carries_the_credential_of_a_session_and_only_to_its_host(record: Record, tmp_path: Path):
    async def steps(wire: Wire) -> None:
        if b"POST /session" in wire.request:
            await wire.reply(json.dumps({"sessionKey": SESSION_KEY}).encode())
            return
        await wire.head()
        await wire.chunks(f"data: {SESSION_KEY}\n\ndata: over\n\n".encode())
        await wire.send(END)

    def to(origin: str, text: str) -> Driver:
        return Driver(Target("scoped", Scoped(origin), None, None, None), Prompt(text), SOON, time)

    second = Record(RunInfo("run-2", "scoped", "scoped", time.time_ns()), Journal(tmp_path / "second.jsonl"))
    with serving(steps) as server, serving(steps) as elsewhere:
        await run(to(server.origin, "open"), record)
        await run(to(server.origin, "go on"), second)
        assert f"Authorization: {SESSION_KEY}".encode() in server.requests[2]
        with pytest.raises(MissingKeyError, match="does not hold the sessionKey of 'me'"):
            to(elsewhere.origin, "go on")
        assert elsewhere.accepted == 0
    assert second.events.text == ["*" * len(SESSION_KEY), "over"]
    assert SESSION_KEY.encode() not in (tmp_path / "second.jsonl").read_bytes()


@pytest.mark.parametrize("stop", [False, True])
async def test_a_body_that_was_whole_stays_whole_while_a_side_calls_reply_comes_in(stop: bool, record: Record):
    async def slow(wire: Wire) -> None:
        if b"POST /tell" in wire.request:
            wire.server.tell(b"asked")
            await asyncio.sleep(1.5)
            await wire.reply(b'{"ok": true}')
            return
        await ask_and_go_on(wire)

    impatient = Deadlines(connect_s=5, first_s=5, idle_s=1.0)
    with serving(slow) as server:
        made = Driver(
            Target("asking", Asking(server.origin), None, "m", None), Prompt("hi"), impatient, time,
            functions={"add": lambda a, b: a + b},
        )  # fmt: skip
        task = asyncio.create_task(run(made, record))
        if stop:
            await until(lambda: made._whole)
            made.stop()
        await task
    assert (record.outcome, record.error) == (Outcome.COMPLETE, None)
    assert stop or record.calls[1].status == 200


class AskingTwice(Asking):
    """Has more to say when its stream is over."""

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        yield from super().flow(prompt)
        yield Call("more", path="/more", stream=True)


async def test_a_stop_while_a_side_calls_reply_comes_in_begins_no_next_call(record: Record):
    async def held(wire: Wire) -> None:
        if b"POST /tell" in wire.request:
            wire.server.tell(b"asked")
            await wire.gone()
        await ask_and_go_on(wire)

    with serving(held) as server:
        twice = Target("asking", AskingTwice(server.origin), None, "m", None)
        made = Driver(twice, Prompt("hi"), SOON, time, functions={"add": lambda a, b: a + b})
        task = asyncio.create_task(run(made, record))
        await until(lambda: made._whole)
        made.stop()
        await task
        assert not any(b"POST /more" in request for request in server.requests)
    assert [row.name for row in record.calls] == ["talk", "tell"]
    assert record.outcome is Outcome.STOPPED


def deferred(origin: str, clocks: Deadlines = SOON) -> Driver:
    return Driver(target(origin), Prompt("hi", model="m"), clocks, time, parse="deferred")


async def test_what_is_understood_only_at_the_end_has_the_same_outcome_text_and_events(record: Record):
    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
        await wire.send(END)

    with serving(answer) as server:
        await run(deferred(server.origin), record)
    assert record.outcome is Outcome.COMPLETE
    assert "".join(record.events.text) == "Hello"


async def test_of_a_long_error_no_more_is_read_however_late_it_is_understood(record: Record):
    async def refuse(wire: Wire) -> None:
        await wire.head("text/html", "502 Bad Gateway")
        await wire.repeat(chunk(b"x" * 8192), 0)

    with serving(refuse) as server:
        await run(deferred(server.origin), record)
    assert record.outcome is Outcome.HTTP_ERROR
    assert "502" in record.error
    assert record.counts()["bytes"] < 1024 * 1024


async def test_an_event_that_is_too_long_is_a_limit_however_late_it_is_understood(record: Record):
    async def endless(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hel"), *[b"data: " + b"x" * (11 * 2**20)] * 3)
        await wire.send(END)

    with serving(endless) as server:
        await run(deferred(server.origin), record)
    assert record.outcome is Outcome.LIMIT
    assert "".join(record.events.text).startswith("Hel")


async def test_an_endless_event_is_a_limit_while_it_comes_however_late_it_is_understood(record: Record):
    async def endless(wire: Wire) -> None:
        await wire.head()
        await wire.repeat(chunk(b"x" * 2**20), 0)

    with serving(endless) as server:
        await asyncio.wait_for(run(deferred(server.origin), record), 60)
    assert record.outcome is Outcome.LIMIT


async def test_an_end_that_is_understood_late_is_no_reason_to_wait_for_a_server_that_forgets_to_close(
    record: Record, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("streamnb.driver.STRAGGLERS_S", 0.7)

    async def stay(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hello"), STOP, DONE)
        await wire.gone()

    with serving(stay) as server:
        await asyncio.wait_for(run(deferred(server.origin, Deadlines(idle_s=600)), record), 60)
    assert record.outcome is Outcome.COMPLETE


async def test_keep_alives_are_no_data_however_late_they_are_understood(record: Record):
    async def ping(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("Hello"))
        await wire.repeat(chunk(b": ping\n\n"), 0.02)

    with serving(ping) as server:
        await asyncio.wait_for(run(deferred(server.origin, Deadlines(idle_s=0.7)), record), 60)
    assert record.outcome is Outcome.TIMEOUT_IDLE
    assert "".join(record.events.text) == "Hello"
