"""The last word about HTML: an allow-list of tags, attributes and URLs, applied after everything else (S1 to S4).

Knows what may stand in a page. Must not know: Markdown, who made the HTML.
"""

from __future__ import annotations

import re
from typing import Final

import nh3

_BLOCKS: Final = "p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre hr br table thead tbody tr th td div"
_INLINE: Final = "code em strong del s a sup span"
_MATHML: Final = (
    "math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover mtable mtr mtd "
    "mstyle mpadded mphantom menclose"
)
_LENGTHS: Final = "lspace rspace linethickness width height depth minsize maxsize"
_WORDS: Final = (
    "display mathvariant stretchy fence separator columnalign accent accentunder largeop movablelimits form notation"
)
_IS_LENGTH: Final = frozenset(_LENGTHS.split())
_SIDE: Final = re.compile(r"snb-(?:left|center|right)")
_VALUES: Final[dict[tuple[str, str], re.Pattern[str]]] = {
    ("a", "href"): re.compile(r"(?:https?://|mailto:)[!#-;=?-\[\]_a-z~]+"),  # printable ASCII without " < > \ ^ ` { | }
    ("a", "title"): re.compile(r"[^\x00-\x1f\x7f]{1,300}"),
    ("a", "target"): re.compile("_blank"),
    ("ol", "start"): re.compile(r"\d{1,9}", re.ASCII),
    ("code", "class"): re.compile(r"language-[\w+#.-]{1,30}", re.ASCII),
    ("span", "class"): re.compile(r"[a-z][a-z0-9]{0,2}|snb-host"),
    ("sup", "class"): re.compile(r"snb-cite"),
    ("div", "class"): re.compile(r"snb-math|snb-code"),
    ("th", "class"): _SIDE,
    ("td", "class"): _SIDE,
}
_LENGTH: Final = re.compile(
    r"[+-]?1?\d?(?:\.\d{1,3})?(?:em|ex|px|pt|mu|width)?|(?:negative)?(?:thin|medium|thick)mathspace", re.ASCII
)
"""Less than 20 of any unit: nothing in a formula may be pushed over the page around it."""

_WORD: Final = re.compile(r"[a-z]{1,30}(?:[ -][a-z]{1,30}){0,3}")


def _kept(tag: str, name: str, value: str) -> str | None:
    pattern = _VALUES.get((tag, name)) or (_LENGTH if name in _IS_LENGTH else _WORD)
    return value if pattern.fullmatch(value) else None


_CLEANER: Final = nh3.Cleaner(
    tags={*_BLOCKS.split(), *_INLINE.split(), *_MATHML.split()},
    attributes={
        **{tag: {*_LENGTHS.split(), *_WORDS.split()} for tag in _MATHML.split()},
        **{tag: {name for owner, name in _VALUES if owner == tag} for tag, _ in _VALUES},
    },
    attribute_filter=_kept,
    clean_content_tags={"script", "style", "template", "title", "textarea", "iframe", "xmp", "noscript", "noembed"},
    generic_attribute_prefixes=set(),
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    strip_comments=True,
)


def sanitize(html: str) -> str:
    """HTML with nothing but what is allowed. Nothing may be added to its result."""
    return _CLEANER.clean(html)
