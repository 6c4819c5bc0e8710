"""What a panel may ask about a run: the same as its tables say, at any time, for the price of what is shown."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, END, STOP, Wire, delta, serving, until
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import S, append, read
from record_builder import delta as text
from record_builder import record as built
from samples import PATHS, name_of

import streamnb
from streamnb.display.view import EventRow, Look, Phase, Sent
from streamnb.events import Event
from streamnb.inspection import RAW_BYTES, TEXT_CHARS, Inspection
from streamnb.playback import Playback, contents_of
from streamnb.providers.openai_chat import OpenAIChat
from streamnb.recording import CallRow, Record
from streamnb.results import Run
from streamnb.settings import PROFILES
from streamnb.transcript import CallLine, EndLine, RunLine, encode

PACE = {"ttft": 0.0, "gap": 0.001, "tokens": 24}
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


def look_at(record: Record) -> Inspection:
    return Inspection(record, OpenAIChat("http://x.example"))


def simulated(target: str, **more: Any) -> Run:
    return streamnb.stream(target, "Hi", sim=target not in PROFILES, pace=PACE, **TARGETS[target], **more)


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def assert_as_the_tables_say(run: Run, look: Look) -> None:
    table = run.events
    assert dict(look.kinds()) == Counter(table["kind"])
    total, rows = look.rows(0, 10**6)
    assert (total, len(rows)) == (len(table), len(table))
    for seq, (row, said) in enumerate(zip(rows, table.itertuples(), strict=True)):
        assert row.seq == seq == said.seq
        assert same(row.t_s, said.t_s)
        assert (row.kind, row.text, row.chunk, row.coalesced) == (
            said.kind,
            said.text[:TEXT_CHARS],
            said.chunk_seq,
            said.coalesced,
        )
        assert row.name == (said.name if isinstance(said.name, str) else None)


# -- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_rows_and_kinds_of_a_run_are_those_of_its_tables(target: str):
    run = simulated(target)
    look = Inspection(run.recorded, run.provider)
    assert_as_the_tables_say(run, look)
    opened = streamnb.open(run.path)
    assert look.rows(0, 999) == Inspection(opened.recorded, opened.provider).rows(0, 999)


@pytest.mark.parametrize("path", PATHS[::7], ids=name_of)
def test_rows_and_kinds_of_a_transcript_are_those_of_its_tables(path: Path):
    run = streamnb.open(path)
    assert_as_the_tables_say(run, Inspection(run.recorded, run.provider))


KINDS = ("delta", "reasoning", "usage", "end")


@settings(max_examples=100, deadline=None)
@given(
    batches=st.lists(st.lists(st.sampled_from(KINDS), max_size=5), max_size=12),
    asked=st.lists(
        st.tuples(
            st.integers(-2, 30),
            st.integers(-2, 30),
            st.none() | st.lists(st.sampled_from([*KINDS, "other"]), max_size=4),
        ),
        max_size=12,
    ),
)
def test_every_window_of_every_filtered_list_is_right_while_the_run_grows(
    batches: list[list[str]], asked: list[tuple[int, int, list[str] | None]]
):
    made = built()
    look = look_at(made)
    for number in range(max(len(batches), len(asked))):
        for batch in batches[number : number + 1]:
            append(made, read(number, *map(Event, batch)))
        for first, n, kinds in asked[number : number + 1]:
            wanted = [seq for seq, kind in enumerate(made.events.kind) if kinds is None or kind in kinds]
            total, rows = look.rows(first, n, kinds)
            assert total == len(wanted)
            assert [row.seq for row in rows] == wanted[max(0, first) :][: max(0, n)]
        assert look.kinds() == Counter(made.events.kind)


def test_a_row_says_what_a_list_shows():
    made = built(read(0.5, text("a" * 999), Event("tool_call", "{}", name="add")), read(1.0, text("b")))
    assert look_at(made).rows(0, 9)[1] == [
        EventRow(0, 0.5, "delta", "a" * TEXT_CHARS, None, 0, coalesced=True),
        EventRow(1, 0.5, "tool_call", "{}", "add", 0, coalesced=True),
        EventRow(2, 1.0, "delta", "b", None, 1, coalesced=False),
    ]


def test_before_t0_is_known_no_row_has_a_time():
    made = built(read(0.5, text("a")), t0=False)
    assert math.isnan(look_at(made).rows(0, 1)[1][0].t_s)
    made.calls[0].t0_ns = made.chunks.t_ns[0] - S
    assert look_at(made).rows(0, 1)[1][0].t_s == 1.0


class Watched(list[str]):
    """Counts the items that are looked at."""

    looked = 0

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        self.looked += len(found) if isinstance(at, slice) else 1
        return found

    def __iter__(self) -> Any:
        raise AssertionError("the whole list is gone through")


def test_asking_again_costs_what_is_new_and_what_is_shown_not_the_list():
    made = built(*(read(n, text("a"), Event("reasoning", "b")) for n in range(2_000)))
    made.events.kind = watched = Watched(made.events.kind)
    look = look_at(made)
    for kinds in (["delta"], ["delta", "reasoning"]):
        look.rows(0, 10, kinds)
    look.kinds()
    assert watched.looked == 3 * 4_000 + 20
    append(made, read(3_000, text("c")))
    watched.looked = 0
    assert look.rows(1_990, 20, ["delta"])[0] == 2_001
    assert look.rows(3_000, 20, ["reasoning", "delta"])[0] == 4_001
    assert look.rows(3_999, 20)[1][-1].text == "c"
    assert look.kinds() == {"delta": 2_001, "reasoning": 2_000}
    assert watched.looked == 3 + (11 + 20 + 2)


def test_lists_that_nobody_asks_for_any_more_are_forgotten():
    made = built(read(0, text("a"), Event("end")))
    look = look_at(made)
    for n in range(100):
        assert look.rows(0, 5, ["delta", f"kind {n}"])[0] == 1
    assert len(look._lists) < 20


def test_it_can_be_asked_on_any_thread_while_the_run_grows():
    made = built(read(0, Event("start"), text("a"), data=delta("a")))
    look, over, wrong = look_at(made), threading.Event(), []

    def ask() -> None:
        seen = 0
        while not over.is_set():
            total, rows = look.rows(max(0, seen - 5), 50)
            chosen, some = look.rows(0, 10**6, {"delta"})
            counts = look.kinds()
            found = look.raw(total - 1)
            if not (
                seen <= total <= sum(counts.values())
                and chosen <= counts.get("delta", 0)
                and [row.seq for row in rows] == list(range(max(0, seen - 5), max(0, seen - 5) + len(rows)))
                and all(row.kind == "delta" and row.text == "a" for row in some)
                and (found is None or found.data == delta("a"))
            ):
                wrong.append((seen, total, counts))
            seen = total

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(1, 3_000):
        append(made, read(n, *[text("a")] * (1 + n % 3), data=delta("a") * (1 + n % 3)))
    over.set()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert look.kinds() == {"start": 1, "delta": 6_000}
    assert look.raw(6_000).data == delta("a")


# -- raw --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_each_event_shows_the_bytes_it_was_read_from(target: str):
    run = simulated(target)
    look = Inspection(run.recorded, run.provider)
    for row in look.rows(0, 10**6)[1]:
        found = look.raw(row.seq)
        assert found.data in run.raw
        assert found.n_bytes == len(found.data)
        assert same(found.t_s, row.t_s)
    assert look.raw(look.rows(0, 0)[0]) is None


def test_a_long_frame_is_cut_and_says_how_long_it_is():
    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("x" * 200_000), STOP, DONE)
        await wire.send(END)

    with serving(answer) as server:
        run = streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m")
    look = Inspection(run.recorded, run.provider)
    seq = look.rows(0, 1, ["delta"])[1][0].seq
    found = look.raw(seq)
    assert (found.data, found.n_bytes) == (delta("x" * 200_000)[:RAW_BYTES], len(delta("x" * 200_000)))


def test_a_key_that_came_back_is_masked_in_the_bytes_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-0123456789abcdef")

    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("your key is canary-0123456789abcdef"), STOP, DONE)
        await wire.send(END)

    with serving(answer) as server:
        run = streamnb.stream("openai_chat", "canary-0123456789abcdef", base_url=server.origin, model="m")
    look = Inspection(run.recorded, run.provider)
    shown = str([*(look.raw(seq) for seq in range(look.rows(0, 0)[0])), *look.sent()])
    assert "canary" not in shown
    assert "*" * len("canary-0123456789abcdef") in shown


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("recorded", [True, False], ids=["from its file", "from memory"])
def test_requests_are_shown_as_they_went_out_also_of_a_replay(target: str, recorded: bool):
    run = simulated(target, record=recorded)
    sent = Inspection(run.recorded, run.provider).sent()
    assert [one.name for one in sent] == list(run.calls["name"])
    for one in sent:
        assert one.method in {"GET", "POST"}
        assert one.url.startswith(f"{run.provider.base_url}/")
        assert one.status in {200, 201}
        assert dict(one.headers)["cache-control"] == "no-store"
        assert "content-type" in dict(one.reply_headers) or target == "typebot"
        assert one.curl.startswith("curl -N ")
        assert one.url in one.curl
    again = streamnb.replay(run, speed=math.inf)
    assert Inspection(again.recorded, again.provider).sent() == sent


def test_a_request_is_shown_with_its_body_indented_and_its_key_as_a_variable():
    run = simulated("demo", model="m\u202e")
    [sent] = Inspection(run.recorded, run.provider).sent()
    assert sent.body.startswith('{\n  "model": "m\\u202e",\n  "messages": [\n    {\n      "role": "user",')
    assert json.loads(sent.body)["messages"] == [{"role": "user", "content": "Hi"}]
    assert dict(sent.headers)["authorization"] == "<redacted>"
    assert '-H "Authorization: Bearer $OPENAI_API_KEY"' in sent.curl


async def test_a_request_is_there_before_its_reply_and_says_in_the_end_how_far_it_came():
    async def answer(wire: Wire) -> None:
        await wire.gone()

    with serving(answer) as server:
        async with streamnb.open_stream("openai_chat", "hi", base_url=server.origin, model="m") as live:
            look = Inspection(live.run.recorded, live.run.provider)
            await until(lambda: server.requests)
            [sent] = look.sent()
            assert (sent.status, sent.reply_headers, sent.method) == (None, (), "POST")
            assert look.phases() == []
    assert [one.name for one in look.phases()] == ["DNS", "connect", "request"]


def test_a_request_that_nobody_knows_is_empty():
    made = Record(built().info)
    made.calls.append(CallRow(0, "stream", stream=True, t_ns=5, status=200, headers={"server": "x"}))
    assert look_at(made).sent() == [Sent("stream", "", "", (), "", 200, (("server", "x"),), "")]


def test_a_replay_of_a_record_without_requests_still_plays():
    run = simulated("demo", record=False)
    for row in run.recorded.calls:
        row.line = None
    contents = contents_of(run.recorded, run.prompt)
    assert [(line.method, line.url) for line in contents.calls] == [("", "")]
    playback = Playback(contents, run.provider)
    for number in range(len(contents.lines)):
        playback.take(number)
    playback.finish()
    assert playback.record.events.text == run.recorded.events.text
    assert Inspection(playback.record, run.provider).sent()[0].curl == ""


def test_an_opened_run_names_the_variable_that_held_its_key(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    meta = {"base_url": "https://h.example/v1", "key_env": "MY_KEY"}
    run = RunLine("r", "openai_chat", "openai_chat", {}, {"text": "hi"}, {"t_ns": 1, "wall_ns": 1}, 1, meta)
    call = CallLine(0, 2, "x", "POST", "https://h.example/v1/chat/completions", [("Authorization", "<redacted>")])
    path.write_bytes(b"".join(map(encode, [run, call, EndLine("stopped", None, {}, {}, 9)])))
    opened = streamnb.open(path)
    [sent] = Inspection(opened.recorded, opened.provider).sent()
    assert '"Authorization: Bearer $MY_KEY"' in sent.curl


# -- phases -----------------------------------------------------------------------------------------------------------


def phases_of(*rows: CallRow) -> list[tuple[str, float]]:
    made = Record(built().info)
    made.calls += rows
    found = look_at(made).phases()
    assert all(isinstance(one, Phase) and one.meaning and math.isfinite(one.seconds) for one in found)
    return [(one.name, one.seconds) for one in found]


def call_row(n: int = 0, *, stream: bool = True, **fields: Any) -> CallRow:
    return CallRow(n, "call", stream=stream, t_ns=0, **fields)


STAMPS = {"t0_ns": 10 * S, "sent_ns": 11 * S, "headers_ns": 13 * S, "first_byte_ns": 16 * S}


def test_a_first_request_has_every_phase():
    row = call_row(dns_s=0.25, connect_s=0.5, tls_s=0.125, reused=False, **STAMPS)
    assert phases_of(row) == [
        ("DNS", 0.25),
        ("connect", 0.5),
        ("TLS", 0.125),
        ("request", 1.0),
        ("headers", 2.0),
        ("first byte", 3.0),
    ]


def test_an_open_connection_has_only_what_happened():
    assert phases_of(call_row(reused=True, **STAMPS)) == [("request", 1.0), ("headers", 2.0), ("first byte", 3.0)]
    assert phases_of(call_row(reused=True, t0_ns=10 * S, sent_ns=11 * S)) == [("request", 1.0)]
    assert phases_of(call_row(dns_s=0.25)) == [("DNS", 0.25)]
    assert phases_of(call_row()) == []
    assert phases_of() == []


def test_the_latest_timed_stream_counts_else_the_latest_call():
    first = call_row(0, dns_s=1.0)
    second = call_row(1, dns_s=2.0)
    step = call_row(2, stream=False, dns_s=3.0)
    launch = call_row(3, setup=True, dns_s=4.0)
    assert phases_of(first, second, step, launch) == [("DNS", 2.0)]
    assert phases_of(step, launch) == [("DNS", 4.0)]
    assert phases_of(launch, step) == [("DNS", 3.0)]


@pytest.mark.parametrize("odd", [math.inf, -math.inf, -1.0, math.nan])
def test_a_duration_that_is_none_is_left_out(odd: float):
    assert phases_of(call_row(dns_s=odd, connect_s=0.5)) == [("connect", 0.5)]


def test_a_reply_that_came_before_the_request_was_whole_was_not_waited_for():
    early = {**STAMPS, "sent_ns": 14 * S}
    assert phases_of(call_row(**early)) == [("request", 4.0), ("first byte", 3.0)]


def test_phases_of_a_run_are_those_of_its_calls():
    run = simulated("oliver")
    look = Inspection(run.recorded, run.provider)
    said = {one.name: one.seconds for one in look.phases()}
    row = run.calls.iloc[-1]
    assert said["request"] == row["sent_s"]
    assert said["request"] + said["headers"] == pytest.approx(row["headers_s"])
    assert said["request"] + said["headers"] + said["first byte"] == pytest.approx(row["first_byte_s"])
    assert ("connect" in said) is not row["reused"]


def test_a_refused_connection_says_how_far_it_came():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    run = streamnb.stream("openai_chat", "hi", base_url=base_url, model="m")
    assert run.outcome == "connect_error"
    look: Look = Inspection(run.recorded, run.provider)
    assert [one.name for one in look.phases()] == []
    assert look.sent()[0].status is None
    assert look.rows(0, 10) == (0, [])
    assert look.kinds() == {}
