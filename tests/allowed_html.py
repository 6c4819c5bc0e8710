"""The allow-list of a page once more, written apart from the sanitizer that it checks.

Knows what a hostile model must not bring into a page. Must not know: how it is kept out.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_HTML = (
    "p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del s hr br table thead tbody tr th td a sup span div"
)
_MATHML = (
    "math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover mtable mtr mtd "
    "mstyle mpadded mphantom menclose"
)
_LENGTHS = "lspace rspace linethickness width height depth minsize maxsize"
_WORDS = (
    "display mathvariant stretchy fence separator columnalign accent accentunder largeop movablelimits form notation"
)
_ATTRIBUTES = {
    "a": {
        "href": r"(https?://[a-z0-9\[_][^\s\\<>\"`{}|^]*|mailto:[^\s\\<>\"@]+@[^\s\\<>\"@]+)",
        "title": r".{1,300}",
        "rel": r"noopener noreferrer nofollow",
        "target": r"_blank",
    },
    "ol": {"start": r"\d{1,9}"},
    "code": {"class": r"language-[A-Za-z0-9_+#.-]{1,30}"},
    "span": {"class": r"[a-z][a-z0-9]{0,2}|snb-host"},
    "sup": {"class": r"snb-cite"},
    "div": {"class": r"snb-math|snb-code"},
    "th": {"class": r"snb-(left|center|right)"},
    "td": {"class": r"snb-(left|center|right)"},
}
_LENGTH = r"[+-]?1?[0-9]?(\.[0-9]{1,3})?(em|ex|px|pt|mu|width)?|(negative)?(thin|medium|thick)mathspace"
_FORBIDDEN_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\U0010fff0-\U0010fff9]"
)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {*_HTML.split(), *_MATHML.split()}:
            self.found.append(f"tag {tag}")
        for name, value in attrs:
            if not re.fullmatch(_pattern(tag, name), value or ""):
                self.found.append(f"attribute {tag} {name}={value!r}")
        if tag == "a" and not {"href", "rel", "target"} <= dict(attrs).keys():
            self.found.append(f"link without {attrs!r}")
        if tag not in {"br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.found.append(f"end of {tag}")

    def handle_data(self, data: str) -> None:
        if _FORBIDDEN_TEXT.search(data):
            self.found.append(f"text {data!r}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data!r}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def _pattern(tag: str, name: str) -> str:
    if tag in _MATHML.split() and name in _WORDS.split():
        return r"[a-z]+([ -][a-z]+)*"
    if tag in _MATHML.split() and name in _LENGTHS.split():
        return _LENGTH
    return _ATTRIBUTES.get(tag, {}).get(name, r"(?!)")


def violations(html: str) -> list[str]:
    """What must not be in a page, in words; an empty list when everything in it is allowed."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.found + [f"{tag} never ends" for tag in page.open]
