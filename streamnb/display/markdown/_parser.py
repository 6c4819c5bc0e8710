"""The Markdown parser: its settings, and the rules whose time grew with the square of a text.

Knows markdown-it and where it is slow or careless. Must not know: HTML, how links and code look.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from markdown_it import MarkdownIt, helpers, rules_block, rules_core, rules_inline
from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from streamnb.display.links import link_target
from streamnb.display.markdown import _formulas
from streamnb.display.markdown._blocks import sure_tokens
from streamnb.display.markdown._links import dress
from streamnb.display.markdown._marks import clean, numbers, without_marks
from streamnb.display.markdown._page import Page
from streamnb.display.markdown._places import put_back
from streamnb.display.markdown._work import Work

OPTIONS: Final[Mapping[str, Any]] = {"html": False, "linkify": False, "maxNesting": 50, "breaks": True}
"""SAFETY.md 3.1; and a line end stays one, as in chats: models and bots mean it."""

_DEEPEST: Final = 48
_BEGINNINGS: Final = re.compile(r"[\n$&*<\[\\_`~]")
"""What an inline rule begins with: a text without any of them is one token."""
_BOXES: Final = {"[ ] ": "\N{BALLOT BOX} ", "[x] ": "\N{BALLOT BOX WITH CHECK} ", "[X] ": "\N{BALLOT BOX WITH CHECK} "}

_FIRST: Final[Mapping[RuleFuncBlockType, str]] = {
    _formulas.block: "$\\",
    rules_block.blockquote: ">",
    rules_block.fence: "`~",
    rules_block.heading: "#",
    rules_block.hr: "*-_",
    rules_block.html_block: "<",
    rules_block.list_block: "*+-0123456789",
    rules_block.reference: "[",
}
"""What a line of theirs begins with; the other rules are asked about every line."""


class TooDeepError(Exception):
    """Quotes or lists are nested so deeply that the parser would leave the rest of the text out."""


def build(options: Mapping[str, Any] = OPTIONS) -> MarkdownIt:
    """A parser. It needs `{"work": Work}` as its environment."""
    md = MarkdownIt("js-default", dict(options), renderer_cls=Page)
    md.disable("image")
    md.core.ruler.disable(["normalize", "linkify", "replacements", "smartquotes"])  # there is nothing for them to do
    md.helpers = types.SimpleNamespace(**{**vars(helpers), "parseLinkLabel": _label_end})  # type: ignore[assignment]
    md.normalizeLink = _target  # type: ignore[method-assign]
    md.validateLink = _is_target  # type: ignore[method-assign]
    md.normalizeLinkText = str  # type: ignore[method-assign, assignment]
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    md.inline.ruler.at("link", _link)
    md.inline.ruler.at("autolink", _autolink)
    md.inline.ruler.at("entity", _entity)
    md.core.ruler.at("block", _block)
    md.core.ruler.at("inline", _inline)
    md.core.ruler.at("text_join", _join)
    md.core.ruler.after("inline", "links", dress)
    _formulas.install(md)
    _ask_by_first_character(md)
    return md


def _ask_by_first_character(md: MarkdownIt) -> None:
    """Have only those block rules asked about a line that may begin with its first character; no rule changes later."""
    ruler = md.block.ruler
    chains = {name: [_asked(ruler.getRules(name))] for name in ("", "paragraph", "reference", "blockquote", "list")}
    ruler.getRules = chains.__getitem__  # type: ignore[method-assign, assignment]


def _asked(rules: Sequence[RuleFuncBlockType]) -> RuleFuncBlockType:
    """Several rules as one."""
    of_any = [rule for rule in rules if rule not in _FIRST]
    by_first = {char: [rule for rule in rules if char in _FIRST.get(rule, char)] for char in "".join(_FIRST.values())}

    def ask(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
        at = state.bMarks[start_line] + state.tShift[start_line]
        return any(rule(state, start_line, end_line, silent) for rule in by_first.get(state.src[at : at + 1], of_any))

    return ask


def _target(url: str) -> str:
    return link_target(without_marks(url))


def _is_target(url: str) -> bool:
    return bool(url) and link_target(url) == url


def _work(state: StateCore | StateBlock | StateInline) -> Work:
    work: Work = state.env["work"]
    return work


def _block(state: StateCore) -> None:
    """Find the blocks of a source whose line ends are LF, as `inert.visible` leaves them."""
    tokens, source = sure_tokens(state.src), state.src
    affordable = True
    if tokens and tokens[0].type == "table_open":
        n_columns = source.count("|", 0, source.index("\n")) + 1
        affordable = _work(state).cells(n_columns * (source.count("\n") + 1))
    if tokens and affordable:
        state.tokens = tokens
    else:
        state.md.block.parse(source, state.md, state.env, state.tokens)


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
        if token.content[:4] in _BOXES and _begins_item(state.tokens[max(at - 2, 0) : at]):
            token.content = _BOXES[token.content[:4]] + token.content[4:]
        token.children = []
        if not work.text(token.content):
            token.children.append(Token("as_it_came", "", 0, content=token.content))
        elif token.content and not _BEGINNINGS.search(token.content):
            token.children.append(Token("text", "", 0, content=token.content))
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _begins_item(before: Sequence[Token]) -> bool:
    return [token.type for token in before] == ["list_item_open", "paragraph_open"]


def _join(state: StateCore) -> None:
    """Join the parts of texts, where there are any."""
    if any(token.children and (token.children[1:] or token.children[0].type != "text") for token in state.tokens):
        rules_core.text_join(state)


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
