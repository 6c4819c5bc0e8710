from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from record_builder import append, delta, read, record, usage
from samples import TRANSCRIPTS

import streamnb
from streamnb import analysis, tables
from streamnb.collection import Runs
from streamnb.errors import TranscriptError, UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers import load
from streamnb.results import Run, remember
from streamnb.tables import COLUMNS
from streamnb.transcript import EndLine

PACE = {"tokens": 3, "ttft": 0, "gap": 0}


def run(run_id: str, *events: Event, outcome: Outcome | None = Outcome.COMPLETE, **info) -> Run:
    """A run of one read per event, a second apart."""
    made = record(*(read(second, event) for second, event in enumerate(events, 1)), run_id=run_id, **info)
    if outcome is not None:
        made.end_call(made.calls[0].t0_ns + 10_000_000_000)
        made.end(outcome, None if outcome.ok else "why", EndLine(outcome.value, None, {}, {}, 0))
    return Run(made, load("openai_chat")("http://127.0.0.1/v1"), Prompt("hi"))


A = run("a", delta("x"), delta("y"), usage(3, 2), model="m")
B = run("b", Event("ping"), delta("<b>"), outcome=Outcome.TRUNCATED)
C = run("c", delta("z"), outcome=None)


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_it_is_a_sequence_of_runs():
    runs = Runs([A, B, C])
    assert isinstance(runs, Sequence)
    assert (len(runs), list(runs), runs[0], runs[-1]) == (3, [A, B, C], A, C)
    assert B in runs
    assert runs.index(C) == 2
    assert list(reversed(runs)) == [C, B, A]
    with pytest.raises(IndexError):
        runs[3]


def test_a_slice_is_a_collection_too():
    runs = Runs([A, B, C])[1:]
    assert isinstance(runs, Runs)
    assert list(runs) == [B, C]


def test_runs_and_a_run_are_added_and_the_summands_stay():
    one, two = Runs([A]), Runs([B])
    assert [list(one + two), list(one + C), list(one + two + C)] == [[A, B], [A, C], [A, B, C]]
    assert (list(one), list(two)) == ([A], [B])
    with pytest.raises(TypeError):
        operator.add(one, [B])


def test_a_run_stands_once_because_tables_know_it_by_its_id():
    again = run("a", delta("other"))
    assert list(Runs([A, B]) + Runs([B, A])) == [A, B]
    assert list(Runs([A]) + again) == [A]


def test_it_cannot_be_changed():
    runs = Runs([A])
    with pytest.raises(TypeError):
        runs[0] = B
    with pytest.raises(AttributeError):
        runs.more = B


def test_the_table_is_that_of_its_runs():
    table = Runs([A, B, C]).table
    assert dtypes(table) == COLUMNS["runs"]
    assert table["run_id"].tolist() == ["a", "b", "c"]
    assert table["ttft_s"].tolist() == [1, 2, 1]
    assert table["outcome"].isna().tolist() == [False, False, True]


def test_events_and_chunks_are_those_of_all_runs():
    runs = Runs([A, B])
    assert runs.events["run_id"].tolist() == ["a"] * 3 + ["b"] * 2
    assert runs.events.index.tolist() == list(range(5))
    assert runs.chunks["seq"].tolist() == [0, 1, 2, 0, 1]
    assert runs.latency["e2e_s"].tolist() == [2, 2]
    assert dtypes(runs.events) == COLUMNS["events"]
    assert dtypes(runs.chunks) == COLUMNS["chunks"]
    assert analysis.token_totals(runs.events)["tokens_out_server"].tolist() == [2, pd.NA]


@pytest.mark.parametrize("name", ["events", "chunks", "latency", "table"])
def test_no_runs_have_the_same_columns(name):
    declared = COLUMNS["runs" if name == "table" else name]
    assert dtypes(getattr(Runs(), name)) == declared


def test_a_run_before_its_first_byte_and_a_finished_one_have_one_table():
    waiting = run("w", outcome=None)
    runs = Runs([waiting, A])
    assert dtypes(runs.events) == COLUMNS["events"]
    assert len(runs.events) == 3
    assert runs.table["ttft_s"].isna().tolist() == [True, False]
    assert runs.compare("provider", metrics=["ttft_s"])[["n_runs", "n_running", "n"]].to_numpy().tolist() == [[2, 1, 1]]


def test_a_run_that_grows_is_seen_as_it_is():
    growing = run("g", delta("x"), outcome=None)
    runs = Runs([growing])
    assert runs.table["n_chars"].tolist() == [1]
    append(growing._record, read(2, delta("yz")))
    assert runs.table["n_chars"].tolist() == [3]
    assert len(runs.events) == 2


def test_it_compares_its_runs():
    runs = Runs([A, B, run("d", delta("x"), model="m")])
    pd.testing.assert_frame_equal(runs.compare(), analysis.compare(runs.table, ("target", "model")))
    pd.testing.assert_frame_equal(
        runs.compare("model", ["e2e_s"], [0.9]), analysis.compare(runs.table, "model", ["e2e_s"], [0.9])
    )
    with pytest.raises(UsageError, match="no column 'modle'"):
        runs.compare("modle")


def test_those_that_fit_are_kept():
    runs = Runs([A, B, C])
    assert list(runs.ok) == [A]
    assert list(runs.filter()) == [A, B, C]
    assert list(runs.filter(lambda one: "y" in one.text)) == [A]
    assert list(runs.filter(outcome="truncated")) == list(runs.filter(outcome=Outcome.TRUNCATED)) == [B]
    assert list(runs.filter(provider="openai_chat", n_chars=1)) == [C]
    assert list(runs.filter(lambda one: one is not A, provider="openai_chat")) == [B, C]
    assert list(runs.filter(n_chars="1")) == []


def test_none_is_what_a_missing_value_equals():
    runs = Runs([A, B, C])
    assert list(runs.filter(outcome=None)) == [C]
    assert list(runs.filter(tpot_s=None)) == [B, C]
    assert list(runs.filter(model="m")) == [A]
    assert list(Runs([run("w", outcome=None)]).filter(ttft_s=None).filter(n_chars=0)) != []


def test_a_column_that_is_none_is_refused_also_where_there_are_no_runs():
    with pytest.raises(UsageError, match=r"runs have no column 'outcme'. Did you mean outcome\?"):
        Runs().filter(outcme="complete")


def test_the_session_is_a_collection():
    remember(A)
    remember(B)
    runs = Runs.session()
    remember(C)
    assert list(runs) == [A, B]
    assert list(Runs.session()) == [A, B, C]


def test_recordings_are_opened_from_a_file_a_directory_or_several(tmp_path: Path):
    one = TRANSCRIPTS / "openai_chat" / "documented.jsonl"
    folder = TRANSCRIPTS / "sse"
    ids = [f"sse-{path.stem}" for path in sorted(folder.glob("*.jsonl"))]
    assert [run.run_id for run in Runs.open(one)] == ["openai_chat-documented"]
    assert Runs.open(str(one))[0].path == one
    assert [run.run_id for run in Runs.open(folder)] == ids
    assert [run.run_id for run in Runs.open([str(one), folder])] == ["openai_chat-documented", *ids]
    assert [run.run_id for run in Runs.open(pd.Series([str(one)]))] == ["openai_chat-documented"]
    (tmp_path / "notes.jsonl").write_text("{}\n")
    assert list(Runs.open(tmp_path)) == []


def test_what_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(TranscriptError, match=r"nowhere.jsonl: No such file"):
        Runs.open(tmp_path / "nowhere.jsonl")


def test_a_recording_and_its_run_have_the_same_figures():
    opened = Runs.open(TRANSCRIPTS / "openai_chat" / "vllm_usage.jsonl")
    pd.testing.assert_frame_equal(opened.events, tables.events(opened[0]._record))
    assert opened.table["tokens_out"].tolist() == [3]


def test_alone_in_a_cell_it_is_its_table():
    runs = Runs([A, B])
    assert repr(runs) == "<Runs: 2 runs, 1 ok>"
    assert repr(runs[:1]) == "<Runs: 1 run, 1 ok>"
    assert repr(Runs()) == "<Runs: 0 runs, 0 ok>"
    shown = (runs + run("<script>", delta()))._repr_html_()
    assert "truncated" in shown
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_the_tables_of_several_runs_come_back_from_their_files(kind: str, tmp_path: Path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    found = Runs(streamnb.stream("demo", "Hi", pace=PACE, record=False) for _ in range(2))
    files = getattr(found, f"to_{kind}")(tmp_path / "data")
    assert sorted(file.stem for file in files) == ["calls", "chunks", "citations", "events", "runs"]
    back = getattr(streamnb, f"read_{kind}")(tmp_path / "data")
    pd.testing.assert_frame_equal(back["runs"], found.table)
    pd.testing.assert_frame_equal(back["events"], found.events)
    pd.testing.assert_frame_equal(back["chunks"], found.chunks)
    one = found[0]
    with pytest.raises(UsageError, match="overwrite"):
        getattr(one, f"to_{kind}")(tmp_path / "data")
    getattr(one, f"to_{kind}")(tmp_path / "data", overwrite=True)
    pd.testing.assert_frame_equal(getattr(streamnb, f"read_{kind}")(tmp_path / "data")["events"], one.events)
