"""Source code as HTML with the short class names of Pygments, in bounded time.

Knows languages, lexers and how lexers can be slowed down. Must not know: Markdown, sanitizing, colours.
"""

from __future__ import annotations

import functools
import html
import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from pygments.token import _TokenType

_LONGEST: Final = 16_384
_LONGEST_LINE: Final = 200
_BLANK_LINES: Final = re.compile(r"\n(?:[ \t]*\n){20}")
"""One step of a lexer takes seconds, and no clock can stop it, in lines without end and in runs of blank lines."""
_STEPS: Final = 16
"""Tokens between two looks at the clock."""

_LANGUAGES: Final = {
    name: lexer
    for lexer, names in {
        "BashLexer": "bash sh shell zsh",
        "BashSessionLexer": "console shell-session",
        "CLexer": "c h",
        "CppLexer": "cpp c++ cc hpp",
        "CSharpLexer": "csharp cs c#",
        "CssLexer": "css",
        "DiffLexer": "diff patch",
        "DockerLexer": "dockerfile docker",
        "GoLexer": "go golang",
        "HaskellLexer": "haskell hs",
        "HtmlLexer": "html",
        "IniLexer": "ini cfg",
        "JavaLexer": "java",
        "JavascriptLexer": "javascript js jsx mjs node",
        "JsonLexer": "json jsonc json5",
        "JuliaLexer": "julia jl",
        "KotlinLexer": "kotlin kt",
        "LuaLexer": "lua",
        "MakefileLexer": "makefile make",
        "PerlLexer": "perl pl",
        "PhpLexer": "php",
        "PowerShellLexer": "powershell ps1 pwsh",
        "PythonConsoleLexer": "pycon",
        "PythonLexer": "python py python3 ipython ipython3",
        "RubyLexer": "ruby rb",
        "RustLexer": "rust rs",
        "SLexer": "r",
        "SqlLexer": "sql postgresql postgres mysql sqlite",
        "SwiftLexer": "swift",
        "TexLexer": "tex latex",
        "TOMLLexer": "toml",
        "TypeScriptLexer": "typescript ts tsx",
        "XmlLexer": "xml svg",
        "YamlLexer": "yaml yml",
    }.items()
    for name in names.split()
}
_PLAIN: Final = frozenset({"", "w", "n", "nx", "p", "err"})
"""Classes without a colour of their own: their tokens get no element, which halves what travels."""


class OutOfTimeError(Exception):
    """The lexer took longer than it may."""


def highlight(code: str, language: str, until_s: float) -> str:
    """Code as escaped HTML with a `span` around each word that has a class.

    Args:
        code: any text.
        language: what a fence says.
        until_s: the reading of `time.thread_time` at which the time is over.

    Returns:
        HTML that shows exactly `code`, or "" when it is to be shown without colours.

    Raises:
        OutOfTimeError: the text was made to be slow.
    """
    lexer = _LANGUAGES.get(language.lower())
    if lexer is None or _may_be_slow(code):
        return ""
    names = [""]
    texts = [""]
    # a line without its end is not read by lexers of terminal sessions
    for n, (_, kind, text) in enumerate(_lexer(lexer).get_tokens_unprocessed(code + "\n")):
        if n % _STEPS == 0 and time.thread_time() > until_s:
            raise OutOfTimeError
        name = _short(kind)
        if name == names[-1] or not text:
            texts[-1] += text
        else:
            names.append(name)
            texts.append(text)
    if "".join(texts) != code + "\n":
        return ""
    texts[-1] = texts[-1][:-1]
    return "".join(map(_span, names, texts))


def _may_be_slow(code: str) -> bool:
    return len(code) > _LONGEST or max(map(len, code.split("\n"))) > _LONGEST_LINE or bool(_BLANK_LINES.search(code))


def _span(name: str, text: str) -> str:
    text = html.escape(text, quote=False)
    return f'<span class="{name}">{text}</span>' if name and text else text


@functools.cache
def _lexer(name: str) -> Lexer:
    from pygments import lexers

    return getattr(lexers, name)(startinline=True)  # PHP without its opening tag; no other lexer knows the option


@functools.cache
def _short(kind: _TokenType) -> str:
    """The short class of a kind of token, or of the next more general kind that has one; "" for one without colour."""
    from pygments.token import STANDARD_TYPES

    while kind not in STANDARD_TYPES:
        kind = kind.parent
    name: str = STANDARD_TYPES[kind]
    return "" if name in _PLAIN else name
