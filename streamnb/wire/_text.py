"""Bytes to text the same way everywhere: UTF-8 always, one leading BOM, U+FFFD per maximal subpart (C1, C2).

Must not know: lines, frames, any framing.
"""

from __future__ import annotations

from typing import Final

BOM: Final = b"\xef\xbb\xbf"


def bom_length(head: bytes | bytearray) -> int | None:
    """How many bytes to strip from the head of a stream, or None while it may still become a byte order mark."""
    if head.startswith(BOM):
        return len(BOM)
    return None if BOM.startswith(head) else 0


def decode(data: bytes | bytearray) -> tuple[str, bool]:
    """The text of `data`, and whether bytes were lost because they are not UTF-8."""
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return data.decode(errors="replace"), True
