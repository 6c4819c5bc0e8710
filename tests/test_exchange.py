from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import exchange_tables
import pandas as pd
import pytest
from exchange_tables import OWN, declared, objects
from pandas.testing import assert_frame_equal
from record_builder import delta, read, record

from streamnb import exchange, tables
from streamnb.errors import TranscriptError, UsageError
from streamnb.events import Event
from streamnb.exchange import _shape
from streamnb.tables import COLUMNS

FORMATS = {
    ".parquet": (exchange.write_parquet, exchange.read_parquet),
    ".jsonl": (exchange.write_jsonl, exchange.read_jsonl),
}
PLAIN = pd.DataFrame({"a": [1, 2]})


@pytest.fixture(params=FORMATS)
def suffix(request: pytest.FixtureRequest) -> str:
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return str(request.param)


def there_and_back(frames, directory, suffix):
    write, read_back = FORMATS[suffix]
    write(frames, directory)
    return read_back(directory)


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, frame in wanted.items():
        assert_frame_equal(found[name], frame, check_exact=True, check_index_type="equiv", obj=name)
        storages = [[getattr(dtype, "storage", None) for dtype in one.dtypes] for one in (found[name], frame)]
        assert storages[0] == storages[1]


# -- equal frames ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [0, 1, 20])
def test_every_declared_table_comes_back_equal(n_rows: int, suffix: str, tmp_path: Path):
    wanted = declared(n_rows)
    assert_same(there_and_back(wanted, tmp_path, suffix), wanted)


@pytest.mark.parametrize("name", OWN)
def test_a_table_of_the_users_own_comes_back_equal(name: str, suffix: str, tmp_path: Path):
    found = there_and_back({name: OWN[name]}, tmp_path, suffix)[name]
    assert_same({name: found}, {name: OWN[name]})
    for column in OWN[name]:
        assert list(map(type, found[column])) == list(map(type, OWN[name][column]))


def test_a_column_may_be_named_with_half_a_character(suffix: str, tmp_path: Path):
    wanted = pd.DataFrame({"x": [1], "y": ["a"]})
    wanted.columns = pd.Index([exchange_tables.HALF, exchange_tables.APART], dtype=object)
    assert_same(there_and_back({"odd": wanted}, tmp_path, suffix), {"odd": wanted})


def test_text_with_the_storage_of_pyarrow_comes_back_declared(suffix: str, tmp_path: Path):
    pytest.importorskip("pyarrow")
    calls = tables.calls(record(read(1, delta())))
    arrow = calls.astype({"name": pd.StringDtype("pyarrow")})
    assert_same(there_and_back({"calls": arrow}, tmp_path, suffix), {"calls": calls})


@pytest.mark.skipif(pd.__version__ < "3", reason="a dtype of pandas 3")
@pytest.mark.parametrize("storage", ["python", "pyarrow"])
def test_the_text_of_pandas_3_keeps_its_dtype(storage: str, suffix: str, tmp_path: Path):
    pytest.importorskip("pyarrow")
    dtype = pd.StringDtype(storage, na_value=float("nan"))
    wanted = pd.DataFrame({"a": pd.Series(["x", None], dtype=dtype), "b": pd.Series([None, "y"], dtype=dtype)})
    assert_same(there_and_back({"mine": wanted}, tmp_path, suffix), {"mine": wanted})


def test_values_that_were_equal_are_not_one_object_afterwards(suffix: str, tmp_path: Path):
    found = there_and_back({"mine": pd.DataFrame({"a": objects([1], [1])})}, tmp_path, suffix)["mine"]
    found.loc[0, "a"].append(2)
    assert found["a"].tolist() == [[1, 2], [1]]


def test_what_comes_back_can_be_written_again(suffix: str, tmp_path: Path):
    first = there_and_back({**declared(), **OWN}, tmp_path / "a", suffix)
    assert_same(there_and_back(first, tmp_path / "b", suffix), first)
    for path in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "a b", "a.b", "caf\u00e9", "1"])
def test_a_name_that_could_be_another_file_is_refused(name: str, suffix: str, tmp_path: Path):
    with pytest.raises(UsageError, match="is no name of a table"):
        FORMATS[suffix][0]({name: PLAIN}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "frame",
    [
        PLAIN[PLAIN["a"] > 1],
        PLAIN.rename_axis("row"),
        PLAIN.rename_axis(columns="names"),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(0, 0)])),
    ],
)
def test_an_index_that_no_file_keeps_is_refused(frame: pd.DataFrame, suffix: str, tmp_path: Path):
    with pytest.raises(UsageError, match=r"mine has an index of its own.*reset_index\(drop=True\)"):
        FORMATS[suffix][0]({"mine": frame}, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "odd"),
    [
        (lambda table: table.assign(note="x"), "note"),
        (lambda table: table.drop(columns="url"), "url"),
        (lambda table: table.astype({"seq": "Int64"}), "seq"),
        (lambda table: table[table.columns[::-1]], "their order"),
    ],
)
def test_a_declared_table_is_written_as_it_is_declared_or_under_another_name(change, odd, suffix: str, tmp_path: Path):
    changed = change(exchange_tables.awkward("citations"))
    with pytest.raises(UsageError, match=rf"citations is not as it is declared \({odd}\)"):
        FORMATS[suffix][0]({"citations": changed}, tmp_path)
    assert_same(there_and_back({"mine": changed}, tmp_path, suffix), {"mine": changed})


def test_bytes_that_are_none_are_refused(suffix: str, tmp_path: Path):
    table = exchange_tables.awkward("chunks")
    table["data"] = "text"
    with pytest.raises(UsageError, match=r"\(data\)"):
        FORMATS[suffix][0]({"chunks": table.astype({"data": object})}, tmp_path)


@pytest.mark.parametrize("labels", [[1], ["a", "a"]])
def test_columns_need_names_that_are_texts(labels, suffix: str, tmp_path: Path):
    with pytest.raises(UsageError, match="must be texts, each once"):
        FORMATS[suffix][0]({"mine": pd.DataFrame([[0] * len(labels)], columns=labels)}, tmp_path)


@pytest.mark.parametrize("dtype", ["category", "datetime64[s]", "int32", "timedelta64[ns]"])
def test_a_dtype_that_would_be_lost_is_refused(dtype: str, suffix: str, tmp_path: Path):
    frame = pd.DataFrame({"a": pd.Series([1, 2]).astype(dtype)})
    with pytest.raises(UsageError, match=r"mine: column 'a' is .*, which no file keeps"):
        FORMATS[suffix][0]({"mine": frame}, tmp_path)


def endless() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def deep() -> list[object]:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [(1, 2), {1: 2}, {"a": {3}}, [float("nan")], float("inf"), pd.NA, 1j, b"x", endless(), [10**5000]]
)
def test_what_json_would_change_is_refused(value, suffix: str, tmp_path: Path):
    with pytest.raises(UsageError, match="mine: column 'a' holds what is no JSON value"):
        FORMATS[suffix][0]({"mine": pd.DataFrame({"a": objects(value, 1)})}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_value_too_deep_to_read_again_is_refused(suffix: str, tmp_path: Path):
    with pytest.raises(UsageError, match="column 'a' holds what is no JSON value"):
        FORMATS[suffix][0]({"mine": pd.DataFrame({"a": objects(deep())})}, tmp_path)


def test_too_many_rows_are_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_shape, "MAX_ROWS", 1)
    with pytest.raises(UsageError, match="mine has 2 rows; at most 1"):
        FORMATS[suffix][0]({"mine": PLAIN}, tmp_path)


def test_a_directory_without_tables_is_named(suffix: str, tmp_path: Path):
    (tmp_path / f".hidden{suffix}").write_bytes(b"")
    for directory in (tmp_path, tmp_path / "typo"):
        with pytest.raises(UsageError, match=f"holds no {suffix} file"):
            FORMATS[suffix][1](directory)


def test_a_file_that_is_no_table_of_ours_is_named(suffix: str, tmp_path: Path):
    (tmp_path / f"20260101-120000-abc{suffix}").write_bytes(b"")
    with pytest.raises(TranscriptError, match=r"20260101.*is no name of a table.*streamnb.open"):
        FORMATS[suffix][1](tmp_path)


def test_a_file_is_not_overwritten_unless_it_is_said(suffix: str, tmp_path: Path):
    write, read_back = FORMATS[suffix]
    paths = write({"one": PLAIN, "two": PLAIN}, tmp_path)
    assert [path.name for path in paths if path.suffix == suffix] == [f"one{suffix}", f"two{suffix}"]
    other = pd.DataFrame({"b": [3]})
    with pytest.raises(UsageError, match=rf"two{suffix} is there already; pass overwrite=True"):
        write({"three": other, "two": other}, tmp_path)
    assert_same(read_back(tmp_path), {"one": PLAIN, "two": PLAIN})
    write({"three": other, "two": other}, tmp_path, overwrite=True)
    assert_same(read_back(tmp_path), {"one": PLAIN, "three": other, "two": other})


def test_the_home_directory_may_be_a_tilde(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_same(there_and_back({"mine": PLAIN}, "~/out", suffix), {"mine": PLAIN})
    assert exchange.write_csv(PLAIN, "~/mine.csv") == tmp_path / "mine.csv"
    assert (tmp_path / "out" / f"mine{suffix}").exists()


# -- without pyarrow ---------------------------------------------------------------------------------------------------

BLOCKED = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
"""
WITHOUT = """
sys.path.insert(0, sys.argv[2])
from exchange_tables import OWN, declared
from pandas.testing import assert_frame_equal
from streamnb import exchange
from streamnb.errors import UsageError

wanted = {**declared(), **OWN}
for use in (lambda: exchange.write_parquet(wanted, sys.argv[1]), lambda: exchange.read_parquet(sys.argv[1])):
    try:
        use()
    except UsageError as error:
        print(error)
exchange.write_jsonl(wanted, sys.argv[1])
for name, frame in exchange.read_jsonl(sys.argv[1]).items():
    assert_frame_equal(frame, wanted.pop(name), check_exact=True)
assert not wanted
"""
NEEDED = 'Parquet needs pyarrow: pip install "streamnb[parquet]"; JSON Lines (to_jsonl) needs nothing.\n'


def test_without_pyarrow_parquet_says_how_to_get_it_and_json_lines_work(tmp_path: Path):
    words = [sys.executable, "-W", "error", "-c", BLOCKED + WITHOUT, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, NEEDED * 2), done.stderr


def test_json_lines_written_with_pyarrow_are_read_without_it(tmp_path: Path):
    exchange.write_jsonl(OWN, tmp_path)
    program = BLOCKED + "from streamnb import exchange; print(*exchange.read_jsonl(sys.argv[1]))"
    words = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, sorted(OWN)), done.stderr


def test_without_pyarrow_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as caught:
        exchange.write_parquet({"mine": PLAIN}, tmp_path)
    assert f"{caught.value}\n" == NEEDED
    assert list(tmp_path.iterdir()) == []


def test_an_unsafe_pyarrow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pyarrow = pytest.importorskip("pyarrow")
    monkeypatch.setattr(pyarrow, "__version__", "14.0.0")
    with pytest.raises(UsageError, match=r"pyarrow 14\.0\.0 is not safe"):
        exchange.read_parquet(tmp_path)
    monkeypatch.setattr(pyarrow, "__version__", "14.0.1")
    with pytest.raises(UsageError, match=r"holds no \.parquet file"):
        exchange.read_parquet(tmp_path)


# -- runs --------------------------------------------------------------------------------------------------------------


@dataclass
class FakeRun:
    summary: pd.DataFrame
    calls: pd.DataFrame
    chunks: pd.DataFrame
    events: pd.DataFrame
    citations: pd.DataFrame
    records: pd.DataFrame


def run_of(*reads, run_id: str = "r1") -> FakeRun:
    made = record(*reads, run_id=run_id)
    return FakeRun(
        tables.runs([tables.run_row(made)]),
        tables.calls(made),
        tables.chunks(made),
        tables.events(made),
        tables.citations(made),
        tables.records(made),
    )


def full_run(run_id: str = "r1") -> FakeRun:
    cite = Event("citation", name="T", data={"url": "https://x.example"})
    return run_of(read(1, delta("a"), cite, data=b"\xff"), read(2, delta("b")), run_id=run_id)


DECLARED = ["runs", "calls", "chunks", "events", "citations"]


def test_a_run_has_five_tables(suffix: str, tmp_path: Path):
    found = exchange.frames_of(full_run())
    assert list(found) == DECLARED
    assert [len(frame) for frame in found.values()] == [1, 1, 2, 3, 1]
    assert_same(there_and_back(found, tmp_path, suffix), found)


def test_a_list_has_its_records_too(suffix: str, tmp_path: Path):
    found = exchange.frames_of(run_of(read(1, Event("item", data={"id": "a", "meta": {"n": 1}}))))
    assert list(found) == [*DECLARED, "records"]
    back = there_and_back(found, tmp_path, suffix)
    assert_same(back, found)
    assert back["records"]["meta"].tolist() == [{"n": 1}]


def test_the_tables_of_several_runs_are_one_below_the_other(suffix: str, tmp_path: Path):
    listed = run_of(read(1, Event("item", data={"id": "a"})), run_id="r2")
    found = exchange.concatenated(iter([full_run("r1"), listed, full_run("r3")]))
    assert list(found) == DECLARED
    assert found["runs"]["run_id"].tolist() == ["r1", "r2", "r3"]
    assert found["events"]["run_id"].tolist() == ["r1", "r1", "r1", "r2", "r3", "r3", "r3"]
    assert_same(there_and_back(found, tmp_path, suffix), found)


def test_no_runs_are_empty_tables():
    found = exchange.concatenated([])
    assert {name: len(frame) for name, frame in found.items()} == dict.fromkeys(DECLARED, 0)
    for name, frame in found.items():
        assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == COLUMNS[name]
