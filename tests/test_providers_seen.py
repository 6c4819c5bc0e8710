"""The fold of one stream: what a provider may look back at."""

from __future__ import annotations

import pytest

from streamnb.events import Event
from streamnb.providers import Seen
from streamnb.providers._seen import join


def seen(*events: Event) -> Seen:
    fold = Seen()
    for event in events:
        fold.fold(event)
    return fold


def test_the_text_is_the_deltas_else_the_messages_else_the_end():
    message, end = Event("message", "M"), Event("end", "E")
    assert seen().text() == ""
    assert seen(end).text() == "E"
    assert seen(end, message, Event("message", "N")).text() == "M\n\nN"
    assert seen(message, Event("delta", "a"), Event("reasoning", "r"), Event("delta", "b"), end).text() == "ab"


def test_asking_for_the_text_twice_and_going_on_loses_nothing():
    fold = seen(Event("delta", "a"))
    assert fold.text() == fold.text() == "a"
    fold.fold(Event("delta", "b"))
    assert fold.text() == "ab"


def test_a_replacement_takes_the_place_of_what_was_said():
    fold = seen(Event("delta", "wrong"), Event("replace", "right"), Event("delta", "!"))
    assert (fold.text(), fold.n_chars()) == ("right!", 6)


def test_answers_are_apart():
    fold = seen(Event("delta", "a"), Event("delta", "bb", choice=1), Event("end", choice=1, name="stop"))
    assert (fold.text(0), fold.text(1), fold.n_chars(0), fold.n_chars(1)) == ("a", "bb", 1, 2)
    assert (fold.choices, fold.ended) == ((0, 1), {1})


def test_counts_flags_and_the_latest_of_a_kind_are_kept():
    fold = seen(Event("step", name="1"), Event("step", name="2", flags=frozenset({"late"})), Event("ping"))
    assert (fold.count("step"), fold.count("error"), fold.total, fold.flagged("late"), fold.flagged("lossy")) == (
        2,
        0,
        3,
        1,
        0,
    )
    assert fold.last("step").name == "2"
    assert fold.last("end") is None


def test_the_first_error_and_the_first_reason_count():
    fold = seen(Event("error", "a"), Event("error", "b"), Event("end"), Event("end", name="x"), Event("end", name="y"))
    assert (fold.error.text, fold.finish_reason) == ("a", "x")


@pytest.mark.parametrize(
    ("flags", "cut"),
    [
        ({"unterminated"}, False),
        ({"malformed"}, False),
        ({"lossy"}, False),
        ({"unterminated", "malformed"}, True),
        ({"unterminated", "lossy"}, True),
        ({"malformed", "truncated"}, True),
    ],
)
def test_a_stream_is_cut_when_it_ends_inside_a_value_or_a_character(flags, cut):
    assert seen(Event("delta", flags=frozenset(flags)), Event("ping")).cut is cut


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], ""),
        (["a", "b"], "ab"),
        (["caf", "é"], "café"),
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "b"], "a\ufffdb"),
    ],
)
def test_deltas_join_to_well_formed_text(parts, text):
    assert join(parts) == text
