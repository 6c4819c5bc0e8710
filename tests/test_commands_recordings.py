from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_files import days_ago, running, written

import streamnb
from streamnb import cli
from streamnb.tables import COLUMNS

FIRST, SECOND, THIRD = "20250101-120000-aaa111", "20260101-120000-bbb222", "20260102-120000-ccc333"


@pytest.fixture
def three(recordings: Path) -> list[Path]:
    return [
        written(recordings, FIRST, wall_ns=days_ago(400)),
        written(recordings, SECOND, wall_ns=days_ago(4), target="oliver", outcome="http_error"),
        written(recordings, THIRD, wall_ns=days_ago(2), outcome=None, model=None),
    ]


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(["recordings", "list", *words]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_recordings_are_listed_newest_last(three: list[Path], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["recordings", "list"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split() == ["run_id", "started_at", "target", "model", "outcome", "size"]
    cells = [row.split() for row in rows]
    assert [row[0] for row in cells] == [FIRST, SECOND, THIRD]
    assert [row[3:6] for row in cells] == [
        ["demo", "m-1", "complete"],
        ["oliver", "m-1", "http_error"],
        ["demo", "\N{EN DASH}", "crashed"],
    ]
    assert cells[0][6:] == [str(three[0].stat().st_size), "B"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--target", "oliver"], [SECOND]),
        (["--target", "oliver", "--target", "demo"], [FIRST, SECOND, THIRD]),
        (["--outcome", "crashed", "--outcome", "complete"], [FIRST, THIRD]),
        (["--since", "3d"], [THIRD]),
        (["--since", "7d", "--target", "oliver"], [SECOND]),
        (["-n", "2"], [SECOND, THIRD]),
        (["-n", "9"], [FIRST, SECOND, THIRD]),
    ],
)
def test_a_list_can_be_narrowed(
    three: list[Path], words: list[str], found: list[str], capsys: pytest.CaptureFixture[str]
):
    assert listed(capsys, *words) == ["run_id", *found]


def test_a_list_is_json_lines_with_the_columns_of_the_table(three: list[Path], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["recordings", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(row) for row in rows] == [set(COLUMNS["recordings"])] * 3
    assert [row["path"] for row in rows] == list(map(str, three))
    assert [row["model"] for row in rows] == ["m-1", "m-1", None]
    assert [row["outcome"] for row in rows] == ["complete", "http_error", "crashed"]
    table = streamnb.recordings()
    assert [row["started_at"][:23] for row in rows] == [moment.isoformat()[:23] for moment in table["started_at"]]
    assert all(row["started_at"].endswith("+00:00") for row in rows)


def test_a_run_under_way_is_listed_as_running(recordings: Path, capsys: pytest.CaptureFixture[str]):
    journal = running(recordings, FIRST)
    try:
        assert listed(capsys, "--outcome", "running") == ["run_id", FIRST]
    finally:
        journal.close()


def test_an_empty_list_is_empty_and_says_where_it_looked(recordings: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["recordings", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert str(recordings) in err
    assert cli.main(["recordings", "list", "--json"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [["-n", "0"], ["-n", "x"], ["--outcome", "bad"], ["--since", "soon"], ["--since"]])
def test_what_does_not_fit_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        cli.main(["recordings", "list", *words])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: streamnb recordings list")


def test_names_in_a_foreign_file_do_not_act_on_the_terminal(recordings: Path, capsys: pytest.CaptureFixture[str]):
    written(recordings, FIRST, target="\x1b[2Jde\nmo", model="\x1b]0;title\x07m\x9b5n")
    assert cli.main(["recordings", "list"]) == 0
    assert cli.main(["recordings", "show", FIRST]) == 0
    out = capsys.readouterr().out
    assert not set("\x1b\x07\x9b") & set(out)
    assert out.splitlines()[1].split()[3:6] == ["de", "mo", "m"]


def test_a_run_is_shown_in_words(capsys: pytest.CaptureFixture[str]):
    run = streamnb.stream("deepset", "Why?\nTell me.", sim=True, pipeline="rivers", pace={"tokens": 30, "gap": 0})
    assert cli.main(["recordings", "show", run.run_id]) == 0
    out = capsys.readouterr().out
    head, figures, calls, asked, text = out.split("\n\n", 4)
    shown = dict(line.split(None, 1) for line in head.splitlines())
    assert shown["run"] == run.run_id
    assert shown["target"].startswith("deepset")
    assert (shown["file"], shown["session"], shown["outcome"]) == (str(run.path), run.session_id, "complete")
    assert "error" not in shown
    assert [line.split()[0] for line in figures.splitlines()][:2] == ["TTFT", "to"]
    assert [line.split()[0] for line in calls.splitlines()] == ["call", *run.calls["name"]]
    assert asked == "> Why?\n> Tell me."
    assert text == run.text + "\n"


def test_a_run_without_calls_or_text_is_shown_as_far_as_it_went(recordings: Path, capsys: pytest.CaptureFixture[str]):
    path = written(recordings, FIRST, outcome=None)
    assert cli.main(["recordings", "show", str(path)]) == 0
    head, _, asked = capsys.readouterr().out.split("\n\n")
    assert "outcome  crashed" in head
    assert "error    openai_chat: the process that recorded it died" in head
    assert asked == "> Why?\n"
    journal = running(recordings, SECOND)
    try:
        assert cli.main(["recordings", "show", SECOND]) == 0
    finally:
        journal.close()
    assert "outcome  running" in capsys.readouterr().out


def test_a_run_is_shown_as_one_json_document(capsys: pytest.CaptureFixture[str]):
    run = streamnb.stream("demo", "Why?", pace={"tokens": 5, "gap": 0})
    assert cli.main(["recordings", "show", run.run_id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [*COLUMNS["runs"], "text", "path", "prompt", "calls"]
    assert (found["text"], found["prompt"], found["outcome"]) == (run.text, "Why?", "complete")
    assert [list(call) for call in found["calls"]] == [list(COLUMNS["calls"])]
    assert (found["calls"][0]["status"], found["calls"][0]["tls_s"]) == (200, None)


def test_an_unclear_name_lists_the_candidates_and_is_a_usage_error(
    three: list[Path], capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["recordings", "show", "2026"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert SECOND in err
    assert THIRD in err
    assert FIRST not in err
