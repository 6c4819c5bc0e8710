from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from record_builder import T0_NS, S, delta, events_of, read, record

from streamnb import analysis, tables
from streamnb.events import Event, Outcome
from streamnb.providers import Provider
from streamnb.recording import CallRow, Record
from streamnb.shelf import Recording
from streamnb.tables import COLUMNS
from streamnb.transcript import EndLine
from streamnb.wire.frame import Frame

FROM_RECORD = {
    "events": tables.events,
    "chunks": tables.chunks,
    "calls": tables.calls,
    "citations": tables.citations,
    "runs": lambda made: tables.runs([tables.run_row(made)]),
    "frames": lambda made: tables.frames(made, [(0, Frame("x", raw=b"x"))] if len(made.chunks) else []),
}


def full_record():
    cite = Event("citation", name="T", id="c1", data={"url": "https://x.example"})
    made = record(read(0.5, delta(), Event("end", name="stop")), read(0.75, cite, wire_bytes=-1, server_t_ns=5))
    made.reached(0, {"reused": True, "connect_s": 0.25, "sent_ns": T0_NS + S, "headers_ns": T0_NS + 2 * S})
    return made


def no_record():
    return Record(record().info)


@pytest.mark.parametrize("made", [no_record(), record(), full_record()], ids=["no call", "empty", "full"])
@pytest.mark.parametrize("table", FROM_RECORD)
def test_every_table_has_the_declared_columns_and_dtypes(table, made):
    frame = FROM_RECORD[table](made)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS[table]
    assert list(frame) == list(COLUMNS[table])


def test_runs_has_its_dtypes_without_a_row():
    frame = tables.runs([])
    assert len(frame) == 0
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS["runs"]


@pytest.mark.parametrize("table", FROM_RECORD)
def test_an_empty_and_a_full_table_concatenate_without_a_change_of_dtype(table):
    both = pd.concat([FROM_RECORD[table](record()), FROM_RECORD[table](full_record())])
    assert {name: str(dtype) for name, dtype in both.dtypes.items()} == COLUMNS[table]


def test_an_event_takes_time_and_call_from_its_chunk():
    frame = events_of(read(0.5, delta("a"), delta("b")), read(0.5, call=0), read(0.75, delta("c"), call=1))
    assert frame["seq"].tolist() == [0, 1, 2]
    assert frame["chunk_seq"].tolist() == [0, 0, 2]
    assert frame["call"].tolist() == [0, 0, 1]
    assert frame["t_ns"].tolist() == [T0_NS + S // 2, T0_NS + S // 2, T0_NS + 3 * S // 4]
    assert frame["t_s"].tolist() == [0.5, 0.5, 0.75]
    assert frame["coalesced"].tolist() == [True, True, False]
    assert frame["text"].tolist() == ["a", "b", "c"]


def test_missing_values_are_missing_and_not_zero():
    made = record(read(1, Event("delta", "x")), t0=False)
    row = tables.events(made).iloc[0]
    assert row["choice"] is pd.NA
    assert row["name"] is pd.NA
    assert row["id"] is pd.NA
    assert row["data"] is pd.NA
    assert math.isnan(row["t_s"])
    assert row["flags"] == ""
    assert tables.chunks(made)["server_t_ns"].iloc[0] is pd.NA
    assert tables.chunks(made)["t_s"].isna().all()


def test_choice_zero_is_a_choice():
    frame = events_of(read(1, delta("a", choice=0), delta("b", choice=1), delta("c")))
    assert frame["choice"].tolist() == [0, 1, pd.NA]


def test_a_heartbeat_or_half_a_frame_is_still_a_chunk():
    frame = tables.chunks(record(read(0.5, data=b": ping\n\n"), read(1, delta(), data=b"\xff\x00", server_t_ns=9)))
    assert frame["n_events"].tolist() == [0, 1]
    assert frame["n_bytes"].tolist() == [8, 2]
    assert frame["data"].tolist() == [b": ping\n\n", b"\xff\x00"]
    assert frame["server_t_ns"].tolist() == [pd.NA, 9]
    assert frame["wire_bytes"].tolist() == [7, 7]
    assert frame["stamp_source"].tolist() == ["read", "read"]


def test_wire_bytes_that_nobody_saw_are_missing():
    assert tables.chunks(record(read(1, wire_bytes=-1)))["wire_bytes"].tolist() == [pd.NA]


def test_calls_count_from_their_own_t0():
    made = no_record()
    own = T0_NS + 100 * S
    made.calls += [
        CallRow(0, "startChat", stream=False, t_ns=T0_NS, connect_s=0.5),
        CallRow(1, "chat", stream=True, t_ns=T0_NS + S, status=200, t0_ns=own),
    ]
    made.reached(1, {"sent_ns": own + S // 4, "headers_ns": own + S, "reused": False})
    made.calls[1].first_byte_ns = own + 2 * S
    frame = tables.calls(made)
    assert frame["name"].tolist() == ["startChat", "chat"]
    assert frame["status"].tolist() == [pd.NA, 200]
    assert frame["reused"].tolist() == [pd.NA, False]
    assert frame.loc[0, ["sent_s", "headers_s", "first_byte_s", "dns_s"]].isna().all()
    assert frame.loc[0, "connect_s"] == 0.5
    assert frame.loc[1, ["sent_s", "headers_s", "first_byte_s"]].tolist() == [0.25, 1.0, 2.0]


def test_a_citation_says_what_the_platform_said():
    data = {"title": "Bonds", "url": "https://x.example/b", "source_type": "web_page", "at_char": 3}
    made = record(read(1, delta("hello"), Event("citation", id="c9", name="other", data=data)))
    row = tables.citations(made).iloc[0].to_dict()
    assert row == {
        "run_id": "r1",
        "seq": 1,
        "t_s": 1.0,
        "id": "c9",
        "title": "Bonds",
        "url": "https://x.example/b",
        "source_type": "web_page",
        "at_char": 3,
    }


def test_a_citation_without_an_offset_stands_after_the_deltas_before_it():
    cite = Event("citation", name="T")
    made = record(
        read(1, cite, Event("reasoning", "not counted"), delta("ab")),
        read(2, delta("cd", choice=0), delta("other answer", choice=1), cite, delta("e")),
        read(3, cite, call=1),
    )
    assert tables.citations(made)["at_char"].tolist() == [0, 4, 5]


@pytest.mark.parametrize(
    "data",
    [None, [], "x", {"title": None, "url": 5, "at_char": True}, {"at_char": "7"}, {"at_char": 2**63}, {"at_char": -1}],
)
def test_a_citation_with_odd_data_keeps_its_row_and_its_name(data):
    row = tables.citations(record(read(1, delta("ab"), Event("citation", name="T", data=data)))).iloc[0]
    assert row["title"] == "T"
    assert row["url"] is pd.NA
    assert row["at_char"] == 2


def test_a_run_row_knows_what_only_the_record_knows():
    made = full_record()
    made.end_call(T0_NS + 2 * S)
    made.end(Outcome.TRUNCATED, "cut", EndLine("truncated", "cut", {}, {}, T0_NS + 2 * S))
    row = tables.runs([tables.run_row(made)]).iloc[0]
    assert row["started_at"] == pd.Timestamp("2023-11-14T22:13:20.123456789Z")
    assert (row["outcome"], row["error"]) == ("truncated", "cut")
    assert type(row["outcome"]) is str
    assert (row["setup_s"], row["close_s"]) == (0.125, 2.0)
    assert math.isnan(row["queued_s"])
    assert (row["n_chunks"], row["n_events"], row["n_bytes"]) == (2, 3, 4)
    assert row["stamp_source"] == "read"


def test_a_running_run_has_no_outcome_and_no_close():
    row = tables.runs([tables.run_row(record())]).iloc[0]
    assert row["outcome"] is pd.NA
    assert row["stamp_source"] is pd.NA
    assert math.isnan(row["close_s"])
    assert row["n_chunks"] == 0


def test_two_sources_of_stamps_are_both_named():
    made = record(read(1, stamp="read"), read(2, stamp="chunk"))
    assert tables.run_row(made)["stamp_source"] == "chunk read"


def test_the_two_halves_of_a_run_fill_every_measured_column():
    usage = Event("usage", data={"tokens_in": 9, "tokens_out": 3})
    made = record(read(0.5, delta("ab")), read(1, Event("reasoning", "c")), read(1.5, usage), model="m")
    made.end_call(T0_NS + 2 * S)
    row = tables.run_row(made) | analysis.latency_row(tables.events(made))
    frame = tables.runs([row, {"run_id": "r2"}])
    first = frame.iloc[0]
    times = ["ttft_s", "ttfa_s", "ttfr_s", "e2e_s", "close_s", "tpot_s", "max_gap_s", "setup_s"]
    assert first[times].tolist() == [0.5, 0.5, 1.0, 1.0, 2.0, 0.25, 0.5, 0.125]
    assert first[["n_chars", "tokens_in", "tokens_out", "token_source"]].tolist() == [3, 9, 3, "server"]
    assert frame.iloc[1].drop("run_id").isna().all()
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS["runs"]


def test_a_row_may_hold_more_than_the_table():
    assert list(tables.runs([{"run_id": "a", "icl_p50_s": 1}])) == list(COLUMNS["runs"])


def test_json_that_python_writes_is_read_back():
    data = json.loads('{"score": NaN, "at_char": 1}')
    made = record(read(1, Event("citation", name="T", data=data)))
    assert tables.citations(made)["at_char"].tolist() == [1]
    assert np.isnan(json.loads(tables.events(made)["data"].iloc[0])["score"])


def test_frames_take_their_time_from_the_chunk_that_completed_them():
    made = record(read(0.5), read(1), read(2, call=1))
    found = [
        (1, Frame("a", raw=b"data: a\n\n")),
        (1, Frame("", "ping", id="7", retry=100, flags=frozenset({"no_data", "implicit"}))),
        (2, Frame("{}", "0", line=1, retry=2**63)),
    ]
    frame = tables.frames(made, found)
    assert frame["seq"].tolist() == [0, 1, 2]
    assert frame["chunk_seq"].tolist() == [1, 1, 2]
    assert frame["call"].tolist() == [0, 0, 1]
    assert frame["t_s"].tolist() == [1.0, 1.0, 2.0]
    assert frame["t_ns"].tolist() == [T0_NS + S, T0_NS + S, T0_NS + 2 * S]
    assert frame["event"].tolist() == ["message", "ping", "0"]
    assert frame["retry"].tolist() == [pd.NA, 100, pd.NA]
    assert frame["line"].tolist() == [pd.NA, pd.NA, 1]
    assert frame["raw"].tolist() == [b"data: a\n\n", b"", b""]
    assert frame["flags"].tolist() == ["", "implicit no_data", ""]


def test_a_frame_of_a_reply_without_bytes_has_no_time():
    row = tables.frames(record(read(1)), [(-1, Frame(""))]).iloc[0]
    assert row[["chunk_seq", "call", "t_ns", "t_s"]].isna().all()


def test_recordings_are_listed_with_the_declared_columns():
    listed = [Recording(Path("a.jsonl"), "a", "typebot", "bot", None, 1_700_000_000_000_000_001, "crashed", 77)]
    for found in ([], listed):
        frame = tables.recordings(iter(found))
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS["recordings"]
    row = frame.iloc[0]
    assert row[["run_id", "outcome", "n_bytes", "path"]].tolist() == ["a", "crashed", 77, "a.jsonl"]
    assert row["model"] is pd.NA
    assert row["started_at"] == pd.Timestamp("2023-11-14T22:13:20.000000001Z")


def test_the_providers_are_a_table_with_their_flags() -> None:
    from streamnb.providers import load, names

    table = tables.providers([load(name) for name in names()]).set_index("name")
    assert list(table.index) == names()
    assert "--session-id" in table.loc["typebot", "options"]
    assert table.loc["openai_chat", "key_env"] == "OPENAI_API_KEY"


def test_the_servers_own_clock_stands_beside_ours_where_it_says_something():
    made = record(read(1, delta("a"), Event("delta", "b", server_ms=1_700_000_000_250)), read(2, Event("ping")))
    frame = tables.events(made)
    assert frame["server_time"].isna().tolist() == [True, False, True]
    assert frame["server_time"].iloc[1] == pd.Timestamp("2023-11-14T22:13:20.250Z")
    assert str(frame["server_time"].dtype) == "datetime64[ns, UTC]"


def test_the_moment_zero_is_a_moment():
    made = record(read(1, Event("delta", "a", server_ms=0)))
    assert tables.events(made)["server_time"].tolist() == [pd.Timestamp(0, tz="UTC")]


def test_records_are_a_table_with_the_platforms_own_fields_in_the_order_they_were_seen():
    items = [
        Event("item", name="conversation", id="c1", data={"id": "c1", "meta": {"a": [1]}}),
        Event("item", name="conversation", id="c2", data={"id": "c2", "extra": None, "n": 2}),
        Event("delta", "no record", data={"no": "record"}),
        Event("item", name="conversation", id="c3"),
        Event("item", name="conversation", data="a bare text"),
    ]
    frame = tables.records(record(read(1, *items[:2]), read(2, *items[2:])))
    assert list(frame) == ["id", "meta", "extra", "n", "value"]
    assert frame["id"].tolist()[:2] == ["c1", "c2"]
    assert frame["meta"].iloc[0] == {"a": [1]}
    assert frame["value"].tolist()[2:] == ["a bare text"]
    assert len(frame) == 3


def test_a_list_without_records_is_an_empty_table():
    frame = tables.records(record(read(1, Event("end"))))
    assert frame.shape == (0, 0)


class Limited(Provider):
    """A provider that documents everything it can."""

    name = "limited"
    limits: ClassVar[dict[str, float]] = {"total_s": 300, "streams": 5, "idle_s": 62.5}
    lists: ClassVar[dict[str, str]] = {"conversations": "the account's conversations", "messages": "of one of them"}


class Silent(Provider):
    """One that documents nothing."""

    name = "silent"


def test_a_vendors_limits_are_told_in_words():
    assert Limited.limits_in_words() == ["5 streams at once per key", "62.5 s of silence", "300 s a stream"]
    assert Silent.limits_in_words() == []


def test_the_table_of_providers_tells_limits_and_lists_and_says_nothing_where_there_are_none():
    table = tables.providers([Limited, Silent])
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS["providers"]
    assert table["limits"].tolist() == ["5 streams at once per key; 62.5 s of silence; 300 s a stream", pd.NA]
    assert table["lists"].tolist() == ["conversations messages", pd.NA]


def test_a_column_of_records_loses_no_digit_beside_a_missing_value():
    rows = [{"n": 2**60 + 1, "ok": True, "x": 1.5, "s": "a", "o": {"k": [1]}}, {"more": 2**70}]
    frame = tables.records(record(read(1, *(Event("item", data=row) for row in rows))))
    assert frame.loc[0, "n"] == 2**60 + 1
    assert frame["n"].isna().tolist() == [False, True]
    assert [str(frame[name].dtype) for name in ("n", "ok", "x", "s", "o", "more")] == [
        *("Int64", "boolean", "float64", "string", "object", "object")
    ]
    assert frame.loc[1, "more"] == 2**70
    assert frame.loc[0, "o"] == {"k": [1]}
