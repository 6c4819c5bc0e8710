"""The capture benchmark: small real measurements, and the table made of them."""

from __future__ import annotations

import sys

import pytest

from benchmarks import capture, cells, load
from benchmarks.cells import Cell, Result

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads another process's CPU clock, as Linux does")


@pytest.fixture(scope="module")
def server():
    with load.serving() as running:
        yield running


@linux
@pytest.mark.parametrize("stack", ["streamnb-deferred", "httpx-sse"])
def test_a_measurement_has_cost_and_lag(server, stack, monkeypatch):
    monkeypatch.setattr(cells, "WINDOWS_MS", dict.fromkeys(cells.WINDOWS_MS, (50, 1000, 100)))
    result = cells.measured(Cell(stack, "lock"), server, quick=True)
    assert set(result.notes) <= {cells.LOUD}
    assert 0 < result.cpu_us < 100_000
    assert 0 <= result.p50_us <= result.p99_us
    assert result.core >= 0


@linux
def test_bias_is_measured_over_all_streams_also_under_a_busy_main_thread(server, monkeypatch):
    monkeypatch.setattr(cells, "WINDOWS_MS", dict.fromkeys(cells.WINDOWS_MS, (0, 1500, 1500)))
    result = cells.measured(Cell("streamnb", "ttft", 3, busy=True), server, quick=True)
    assert set(result.notes) <= {cells.LOUD}
    assert abs(result.ttft_bias_ms) <= abs(result.ttft_bias_worst_ms)


def test_without_tls_or_lock_there_is_a_reason_instead_of_a_figure(server):
    assert "TLS" in cells.measured(Cell("raw", "lock", tls=True), None, quick=True).notes[0]
    blind = load.Server.__new__(load.Server)
    blind.lock = False
    assert "has not read" in cells.measured(Cell("raw", "lock"), blind, quick=True).notes[0]


def test_the_table_compares_medians_and_judges_every_target_of_the_issue():
    plan = capture.PLAN
    found = {cell: [Result(cpu_us=us, core=0.2, p50_us=1, p99_us=9, foreign=0.1) for us in (1, 9, 2)] for cell in plan}
    rows = capture.rows_of(capture.Figures(found))
    judged = [row for row in rows if row.target is not None]
    assert len([row for row in judged if row.hard]) == 7
    assert len(judged) == 14
    assert {row.value for row in rows if row.figure.startswith("CPU per event")} == {2}
    assert next(row for row in judged if row.target == 1.6).ratio == 1
    assert next(row for row in judged if row.figure.startswith("TTFT")).holds is None


def test_a_figure_that_cannot_be_had_says_why_in_its_row():
    found = {
        cell: [Result(notes=("httptools is not installed",) if cell.stack == "raw" else ())] for cell in capture.PLAN
    }
    rows = capture.rows_of(capture.Figures(found))
    assert "httptools is not installed" in next(row for row in rows if row.target == 1.6).note
    assert {row.holds for row in rows} == {None}
