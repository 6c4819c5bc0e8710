"""The benchmark of the tables at its smallest: real processes, few events."""

from __future__ import annotations

from benchmarks import tables


def test_both_ways_hold_the_same_events():
    from streamnb import tables as ours

    frame = ours.events(tables.recorded(5, raw=True))
    rows = tables.listed(5, raw=True)
    assert frame["text"].tolist() == [row["text"] for row in rows]
    assert frame["seq"].tolist() == [row["seq"] for row in rows]
    assert frame["kind"].tolist() == [row["kind"] for row in rows]


def test_a_small_run_fills_every_row():
    found = tables.collect(1_000, (500, 1_000), 1, raw=False)
    rows = tables.rows_of(found, 1_000)
    assert all(row.value is not None and row.value >= 0 for row in rows)
    assert [row.target for row in rows if row.target is not None] == [0.05, 0.25]


def test_a_size_that_memory_does_not_allow_is_said_so(monkeypatch):
    monkeypatch.setattr(tables, "_free_bytes", lambda: 0)
    monkeypatch.setattr(tables, "measured", lambda _way, _n, *, raw: {"fill_s": 1, "frame_s": 1, "mib": 1})
    rows = tables.rows_of(tables.collect(10, (10, 20), 1, raw=False), 10)
    assert "too little free memory" in rows[-1].note
