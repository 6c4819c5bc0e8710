from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display.links import link_host, link_target, tells, whereabouts


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.Example/Path?q=1#f", "https://a.example/Path?q=1#f"),
        ("http://localhost:8888/lab", "http://localhost:8888/lab"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("https://b\u00fccher.example/\u00e9?\u00df#\u4e2d", "https://xn--bcher-kva.example/%C3%A9?%C3%9F#%E4%B8%AD"),
        ("https://\uff41.example/", "https://a.example/"),
        ("https://a.example/{x}|`y`^", "https://a.example/%7Bx%7D%7C%60y%60%5E"),
        ("https://a.example/100%25", "https://a.example/100%25"),
        ("mailto:jo.doe+x@a.example", "mailto:jo.doe+x@a.example"),
        ("mailto:jo@a.example?subject=\u00e9", "mailto:jo@a.example?subject=%C3%A9"),
    ],
)
def test_an_absolute_url_of_the_web_or_a_mail_address_becomes_a_target(url, target):
    assert link_target(url) == target
    assert link_target(target) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://a.example/",
        "vscode://file/x",
        "//a.example/x",
        "/api/kernels",
        "../x",
        "#x",
        "?x",
        "https:a.example",
        "https:/a.example",
        "https://",
        "https:///x",
        "https://user@a.example/",
        "https://user:pass@a.example/",
        "https://a.example\\@b.example/",
        "https://a.example/a b",
        "https://a.example/\ta",
        "https://a.example/\x00",
        "https://a.example/\u202e",
        "https://a.example/\ud800",
        'https://a.example/"x',
        "https://a.example/<x>",
        "https://a%00b.example/",
        "https://a&b.example/",
        "https://[::1%25eth0]/",
        "https://[::1/",
        "https://a..b/",
        "https://a.example:port/",
        "https://a.example:999999/",
        "https://" + "a" * 64 + ".example/",
        "https://a.example/" + "a" * 2048,
        "mailto:",
        "mailto:jo",
        "mailto:jo@a.example\n",
        "mailto:jo@a.example,other@b.example",
    ],
)
def test_nothing_else_becomes_a_target(url):
    assert link_target(url) == ""


@given(
    st.text(st.sampled_from('htps:/\\@[]:.%?#a1\u00e9\u3002 \t"<>-_\u202e'), max_size=30).map("https://".__add__)
    | st.text()
)
def test_a_target_is_printable_ascii_and_leads_to_a_host(url):
    target = link_target(url)
    assert not target or (target.isascii() and target.isprintable() and not set(target) & set(' \\<>"`{}|^'))
    assert not target or target.startswith("mailto:") or link_host(target)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("https://a.example:80/x", "a.example"),
        ("mailto:jo@a.example?subject=x", "jo@a.example"),
    ],
)
def test_a_place_is_the_host_or_the_address(target, place):
    assert whereabouts(target) == place


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("a.example", "a.example", True),
        (" A.Example ", "a.example", True),
        ("https://a.example/x.html", "a.example", True),
        ("at a.example.", "a.example", False),
        ("read a.example now", "a.example", True),
        ("a.example and b.example", "a.example", False),
        ("https://a.example@b.example/", "a.example", False),
        ("https://a.example@b.example/", "b.example", True),
        ("https://b.example", "a.example", False),
        ("notes", "a.example", False),
        ("\u0430.example", "xn--80a.example", False),
        ("https://\u0430.example/", "xn--80a.example", False),
        ("a\u200b.example", "a.example", False),
        ("jo@a.example", "jo@a.example", True),
        ("mailto:jo@a.example", "jo@a.example", True),
        ("write jo@a.example", "jo@a.example", False),
    ],
)
def test_a_text_tells_where_a_link_leads_only_when_it_names_that_host_and_no_other(text, place, told):
    assert tells(text, place) is told
