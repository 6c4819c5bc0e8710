from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pytest
from run_files import running, written

from streamnb.commands import chosen
from streamnb.errors import TranscriptError, UsageError

FIRST, SECOND = "20260101-120000-aaa111", "20260102-120000-bbb111"


@pytest.fixture
def two(recordings: Path) -> list[Path]:
    return [written(recordings, FIRST), written(recordings, SECOND)]


@pytest.mark.parametrize("word", [FIRST, "20260101", "20260101-12", "aaa111", "a111", "aaa"])
def test_a_run_is_found_by_its_name_or_the_beginning_or_the_end_of_it(two: list[Path], word: str):
    assert chosen.find(word).path == two[0]
    assert chosen.path_of(word) == two[0]


def test_a_run_is_found_by_the_path_of_its_file_wherever_it_lies(tmp_path: Path, two: list[Path]):
    path = written(tmp_path / "elsewhere", "20250101-000000-ccc222", wall_ns=7, target="oliver")
    found = chosen.find(str(path))
    assert (found.path, found.run_id, found.target, found.outcome) == (path, path.stem, "oliver", "complete")
    assert (found.started_ns, found.model, found.n_bytes) == (7, "m-1", path.stat().st_size)
    assert chosen.path_of(str(path)) == path
    assert [one.path for one in chosen.find_each([str(path), FIRST, "aaa111", str(path)])] == [path, two[0]]


def test_a_whole_name_wins_over_names_that_begin_with_it(recordings: Path):
    path = written(recordings, "20260101")
    written(recordings, "20260101-120000-aaa111")
    assert chosen.find("20260101").path == path


def test_a_name_that_fits_several_lists_them(two: list[Path]):
    with pytest.raises(UsageError, match="names 2 recordings") as caught:
        chosen.find("2026")
    lines = str(caught.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [FIRST, SECOND]


def test_no_more_candidates_are_listed_than_fit_on_a_screen(recordings: Path):
    for number in range(13):
        written(recordings, f"20260101-1200{number:02}-aaa111")
    with pytest.raises(UsageError) as caught:
        chosen.find("111")
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  and 3 more"


def test_copies_of_one_run_are_told_apart_by_their_paths(recordings: Path, two: list[Path]):
    copy = recordings / "copy.jsonl"
    copy.write_bytes(two[0].read_bytes())
    with pytest.raises(UsageError) as caught:
        chosen.find(FIRST)
    assert str(two[0]) in str(caught.value)
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize(
    ("word", "said"),
    [("nope", "no recording is called 'nope'"), ("", "no recording"), ("no.jsonl", "no file no.jsonl")],
)
def test_a_name_that_fits_none_says_so(two: list[Path], word: str, said: str):
    with pytest.raises(UsageError, match=said):
        chosen.find(word)
    with pytest.raises(UsageError, match="there is no file"):
        chosen.find(f"somewhere{os.sep}else")


def test_a_file_that_is_no_run_file_is_named(tmp_path: Path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear all")
    with pytest.raises(TranscriptError, match=r"letter\.txt: line 1"):
        chosen.find(str(path))


def test_a_run_that_still_runs_is_refused_and_known_as_such(recordings: Path):
    journal = running(recordings, FIRST)
    try:
        by_name, by_path = chosen.find(FIRST), chosen.find(str(journal.path))
        assert (by_name.outcome, by_path.outcome) == ("running", "running")
        with pytest.raises(UsageError, match=f"{FIRST} still runs"):
            chosen.refuse_running([by_name])
    finally:
        journal.close()
    chosen.refuse_running([chosen.find(FIRST)])
    assert chosen.find(str(journal.path)).outcome == "crashed"


def test_recordings_are_in_the_order_of_their_starts_not_of_their_names(recordings: Path):
    written(recordings, "20260101-120000-aaa111", wall_ns=9)
    written(recordings, "20260102-120000-bbb111", wall_ns=8)
    assert [one.started_ns for one in chosen.every()] == [8, 9]


def test_a_moment_is_shown_as_the_clock_on_the_wall_here_says_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert chosen.local(1_767_225_599_999_999_999) == "2026-01-01 05:29:59"
        assert chosen.since("2026-01-01T05:30") == 1_767_225_600
        assert chosen.since("2026-01-01T05:30+00:00") == 1_767_245_400
        assert chosen.since("2026-01-01") == 1_767_205_800
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("12h", 43200), ("1.5d", 129600), ("2w", 1209600)])
def test_an_age_is_a_number_and_a_unit(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch):
    assert chosen.age(text) == seconds
    monkeypatch.setattr("time.time", lambda: 2_000_000.0)
    assert chosen.since(text) == 2_000_000 - seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "30x", "1e3d", "\u0663d"])
def test_what_is_no_age_is_refused(text: str):
    with pytest.raises(argparse.ArgumentTypeError, match="an age is wanted, such as"):
        chosen.age(text)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "30x", "--"])
def test_what_is_no_date_is_refused(text: str):
    with pytest.raises(argparse.ArgumentTypeError, match="a date is wanted, such as"):
        chosen.since(text)
