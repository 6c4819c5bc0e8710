from __future__ import annotations

import time

import pytest

from streamnb.display.markdown._formulas import LONGEST, closed_by, opener
from streamnb.display.markdown._parser import build
from streamnb.display.markdown._work import Work

SHAPES = {
    ("formula_block", ""): "$$%s$$",
    ("formula_block", "open"): "open %s",
    ("formula", "$"): "$%s$",
    ("formula", "$$"): "[%s]",
}


def formulas(source: str) -> list[str]:
    """Every formula of a source: a block in double dollars, display style in brackets, inline in single dollars."""
    blocks = build().parse(source, {"work": Work()})
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    return [
        SHAPES[token.type, token.markup + token.info] % token.content for token in tokens if "formula" in token.type
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("so $x^2$ holds", ["$x^2$"]),
        ("($x$), $y$.", ["$x$", "$y$"]),
        ("$42$ and $ABC$", ["$42$", "$ABC$"]),
        ("the $n$th, the $k$-th, all $x$s, $3$D", ["$n$", "$k$", "$x$", "$3$"]),
        ("$a \\$ b_1$", ["$a \\$ b_1$"]),
        ("$a\nb_1$", ["$a\nb_1$"]),
        ("$$x$$ inside", ["[x]"]),
        ("a $$ x_1 $$ b", ["[x_1]"]),
        ("\\(x\\) and \\[y\\]", ["$x$", "[y]"]),
        ("a \\[ x = 1 \\] b", ["[x = 1]"]),
        ("\\(a + b\\) \\(42\\)", ["$a + b$", "$42$"]),
        ("*$x$*", ["$x$"]),
        ("[$x$](https://a.example)", ["$x$"]),
    ],
)
def test_a_formula_is_found_in_a_text(source, found):
    assert formulas(source) == found


@pytest.mark.parametrize(
    "source",
    [
        "$5 and $10",
        "$5, or 5$ here",
        "from $5-$10",
        "($5)/($6)",
        "US$5, A$6",
        "5$ or 6$",
        "$20/month or 10$ once",
        "**$100**-**$200**",
        "$HOME/$USER",
        "$ x$ and $x $",
        "$",
        "$$$",
        "$$$$",
        "$x",
        "\\$x$",
        "x$y$",
        "$x$$",
        "it costs $$ to $$$ here",
        "`$x$`",
        "\\[1\\] \\[2, 3\\] \\[4\u20136\\]",
        "\\[see below\\]",
        "\\(as we said\\)",
        "\\(\\)",
        "\\(x",
        "\\[x",
        "\\{x\\}",
        "$" + "x" * LONGEST + "$",
        "\\(" + "x" * LONGEST + "\\)",
    ],
)
def test_money_and_brackets_are_no_formula(source):
    assert formulas(source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("$$\nx\n$$", ["$$x$$"]),
        ("$$ x = 1 $$", ["$$x = 1$$"]),
        ("\\[\nx\n= y\n\\]", ["$$x\n= y$$"]),
        ("\\[ x \\]", ["$$x$$"]),
        ("  $$\n  x\n  $$", ["$$x$$"]),
        ("$$ \\begin{a}\nx\n\\end{a} $$", ["$$\\begin{a}\nx\n\\end{a}$$"]),
        ("text\n$$\nx\n$$\ntext", ["$$x$$"]),
        ("- $$\n  x\n  $$\n- \\[y\\]", ["$$x$$", "$$y$$"]),
        ("- $$\n  x\ny", ["open $$\nx"]),
        ("> \\[\n> x\n> \\]", ["$$x$$"]),
        ("- text\n  $$x$$", ["$$x$$"]),
        ("$$", ["open $$"]),
        ("$$\nx", ["open $$\nx"]),
        ("$$\nx\n\n$$", ["open $$\nx", "open $$"]),
        ("$$\\frac", ["open $$\\frac"]),
        ("$$x$$ and $$y$$", ["[x]", "[y]"]),
        ("$$x$$.", ["[x]"]),
        ("    $$\n    x", []),
        ("$$ is money", []),
        ("\\[see below\\]", []),
        ("\\[1\\]", []),
        ("$$$\nx\n$$$", []),
    ],
)
def test_a_formula_is_found_on_lines_of_its_own(source, found):
    assert formulas(source) == found


@pytest.mark.parametrize(
    ("line", "closer"),
    [
        ("$$", "$$"),
        ("$$ x_1", "$$"),
        ("$$x$$", "$$"),
        ("\\[", "\\]"),
        ("\\[ a = \\]", "\\]"),
        ("$$x$$ y", ""),
        ("$$  $$", ""),
        ("$$ words", ""),
        ("$$$", ""),
        ("$", ""),
        ("\\(", ""),
        ("\\(x\\)", ""),
        ("\\", ""),
    ],
)
def test_a_line_opens_a_formula_when_nothing_else_is_on_it(line, closer):
    assert opener(line) == closer


def test_a_line_closes_a_formula_at_its_end_only():
    assert closed_by("x \\] ", "\\]")
    assert not closed_by("\\] x", "\\]")


@pytest.mark.parametrize("unit", ["$", "$a ", "$a", "$\\", "\\(", "\\[", "\\[a\n", "$$\n", "$$x=\n", "$$a"])
def test_thousands_of_openings_are_sought_in_time(unit):
    source = unit * (8192 // len(unit))
    begun = time.thread_time()
    formulas(source)
    assert time.thread_time() - begun < 10 * 0.1
