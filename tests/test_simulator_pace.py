from __future__ import annotations

import dataclasses
import itertools
import statistics

import pytest

from streamnb.simulator.pace import Pace, Write, deadlines, schedule, text, writes


def test_a_constant_pace_is_exactly_the_arithmetic_of_its_numbers():
    pace = Pace(seed=1, tokens=4, ttft=0.5, gap=0.25, gap_dist="constant")
    assert schedule(pace) == [
        Write(0.5, ("##",)),
        Write(0.75, (" Loose",)),
        Write(1.0, (" threads",)),
        Write(1.25, ("\n\nThe",)),
    ]


def test_the_lognormal_schedule_of_seed_1_is_pinned():
    assert [at_s for at_s, _ in schedule(Pace(seed=1, tokens=5))] == [0.15, 0.158603, 0.189512, 0.21522, 0.226472]


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another():
    assert schedule(Pace(seed=5)) == schedule(Pace(seed=5))
    assert deadlines(Pace(seed=5), 20) != deadlines(Pace(seed=6), 20)


def test_a_burst_sends_pieces_together_and_the_last_write_has_the_rest():
    pace = Pace(tokens=7, burst=3, ttft=0.0, gap=1.0, gap_dist="constant")
    assert [(write.at_s, len(write.tokens)) for write in schedule(pace)] == [(0.0, 3), (1.0, 3), (2.0, 1)]


def test_bursts_do_not_change_the_text():
    one = "".join(piece for write in schedule(Pace(tokens=50)) for piece in write.tokens)
    many = "".join(piece for write in schedule(Pace(tokens=50, burst=7)) for piece in write.tokens)
    assert one == many == text(Pace(tokens=50))


@pytest.mark.parametrize(("burst", "late"), [(1, [0.0, 1.0, 12.0, 13.0]), (2, [0.0, 11.0])])
def test_a_stall_lies_before_the_write_that_holds_its_token(burst, late):
    pace = Pace(tokens=4, burst=burst, ttft=0.0, gap=1.0, gap_dist="constant", stall_at=2, stall=10.0)
    assert [write.at_s for write in schedule(pace)] == late


def test_a_stall_at_the_first_token_delays_it():
    assert deadlines(Pace(ttft=1.0, gap=0.0, stall_at=0, stall=2.0), 2) == [3.0, 3.0]


def test_lognormal_gaps_have_the_mean_that_was_asked_for():
    due = [write.at_s for write in writes(Pace(seed=3, tokens=20_001, ttft=0.0, gap=0.02, sigma=0.6))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert statistics.mean(gaps) == pytest.approx(0.02, rel=0.02)
    assert statistics.median(gaps) == pytest.approx(0.02 * 2.718281828 ** (-0.18), rel=0.03)
    assert min(gaps) > 0


def test_no_gap_and_no_tokens_are_allowed():
    assert deadlines(Pace(gap=0.0), 3) == [0.15, 0.15, 0.15]
    assert schedule(Pace(tokens=0)) == []


def test_a_pace_is_a_frozen_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Pace().seed = 2
