from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.exchange._text import escape, has_half, json_text, unescape

PIECES = st.sampled_from(
    ["\\", "u", "d83d", "ud83d", "udE00", "d", "\ud83d", "\ude00", "\udfff", "\U0001f600", "a", '"']
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(st.characters())


@given(TEXTS)
def test_any_text_can_be_escaped_to_utf8_and_back(text: str):
    assert escape(text).encode().decode() == escape(text)
    assert unescape(escape(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\")))
def test_a_text_of_whole_characters_stays_as_it_is(text: str):
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\ud83db", r"a\ud83db"),
        ("\ud83d\ude00", r"\ud83d\ude00"),
        (r"\ud83d", r"\\ud83d"),
        ("\\\ud83d", r"\\\ud83d"),
        ("ud83d", "ud83d"),
        (r"C:\users\\x", r"C:\users\\x"),
        (r"\uD83D \u2028 \ud7ff", r"\uD83D \u2028 \ud7ff"),
    ],
)
def test_halves_are_written_as_json_writes_them(text: str, escaped: str):
    assert escape(text) == escaped
    assert unescape(escaped) == text


def test_a_megabyte_of_backslashes_takes_no_longer_than_it_must():
    text = "\\" * 1_000_000 + "x\ud83d"  # the suite's time limit is the assertion
    assert unescape(escape(text)) == text


@pytest.mark.parametrize(
    ("text", "found"), [("a\ud83d", True), ("\ud83d\ude00", True), ("\U0001f600", False), ("a", False)]
)
def test_half_a_character_is_seen(text: str, found: bool):
    assert has_half(text) is found


def test_json_text_comes_back_as_it_was():
    value = {"a": [1, 2**70, None, True, 0.1, "\u2028\ud83d", "\ud83d\ude00"], "\u00fc": {}}
    assert json.loads(json_text(value)) == value
    assert json_text(["\u00fc"]) == '["\u00fc"]'
