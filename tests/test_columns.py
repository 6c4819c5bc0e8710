from __future__ import annotations

import gc
import json
import threading
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb import columns
from streamnb.columns import ChunkColumns, EventColumns, Few, Numbers, Sparse, Texts
from streamnb.events import Choice, Event, Prompt

PIECES = st.sampled_from(["", "a", "word ", "\u00e9", "\u4f60", "\U0001f600", "\ud83d", "\ude00"])
TEXTS = st.lists(st.lists(PIECES, max_size=3).map("".join), max_size=12)


@pytest.fixture(params=[3, columns.BLOCK_ROWS], ids=["short blocks", "blocks"])
def _block_rows(request, monkeypatch):
    monkeypatch.setattr(columns, "BLOCK_ROWS", request.param)
    monkeypatch.setattr(columns, "_AT_ONCE", 4)


def filled(column, items):
    for item in items:
        column.append(item)
    return column


def sparse(items):
    rows: list[None] = []
    made = Sparse(rows, "", Texts())
    for row, item in enumerate(items):
        if item:
            made.put(row, item)
        rows.append(None)
    return made


@pytest.mark.usefixtures("_block_rows")
@pytest.mark.parametrize("made", [lambda items: filled(Texts(), items), lambda items: filled(Few(), items), sparse])
@settings(suppress_health_check=["function_scoped_fixture"], deadline=None)
@given(TEXTS, st.data())
def test_a_column_is_the_sequence_of_what_was_appended(made, items, data):
    column = made(items)
    assert (len(column), column[:], list(column), column) == (len(items), items, items, items)
    assert repr(column) == repr(items)
    assert list(reversed(column)) == items[::-1]
    places = st.integers(-len(items) - 2, len(items) + 2) | st.none()
    part = slice(data.draw(places), data.draw(places), data.draw(st.sampled_from([None, 1, 2, -1])))
    assert column[part] == items[part]
    for place in range(-len(items), len(items)):
        assert column[place] == items[place]
    for place in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            column[place]


def test_a_column_is_equal_to_what_has_the_same_items_and_to_nothing_else():
    column = filled(Texts(), "ab")
    assert column == filled(Few(), "ab") == ["a", "b"]
    assert column != ["a", "c"]
    assert column != ["a"]
    assert column != "ab"
    assert column != 7
    with pytest.raises(TypeError, match="unhashable"):
        hash(column)


def test_a_column_is_gone_through_while_it_grows():
    column = filled(Texts(), "ab")
    seen = []
    for item in column:
        seen.append(item)
        if len(column) < 5:
            column.append(item * 2)
    assert seen[:2] == ["a", "b"]


def test_the_257th_kind_of_item_widens_the_codes_and_nobody_who_reads_notices():
    column, items = Few(), [f"n{n}" for n in range(256)]
    filled(column, items)
    before = column.codes
    assert before.typecode == "B"
    filled(column, ["n256", "n0"])
    assert column == [*items, "n256", "n0"]
    assert list(before) == list(range(256))


def test_a_sealed_block_is_not_touched_again_so_its_bytes_may_be_exported(monkeypatch):
    monkeypatch.setattr(columns, "BLOCK_ROWS", 2)
    column = filled(Texts(), ["a", "b", "c"])
    (data, ends), (open_data, _) = column.blocks
    with memoryview(data), memoryview(ends):
        filled(column, ["d", "e"])
    assert (bytes(data), list(ends), bytes(open_data)) == (b"ab", [0, 1, 2], b"cd")
    assert column == list("abcde")


def test_an_event_is_a_row_of_what_it_says_and_what_is_usual_takes_no_room():
    made = EventColumns()
    choices = (Choice("Yes", Prompt("Yes")),)
    made.append(0, Event("delta", "h\u00e9", 0))
    made.append(0, Event("step", "", 2, "n\ud83d", "i", {"a": "\u00e9"}, frozenset({"late", "lossy"}), choices, 5))
    made.append(3, Event("ping", choice=2**63, server_ms=-4))
    assert list(made.chunk) == [0, 0, 3]
    assert (made.kind, made.text, made.choice) == (["delta", "step", "ping"], ["h\u00e9", "", ""], [0, 2, -1])
    assert (made.name, made.id, made.flags) == ([None, "n?", None], [None, "i", None], ["", "late lossy", ""])
    assert (made.data, made.server_ms) == ([None, json.dumps({"a": "\u00e9"}), None], [-1, 5, -1])
    assert made.choices == {1: choices}
    assert [len(column.at) for column in (made.name, made.id, made.data, made.flags)] == [1] * 4


def test_a_row_counts_when_all_of_it_is_there():
    made = EventColumns()
    made.append(0, Event("delta", "a"))
    made.kind.append("delta")
    made.name.put(1, "x")
    assert (len(made), len(made.name), made.name) == (1, 1, [None])
    chunks = ChunkColumns()
    chunks.t_ns.append(1)
    chunks.data.append(b"x")
    chunks.stamp_source.append("read")
    assert (len(chunks), chunks.stamp_source) == (0, ["read"])


def test_events_are_no_objects_that_the_collector_goes_through():
    made = EventColumns()
    made.append(0, Event("start", name="m"))
    gc.collect()
    before = len(gc.get_objects())
    for n in range(5_000):
        made.append(n, Event("delta", "word", 0))
    gc.collect()
    assert len(gc.get_objects()) - before < 50


def test_numbers_are_few_and_as_wide_as_they_come():
    made = filled(Numbers(), [0, -1, 2**62, 0])
    assert made == [0, -1, 2**62, 0]
    assert (list(made.codes), made.known) == ([0, 1, 2, 0], [0, -1, 2**62])


def test_another_thread_reads_whole_rows_while_one_appends(monkeypatch):
    monkeypatch.setattr(columns, "BLOCK_ROWS", 64)
    made, n = EventColumns(), 20_000

    def write() -> None:
        for row in range(n):
            made.append(row, Event("delta", f"{row}\u00e9", row % 2, name=f"n{row}" if row % 7 == 0 else None))

    thread = threading.Thread(target=write)
    thread.start()  # an error in it becomes a warning, and warnings are errors
    while thread.is_alive():
        size = len(made)
        first = max(0, size - 200)
        assert made.text[first:size] == [f"{row}\u00e9" for row in range(first, size)]
        assert made.name[first:size] == [f"n{row}" if row % 7 == 0 else None for row in range(first, size)]
        if size:
            assert (made.kind[size - 1], made.text[size - 1]) == ("delta", f"{size - 1}\u00e9")
    thread.join()
    assert (len(made), made.chunk) == (n, array("q", range(n)))


def test_the_kernels_stamps_are_the_best_ones_where_it_was_the_source():
    made = ChunkColumns()
    assert (len(made.kernel_ns), made.kernel_ns) == (0, [])
    for t_ns, source in ((5, "read"), (7, "kernel"), (9, "chunk")):
        made.t_ns.append(t_ns)
        made.stamp_source.append(source)
    assert (made.kernel_ns, made.kernel_ns[1], made.kernel_ns[-1]) == ([-1, 7, -1], 7, -1)
    made.t_ns.append(11)  # half a row
    assert len(made.kernel_ns) == 3


def test_a_server_stamp_takes_room_only_where_there_is_one():
    made = ChunkColumns()
    for _ in range(3):
        made.n_events.append(0)
    made.server_t_ns[1] = 6
    made.server_t_ns[1] = 8
    assert (len(made), made.server_t_ns, made.server_t_ns[1], made.server_t_ns.known) == (3, [-1, 8, -1], 8, {1: 8})
