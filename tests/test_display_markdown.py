"""The whole of Markdown: what comes out of it, whatever goes in, and whether the tests of that would notice."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
from allowed_html import violations
from hostile import HOSTILE, STORMS
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.display import markdown
from streamnb.display.markdown import TOTAL_LIMIT, cite, clean, plain, render, split
from streamnb.display.markdown import _render as rendering
from streamnb.display.markdown._parser import OPTIONS, build

ANSWER = """## Result

The *mean* is **4.2**, see [the table](https://data.example/t?x=1&y=2 "All of it"):

| run | mean |
|:----|-----:|
| a   | 4.1  |

1. first
   - [x] done
   - [ ] open
2. second

> It rains, `x < y`.

```py
x = 1  # one
```

$$
e^{i\\pi} = -1
$$

---
The end."""
PAGE = """<h2>Result</h2>
<p>The <em>mean</em> is <strong>4.2</strong>, see <a href="https://data.example/t?x=1&amp;y=2" title="All of it" \
target="_blank" rel="noopener noreferrer nofollow">the table</a> <span class="snb-host">(data.example)</span>:</p>
<table>
<thead>
<tr>
<th class="snb-left">run</th>
<th class="snb-right">mean</th>
</tr>
</thead>
<tbody>
<tr>
<td class="snb-left">a</td>
<td class="snb-right">4.1</td>
</tr>
</tbody>
</table>
<ol>
<li>first
<ul>
<li>\u2611 done</li>
<li>\u2610 open</li>
</ul>
</li>
<li>second</li>
</ol>
<blockquote>
<p>It rains, <code>x &lt; y</code>.</p>
</blockquote>
<pre><code class="language-py">x <span class="o">=</span> <span class="mi">1</span>  \
<span class="c1"># one</span></code></pre>
<div class="snb-math"><math display="block"><mrow><msup><mi>e</mi><mrow><mi>i</mi><mi>\u03c0</mi></mrow></msup>\
<mo>=</mo><mo>\u2212</mo><mn>1</mn></mrow></math></div>
<hr>
<p>The end.</p>"""
PIECES = st.sampled_from(
    [
        *[
            "word ",
            "*",
            "**",
            "_",
            "~~",
            "`",
            "```",
            "[",
            "](",
            ")",
            "![",
            "](https://a.example)",
            "<",
            ">",
            "&",
            "&lt;",
        ],
        *[
            "\n",
            "\n\n",
            "    ",
            "- ",
            "1. ",
            "> ",
            "# ",
            "|",
            "|-|",
            "\n|-|-|\n",
            "---",
            "===",
            "$",
            "$$",
            "\\(",
            "\\)",
            "\\[",
        ],
        *["\\", "\\frac{a}{b}", "\\text{<b>}", "{", "}", "^2", "<b onclick=x>", "<script>", "</script>", "<!--", "-->"],
        *[
            "javascript:x",
            "https://a.example/",
            "<https://a.example>",
            "&#x202e;",
            "\u202e",
            "\x00",
            "\ud800",
            "\u00e9",
        ],
        *[
            "[a]: https://a.example 'b'\n",
            "[a]",
            "![a]",
            cite(1),
            cite(23),
            "\U0010fff1",
            "\u2e22",
            "\x1b[1m",
            "```html\n",
        ],
    ]
)
SOURCES = st.lists(PIECES, max_size=40).map("".join) | st.text(st.characters(exclude_categories=[]), max_size=60)


def test_an_answer_becomes_a_page():
    assert render(ANSWER) == PAGE
    assert violations(PAGE) == []
    parts = [render(ANSWER[start:end]) for start, end in split(ANSWER)]
    assert "\n".join(parts) == PAGE


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - STORMS))
def test_a_hostile_payload_is_only_shown(name):
    payload = HOSTILE[name]
    assert violations(render(payload)) == []
    assert violations(plain(payload)) == []
    assert violations(render(clean(payload))) == []
    assert violations(render(f"a\n\n- {payload}\n\n> {payload}")) == []


@pytest.mark.parametrize("name", sorted(STORMS))
def test_a_storm_is_shown_in_time(name):
    payload = HOSTILE[name]
    render("$x$\n\n```py\nx\n```")  # what is loaded once is loaded
    begun = time.thread_time()
    page = render(payload)
    assert time.thread_time() - begun < 10 * 0.3
    assert violations(page) == []


@pytest.mark.parametrize("sign", "[]()!*_~`<>&|$\\{}#=+-\"' \t\nx\u00e9\x00")
def test_half_a_megabyte_of_one_sign_is_shown_in_time(sign):
    begun = time.thread_time()
    page = render(sign * TOTAL_LIMIT)
    assert time.thread_time() - begun < 10 * 0.3
    assert violations(page) == []


@settings(deadline=None)
@given(SOURCES)
def test_whatever_goes_in_only_what_is_allowed_comes_out(source):
    page = render(source)
    assert violations(page) == []
    assert violations(plain(source)) == []
    page.encode("utf-8")


@settings(deadline=None)
@given(SOURCES)
def test_every_block_can_be_rendered_alone_and_no_citation_is_lost(source):
    pages = [render(source[start:end]) for start, end in split(source)]
    assert [found for page in pages for found in violations(page)] == []
    shown = re.findall(r'<sup class="snb-cite">\[(\d+)\]</sup>', "".join(pages))
    assert sorted(shown) == sorted(re.findall(r'<sup class="snb-cite">\[(\d+)\]</sup>', plain(source)))


# -- would these tests notice? ----------------------------------------------------------------------------------------


def shows_tags_as_text() -> bool:
    return render("<b>x</b>") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"


def shows_images_as_links() -> bool:
    return "<p><a " in render("![a](https://h.example/x)") and "<img" not in render("![a](https://h.example/x)")


def keeps_to_the_allow_list() -> bool:
    found = [found for name in HOSTILE.keys() - STORMS for found in violations(render(HOSTILE[name]))]
    return all(one.startswith("link without") for one in found)  # a tag <a> that leads nowhere


def test_as_it_is_all_of_them_hold():
    assert shows_tags_as_text()
    assert shows_images_as_links()
    assert keeps_to_the_allow_list()


def test_a_parser_that_lets_html_through_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "_PARSER", build({**OPTIONS, "html": True}))
    assert not shows_tags_as_text()
    assert keeps_to_the_allow_list()  # the sanitizer stands behind it
    monkeypatch.setattr(rendering, "sanitize", str)
    assert not keeps_to_the_allow_list()


def test_a_parser_that_makes_images_is_noticed(monkeypatch: pytest.MonkeyPatch):
    parser = build()
    parser.enable("image")
    monkeypatch.setattr(rendering, "_PARSER", parser)
    assert not shows_images_as_links()
    assert keeps_to_the_allow_list()
    monkeypatch.setattr(rendering, "sanitize", str)
    assert not keeps_to_the_allow_list()


def test_a_parser_that_takes_any_address_is_noticed(monkeypatch: pytest.MonkeyPatch):
    parser = build()
    parser.normalizeLink = str
    parser.validateLink = bool
    monkeypatch.setattr(rendering, "_PARSER", parser)
    assert "<a href" not in render("[x](javascript:window.hit=1)")
    monkeypatch.setattr(rendering, "sanitize", str)
    assert not keeps_to_the_allow_list()


def test_what_is_public_is_this():
    assert set(markdown.__all__) == {"TOTAL_LIMIT", "cite", "clean", "plain", "render", "split", "without_marks"}


def test_lexers_and_the_converter_of_formulas_are_loaded_when_they_are_needed():
    program = (
        "import sys, streamnb.display; assert not {'markdown_it', 'nh3'} & sys.modules.keys()\n"
        "from streamnb.display import markdown as md; md.render('*a* `b` [c](https://d.example)')\n"
        "assert not {'pygments', 'latex2mathml', 'IPython'} & sys.modules.keys()\n"
        "md.render('$x$'); assert 'latex2mathml' in sys.modules and 'pygments' not in sys.modules\n"
        "md.render('```py\\nx\\n```'); assert 'pygments' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
