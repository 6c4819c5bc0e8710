from __future__ import annotations

import pytest

from streamnb.display.markdown import cite, render

SUP = '<sup class="snb-cite">[7]</sup>'


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ('a < b & "c"', '<p>a &lt; b &amp; "c"</p>'),
        ("a\nb  \nc\\\nd", "<p>a<br>\nb<br>\nc<br>\nd</p>"),
        ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <s>c</s> <code>d</code></p>"),
        (f"`a{cite(7)}b` c", f"<p><code>ab</code>{SUP} c</p>"),
        ("```\n<b>\n```", "<pre><code>&lt;b&gt;</code></pre>"),
        (
            "```PYTHON title=x\nreturn\n```",
            '<pre><code class="language-python"><span class="k">return</span></code></pre>',
        ),
        ("```c++\nint\n```", '<pre><code class="language-c++"><span class="kt">int</span></code></pre>'),
        ("``` <b>\na\n```", "<pre><code>a</code></pre>"),
        ("```" + "x" * 31 + "\na\n```", "<pre><code>a</code></pre>"),
        ("```nosuch\na\n\n\n```", '<pre><code class="language-nosuch">a\n\n</code></pre>'),
        ("    a\n\n    b", "<pre><code>a\n\nb</code></pre>"),
        ("$x$", "<p><math><mrow><mi>x</mi></mrow></math></p>"),
        ("$$x$$ a", '<p><math display="block"><mrow><mi>x</mi></mrow></math> a</p>'),
        ("$$\nx\n$$", '<div class="snb-math"><math display="block"><mrow><mi>x</mi></mrow></math></div>'),
        ("$$\nx", '<pre><code class="language-latex">$$\nx</code></pre>'),
        ("$$\n\\href{x}{<b>}\n$$", '<pre><code class="language-latex">\\href{x}{&lt;b&gt;}</code></pre>'),
        (f"$\\href{{a}}{{{cite(7)}b}}$ c", f"<p><code>\\href{{a}}{{b}}</code>{SUP} c</p>"),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>'),
    ],
)
def test_a_token_is_written_as(source, html):
    assert render(source) == html


def test_the_cells_of_a_table_have_a_side_and_no_style():
    html = render("| a | b | c | d |\n|:--|:-:|--:|---|\n| 1 | 2 | 3 | 4 |")
    assert html.count('class="snb-left"') == html.count('class="snb-center"') == html.count('class="snb-right"') == 2
    assert "<th>d</th>" in html
    assert "style" not in html


def test_code_that_takes_too_long_has_no_colours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streamnb.display.markdown._work._COLOURS_S", -1)
    assert render("```py\nreturn\n```") == '<pre><code class="language-py">return</code></pre>'
