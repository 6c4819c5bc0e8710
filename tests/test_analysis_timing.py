from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from record_builder import delta, events_of, read, reasoning, usage

from streamnb.analysis import CONVENTIONS, latency, latency_row
from streamnb.errors import UsageError
from streamnb.events import Event
from streamnb.tables import COLUMNS

ROLE = Event("start", name="assistant")
KNOWN = "Known: aiperf, genai-perf, guidellm, inference-perf, otel, sglang, streamnb, vllm."
NUMBERS = [name for name, dtype in COLUMNS["latency"].items() if dtype == "float64"]


def one(*reads, **more) -> pd.Series:
    frame = latency(events_of(*reads, **more))
    assert len(frame) == 1
    return frame.iloc[0]


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_a_whole_answer_by_hand():
    row = one(
        read(0.25, ROLE),
        read(0.5, delta("He")),
        read(0.75, delta("l"), delta("l")),
        read(1.5, delta("o!")),
        read(2, Event("end", name="stop")),
        read(2.5, usage(11, 5)),
    )
    assert row.to_dict() == {
        "run_id": "r1",
        "ttft_s": 0.5,
        "ttfa_s": 0.5,
        "ttfr_s": pytest.approx(math.nan, nan_ok=True),
        "e2e_s": 1.5,
        "tpot_s": 0.25,
        "tokens_per_s": 4.0,
        "max_gap_s": 0.75,
        "icl_p50_s": 0.5,
        "icl_p95_s": pytest.approx(math.nan, nan_ok=True),
        "n_gaps": 2,
        "n_text_events": 4,
        "n_chars": 6,
        "tokens_in": 11,
        "tokens_out": 5,
        "token_source": "server",
    }


def test_reasoning_before_the_answer_has_its_own_clock():
    row = one(read(0.5, reasoning()), read(1, reasoning()), read(4, delta("x")), read(4.5, delta("yz")))
    assert row[["ttft_s", "ttfr_s", "ttfa_s", "e2e_s"]].tolist() == [0.5, 0.5, 4.0, 4.5]
    assert row["n_chars"] == 7


def test_reasoning_alone_never_answered():
    row = one(read(0.5, reasoning()), read(1, reasoning()))
    assert row[["ttft_s", "ttfr_s", "e2e_s"]].tolist() == [0.5, 0.5, 1.0]
    assert math.isnan(row["ttfa_s"])


@pytest.mark.parametrize(
    "event", [ROLE, delta(""), reasoning(""), Event("ping"), usage(1, 1), Event("end", "all"), Event("tool_call", "{")]
)
def test_what_is_no_text_starts_no_clock_and_stops_none(event):
    row = one(read(0.25, event), read(0.5, delta()), read(1, delta()), read(3, event))
    assert row[["ttft_s", "ttfa_s", "e2e_s"]].tolist() == [0.5, 0.5, 1.0]
    assert row["n_text_events"] == 2


def test_white_space_is_text():
    assert one(read(0.5, delta("\n")), read(1, delta("a")))["ttft_s"] == 0.5


def test_a_run_without_text_has_counts_and_no_times():
    row = one(read(1, Event("ping")), read(2, Event("error", "boom")))
    assert row[NUMBERS].isna().all()
    assert row[["n_gaps", "n_text_events", "n_chars"]].tolist() == [0, 0, 0]
    assert row[["tokens_in", "tokens_out", "token_source"]].isna().all()


def test_without_t0_there_are_gaps_and_no_times():
    row = one(read(1, delta()), read(1.5, delta()), read(2, delta(), usage(1, 5)), t0=False)
    assert row[["ttft_s", "ttfa_s", "e2e_s", "tpot_s", "tokens_per_s"]].isna().all()
    assert row[["max_gap_s", "icl_p50_s"]].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("tokens", [None, 0, 1])
def test_fewer_than_two_tokens_have_no_pace(tokens):
    row = one(read(1, delta()), read(2, delta()), read(3, usage(5, tokens)))
    assert row[["tpot_s", "tokens_per_s"]].isna().all()


def test_tokens_are_never_guessed_from_text():
    row = one(*(read(n, delta("word ")) for n in range(1, 9)))
    assert row[["tpot_s", "tokens_per_s", "tokens_out", "token_source"]].isna().all()


@pytest.mark.parametrize(
    "unseen",
    [
        [read(2, usage(3, 2100, tokens_reasoning=2000))],
        [read(1.5, Event("tool_call", '{"depth": 3}', 0, "dive")), read(2, usage(3, 40))],
        [read(0.5, Event("tool_call", "", 0, "dive")), read(2, usage(3, 40))],
    ],
    ids=["reasoning it kept to itself", "a tool call behind the text", "a tool call before it"],
)
def test_tokens_that_did_not_come_as_text_have_no_part_in_its_pace(unseen):
    row = one(*sorted([read(1, delta("a")), read(1.25, delta("b")), *unseen], key=lambda read: read.t_s))
    assert row[["tpot_s", "tokens_per_s"]].isna().all()
    assert row["tokens_out"] in {40, 2100}  # what the server said stays


@pytest.mark.parametrize(
    "counted", [{}, {"tokens_reasoning": 0}, {"tokens_reasoning": None}, {"tokens_reasoning": "2"}]
)
def test_reasoning_that_was_streamed_or_not_counted_leaves_the_pace(counted):
    row = one(read(1, delta("a")), read(2, delta("b")), read(3, usage(3, 3, **counted)))
    assert row[["tpot_s", "tokens_per_s"]].tolist() == [0.5, 2.0]
    streamed = one(read(1, reasoning()), read(2, delta("b")), read(3, usage(3, 3, tokens_reasoning=2)))
    assert streamed[["tpot_s", "tokens_per_s"]].tolist() == [0.5, 2.0]


def test_one_burst_has_no_pace_and_not_zero():
    row = one(read(1, delta("a"), delta("b"), delta("c")), read(2, usage(5, 3)))
    assert (row["ttft_s"], row["e2e_s"]) == (1.0, 1.0)
    assert row[["tpot_s", "tokens_per_s", "max_gap_s", "icl_p50_s"]].isna().all()
    assert row["n_gaps"] == 0


def test_a_burst_of_two_reads_has_no_pace_of_millions_of_tokens_a_second():
    row = one(read(1, *[delta()] * 30), read(1.0009, *[delta()] * 30), read(2, usage(3, 60)))
    assert row[["tpot_s", "tokens_per_s"]].isna().all()
    assert one(read(1, delta()), read(1.0011, delta()), read(2, usage(3, 60)))["tpot_s"] == pytest.approx(0.0011 / 59)


def test_two_tokens_are_enough_for_a_pace():
    row = one(read(1, delta()), read(1.5, delta(), usage(5, 2)))
    assert row[["tpot_s", "tokens_per_s"]].tolist() == [0.5, 2.0]


def test_a_median_needs_two_gaps_and_the_95th_percentile_twenty():
    times = [float(n) for n in range(1, 22)]
    frames = [events_of(*(read(t, delta()) for t in times[:n]), run_id=f"r{n}") for n in (2, 3, 20, 21)]
    frame = latency(pd.concat(frames))
    assert frame["n_gaps"].tolist() == [1, 2, 19, 20]
    assert frame["icl_p50_s"].isna().tolist() == [True, False, False, False]
    assert frame["icl_p95_s"].isna().tolist() == [True, True, True, False]
    assert frame["max_gap_s"].tolist() == [1.0] * 4


def test_percentiles_lie_linearly_between_order_statistics():
    times = np.cumsum([1.0, *range(1, 22)])
    row = one(*(read(t, delta()) for t in times))
    assert (row["icl_p50_s"], row["icl_p95_s"], row["max_gap_s"]) == (11.0, 20.0, 21.0)


def test_two_choices_interleaved_are_one_stream_of_text():
    row = one(
        read(0.5, delta("a", choice=0), delta("b", choice=1)),
        read(1, delta("c", choice=1)),
        read(2, delta("d", choice=0)),
    )
    assert row[["ttft_s", "e2e_s", "max_gap_s"]].tolist() == [0.5, 2.0, 1.0]
    assert row[["n_chars", "n_gaps"]].tolist() == [4, 2]


def test_two_calls_of_a_run_are_one_answer_whose_pause_is_no_gap():
    row = one(read(1, delta()), read(1.5, delta()), read(8, delta(), call=1), read(8.25, delta(), call=1))
    assert row[["ttft_s", "e2e_s", "max_gap_s"]].tolist() == [1.0, 8.25, 0.5]


def test_runs_keep_their_order_and_do_not_mix():
    z = events_of(read(1, delta()), read(2, delta("bc"), usage(None, 3)), run_id="z")
    a = events_of(read(4, Event("ping")), run_id="a")
    m = events_of(read(0.5, reasoning()), read(0.75, delta()), read(1, delta()), run_id="m")
    frame = latency(pd.concat([z, a, m]))
    assert frame["run_id"].tolist() == ["z", "a", "m"]
    assert frame["ttft_s"].tolist()[::2] == [1.0, 0.5]
    assert frame["n_chars"].tolist() == [3, 0, 4]
    assert frame["tpot_s"].isna().tolist() == [False, True, True]
    for table in (z, a, m):
        alone = latency(table).reset_index(drop=True)
        there = frame[frame["run_id"] == table["run_id"].iloc[0]].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, there)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    "events",
    [events_of(), events_of(read(1, Event("ping"))), events_of(read(1, delta()), read(2, delta(), usage(1, 2)))],
    ids=["no events", "no text", "text"],
)
def test_latency_keeps_its_columns_and_dtypes_and_changes_nothing(events, convention):
    before = events.copy(deep=True)
    found = dtypes(latency(events, convention))
    assert list(found)[: len(COLUMNS["latency"])] == list(COLUMNS["latency"])
    own = {name: found.pop(name) for name in COLUMNS["latency"]}
    assert own == COLUMNS["latency"]
    assert found == {name: "float64" if name.endswith("_s") else "Int64" for name in found}
    assert bool(found) == (convention != "streamnb")
    pd.testing.assert_frame_equal(events, before)


def test_vllm_counts_a_zero_for_each_event_that_shared_a_read():
    events = events_of(read(1, delta(), delta()), read(2, delta(), delta()), read(3, delta(), call=1))
    row = latency(events, convention="vllm").iloc[0]
    assert row[["itl_vllm_p50_s", "n_itl_vllm"]].tolist() == [0.0, 3]
    assert math.isnan(row["itl_vllm_p95_s"])
    assert row["n_gaps"] == 1
    assert row["max_gap_s"] == 1.0


def test_vllm_and_our_own_agree_when_no_read_carried_two():
    events = events_of(*(read(t, delta()) for t in (1, 1.5, 3, 3.25)))
    row = latency(events, convention="vllm").iloc[0]
    assert row["itl_vllm_p50_s"] == row["icl_p50_s"] == 0.5


@pytest.mark.parametrize(("word", "tail"), [("vlm", "Did you mean vllm?"), ("", KNOWN)])
def test_an_unknown_convention_is_refused_with_the_known_ones(word, tail):
    with pytest.raises(UsageError) as caught:
        latency(events_of(), convention=word)
    assert str(caught.value) == f"latency() knows no convention {word!r}. {tail}"


def test_the_half_row_has_the_columns_of_runs_only():
    row = latency_row(events_of(read(1, delta()), read(2, delta(), usage(3, 2))))
    assert set(row) == set(COLUMNS["latency"]) & set(COLUMNS["runs"])
    assert (row["ttft_s"], row["tpot_s"], row["tokens_in"]) == (1.0, 1.0, 3)


def test_nothing_arrived_is_no_characters_and_no_times():
    assert latency_row(events_of()) == {"n_chars": 0}


def test_a_half_row_is_plain_python_and_needs_no_pandas_to_read():
    row = latency_row(events_of(read(1, delta())))
    assert {type(value) for value in row.values()} == {str, float, int, type(None)}
    assert row["tokens_out"] is None


def test_a_half_row_of_two_runs_is_refused():
    both = pd.concat([events_of(read(1, delta()), run_id="a"), events_of(read(1, delta()), run_id="b")])
    with pytest.raises(UsageError, match=r"events of 2 runs; use latency\(\)"):
        latency_row(both)
