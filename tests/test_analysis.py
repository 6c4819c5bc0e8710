from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import T0_NS, S, events_of, read, usage

from streamnb.analysis import (
    CONVENTIONS,
    FORMULAS,
    compare,
    gaps,
    latency,
    latency_row,
    percentiles,
    stalls,
    token_totals,
    tokens,
    verdict,
)
from streamnb.events import Arrival, Chunk, Event
from streamnb.meter import Meter

FUNCTIONS = {
    **{name: one for one in CONVENTIONS.values() for name in FORMULAS if f"- {name} =" in one.__doc__},
    "percentile": percentiles,
    "percentile_ci": percentiles,
    "verdict": verdict,
    "gap_s": gaps,
    "stall": stalls,
    "cause": stalls,
    "n_tokens_server": tokens,
    "n_tokens_counter": tokens,
    "rate_per_s": tokens,
    "tokens_per_chunk": token_totals,
    "multi_token_share": token_totals,
    "median_ci": compare,
    "ratio_to_best": compare,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_stands_in_a_docstring(name):
    function = FUNCTIONS.get(name, latency)
    assert f"{name} = {FORMULAS[name]}" in " ".join(function.__doc__.split())


KINDS = st.sampled_from(["delta", "reasoning", "ping", "usage", "end", "start"])
EVENTS = st.builds(Event, KINDS, st.sampled_from(["", "a", "bc"]))
READS = st.lists(st.tuples(st.integers(1, 5_000), st.lists(EVENTS, max_size=3)), max_size=20)


def timed(reads: list[tuple[int, list[Event]]]) -> list[tuple[int, list[Event]]]:
    times = np.cumsum([step for step, _ in reads]).tolist()
    return [(T0_NS + t * S // 1000, events) for t, (_, events) in zip(times, reads, strict=True)]


@settings(deadline=None, max_examples=60)
@given(READS)
def test_first_text_plus_all_gaps_is_the_last_text(reads):
    events = events_of(*(read((t - T0_NS) / S, *found) for t, found in timed(reads)))
    for row in latency(events).itertuples():
        assert row.ttft_s + gaps(events)["gap_s"].sum() == pytest.approx(row.e2e_s, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(READS, st.lists(st.builds(usage, st.none(), st.integers(0, 9) | st.none(), usage=st.just("sum")), max_size=3))
def test_the_live_meter_and_the_table_say_the_same(reads, counts):
    reads = [*reads, *((1, [count]) for count in counts)]
    meter = Meter()
    meter.start(T0_NS)
    for seq, (t_ns, found) in enumerate(timed(reads)):
        meter.arrive(Arrival(Chunk(seq, 0, t_ns, 1, 1, b"x"), tuple(found)))
    events = events_of(*(read((t - T0_NS) / S, *found) for t, found in timed(reads)))
    row = latency_row(events)
    for name in ("ttft_s", "ttfa_s", "e2e_s", "max_gap_s", "n_chars", "tokens_out"):
        live, later = getattr(meter, name), row.get(name, math.nan)
        assert (math.isnan(live) and pd.isna(later)) or live == later, name
