"""The error tree is the one that is drawn, and unknown words name the nearest."""

from __future__ import annotations

import re

import pytest

from streamnb import errors
from streamnb.errors import (
    ConnectError,
    LimitError,
    MissingKeyError,
    ProtocolError,
    RunError,
    StreamnbError,
    TransportError,
    UsageError,
    did_you_mean,
)
from streamnb.events import Outcome

TREE = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, StreamnbError) and value is not StreamnbError
]


def test_the_tree_in_the_docstring_is_the_tree():
    drawn, parents = {}, {-1: "StreamnbError"}
    for line in errors.__doc__.split("\n"):
        match = re.match(r"    ((?:\|   |    )*)[|`]-- (\w+)", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth] = match[2]
            drawn[match[2]] = parents[depth - 1]
    assert drawn == {error.__name__: error.__bases__[0].__name__ for error in TREE}


def test_a_wrong_call_is_also_a_value_error():
    assert issubclass(UsageError, ValueError)
    assert issubclass(MissingKeyError, UsageError)


@pytest.mark.parametrize("error", [TransportError, ConnectError, ProtocolError, LimitError])
def test_a_transport_error_carries_an_outcome_that_exists(error):
    assert Outcome(error("x").outcome)
    assert error.outcome == {"ConnectError": "connect_error", "LimitError": "limit"}.get(
        error.__name__, "protocol_error"
    )


def test_a_run_error_keeps_the_run():
    run = object()
    error = RunError("typebot answered 500.", run)
    assert (str(error), error.run) == ("typebot answered 500.", run)


@pytest.mark.parametrize(
    ("word", "known", "tail"),
    [
        ("opnai_chat", ["openai_chat", "typebot"], " Did you mean openai_chat?"),
        ("stall", ["stale", "stalls", "x"], " Did you mean stalls or stale?"),
        ("zzz", ["b", "a", "b"], " Known: a, b."),
        ("--temprature", ["--parse", "--model"], " Known: --model, --parse."),
        ("--modle", ["--parse", "--model"], " Did you mean --model?"),
        ("zzz", [], ""),
    ],
)
def test_an_unknown_word_names_the_nearest_or_all(word, known, tail):
    assert did_you_mean(word, known) == tail
    assert did_you_mean(word, iter(known)) == tail
