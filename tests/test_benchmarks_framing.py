"""The framing benchmark at its smallest."""

from __future__ import annotations

import pytest

from benchmarks import framing


def test_each_reader_finds_every_event_however_the_stream_is_cut():
    rows = framing.collect(20, 1)
    assert len(rows) == 3 * (len(framing.SSE) + len(framing.LINES))
    assert all(row.value is None or row.value > 0 for row in rows)
    judged = [row for row in rows if row.target is not None]
    assert {row.figure.split(",")[0] for row in judged} == {"SSEFramer"}
    assert len(judged) == 4
    assert all(row.at_least and row.beside == "httpx-sse" for row in judged)


def test_a_reader_that_loses_events_ends_the_benchmark():
    with pytest.raises(SystemExit, match="blind read 0 of 5"):
        framing.measure({"blind": lambda _: 0}, [], 5, 1)


def test_a_package_that_is_not_there_gives_a_row_with_the_reason():
    def absent(_chunks):
        raise ImportError

    times = framing.measure({"httpx-sse": absent, "SSEFramer, strict": lambda _: 5}, [], 5, 1)
    rows = framing.rows_of("one way", times, 1.5)
    assert rows[0].note
    assert [row.holds for row in rows] == [None, None]
