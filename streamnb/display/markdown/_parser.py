"""The Markdown parser: its settings, and the rules whose time grew with the square of a text.

Knows markdown-it and where it is slow or careless. Must not know: HTML, how links and code look.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, Final

from markdown_it import MarkdownIt, helpers, rules_block, rules_inline
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from streamnb.display.links import link_target
from streamnb.display.markdown import _formulas
from streamnb.display.markdown._links import dress
from streamnb.display.markdown._marks import clean, numbers, without_marks
from streamnb.display.markdown._page import Page
from streamnb.display.markdown._places import put_back
from streamnb.display.markdown._work import Work

OPTIONS: Final[Mapping[str, Any]] = {"html": False, "linkify": False, "maxNesting": 50, "breaks": True}
"""SAFETY.md 3.1; and a line end stays one, as in chats: models and bots mean it."""

_DEEPEST: Final = 48
_BOXES: Final = {"[ ] ": "\N{BALLOT BOX} ", "[x] ": "\N{BALLOT BOX WITH CHECK} ", "[X] ": "\N{BALLOT BOX WITH CHECK} "}


class TooDeepError(Exception):
    """Quotes or lists are nested so deeply that the parser would leave the rest of the text out."""


def build(options: Mapping[str, Any] = OPTIONS) -> MarkdownIt:
    """A parser. It needs `{"work": Work}` as its environment."""
    md = MarkdownIt("js-default", dict(options), renderer_cls=Page)
    md.disable("image")
    md.helpers = types.SimpleNamespace(**{**vars(helpers), "parseLinkLabel": _label_end})  # type: ignore[assignment]
    md.normalizeLink = _target  # type: ignore[method-assign]
    md.validateLink = _is_target  # type: ignore[method-assign]
    md.normalizeLinkText = str  # type: ignore[method-assign, assignment]
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    md.inline.ruler.at("link", _link)
    md.inline.ruler.at("autolink", _autolink)
    md.inline.ruler.at("entity", _entity)
    md.core.ruler.at("inline", _inline)
    md.core.ruler.after("inline", "links", dress)
    _formulas.install(md)
    return md


def _target(url: str) -> str:
    return link_target(without_marks(url))


def _is_target(url: str) -> bool:
    return bool(url) and link_target(url) == url


def _work(state: StateCore | StateBlock | StateInline) -> Work:
    work: Work = state.env["work"]
    return work


def _inline(state: StateCore) -> None:
    """Parse texts as long as the budget lasts; what is too much for it is shown as it came."""
    work = _work(state)
    if any(token.level >= _DEEPEST for token in state.tokens):
        raise TooDeepError
    if work.placed:
        state.tokens[:] = put_back(state.tokens, work.bare, work.placed)
    for at, token in enumerate(state.tokens):
        if token.type != "inline":
            continue
        around = [before.type for before in state.tokens[max(at - 2, 0) : at]]
        if around == ["list_item_open", "paragraph_open"] and token.content[:4] in _BOXES:
            token.content = _BOXES[token.content[:4]] + token.content[4:]
        token.children = []
        if work.text(token.content):
            state.md.inline.parse(token.content, state.md, state.env, token.children)
        else:
            token.children.append(Token("as_it_came", "", 0, content=token.content))


def _table(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A table, unless it has so many cells that it would take seconds: 2 KB can say 65 000 of them."""
    if silent or not rules_block.table(state, start_line, end_line, silent=True):
        return silent and rules_block.table(state, start_line, end_line, silent=True)
    last_line = start_line
    while last_line < end_line and not state.isEmpty(last_line):
        last_line += 1
    n_columns = state.src.count("|", state.bMarks[start_line], state.eMarks[start_line]) + 1
    affordable = _work(state).cells(n_columns * (last_line - start_line))
    return affordable and rules_block.table(state, start_line, end_line, silent=False)


def _label_end(state: StateInline, start: int, disable_nested: bool = False) -> int:
    """Where a bracket ends, or -1. One without an end is sought to the end of the text: all of that is paid for."""
    end = helpers.parseLinkLabel(state, start, disable_nested)
    _work(state).search((state.posMax if end < 0 else end) - start)
    return end


def _link(state: StateInline, silent: bool) -> bool:
    return state.src[state.pos] == "[" and _linked(rules_inline.link, state, silent)


def _autolink(state: StateInline, silent: bool) -> bool:
    return state.src[state.pos] == "<" and _linked(rules_inline.autolink, state, silent)


def _linked(rule: Callable[[StateInline, bool], bool], state: StateInline, silent: bool) -> bool:
    """A link as long as the budget lasts, with the marks in its source: an address loses them."""
    start, work = state.pos, _work(state)
    if work.left <= 0 or not rule(state, silent):
        return False
    work.link()
    if not silent:
        state.tokens[-1].meta = {"cites": numbers(state.src[start : state.pos])}
    return True


def _entity(state: StateInline, silent: bool) -> bool:
    """An entity: what it stands for can act, or forge a mark, like any other character."""
    found = rules_inline.entity(state, silent)
    if found and not silent:
        state.tokens[-1].content = clean(state.tokens[-1].content)
    return found
