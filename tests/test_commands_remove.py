from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from run_files import days_ago, running, written

from streamnb import cli

OLD, NEW = "20250101-120000-aaa111", "20260102-120000-bbb222"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def old(recordings: Path) -> Path:
    return written(recordings, OLD, wall_ns=days_ago(40))


@pytest.fixture
def new(recordings: Path) -> Path:
    return written(recordings, NEW, wall_ns=days_ago(3))


def rm(*words: str) -> int:
    return cli.main(["recordings", "rm", *words])


def test_named_runs_are_removed_and_no_others(old: Path, new: Path, capsys: pytest.CaptureFixture[str]):
    assert rm("aaa111", "--yes") == 0
    assert (old.exists(), new.exists()) == (False, True)
    assert capsys.readouterr() == (f"removed {old}\n", "")


def test_an_age_removes_what_is_older(old: Path, new: Path, capsys: pytest.CaptureFixture[str]):
    assert rm("--older-than", "30d", "--yes", "--json") == 0
    assert (old.exists(), new.exists()) == (False, True)
    assert json.loads(capsys.readouterr().out) == {"run_id": OLD, "path": str(old), "removed": True}
    assert rm("--older-than", "30d", "--yes") == 0
    assert capsys.readouterr() == ("", "nothing to remove\n")


def test_a_dry_run_only_says_what_would_go(old: Path, new: Path, capsys: pytest.CaptureFixture[str]):
    assert rm("--older-than", "1d", "--dry-run") == 0
    assert capsys.readouterr() == (f"would remove {old}\nwould remove {new}\n", "")
    assert rm("aaa111", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"] is False
    assert old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("answer", "gone"), [("y\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_terminal_is_asked(
    old: Path, answer: str, gone: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    n_bytes = old.stat().st_size
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert rm("aaa111") == (0 if gone else 1)
    assert old.exists() is not gone
    said = capsys.readouterr()
    assert OLD in said.err.splitlines()[0]
    assert f"Remove 1 recording ({n_bytes} B)? [y/N] " in said.err
    assert said.out == (f"removed {old}\n" if gone else "")


@pytest.mark.parametrize("stdin", [None, io.StringIO("y\n")])
def test_nobody_to_ask_means_no(
    old: Path, new: Path, stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert rm("--older-than", "1d") == 2
    assert "2 recordings (" in capsys.readouterr().err
    assert old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the runs, or an age"),
        (["aaa111", "--older-than", "1d"], "not both"),
        (["aaa111", "zzz", "--yes"], "no recording is called 'zzz'"),
        (["2", "--yes"], "names 2 recordings"),
    ],
)
def test_what_is_not_meant_clearly_removes_nothing(
    old: Path, new: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert rm(*words) == 2
    assert said in capsys.readouterr().err
    assert old.exists()
    assert new.exists()


def test_a_run_that_still_runs_stays(recordings: Path, old: Path, capsys: pytest.CaptureFixture[str]):
    journal = running(recordings, "20250102-120000-ccc333", wall_ns=days_ago(50))
    try:
        assert rm("ccc333", "aaa111", "--yes") == 2
        assert "ccc333 still runs" in capsys.readouterr().err
        assert old.exists()
        assert rm("--older-than", "30d", "--yes") == 0
        assert (journal.path.exists(), old.exists()) == (True, False)
    finally:
        journal.close()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX only")
def test_what_the_disk_does_not_let_go_is_said_and_the_rest_goes(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == old:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert rm("aaa111", "bbb222", "--yes") == 1
    assert (old.exists(), new.exists()) == (True, False)
    assert capsys.readouterr() == (f"removed {new}\n", f"{old} was not removed: Permission denied\n")
