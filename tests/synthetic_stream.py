"""A run without a network: makes arrivals in a thread and drives a view as the client does. Kernels import it."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from streamnb.display import open_view
from streamnb.display.view import Final, Header, View
from streamnb.events import Arrival, Chunk, Event, Outcome

HEADER = Header("openai_chat", "small-talk-1", "demo", "127.0.0.1:8000", "run-1")
PROSE = (
    "Rivers meander because the outer bank of every bend erodes while the inner bank grows. Water on the outside runs "
    "faster and cuts into the bank; on the inside it slows down and drops the sand it carries."
)


@dataclasses.dataclass
class Step:
    """Wait, then let one chunk with these events arrive."""

    wait_s: float
    events: tuple[Event, ...]


def words(n: int, wait_s: float, kind: str = "delta") -> Iterator[Step]:
    for word in itertools.islice(itertools.cycle(PROSE.split()), n):
        yield Step(wait_s, (Event(kind, f"{word} "),))


def run(
    steps: Iterable[Step], mode: str = "panel", header: Header = HEADER, outcome: Outcome = Outcome.COMPLETE
) -> str:
    """Show the steps live; return the text that arrived."""
    events: list[Event] = []
    stop = threading.Event()
    view = open_view(mode)
    view.open(header, stop.set)
    view.phase("connecting", time.monotonic_ns())
    thread = threading.Thread(target=_feed, args=(steps, view, stop, events.extend), daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            view.paint(time.monotonic_ns())
            thread.join(0.05)
        outcome = Outcome.STOPPED if stop.is_set() else outcome
    except KeyboardInterrupt:
        stop.set()
        outcome = Outcome.INTERRUPTED
        raise
    finally:
        view.close(_final(events, outcome))
    return _text(events, "delta")


async def run_in_background(steps: Iterable[Step]) -> None:
    """The same while the kernel is free: the event loop paints."""
    events: list[Event] = []
    stop = threading.Event()
    view = open_view("panel")
    view.open(HEADER, stop.set)
    view.phase("connecting", time.monotonic_ns())
    thread = threading.Thread(target=_feed, args=(steps, view, stop, events.extend), daemon=True)
    thread.start()
    while thread.is_alive():
        view.paint(time.monotonic_ns())
        await asyncio.sleep(0.05)
    view.close(_final(events, Outcome.STOPPED if stop.is_set() else Outcome.COMPLETE))


def _feed(steps: Iterable[Step], view: View, stop: threading.Event, keep: Callable[[tuple[Event, ...]], None]) -> None:
    view.phase("waiting", time.monotonic_ns())
    for seq, step in enumerate(steps):
        if stop.wait(step.wait_s):
            return
        view.arrive(Arrival(Chunk(seq, 0, time.monotonic_ns(), 1, 1, b"x"), step.events))
        keep(step.events)


def _final(events: list[Event], outcome: Outcome) -> Final:
    citations = [event.data for event in events if event.kind == "citation"]
    error = next((event.text for event in events if event.kind == "error"), None)
    return Final(_text(events, "delta"), _text(events, "reasoning"), outcome, error, {}, citations)


def _text(events: list[Event], kind: str) -> str:
    return "".join(event.text for event in events if event.kind == kind)
