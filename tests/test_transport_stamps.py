from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from streamnb.transport import stamps
from streamnb.transport.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, Ancillary, KernelClock, switch_on

US = 1_000
MS = 1_000_000
S = 1_000_000_000
AHEAD = 1_700_000_000 * S
"""How far the wall clock is ahead of the monotonic one, ns."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps")


class Clocks:
    """Two clocks that a test sets. Each look at one of them takes 100 ns."""

    def __init__(self) -> None:
        self.now = 50 * S
        self.ahead = AHEAD
        self.held: list[int] = []

    def monotonic(self) -> int:
        self.now += 100 + (self.held.pop() if self.held else 0)
        return self.now

    def realtime(self) -> int:
        self.now += 100
        return self.now + self.ahead

    def stamped(self, t_ns: int) -> Ancillary:
        """What the kernel says of a segment that it had at that monotonic time."""
        return said(t_ns + self.ahead)


def said(real_ns: int) -> Ancillary:
    return [(socket.SOL_SOCKET, SO_TIMESTAMPNS, struct.pack("@ll", *divmod(real_ns, S)))]


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def clock(clocks: Clocks) -> Iterator[KernelClock]:
    clock = KernelClock(clocks.realtime, clocks.monotonic)
    yield clock
    clock.close()


def test_the_offset_is_known_to_within_the_bracket_it_was_measured_in(clocks: Clocks, clock: KernelClock):
    assert clock.error_ns == 200
    assert abs(clock.offset_ns - clocks.ahead) <= clock.error_ns


@pytest.mark.parametrize("before_ns", [5 * US, 500 * US, 1_900 * US])
def test_a_stamp_is_told_on_the_monotonic_clock(before_ns: int, clocks: Clocks, clock: KernelClock):
    now = clocks.now
    assert clock.stamp(clocks.stamped(now - before_ns), now) == now - before_ns
    assert clocks.now == now  # nobody looked at a clock for it


def test_a_stamp_long_before_the_read_is_a_busy_client_and_not_a_step(clocks: Clocks, clock: KernelClock):
    now, offset_ns = clocks.now + S, clock.offset_ns
    clocks.now = now
    assert clock.stamp(clocks.stamped(now - 700 * MS), now) == now - 700 * MS
    assert clock.offset_ns == offset_ns


def test_a_stamp_a_little_later_than_the_read_is_put_on_the_read(clocks: Clocks, clock: KernelClock):
    now, offset_ns = clocks.now, clock.offset_ns
    assert clock.stamp(clocks.stamped(now + 5 * US), now) == now
    assert clock.offset_ns == offset_ns


def test_a_stamp_that_cannot_be_is_none(clocks: Clocks, clock: KernelClock):
    now, offset_ns = clocks.now, clock.offset_ns
    assert clock.stamp(clocks.stamped(now + 50 * MS), now) is None
    assert clock.offset_ns == offset_ns


@pytest.mark.parametrize("step_ns", [-3600 * S, -S, -10 * MS, 30 * US, 10 * MS, S, 3600 * S])
def test_a_wall_clock_that_is_set_is_noticed_and_stamps_are_right_again(
    step_ns: int, clocks: Clocks, clock: KernelClock
):
    for _ in range(3):
        clocks.ahead += step_ns
        clocks.now += 100 * MS
        now = clocks.now
        for _ in range(3):
            assert clock.stamp(clocks.stamped(now - 5 * US), now) == now - 5 * US


def test_a_stamp_from_before_the_clock_was_set_is_never_later_than_its_read(clocks: Clocks, clock: KernelClock):
    now = clocks.now
    old = clocks.stamped(now - 5 * US)
    clocks.ahead -= S  # the stamp is of the clock as it was: a second too late now
    assert clock.stamp(old, now) == now - 5 * US  # nobody has noticed yet
    assert clock.stamp(clocks.stamped(now), now) == now
    assert abs(clock.offset_ns - clocks.ahead) <= clock.error_ns
    assert clock.stamp(old, now) is None


def test_a_busy_client_with_many_late_stamps_looks_at_the_clocks_once_in_a_while(clocks: Clocks, clock: KernelClock):
    looks = []
    for _ in range(100):
        before = clocks.now
        late = clocks.stamped(before - 30 * MS)
        assert clock.stamp(late, before) == before - 30 * MS
        looks.append(clocks.now != before)
        clocks.now += MS
    assert looks[0]
    assert sum(looks) in {2, 3}


def test_a_step_back_right_after_a_look_is_noticed_soon(clocks: Clocks, clock: KernelClock):
    assert clock.stamp(clocks.stamped(clocks.now - 3 * MS), clocks.now)  # a look
    clocks.ahead -= S
    clocks.now += 100 * MS
    now = clocks.now
    assert clock.stamp(clocks.stamped(now), now) == now
    assert abs(clock.offset_ns - clocks.ahead) <= clock.error_ns


def test_slewing_is_no_step(clocks: Clocks, clock: KernelClock):
    clocks.ahead += 15 * US
    now, offset_ns = clocks.now, clock.offset_ns
    assert clock.stamp(clocks.stamped(now), now) == now
    assert clock.offset_ns == offset_ns


def test_a_thread_switch_between_the_clocks_is_not_taken_for_the_offset():
    clocks = Clocks()
    clocks.held = [8 * MS, 0, 3 * MS, 0, 0, 0, 9 * MS, 0] + [MS] * 20
    clock = KernelClock(clocks.realtime, clocks.monotonic)
    assert abs(clock.offset_ns - clocks.ahead) <= clock.error_ns <= 200
    clock.close()


def test_when_every_bracket_was_interrupted_the_error_says_so():
    clocks = Clocks()
    clocks.held = [MS + n for n in range(100)]
    clock = KernelClock(clocks.realtime, clocks.monotonic)
    assert clock.error_ns > MS
    assert abs(clock.offset_ns - clocks.ahead) <= clock.error_ns
    clock.close()


FOREIGN = {
    "nothing": [],
    "another level": [(socket.IPPROTO_IP, SO_TIMESTAMPNS, bytes(16))],
    "another kind": [(socket.SOL_SOCKET, 29, bytes(16))],
    "another length": [(socket.SOL_SOCKET, SO_TIMESTAMPNS, bytes(8))],
}


@pytest.mark.parametrize("ancillary", FOREIGN.values(), ids=FOREIGN)
def test_without_a_stamp_there_is_none(ancillary: Ancillary, clock: KernelClock, clocks: Clocks):
    assert clock.stamp(ancillary, clocks.now) is None


def test_a_stamp_behind_something_else_is_found(clock: KernelClock, clocks: Clocks):
    now = clocks.now
    everything = [one for foreign in FOREIGN.values() for one in foreign] + list(clocks.stamped(now - 1))
    assert clock.stamp(everything, now) == now - 1


# -- real sockets


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


@linux
def test_the_kernel_stamps_what_a_socket_receives_between_sending_and_reading():
    clock = KernelClock()
    one, other = connected()
    with one, other:
        assert switch_on(one)
        for _ in range(20):
            before = time.monotonic_ns()
            other.send(b"x")
            select.select([one], [], [], 10)
            _, ancillary, _, _ = one.recvmsg(10, ANCILLARY_BYTES)
            read_ns = time.monotonic_ns()
            t_ns = clock.stamp(ancillary, read_ns)
            assert t_ns is not None
            assert before - clock.error_ns <= t_ns <= read_ns
    clock.close()


@linux
def test_the_kernel_stamps_already_while_the_clock_lives_so_that_the_first_reply_has_one():
    clock = KernelClock()
    assert clock._keeper is not None
    assert clock._keeper.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS) == 1
    clock.close()
    assert clock._keeper.fileno() == -1


def test_where_the_kernel_does_not_stamp_nobody_asks_it_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stamps, "SUPPORTED", False)
    with socket.socket() as sock:
        assert not switch_on(sock)
    clock = KernelClock()
    assert clock._keeper is None
    clock.close()


@linux
def test_a_socket_that_refuses_the_option_goes_without():
    closed = socket.socket()
    closed.close()
    assert not switch_on(closed)


def test_a_clock_is_closed_twice_without_harm():
    clock = KernelClock()
    clock.close()
    clock.close()
