from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from exchange_tables import awkward, objects

from streamnb import exchange
from streamnb.tables import COLUMNS


def rows_of(frame: pd.DataFrame, tmp_path: Path, **more) -> list[list[str]]:
    data = exchange.write_csv(frame, tmp_path / "x.csv", overwrite=True, **more).read_bytes()
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\0=1",
    "  =1",
    "\u00a0=1",
    "\n-1",
    "\uff1d1",
    "\uff0b1",
    "=HYPERLINK(1)",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula(text: str, tmp_path: Path):
    frame = pd.DataFrame({text: [text], "b": objects(text.encode())})
    assert rows_of(frame, tmp_path) == [["'" + text, "b"], ["'" + text] * 2]
    assert rows_of(frame, tmp_path, safe=False) == [[text, "b"], [text] * 2]


@pytest.mark.parametrize("text", ["", "a=1", "1-1", "'=1", "{}", "\u2212 1", "a\r\n=1"])
def test_other_texts_stay_as_they_are(text: str, tmp_path: Path):
    assert rows_of(pd.DataFrame({"a": [text], "b": [1]}), tmp_path) == [["a", "b"], [text, "1"]]


def test_numbers_stay_numbers_and_missing_values_are_nothing(tmp_path: Path):
    frame = pd.DataFrame(
        {
            "int": [-1, 2],
            "nullable": pd.Series([-(2**63), None], dtype="Int64"),
            "float": [-0.5, float("nan")],
            "flag": pd.Series([True, None], dtype="boolean"),
            "moment": pd.Series([pd.Timestamp(1, tz="UTC"), pd.NaT]),
            "text": pd.Series(["x", None], dtype="string"),
            "object": objects({"a": ["\u00fc"]}, None),
        }
    )
    assert rows_of(frame, tmp_path)[1:] == [
        ["-1", str(-(2**63)), "-0.5", "True", "1970-01-01T00:00:00.000000001+00:00", "x", '{"a": ["\u00fc"]}'],
        ["2", "", "", "", "", "", ""],
    ]


def test_bytes_are_text_where_they_are_utf8(tmp_path: Path):
    frame = pd.DataFrame({"data": objects(b"data: \xc3\xa9\n\n", b"\xff")})
    assert rows_of(frame, tmp_path)[1:] == [["data: \u00e9\n\n"], ['{"base64": "/w=="}']]


def test_a_value_of_another_type_is_shown_and_is_no_formula_either(tmp_path: Path):
    class Odd:
        def __str__(self) -> str:
            return "=1"

    assert rows_of(pd.DataFrame({"a": objects((1, 2), Odd())}), tmp_path)[1:] == [["(1, 2)"], ["'=1"]]


def test_half_a_character_is_shown_as_its_escape(tmp_path: Path):
    assert rows_of(pd.DataFrame({"a": objects("x\ud83d")}), tmp_path)[1:] == [[r"x\ud83d"]]


@pytest.mark.parametrize("table", COLUMNS)
def test_every_declared_table_has_its_rows_in_csv(table: str, tmp_path: Path):
    rows = rows_of(awkward(table), tmp_path)
    assert rows[0] == list(COLUMNS[table])
    assert [len(row) for row in rows] == [len(COLUMNS[table])] * 21
    assert rows_of(awkward(table, 0), tmp_path) == [list(COLUMNS[table])]


def test_the_index_is_left_out(tmp_path: Path):
    assert rows_of(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), tmp_path) == [["a"], ["1"], ["2"]]
