from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from record_builder import T0_NS, Read, S, read, record

import streamnb
from streamnb import accuracy, calibration, tables
from streamnb.calibration import _Measured, _search
from streamnb.errors import CompanionError, UsageError
from streamnb.session import ask

SHORT = {"tokens": 2, "ttft": 0, "gap": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STREAMNB_CACHE", str(tmp_path / "cache"))
    accuracy.forget()
    yield tmp_path / "cache"
    accuracy.forget()


def measured(lag_s: float) -> _Measured:
    return _Measured(np.full(100, lag_s), 0.02, 0.0, "kernel")


def searched(monkeypatch: pytest.MonkeyPatch, streams: int, up_to: int) -> tuple[tuple[int, str], list[int]]:
    """The search on a machine that is in time with up to so many streams, and the sizes it tried."""
    sizes: list[int] = []

    def measure(size: int, seconds: float) -> _Measured:
        sizes.append(size)
        return measured(0.001 if size <= up_to else 0.003)

    monkeypatch.setattr(calibration, "_measure", measure)
    return _search(streams, measure(streams, 2.0)), sizes


def test_the_search_takes_large_steps_until_stamps_are_late_and_half_of_one_back(monkeypatch: pytest.MonkeyPatch):
    assert searched(monkeypatch, 1, 11) == ((8, "lag"), [1, 4, 16, 16, 8])
    assert searched(monkeypatch, 1, 5) == ((4, "lag"), [1, 4, 16, 16, 8, 8])
    assert searched(monkeypatch, 3, 11) == ((6, "lag"), [3, 12, 12, 6])


def test_a_size_is_too_large_when_stamps_are_late_or_reads_shared():
    assert measured(0.0019).good
    assert not measured(0.0021).good
    assert measured(0.001)._replace(shared=0.1).good
    assert not measured(0.001)._replace(shared=0.11).good


def test_pieces_that_shared_a_read_are_counted(monkeypatch: pytest.MonkeyPatch):
    assert calibration._measure(1, 0.4).shared < 1.0  # a busy machine shares some
    three = {"tokens": 30, "ttft": 0.1, "gap": 0.02, "burst": 3}
    monkeypatch.setattr(calibration, "ask", lambda *said, **more: ask(*said, **{**more, "pace": three}))
    assert calibration._measure(1, 0.4).shared == 1.0


def test_each_piece_is_as_late_as_the_read_it_came_with():
    def piece(sent_s: float) -> bytes:
        return b': t_ns=%d\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n' % (T0_NS + round(sent_s * S))

    def sent(t_s: float, *at_s: float) -> Read:
        return read(t_s, data=b"".join(map(piece, at_s)), server_t_ns=T0_NS + round(at_s[-1] * S))

    chunks = tables.chunks(record(sent(1.0, 0.94, 0.96, 0.999), sent(1.02, 1.019), read(1.04, data=piece(1.03)[:9])))
    found = calibration._compare([SimpleNamespace(run=SimpleNamespace(chunks=chunks))])
    assert found.lag_s == pytest.approx([0.06, 0.04, 0.001, 0.001])
    assert (found.median_gap_s, found.shared) == (pytest.approx(0.02), 0.75)


def test_a_size_that_fails_once_by_chance_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    late = iter([True, False, True, True, True, True])
    monkeypatch.setattr(calibration, "_measure", lambda _size, _s: measured(0.003 if next(late) else 0.001))
    assert _search(1, measured(0.001)) == (4, "lag")


def test_the_search_begins_at_one_where_the_asked_number_is_too_many(monkeypatch: pytest.MonkeyPatch):
    assert searched(monkeypatch, 8, 2) == ((2, "lag"), [8, 1, 4, 4, 2])
    assert searched(monkeypatch, 8, 7) == ((7, "lag"), [8, 1, 4, 7])
    assert searched(monkeypatch, 4, 0) == ((0, "lag"), [4, 1, 1])
    assert searched(monkeypatch, 1, 0) == ((0, "lag"), [1])


def test_the_search_ends_at_the_most_it_may_open(monkeypatch: pytest.MonkeyPatch):
    assert searched(monkeypatch, 64, 10**9) == ((256, "time"), [64, 256])
    assert searched(monkeypatch, 100, 10**9) == ((256, "time"), [100, 256])
    assert searched(monkeypatch, 256, 10**9) == ((256, "time"), [256])


def test_the_search_ends_with_its_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "SEARCH_S", -1.0)
    assert searched(monkeypatch, 1, 10**9) == ((1, "time"), [1])


@pytest.mark.parametrize("streams", [0, -1, 257, 1.0, "1", True])
def test_a_number_of_streams_that_is_none_is_refused(streams):
    with pytest.raises(UsageError, match="calibrate wants 1 to 256 streams"):
        streamnb.calibrate(streams)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short measurement; the search has its own tests."""
    monkeypatch.setattr(calibration, "FIRST_S", 0.4)
    monkeypatch.setattr(calibration, "SEARCH_S", -1.0)


def test_it_measures_real_streams_and_every_later_run_shows_the_error(quick, cache: Path, recordings: Path):
    assert math.isnan(streamnb.stream("demo", "Hi", pace=SHORT).summary["measurement_error_s"].item())
    found = streamnb.calibrate(3)
    assert (found.streams, found.machine) == (3, accuracy.machine())
    assert 3 < found.n <= 3 * 44  # 40 pieces each, and what is stamped around them
    assert 0 < found.lag_p50_s <= found.lag_p99_s
    assert found.median_gap_s > 0
    assert set(found.stamp_source.split()) <= {"kernel", "read"}
    assert found.measured_ns <= time.time_ns()
    assert calibration.known() is found
    assert len(list(cache.iterdir())) == 1
    run = streamnb.stream("demo", "Hi", pace=SHORT)
    assert run.summary["measurement_error_s"].item() == found.lag_p99_s


def test_its_streams_are_no_runs_of_the_user(quick, recordings: Path):
    before = streamnb.last()
    streamnb.calibrate()
    assert streamnb.last() is before
    assert not recordings.exists()


def test_a_simulator_that_sends_nothing_is_an_error_not_a_figure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "ask", functools.partial(ask, scenario="empty"))
    with pytest.raises(CompanionError, match="nothing that could be timed"):
        streamnb.calibrate()
    assert calibration.known() is None


def test_an_interrupt_ends_its_streams(monkeypatch: pytest.MonkeyPatch):
    probes: list[calibration._Probe] = []

    class Interrupted(calibration._Probe):
        def wait(self):
            probes.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "_Probe", Interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        streamnb.calibrate(2)
    done = calibration.Session.wait(probes[0])
    assert done.outcome == "stopped"
    assert threading.active_count() <= before + 2
