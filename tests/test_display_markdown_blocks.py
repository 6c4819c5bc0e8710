from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it.ruler import Ruler

from streamnb.display.markdown._blocks import sure_tokens
from streamnb.display.markdown._parser import build
from streamnb.display.markdown._work import Work

PARSER = build()
LINES = st.sampled_from(
    [
        *["word", "Two words", "**bold** text", "`code` text", "1984. A year", "\u00e9t\u00e9", "\N{WATER WAVE}", ""],
        *[
            "- a",
            "- **b** c",
            "* d",
            "+ e",
            "-  f",
            "- - -",
            "- 1",
            "1. g",
            "2. h",
            "2) i",
            "10. `j` k",
            "- ",
            "- [ ] l",
        ],
        *["# m", "## n *o*", "### p #", "#q", "> r", "> **s** t", ">u", "> - v", "---", "===", "*", "**", "`"],
        *[
            "``` ",
            "```",
            "```python",
            "```a b",
            "~~~",
            "x = 1",
            "$$",
            "$$ v = w $$",
            "\\[ y_1 \\]",
            "\\[",
            "\\]",
            "$$z",
        ],
        *["[a]: http://b.example", "[ ] c", "<p>", "&lt;", "    deep", "tab\there", "trailing ", "\N{NO-BREAK SPACE}"],
        *["| a | b |", "|---|---|", "|:-:|--:|", "|:--|:-|", "|-|-|", "||", "|||", "|", "| a |", "|---|", "| c", "d |"],
        *["|\N{NO-BREAK SPACE}a|b |", r"| a\| b | c |", "| - | - |", "| **a** | `b|` |", "\u2003wide", "$$ $$"],
    ]
)
SOURCES = st.lists(LINES, min_size=1, max_size=5).map("\n".join)


def parsed(source):
    return PARSER.block.parse(source, PARSER, {"work": Work(source)}, []) or []


@settings(derandomize=True, deadline=None, max_examples=3000)
@given(SOURCES)
@example("| a | b |\n|:-:|--:|\n|\N{NO-BREAK SPACE}a|b |")
@example("- a\n- b\n- - -")
@example("$$\na\n\nb\n$$")
@example("$$a$$\nb$$")
@example("```a\n```")
def test_what_is_sure_is_what_the_parser_makes_of_it(source):
    tokens = sure_tokens(source)
    assert tokens is None or tokens == parsed(source)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("word", "paragraph_open"),
        ("**Bold**: text\nand `code`\n`x` = 1", "paragraph_open"),
        ("###### Title of *six*", "heading_open"),
        ("```python\nx = 1\n\n# end\n```", "fence"),
        ("```\nplain\n```", "fence"),
        ("$$ a = b $$", "formula_block"),
        ("\\[\na = b\n\\]", "formula_block"),
        ("> Quoted **text**.", "blockquote_open"),
        ("- a\n- **b**\n- `c` d", "bullet_list_open"),
        ("* a", "bullet_list_open"),
        ("1. a\n1. b\n7. c", "ordered_list_open"),
        ("3) a\n4) b", "ordered_list_open"),
        ("| a | b | c | d |\n|---|:--|--:|:-:|\n| 1 | 2 | 3 | 4 |\n||| **x** | `y` |", "table_open"),
    ],
)
def test_most_blocks_of_an_answer_are_sure(source, kind):
    tokens = sure_tokens(source)
    assert tokens == parsed(source)
    assert tokens[0].type == kind


@pytest.mark.parametrize(
    "source",
    [
        *(
            "",
            " ",
            "a\tb",
            "a ",
            "a\n\nb",
            "a\n- b",
            "a\n===",
            "a\n    b",
            "1984",
            "\N{WATER WAVE}",
            "[a]: b",
            "<p>",
            "---",
        ),
        *(
            "#a",
            "# a #",
            "####### a",
            "# a\nb",
            "``` a b\nc\n```",
            "```\na",
            "```\na\n```\nb",
            "```\n```",
            "~~~\na\n~~~",
        ),
        *("$a$", "$$", "$$\na", "$$\na\n\nb\n$$", "$$a$$\nb$$", "\\(a\\)", ">a", "> - a", "> a\n> b", "> a\nb"),
        *("- [ ] a", "- 1", "- a\nb", "- a\n* b", "1. a\n2) b", "- a\n  - b", "- a \n- b", "-a", "- a\n\n- b"),
        *("| a |\n|---|", "| a\n|---\n| b", "| a |\n|---|\n| b | c |", "| a |\n| b |\n| c |", "| \\| |\n|---|\n| b |"),
        "| a |\n|---|\n|",
    ],
)
def test_in_doubt_the_parser_is_asked(source):
    assert sure_tokens(source) is None


@settings(derandomize=True, deadline=None, max_examples=1500)
@given(st.lists(st.tuples(st.sampled_from(["", "  ", "    ", "> ", "- ", "1. "]), LINES).map("".join)).map("\n".join))
def test_rules_that_are_asked_by_the_first_character_find_what_all_of_them_would(source):
    every = build()
    every.block.ruler.getRules = Ruler.getRules.__get__(every.block.ruler)
    assert parsed(source) == (every.block.parse(source, every, {"work": Work(source)}, []) or [])
