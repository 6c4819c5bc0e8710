from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display.markdown import cite, clean, without_marks
from streamnb.display.markdown._marks import MOST, first_marks, numbers, shown, take_out, written

TEXTS = st.text(st.sampled_from("ab \n<&\u2e22\u2e23\u00e9\U0010fff0\U0010fff9\ud800\x00\u202e"))


@pytest.mark.parametrize("number", [0, 1, 10, 987_654_321])
def test_a_mark_says_its_number_and_nothing_that_anybody_types(number):
    mark = cite(number)
    assert numbers(f"a {mark}b") == [number]
    assert {unicodedata.category(char) for char in mark} == {"Ps", "Pe", "Co"}
    assert without_marks(f"a{mark}b") == "ab"


@given(TEXTS)
def test_no_text_of_a_model_is_a_mark_once_it_is_clean(text):
    assert numbers(clean(text)) == []
    assert take_out(clean(text)) == (clean(text), [])
    clean(text).encode("utf-8")


def test_a_clean_text_shows_what_acts():
    assert clean("a\x1b[1m\u202eb\U0010fff1\ud800\r\n") == "a\u241b[1m<U+202E>b\ufffd\ufffd\n"


@given(st.lists(st.tuples(st.text("ab \u00e9\n"), st.integers(0, 99))), st.text("ab"))
def test_marks_are_taken_out_with_their_places(pieces, end):
    source = "".join(text + cite(number) for text, number in pieces) + end
    bare, placed = take_out(source)
    assert bare == without_marks(source) == "".join(text for text, _ in pieces) + end
    assert [number for _, number in placed] == numbers(source) == [number for _, number in pieces]
    back = source
    for offset, number in placed:
        assert back[offset : offset + len(cite(number))] == cite(number)
        back = back[:offset] + back[offset + len(cite(number)) :]


def test_half_a_mark_is_none():
    assert take_out("\u2e22\U0010fff1 a" + cite(2)) == ("\u2e22\ufffd a", [(4, 2)])
    assert without_marks("\U0010fff1\u2e23") == "\ufffd\u2e23"
    assert numbers("\u2e22" + "\U0010fff1" * 10 + "\u2e23") == []


def test_a_page_has_no_more_marks_than_it_can_bear():
    text = cite(1) * (MOST + 5) + "b"
    assert first_marks(text) == cite(1) * MOST + "b"
    assert first_marks(cite(1) * MOST) == cite(1) * MOST
    assert first_marks("plain") == "plain"
    assert first_marks(f"a{cite(1)}b{cite(2)}", most=1) == f"a{cite(1)}b"


def test_a_text_is_escaped_and_its_marks_are_citations():
    assert shown([1, 12]) == '<sup class="snb-cite">[1]</sup><sup class="snb-cite">[12]</sup>'
    assert written(f'<b> & "\u00e9"{cite(3)}\U0010fff1') == f'&#60;b> &#38; "\u00e9"{shown([3])}\ufffd'
    assert written("<b>") == "&#60;b>"
    assert written("a" * 10_000) == "a" * 10_000


def test_a_long_text_is_escaped_in_stretches():
    pieces = written("<&" * 5_000).split("<!---->")
    assert len(pieces) == 3
    assert "".join(pieces) == "&#60;&#38;" * 5_000
