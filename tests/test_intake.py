"""Intake: scrub, journal, understand, record, tell; in this order for every read, and at the end for what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from replies import DONE, SSE, chunk

from streamnb.conversation import Reading, Step
from streamnb.errors import LimitError
from streamnb.events import Arrival, Event
from streamnb.intake import HEAVY_BYTES, Intake
from streamnb.providers import Call, Provider, ReplyHead, Seen, load
from streamnb.recording import Record, RunInfo
from streamnb.redaction import Scrubber
from streamnb.transcript import CallLine, ReadLine, decode
from streamnb.transport import Read
from streamnb.wire import Frame, Framer, JSONLFramer

KEY = "canary-0123456789abcdef"
HEADERS_NS = 500


class Lines(Provider):
    """JSON Lines of at most 50 bytes."""

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        return JSONLFramer(limit=50)

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        yield Event("item", data=frame.value) if frame.value is not None else Event("unknown", flags=frame.flags)


class Told:
    """A record without a file that notes in which order its intakes do things, and what each hears."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.arrivals: list[Arrival] = []
        self.lines: list[ReadLine] = []
        self.heard: list[Step] = []
        self.record = Record(RunInfo("r", "openai_chat", "demo", 0), self)

    def write(self, line: Any) -> None:
        """As a journal does."""
        if isinstance(line, ReadLine):
            self.steps.append("journal")
            self.lines.append(line)

    def append(self, data: bytes) -> None:
        """As a journal does with what is encoded already."""
        self.write(decode(data))

    def tell(self, arrival: Arrival) -> None:
        self.steps.append("tell")
        self.arrivals.append(arrival)

    def intake(self, n: int = 0, provider: Provider | None = None, scrubber: Scrubber | None = None) -> Intake:
        """The intake of the next call."""
        self.record.call(CallLine(n, 100, "chat.completions", "POST", "http://x.example", [], stream=True))
        head = ReplyHead(200, SSE)
        reading = Reading(provider or load("openai_chat")(), Call("chat.completions", stream=True), head)
        feed = reading.feed
        reading.feed = lambda data: self.steps.append("understand") or feed(data)
        made = scrubber or Scrubber((KEY,))
        return Intake(n, reading, self.record, made, headers_ns=HEADERS_NS, tell=self.tell, heard=self.heard.append)

    @property
    def kinds(self) -> list[list[str]]:
        return [[event.kind for event in arrival.events] for arrival in self.arrivals]


def got(data: bytes, t_ns: int = 1_000, wire_bytes: int = 0) -> Read:
    return Read(0, t_ns, wire_bytes or len(data), data)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_read_is_written_before_anything_looks_at_it_and_told_when_it_is_in_the_record(told: Told):
    told.intake().read(got(chunk("Hi"), 1_000, 70))
    assert told.steps == ["journal", "understand", "tell"]
    (arrival,), (step,) = told.arrivals, told.heard
    assert arrival.events == step.events
    assert (arrival.chunk.t_ns, arrival.chunk.wire_bytes, arrival.chunk.data) == (1_000, 70, chunk("Hi"))
    assert told.lines == [ReadLine(n=0, s=0, t_ns=1_000, w=70, h=0, b=chunk("Hi"))]


def test_a_read_that_cannot_be_understood_is_on_disk(told: Told):
    intake = told.intake(provider=Lines())
    with pytest.raises(LimitError):
        intake.read(got(b"x" * 51))
    assert told.steps == ["journal", "understand"]
    assert told.record.chunks.data == [b"x" * 51]


def test_a_secret_is_masked_before_the_journal_sees_it(told: Told):
    told.intake().read(got(f": {KEY}\n\n".encode()))
    assert told.lines[0].b == b": " + b"*" * len(KEY) + b"\n\n"


def test_the_beginning_of_a_secret_waits_for_the_next_read(told: Told):
    intake = told.intake()
    intake.read(got(b": " + KEY[:6].encode()))
    intake.read(got(KEY[6:].encode() + b"\n\n", 2_000))
    assert [(line.b, line.h) for line in told.lines] == [(b": ", 6), (b"*" * len(KEY) + b"\n\n", 0)]


def test_the_beginning_of_a_secret_at_the_very_end_comes_out_as_what_it_is(told: Told):
    intake = told.intake()
    intake.read(got(chunk("a") + b"data: " + KEY[:6].encode(), 1_000))
    told.steps.clear()
    intake.close()
    assert told.steps == ["journal", "understand", "tell", "tell"]
    assert [(line.b, line.t_ns, line.w) for line in told.lines[1:]] == [(b"canary", 1_000, 0)]
    assert told.kinds == [["start", "delta"], [], ["unknown"]]


def test_what_the_end_of_the_body_completes_belongs_to_the_last_read(told: Told):
    intake = told.intake()
    intake.read(got(chunk("a") + chunk("b").rstrip(b"\n")))
    intake.close()
    assert told.kinds == [["start", "delta"], ["delta"]]
    assert [arrival.chunk.seq for arrival in told.arrivals] == [0, 0]
    assert list(told.record.chunks.n_events) == [3]


def test_an_end_that_completes_nothing_writes_and_tells_nothing(told: Told):
    intake = told.intake()
    intake.read(got(chunk("a") + DONE))
    told.steps.clear()
    intake.close()
    assert told.steps == []
    assert len(told.record.chunks) == 1


def test_a_body_without_bytes_whose_end_says_something_has_the_time_of_its_headers(told: Told):
    told.record.call(CallLine(0, 100, "startChat", "POST", "http://x.example", []))
    reading = Reading(load("typebot")(), Call("startChat"), ReplyHead())
    Intake(0, reading, told.record, Scrubber(), headers_ns=HEADERS_NS, tell=told.tell).close()
    assert told.lines == [ReadLine(n=0, s=0, t_ns=HEADERS_NS, w=0, h=0, b=b"")]
    assert told.kinds == [["unknown"]]


def test_a_body_without_bytes_whose_end_says_nothing_has_no_read(told: Told):
    told.intake().close()
    assert (told.steps, len(told.record.chunks)) == ([], 0)


def test_beside_another_call_the_last_event_is_given_to_a_read_of_its_own_call(told: Told):
    main, side = told.intake(0), told.intake(1)
    main.read(got(chunk("a") + chunk("b").rstrip(b"\n"), 1_000))
    side.read(got(chunk("c"), 2_000))
    main.close()
    assert [(line.n, line.s, line.t_ns, line.b) for line in told.lines[2:]] == [(0, 2, 1_000, b"")]
    assert list(told.record.chunks.call) == [0, 1, 0]
    assert list(told.record.events.chunk) == [0, 0, 1, 1, 2]
    assert told.record.events.text == ["", "a", "", "c", "b"]


def test_a_reply_that_was_too_long_closes_quietly(told: Told):
    intake = told.intake(provider=Lines())
    intake.read(got(b'{"a":1}\n'))
    with pytest.raises(LimitError):
        intake.read(got(b"x" * 51))
    told.steps.clear()
    intake.close()
    assert told.kinds == [["item"]]


class Refusing(Lines):
    """Its framer finds only at the end that there was too much."""

    def framer(self, call: Call, head: ReplyHead) -> Any:
        return self

    def feed(self, data: bytes) -> list[Frame]:
        return []

    def close(self) -> list[Frame]:
        raise LimitError("too much")


def test_a_limit_that_shows_at_the_end_closes_quietly(told: Told):
    intake = told.intake(provider=Refusing())
    intake.read(got(b"x"))
    told.steps.clear()
    intake.close()
    assert told.steps == []


def test_a_reply_that_was_too_long_and_ends_in_the_beginning_of_a_secret_closes_quietly(told: Told):
    intake = told.intake(provider=Lines())
    with pytest.raises(LimitError):
        intake.read(got(b"x" * 51 + KEY[:6].encode()))
    intake.close()
    assert b"".join(told.record.chunks.data) == b"x" * 51 + KEY[:6].encode()


class Never:
    """A pacer that puts everything off."""

    deferring = True


def test_what_is_put_off_is_on_disk_at_once_and_understood_in_order_when_asked(told: Told):
    intake = told.intake()
    intake.pacer = Never()
    intake.read(got(chunk("a"), 1_000))
    intake.read(got(chunk("b"), 2_000))
    assert (told.steps, intake.waiting, told.arrivals) == (["journal", "journal"], True, [])
    intake.catch_up()
    assert told.steps == ["journal", "journal", "understand", "tell", "understand", "tell"]
    assert [(arrival.chunk.seq, arrival.chunk.t_ns) for arrival in told.arrivals] == [(0, 1_000), (1, 2_000)]
    assert told.kinds == [["start", "delta"], ["delta"]]
    assert (list(told.record.chunks.n_events), intake.waiting) == ([2, 1], False)


def test_what_was_put_off_is_understood_before_what_comes_at_the_end_and_before_the_next_read(told: Told):
    intake = told.intake()
    intake.pacer = Never()
    intake.read(got(chunk("a"), 1_000))
    intake.pacer = None
    intake.read(got(chunk("b"), 2_000))
    intake.pacer = Never()
    intake.read(got(chunk("c").rstrip(b"\n"), 3_000))
    intake.close()
    assert [(arrival.chunk.seq, *[event.text for event in arrival.events]) for arrival in told.arrivals] == [
        (0, "", "a"),
        (1, "b"),
        (2,),
        (2, "c"),
    ]


def test_what_was_put_off_and_is_too_long_raises_when_it_is_looked_at_and_not_at_the_end(told: Told):
    intake = told.intake(provider=Lines())
    intake.pacer = Never()
    intake.read(got(b"x" * 51))
    with pytest.raises(LimitError):
        intake.catch_up()
    late = told.intake(1, provider=Lines())
    late.pacer = Never()
    late.read(got(b"x" * 51))
    late.close()
    assert told.record.chunks.data == [b"x" * 51] * 2


def test_it_knows_when_nothing_came_and_when_too_much_waits(told: Told):
    intake = told.intake()
    intake.pacer = Never()
    assert [intake.paused(), intake.paused()] == [False, True]
    intake.read(got(chunk("a"), 1_000))
    assert [intake.paused(), intake.paused(), intake.heavy] == [False, True, False]
    intake.read(got(b"data: " + b"x" * HEAVY_BYTES + b"\n\n", 2_000))
    assert intake.heavy
    intake.catch_up(1)
    assert (intake.heavy, intake.waiting) == (True, True)
    intake.catch_up(1)
    assert (intake.heavy, intake.waiting) == (False, False)


def test_the_stamp_of_the_kernel_is_the_time_of_a_read_and_that_of_the_process_stands_beside_it(told: Told):
    told.intake().read(Read(0, 5_000, 9, chunk("a"), 4_000))
    (arrival,) = told.arrivals
    assert (arrival.chunk.t_ns, arrival.chunk.stamp_source) == (4_000, "kernel")
    (line,) = told.lines
    assert (line.t_ns, line.k_ns, line.stamp) == (5_000, 4_000, "read")
    assert (told.record.chunks.read_ns[0], told.record.chunks.kernel_ns[0]) == (5_000, 4_000)
