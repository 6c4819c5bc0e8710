from __future__ import annotations

import re

import pytest

from streamnb.display.markdown import cite, render

RELATION = ' target="_blank" rel="noopener noreferrer nofollow"'


def shown(source: str) -> str:
    """What is rendered of a paragraph, without what every link has, and hosts in braces."""
    html = render(source).replace(RELATION, "").replace(' <span class="snb-host">', "{").replace("</span>", "}")
    return re.sub(r'<sup class="snb-cite">(\[\d+\])</sup>', r"\1", html).removeprefix("<p>").removesuffix("</p>")


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("[a](https://b.example/c)", '<a href="https://b.example/c">a</a>{(b.example)}'),
        ("[b.example](https://b.example/c)", '<a href="https://b.example/c">b.example</a>'),
        ("[c.example](https://b.example)", '<a href="https://b.example">c.example</a>{(b.example)}'),
        ("<https://b.example/c>", '<a href="https://b.example/c">https://b.example/c</a>'),
        ("[*a* `b`](https://b.example)", '<a href="https://b.example"><em>a</em> <code>b</code></a>{(b.example)}'),
        ("[](https://b.example/c)", '<a href="https://b.example/c">b.example</a>'),
        ("[ ](mailto:a@b.example)", '<a href="mailto:a@b.example">a@b.example </a>'),
        ("<a@b.example>", '<a href="mailto:a@b.example">a@b.example</a>'),
        ("[a](mailto:a@b.example)", '<a href="mailto:a@b.example">a</a>{(a@b.example)}'),
        ("[a](https://b.example 'c  d')", '<a href="https://b.example" title="c d">a</a>{(b.example)}'),
        ("[a](https://b.example '&#8238;c')", '<a href="https://b.example" title="&lt;U+202E&gt;c">a</a>{(b.example)}'),
        ("[a](https://b.example '\n')", '<a href="https://b.example">a</a>{(b.example)}'),
        ("[a][b]\n\n[b]: https://b.example", '<a href="https://b.example">a</a>{(b.example)}'),
        ("[\u200fa\u200e\u061c](https://b.example)", '<a href="https://b.example">a</a>{(b.example)}'),
        ("[a\u202eb](https://b.example)", '<a href="https://b.example">a&lt;U+202E&gt;b</a>{(b.example)}'),
        ("[a](https://b\u00fccher.example)", '<a href="https://xn--bcher-kva.example">a</a>{(xn--bcher-kva.example)}'),
        ("[a]()", "a"),
        ("[a]( 'b')", "[a]( 'b')"),
        ("[a](b)", "[a](b)"),
        ("[a](javascript:b)", "[a](javascript:b)"),
    ],
)
def test_a_link_says_where_it_leads(source, html):
    assert shown(source) == html


def test_a_long_title_is_cut():
    title = re.search(r'title="([^"]*)"', render(f"[a](https://b.example '{'c' * 1000}')"))
    assert title
    assert title[1] == "c" * 300


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("![a](https://b.example/c.png)", '<a href="https://b.example/c.png">image not loaded: b.example \u2014 a</a>'),
        ("![](https://b.example/c.png)", '<a href="https://b.example/c.png">image not loaded: b.example</a>'),
        (
            "x ![*a* `b`](https://b.example) y",
            'x <a href="https://b.example">image not loaded: b.example \u2014 a b</a> y',
        ),
        (
            "![b.example](https://b.example)",
            '<a href="https://b.example">image not loaded: b.example \u2014 b.example</a>',
        ),
        ("![a][b]\n\n[b]: https://b.example", '<a href="https://b.example">image not loaded: b.example \u2014 a</a>'),
        ("![a](mailto:a@b.example)", "image not loaded \u2014 a"),
        ("![a]()", "image not loaded \u2014 a"),
        ("![a](data:image/png;base64,x)", "![a](data:image/png;base64,x)"),
        ("![a](c.png)", "![a](c.png)"),
        ("\\![a](https://b.example)", '!<a href="https://b.example">a</a>{(b.example)}'),
        ("!<https://b.example>", '!<a href="https://b.example">https://b.example</a>'),
        (
            "[a](https://b.example)[c](https://d.example)",
            '<a href="https://b.example">a</a>{(b.example)}<a href="https://d.example">c</a>{(d.example)}',
        ),
    ],
)
def test_an_image_is_a_link_that_says_that_it_was_not_loaded(source, html):
    assert shown(source) == html


@pytest.mark.parametrize(
    ("source", "html"),
    [
        (f"[a{cite(1)}b](https://c.example/{cite(2)}d)", '<a href="https://c.example/d">ab</a>{(c.example)}[1][2]'),
        (
            f"[`a{cite(1)}`](https://c.example 't{cite(2)}')",
            '<a href="https://c.example" title="t"><code>a</code></a>{(c.example)}[1][2]',
        ),
        (
            f"![a{cite(1)}](https://c.example)",
            '<a href="https://c.example">image not loaded: c.example \u2014 a</a>[1]',
        ),
        (f"<https://c.exa{cite(1)}mple>", '<a href="https://c.example">https://c.example</a>[1]'),
        (f"[a{cite(1)}]()", "a[1]"),
        (f"[a{cite(1)}](b)", "[a[1]](b)"),
    ],
)
def test_a_citation_in_a_link_is_shown_behind_it(source, html):
    assert shown(source) == html
