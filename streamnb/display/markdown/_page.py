"""Tokens as HTML: code with colours, formulas, links with their host, citations, the sides of table cells.

Knows how each of them looks. Must not know: how they were parsed, what is allowed in the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from streamnb.display.markdown._code import OutOfTimeError, highlight
from streamnb.display.markdown._marks import numbers, shown, without_marks, written
from streamnb.display.markdown._mathml import to_mathml
from streamnb.display.markdown._work import Work

_LANGUAGE: Final = re.compile(r"[\w+#.-]{1,30}(?![\w+#.-])", re.ASCII)
_SIDES: Final = {f"text-align:{side}": f' class="snb-{side}"' for side in ("left", "center", "right")}


class Page(RendererHTML):
    """Writes the HTML of one text; a method for each type of token that is not written as its tag alone."""

    def renderInline(self, tokens: Sequence[Token], options: OptionsDict, env: EnvType) -> str:  # noqa: N802
        """The parts of a text; most have one."""
        if len(tokens) == 1 and tokens[0].type == "text":
            return written(tokens[0].content)
        return super().renderInline(tokens, options, env)

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A text, with its citations."""
        del options, env
        return written(tokens[idx].content)

    def as_it_came(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A text that was too much to parse."""
        return self.text(tokens, idx, options, env).replace("\n", "<br>\n")

    def cites(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """The citations of the block before."""
        del options, env
        return f"<p>{shown(tokens[idx].meta['cites'])}</p>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """The beginning of a link, or only what it says when it leads nowhere."""
        del options, env
        token = tokens[idx]
        return ("<a" + self.renderAttrs(token) + ">" if token.attrs else "") + written(token.meta.get("label", ""))

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """The end of a link, where it leads, and the citations that were in it."""
        del options, env
        token = tokens[idx]
        host = f' <span class="snb-host">({written(token.meta["host"])})</span>' if "host" in token.meta else ""
        return ("" if token.hidden else "</a>") + host + shown(token.meta["cites"])

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Code in a text, and behind it the citations that were in it."""
        del options, env
        content = tokens[idx].content
        return f"<code>{written(without_marks(content))}</code>{shown(numbers(content))}"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A block of code, with colours where its language is known and the time suffices."""
        del options
        token = tokens[idx]
        code = token.content.removesuffix("\n")
        language = _LANGUAGE.match(token.info.strip())
        name = language.group().lower() if language else ""
        work: Work = env["work"]
        try:
            colourful = highlight(code, name, work.colours_until_s)
        except OutOfTimeError:
            colourful = ""
        start = f'<pre><code class="language-{name}">' if name else "<pre><code>"
        return f"{start}{colourful or written(code)}</code></pre>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A block of code by its indent."""
        return self.fence(tokens, idx, options, env)

    def formula(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A formula in a text, and behind it the citations that were in it."""
        del options
        latex = without_marks(tokens[idx].content)
        math = _mathml(latex, env, display=tokens[idx].markup == "$$")
        return (math or f"<code>{written(latex)}</code>") + shown(numbers(tokens[idx].content))

    def formula_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A formula on lines of its own; one that is not complete, or not understood, is its source."""
        del options
        token = tokens[idx]
        math = "" if token.info else _mathml(token.content, env, display=True)
        source = f'<pre><code class="language-latex">{written(token.content)}</code></pre>'
        return f'<div class="snb-math">{math}</div>\n' if math else f"{source}\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A cell, with its side as a class."""
        del options, env
        token = tokens[idx]
        return f"<{token.tag}{_SIDES.get(str(token.attrs.get('style')), '')}>"

    td_open = th_open


def _mathml(latex: str, env: EnvType, *, display: bool) -> str:
    work: Work = env["work"]
    return to_mathml(latex, display=display) if work.formula(len(latex)) else ""
