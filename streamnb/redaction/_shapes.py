"""The shapes of credentials that are recognised without knowing the credential (S10, S14).

Knows regular expressions and nothing else. Must not know: any secret's value.
"""

from __future__ import annotations

import re
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

USERINFO: Final = re.compile(r'(?<=://)[^/?#\s"<>]*@')
"""The credentials inside a URL, `@` included (RFC 3986 3.2.1)."""

PASSWORD: Final = re.compile(r'(?<=://)[^/?#\s:@"<>]*:[^/?#\s"<>]+@')
"""The same, only when there is a password in it."""
