from __future__ import annotations

import json
import math
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fault_server import DONE, END, STOP, Wire, delta, serving
from hypothesis import given, settings
from hypothesis import strategies as st

import streamnb
from streamnb import shelf
from streamnb.conversation import Reading
from streamnb.errors import TranscriptError
from streamnb.events import Outcome, Prompt
from streamnb.intake import Intake
from streamnb.journal import Journal
from streamnb.providers import Call, ReplyHead, load
from streamnb.recording import Record, RunInfo
from streamnb.redaction import Scrubber
from streamnb.results import Run
from streamnb.transcript import CallLine, DoneLine, EndLine, ReplyLine, RunLine, encode
from streamnb.transport import Read

PACE = {"ttft": 0, "gap": 0, "tokens": 24, "seed": 3}
TABLES = ("events", "chunks", "calls", "citations", "frames", "gaps", "stalls", "summary")
VALUES = ("text", "texts", "reasoning", "messages", "raw", "outcome", "error", "session_id", "run_id", "prompt", "ok")
SCENARIOS: dict[str, dict[str, Any]] = {
    "ok": {},
    "stall": {"pace": {**PACE, "stall": 0.05}},
    "hang": {"timeout_first": 0.1},
    "ping": {"timeout_idle": 0.2},
    "http-500": {},
    "http-429": {},
    "html-500": {},
}
PLAIN = ("error", "truncate", "cut", "json-200", "error-200", "empty", "malformed", "bad-utf8", "no-done", "late")
PLAIN += ("tools", "reasoning", "refusal", "usage-everywhere", "echo-auth")


def assert_same(live: Run, opened: Run) -> None:
    for name in VALUES:
        assert getattr(opened, name) == getattr(live, name), name
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(opened, name), getattr(live, name), obj=name)


def replayed(live: Run) -> Run:
    assert live.path is not None
    return streamnb.open(live.path)


@pytest.mark.parametrize("scenario", [*SCENARIOS, *PLAIN])
def test_an_opened_openai_run_equals_the_live_one(scenario: str):
    keywords = {"pace": PACE, "scenario": scenario, **SCENARIOS.get(scenario, {})}
    live = streamnb.stream("openai_chat", "hi", sim=True, system="be brief", **keywords)
    assert_same(live, replayed(live))


@pytest.mark.parametrize("scenario", [*SCENARIOS, *PLAIN])
def test_an_opened_typebot_run_equals_the_live_one(scenario: str):
    keywords = {"pace": PACE, "scenario": scenario, **SCENARIOS.get(scenario, {})}
    live = streamnb.stream("typebot", "hi", sim=True, typebot="two-streams", **keywords)
    assert_same(live, replayed(live))


def test_two_answers_of_one_prompt_equal_after_opening():
    live = streamnb.stream("demo", "hi", params={"n": 2}, pace=PACE)
    assert len(live.texts) == 2
    assert_same(live, replayed(live))


def test_a_run_without_a_connection_equals_after_opening():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    live = streamnb.stream("openai_chat", "hi", base_url=base_url, model="m")
    assert live.calls["reused"].tolist() == [False]
    assert_same(live, replayed(live))


async def huge_event(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("kept"), b"data: " + b"x" * (33 << 20))
    await wire.gone()


def test_a_run_beyond_the_limit_equals_after_opening():
    with serving(huge_event) as server:
        live = streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m")
    assert (live.outcome, live.text) == ("limit", "kept")
    assert_same(live, replayed(live))


def test_opening_makes_no_connection(monkeypatch: pytest.MonkeyPatch):
    live = streamnb.stream("demo", "hi", pace=PACE)

    def guard(*words: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", guard)
    monkeypatch.setattr(socket, "getaddrinfo", guard)
    assert_same(live, replayed(live))


@pytest.fixture
def whole(recordings: Path) -> bytes:
    run = streamnb.stream("demo", "hi", pace={**PACE, "tokens": 3})
    return run.path.read_bytes()


def test_every_beginning_of_a_file_loads_as_crashed(whole: bytes, tmp_path: Path):
    path, full = tmp_path / "torn.jsonl", None
    first = whole.index(b"\n") + 1
    texts = []
    for size in [*range(first, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:size])
        run = streamnb.open(path)
        assert run.outcome == "crashed"
        assert (run.warning is None) == whole[:size].endswith(b"\n")
        texts.append(run.text)
    path.write_bytes(whole)
    full = streamnb.open(path)
    assert full.outcome == "complete"
    assert full.warning is None
    assert all(full.text.startswith(text) for text in texts)
    assert texts == sorted(texts, key=len)


@pytest.mark.slow
def test_every_single_byte_of_a_file_is_a_place_to_crash(whole: bytes, tmp_path: Path):
    path = tmp_path / "torn.jsonl"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size <= whole.index(b"\n"):
            with pytest.raises(TranscriptError, match=r"torn\.jsonl: line 1:"):
                streamnb.open(path)
        else:
            assert streamnb.open(path).outcome == "crashed"


RUN = RunLine("r", "openai_chat", "demo", {}, {}, {"t_ns": 1, "wall_ns": 1}, 1)
CALL = b'{"t":"call","n":0,"t_ns":1,"name":"chat.completions","method":"POST","url":"http://x","headers":[],"stream":true}\n'
REPLY = b'{"t":"reply","n":%d,"t_ns":2,"status":200,"headers":[]}\n'
READ = b'{"t":"read","n":%d,"s":0,"t_ns":3,"w":1,"h":0,"b":"x","crc":2363233923}\n'
FOREIGN = {
    "empty": (b"", r"line 1: the file is empty"),
    "not ours": (b'{"cells": []}\n', r"line 1:"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", r"line 1:"),
    "unknown provider": (
        encode(RunLine("r", "nobody", "x", {}, {}, {"t_ns": 1, "wall_ns": 1}, 1)),
        "no provider 'nobody'",
    ),
    "a path as provider": (encode(RunLine("r", "../evil", "x", {}, {}, {"t_ns": 1, "wall_ns": 1}, 1)), "no provider"),
    "reply to nothing": (encode(RUN) + REPLY % 0, r"line 2: it belongs to call 0, but the latest call is -1"),
    "read of another call": (encode(RUN) + CALL + REPLY % 0 + READ % 3, r"line 4: it belongs to call 3"),
    "altered bytes": (
        encode(RUN) + CALL + REPLY % 0 + (READ % 0).replace(b'"b":"x"', b'"b":"y"') + REPLY % 0,
        "line 4: .*CRC",
    ),
    "unknown outcome": (encode(RUN) + encode(EndLine("fine", None, {}, {}, 1)), "does not know: 'fine'"),
    "bad option": (
        encode(RunLine("r", "openai_chat", "x", {"auth": "nope"}, {}, {"t_ns": 1, "wall_ns": 1}, 1)),
        "auth='nope' is unknown",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(case: str, tmp_path: Path):
    data, reason = FOREIGN[case]
    path = tmp_path / "odd.jsonl"
    path.write_bytes(data)
    with pytest.raises(TranscriptError, match=rf"odd\.jsonl: .*{reason}"):
        streamnb.open(path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(TranscriptError, match=r"none\.jsonl: No such file.*streamnb\.recordings\(\) lists"):
        streamnb.open(tmp_path / "none.jsonl")


ODD_PROMPTS = [{"text": 5, "params": [1], "system": {}, "model": 3, "more": 1}, {}, {"reply": {"x": 1}}]


@pytest.mark.parametrize("prompt", ODD_PROMPTS)
def test_odd_values_in_a_prompt_do_not_stop_a_file_from_loading(prompt: dict[str, Any], tmp_path: Path):
    path = tmp_path / "odd.jsonl"
    line = RunLine("r", "typebot", "x", {"more": 1}, prompt, {"t_ns": 1, "wall_ns": 1}, 1, {"base_url": 3, "model": 4})
    path.write_bytes(encode(line))
    run = streamnb.open(path)
    assert (run.outcome, run.text, len(run.events)) == ("crashed", "", 0)
    assert isinstance(run.prompt.text, str)


def test_lines_of_a_later_version_are_skipped_and_told(whole: bytes, tmp_path: Path):
    path = tmp_path / "newer.jsonl"
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"t":"hologram","v":3}\n', *lines[2:]]))
    run = streamnb.open(path)
    assert run.outcome == "complete"
    assert "hologram" in run.warning


def test_the_list_tells_finished_from_crashed_and_running(recordings: Path):
    runs = [streamnb.stream("demo", "hi", pace=PACE, scenario=name) for name in ("ok", "http-429")]
    torn = recordings / "torn.jsonl"
    torn.write_bytes(runs[0].path.read_bytes()[:-10])
    (recordings / "foreign.jsonl").write_text('{"a": 1}\n')
    (recordings / "empty.jsonl").write_text("")
    (recordings / "headless.jsonl").write_bytes(CALL)
    (recordings / "folder.jsonl").mkdir()
    table = streamnb.recordings()
    assert sorted(table["outcome"]) == ["complete", "crashed", "http_error"]
    assert table.set_index("path").loc[str(torn), "outcome"] == "crashed"
    assert table["n_bytes"].tolist() == [Path(path).stat().st_size for path in table["path"]]
    assert set(table["model"]) == {"simulated"}


async def test_a_run_that_still_writes_is_running_and_can_be_opened():
    async with streamnb.open_stream("demo", "hi", pace={"ttft": 0, "gap": 0.01, "tokens": 5000}) as live:
        async for event in live:
            if event.kind == "delta":
                break
        assert streamnb.recordings()["outcome"].tolist() == ["running"]
        opened = streamnb.open(live.run.path)
        assert (opened.outcome, opened.ok, opened.text[:1]) == (None, False, live.run.text[:1])
        assert "running" in repr(opened)
    assert streamnb.recordings()["outcome"].tolist() == ["stopped"]


def test_a_directory_that_does_not_exist_lists_nothing(tmp_path: Path):
    assert shelf.listing(tmp_path / "nowhere") == []


def test_the_frames_of_a_run_know_their_reads_and_hold_every_byte():
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("a"), b": ping\n\n", STOP + DONE)
        await wire.send(END)

    with serving(script) as server:
        run = streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m")
    frames = run.frames
    assert frames["data"].tolist()[-1] == "[DONE]"
    assert json.loads(frames["data"].iloc[0])["choices"][0]["delta"]["content"] == "a"
    assert b"".join(frames["raw"]).replace(b"\n", b"") == run.raw.replace(b"\n", b"")
    assert frames["chunk_seq"].tolist() == sorted(frames["chunk_seq"])


class Live:
    """A run whose reads come in the order a test says, kept as the driver keeps them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.provider = load("openai_chat")("http://127.0.0.1:9/v1")
        self.record = Record(RunInfo("r", "openai_chat", "demo", 1), Journal(path))
        self.record.begin(
            RunLine(
                "r", "openai_chat", "demo", {}, {}, {"t_ns": 1, "wall_ns": 1}, 1, {"base_url": self.provider.base_url}
            )
        )
        self.intakes: dict[int, Intake] = {}
        self.t_ns = 0

    def call(self, name: str, *, side: bool = False, replies: bool = True) -> int:
        n = len(self.record.calls)
        self.record.call(CallLine(n, self.now, name, "POST", "http://x.example", [], None, not side, side))
        if replies:
            self.record.reply(ReplyLine(n, self.now, 200, [("content-type", "text/event-stream")]))
            reading = Reading(self.provider, Call(name, stream=not side), ReplyHead(200, self.record.calls[n].headers))
            tell = [].append
            self.intakes[n] = Intake(n, reading, self.record, Scrubber(), headers_ns=self.now, tell=tell)
        return n

    @property
    def now(self) -> int:
        self.t_ns += 1_000
        return self.t_ns

    def read(self, n: int, data: bytes) -> None:
        self.intakes[n].read(Read(0, self.now, len(data), data))

    def done(self, n: int) -> None:
        self.intakes[n].close()
        self.record.done(DoneLine(n, self.now))

    def close(self, n: int) -> None:
        self.intakes[n].close()
        self.record.end_call(self.now, n)

    def end(self, **ending: Any) -> Run:
        ends_ns = [row.end_ns for row in self.record.calls]
        line = EndLine("complete", None, {"reached": {}, "ends_ns": ends_ns, **ending}, self.record.counts(), self.now)
        self.record.end(Outcome.COMPLETE, None, line)
        return Run(self.record, self.provider, Prompt(), self.path)


def test_a_side_call_in_the_middle_of_a_stream_opens_with_its_events_where_they_were(tmp_path: Path):
    live = Live(tmp_path / "run.jsonl")
    main = live.call("chat.completions")
    live.read(main, delta("one"))
    side = live.call("publish", side=True)
    live.read(side, b'{"id":')
    live.read(main, delta("two")[:20])
    live.read(side, b'"x"}')
    live.read(main, delta("two")[20:])
    live.done(side)
    live.read(main, delta("three") + STOP + DONE)
    live.close(main)
    run = live.end()
    assert run.text == "onetwothree"
    assert live.record.calls[side].side
    opened = replayed(run)
    assert_same(run, opened)
    assert opened._record.counts() == live.record.counts()
    assert [row.end_ns for row in opened._record.calls] == [row.end_ns for row in live.record.calls]
    assert opened._record.t0_ns == live.record.t0_ns


def test_a_side_call_whose_body_ends_last_does_not_take_the_last_event_of_the_stream(tmp_path: Path):
    live = Live(tmp_path / "run.jsonl")
    main = live.call("chat.completions")
    live.read(main, delta("one") + delta("two").rstrip(b"\n"))
    side = live.call("publish", side=True)
    live.read(side, b'{"id":"x"}')
    live.read(main, b"")
    live.done(side)  # its only event comes with the end of its body
    live.close(main)
    run = live.end()
    assert list(live.record.chunks.call) == [0, 1, 0, 1, 0]
    assert run.events.set_index("text").loc["two", "call"] == main
    assert_same(run, replayed(run))


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(st.sampled_from(["main", "side", "done"]), max_size=40),
    size=st.integers(1, 40),
    second=st.booleans(),
)
def test_however_two_replies_cross_the_events_open_in_the_same_order(
    steps: list[str], size: int, *, second: bool, tmp_path_factory: pytest.TempPathFactory
):
    live = Live(tmp_path_factory.mktemp("runs") / "run.jsonl")
    bodies = {0: delta("one") + delta("two") + STOP + DONE, 1: b'{"answer": "' + b"x" * 50 + b'"}'}
    live.call("chat.completions")
    live.call("publish", side=True)
    over = False
    for step in steps:
        n = 0 if step == "main" else 1
        if step == "done":
            if not over:
                live.done(1)
            over = True
        elif n == 0 or not over:
            live.read(n, bodies[n][:size])
            bodies[n] = bodies[n][size:]
    live.close(0)  # the side call may never have ended: it was broken off
    if second:
        last = live.call("chat.completions")
        live.read(last, delta("three") + STOP + DONE)
        live.close(last)
    run = live.end()
    assert_same(run, replayed(run))


def test_notes_and_the_wait_for_a_slot_come_back(tmp_path: Path):
    live = Live(tmp_path / "run.jsonl")
    live.call("chat.completions")
    live.read(0, delta("a") + STOP + DONE)
    live.close(0)
    live.record.queued_s = 1.25
    live.record.notes += ["Your function f failed.", "The answer of g did not get through."]
    run = live.end(notes=live.record.notes, queued_s=live.record.queued_s)
    opened = replayed(run)
    assert opened.warning == run.warning == "Your function f failed. The answer of g did not get through."
    assert opened.summary["queued_s"].tolist() == [1.25]
    assert_same(run, opened)


@pytest.mark.parametrize(
    ("ending", "notes", "waited"),
    [
        ({}, None, False),
        ({"notes": "one", "queued_s": "soon"}, None, False),
        ({"notes": [1, "kept", None], "queued_s": 0}, "kept", True),
        ({"notes": None, "queued_s": None}, None, False),
    ],
)
def test_an_ending_that_was_written_otherwise_is_read_as_far_as_it_makes_sense(
    tmp_path: Path, ending: dict[str, Any], notes: str | None, waited: bool
):
    live = Live(tmp_path / "run.jsonl")
    live.call("chat.completions")
    live.read(0, delta("a") + STOP + DONE)
    live.close(0)
    opened = replayed(live.end(**ending))
    assert opened.warning == notes
    assert math.isnan(opened.row()["queued_s"]) is not waited


def test_functions_that_were_declared_come_back_with_the_prompt():
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    live = streamnb.stream("demo", "hi", pace=PACE, tools={"plus": add})
    opened = replayed(live)
    assert opened.prompt.tools == live.prompt.tools
    assert opened.prompt.tools[0].description == "Add two numbers."
    assert_same(live, opened)


def test_a_prompt_that_was_written_otherwise_is_read_as_far_as_it_makes_sense(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    asked = {"text": 3, "tools": [1, {"name": "f", "parameters": 3}, {}], "records": "things", "take": "all"}
    path.write_bytes(encode(RunLine("r", "openai_chat", "demo", {}, asked, {"t_ns": 1, "wall_ns": 1}, 1)))
    prompt = streamnb.open(path).prompt
    assert (prompt.text, prompt.records, prompt.take, prompt.fresh_id) == ("", "things", None, "")
    assert [(tool.name, tool.description, tool.parameters) for tool in prompt.tools] == [("f", "", {}), ("", "", {})]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(encode(DoneLine(0, 5)), id="the end of none"),
        pytest.param(encode(DoneLine(-1, 5)), id="the end of one before the first"),
        pytest.param(REPLY % -1, id="the reply to one before the first"),
        pytest.param(CALL.replace(b'"n":0', b'"n":5') + REPLY % 5, id="the sixth comes first"),
        pytest.param(CALL + CALL.replace(b'"n":0', b'"n":7,"side":true') + REPLY % 7, id="a gap"),
        pytest.param(CALL + CALL.replace(b'"n":0', b'"n":1') + encode(DoneLine(0, 5)), id="the end of a main call"),
    ],
)
def test_a_line_of_a_call_that_is_not_there_is_refused(lines: bytes, tmp_path: Path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(RUN) + lines + encode(EndLine("complete", None, {}, {}, 9)))
    with pytest.raises(TranscriptError, match=r"run\.jsonl: line \d: "):
        streamnb.open(path)


def test_a_side_call_that_got_no_reply_hides_no_frames_of_later_calls(tmp_path: Path):
    live = Live(tmp_path / "run.jsonl")
    live.call("chat.completions")
    live.read(0, delta("a") + STOP + DONE)
    live.call("publish", side=True, replies=False)
    live.close(0)
    live.call("chat.completions")
    live.read(2, delta("b") + STOP + DONE)
    live.close(2)
    assert set(live.end().frames["call"]) == {0, 2}
