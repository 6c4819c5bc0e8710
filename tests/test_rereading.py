"""Every event knows the bytes it was read from: checked against each body, fed byte by byte."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, STOP, delta
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import read
from record_builder import record as built
from samples import PATHS, contents, name_of

import streamnb
from streamnb import rereading, shelf
from streamnb.errors import LimitError
from streamnb.events import Event
from streamnb.playback import Playback, reading_of
from streamnb.providers import Provider, Seen
from streamnb.providers.openai_chat import OpenAIChat
from streamnb.recording import Record
from streamnb.rereading import Rereading
from streamnb.settings import PROFILES
from streamnb.transcript import CallLine, Contents, EndLine, Line, ReadLine, ReplyLine, RunLine
from streamnb.wire import Frame

CHAT = "chat.completions"
TARGETS: dict[str, dict[str, Any]] = {
    "demo": {},
    "oliver": {},
    "voiceflow": {"project": "choices"},
    "chatbotkit": {"tools": {"weather": lambda city: f"rain in {city}"}},
    "deepset": {"pipeline": "tools"},
    "typebot": {"typebot": "two-streams"},
    "ollama": {},
    "sse": {},
}
Said = dict[int, list[tuple[Event, Frame | None]]]
RUN = RunLine("r", "openai_chat", "demo", {}, {"text": "hi"}, {"t_ns": 1, "wall_ns": 1}, 1)


def byte_by_byte(record: Record, provider: Provider) -> Said:
    """The events of each call with their frames; None where one byte completed several frames, or none did."""
    found: Said = {}
    for row in record.calls:
        reading = reading_of(row, provider)
        body = bodies(record)[row.n]
        told = found.setdefault(row.n, [])
        with contextlib.suppress(LimitError):
            for step in itertools.chain((reading.feed(bytes([byte])) for byte in body), (reading.close() for _ in "x")):
                frames = [frame for frame in reading.frames if provider.server_t_ns(frame) is None]
                told += ((event, frames[0] if len(frames) == 1 else None) for event in step.events)
    return found


def bodies(record: Record) -> dict[int, bytes]:
    found = {row.n: b"" for row in record.calls}
    for call, data in zip(record.chunks.call, record.chunks.data, strict=True):
        found[call] += data
    return found


def assert_right(record: Record, provider: Provider, said: Said | None = None) -> int:
    """Every event's frame is the right one; how many were looked at."""
    said, whole = said or byte_by_byte(record, provider), bodies(record)
    nth = dict.fromkeys(whole, 0)
    asked = Rereading(record, provider)
    for seq, chunk in enumerate(record.events.chunk):
        call, raw = record.chunks.call[chunk], asked.frame(seq)
        event, frame = said[call][nth[call]] if nth[call] < len(said[call]) else (None, None)
        nth[call] += 1
        assert raw is not None
        assert raw in whole[call]
        if frame is not None and frame.event != "text":  # how raw text is cut is what its frames are
            assert (raw, event.kind, event.text) == (frame.raw, record.events.kind[seq], record.events.text[seq])
    return len(record.events)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_every_event_of_every_transcript_knows_its_frame(path: Path, monkeypatch: pytest.MonkeyPatch):
    record, provider, _ = shelf.read_file(path)
    said = byte_by_byte(record, provider)
    for head in (1, 3, rereading.HEAD_CHUNKS):  # with a short head, a short sample is read like a long one
        monkeypatch.setattr(rereading, "HEAD_CHUNKS", head)
        assert assert_right(record, provider, said) == len(record.events)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_frame_read_alone_gives_its_text_again(path: Path):
    record, provider, _ = shelf.read_file(path)
    asked = Rereading(record, provider)
    for seq, (kind, text, flags) in enumerate(
        zip(record.events.kind, record.events.text, record.events.flags, strict=True)
    ):
        if kind not in {"delta", "reasoning"} or flags or name_of(path) == "sse/plain":
            continue  # half a character, what stands cut, and "[1]" after text need what came before them
        reading = reading_of(record.calls[record.chunks.call[record.events.chunk[seq]]], provider)
        events = reading.feed(asked.frame(seq) + b"\n").events + reading.close().events
        assert text in "".join(event.text for event in events)


def recut(found: Contents, sizes: Sequence[int]) -> list[Line]:
    """The same lines, but neighbouring reads of a call joined and cut in pieces of these sizes, over and over."""
    lines: list[Line] = []
    for n, group in itertools.groupby(found.lines, lambda line: line.n if isinstance(line, ReadLine) else None):
        if n is None:
            lines += group
            continue
        body, times = b"".join(line.b for line in group), itertools.cycle(sizes)
        while body:
            size = next(times)
            lines.append(ReadLine(n=n, s=0, t_ns=5, w=size, h=0, b=body[:size]))
            body = body[size:]
    return lines


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from([path for path in PATHS if "limit" not in path.stem]),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    head=st.integers(1, 4),
)
def test_however_the_reads_are_cut_each_event_knows_its_frame(path: Path, sizes: list[int], head: int):
    found = contents(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rereading, "HEAD_CHUNKS", head)
        playback = Playback(Contents(found.run, recut(found, sizes)))
        for number in range(len(playback.contents.lines)):
            playback.take(number)
        playback.finish()
        assert_right(playback.record, playback.provider)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("gap", [0.0, 0.001], ids=["coalesced", "one by one"])
def test_every_event_of_a_simulated_run_knows_its_frame(target: str, gap: float):
    pace = {"ttft": 0.0, "gap": gap, "tokens": 60}
    run = streamnb.stream(target, "Hi", sim=target not in PROFILES, pace=pace, **TARGETS[target])
    assert run.outcome in {"complete", "ended_unverified"}
    assert assert_right(run.recorded, run.provider) >= 50


@pytest.mark.parametrize("target", TARGETS)
async def test_a_frame_can_be_asked_for_while_the_run_lives(target: str):
    pace = {"ttft": 0.0, "gap": 0.001, "tokens": 60}
    options = {"sim": target not in PROFILES, "pace": pace, **TARGETS[target]}
    async with streamnb.open_stream(target, "Hi", **options) as live:
        record = live.run.recorded
        asked = Rereading(record, live.run.provider)
        told = []
        async for arrival in live.arrivals():
            first = len(told)
            told += ([asked.frame(seq)] for seq in range(first, first + len(arrival.events)))
    again = Rereading(record, live.run.provider)
    assert [found for [found] in told] == [again.frame(seq) for seq in range(len(record.events))]


# -- how much is read -------------------------------------------------------------------------------------------------


class Counting(OpenAIChat):
    """Counts the frames it reads."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self._set("frames", [])

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        self.frames.append(frame)
        return super().read(frame, seen)


def played(*pieces: bytes, provider: Provider | None = None, head: Sequence[tuple[str, str]] = ()) -> Playback:
    lines: list[Line] = [RUN, CallLine(0, 2, CHAT, "POST", "http://h", [], stream=True)]
    lines.append(ReplyLine(0, 3, 200, [("content-type", "text/event-stream"), *head]))
    lines += (ReadLine(n=0, s=s, t_ns=4 + s, w=len(data), h=0, b=data) for s, data in enumerate(pieces))
    return finished(Playback(Contents(RUN, [*lines, EndLine("complete", None, {}, {}, 9_999_999)]), provider))


def finished(playback: Playback) -> Playback:
    for number in range(len(playback.contents.lines)):
        playback.take(number)
    playback.finish()
    return playback


def test_a_click_far_into_a_long_run_reads_its_head_and_its_own_frame_only():
    provider = Counting()
    record = played(*(delta(f"word {n}") for n in range(5_000)), STOP + DONE, provider=provider).record
    asked = Rereading(record, provider)
    provider.frames.clear()
    assert asked.frame(4_000) == delta("word 3999")
    assert asked.frame(5_002) == DONE
    assert len(provider.frames) <= 2 * (rereading.HEAD_CHUNKS + 2)


def test_a_frame_that_came_in_several_reads_is_put_together():
    provider = Counting()
    frames = [delta(f"word {n}") for n in range(400)]
    reads = [piece for frame in frames for piece in (frame[:9], frame[9:30], b"", frame[30:])]
    record = played(b": hi\n", *reads, STOP + DONE, provider=provider).record
    asked = Rereading(record, provider)
    provider.frames.clear()
    assert asked.frame(301) == frames[299]
    assert asked.frame(201) == frames[199]
    assert len(provider.frames) < 20


def test_a_reply_whose_reads_end_inside_frames_is_read_once_and_kept():
    provider = Counting()
    body = b"".join(delta(f"word {n:03}") for n in range(600)) + STOP + DONE
    size = len(delta("word 000"))
    pieces = [body[:5], *(body[at : at + size] for at in range(5, len(body), size))]
    record = played(*pieces, provider=provider).record
    assert not any(data.endswith(b"\n\n") for data in record.chunks.data[:-1])
    asked = Rereading(record, provider)
    provider.frames.clear()
    assert asked.frame(500) == delta("word 499")
    once = len(provider.frames)
    assert 500 < once < 600
    assert asked.frame(3) == delta("word 002")
    assert asked.frame(499) == delta("word 498")
    assert len(provider.frames) == once


def test_a_chunk_that_is_one_frame_is_not_kept_twice():
    record = played(*(delta(f"word {n}") for n in range(9)), STOP).record
    asked = Rereading(record, OpenAIChat())
    assert asked.frame(3) is record.chunks.data[2]


# -- where there is no frame ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [-1, 3, 10**9])
def test_an_event_that_is_not_there_has_no_frame(seq: int):
    record = played(delta("a"), STOP).record
    assert len(record.events) == 3
    assert Rereading(record, OpenAIChat()).frame(seq) is None


@pytest.mark.parametrize("n_before", [0, 40])
def test_what_only_the_end_of_the_body_brought_comes_from_its_last_frame_or_from_none(n_before: int):
    cut = b'data: {"choices":[{"index":0,"delta":{"content":"y\\ud83d"}}]}'
    record = played(*(delta(str(n)) for n in range(n_before)), delta("x"), cut).record
    asked = Rereading(record, OpenAIChat())
    assert record.events.text[-3:] == ["x", "y", "\ufffd"]
    last = len(record.events) - 1
    assert (asked.frame(last - 2), asked.frame(last - 1), asked.frame(last)) == (delta("x"), cut, None)


def test_the_body_of_an_error_is_the_frame_of_its_event():
    error = b'{"error": {"message": "no", "type": "x"}}'
    lines = [RUN, CallLine(0, 2, CHAT, "POST", "http://h", [], stream=True), ReplyLine(0, 3, 500, [])]
    reads = [ReadLine(n=0, s=s, t_ns=4, w=1, h=0, b=error[s : s + 1]) for s in range(len(error))]
    record = finished(Playback(Contents(RUN, [*lines, *reads, EndLine("http_error", "no", {}, {}, 9)]))).record
    assert record.events.kind == ["error"]
    assert Rereading(record, OpenAIChat()).frame(0) == error


def test_a_reply_that_was_too_long_keeps_the_frames_before_that():
    record = played(delta("a"), b"data: " + b"x" * (33 << 20), delta("b")).record
    assert record.events.text == ["", "a"]
    asked = Rereading(record, OpenAIChat())
    assert [asked.frame(seq) for seq in (0, 1)] == [delta("a")] * 2


def test_what_was_too_long_is_no_frame():
    long = read(1, Event("error", "?"), data=b"data: " + b"x" * (33 << 20))
    asked = Rereading(built(read(0, Event("start"), Event("delta", "a"), data=delta("a")), long), OpenAIChat())
    assert [asked.frame(seq) for seq in range(3)] == [delta("a"), delta("a"), None]


@pytest.mark.parametrize("n_chunks", [1, 40])
def test_events_that_no_byte_says_have_no_frame(n_chunks: int):
    made = built(*(read(n, Event("delta", "invented")) for n in range(n_chunks)))
    asked = Rereading(made, OpenAIChat())
    assert {asked.frame(seq) for seq in range(n_chunks)} == {None}


def test_the_end_of_one_reply_behind_a_chunk_of_another_is_not_taken_for_its_own():
    main = CallLine(0, 2, CHAT, "POST", "http://h", [], stream=True)
    side = CallLine(1, 3, "publish", "POST", "http://h", [], side=True)
    cut = b'data: {"choices":[{"index":0,"delta":{"content":"y"}}]}'
    reads = [
        ReadLine(n=n, s=s, t_ns=5, w=1, h=0, b=b) for s, (n, b) in enumerate([(0, cut), (1, b'{"a"'), (1, b": 1}")])
    ]
    lines = [RUN, main, ReplyLine(0, 3, 200, []), side, ReplyLine(1, 3, 200, []), *reads]
    record = finished(Playback(Contents(RUN, lines))).record  # torn: neither body's end is in it
    assert [(kind, chunk) for kind, chunk in zip(record.events.kind, record.events.chunk, strict=True)] == [
        ("start", 2),
        ("delta", 2),
    ]
    asked = Rereading(record, OpenAIChat())
    assert [asked.frame(seq) for seq in (0, 1)] == [None, None]


def test_two_replies_that_cross_keep_their_frames_apart():
    lines: list[Line] = [RUN]
    for n in (0, 1):
        lines.append(CallLine(n, 2, CHAT, "POST", "http://h", [], stream=True, side=n == 1))
        lines.append(ReplyLine(n, 3, 200, [("content-type", "text/event-stream")]))
    sent = [(s % 2, delta(f"{'ab'[s % 2]}{s}")) for s in range(80)]
    lines += (ReadLine(n=n, s=s, t_ns=5 + s, w=1, h=0, b=b) for s, (n, b) in enumerate(sent))
    record = finished(Playback(Contents(RUN, lines))).record
    asked = Rereading(record, OpenAIChat())
    found = [asked.frame(seq) for seq, kind in enumerate(record.events.kind) if kind == "delta"]
    assert found == [data for _, data in sent]
    assert json.loads(found[7][6:])["choices"][0]["delta"]["content"] == "b7"
