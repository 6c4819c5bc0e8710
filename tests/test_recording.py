from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from streamnb.conversation import Step
from streamnb.events import Choice, Event, Outcome, Prompt
from streamnb.journal import Journal
from streamnb.recording import Record, RunInfo
from streamnb.transcript import CallLine, DoneLine, EndLine, ReadLine, ReplyLine, RunLine, read_lines

INFO = RunInfo("run-1", "openai_chat", "demo", 1_000)
RUN = RunLine("run-1", "openai_chat", "demo", {}, {}, {"t_ns": 5, "wall_ns": 1_000}, 1)
TIMINGS = {"dns_s": 0.1, "connect_s": 0.2, "tls_s": None, "t0_ns": 1_000, "sent_ns": 1_100, "headers_ns": 1_500}


def call(n: int = 0, *, stream: bool = True) -> CallLine:
    return CallLine(n, 100 + n, f"call-{n}", "POST", "http://x.example", [], stream=stream)


def reply(n: int = 0, **timings: float | None) -> ReplyLine:
    headers = [("Content-Type", "text/event-stream")]
    return ReplyLine(n, 1_500, 200, headers, "chunked", {**TIMINGS, "reused": False, **timings})


def read(s: int, data: bytes = b"data: x\n\n", n: int = 0, t_ns: int = 2_000) -> ReadLine:
    return ReadLine(n=n, s=s, t_ns=t_ns, w=len(data) + 5, h=0, b=data)


def end(outcome: Outcome = Outcome.COMPLETE, error: str | None = None) -> EndLine:
    return EndLine(outcome.value, error, {}, {}, 9_000)


@pytest.fixture
def record() -> Record:
    record = Record(INFO)
    record.begin(RUN)
    return record


def test_an_empty_record_says_nothing_and_nothing_is_zero(record: Record):
    assert (record.t0_ns, record.end_ns, record.close_ns, record.outcome, record.error) == (None,) * 5
    assert math.isnan(record.setup_s)
    assert math.isnan(record.queued_s)
    assert record.counts() == {"calls": 0, "reads": 0, "bytes": 0, "events": 0, "late_events": 0}


def test_a_call_knows_only_what_happened(record: Record):
    row = record.call(call())
    assert (row.status, row.framing, row.t0_ns, row.first_byte_ns, row.end_ns, row.reused) == (None,) * 6
    assert all(math.isnan(value) for value in (row.dns_s, row.connect_s, row.tls_s))
    record.reply(reply())
    assert (row.status, row.framing, row.dns_s, row.sent_ns, row.reused) == (200, "chunked", 0.1, 1_100, False)
    assert math.isnan(row.tls_s)  # null in the file
    assert row.headers == {"content-type": "text/event-stream"}


def test_a_call_keeps_its_request_and_does_not_print_it(record: Record):
    line = call()
    assert record.call(line).line is line
    assert "x.example" not in repr(record.calls)


def test_a_row_counts_only_when_all_of_it_is_there(record: Record):
    record.call(call())
    record.read(read(0))
    record.understood(Step((Event("delta", "a"),), 1))
    record.chunks.data.append(b"half a row")
    record.events.kind.append("delta")
    assert (len(record.chunks), len(record.events)) == (1, 1)


def test_a_timing_that_this_version_does_not_know_is_left_out(record: Record):
    record.call(call())
    record.reached(0, {"t0_ns": 7, "queue_s": 3.0})
    assert record.calls[0].t0_ns == 7
    assert not hasattr(record.calls[0], "queue_s")


def test_a_read_is_a_row_and_the_first_one_dates_its_call(record: Record):
    record.call(call())
    record.reply(reply())
    record.read(read(0, b"ab", t_ns=2_000))
    record.read(read(1, b"c", t_ns=3_000))
    chunks = record.chunks
    assert (list(chunks.call), list(chunks.t_ns), chunks.data) == ([0, 0], [2_000, 3_000], [b"ab", b"c"])
    assert (list(chunks.wire_bytes), list(chunks.server_t_ns)) == ([7, 6], [-1, -1])
    assert record.calls[0].first_byte_ns == 2_000


def test_an_empty_body_has_no_first_byte_but_one_that_is_held_back_has(record: Record):
    record.call(call())
    record.take(0, 1_000, None, 30, 0, b"")
    assert record.calls[0].first_byte_ns is None
    record.take(0, 2_000, None, 30, 3, b"")
    assert record.calls[0].first_byte_ns == 2_000


def test_what_a_read_amounted_to_goes_to_its_row_and_to_the_arrival(record: Record):
    record.call(call())
    record.read(read(0))
    event = Event("delta", "hé", 1, "n", "i", {"a": [1]}, frozenset({"late", "lossy"}))
    arrival = record.understood(Step((event,), 2, 1_900))
    assert (arrival.events, arrival.chunk.seq, arrival.chunk.n_frames, arrival.chunk.server_t_ns) == (
        (event,),
        0,
        2,
        1_900,
    )
    assert (arrival.chunk.data, arrival.chunk.n_bytes, arrival.chunk.wire_bytes) == (b"data: x\n\n", 9, 14)
    events = record.events
    assert (list(events.chunk), list(events.choice), events.kind, events.text) == ([0], [1], ["delta"], ["hé"])
    assert (events.name, events.id, events.data, events.flags) == (["n"], ["i"], ['{"a": [1]}'], ["late lossy"])


def test_what_the_end_of_the_body_completes_is_added_to_the_last_read(record: Record):
    record.call(call())
    record.read(read(0))
    record.understood(Step((Event("delta", "a"),), 1))
    record.understood(Step((Event("delta", "b"),), 1))
    assert (list(record.chunks.n_frames), list(record.chunks.n_events), list(record.events.chunk)) == ([2], [2], [0, 0])


def test_no_choice_no_name_no_data_stay_missing(record: Record):
    record.call(call())
    record.read(read(0))
    record.understood(Step((Event("ping"),), 1))
    events = record.events
    assert (list(events.choice), events.name, events.id, events.data, events.flags) == (
        [-1],
        [None],
        [None],
        [None],
        [""],
    )


def test_a_lone_surrogate_in_a_name_can_still_be_written_anywhere(record: Record):
    record.call(call())
    record.read(read(0))
    record.understood(Step((Event("tool_call", name="f\ud83d", id="é", data={"x": "\ud83d"}),), 1))
    assert (record.events.name, record.events.id) == (["f?"], ["é"])
    assert json.loads(record.events.data[0]) == {"x": "\ud83d"}


def test_t0_is_that_of_the_first_streaming_call_and_setup_what_came_before(record: Record):
    record.call(call(0, stream=False))
    record.reply(reply(0, t0_ns=300))
    record.end_call(400)
    record.call(call(1))
    record.reply(reply(1, t0_ns=1_000_000_100))
    record.end_call(2_000_000_000)
    record.call(call(2, stream=False))
    record.end_call(3_000_000_000)
    assert record.t0_ns == 1_000_000_100
    assert record.setup_s == 1.0
    assert (record.close_ns, record.end_ns) == (2_000_000_000, 3_000_000_000)


def test_only_the_first_outcome_counts(record: Record):
    record.end(Outcome.STOPPED, "stopped", end(Outcome.STOPPED, "stopped"))
    record.end(Outcome.COMPLETE, None, end())
    assert (record.outcome, record.error) == (Outcome.STOPPED, "stopped")


def test_late_events_are_counted(record: Record):
    record.call(call())
    record.read(read(0))
    late = frozenset({"late", "lossy"})
    record.understood(Step((Event("delta", "a"), Event("delta", "b", flags=late)), 2))
    assert record.counts() == {"calls": 1, "reads": 1, "bytes": 9, "events": 2, "late_events": 1}


def test_every_line_is_in_the_file_as_soon_as_it_happens(tmp_path: Path):
    journal = Journal(tmp_path / "run.jsonl")
    record = Record(INFO, journal)
    lines = [RUN, call(), reply(), read(0), end()]
    for line, happens in zip(
        lines,
        (record.begin, record.call, record.reply, record.read, lambda line: record.end(Outcome.COMPLETE, None, line)),
        strict=True,
    ):
        happens(line)
        assert read_lines(journal.path.read_bytes()).lines[-1] == line
    assert (record.warning, journal._fd) == (None, None)


def test_a_disk_that_fails_is_a_warning_and_the_columns_go_on(tmp_path: Path):
    (tmp_path / "file").write_text("no directory")
    record = Record(INFO, Journal(tmp_path / "file" / "run.jsonl"))
    record.begin(RUN)
    record.call(call())
    record.read(read(0))
    record.end(Outcome.COMPLETE, None, end())
    assert "the run goes on in memory" in record.warning
    assert record.chunks.data == [b"data: x\n\n"]


def test_a_record_of_a_torn_file_says_so(record: Record):
    assert record.warning is None
    record.problem = "line 7, the last, was cut"
    assert record.warning == "line 7, the last, was cut"


def test_run_info_is_a_value():
    assert dataclasses.replace(INFO, model="m").model == "m"
    with pytest.raises(dataclasses.FrozenInstanceError):
        INFO.run_id = "other"


def test_what_went_wrong_beside_the_stream_is_a_warning_behind_what_is_torn(record: Record):
    record.notes.append("Your function f failed.")
    assert record.warning == "Your function f failed."
    record.notes.append("The answer of g did not get through.")
    record.problem = "line 7, the last, was cut"
    assert record.warning == ("line 7, the last, was cut Your function f failed. The answer of g did not get through.")


def test_a_note_stands_beside_a_disk_that_failed(tmp_path: Path):
    (tmp_path / "file").write_text("no directory")
    record = Record(INFO, Journal(tmp_path / "file" / "run.jsonl"))
    record.begin(RUN)
    record.notes.append("Your function f failed.")
    assert "the run goes on in memory" in record.warning
    assert record.warning.endswith(" Your function f failed.")


def test_t0_does_not_count_from_a_call_that_only_prepares(record: Record):
    launch = dataclasses.replace(call(0), setup=True)
    row = record.call(launch)
    assert (row.setup, row.stream, row.timed) == (True, True, False)
    record.reply(reply(0, t0_ns=300))
    record.end_call(900)
    assert (record.t0_ns, record.close_ns, record.end_ns) == (None, None, 900)
    assert math.isnan(record.setup_s)
    assert record.call(call(1)).timed
    record.reply(reply(1, t0_ns=1_000_000_100))
    record.end_call(2_000_000_000)
    assert (record.t0_ns, record.setup_s, record.close_ns) == (1_000_000_100, 1.0, 2_000_000_000)


def test_t0_is_that_of_the_stream_and_not_of_a_side_call(record: Record):
    record.call(call(0))
    record.reply(reply(0, t0_ns=1_000))
    row = record.call(dataclasses.replace(call(1, stream=False), side=True))
    assert (row.side, row.timed) == (True, False)
    record.reply(reply(1, t0_ns=5_000))
    assert record.t0_ns == 1_000


def test_the_end_of_a_side_call_is_written_and_is_its_own(tmp_path: Path):
    journal = Journal(tmp_path / "run.jsonl")
    record = Record(INFO, journal)
    record.begin(RUN)
    record.call(call(0))
    for n in (1, 2):
        record.call(dataclasses.replace(call(n, stream=False), side=True))
    record.done(DoneLine(1, 7_000))
    assert [row.end_ns for row in record.calls] == [None, 7_000, None]
    assert read_lines(journal.path.read_bytes()).lines[-1] == DoneLine(1, 7_000)
    record.end_call(9_000, 0)
    assert [row.end_ns for row in record.calls] == [9_000, 7_000, None]


def test_buttons_and_the_servers_clock_are_kept_with_their_event(record: Record):
    record.call(call())
    record.read(read(0))
    choices = (Choice("Yes", Prompt("Yes", reply={"id": 1})),)
    record.understood(Step((Event("delta", "a", server_ms=0), Event("step", choices=choices, server_ms=1_700)), 2))
    record.understood(Step((Event("end"),), 1))
    assert record.events.choices == {1: choices}
    assert list(record.events.server_ms) == [0, 1_700, -1]


@pytest.mark.parametrize("event", [Event("delta", "a", server_ms=2**63), Event("delta", "a", choice=2**63)])
def test_a_number_that_no_column_can_hold_is_missing(record: Record, event: Event):
    record.call(call())
    record.read(read(0))
    record.understood(Step((event,), 1))
    assert (list(record.events.server_ms), list(record.events.choice)) == ([-1], [-1])
