from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import delta, events_of, read, reasoning, record, usage

from streamnb import analysis, shelf, tables
from streamnb.analysis import latency
from streamnb.analysis.conventions import CONVENTIONS, FORMULAS, Stream
from streamnb.errors import UsageError
from streamnb.events import Event
from streamnb.tables import COLUMNS

RECORDED = Path(__file__).parent / "transcripts" / "openai_chat"
ROLE = Event("start", name="m")
TOOL = Event("tool_call", "", 0, "depth")
DONE = Event("end", name="[DONE]")
NAN = pytest.approx(math.nan, nan_ok=True)


def near(value: float):
    return pytest.approx(value, rel=1e-12, abs=1e-12)


def runs_of(*records) -> pd.DataFrame:
    return tables.runs([tables.run_row(one) for one in records])


def recorded(name: str, convention: str) -> dict:
    """What a convention appends for a recorded run, whose set-up took 5 ms (2 dns + connect + tls, queueing)."""
    one, *_ = shelf.read_file(RECORDED / f"{name}.jsonl")
    frame = latency(tables.events(one), convention, runs=runs_of(one))
    return frame.drop(columns=list(COLUMNS["latency"])).to_dict("records")[0]


def appended(convention: str, *reads, runs: pd.DataFrame | None = None) -> pd.Series:
    return latency(events_of(*reads), convention, runs=runs).iloc[0]


# vllm_stream_interval, seconds from t0: 0.1 role only; 0.2 three tokens; 0.24 one token and, in the same read, four;
# 0.25 two tokens and finish_reason; 0.3 usage alone (10 tokens); 0.31 [DONE]; 0.32 the body ends. Usage everywhere.
SEVERAL_TOKENS = {
    "vllm": {
        "first_vllm_s": 0.2,
        "ttft_vllm_s": 0.205,  # 0.005 + 0.2
        "ttft_vllm_late_s": 0.205,  # no reasoning: the same
        "e2e_vllm_s": 0.255,  # 0.005 + 0.25: neither usage nor [DONE]
        "tpot_vllm_s": 0.05 / 9,  # (0.25 - 0.2) / (10 - 1)
        "itl_vllm_p50_s": 0.01,  # 0.04, 0, 0.01
        "itl_vllm_p95_s": NAN,
        "n_itl_vllm": 3,
    },
    "sglang": {
        "first_sglang_s": 0.2,
        "ttft_sglang_s": 0.205,
        "e2e_sglang_s": 0.315,  # 0.005 + 0.31: [DONE]
        "tpot_sglang_s": 0.11 / 9,  # (0.31 - 0.2) / (10 - 1): the tail is in it
        "itl_sglang_p50_s": 0.0,  # 0.04 / 1; 4 times 0 / 4; 2 times 0.01 / 2
        "itl_sglang_p95_s": NAN,
        "n_itl_sglang": 7,
    },
    "aiperf": {
        "first_aiperf_s": 0.2,
        "ttft_aiperf_s": 0.205,
        "ttfo_aiperf_s": 0.205,
        "ttst_aiperf_s": 0.04,  # 0.24 - 0.2
        "e2e_aiperf_s": 0.255,
        "itl_aiperf_s": 0.05 / 7,  # (0.25 - 0.2) / (10 - 3)
        "icl_aiperf_p50_s": 0.01,  # 0.04, 0, 0.01
        "icl_aiperf_p95_s": NAN,
        "n_icl_aiperf": 3,
    },
    "guidellm": {
        "ttft_guidellm_s": 0.2,
        "ttfot_guidellm_s": 0.2,
        "e2e_guidellm_s": 0.31,  # [DONE]
        "tokens_guidellm": 10,
        "tpot_guidellm_s": 0.025,  # 0.25 / 10: TTFT is in it
        "itl_guidellm_s": 0.05 / 9,  # (0.25 - 0.2) / (10 - 1)
    },
    "genai-perf": {
        "first_genai_perf_s": 0.2,
        "ttft_genai_perf_s": 0.205,
        "ttst_genai_perf_s": 0.04,
        "e2e_genai_perf_s": 0.255,
        "itl_genai_perf_s": 0.05 / 9,
        "chunked_itl_genai_perf_p50_s": 0.0065,  # 0.04 / (1 + 4) and 0.01 / 2: (0.008 + 0.005) / 2
        "chunked_itl_genai_perf_p95_s": NAN,
        "n_chunked_itl_genai_perf": 2,
    },
    "inference-perf": {
        "first_inference_perf_s": 0.2,
        "ttft_inference_perf_s": 0.205,
        "e2e_inference_perf_s": 0.325,  # 0.005 + 0.32
        "tpot_inference_perf_s": 0.05 / 9,
        "ntpot_inference_perf_s": 0.0325,  # 0.325 / 10
        "itl_inference_perf_p50_s": 0.0,  # 0, 0, 0.04, 0, 0, 0, 0, 0.01, 0: ten tokens, nine steps
        "itl_inference_perf_p95_s": NAN,
        "n_itl_inference_perf": 9,
    },
    "otel": {
        "first_otel_s": 0.1,  # the role-only chunk
        "time_to_first_chunk_otel_s": 0.105,
        "time_per_output_chunk_otel_p50_s": 0.045,  # 0.1, 0.04, 0.01, 0.05 (usage): (0.04 + 0.05) / 2
        "time_per_output_chunk_otel_p95_s": NAN,
        "n_time_per_output_chunk_otel": 4,
        "duration_otel_s": 0.325,
    },
}

# deepseek_reasoning: 0.201 keep-alive; 0.222 role only; 0.243 and 0.264 reasoning; 0.285 two deltas, finish_reason and
# usage (9 tokens) in one read; 0.306 [DONE]; 0.3063 the body ends. The field is `reasoning_content`.
REASONING_FIRST = {
    "vllm": {
        "first_vllm_s": 0.243,
        "ttft_vllm_s": 0.248,
        "ttft_vllm_late_s": 0.29,  # 0.005 + 0.285: the first delta, since vLLM does not see reasoning_content
        "e2e_vllm_s": 0.29,
        "tpot_vllm_s": 0.00525,  # (0.285 - 0.243) / (9 - 1)
        "itl_vllm_p50_s": 0.021,  # 0.021, 0.021, 0
        "itl_vllm_p95_s": NAN,
        "n_itl_vllm": 3,
    },
    "sglang": {
        "first_sglang_s": 0.243,
        "ttft_sglang_s": 0.248,
        "e2e_sglang_s": 0.311,
        "tpot_sglang_s": 0.007875,  # (0.306 - 0.243) / 8
        "itl_sglang_p50_s": 0.021,  # no running count: one sample per event: 0.021, 0.021, 0
        "itl_sglang_p95_s": NAN,
        "n_itl_sglang": 3,
    },
    "aiperf": {
        "first_aiperf_s": 0.243,
        "ttft_aiperf_s": 0.248,
        "ttfo_aiperf_s": 0.29,
        "ttst_aiperf_s": 0.021,
        "e2e_aiperf_s": 0.29,
        "itl_aiperf_s": 0.00525,  # nobody counted the first chunk: 0.042 / (9 - 1)
        "icl_aiperf_p50_s": 0.021,
        "icl_aiperf_p95_s": NAN,
        "n_icl_aiperf": 3,
    },
    "guidellm": {
        "ttft_guidellm_s": 0.243,
        "ttfot_guidellm_s": 0.285,
        "e2e_guidellm_s": 0.306,
        "tokens_guidellm": 9,
        "tpot_guidellm_s": 0.285 / 9,
        "itl_guidellm_s": 0.00525,
    },
    "genai-perf": {
        "first_genai_perf_s": 0.285,
        "ttft_genai_perf_s": 0.29,
        "ttst_genai_perf_s": NAN,  # both deltas came in one read: one response
        "e2e_genai_perf_s": 0.29,
        "itl_genai_perf_s": NAN,  # 9 tokens hold the reasoning, which it does not see
        "chunked_itl_genai_perf_p50_s": NAN,
        "chunked_itl_genai_perf_p95_s": NAN,
        "n_chunked_itl_genai_perf": 0,
    },
    "inference-perf": {
        "first_inference_perf_s": 0.285,
        "ttft_inference_perf_s": 0.29,
        "e2e_inference_perf_s": 0.3113,  # 0.005 + 0.3063
        "tpot_inference_perf_s": 0.0,  # (0.285 - 0.285) / 8: what it prints
        "ntpot_inference_perf_s": 0.3113 / 9,
        "itl_inference_perf_p50_s": NAN,
        "itl_inference_perf_p95_s": NAN,
        "n_itl_inference_perf": 0,
    },
    "otel": {
        "first_otel_s": 0.222,  # a keep-alive comment is no chunk, a role-only one is
        "time_to_first_chunk_otel_s": 0.227,
        "time_per_output_chunk_otel_p50_s": 0.021,
        "time_per_output_chunk_otel_p95_s": NAN,
        "n_time_per_output_chunk_otel": 3,
        "duration_otel_s": 0.3113,
    },
}


@pytest.mark.parametrize("convention", SEVERAL_TOKENS)
def test_several_tokens_per_chunk_with_usage_on_every_chunk_by_hand(convention):
    found = recorded("vllm_stream_interval", convention)
    expected = SEVERAL_TOKENS[convention]
    assert list(found) == list(expected)
    assert found == {name: value if value is NAN else near(value) for name, value in expected.items()}


@pytest.mark.parametrize("convention", REASONING_FIRST)
def test_a_role_then_reasoning_then_an_answer_in_one_read_by_hand(convention):
    found = recorded("deepseek_reasoning", convention)
    expected = REASONING_FIRST[convention]
    assert list(found) == list(expected)
    assert found == {name: value if value is NAN else near(value) for name, value in expected.items()}


def test_a_chunk_with_tool_calls_is_content_to_some_and_nothing_to_others():
    # tools: 0.201 role and the first tool call, 0.222 arguments, 0.243 two more; 0.264 finish; 0.285 usage and [DONE]
    first = {name: recorded("tools", name) for name in SEVERAL_TOKENS}
    assert first["vllm"]["first_vllm_s"] == near(0.201)
    assert first["aiperf"]["first_aiperf_s"] == near(0.201)
    assert first["aiperf"]["ttfo_aiperf_s"] == near(0.206)  # 0.005 + 0.201
    assert first["guidellm"]["ttft_guidellm_s"] == near(0.201)
    assert first["guidellm"]["itl_guidellm_s"] == near(0.042 / 20)  # (0.243 - 0.201) / (21 - 1)
    assert first["otel"]["first_otel_s"] == near(0.201)
    for name in ("sglang", "genai-perf", "inference-perf"):
        assert math.isnan(first[name][f"first_{name.replace('-', '_')}_s"])


# -- where time starts and ends -------------------------------------------------------------------------------------

CONNECTING = {
    "vllm": ["ttft_vllm_s", "ttft_vllm_late_s", "e2e_vllm_s"],
    "sglang": ["ttft_sglang_s", "e2e_sglang_s"],
    "aiperf": ["ttft_aiperf_s", "ttfo_aiperf_s", "e2e_aiperf_s"],
    "guidellm": [],
    "genai-perf": ["ttft_genai_perf_s", "e2e_genai_perf_s"],
    "inference-perf": ["ttft_inference_perf_s", "e2e_inference_perf_s", "ntpot_inference_perf_s"],
    "otel": ["time_to_first_chunk_otel_s", "duration_otel_s"],
}


@pytest.mark.parametrize("convention", CONNECTING)
def test_without_the_runs_table_what_holds_the_connect_is_missing_and_nothing_else(convention):
    one, *_ = shelf.read_file(RECORDED / "vllm_stream_interval.jsonl")
    events = tables.events(one)
    bare = latency(events, convention).iloc[0]
    full = latency(events, convention, runs=runs_of(one)).iloc[0]
    lost = [name for name in full.index if pd.isna(bare[name]) and not pd.isna(full[name])]
    assert lost == CONNECTING[convention]
    kept = full.drop(CONNECTING[convention])
    pd.testing.assert_series_equal(bare.drop(CONNECTING[convention]), kept)


def test_a_stream_that_was_not_the_first_call_has_no_set_up_time_of_its_own():
    made = record(read(1, delta(), call=1), read(2, delta(), call=1))
    row = latency(tables.events(made), "vllm", runs=runs_of(made)).iloc[0]
    assert row["first_vllm_s"] == 1.0
    assert math.isnan(row["ttft_vllm_s"])


def test_a_run_that_the_runs_table_does_not_have_is_missing_there():
    known, other = record(read(1, delta()), run_id="a"), record(read(1, delta()), run_id="b")
    events = pd.concat([tables.events(other), tables.events(known)])
    row = latency(events, "aiperf", runs=runs_of(known)).set_index("run_id")
    assert row.loc["a", "ttft_aiperf_s"] == 1.125  # 1/8 s before t0 the call was handed over
    assert math.isnan(row.loc["b", "ttft_aiperf_s"])


def test_a_run_twice_in_the_runs_table_counts_as_it_was_last():
    made = record(read(1, delta()))
    table = pd.concat([runs_of(made).assign(setup_s=9.0), runs_of(made)])
    assert latency(tables.events(made), "vllm", runs=table).loc[0, "ttft_vllm_s"] == 1.125


@pytest.mark.parametrize("name", ["run_id", "setup_s", "close_s"])
def test_a_table_that_is_not_the_runs_table_is_refused(name):
    made = record(read(1, delta()))
    with pytest.raises(UsageError, match=rf"wants the runs table as runs=; this one has no column '{name}'"):
        latency(tables.events(made), "otel", runs=runs_of(made).drop(columns=name))


def test_a_body_without_done_ends_for_guidellm_when_it_closes():
    made = record(read(1, delta()), read(2, delta(), Event("end", name="stop")))
    made.calls[0].end_ns = made.calls[0].t0_ns + 3_000_000_000
    events = tables.events(made)
    assert latency(events, "guidellm", runs=runs_of(made)).loc[0, "e2e_guidellm_s"] == 3.0
    assert math.isnan(latency(events, "guidellm").loc[0, "e2e_guidellm_s"])


def test_a_greeting_before_t0_is_in_no_number():
    reads = (read(1, delta()), read(2, delta(), usage(3, 2)), read(3, DONE))
    greeting = (read(-0.5, ROLE, delta("Welcome"), usage(1, 9)),)
    for convention in CONVENTIONS:
        with_it = appended(convention, *greeting, *reads)
        pd.testing.assert_series_equal(with_it, appended(convention, *reads))


# -- token counts ---------------------------------------------------------------------------------------------------


def test_without_usage_guidellm_takes_an_event_for_a_token_and_nobody_else_guesses():
    reads = [read(t, delta("several words")) for t in (1, 2, 4)]
    row = appended("guidellm", *reads)
    assert row["tokens_guidellm"] == 3
    assert row[["tpot_guidellm_s", "itl_guidellm_s"]].tolist() == [4 / 3, 1.5]  # 4 / 3; (4 - 1) / (3 - 1)
    for convention, name in [
        ("vllm", "tpot_vllm_s"),
        ("sglang", "tpot_sglang_s"),
        ("aiperf", "itl_aiperf_s"),
        ("genai-perf", "itl_genai_perf_s"),
        ("inference-perf", "tpot_inference_perf_s"),
    ]:
        assert math.isnan(appended(convention, *reads)[name]), name


def test_one_token_has_no_pace_in_any_convention():
    made = record(read(1, delta(), usage(3, 1)), read(2, DONE))
    made.calls[0].end_ns = made.calls[0].t0_ns + 3_000_000_000
    runs = runs_of(made)
    paces = {"vllm": "tpot_vllm_s", "sglang": "tpot_sglang_s", "aiperf": "itl_aiperf_s", "guidellm": "itl_guidellm_s"}
    paces |= {"genai-perf": "itl_genai_perf_s", "inference-perf": "tpot_inference_perf_s"}
    for convention, name in paces.items():
        assert math.isnan(latency(tables.events(made), convention, runs=runs).loc[0, name]), name
    row = latency(tables.events(made), "inference-perf", runs=runs).iloc[0]
    assert math.isnan(row["ttft_inference_perf_s"])  # it reports none for an answer of one token
    assert row["ntpot_inference_perf_s"] == 3.125


def test_a_first_chunk_that_holds_every_token_leaves_aiperf_its_old_divisor():
    # running counts 4 and, after two chunks, still 5: 5 - 4 = 1 token for 1 s; with 5 of 5 it would be 5 - 1
    plain = appended("aiperf", read(1, delta(), usage(3, 4)), read(2, delta(), usage(3, 5)))
    assert plain["itl_aiperf_s"] == 1.0
    lagging = appended("aiperf", read(1, delta(), usage(3, 0)), read(2, delta(), usage(3, 5)))
    assert lagging["itl_aiperf_s"] == 0.25  # 1 / (5 - 1): a count of 0 for the first chunk cannot be true


def test_sglang_skips_a_chunk_without_a_new_token_and_gives_its_gap_to_the_next():
    row = appended(
        "sglang",
        read(1, delta(), usage(3, 0)),  # the first text sets the clock, whatever was counted
        read(2, delta(), usage(3, 0)),
        read(5, delta(), usage(3, 4)),  # 4 s for 4 tokens
        read(7, delta(), usage(3, 5)),  # 2 s for one
    )
    assert row["n_itl_sglang"] == 5
    assert row["itl_sglang_p50_s"] == 1.0


def test_genai_perf_drops_a_read_whose_tokens_nobody_counted_alone():
    texts = [read(n, delta(), usage(3, n)) for n in range(1, 11)]
    row = appended("genai-perf", *texts, read(11, delta(), delta(), usage(3, 13)), read(13, delta(), usage(3, 14)))
    assert row["n_chunked_itl_genai_perf"] == 10  # 9 of 1 s, none for the eleventh, 2 s for the last
    assert row["chunked_itl_genai_perf_p50_s"] == 1.0
    nothing = appended("genai-perf", read(1, delta(), usage(3, 1)), read(3, delta(), usage(3, 1)), read(4, usage(3, 2)))
    assert nothing["n_chunked_itl_genai_perf"] == 0  # a count that never rises is no running count


def test_the_pause_between_two_calls_is_nobodys_sample():
    reads = (read(1, delta(), usage(3, 1)), read(2, delta(), usage(3, 2)))
    later = (read(8, delta(), usage(3, 1), call=1), read(8.5, delta(), usage(3, 2), call=1))
    for convention, name in [
        ("vllm", "n_itl_vllm"),
        ("sglang", "n_itl_sglang"),
        ("aiperf", "n_icl_aiperf"),
        ("genai-perf", "n_chunked_itl_genai_perf"),
        ("inference-perf", "n_itl_inference_perf"),
        ("otel", "n_time_per_output_chunk_otel"),
    ]:
        assert appended(convention, *reads, *later)[name] == 2, name


def test_runs_do_not_mix_in_any_convention():
    a = events_of(read(1, delta(), usage(1, 2)), read(1.5, delta(), delta(), usage(1, 7)), run_id="a")
    b = events_of(read(3, reasoning()), read(4, TOOL), read(7, DONE), run_id="b")
    c = events_of(read(2, Event("ping")), run_id="c")
    for convention in CONVENTIONS:
        both = latency(pd.concat([b, c, a]), convention).set_index("run_id")
        for run_id, alone in (("a", a), ("b", b), ("c", c)):
            one = latency(alone, convention).set_index("run_id")
            pd.testing.assert_frame_equal(both.loc[[run_id]], one)


# -- agreement ------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.integers(2, 4_000), min_size=2, max_size=40)


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_conventions_agree_where_every_read_brings_one_message_of_one_token(steps):
    times = (np.cumsum(steps) / 1000).tolist()
    made = record(*(read(t, delta(), usage(3, n)) for n, t in enumerate(times, 1)))
    made.calls[0].end_ns = made.calls[0].t0_ns + round(times[-1] * 1e9)
    events, runs = tables.events(made), runs_of(made)
    row = pd.concat([latency(events, name, runs=runs).iloc[0] for name in CONVENTIONS])
    row = row[~row.index.duplicated()]
    for q in ("p50", "p95"):
        names = ["itl_vllm", "itl_sglang", "icl_aiperf", "chunked_itl_genai_perf", "itl_inference_perf"]
        for name in [*names, "time_per_output_chunk_otel"]:
            assert row[f"{name}_{q}_s"] == pytest.approx(row[f"icl_{q}_s"], nan_ok=True), name
    for name in ["itl_aiperf_s", "itl_guidellm_s", "itl_genai_perf_s", "tpot_inference_perf_s", "tpot_vllm_s"]:
        assert row[name] == pytest.approx(row["tpot_s"]), name
    assert row["tpot_sglang_s"] == pytest.approx(row["tpot_s"])  # no tail came after the last text
    for name in ["vllm", "sglang", "aiperf", "genai_perf", "inference_perf"]:
        assert row[f"ttft_{name}_s"] == row["ttft_s"] + 0.125, name
        assert row[f"e2e_{name}_s"] == pytest.approx(row["e2e_s"] + 0.125), name
    assert row["ttft_guidellm_s"] == row["ttft_s"]
    assert row["time_to_first_chunk_otel_s"] == row["ttft_s"] + 0.125
    assert row["duration_otel_s"] == pytest.approx(row["e2e_s"] + 0.125)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(1, 6)), min_size=2, max_size=20))
def test_whoever_shares_a_gap_out_shares_out_all_of_it(reads):
    """k copies of gap / k, k - 1 zeros and a gap, gaps alone: each adds up to the time from first to last text."""
    times, counts = np.cumsum([step for step, _ in reads]) / 1000, np.cumsum([k for _, k in reads])
    made = events_of(*(read(t, delta(), usage(3, int(n))) for t, n in zip(times, counts, strict=True)))
    stream = Stream.of(made)
    rows = stream.rows("delta")
    tokens = int(counts[-1])
    assert latency(made, "sglang").loc[0, "n_itl_sglang"] == tokens - reads[0][1]
    assert latency(made, "inference-perf").loc[0, "n_itl_inference_perf"] == tokens - 1
    assert stream.tokens_of(rows).tolist() == [k for _, k in reads]


# -- what is said about them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_stands_in_its_conventions_docstring(name):
    line = f"- {name} = {FORMULAS[name]} "
    assert sum(line in " ".join(f"{function.__doc__} - ".split()) + " " for function in CONVENTIONS.values()) == 1


@pytest.mark.parametrize("convention", SEVERAL_TOKENS)
def test_a_convention_names_its_source_what_it_cannot_know_and_no_column_itl(convention):
    text = CONVENTIONS[convention].__doc__
    assert "Source: " in text
    assert "Not in the events table: " in text
    columns = SEVERAL_TOKENS[convention]
    marks = {name.removesuffix("_s") for name in columns if not name.startswith("n_")}
    assert marks <= {name.removesuffix("_s") for name in FORMULAS}
    assert not {"itl_s", "itl_p50_s", "itl_p95_s", "n_itl", "itl"} & set(columns)
    assert all(convention.replace("-", "_") in name for name in columns)


def test_all_formulas_are_among_those_of_the_analysis():
    assert {name: analysis.FORMULAS.get(name) for name in FORMULAS} == FORMULAS


def test_our_own_convention_appends_nothing():
    assert CONVENTIONS["streamnb"](Stream.of(events_of(read(1, delta())))) == {}
