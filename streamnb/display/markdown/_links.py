"""What is shown of links and images: where they lead, in words; an image is a link that says that it was not loaded.

Knows the tokens of a parsed text. Must not know: how they were parsed, HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from streamnb.display.links import link_host, tells, whereabouts
from streamnb.display.markdown._marks import clean, without_marks

_DIRECTIONS: Final = re.compile("[\u200e\u200f\u061c]")
_LONGEST_TITLE: Final = 300


def dress(state: StateCore) -> None:
    """Complete the link tokens of every text (a core rule).

    `link_open` gets `meta["label"]`, what to show first; without `href` it is no link. `link_close` gets
    `meta["host"]`, what to show behind it, and keeps `meta["cites"]`.
    """
    for token in state.tokens:
        children = token.children or []
        opened = 0
        for at, child in enumerate(children):
            if child.type == "link_open":
                opened = at
            elif child.type == "link_close":
                _complete(children[opened - 1] if opened else None, children[opened : at + 1])


def _complete(before: Token | None, link: Sequence[Token]) -> None:
    opening, *inside, closing = link
    for child in inside:
        child.content = _DIRECTIONS.sub("", without_marks(child.content))
    text = "".join(child.content for child in inside)
    target = str(opening.attrs.get("href", ""))
    title = " ".join(clean(without_marks(str(opening.attrs.get("title", "")))).split())[:_LONGEST_TITLE]
    if before and before.type == "text" and before.content.endswith("!") and opening.markup != "autolink":
        before.content = before.content[:-1]
        target = target if link_host(target) else ""
        opening.meta = {"label": _instead_of_image(target, text)}
        for child in inside:
            child.type, child.tag, child.nesting, child.content = "text", "", 0, ""
    elif target and not text.strip():
        opening.meta = {"label": whereabouts(target)}
    elif target and not tells(text, whereabouts(target)):
        closing.meta["host"] = whereabouts(target)
    closing.hidden = not target
    opening.attrs = {"href": target, **({"title": title} if title else {})} if target else {}


def _instead_of_image(target: str, text: str) -> str:
    where = f": {link_host(target)}" if target else ""
    what = f" \N{EM DASH} {text.strip()}" if text.strip() else ""
    return f"image not loaded{where}{what}"
