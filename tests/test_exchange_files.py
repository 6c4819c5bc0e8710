from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from streamnb import exchange
from streamnb.errors import TranscriptError, UsageError
from streamnb.exchange import _files

OLD, NEW = pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [2, 3]})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def full_disk(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_new_directories_and_files_are_the_users_own(tmp_path: Path):
    before = mode(tmp_path)
    paths = exchange.write_jsonl({"mine": OLD}, tmp_path / "a" / "b")
    assert [path.name for path in paths] == ["mine.jsonl", "mine.columns.json"]
    assert [mode(path) for path in paths] == [0o600, 0o600]
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(tmp_path)) == (0o700, 0o700, before)
    assert mode(exchange.write_csv(OLD, tmp_path / "x.csv")) == 0o600


def test_nothing_to_write_is_nothing(tmp_path: Path):
    assert exchange.write_jsonl({}, tmp_path / "new") == []
    assert listing(tmp_path) == []


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    exchange.write_jsonl({"mine": OLD}, tmp_path)
    before = listing(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            exchange.write_jsonl({"first": NEW, "mine": NEW}, tmp_path, overwrite=True)
    assert listing(tmp_path) == before
    assert_frame_equal(exchange.read_jsonl(tmp_path)["mine"], OLD)


def test_a_table_that_cannot_be_written_leaves_the_others_as_they_were(tmp_path: Path):
    exchange.write_jsonl({"mine": OLD}, tmp_path)
    before = listing(tmp_path)
    odd = pd.DataFrame({"a": pd.Series([(1, 2)], dtype=object)})
    with pytest.raises(UsageError, match="odd: column 'a'"):
        exchange.write_jsonl({"mine": NEW, "odd": odd}, tmp_path, overwrite=True)
    assert listing(tmp_path) == before
    assert_frame_equal(exchange.read_jsonl(tmp_path)["mine"], OLD)


def test_an_interrupt_leaves_no_half_file(tmp_path: Path):
    def interrupted(file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _files.publish({tmp_path / "a": interrupted}, overwrite=False)
    assert listing(tmp_path) == []


def test_files_are_on_the_disk_before_they_are_in_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(kind_of(fd)), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (calls.append("replace"), replace(path, to)))
    exchange.write_jsonl({"mine": OLD}, tmp_path)
    assert calls == ["file", "file", "replace", "replace", "directory"]


def kind_of(fd: int) -> str:
    return "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"


def test_a_directory_that_cannot_be_opened_is_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened = os.open

    def refused(path, flags, *more, **named):
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, "no directories here")
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refused)
    (path,) = exchange.write_jsonl({"providers": exchange_providers()}, tmp_path)
    assert path.exists()


def exchange_providers() -> pd.DataFrame:
    from streamnb import tables

    return tables.providers([])


def test_a_link_that_leads_nowhere_is_a_file_that_is_there(tmp_path: Path):
    (tmp_path / "mine.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"mine\.csv is there already"):
        exchange.write_csv(OLD, tmp_path / "mine.csv")
    exchange.write_csv(OLD, tmp_path / "mine.csv", overwrite=True)
    assert listing(tmp_path) == ["mine.csv"]


def test_a_file_larger_than_one_is_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_files, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match=r"mine\.csv would be larger than it may be \(10 bytes\)"):
        exchange.write_csv(pd.DataFrame({"a": range(10)}), tmp_path / "mine.csv")
    assert listing(tmp_path) == []


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_file_larger_than_one_is_written_is_not_read(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / f"calls{suffix}").write_bytes(b"12345678901")
    monkeypatch.setattr(_files, "MAX_BYTES", 10)
    with pytest.raises(TranscriptError, match=rf"calls\{suffix}: 11 bytes are more than such a file may have \(10\)"):
        (exchange.read_parquet if suffix == ".parquet" else exchange.read_jsonl)(tmp_path)
