from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from exchange_tables import HALF, awkward, objects
from exchange_tables import OWN as OWN_TABLES
from pandas.testing import assert_frame_equal

from streamnb import exchange
from streamnb.errors import TranscriptError, UsageError
from streamnb.exchange import _jsonl
from streamnb.tables import build

CALLS = build(
    "calls",
    {
        "run_id": ["r"],
        "n": [0],
        "name": [None],
        "status": [200],
        "dns_s": [None],
        "connect_s": [0.25],
        "tls_s": [float("inf")],
        "sent_s": [0.5],
        "headers_s": [0.5],
        "first_byte_s": [1.0],
        "reused": [None],
        "transport": ["direct"],
        "paused_s": [0.0],
    },
)
LINE = (
    '{"run_id":"r","n":0,"name":null,"status":200,"dns_s":null,"connect_s":0.25,"tls_s":"inf",'
    '"sent_s":0.5,"headers_s":0.5,"first_byte_s":1.0,"reused":null,'
    '"transport":"direct","paused_s":0.0}\n'
)


def write(directory: Path, **change) -> Path:
    path = directory / "calls.jsonl"
    path.write_text(json.dumps({**json.loads(LINE), **change}) + "\n")
    return path


def test_a_row_is_a_line_that_can_be_read(tmp_path: Path):
    exchange.write_jsonl({"calls": CALLS}, tmp_path)
    assert (tmp_path / "calls.jsonl").read_text() == LINE


def test_a_line_is_ascii_and_ends_only_where_the_row_ends(tmp_path: Path):
    exchange.write_jsonl({"events": awkward("events")}, tmp_path)
    data = (tmp_path / "events.jsonl").read_bytes()
    assert data.isascii()
    assert b"\\u2028" in data
    assert len(data.decode().splitlines()) == data.count(b"\n") == 20


def test_bytes_are_text_or_base64_and_halves_stand_escaped(tmp_path: Path):
    frame = pd.DataFrame({"b": objects("\u00e9".encode(), b"\xff"), "t": objects("a", HALF), "j": objects({}, [HALF])})
    exchange.write_jsonl({"mine": frame}, tmp_path)
    assert (tmp_path / "mine.jsonl").read_text().splitlines() == [
        r'{"b":"\u00e9","t":"a","j":{}}',
        r'{"b":{"base64":"/w=="},"t":{"escaped":"\\ud83d"},"j":{"escaped":"[\"\\ud83d\"]"}}',
    ]


def test_no_file_has_half_a_character_as_json_writes_it(tmp_path: Path):
    for path in exchange.write_jsonl({"events": awkward("events"), "halves": OWN_TABLES["halves"]}, tmp_path):
        for line in path.read_text().splitlines():
            json.dumps(json.loads(line), ensure_ascii=False).encode()  # a lone half would raise


def test_nested_values_are_json_and_what_is_missing_is_left_out(tmp_path: Path):
    frame = pd.DataFrame({"a": objects({"x": [1]}, None, float("nan")), "n": [1, 2, 3]})
    exchange.write_jsonl({"mine": frame}, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "mine.jsonl").read_text().splitlines()]
    assert rows == [{"a": {"x": [1]}, "n": 1}, {"a": None, "n": 2}, {"n": 3}]


def test_a_line_another_tool_wrote_is_read(tmp_path: Path):
    (tmp_path / "calls.jsonl").write_bytes(
        LINE.replace("0.5", "5e-1").replace("1.0", "1").replace(":", " : ").encode().replace(b"\n", b"\r\n")
    )
    assert_frame_equal(exchange.read_jsonl(tmp_path)["calls"], CALLS)


def test_a_row_longer_than_one_is_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_jsonl, "MAX_LINE", len(LINE) - 1)
    with pytest.raises(UsageError, match="calls: row 0 is longer than a line may be"):
        exchange.write_jsonl({"calls": CALLS}, tmp_path)
    (tmp_path / "calls.jsonl").write_text(LINE + LINE)
    monkeypatch.setattr(_jsonl, "MAX_LINE", len(LINE) - 2)
    with pytest.raises(TranscriptError, match=r"calls\.jsonl: line 1: it is torn"):
        exchange.read_jsonl(tmp_path)


def test_more_rows_than_are_written_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "calls.jsonl").write_text(LINE * 3)
    monkeypatch.setattr(_jsonl, "MAX_ROWS", 2)
    with pytest.raises(TranscriptError, match=r"calls\.jsonl: line 3: .*one too many"):
        exchange.read_jsonl(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (LINE[:-1], "line 2: it is torn"),
        (LINE[:40] + "\n", "line 2: this is not a whole line of JSON"),
        ("\n", "line 2: this is not a whole line of JSON"),
        ("[" * 100_000 + "\n", "line 2: this is not a whole line of JSON"),
        ("1" * 5000 + "\n", "line 2: this is not a whole line of JSON"),
        ("[]\n", "line 2: this is JSON, but no row of a table"),
        (LINE.replace('"n":0,', ""), "line 2: it has no column 'n'"),
        (LINE.replace('"n":0', '"n":0,"m":1'), "line 2: column 'm' does not belong to this table"),
    ],
)
def test_a_line_that_is_no_row_is_named(line: str, problem: str, tmp_path: Path):
    (tmp_path / "calls.jsonl").write_text(LINE + line)
    with pytest.raises(TranscriptError, match=rf"calls\.jsonl: {problem}"):
        exchange.read_jsonl(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "dtype"),
    [
        ("run_id", 1, "string"),
        ("run_id", {"escaped": 1}, "string"),
        ("n", None, "int64"),
        ("n", "1", "int64"),
        ("n", True, "int64"),
        ("n", 1.0, "int64"),
        ("n", 2**63, "int64"),
        ("status", -(2**63) - 1, "Int64"),
        ("tls_s", "0.5", "float64"),
        ("tls_s", True, "float64"),
        ("tls_s", [1], "float64"),
        ("tls_s", 10**400, "float64"),
        ("reused", 1, "boolean"),
    ],
)
def test_a_value_of_another_type_is_named(column: str, value, dtype: str, tmp_path: Path):
    write(tmp_path, **{column: value})
    with pytest.raises(TranscriptError, match=rf"calls\.jsonl: line 1: the value of column '{column}' is not {dtype}"):
        exchange.read_jsonl(tmp_path)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("chunks", "data", 1),
        ("chunks", "data", {"base64": "/"}),
        ("chunks", "data", {"base64": "/w==\n"}),
        ("chunks", "data", HALF),
        ("runs", "started_at", 1),
        ("runs", "started_at", "now"),
        ("runs", "started_at", "2026-01-01"),
        ("runs", "started_at", "2026-13-01T00:00:00+00:00"),
        ("runs", "started_at", "9999-01-01T00:00:00+00:00"),
        ("runs", "started_at", "2026-01-01T00:00:00+01:00"),
    ],
)
def test_bytes_and_moments_are_read_strictly(table: str, column: str, value, tmp_path: Path):
    (path, *_) = exchange.write_jsonl({table: awkward(table, 1)}, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), column: value}) + "\n")
    with pytest.raises(TranscriptError, match=rf"{table}\.jsonl: line 1: the value of column '{column}' is not"):
        exchange.read_jsonl(tmp_path)


@pytest.mark.parametrize("value", [-1, 2**64, True, None, 1.0])
def test_an_unsigned_number_is_read_strictly(value, tmp_path: Path):
    exchange.write_jsonl({"mine": pd.DataFrame({"a": pd.Series([2**64 - 1], dtype="uint64")})}, tmp_path)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"a": value}) + "\n")
    with pytest.raises(TranscriptError, match="the value of column 'a' is not uint64"):
        exchange.read_jsonl(tmp_path)


@pytest.mark.parametrize("value", [{"escaped": 1}, {"escaped": "{"}, {"escaped": "[" * 100_000}])
def test_an_escaped_json_value_is_read_strictly(value, tmp_path: Path):
    exchange.write_jsonl({"mine": pd.DataFrame({"a": objects([])})}, tmp_path)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"a": value}) + "\n")
    with pytest.raises(TranscriptError, match="the value of column 'a' is not object"):
        exchange.read_jsonl(tmp_path)


OWN = {"format": 1, "table": "mine", "rows": 1, "labels": "object", "columns": [["a", "int64", "int", "None"]]}


def read_described(directory: Path, description: object) -> pd.DataFrame:
    (directory / "mine.jsonl").write_text('{"a":1}\n')
    (directory / "mine.columns.json").write_text(json.dumps(description))
    return exchange.read_jsonl(directory)["mine"]


def test_a_table_of_ones_own_is_described_in_a_file_beside_it(tmp_path: Path):
    exchange.write_jsonl({"mine": pd.DataFrame({"a": [1]})}, tmp_path)
    said = json.loads((tmp_path / "mine.columns.json").read_bytes())
    assert said == {**OWN, "labels": said["labels"]}
    assert read_described(tmp_path, OWN)["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 2}, "format 2 is newer than this streamnb reads"),
        ({"format": 0}, "does not say that it is the table 'mine'"),
        ({"table": "other"}, "does not say that it is the table 'mine'"),
        ({"rows": -1}, "does not say that it is the table 'mine'"),
        ({"labels": "category"}, "its columns are not described"),
        ({"labels": "int64"}, "its columns are not described"),
        ({"columns": None}, "its columns are not described"),
        ({"columns": [["a", "int64", "int", "None"]] * 2}, "a column is described twice"),
        ({"columns": [["a", "int64", "text", "None"]]}, "this column is not described"),
        ({"columns": [["a", "object", "pickle", "None"]]}, "this column is not described"),
        ({"columns": [["a", "object", "text", "NaT"]]}, "this column is not described"),
        ({"columns": [["a", "int64"]]}, "this column is not described"),
    ],
)
def test_a_description_that_is_not_ours_is_named(change, problem: str, tmp_path: Path):
    with pytest.raises(TranscriptError, match=rf"mine\.columns\.json: .*{problem}"):
        read_described(tmp_path, {**OWN, **change})


def test_a_description_that_is_missing_or_damaged_is_named(tmp_path: Path):
    with pytest.raises(TranscriptError, match=r"mine\.columns\.json: it does not say"):
        read_described(tmp_path, [])
    (tmp_path / "mine.columns.json").write_bytes(b"\xff{")
    with pytest.raises(TranscriptError, match=r"mine\.columns\.json: this is not JSON"):
        exchange.read_jsonl(tmp_path)
    (tmp_path / "mine.columns.json").unlink()
    with pytest.raises(TranscriptError, match=r"mine\.columns\.json, which describes its columns: No such file"):
        exchange.read_jsonl(tmp_path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "calls.jsonl").mkdir()
    with pytest.raises(TranscriptError, match=r"calls\.jsonl: Is a directory"):
        exchange.read_jsonl(tmp_path)


def test_a_column_that_the_table_got_later_is_missing_in_an_older_file(tmp_path: Path):
    older = {key: value for key, value in json.loads(LINE).items() if key not in {"status", "reused", "connect_s"}}
    (tmp_path / "calls.jsonl").write_text(json.dumps(older) + "\n")
    found = exchange.read_jsonl(tmp_path)["calls"]
    assert list(found.dtypes) == list(CALLS.dtypes)
    assert found[["status", "reused", "connect_s"]].isna().all(axis=None)
    assert_frame_equal(found[["n", "tls_s"]], CALLS[["n", "tls_s"]])
