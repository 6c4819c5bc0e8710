"""The vocabulary: frozen values, one list of kinds, one list of outcomes."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from streamnb.events import TEXT_KINDS, Arrival, Choice, Chunk, Event, Kind, Outcome, Prompt

VALUES = [
    Prompt("Hi"),
    Choice("Yes", Prompt("Yes")),
    Event("delta", "Hi"),
    Chunk(0, 0, 1, 2, 3, b"Hi"),
    Arrival(Chunk(0, 0, 1, 2, 3, b"Hi")),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_happened_is_a_frozen_value(value):
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    with pytest.raises((AttributeError, TypeError)):
        value.something_else = 1
    assert value == dataclasses.replace(value)


def test_the_kinds_are_those_of_the_glossary():
    assert " ".join(typing.get_args(Kind)) == (
        "start delta reasoning message citation tool_call tool_result usage step file item replace trace action "
        "session ping error end unknown"
    )


def test_only_pieces_of_the_answer_count_for_timing():
    assert {"delta", "reasoning"} == TEXT_KINDS


def test_a_run_ends_in_one_of_seventeen_outcomes():
    assert " ".join(Outcome) == (  # SAFETY R1
        "complete length filtered tool_calls truncated error_in_stream http_error protocol_error connect_error "
        "timeout_first timeout_idle timeout_total interrupted stopped limit ended_unverified crashed"
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_is_its_word_and_good_only_when_nothing_is_missing(outcome):
    assert outcome == str(outcome) == f"{outcome}"
    assert outcome.ok == (outcome in {"complete", "length", "tool_calls", "ended_unverified"})


def test_a_prompt_without_anything_is_empty():
    assert Prompt() == Prompt("", None, None, {}, None)
    assert Prompt().params is not Prompt().params  # no shared default


def test_an_event_says_no_more_than_it_was_given():
    assert Event("ping") == Event("ping", "", None, None, None, None, frozenset(), ())
