"""Where JSON stands while it is still arriving: bracket levels and strings, line by line, in linear time.

Must not know: frames, any framing, any API.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate
from typing import Final

_STEPS: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NOT_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_SHORT: Final = 512
# A string (also one that never ends) is swallowed whole; possessive, so that no input makes it quadratic.
_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|,(?=[ \t\r\n]*+[}\]])', re.DOTALL)


def bracket_step(line: bytes, in_string: int) -> tuple[int, int]:
    """What one more line does to the bracket level.

    Args:
        line: the next line of the JSON text.
        in_string: 1 when the line begins inside a string, else 0.

    Returns:
        The change of level outside strings, and `in_string` for the line after it.
    """
    structure = _structure(line)
    return (_step_cached if len(structure) <= _SHORT else _step)(structure, in_string)


def deepest(text: str) -> int:
    """How deep brackets nest in `text` outside strings, also when it is not JSON."""
    outside = _outside_strings(_structure(text.encode(errors="replace")), 0)
    return max(accumulate(map(_STEPS.__getitem__, outside)), default=0)


def without_trailing_commas(text: str) -> str:
    """`text` without the commas that stand directly before a closing bracket (WIRE 0.3)."""
    return _COMMA.sub(lambda found: found[1] or "", text)


def _structure(text: bytes) -> bytes:
    """Only the brackets and string delimiters of `text`."""
    if b"\\" in text:  # pairs first: the quote after an even run of backslashes does delimit
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.translate(None, _NOT_STRUCTURE)


def _outside_strings(structure: bytes, in_string: int) -> bytes:
    return b"".join(structure.split(b'"')[in_string::2])


def _step(structure: bytes, in_string: int) -> tuple[int, int]:
    outside = _outside_strings(structure, in_string)
    opened = outside.count(b"{") + outside.count(b"[")
    closed = outside.count(b"}") + outside.count(b"]")
    return opened - closed, (in_string + structure.count(b'"')) % 2


# The events of one stream have the same few structures, so an event costs a lookup instead of a parse.
_step_cached: Final = lru_cache(maxsize=256)(_step)
