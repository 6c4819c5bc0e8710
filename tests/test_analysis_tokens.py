from __future__ import annotations

import functools
import math
from pathlib import Path

import pandas as pd
import pytest
from record_builder import delta, events_of, read, reasoning, usage
from samples import TRANSCRIPTS

from streamnb import analysis, shelf, tables
from streamnb.analysis import token_totals, tokens
from streamnb.errors import UsageError
from streamnb.events import Event
from streamnb.tables import COLUMNS

BY_HAND = ("n_tokens", "n_tokens_cum", "chunk_tokens", "tokens_out_server", "n_tokens_server", "n_tokens_counter")


def words(text: str) -> int:
    """A counter that a test can do in its head: one token per word."""
    return len(text.split())


def columns(frame: pd.DataFrame, *names: str) -> dict[str, list]:
    """The columns with None for what is missing."""
    return {name: [None if pd.isna(value) else value for value in frame[name]] for name in names}


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def said(n: int | None) -> Event:
    return usage(7, n, usage="last")


def recorded(name: str) -> pd.DataFrame:
    return tables.events(shelf.read_file(TRANSCRIPTS / name)[0])


# -- the server's count -----------------------------------------------------------------------------------------------


def test_a_running_count_gives_each_delta_its_difference():
    events = events_of(
        read(0.25, Event("start"), said(0)),
        read(0.5, delta("Ri"), said(1)),
        read(0.75, delta("vers"), said(3), delta(" be"), said(4)),
        read(1.0, delta("nd"), said(6), Event("end", name="stop"), said(7)),
        read(1.25, said(7)),
    )
    assert columns(tokens(events), *BY_HAND) == {
        "n_tokens": [1 - 0, 3 - 1, 4 - 3, 6 - 4],
        "n_tokens_cum": [1, 1 + 2, 1 + 2 + 1, 1 + 2 + 1 + 2],
        "chunk_tokens": [1, 2 + 1, 2 + 1, 2],
        "tokens_out_server": [1, 3, 4, 6],
        "n_tokens_server": [1, 2, 1, 2],
        "n_tokens_counter": [None] * 4,
    }
    assert tokens(events)["token_source"].tolist() == ["server"] * 4
    assert columns(token_totals(events), *COLUMNS["token_totals"]) == {
        "run_id": ["r1"],
        "tokens_out_server": [7],  # the last of them is an end token: no delta has it
        "tokens_out_counter": [None],
        "difference": [None],
        "token_source": ["server"],
        "n_text_chunks": [3],
        "tokens_per_chunk": [(1 + 3 + 2) / 3],
        "multi_token_share": [2 / 3],
    }


def test_the_recorded_stream_of_a_server_that_counts_in_every_message():
    frame = tokens(recorded("openai_chat/vllm_usage.jsonl"), words, window_s=0.02)
    assert columns(frame, *BY_HAND, "n_chars", "rate_per_s") == {
        "n_tokens": [1 - 0, 2 - 1],
        "n_tokens_cum": [1, 2],
        "chunk_tokens": [1, 1],
        "tokens_out_server": [1, 2],
        "n_tokens_server": [1, 1],
        "n_tokens_counter": [1, 0],  # "Hi" and "Hi!" are one word
        "n_chars": [2, 1],
        "rate_per_s": [None, 1 / 0.02],  # 21 ms later: the first delta is out of the window
    }
    row = token_totals(recorded("openai_chat/vllm_usage.jsonl"), words).iloc[0]
    assert row[["tokens_out_server", "tokens_out_counter", "difference"]].tolist() == [3, 1, 1 - 3]


def test_the_count_at_the_end_is_not_that_of_the_last_delta():
    events = events_of(read(1, delta("a b")), read(2, delta(" c")), read(3, said(9)))
    assert columns(tokens(events), *BY_HAND) == {name: [None, None] for name in BY_HAND}
    assert tokens(events)["token_source"].isna().all()
    assert columns(token_totals(events), "tokens_out_server", "token_source", "tokens_per_chunk") == {
        "tokens_out_server": [9],
        "token_source": [None],
        "tokens_per_chunk": [None],
    }


def test_a_burst_with_one_count_behind_it_has_no_running_one():
    events = events_of(read(1, delta(), delta(), delta(), said(3), said(3)))
    assert tokens(events)["n_tokens"].isna().all()
    assert columns(tokens(events), "tokens_out_server") == {"tokens_out_server": [None, None, 3]}


def test_a_lone_text_with_the_total_behind_it_has_no_running_count():
    frame = tokens(events_of(read(1, delta("a b"), said(40))), words)
    assert columns(frame, "n_tokens", "token_source") == {"n_tokens": [2], "token_source": ["counter:words"]}


def test_what_the_server_said_is_known_from_then_on():
    events = events_of(
        read(1, delta()), read(2, delta()), read(2.5, said(5)), read(3, delta()), read(4, Event("ping"), delta())
    )
    assert columns(tokens(events), "tokens_out_server", "n_tokens") == {
        "tokens_out_server": [None, None, 5, 5],
        "n_tokens": [None] * 4,
    }


def test_what_a_greeting_cost_before_t0_is_not_in_the_count():
    events = events_of(read(-3, delta("Welcome"), said(50)), read(1, delta(), said(1)), read(2, delta(), said(2)))
    assert columns(tokens(events), "tokens_out_server", "n_tokens") == {"tokens_out_server": [1, 2], "n_tokens": [1, 1]}


def test_no_choice_and_the_first_choice_are_one_answer_of_a_server_too():
    events = events_of(read(1, delta(), said(1)), read(2, delta(choice=0), said(3)))
    assert tokens(events)["n_tokens"].tolist() == [1, 2]


def test_counts_of_several_requests_are_added_and_are_no_running_count():
    more = functools.partial(usage, 7, usage="sum")
    events = events_of(read(1, delta(), more(2)), read(2, delta(), more(3)), read(3, delta(), more(4)))
    assert columns(tokens(events), "tokens_out_server", "n_tokens") == {
        "tokens_out_server": [2, 2 + 3, 2 + 3 + 4],
        "n_tokens": [None] * 3,
    }


@pytest.mark.parametrize(
    ("counts", "running"),
    [
        ((1, 2, 3), True),
        ((1, 1, 3), True),  # a delta of no token: half a character, held back
        ((3, 3, 3), False),  # the total, repeated
        ((1, 3, 2), False),  # it fell: not understood
        ((1, None, 3), False),  # 2 of 3
    ],
)
def test_a_running_count_stands_with_nearly_every_text_and_rises(counts, running):
    events = events_of(*(read(n, delta(), said(count)) for n, count in enumerate(counts, 1)))
    assert tokens(events)["n_tokens"].notna().all() == running
    assert tokens(events)["n_tokens"].isna().all() != running


def test_one_text_in_ten_may_be_counted_with_the_next():
    counts = [1, 2, 3, 4, None, 6, 7, 8, 9, 10]
    frame = tokens(events_of(*(read(n, delta(), said(count)) for n, count in enumerate(counts, 1))))
    assert columns(frame, "n_tokens", "chunk_tokens")["n_tokens"] == [1, 1, 1, 1, None, 6 - 4, 1, 1, 1, 1]
    assert columns(frame, "chunk_tokens")["chunk_tokens"] == [1, 1, 1, 1, None, 2, 1, 1, 1, 1]
    assert columns(frame, "n_tokens_cum")["n_tokens_cum"] == [1, 2, 3, 4, None, 6, 7, 8, 9, 10]
    assert columns(frame, "rate_per_s")["rate_per_s"] == [None, 1, 1, 1, None, 2, 1, 1, 1, 1]


def test_a_chunk_whose_last_text_is_counted_with_the_next_chunk_is_not_counted():
    steady = [read(n, delta(), said(n)) for n in range(1, 10)]
    events = events_of(*steady, read(10, delta(), said(10), delta()), read(11, delta(), said(13)))
    frame = tokens(events).tail(3)
    assert columns(frame, "n_tokens", "chunk_tokens") == {"n_tokens": [1, None, 3], "chunk_tokens": [None, None, 3]}
    assert token_totals(events)[["n_text_chunks", "tokens_per_chunk"]].iloc[0].tolist() == [11, (9 * 1 + 3) / 10]


def test_several_answers_that_share_a_count_have_none_each():
    answers = [read(n, delta(choice=n % 2), said(n // 2)) for n in range(2, 8)]
    assert tokens(events_of(*answers))["n_tokens"].isna().all()


def test_a_run_is_counted_by_the_server_only_if_all_its_calls_are():
    first = [read(1, delta("a"), said(4)), read(2, delta(" b"), said(6))]
    events = events_of(*first, read(5, delta("c d", choice=0), call=1), read(6, said(9), call=1))
    assert columns(tokens(events, words), "n_tokens", "n_tokens_server", "token_source") == {
        "n_tokens": [1, 1, 2],
        "n_tokens_server": [4, 2, None],
        "token_source": ["counter:words"] * 3,
    }
    assert tokens(events)["n_tokens"].isna().all()


def test_each_call_counts_from_its_own_beginning():
    calls = [read(1, delta(), said(2)), read(2, delta(), said(3))]
    again = [read(7, said(1), call=1), read(8, delta(), said(3), call=1), read(9, delta(), said(8), call=1)]
    frame = tokens(events_of(*calls, *again))
    assert frame["n_tokens"].tolist() == [2, 1, 3 - 1, 8 - 3]


def test_a_count_of_a_later_read_is_not_that_of_the_text():
    events = events_of(read(1, delta()), read(1.5, said(1)), read(2, delta()), read(2.5, said(2)))
    assert tokens(events)["n_tokens"].isna().all()


def test_reports_that_say_nothing_are_passed_over():
    odd = (
        Event("usage"),
        Event("usage", data=[1]),
        usage(7, None),
        usage(7, tokens_out=True),
        usage(7, -1),
        usage(7, 1.5),
    )
    events = events_of(read(1, delta(), *odd, said(2)), read(2, delta(), said(5)))
    assert tokens(events)["n_tokens"].tolist() == [2, 3]


def test_a_count_that_a_table_can_just_hold_is_whole():
    events = events_of(read(1, delta("a b"), said(2**63 - 1)))
    row = token_totals(events, words).iloc[0]
    assert (row["tokens_out_server"], row["difference"]) == (2**63 - 1, 2 - (2**63 - 1))


# -- a counter's count ------------------------------------------------------------------------------------------------


def test_a_counter_counts_the_text_so_far_and_the_delta_has_the_difference():
    events = events_of(
        read(0.5, delta("Rivers b")), read(1, delta("end"), delta(" and")), read(1.5, delta(" turn.")), read(2, said(6))
    )
    frame = tokens(events, words)
    assert columns(frame, "n_chars", *BY_HAND) == {
        "n_chars": [8, 3, 4, 6],
        "n_tokens": [2, 2 - 2, 3 - 2, 4 - 3],  # "Rivers b", "Rivers bend", "Rivers bend and", "Rivers bend and turn."
        "n_tokens_cum": [2, 2, 3, 4],
        "chunk_tokens": [2, 0 + 1, 0 + 1, 1],
        "tokens_out_server": [None] * 4,
        "n_tokens_server": [None] * 4,
        "n_tokens_counter": [2, 0, 1, 1],
    }
    assert token_totals(events, words).iloc[0].to_dict() == {
        "run_id": "r1",
        "tokens_out_server": 6,
        "tokens_out_counter": 4,
        "difference": 4 - 6,
        "token_source": "counter:words",
        "n_text_chunks": 3,
        "tokens_per_chunk": (2 + 1 + 1) / 3,
        "multi_token_share": 1 / 3,
    }


def test_reasoning_answer_choices_and_calls_are_texts_of_their_own():
    events = events_of(
        read(1, reasoning("so ma"), delta("Y", choice=0), delta("N", choice=1)),
        read(2, reasoning("ny"), delta("es", choice=0), delta("o", choice=1)),
        read(3, delta("es", choice=0), call=1),
    )
    assert tokens(events, words)["n_tokens"].tolist() == [2, 1, 1, 0, 0, 0, 1]


def test_no_choice_is_the_first_choice():
    assert tokens(events_of(read(1, delta("a")), read(2, delta("b", choice=0))), words)["n_tokens"].tolist() == [1, 0]


def test_text_that_lowers_the_count_lowers_it_at_once():
    def pairs(text: str) -> int:
        return len(text.replace("ab", "x"))

    events = events_of(read(1, delta("ca")), read(2, delta("b")), read(3, delta("cc")))
    assert tokens(events, pairs)["n_tokens"].tolist() == [2, 0, 2]  # 2, 2 ("cx"), 4
    events = events_of(read(1, delta("a")), read(2, delta("bab")), read(3, delta("")))
    assert tokens(events, lambda text: len(text.replace("abab", "x")))["n_tokens"].tolist() == [1, 0]
    events = events_of(read(1, delta("aba")), read(2, delta("b")))
    assert tokens(events, lambda text: len(text.replace("abab", "x")))["n_tokens"].tolist() == [1, 0]  # 3, then 1


def test_what_is_no_text_has_no_row():
    events = events_of(
        read(-3, delta("Welcome")),
        read(1, Event("start"), delta(""), Event("message", "whole"), Event("tool_call", "{}"), Event("ping")),
        read(2, delta("a"), Event("replace", "b"), Event("end", "all")),
    )
    assert tokens(events, words)["seq"].tolist() == [8 - 2]
    assert token_totals(events, words)["tokens_out_counter"].tolist() == [1]


def test_half_characters_in_two_deltas_are_counted_as_one():
    seen: list[str] = []

    def counter(text: str) -> int:
        seen.append(text)
        return len(text.encode())  # a lone half cannot be encoded

    events = events_of(read(1, delta("\ud83d")), read(2, delta("\ude00")), read(3, delta("\ud83d")))
    assert tokens(events, counter)["n_tokens"].tolist() == [3, 1, 3]
    assert seen == ["\ufffd", "\U0001f600", "\U0001f600\ufffd"]


def test_runs_do_not_mix_even_row_by_row():
    a = events_of(read(1, delta("a b")), read(2, delta(" c")), run_id="a")
    b = events_of(read(1.5, delta("x"), said(5)), read(2.5, delta(" y"), said(7)), run_id="b")
    quiet = events_of(read(1, Event("ping")), run_id="quiet")
    together = pd.concat([a, b]).sort_values("t_s", kind="stable")
    frame = tokens(together, words)
    assert frame["run_id"].tolist() == ["a", "b", "a", "b"]
    assert columns(frame, "n_tokens", "n_tokens_cum", "token_source") == {
        "n_tokens": [2, 5, 1, 2],
        "n_tokens_cum": [2, 5, 3, 7],
        "token_source": ["counter:words", "server", "counter:words", "server"],
    }
    totals = token_totals(pd.concat([quiet, b, a]), words)
    assert columns(totals, "run_id", "tokens_out_server", "tokens_out_counter", "difference", "n_text_chunks") == {
        "run_id": ["quiet", "b", "a"],
        "tokens_out_server": [None, 7, None],
        "tokens_out_counter": [None, 2, 3],
        "difference": [None, 2 - 7, None],
        "n_text_chunks": [0, 2, 2],
    }


# -- the rate ---------------------------------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_window_that_ends_with_the_event():
    times = (5, 5.5, 6, 6.25, 9)
    events = events_of(*(read(t, delta(" a b")) for t in times))  # two tokens each
    frame = tokens(events, words)
    # (5, 6]: those at 5.5 and 6. (5.25, 6.25]: 5.5, 6, 6.25. (8, 9]: itself alone
    assert columns(frame, "rate_per_s") == {"rate_per_s": [None, None, 4 / 1, 6 / 1, 2 / 1]}
    frame = tokens(events, words, window_s=0.5)
    assert columns(frame, "rate_per_s") == {"rate_per_s": [None, 2 / 0.5, 2 / 0.5, 4 / 0.5, 2 / 0.5]}


def test_events_of_one_read_have_one_rate():
    events = events_of(read(1, delta("a")), read(2, delta(" b"), delta(" c")))
    assert columns(tokens(events, words), "rate_per_s") == {"rate_per_s": [None, 2, 2]}


def test_the_wait_for_a_call_is_not_in_its_rate():
    events = events_of(
        read(1, delta("a")), read(2, delta(" b")), read(9, delta("c"), call=1), read(10, delta(" d e"), call=1)
    )
    assert columns(tokens(events, words), "rate_per_s") == {"rate_per_s": [None, 1, None, 2]}


def test_a_rate_needs_no_t0_and_no_rate_comes_without_counts():
    reads = [read(1, delta("a")), read(2, delta(" b"))]
    frame = tokens(events_of(*reads, t0=False), words)
    assert columns(frame, "t_s", "rate_per_s") == {"t_s": [None, None], "rate_per_s": [None, 1]}
    assert tokens(events_of(*reads))["rate_per_s"].isna().all()


@pytest.mark.parametrize("window_s", [0, -1, math.nan, math.inf])
def test_a_window_has_a_length(window_s):
    with pytest.raises(UsageError, match="window_s wants a number of seconds above 0"):
        tokens(events_of(), window_s=window_s)


# -- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counter", [None, words])
@pytest.mark.parametrize(
    "events",
    [events_of(), events_of(read(1, Event("ping"), said(1))), events_of(read(1, delta(), said(1)), read(2, delta()))],
    ids=["no events", "no text", "text"],
)
def test_both_keep_their_columns_and_dtypes_and_change_nothing(events, counter):
    before = events.copy(deep=True)
    assert dtypes(tokens(events, counter)) == COLUMNS["tokens"]
    assert dtypes(token_totals(events, counter)) == COLUMNS["token_totals"]
    assert len(token_totals(events, counter)) == events["run_id"].nunique()
    pd.testing.assert_frame_equal(events, before)


@pytest.mark.parametrize(
    "name", ["n_tokens_server", "n_tokens_counter", "rate_per_s", "tokens_per_chunk", "multi_token_share"]
)
def test_the_formulas_are_those_of_the_docstrings(name):
    says = " ".join(f"{tokens.__doc__} {token_totals.__doc__}".split())
    assert f"{name} = {analysis.FORMULAS[name]}" in says


def test_every_recorded_run_is_counted_without_an_error():
    paths = sorted(Path(TRANSCRIPTS).glob("*/*.jsonl"))
    events = pd.concat([tables.events(shelf.read_file(path)[0]) for path in paths])
    counted = tokens(events, "cl100k_base")
    assert (counted["n_tokens_counter"] >= 0).all()
    assert counted["n_tokens"].notna().all()
    by_server = counted.loc[counted["token_source"] == "server", "run_id"].drop_duplicates().tolist()
    assert by_server == ["openai_chat-perplexity", "openai_chat-vllm_stream_interval", "openai_chat-vllm_usage"]
