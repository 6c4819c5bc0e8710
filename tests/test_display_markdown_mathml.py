from __future__ import annotations

import time
import xml.etree.ElementTree as ET

import pytest
from allowed_html import violations
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.display.markdown._mathml import to_mathml
from streamnb.display.markdown._sanitize import sanitize

WORDS = [
    *["\\frac", "\\sqrt", "\\left(", "\\right)", "\\text{a b}", "\\mathbb{R}", "\\sum", "\\limits", "\\begin{matrix}"],
    *[
        "\\end{matrix}",
        "\\begin{cases}",
        "\\end{cases}",
        "\\overset",
        "\\hat",
        "\\not",
        "\\over",
        "\\color{red}",
        "\\binom",
    ],
    *[
        "\\hspace{3em}",
        "\\rule",
        "\\raise",
        "\\operatorname{f}",
        "\\xrightarrow",
        "\\genfrac",
        "\\mathrm",
        "\\displaystyle",
    ],
    *[
        "{",
        "}",
        "{",
        "}",
        "^",
        "_",
        "'",
        "&",
        "\\\\",
        "[",
        "]",
        "|",
        "x",
        "1",
        "2.5",
        "<",
        ">",
        '"',
        " ",
        "%",
        "#",
        "\n",
    ],
    *[
        "&#x3c;b&#x3e;",
        "&lt;",
        "&#x202e;",
        "\u202e",
        "\U0010fff1",
        "\ud800",
        "\x00",
        "\\quad",
        "\\href",
        "\\def",
        "\\unknown",
    ],
]


@pytest.mark.parametrize(
    ("latex", "mathml"),
    [
        ("x^2", "<msup><mi>x</mi><mn>2</mn></msup>"),
        ("a<b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\alpha", "<mi>\u03b1</mi>"),
        (r"\text{R\&D}", "<mtext>R\\&amp;D</mtext>"),
        (r"\text{&#x202e;&#xffffff;}", "<mtext>&lt;U+202E&gt;\ufffd</mtext>"),
        (r"\unknown", r"<mi>\unknown</mi>"),
        (r"\left( x \right)", '<mo stretchy="true" fence="true" form="prefix">(</mo><mi>x</mi>'),
    ],
)
def test_a_formula_is_presentation_mathml(latex, mathml):
    written = to_mathml(latex, display=False)
    assert written.startswith("<math><mrow>")
    assert mathml in written


def test_display_style_is_said():
    assert to_mathml("x", display=True) == '<math display="block"><mrow><mi>x</mi></mrow></math>'


@pytest.mark.parametrize(
    "latex",
    [
        r"\frac",
        "{",
        "x^",
        "x^2^3",
        r"\begin{matrix} a",
        r"\right)",
        r"\rule",
        "",
        r"\href{javascript:alert(1)}{x}",
        r"\style{color:red}{x}",
        r"\class{a}{x}",
        r"\verb|x|",
        r"\unicode{x3c}",
        r"\def\a{\a\a}\a",
        r"\newcommand{\a}{x}\a",
        r"\newenvironment{a}{b}{c}",
        r"\DeclareMathOperator{\a}{b}",
        r"\sideset{}{}{x}",
        r"\text{<b>}",
        "{" * 41 + "x" + "}" * 41,
        "x^" * 1 + "{x^" * 39 + "y" + "}" * 39,
        r"\sqrt" * 100 + "x",
        r"\sqrt" * 400 + "x",
        "x" * 2001,
    ],
)
def test_a_formula_that_is_wrong_or_wants_more_than_to_be_read_is_refused(latex):
    assert to_mathml(latex, display=True) == ""


def test_a_command_that_begins_like_a_refused_one_is_another_one():
    assert to_mathml(r"\defx", display=False) != ""


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join), st.booleans())
def test_whatever_is_written_is_well_formed_and_allowed(latex, display):
    written = to_mathml(latex, display=display)
    if written:
        ET.fromstring(written)
    assert violations(sanitize(written)) == []


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        "x",
        "1 ",
        "'",
        "&",
        "^",
        "_",
        "{}",
        r"\sqrt",
        r"\text{",
        r"\left(",
        r"\begin{matrix}",
        r"\LaTeX ",
        r"\not",
        "x^{",
    ],
)
def test_no_formula_takes_long(unit):
    latex = (unit * 2000)[:2000]
    begun = time.thread_time()
    to_mathml(latex, display=True)
    assert time.thread_time() - begun < 10 * 0.05


def test_a_formula_that_comes_again_is_not_converted_again():
    before = to_mathml.cache_info().hits
    assert to_mathml("x^{17}", display=False) == to_mathml("x^{17}", display=False)
    assert to_mathml.cache_info().hits > before
