from __future__ import annotations

import pytest

from streamnb.display.markdown import cite, render
from streamnb.display.markdown._parser import OPTIONS, TooDeepError, build
from streamnb.display.markdown._work import Work


def test_the_settings_are_those_that_were_measured():
    parser = build()
    assert (parser.options["html"], parser.options["linkify"], parser.options["maxNesting"]) == (False, False, 50)
    active = parser.get_active_rules()
    assert "image" not in active["inline"]
    assert {"table", "fence", "formula_block"} <= set(active["block"])
    assert {"strikethrough", "link", "autolink", "formula"} <= set(active["inline"])
    assert OPTIONS["breaks"] is True


def test_no_bare_address_becomes_a_link():
    assert render("https://a.example www.a.example a@b.example") == "<p>https://a.example www.a.example a@b.example</p>"


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("- [ ] a\n- [x] b\n- [X] c", "<ul>\n<li>\u2610 a</li>\n<li>\u2611 b</li>\n<li>\u2611 c</li>\n</ul>"),
        ("1. [x] a\n\n2. b", "<ol>\n<li>\n<p>\u2611 a</p>\n</li>\n<li>\n<p>b</p>\n</li>\n</ol>"),
        ("[ ] a", "<p>[ ] a</p>"),
        ("- [y] a [x] b", "<ul>\n<li>[y] a [x] b</li>\n</ul>"),
        ("- # [x] a", "<ul>\n<li>\n<h1>[x] a</h1>\n</li>\n</ul>"),
        ("- a\n\n  [x] b", "<ul>\n<li>\n<p>a</p>\n<p>[x] b</p>\n</li>\n</ul>"),
    ],
)
def test_a_task_is_an_item_with_a_box(source, html):
    assert render(source) == html


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("&lt;b&gt; &amp; &copy; &#65; &#x42;", "&lt;b&gt; &amp; \u00a9 A B"),
        ("&#x202E; &#8297; &#0; &#27; &#x85;", "&lt;U+202E&gt; &lt;U+2069&gt; \ufffd \ufffd \ufffd"),
        ("&#x10FFF1; \u2e22&#x10FFF1;\u2e23", "\ufffd \u2e22\ufffd\u2e23"),
        ("&nosuch; &", "&amp;nosuch; &amp;"),
    ],
)
def test_what_an_entity_stands_for_can_neither_act_nor_forge_a_mark(source, text):
    assert render(source) == f"<p>{text}</p>"


def test_a_table_of_too_many_cells_is_shown_as_it_came():
    head = "|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n"
    assert "<table>" in render(head + "|b\n" * 10)
    html = render(head + "|b\n" * 600)
    assert "<table>" not in html
    assert html.count("|b") == 600


def test_a_table_beyond_doubt_is_paid_for_as_well():
    head, row = "|" + "a|" * 100 + "\n|" + "-|" * 100, "\n|" + "b|" * 100
    assert "<table>" in render(head + row * 10)
    html = render(head + row * 600)
    assert "<table>" not in html
    assert html.count("b|") == 60_000


def test_a_table_ends_a_paragraph_and_the_text_behind_it_is_no_row():
    html = render("a\n| b |\n|---|\n| c |\n\nd")
    assert [html.count(tag) for tag in ("<p>a</p>", "<table>", "<tr>", "<p>d</p>")] == [1, 1, 2, 1]


def test_a_text_that_is_too_much_is_shown_as_it_came():
    source = "*a* " * 6000 + f"b\n{cite(1)}<c>"
    html = render(source)
    assert html.startswith("<p>*a* *a* ")
    assert html.endswith('b<br>\n<sup class="snb-cite">[1]</sup>&lt;c&gt;</p>')


def test_brackets_without_end_leave_nothing_to_search_with():
    work = Work()
    html = build().render(
        "[" * 3000 + "](https://a.example) [b](https://b.example) <https://c.example>", {"work": work}
    )
    assert work.left <= 0
    assert "<a" not in html


def test_a_thousand_brackets_with_an_end_cost_a_text_nothing_of_its_links():
    assert render("a[0] < b " * 1000 + "[c](https://c.example)").count("<a ") == 1


def test_a_few_brackets_without_end_cost_a_text_nothing_of_its_links():
    html = render("[a [b a[0] a[1] [c](https://c.example) ![ [d](https://d.example)")
    assert html.count("<a ") == 2


@pytest.mark.parametrize("source", [">" * 60 + "a", "- " * 30 + "a", "> - " * 20 + "a"])
def test_nesting_that_the_parser_would_cut_is_refused(source):
    with pytest.raises(TooDeepError):
        build().render(source, {"work": Work()})


def test_nesting_that_anybody_writes_is_not():
    assert render("> " * 10 + "a").count("<blockquote>") == 10
    assert render("".join("  " * n + "- a\n" for n in range(10))).count("<ul>") == 10
