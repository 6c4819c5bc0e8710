from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.display.markdown import cite, render

A, B = cite(1), cite(2)
SUP = re.compile(r'<sup class="snb-cite">\[(\d+)\]</sup>')
SOURCE = """# Title

Some *text* that
goes on.

- item one
  more of it
  1. nested

| a | b |
|---|--:|
| c | `d \\| e` |

> quote
lazy

```python
x = 1
```

    deep

$$
x^2
$$

***
Last [link](https://a.example "t") and ![image](https://b.example/x.png)."""


def short(html: str) -> str:
    return SUP.sub(r"[\1]", html)


@pytest.mark.parametrize(
    ("source", "html"),
    [
        (f"a{A} b", "<p>a[1] b</p>"),
        (f"a b{A}{B}", "<p>a b[1][2]</p>"),
        (f"{A}a", "<p>[1]a</p>"),
        (f"a\nb{A} c\nd", "<p>a<br>\nb[1] c<br>\nd</p>"),
        (f"a{A}  \nb", "<p>a[1]<br>\nb</p>"),
        (f"a  {A}\nb", "<p>a[1]<br>\nb</p>"),
        (f"a\n{A}b", "<p>a<br>\n[1]b</p>"),
        (f"  a\n\n\n{A}", "<p>a[1]</p>"),
        (f"\n{A}\na", "<p>[1]a</p>"),
        (f"**bold.**{A} b", "<p><strong>bold.</strong>[1] b</p>"),
        (f"a {A}**bold**", "<p>a [1]<strong>bold</strong></p>"),
        (f"**bold{A}** b", "<p><strong>bold[1]</strong> b</p>"),
        (f"{A}# a", "<h1>a[1]</h1>"),
        (f"#{A} a ##", "<h1>a[1]</h1>"),
        (f"a\n=={A}=", "<h1>a[1]</h1>"),
        (f"- a{A}\n- b", "<ul>\n<li>a[1]</li>\n<li>b</li>\n</ul>"),
        (f"{A}- a\n  - b{B}", "<ul>\n<li>[1]a\n<ul>\n<li>b[2]</li>\n</ul>\n</li>\n</ul>"),
        (f"- [{A}x] a", "<ul>\n<li>[[1]x] a</li>\n</ul>"),
        (f"> a{A}\n> b\nc{B}", "<blockquote>\n<p>a[1]<br>\nb<br>\nc[2]</p>\n</blockquote>"),
        (f"```py{A}\nx{B}\n```", '<pre><code class="language-py">x</code></pre>\n<p>[1][2]</p>'),
        (f"    x{A}", "<pre><code>x</code></pre>\n<p>[1]</p>"),
        (f"*{A}**\n\nb", "<hr>\n<p>[1]</p>\n<p>b</p>"),
        (f"a\n\n$${A}\n\\def\n$$", '<p>a</p>\n<pre><code class="language-latex">\\def</code></pre>\n<p>[1]</p>'),
        (f"a `co{A}de` b", "<p>a <code>code</code>[1] b</p>"),
        (f"a $\\d{A}ef$ c", "<p>a <code>\\def</code>[1] c</p>"),
        (A, "<p>[1]</p>"),
        (f"\n{A}\n\n{B}", "<p>[1][2]</p>"),
        (f"[a]: https://a.example{A}", "<p>[1]</p>"),
    ],
)
def test_a_mark_is_shown_where_it_stood_or_behind_what_cannot_hold_it(source, html):
    assert short(render(source)) == html


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (f"| c{A} | d |", ["c[1]", "d"]),
        (f"|{A} c | d{B} |", ["c[1]", "d[2]"]),
        (f"{A}| c | d |{B}", ["c[1]", "d[2]"]),
        (f"c |{A} d", ["c", "d[1]"]),
        (f"c \\| e{A} | d", ["c | e[1]", "d"]),
        (f"| c | d | e{A}", ["c", "d[1]"]),
        (f"| c | d |\n\n{A}", ["c", "d[1]"]),
        (f"| c{A} |", ["c[1]", ""]),
    ],
)
def test_a_mark_in_a_row_is_shown_in_its_cell(row, cells):
    html = short(render(f"| a | b |\n|---|---|\n{row}"))
    assert re.findall(r"<td>(.*?)</td>", html) == cells


def test_a_mark_in_the_line_under_the_head_is_shown_in_the_head():
    assert "<th>b[1]</th>" in short(render(f"| a | b |\n|---|---|{A}\n| c | d |"))


@settings(deadline=None)
@given(st.lists(st.integers(0, len(SOURCE)), min_size=1, max_size=3))
def test_a_mark_at_any_place_is_shown_once_and_changes_nothing_else(places):
    source = SOURCE
    for number, place in enumerate(sorted(places, reverse=True)):
        source = source[:place] + cite(number) + source[place:]
    html = render(source)
    assert sorted(map(int, SUP.findall(html))) == list(range(len(places)))
    without = re.sub(r"\n?<p></p>", "", SUP.sub("", html))
    assert [tag for tag in re.findall(r"</?\w+", without) if tag not in BROKEN] == [
        tag for tag in re.findall(r"</?\w+", render(SOURCE)) if tag not in BROKEN
    ]


BROKEN = frozenset(f"{end}{tag}" for end in ("<", "</") for tag in ("em", "a", "span", "code"))
"""A mark between two signs of a text parts them: `[text]` and `(address)` say nothing without each other."""
