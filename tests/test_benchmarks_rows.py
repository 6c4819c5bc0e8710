"""Rows of the benchmarks: how a figure is judged, and what a table says of it."""

from __future__ import annotations

import json
import math

from benchmarks.rows import Row, arguments, report


def test_a_ratio_is_judged_against_its_target():
    kept = Row("f", 2.0, "us", 20.0, "peer", 0.11, judge="ratio")
    missed = Row("f", 4.0, "us", 20.0, "peer", 0.11, judge="ratio")
    assert (kept.ratio, kept.holds, missed.holds) == (0.1, True, False)


def test_a_value_is_judged_even_when_there_is_a_baseline():
    assert Row("f", 90.0, "us", 1.0, "peer", 100).holds is True


def test_a_lower_limit_is_kept_by_more():
    assert Row("f", 3.0, "1/s", 2.0, "peer", 1.5, at_least=True, judge="ratio").holds is True
    assert Row("f", 2.9, "1/s", 2.0, "peer", 1.5, at_least=True, judge="ratio").holds is False


def test_what_was_not_measured_neither_holds_nor_misses():
    unknown = [Row("f", None, target=1), Row("f", math.nan, target=1), Row("f", 1.0, target=1, judge="ratio")]
    assert [row.holds for row in unknown] == [None, None, None]
    assert all("not measured" in str(row) for row in unknown)


def test_the_file_has_the_rows_and_the_table_their_verdicts(tmp_path, capsys):
    file = tmp_path / "rows.json"
    rows = [Row("kept", 1.0, "us", 2.0, "peer", 0.6, judge="ratio", hard=True), Row("gone", math.nan, "us", target=1)]
    report(rows, file, "two rounds")
    printed = capsys.readouterr().out
    assert "two rounds" in printed
    assert "0.5 x peer" in printed
    assert "<= 0.6: holds, hard" in printed
    assert [(one["figure"], one["value"], one["holds"]) for one in json.loads(file.read_text())] == [
        ("kept", 1.0, True),
        ("gone", None, None),
    ]


def test_every_benchmark_has_the_same_options(tmp_path):
    asked = arguments("about", 5).parse_args(["--quick", "--json", str(tmp_path / "x")])
    assert (asked.quick, asked.rounds, asked.json) == (True, 5, tmp_path / "x")
