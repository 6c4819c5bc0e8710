from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display.inert import Joiner, TerminalFilter, visible, well_formed

RISKY = st.text(st.sampled_from("\x1b[]PX^_\\;?0m8A h\x07\x9b\x9c\x9d\x90\x98\x9e\x9f\x18\x7f\r\n\té\u202e\x85"))


def filtered(*pieces: str) -> str:
    one = TerminalFilter()
    return "".join(one.feed(piece) for piece in pieces)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9 \u20ac \U0001f30a\tand\nlines", "plain \u00e9 \u20ac \U0001f30a\tand\nlines"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b[38;5;12;1 qx", "x"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\!", "click!"),
        ("\x1b]52;c;cm0gLXJm\x07after", "after"),
        ("\x9d52;c;cm0gLXJm\x9cafter", "after"),
        ("\x1bPq#0~~\x1b\\after", "after"),
        ("\x90q\x9cafter \x98s\x9cafter \x9ep\x9cafter \x9fa\x9c!", "after after after !"),
        ("\x1b_apc\x1b\\a\x1b^pm\x1b\\b\x1bXsos\x1b\\c", "abc"),
        ("\x1b(Bascii", "ascii"),
        ("\x1bcreset", "reset"),
        ("\x1b\u00e9", "\u00e9"),
        ("\x1b[3\u00e9", "\u00e9"),
        ("\x1b\x1b[1mx", "x"),
        ("\x1b]a\x1b\x1b\\x", "x"),
        ("\x1b]a\x1b[1mx", "x"),
        ("bell\x07 back\x08 nul\x00 del\x7f nel\x85", "bell back nul del nel"),
        ("progress 10%\rprogress 20%", "progress 10%\nprogress 20%"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("\x1b]unterminated\nnext line", "\nnext line"),
        ("\x1b]cancelled\x18text", "text"),
        ("user\u202e\u2066admin", "useradmin"),
        ("mis-decoded \x9dquote\nnext", "mis-decoded \nnext"),
    ],
)
def test_a_terminal_gets_text_and_no_orders(text, shown):
    assert filtered(text) == shown
    assert filtered(*text) == shown
    for cut in range(len(text)):
        assert filtered(text[:cut], text[cut:]) == shown


def test_an_endless_control_string_swallows_at_most_4096_characters():
    assert filtered("\x1b]" + "a" * 5000) == "a" * (5000 - 4096)


@given(st.lists(RISKY))
def test_no_escape_no_c1_and_no_cr_ever_comes_out_and_cuts_change_nothing(pieces):
    shown = filtered(*pieces)
    assert not set(shown) & ({chr(c) for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\n\t"} | {"\u202e"})
    assert shown == filtered("".join(pieces))


@given(st.text())
def test_text_without_controls_is_left_alone(text):
    clean = visible(text).replace("\r", "")
    assert filtered(clean) == clean
    assert visible(clean) == clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x1b[31m", "\u241b[31m"),
        ("\x00\x7f", "\u2400<U+007F>"),
        ("a\rb", "a\u240db"),
        ("\x85", "<U+0085>"),
        ("abc\u202exyz", "abc<U+202E>xyz"),
        ("\u05e9\u05dc\u05d5\u05dd\u200f!", "\u05e9\u05dc\u05d5\u05dd\u200f!"),
    ],
)
def test_what_acts_is_made_visible(text, shown):
    assert visible(text) == shown


def test_a_surrogate_pair_cut_between_two_deltas_is_one_character():
    joiner = Joiner()
    assert [joiner.feed("a\ud83d"), joiner.feed("\ude00b"), joiner.flush()] == ["a", "\U0001f600b", ""]


def test_a_cr_waits_for_its_lf():
    joiner = Joiner()
    assert [joiner.feed("a\r"), joiner.feed(""), joiner.feed("\nb\r"), joiner.flush()] == ["a", "", "\r\nb", "\r"]


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=5)))
def test_joined_text_can_always_be_encoded(pieces):
    joiner = Joiner()
    out = "".join([joiner.feed(piece) for piece in pieces] + [joiner.flush()])
    out.encode("utf-8")
    assert out == well_formed("".join(pieces))
