from __future__ import annotations

import functools
import math
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from record_builder import delta, events_of, read

from streamnb.analysis import counters, token_totals, tokens
from streamnb.errors import UsageError
from streamnb.events import Event


def words(text: str) -> int:
    return len(text.split())


BLANKS = [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\x1c", "\x85"]
WORDS = ["a", " the", "the ", "Ab", "unbelievable", " and so on, and so on.", "x" * 90, "'s", "'S", "\u00e9", "\u0301"]
MARKS = [".", ", ", "//", "(", ")\n", "_", "====", "<|endoftext|>", "12", "345", " 6", "\u00b2"]
OTHERS = ["\u4e2d\u6587", "\u3002", "\uff0c", "\U0001f600", "\ud83d", "\ude00", "\u0e01\u0e34"]
PIECE = st.sampled_from([*BLANKS, *WORDS, *MARKS, *OTHERS]) | st.text(max_size=6)
RUNS = st.lists(st.tuples(PIECE, st.integers(1, 300)), min_size=1, max_size=4)


def naive(pieces: list[str], count) -> list[float]:
    """The count of the whole text so far at each piece, lowered where later text lowers it."""
    totals = [count(counters._paired("".join(pieces[: n + 1]))) for n in range(len(pieces))]
    return np.minimum.accumulate(totals[::-1])[::-1].tolist()


@pytest.mark.parametrize("name", counters.ENCODINGS)
@settings(deadline=None, max_examples=25)
@example(words=[], runs=[(" ", 300), ("=", 300), ("123", 100)])
@example(words=["a"], runs=[("\n", 300), ("ab", 150), (".\n", 150)])
@given(words=st.lists(PIECE, max_size=20), runs=RUNS)
def test_counting_tails_gives_what_counting_the_whole_gives(name, words, runs):
    long = ([one] * min(n, 300 // (len(one) or 1)) for one, n in runs)
    pieces = [*words, *(piece for run in long for piece in (*run, "so so"))]
    _, count = counters.resolve(name)
    assert counters.cumulative(pieces, count).tolist() == naive(pieces, count)


def grown(text: str, counter) -> tuple[list[float], int]:
    """The counts of a text that grows by four characters, and how many characters the counter was handed."""
    handed = 0

    def count(part: str) -> int:
        nonlocal handed
        handed += len(part)
        return counter(part)

    return counters.cumulative([text[n : n + 4] for n in range(0, len(text), 4)], count).tolist(), handed


@pytest.mark.parametrize("unit", ["The river bends slowly, and so on. ", "\u6cb3\u6d41\u8f6c\u5f2f\uff0c", "A"])
@pytest.mark.parametrize("times", [2_000, 20_000])
def test_a_text_ten_times_as_long_costs_ten_times_as_much(unit, times):
    _, count = counters.resolve("o200k_base")
    text = (unit * times)[:times]
    counts, handed = grown(text, count)
    assert counts[-1] == count(text)
    assert handed < 150 * len(text)  # all of it at each piece: 250 and 2,500 times


def test_a_begin_token_is_counted_once():
    counts, _ = grown("one two three four " * 200, lambda text: 1 + words(text))
    assert counts[-1] == 1 + 4 * 200
    assert counts == naive(
        [("one two three four " * 200)[n : n + 4] for n in range(0, 3_800, 4)], lambda t: 1 + words(t)
    )


@pytest.mark.parametrize("text", ["word by word " * 300, "A" * 9_000, "no.spaces,at-all." * 200])
def test_a_counter_that_splits_elsewhere_is_right_in_the_end_and_near_it_before(text):
    counts, _ = grown(text, lambda part: len(part) // 4)
    assert counts[-1] == len(text) // 4
    assert counts == sorted(counts)
    assert max(abs(count - n) for n, count in enumerate(counts, 1)) <= 2


def test_what_a_counter_is_wrong_by_is_spread_over_the_text():
    counts, _ = grown("A" * 9_000, lambda part: math.isqrt(len(part)))  # eleven tails of 1,024 would have 32 each
    assert counts[-1] == 94  # 94 * 94 = 8,836
    assert counts[len(counts) // 2] == pytest.approx(94 / 2, abs=15)


def test_counts_are_whole_and_never_fall_whatever_a_counter_says():
    counts, _ = grown("ab cd " * 300, lambda part: len(part) * 7 % 13)
    assert min(counts) >= 0
    assert counts == sorted(counts)
    assert all(count == int(count) for count in counts)
    assert counts[-1] == 1_800 * 7 % 13


def test_a_text_longer_than_the_package_takes_at_once_is_counted_in_pieces():
    _, count = counters.resolve("cl100k_base")
    text = ("The river bends. " * 6_000).rstrip()
    assert len(text) > 2 * counters._PIECE
    assert count(text) == 6_000 * 4  # "The" (later " The"), " river", " bends", "."
    assert count("\U0001f9ff" * 100_000) == 100_000 * count("\U0001f9ff")


def test_an_encoding_counts_as_its_vocabulary_does():
    events = events_of(read(1, delta("Rivers me")), read(2, delta("ander.")))
    frame = tokens(events, "o200k_base")
    assert frame["token_source"].tolist() == ["counter:o200k_base"] * 2
    assert frame["n_tokens"].sum() == counters.resolve("o200k_base")[1]("Rivers meander.")


@pytest.mark.parametrize(
    ("word", "tail"),
    [("o200k", "Did you mean o200k_base"), ("gpt2", "Known: cl100k_base, o200k_base, voyage3_base.")],
)
def test_an_unknown_encoding_is_refused_with_the_known_ones(word, tail):
    with pytest.raises(UsageError, match=f"no encoding '{word}' to count tokens with. {tail}"):
        tokens(events_of(read(1, delta())), word)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bpe_openai", None)
    counters._encoding.cache_clear()
    with pytest.raises(UsageError, match=r"needs the extra `tokens`: pip install streamnb\[tokens\]"):
        token_totals(events_of(read(1, delta())), "o200k_base")


@pytest.mark.parametrize("result", [-1, 1.0, None, True, "3", [1, 2, 3], math.nan])
def test_a_counter_that_returns_no_count_is_named(result):
    def mine(text: str):
        del text
        return result

    with pytest.raises(UsageError, match=r"the counter mine returned .*; it must return how many tokens"):
        tokens(events_of(read(1, delta())), mine)


def test_a_counter_may_return_the_integers_of_numpy_and_have_no_name():
    frame = tokens(events_of(read(1, delta("abc"))), functools.partial(lambda text: np.int64(len(text))))
    assert frame[["n_tokens", "token_source"]].to_numpy().tolist() == [[3, "counter:partial"]]


def test_what_cannot_be_called_is_no_counter():
    with pytest.raises(UsageError, match=r"a function from text to a number of tokens or one of cl100k_base.*not 4"):
        tokens(events_of(), 4)


def test_no_counter_is_called_where_there_is_no_text():
    def never(text: str) -> int:
        raise AssertionError(text)

    assert tokens(events_of(read(1, Event("ping"))), never).empty
