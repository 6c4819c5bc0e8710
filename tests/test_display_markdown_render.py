from __future__ import annotations

import html
import re

import pytest

from streamnb.display.markdown import TOTAL_LIMIT, cite, plain, render

SUP = '<sup class="snb-cite">[1]</sup>'


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_nothing_is_rendered_of_nothing():
    assert render("") == render("\n \n") == ""
    assert plain("") == "<pre></pre>"


def test_what_acts_is_shown_wherever_it_comes_from():
    assert render("a\x00\x1b[1m\u202e\ud800\r\nb") == "<p>a\u2400\u241b[1m&lt;U+202E&gt;\ufffd<br>\nb</p>"
    assert plain("a\x00\ud800\U0010fff1") == "<pre>a\u2400\ufffd\ufffd</pre>"


@pytest.mark.parametrize("text", ["a\n b", "\na", "\n\na", "\n", "<b>&amp;\"'", "a\tb"])
def test_plain_text_looks_as_it_came(text):
    page = plain(text)
    assert page.startswith("<pre>")
    assert page.endswith("</pre>")
    assert "<p>" not in page
    seen = page.removeprefix("<pre>").removesuffix("</pre>")
    assert html.unescape(seen.removeprefix("\n")) == text


def test_plain_text_keeps_its_citations():
    assert plain(f"a{cite(1)}<") == f"<pre>a{SUP}&lt;</pre>"


def test_a_text_that_is_too_long_is_shown_plain():
    long = "*a* " + "word " * (TOTAL_LIMIT // 5)
    assert render(long + cite(1)) == plain(long + cite(1))
    assert render(long + cite(1)).startswith("<pre>*a* word")


def test_a_text_of_too_many_lines_is_shown_plain():
    assert render("# a\n" * 30_001).startswith("<pre># a\n")


def test_dear_blocks_are_shown_plain_and_the_others_are_not():
    dear = ">" * 20 + "a\n" + "b\n" * 3000
    page = render(f"# a\n\n{dear}{cite(1)}\n\n**c**")
    assert page.startswith("<h1>a</h1>\n<pre>&gt;&gt;")
    assert page.endswith(f"b\n{SUP}</pre>\n<p><strong>c</strong></p>")


def test_what_nests_too_deeply_is_shown_plain_and_whole():
    page = render(">" * 60 + " a*b*")
    assert page.startswith("<pre>")
    assert text_of(page) == ">" * 60 + " a*b*"


def test_a_long_text_is_rendered_whole():
    source = "".join(f"## Part {n}\n\nSome *text* of part {n}.\n\n" for n in range(1500))
    page = render(source)
    assert "<h2>Part 0</h2>\n<p>Some <em>text</em> of part 0.</p>" in page
    assert text_of(page).count("of part") == 1500
    assert "Part 1499" in page


def test_thousands_of_citations_are_not_all_shown():
    assert render("a" + cite(1) * 5000).count("<sup") == 1000
    assert plain(cite(1) * 5000).count("<sup") == 1000
