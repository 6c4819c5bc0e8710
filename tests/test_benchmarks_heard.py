"""What a client heard, reduced to figures."""

from __future__ import annotations

from benchmarks.heard import Heard, digest


def heard(*, lag_ns: int, sent: list[int], alone: list[bool] | None = None) -> Heard:
    return Heard(0, 100, [at + lag_ns for at in sent], [f"{at:019}" for at in sent], alone)


def test_the_lag_is_from_the_servers_stamp_to_the_clients():
    figures = digest([heard(lag_ns=2_000, sent=list(range(1_000, 101_000, 1_000)))], 0)
    assert (figures["n"], figures["p50_us"], figures["p99_us"]) == (100, 2.0, 2.0)


def test_what_came_while_it_warmed_up_does_not_count():
    late, on_time = heard(lag_ns=9_000_000, sent=[1_000]), heard(lag_ns=1_000, sent=[5_001_000])
    assert digest([late, on_time], 5_000_000)["p99_us"] == 1.0


def test_events_that_shared_a_read_are_left_out_and_counted():
    figures = digest([heard(lag_ns=1_000, sent=[1_000, 2_000], alone=[True, False])], 0)
    assert (figures["n"], figures["left_out"]) == (1, 1)


def test_the_backlog_is_the_age_of_what_came_last():
    growing = Heard(0, 100, [at * 2 for at in range(100, 200)], [str(at) for at in range(100, 200)])
    assert digest([growing], 0)["backlog_us"] == 0.194


def test_the_bias_of_ttft_is_what_is_reported_less_what_was_so():
    one = Heard(asked_ns=1_000_000, arrived_ns=1_500_000, stamps=[9_000_000], texts=["7000000"])
    assert digest([one, one], 0)["ttft_bias_ms"] == 8 - 5.5


def test_nothing_heard_gives_no_figures():
    figures = digest([Heard()], 0)
    assert (figures["n"], figures["p99_us"], figures["ttft_bias_ms"]) == (0, None, None)
