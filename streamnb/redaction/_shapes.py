"""The shapes of credentials that are recognised without knowing the credential (S10, S14).

Knows regular expressions and nothing else. Must not know: any secret's value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# A shape begins where a word begins: `task-…` holds no `sk-…`. An escaped line end or a percent escape ends in a
# letter or digit, yet a word begins behind it.
_ESCAPED: Final = r"(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2})"

_WORDS: Final = (
    r"sk-(?:ant|proj)-[\w-]{6,}",  # Anthropic, OpenAI
    r"sk-(?!learn)(?:(?=[\w-]*\d)[\w-]{12,}|[\w-]{20,})",  # OpenAI and all that copied it
    r"AIza[\w-]{35,}",  # Google
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_\w{20,}",
    r"hf_[A-Za-z0-9]{20,}",  # Hugging Face
    r"xox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"AKIA[A-Z0-9]{16,}",  # AWS
    r"gsk_[A-Za-z0-9]{32,}",  # Groq
    r"(?:xai|pplx|nvapi)-[\w-]{32,}",  # xAI, Perplexity, NVIDIA: their model names are shorter
    r"oc_(?:live|test)_\w{4,}",  # Oliver (WIRE 2)
    r"VF\.(?:DM|WS)\.[\w.-]{6,}",  # Voiceflow (WIRE 3)
)

# JWT (RFC 7519; five parts when encrypted). It may begin only outside a run of its own characters, or a long
# `eyJ-eyJ-eyJ-…` would be scanned once per `eyJ`.
_JWT: Final = r"eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){1,3}"

KEY: Final = re.compile(
    rf"(?:(?<![A-Za-z0-9])|{_ESCAPED})(?:{'|'.join(_WORDS)})|(?:(?<![\w-])|{_ESCAPED}){_JWT}",
    re.ASCII,
)
"""A key of a known service, or a JWT."""

_BEGINNINGS: Final = (
    *("sk-", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "xox", "AKIA", "gsk_"),
    *("xai-", "pplx-", "nvapi-", "oc_", "VF.", "eyJ"),
)


def mask_keys(text: str, mask: str) -> str:
    """`KEY.sub`, without a look at every character: a key begins with what keys begin with, and nowhere else."""
    starts = sorted(_starts(text))
    if not starts:
        return text
    kept, end = [], 0
    for start in starts:
        found = KEY.match(text, start) if start >= end else None
        if found is not None:
            kept += [text[end:start], mask]
            end = found.end()
    return "".join([*kept, text[end:]])


def _starts(text: str) -> Iterator[int]:
    for beginning in _BEGINNINGS:
        at = text.find(beginning)
        while at >= 0:
            yield at
            at = text.find(beginning, at + 1)


USERINFO: Final = re.compile(r'(?<=://)[^/?#\s"<>]*@')
"""The credentials inside a URL, `@` included (RFC 3986 3.2.1)."""

PASSWORD: Final = re.compile(r'(?<=://)[^/?#\s:@"<>]*:[^/?#\s"<>]+@')
"""The same, only when there is a password in it."""
