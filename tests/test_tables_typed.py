from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from record_builder import T0_NS, S, append, delta, events_of, read, record

from streamnb import tables
from streamnb.tables import arrow
from streamnb.tables.typed import is_count, wall_clock


def test_seconds_stay_exact_after_half_a_year_of_uptime():
    made = record(read(0.25, delta()))
    made.calls[0].t0_ns = 15_000_000 * S + 1
    made.chunks.t_ns[0] = made.calls[0].t0_ns + 1
    assert tables.events(made)["t_s"].tolist() == [1e-9]


def test_the_reader_may_append_after_a_table_was_made():
    made = record(read(1, delta("a")))
    frames = [tables.events(made), tables.chunks(made), tables.citations(made)]
    append(made, read(2, delta("b")))
    assert [len(frame) for frame in frames] == [1, 1, 0]
    assert len(tables.events(made)) == 2


def test_changing_a_table_does_not_change_the_record():
    made = record(read(1, delta("a")))
    for make, column in ((tables.events, "chunk_seq"), (tables.chunks, "t_ns")):
        frame = make(made)
        frame.loc[0, column] = 77
        assert make(made).loc[0, column] != 77


def test_a_row_that_is_being_written_is_left_out():
    made = record(read(1, delta("a")))
    made.chunks.call.append(0)
    made.chunks.t_ns.append(T0_NS + 2 * S)
    made.events.kind.append("delta")
    made.events.text.append("half a row")
    assert len(tables.events(made)) == 1
    assert len(tables.chunks(made)) == 1


def test_tables_can_be_made_while_another_thread_reads():
    made = record()
    thread = threading.Thread(target=lambda: [append(made, read(n, delta("a"), delta("b"))) for n in range(3000)])
    thread.start()  # a BufferError in it becomes a warning, and warnings are errors
    while thread.is_alive():
        events, chunks = tables.events(made), tables.chunks(made)
        assert len(events) <= 2 * (len(chunks) + 1)
        assert events["t_ns"].is_monotonic_increasing
    thread.join()
    assert len(tables.events(made)) == 6000


@pytest.mark.parametrize("there", [True, False], ids=["pyarrow", "no pyarrow"])
def test_a_record_and_its_table_take_bounded_memory_per_event(there, monkeypatch):
    monkeypatch.setattr(arrow, "THERE", there)
    n, piece = 200_000, delta("word ")
    tracemalloc.start()
    made = record()
    made.take(0, T0_NS, None, 1, 0, b"x")
    for _ in range(n):
        made.events.append(0, piece)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    frame = tables.events(made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(frame) == n
    assert frame["coalesced"].all()
    assert kept < 40 * n
    assert peak - kept < (150 if there else 500) * n


def test_half_a_surrogate_pair_is_a_legal_delta():
    frame = events_of(read(1, delta("\ud83d"), delta("\ude00")))
    assert frame["text"].tolist() == ["\ud83d", "\ude00"]
    assert str(frame["text"].dtype.storage) == "python"


@pytest.mark.parametrize("value", [0, 1, 2**63 - 1])
def test_a_count_is_a_whole_number_a_column_can_hold(value):
    assert is_count(value)


@pytest.mark.parametrize("value", [None, True, False, -1, 2**63, 1.0, "1", [1]])
def test_anything_else_is_no_count(value):
    assert not is_count(value)


LAST_MS = (2**63 - 1) // 1_000_000


def test_milliseconds_of_a_wall_clock_are_moments_and_what_is_negative_is_missing():
    found = wall_clock(np.array([0, -1, 1_700_000_000_123], dtype="int64"))
    assert str(found.dtype) == "datetime64[ns, UTC]"
    assert found.tolist() == [
        pd.Timestamp("1970-01-01T00:00:00Z"),
        pd.NaT,
        pd.Timestamp("2023-11-14T22:13:20.123Z"),
    ]


@pytest.mark.parametrize("ms", [-1, -(2**63), LAST_MS, LAST_MS + 1, 2**63 - 1])
def test_a_moment_that_nanoseconds_cannot_count_is_missing(ms: int):
    found = wall_clock(np.array([ms, 5], dtype="int64"))
    assert found.isna().tolist() == [True, False]
    assert found[1] == pd.Timestamp(5, unit="ms", tz="UTC")


def test_the_last_moment_that_can_be_counted_is_kept():
    (moment,) = wall_clock(np.array([LAST_MS - 1], dtype="int64"))
    assert moment.value == (LAST_MS - 1) * 1_000_000


def test_no_moments_are_an_empty_column_of_the_same_type():
    assert str(wall_clock(np.array([], dtype="int64")).dtype) == "datetime64[ns, UTC]"
