from __future__ import annotations

import html
import re
import time
from html.parser import HTMLParser

import nh3
import pytest
from hostile import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display.inert import well_formed
from streamnb.display.markdown import TOTAL_LIMIT, _render, _sanitize, cite, clean, plain, render, without_marks
from streamnb.display.markdown._parser import OPTIONS, build

TAGS = {
    *(
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "blockquote",
        "pre",
        "code",
        "em",
        "strong",
        "del",
        "s",
    ),
    *("hr", "br", "table", "thead", "tbody", "tr", "th", "td", "a", "sup", "span", "div"),
    *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac", "msqrt", "mroot"),
    *("munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose"),
}
ATTRIBUTES = {
    "a": {"href", "title", "rel", "target"},
    "ol": {"start"},
    **{tag: {"class"} for tag in ("code", "span", "sup", "div", "th", "td")},
}
MATH_ATTRIBUTES = {
    *("display", "mathvariant", "stretchy", "fence", "separator", "lspace", "rspace", "columnalign", "linethickness"),
    *("width", "height", "depth", "accent", "accentunder", "largeop", "movablelimits", "form", "minsize", "maxsize"),
    "notation",
}
REL = "noopener noreferrer nofollow"
CLASS = re.compile(r"language-[\w+#.-]{1,30}|[a-z][a-z0-9]{0,2}|snb-(host|cite|math|code|left|center|right)")


TABLE = (
    '<table>\n<thead>\n<tr>\n<th class="snb-center">a</th>\n<th class="snb-right">b</th>\n</tr>\n</thead>\n'
    '<tbody>\n<tr>\n<td class="snb-center">1</td>\n<td class="snb-right">2</td>\n</tr>\n</tbody>\n</table>'
)


class _Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.found.append(("a comment", {}))

    def handle_decl(self, decl):
        self.found.append(("a declaration", {}))


def holes(made: str) -> list[str]:
    """Everything in it that may not stand in a page."""
    found = []
    for tag, attributes in _Page(made).found:
        if tag not in TAGS:
            found.append(tag)
        math = MATH_ATTRIBUTES if tag.startswith("m") else set()
        found += [f"{tag} {name}" for name in attributes if name not in ATTRIBUTES.get(tag, math)]
        found += [f"class {one}" for one in [attributes.get("class")] if one is not None and not CLASS.fullmatch(one)]
        href = attributes.get("href")
        if tag == "a" and href is not None and not re.fullmatch(r"(https?://[^/\s\\]+|mailto:)[^\s\\]*", href):
            found.append(f"href {href}")
        if tag == "a" and (attributes.get("rel"), attributes.get("target")) != (
            "noopener noreferrer nofollow",
            "_blank",
        ):
            found.append("a link that trusts")
    return found


def seconds(source: str, do=render) -> float:
    before = time.thread_time()
    do(source)
    return time.thread_time() - before


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("", ""),
        (
            "Rivers *meander* and **bend**, `so`.",
            "<p>Rivers <em>meander</em> and <strong>bend</strong>, <code>so</code>.</p>",
        ),
        ("a\nb", "<p>a<br>\nb</p>"),
        ("# One\n## Two", "<h1>One</h1>\n<h2>Two</h2>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. a", '<ol start="3">\n<li>a</li>\n</ol>'),
        ("- [ ] a\n- [x] b", "<ul>\n<li>\u2610 a</li>\n<li>\u2611 b</li>\n</ul>"),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>"),
        ("~~a~~", "<p><s>a</s></p>"),
        ("---", "<hr>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("a &amp; b &lt;", "<p>a &amp; b &lt;</p>"),
        ("```\nx < 1\n```", "<pre><code>x &lt; 1</code></pre>"),
        ("```nolanguage\nx\n```", '<pre><code class="language-nolanguage">x</code></pre>'),
        ("    x = 1", "<pre><code>x = 1</code></pre>"),
        ("```json\n[1]\n```", '<pre><code class="language-json">[<span class="mi">1</span>]</code></pre>'),
        ("$5 and $10", "<p>$5 and $10</p>"),
        (
            "| a | b |\n|:-:|--:|\n| 1 | 2 |",
            TABLE,
        ),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](//evil.example)", "<p>[x](//evil.example)</p>"),
        ("[x](/api/kernels)", "<p>[x](/api/kernels)</p>"),
    ],
)
def test_a_source_becomes_this(source, made):
    assert render(source) == made


@pytest.mark.parametrize(
    ("source", "href", "shown"),
    [
        ("[docs](https://a.example/x)", "https://a.example/x", "docs (a.example)"),
        ("[a.example](https://a.example/)", "https://a.example/", "a.example"),
        ("[bank.example](https://evil.example/)", "https://evil.example/", "bank.example (evil.example)"),
        ("<https://a.example/x>", "https://a.example/x", "https://a.example/x"),
        ("[me](mailto:me@a.example)", "mailto:me@a.example", "me (me@a.example)"),
        ("![a](https://a.example/x.png)", "https://a.example/x.png", "image not loaded: a.example \u2014 a"),
        ("[b\u202ecd](https://a.example/)", "https://a.example/", "b<U+202E>cd (a.example)"),
    ],
)
def test_a_link_says_where_it_leads_and_an_image_is_a_link(source, href, shown):
    made = render(source)
    (link,) = [attributes for tag, attributes in _Page(made).found if tag == "a"]
    assert link == {"href": href, "target": "_blank", "rel": "noopener noreferrer nofollow"}
    assert _Page(made).text == shown
    assert "<img" not in made


def test_a_formula_is_mathml_and_one_that_is_not_understood_is_its_source():
    assert "<mfrac>" in render(r"so $v = \frac{s}{t}$ it is")
    assert render("$$\nE = mc^2\n$$").startswith('<div class="snb-math"><math display="block">')
    assert "<math" in render(r"\(x_1\)")
    assert "<math" in render(r"\[x_1 = 2\]")
    assert "<math" not in render(r"$\href{javascript:alert(1)}{x}$")
    assert r"\href" in html.unescape(render(r"$\href{javascript:alert(1)}{x}$"))


def test_a_citation_stands_where_its_mark_is_and_none_is_lost_in_code_or_links():
    assert render(f"Fact.{cite(1)} More.{cite(12)}") == (
        '<p>Fact.<sup class="snb-cite">[1]</sup> More.<sup class="snb-cite">[12]</sup></p>'
    )
    for source in (
        f"`co{cite(3)}de`",
        f"```\nco{cite(3)}de\n```",
        f"[te{cite(3)}xt](https://a.example/)",
        f"[text](https://a.ex{cite(3)}ample/)",
        f"| a{cite(3)} | b |\n|---|---|\n",
        f"$x{cite(3)} = 1$",
        f"# He{cite(3)}ad",
        cite(3),
    ):
        made = render(source)
        assert made.count('<sup class="snb-cite">[3]</sup>') == 1, source
        assert without_marks(made) == made, source
    assert render(clean(cite(1))).count("sup") == 0, "a model cannot forge a mark"


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_hostile_is_left_of_any_payload(name):
    for source in (HOSTILE[name], f"- {HOSTILE[name]}", f"```\n{HOSTILE[name]}\n```", f"${HOSTILE[name]}$"):
        assert holes(render(source)) == []
    assert holes(plain(HOSTILE[name])) == []


@given(st.text(), st.sampled_from(["{}", "> {}", "| {} |\n|---|", "[a]({})", "<{}>", "${}$", "```{}\nx\n```", "# {}"]))
def test_no_text_whatever_makes_a_hole_or_an_exception(text, frame):
    assert holes(render(frame.format(text))) == []


@given(st.text())
def test_plain_text_is_shown_as_it_came(text):
    shown = _Page(plain(text)).text
    assert shown.removeprefix("\n").rstrip("\n") == clean(text).removeprefix("\n").rstrip("\n") or "\n\n" in text


STORMS = {
    "brackets": "[" * 50_000,
    "images": "![" * 25_000,
    "stars": "*" * 50_000,
    "starred letters": "*a " * 20_000,
    "underscores": "_a" * 25_000,
    "backticks": "".join("`" * n + " " for n in range(1, 300)),
    "tildes": "~~a" * 20_000,
    "angles": "<" * 50_000,
    "entities": "&" * 50_000,
    "quotes": ">" * 10_000,
    "quoted lines": "> > > > > > > > a\n" * 5_000,
    "nested lists": "".join("  " * n + "- a\n" for n in range(500)),
    "bars": "|" * 50_000,
    "a wide table": "|".join("a" * 2_000) + "\n" + "|".join(["---"] * 2_000) + "\n" + "a|" * 2_000,
    "a long table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 20_000,
    "dollars": "$a" * 25_000,
    "braces": "$" + "{" * 1_900 + "$",
    "one block": "word " * 110_000,
    "one line of code": "```python\n" + "(" * 400_000 + "\n```",
    "many blocks": "a\n\n" * 150_000,
    "links": "[a](" * 20_000,
    "addresses": "<a:" * 20_000,
}


@pytest.mark.parametrize("name", STORMS)
def test_no_input_takes_long_and_what_was_too_much_is_still_there(name):
    source = STORMS[name]
    assert seconds(source) < 3, "ten times what it takes"
    made = render(source)
    assert holes(made) == []
    letters = re.sub(r"[^\w]", "", source.removeprefix("```python"))
    assert re.sub(r"[^\w]", "", _Page(made).text) == letters


def test_beyond_the_limit_a_text_is_plain():
    source = "*a* " * (TOTAL_LIMIT // 4 + 1)
    assert render(source) == plain(source)
    assert "<em>" in render(source[:1000])


def complaints() -> int:
    """How many of the checks above fail now."""
    rows = [("<b>x</b>", "&lt;b&gt;"), ("![a](https://a.example/x.png)", "image not loaded")]
    return sum(part not in render(source) for source, part in rows) + sum(
        bool(holes(render(source))) for source in HOSTILE.values()
    )


@pytest.mark.parametrize("what", ["html", "images", "the sanitizer"])
def test_the_checks_of_this_module_notice_when_a_safeguard_is_taken_away(what, monkeypatch):
    assert complaints() == 0
    match what:
        case "html":
            monkeypatch.setattr(_render, "_PARSER", build({**OPTIONS, "html": True}))
        case "images":
            monkeypatch.setattr(_render, "_PARSER", build().enable("image"))
        case _:
            monkeypatch.setattr(_render, "sanitize", str)
    assert complaints() > 0


def test_the_sanitizer_alone_lets_nothing_through_either():
    for source in HOSTILE.values():
        assert holes(_sanitize.sanitize(html.unescape(well_formed(source)))) == []
    assert holes(nh3.clean('<img src="https://a.example/">')) == ["img", "img src"], "its defaults would not do"
