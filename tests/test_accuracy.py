from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamnb import accuracy
from streamnb.accuracy import Calibration

FOUND = Calibration(1, 100, 0.00002, 0.0004, 0.02, 64, "time", "kernel", "CPython 3.13 Linux x86_64, 2 cores", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STREAMNB_CACHE", str(tmp_path / "cache"))
    accuracy.forget()
    yield tmp_path / "cache"
    accuracy.forget()


def test_a_machine_that_was_never_calibrated_has_no_figure_and_gets_no_file(cache: Path):
    assert accuracy.known() is None
    assert math.isnan(accuracy.measurement_error_s())
    assert not cache.exists()


def test_a_figure_is_known_at_once_and_in_the_next_process(cache: Path):
    accuracy.keep(FOUND)
    assert accuracy.known() is FOUND
    assert accuracy.measurement_error_s() == 0.0004
    accuracy.forget()
    assert accuracy.known() == FOUND
    program = "import streamnb.accuracy as a; print(a.measurement_error_s())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0.0004\n"
    assert len(list(cache.iterdir())) == 1


def test_the_figure_of_one_kind_of_stamps_says_nothing_of_another():
    accuracy.keep(FOUND)
    assert accuracy.measurement_error_s("kernel") == 0.0004
    assert math.isnan(accuracy.measurement_error_s("read"))
    accuracy.keep(dataclasses.replace(FOUND, stamp_source="kernel read"))
    assert math.isnan(accuracy.measurement_error_s("kernel"))


def test_the_file_is_read_once():
    accuracy.keep(FOUND)
    accuracy.forget()
    assert accuracy.known() == FOUND
    accuracy._file().unlink()
    assert accuracy.known() == FOUND


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"streams": "1"}, {"lag_p99_s": None}, {"more": 1}],
    ids=["another version", "another type", "a hole", "another field"],
)
def test_a_file_that_is_not_understood_is_no_figure(change):
    accuracy.keep(FOUND)
    said = json.loads(accuracy._file().read_text()) | change
    accuracy._file().write_text(json.dumps(said))
    accuracy.forget()
    assert accuracy.known() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\ud83d"])
def test_a_broken_file_is_no_figure(text):
    accuracy.keep(FOUND)
    accuracy._file().write_bytes(text.encode("utf-8", "surrogatepass"))
    accuracy.forget()
    assert accuracy.known() is None


def test_a_disk_that_refuses_it_loses_nothing_but_the_file(cache: Path):
    cache.write_text("no directory")
    accuracy.keep(FOUND)
    assert accuracy.known() is FOUND


def test_without_a_boot_id_the_machines_name_stands_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    booted = accuracy._key()
    accuracy._key.cache_clear()
    monkeypatch.setattr(accuracy, "_BOOT_ID", tmp_path / "none")
    named = accuracy._key()
    accuracy._key.cache_clear()
    assert len(named) == len(booted) == 16
    assert named != booted or not Path("/proc/sys/kernel/random/boot_id").exists()


def test_the_file_is_in_the_users_cache_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STREAMNB_CACHE")
    assert accuracy.cache_dir().name.lower().startswith(("streamnb", "cache"))


def test_it_shows_what_it_means():
    shown = repr(FOUND)
    assert "kernel stamps are 0.02 ms late (median), 0.4 ms (99th percentile); 100 pieces" in shown
    assert "pieces, 1 at once; good for 64 or more streams at once" in shown
    assert "or more" not in repr(dataclasses.replace(FOUND, searched="lag"))
    assert accuracy.machine().endswith(f"{os.cpu_count()} cores")
