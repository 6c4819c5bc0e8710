from __future__ import annotations

import json
import stat
from pathlib import Path

import pandas as pd
import pytest
from run_files import running

import streamnb
from streamnb import cli, exchange

FAST = {"ttft": 0, "gap": 0, "tokens": 6, "seed": 1}
FORMATS = {"jsonl": exchange.read_jsonl, "parquet": exchange.read_parquet}


@pytest.fixture
def two() -> list[streamnb.Run]:
    return [streamnb.stream("demo", prompt, pace=FAST) for prompt in ("one", "two")]


def export(*words: object) -> int:
    return cli.main(["recordings", "export", *map(str, words)])


@pytest.mark.parametrize("kind", FORMATS)
def test_the_tables_of_runs_are_written_one_below_the_other(
    kind: str, two: list[streamnb.Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    to = tmp_path / "data"
    assert export(*(run.run_id for run in two), "--to", to, "--format", kind) == 0
    found = FORMATS[kind](to)
    assert list(found["runs"]["run_id"]) == [run.run_id for run in two]
    wanted = pd.concat([run.events for run in two], ignore_index=True)
    pd.testing.assert_frame_equal(found["events"], wanted)
    assert capsys.readouterr().out.splitlines() == [
        str(to / f"{name}.{kind}") for name in ("runs", "calls", "chunks", "events", "citations")
    ]


def test_json_lines_are_the_form_unless_another_is_asked_for_and_a_list_has_its_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    records = streamnb.records("deepset", "search_sessions", sim=True, display="none")
    run = streamnb.last()
    assert export(run.path, "--to", tmp_path / "data", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["format"] for row in rows} == {"jsonl"}
    assert str(tmp_path / "data" / "records.jsonl") in {row["path"] for row in rows}
    pd.testing.assert_frame_equal(exchange.read_jsonl(tmp_path / "data")["records"], records)


def test_a_transcript_is_the_run_file_itself_for_you_alone(two: list[streamnb.Run], tmp_path: Path):
    to = tmp_path / "data"
    assert export(two[0].run_id, two[1].path, two[0].path, "--to", to, "--format", "transcript") == 0
    for run in two:
        copy = to / run.path.name
        assert copy.read_bytes() == run.path.read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert streamnb.open(copy).text == run.text
    assert len(list(to.iterdir())) == 2


@pytest.mark.parametrize("kind", ["jsonl", "transcript"])
def test_nothing_is_replaced_unless_it_is_said(
    kind: str, two: list[streamnb.Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = (two[0].run_id, "--to", tmp_path / "data", "--format", kind)
    assert export(*words) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    assert export(*words) == 2
    assert "is there already; add --overwrite to replace it" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before
    assert export(*words, "--overwrite") == 0


def test_two_files_of_one_name_are_not_written_over_each_other(
    two: list[streamnb.Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = tmp_path / "other" / two[0].path.name
    copy.parent.mkdir()
    copy.write_bytes(two[0].path.read_bytes())
    assert export(two[0].path, copy, "--to", tmp_path / "data", "--format", "transcript") == 2
    assert "export them one by one" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_run_that_still_runs_is_not_exported(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    journal = running(recordings, "20260101-120000-aaa111")
    try:
        assert export("aaa111", "--to", tmp_path / "data") == 2
    finally:
        journal.close()
    assert "still runs" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_place_that_cannot_be_written_is_said_in_one_line(
    two: list[streamnb.Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    assert export(two[0].run_id, "--to", tmp_path / "file" / "below", "--format", "transcript") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamnb recordings: ")
    assert err.count("\n") == 1
