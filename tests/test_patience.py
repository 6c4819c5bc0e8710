"""Patience: a selector that waits a moment before it looks, when it is told to, and says how busy its loop was."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from streamnb import patience
from streamnb.patience import WAIT_S, WINDOW_S, PatientSelector


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


@pytest.fixture
def selector() -> Iterator[PatientSelector]:
    with PatientSelector() as selector:
        yield selector


@pytest.fixture
def ends(selector: PatientSelector) -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        selector.register(one, selectors.EVENT_READ)
        yield one, other


def test_by_default_it_is_the_selector_it_builds_on(selector: PatientSelector, clock: Clock, ends):
    ends[1].send(b"x")
    assert [key.fileobj for key, _ in selector.select(None)] == [ends[0]]
    assert clock.slept == []


@pytest.mark.parametrize(
    ("timeout", "slept"), [(None, [WAIT_S]), (5.0, [WAIT_S]), (WAIT_S / 2, [WAIT_S / 2]), (0, []), (-1, [])]
)
def test_a_patient_one_waits_first_but_never_longer_than_it_may(
    timeout, slept, selector: PatientSelector, clock: Clock, ends
):
    selector.be_patient(patient=True)
    ends[1].send(b"x")
    assert [key.fileobj for key, _ in selector.select(timeout)] == [ends[0]]
    assert clock.slept == slept


def test_it_can_be_told_twice_and_stops_waiting_when_told(selector: PatientSelector, clock: Clock, ends):
    ends[1].send(b"x")
    for patient in (True, True, False, False, True, False):
        selector.be_patient(patient=patient)
    selector.select(None)
    assert clock.slept == []


def test_the_share_of_time_its_loop_was_busy_is_that_outside_it(selector: PatientSelector, clock: Clock, ends):
    selector.be_patient(patient=True)
    ends[1].send(b"x")
    assert selector.busy == 0.0
    while clock.now < 100.0 + 4 * WINDOW_S:
        selector.select(None)
        clock.now += 3 * WAIT_S
    assert selector.busy == pytest.approx(0.75, abs=0.02)
    selector.be_patient(patient=False)
    assert selector.busy == 0.0
