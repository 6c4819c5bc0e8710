from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from record_builder import append, delta, read, record

from streamnb import columns, tables
from streamnb.columns import Few, Sparse, Texts
from streamnb.events import Event
from streamnb.tables import arrow


@pytest.fixture(autouse=True, params=[3, columns.BLOCK_ROWS], ids=["short blocks", "blocks"])
def _block_rows(request, monkeypatch):
    for module in (columns, arrow):
        monkeypatch.setattr(module, "BLOCK_ROWS", request.param)


def texts(*items):
    column = Texts()
    for item in items:
        column.append(item)
    return column


def few(*items):
    column = Few()
    for item in items:
        column.append(item)
    return column


def sparse(*items):
    rows = []
    column = Sparse(rows, None, Texts())
    for row, item in enumerate(items):
        if item is not None:
            column.put(row, item)
        rows.append(None)
    return column


WORDS = ["a", "", "h\u00e9", "\u4f60\u597d", "\U0001f600", "a", "a", "b", "b", "b"]
GAPS = [None, None, None, "x", None, "\u00e9", None, None, None, None]


@pytest.mark.parametrize(
    ("make", "items"),
    [(texts, WORDS), (few, WORDS), (sparse, GAPS), (few, list("aaaaaaa"))],
    ids=["texts", "few", "sparse", "one"],
)
def test_a_column_becomes_strings_with_as_many_rows_as_are_asked_for(make, items):
    column = make(*items)
    for n in range(len(items) + 1):
        found = arrow.strings(column, n)
        assert found.dtype == pd.StringDtype("pyarrow")
        assert [None if value is pd.NA else value for value in found] == items[:n]


def test_text_that_can_no_longer_change_is_used_in_place_and_the_rest_is_a_copy():
    column = texts(*("word" for _ in range(columns.BLOCK_ROWS + 1)))
    found = arrow.strings(column, len(column)).__arrow_array__()
    sealed, growing = found.chunks
    addresses = [pa.py_buffer(data).address for data, _ in column.blocks]
    assert sealed.buffers()[2].address == addresses[0]
    assert growing.buffers()[2].address != addresses[1]
    column.append("more")  # nobody holds what grows: this would raise BufferError
    assert found.to_pylist() == ["word"] * (columns.BLOCK_ROWS + 1)


def test_one_value_again_and_again_takes_the_memory_of_one_block():
    found = arrow.repeated("run", 3 * columns.BLOCK_ROWS + 1).__arrow_array__()
    assert found.to_pylist() == ["run"] * (3 * columns.BLOCK_ROWS + 1)
    assert len({chunk.buffers()[2].address for chunk in found.chunks}) == 1


def test_what_utf8_does_not_have_stays_with_python():
    assert arrow.strings(texts("a", "\ud83d"), 2) is None
    assert arrow.strings(few("\ud83d"), 1) is None
    assert arrow.strings(sparse(None, "\ud83d"), 2) is None
    assert arrow.column(["a", "\ud83d"]) is None
    assert arrow.column([1, "a"]) is None


def test_any_values_become_a_string_column():
    for values in (["a", None], np.array(["a", None], dtype=object), pd.Series(["a", pd.NA], dtype="string")):
        found = arrow.column(values)
        assert (found.dtype, found[0], found[1]) == (pd.StringDtype("pyarrow"), "a", pd.NA)
    assert arrow.column(found) is found
    assert len(arrow.column([])) == 0


def test_the_tables_are_the_same_without_pyarrow(monkeypatch):
    made = record(
        read(1, Event("start", name="m", id="1"), delta("h\u00e9", choice=0)),
        read(2, delta("b", flags=frozenset({"late"})), Event("usage", data={"tokens_out": 3}, server_ms=7)),
        *(read(3 + n, delta("c")) for n in range(7)),
    )
    make = (tables.events, tables.chunks, tables.citations, tables.calls)
    with_it = [table(made) for table in make]
    monkeypatch.setattr(arrow, "THERE", False)
    for table, quick in zip(make, with_it, strict=True):
        plain = table(made)
        assert [str(dtype) for dtype in plain.dtypes] == [str(dtype) for dtype in quick.dtypes]
        strings = {name: "object" for name, dtype in plain.dtypes.items() if dtype == "string"}
        assert strings
        assert {plain[name].dtype.storage for name in strings} == {"python"}
        assert {quick[name].dtype.storage for name in strings} == {"pyarrow"}
        assert_frame_equal(plain.astype(strings), quick.astype(strings))


def test_a_table_that_was_handed_out_stays_as_it_is_while_the_run_goes_on():
    made = record(*(read(n, delta(f"t{n}")) for n in range(5)))
    frame = tables.events(made)
    for n in range(5, 12):
        append(made, read(n, delta(f"t{n}")))
    assert frame["text"].tolist() == [f"t{n}" for n in range(5)]
    assert tables.events(made)["text"].tolist() == [f"t{n}" for n in range(12)]


def test_a_table_can_be_changed_by_whoever_has_it():
    made = record(*(read(n, delta(f"t{n}")) for n in range(5)))
    frame = tables.events(made)
    frame.loc[1, "text"] = "other"
    frame.loc[2, "kind"] = None
    frame["t_ns"] += 1
    again = tables.events(made)
    assert (again["text"].tolist(), set(again["kind"])) == ([f"t{n}" for n in range(5)], {"delta"})
    assert (frame["t_ns"] == again["t_ns"] + 1).all()
    assert made.events.text == [f"t{n}" for n in range(5)]


def test_without_pyarrow_it_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    spec = importlib.util.spec_from_file_location("arrow_alone", arrow.__file__)
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert not alone.THERE
