from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exchange_tables import APART, HALF, JOINED, awkward, objects
from pandas.testing import assert_frame_equal

from streamnb import exchange
from streamnb.errors import TranscriptError
from streamnb.exchange import _parquet
from streamnb.tables import COLUMNS

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def written(frame: pd.DataFrame, directory: Path, name: str = "mine") -> Any:
    """A table as any reader of Parquet sees it."""
    (path,) = exchange.write_parquet({name: frame}, directory, overwrite=True)
    return pq.ParquetFile(path).read()


def said_by(table: Any) -> dict[str, Any]:
    return json.loads(table.schema.metadata[b"streamnb"])


# -- what other readers see --------------------------------------------------------------------------------------------


def test_other_readers_see_plain_types(tmp_path: Path):
    table = written(awkward("events"), tmp_path, "events")
    kinds = {"string": "string", "int64": "int64", "Int64": "int64", "float64": "double", "boolean": "bool"}
    kinds["datetime64[ns, UTC]"] = "timestamp[ns, tz=UTC]"
    assert {field.name: str(field.type) for field in table.schema} == {
        name: kinds[dtype] for name, dtype in COLUMNS["events"].items()
    }
    assert written(awkward("chunks"), tmp_path, "chunks").schema.field("data").type == pa.binary()


def test_a_missing_number_is_null_and_not_nan(tmp_path: Path):
    table = written(pd.DataFrame({"a": [1.5, float("nan")]}), tmp_path)
    assert table["a"].to_pylist() == [1.5, None]


def test_the_file_is_compressed_with_zstd(tmp_path: Path):
    (path,) = exchange.write_parquet({"mine": pd.DataFrame({"a": ["x"]})}, tmp_path)
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


def test_other_readers_see_readable_text(tmp_path: Path):
    whole = pd.DataFrame({"t": objects(f"a{JOINED}", r"\ud83d", None)})
    table = written(whole, tmp_path)
    assert table["t"].to_pylist() == [f"a{JOINED}", r"\ud83d", None]
    assert said_by(table)["escaped"] == []
    table = written(pd.concat([whole, pd.DataFrame({"t": objects(f"b{HALF}", APART)})], ignore_index=True), tmp_path)
    assert table["t"].to_pylist() == [f"a{JOINED}", r"\\ud83d", None, r"b\ud83d", r"\ud83d\ude00"]
    assert said_by(table)["escaped"] == ["t"]


def test_nested_values_are_json_text(tmp_path: Path):
    table = written(pd.DataFrame({"a": objects({"x": ["\u00fc", HALF]}, None, float("nan"))}), tmp_path)
    assert table["a"].to_pylist() == ['{"x":["\u00fc","\\ud83d"]}', "null", None]
    assert said_by(table)["columns"] == [["a", "object", "json", "None"]]


def test_a_text_that_stands_many_times_is_one_object(tmp_path: Path):
    frame = pd.DataFrame({"t": pd.Series(["long" * 1000] * 50_000, dtype=pd.StringDtype("python"))})
    (path,) = exchange.write_parquet({"mine": frame}, tmp_path)
    assert path.stat().st_size < 100_000  # of 200 MB
    found = exchange.read_parquet(tmp_path)["mine"]["t"]
    assert_frame_equal(found.to_frame(), frame)
    assert len({id(text) for text in found}) == 1


def test_a_table_of_several_row_groups_comes_back_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_parquet, "_ROWS_OF_A_GROUP", 7)
    frame = awkward("frames", 20)
    (path,) = exchange.write_parquet({"frames": frame}, tmp_path)
    assert pq.read_metadata(path).num_row_groups == 3
    assert_frame_equal(exchange.read_parquet(tmp_path)["frames"], frame, check_exact=True)


# -- files from anywhere -----------------------------------------------------------------------------------------------


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    (path,) = exchange.write_parquet({"calls": awkward("calls")}, tmp_path)
    return path


def refused(path: Path, problem: str) -> None:
    with pytest.raises(TranscriptError, match=rf"{path.stem}\.parquet: {problem}"):
        exchange.read_parquet(path.parent)


def rewrite(path: Path, change, **more) -> None:
    """The file again, its table changed, what streamnb says of it kept."""
    table = pq.ParquetFile(path).read()
    changed = change(table)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path, **more)


def test_a_column_more_is_named(calls: Path):
    rewrite(calls, lambda table: table.append_column("note", pa.array(["x"] * table.num_rows)))
    refused(calls, "column 'note' does not belong to this table")


def test_a_column_less_is_named(calls: Path):
    rewrite(calls, lambda table: table.drop_columns(["n"]))
    refused(calls, "it has no column 'n'")


def test_a_column_that_the_table_got_later_is_missing_in_an_older_file(calls: Path):
    before = exchange.read_parquet(calls.parent)["calls"]
    rewrite(calls, lambda table: table.drop_columns(["status", "dns_s", "reused"]))
    found = exchange.read_parquet(calls.parent)["calls"]
    assert list(found.dtypes) == list(before.dtypes)
    assert found[["status", "dns_s", "reused"]].isna().all(axis=None)
    assert_frame_equal(found[["n", "name", "tls_s"]], before[["n", "name", "tls_s"]])


def test_a_column_twice_is_named(calls: Path):
    rewrite(calls, lambda table: table.append_column("n", table["n"]))
    refused(calls, "it has no column 'n', or has it twice")


@pytest.mark.parametrize(
    ("column", "kind"), [("n", "double"), ("status", "int32"), ("name", "large_string"), ("dns_s", "float")]
)
def test_a_column_of_another_type_is_named(column: str, kind: str, calls: Path):
    values = pa.nulls(20, kind).fill_null(pa.scalar(1).cast(kind))
    rewrite(calls, lambda table: table.set_column(table.schema.names.index(column), column, values))
    refused(calls, f"column '{column}' holds {kind}, not")


def test_an_extension_type_is_never_made(calls: Path):
    values = pa.array(["{}"] * 20, pa.json_()) if hasattr(pa, "json_") else pytest.skip("a newer pyarrow has one")
    rewrite(calls, lambda table: table.set_column(table.schema.names.index("name"), "name", values))
    refused(calls, r"column 'name' holds extension<arrow\.json>, not string")


def test_a_missing_value_where_none_may_be_is_named(calls: Path):
    rewrite(calls, lambda table: table.set_column(1, "n", pa.nulls(20, pa.int64())))
    refused(calls, "a value of column 'n' is missing")


def test_the_order_of_columns_is_ours_again(calls: Path):
    wanted = exchange.read_parquet(calls.parent)["calls"]
    rewrite(calls, lambda table: table.select(table.schema.names[::-1]))
    assert_frame_equal(exchange.read_parquet(calls.parent)["calls"], wanted)


def test_a_file_of_another_writer_is_named(tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "calls.parquet")
    refused(tmp_path / "calls.parquet", "it was not written by streamnb")
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"other": "x"}), tmp_path / "calls.parquet")
    refused(tmp_path / "calls.parquet", "it was not written by streamnb")


@pytest.mark.parametrize("said", [b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_description_is_named(said: bytes, tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"streamnb": said}), tmp_path / "calls.parquet")
    refused(tmp_path / "calls.parquet", "what streamnb wrote about it is damaged")


@pytest.mark.parametrize("said", ["[]", "null", '{"format":1,"table":"runs","rows":1}'])
def test_a_description_of_something_else_is_named(said: str, tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"streamnb": said}), tmp_path / "calls.parquet")
    refused(tmp_path / "calls.parquet", "it does not say that it is the table 'calls'")


def test_a_renamed_file_is_named(calls: Path):
    calls.rename(calls.with_name("runs.parquet"))
    refused(calls.with_name("runs.parquet"), "it does not say that it is the table 'runs'")


@pytest.mark.parametrize("escaped", [None, "name", ["n"], ["names"], [["name"]]])
def test_an_odd_note_on_escapes_is_named(escaped: Any, calls: Path):
    table = pq.ParquetFile(calls).read()
    mark = json.dumps({**said_by(table), "escaped": escaped})
    pq.write_table(table.replace_schema_metadata({"streamnb": mark}), calls)
    refused(calls, "what streamnb wrote about it is damaged")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 5000])
def test_json_text_that_is_none_is_named(text: str, tmp_path: Path):
    (path,) = exchange.write_parquet({"mine": pd.DataFrame({"a": objects({})})}, tmp_path)
    rewrite(path, lambda _: pa.table({"a": [text]}))
    refused(path, "a value of column 'a' is not JSON")


def test_text_that_is_not_utf8_is_named(calls: Path):
    table = pq.ParquetFile(calls).read()
    bad = pa.array([b"\xff"] * 20).view(pa.string())
    pq.write_table(table.set_column(2, "name", bad), calls)
    refused(calls, ".*Invalid UTF8 sequence")


def test_more_rows_or_bytes_than_are_written_are_not_read(calls: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(_parquet, "MAX_ROWS", 19)
        refused(calls, "20 rows of .* are more than such a file may hold")
    monkeypatch.setattr(_parquet, "MAX_BYTES", 100)
    refused(calls, "20 rows of .* are more than such a file may hold")


def test_a_small_file_of_much_json_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frame = pd.DataFrame({"a": objects(*[["x" * 1000]] * 100)})
    (path,) = exchange.write_parquet({"mine": frame}, tmp_path)
    monkeypatch.setattr(_parquet, "MAX_BYTES", 50_000)
    refused(path, r"column 'a' is longer than it may be \(50000\)")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "calls.parquet").mkdir()
    refused(tmp_path / "calls.parquet", ".*Is a directory")


def test_a_file_cut_anywhere_is_an_error(calls: Path):
    data = calls.read_bytes()
    for end in range(0, len(data), 7):
        calls.write_bytes(data[:end])
        refused(calls, "")


def test_an_altered_file_never_passes_for_whole(calls: Path):
    wanted = exchange.read_parquet(calls.parent)["calls"]
    data = calls.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    chosen = random.Random(4)
    for _ in range(300):  # in the pages: their checksums tell
        altered = bytearray(data)
        altered[chosen.randrange(4, footer)] ^= 1 << chosen.randrange(8)
        calls.write_bytes(altered)
        try:
            found = exchange.read_parquet(calls.parent)["calls"]
        except TranscriptError as error:
            assert str(error).startswith(f"{calls}: ")  # noqa: PT017
        else:
            assert_frame_equal(found, wanted)
