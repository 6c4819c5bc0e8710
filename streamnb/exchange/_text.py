r"""Halves of characters in text: written as `\ud83d` where a file must be UTF-8, and exactly undone.

Knows strings and JSON. Must not know: tables, files, formats.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

# The lookbehind and the possessive runs keep a megabyte of backslashes linear.
_TO: Final = re.compile(r"(?<!\\)(\\*+)(?:([\ud800-\udfff])|(ud[89a-f][0-9a-f]{2}))")
_FROM: Final = re.compile(r"(?<!\\)(\\++)(ud[89a-f][0-9a-f]{2})")
_HALF: Final = re.compile("[\ud800-\udfff]")


def escape(text: str) -> str:
    r"""Half a surrogate pair becomes the six characters `\ud83d`; what looked like that before gets twice its slashes.

    Every other text stays as it is, so other readers see it.
    """
    return _TO.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    slashes, half, alike = found.groups()
    return slashes * 2 + (alike if half is None else f"\\u{ord(half):04x}")


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _FROM.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    slashes, code = found.groups()
    pairs, odd = divmod(len(slashes), 2)
    return "\\" * pairs + (chr(int(code[1:], 16)) if odd else code)


def has_half(text: str) -> bool:
    """Whether half a surrogate pair is in it."""
    return not text.isascii() and _HALF.search(text) is not None


def json_text(value: Any) -> str:
    """A JSON value as text that is read back as the same value.

    Raises:
        ValueError: it is none, or JSON would change it: a tuple, keys that are no text, NaN.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        same = bool(json.loads(text) == value)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not same:
        raise ValueError("it would not come back as it is")
    return text
