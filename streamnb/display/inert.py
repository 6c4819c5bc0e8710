"""Makes the text of a model harmless where it is shown: characters that act are made visible or taken out.

Knows Unicode and ECMA-48 control sequences. Must not know: widgets, HTML, where text comes from.
"""

from __future__ import annotations

import enum
import re
from typing import Final

_BIDI: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Embeddings, overrides and isolates reorder what is read (CVE-2021-42574); the plain marks LRM, RLM and ALM stay."""

_ACTING: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}]")
_CONTROL_PICTURES: Final = 0x2400
_STRING_LIMIT: Final = 4096


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(_CONTROL_PICTURES + code) if code < ord(" ") else f"<U+{code:04X}>"


def visible(text: str) -> str:
    r"""Replace every character that acts instead of showing by one that shows; LF and TAB stay, CR LF becomes LF.

    `\x1b` becomes a control picture, a bidi override its code point, `<U+202E>`.
    """
    return _ACTING.sub(_picture, text.replace("\r\n", "\n"))


def well_formed(text: str) -> str:
    """Join surrogate pairs that came in two halves, replace lone ones: JSON and UTF-8 cannot carry them (R16)."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Joiner:
    """Joins deltas so that no surrogate pair and no CR LF is ever cut: the half waits for the next delta."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Take the next delta; return all of the text so far that cannot change any more."""
        text = self._held + text
        cut = len(text) - 1 if text and (text[-1] == "\r" or "\ud800" <= text[-1] <= "\udbff") else len(text)
        self._held = text[cut:]
        return well_formed(text[:cut])

    def flush(self) -> str:
        """Return what was held back: nothing follows."""
        held, self._held = self._held, ""
        return well_formed(held)


class _State(enum.Enum):
    GROUND = enum.auto()
    ESCAPE = enum.auto()
    CSI = enum.auto()
    STRING = enum.auto()
    STRING_ESCAPE = enum.auto()


_OPENERS: Final = {
    "\x1b": _State.ESCAPE,
    "\x9b": _State.CSI,
    **dict.fromkeys("\x90\x98\x9d\x9e\x9f", _State.STRING),
}
_AFTER_ESCAPE: Final = {"[": _State.CSI, **dict.fromkeys("PX]^_", _State.STRING)}
_STRING_ENDS: Final = frozenset("\x07\x9c\x18\x1a")


class TerminalFilter:
    r"""Takes everything out of a stream of text that a terminal would obey (S7).

    Control sequences (CSI), control strings (OSC, DCS, APC, PM, SOS) in their 7-bit and 8-bit forms, C0 but LF and
    TAB, DEL, C1 and bidi controls. A CR becomes a line end, so that no line is rewritten. State is kept from one delta
    to the next. A control string ends at ST, BEL or CAN, but also at a line end or after 4096 characters: broken text
    (a mis-decoded quotation mark is U+009D) must not swallow the rest of an answer.
    """

    def __init__(self) -> None:
        self._state = _State.GROUND
        self._length = 0
        self._after_cr = False

    def feed(self, text: str) -> str:
        """Take the next delta; return what may be written to a terminal."""
        if self._state is _State.GROUND and not self._after_cr and not _ACTING.search(text):
            return text
        return "".join([self._next(char) for char in text])

    def _next(self, char: str) -> str:
        after_cr, self._after_cr = self._after_cr, char == "\r"
        if char == "\n" and after_cr:
            return ""
        if char in "\r\n":
            self._state = _State.GROUND
            return "\n"
        if self._state is _State.GROUND or char in _OPENERS:
            return self._ground(char)
        return self._inside(char)

    def _ground(self, char: str) -> str:
        in_string = self._state in {_State.STRING, _State.STRING_ESCAPE}
        self._state = _OPENERS.get(char, _State.GROUND)
        if in_string and char == "\x1b":
            self._state = _State.STRING_ESCAPE
        self._length = 0
        return "" if _ACTING.match(char) else char

    def _inside(self, char: str) -> str:
        self._length += 1
        if self._state is _State.STRING:
            ends = char in _STRING_ENDS or self._length > _STRING_LIMIT
            self._state = _State.GROUND if ends else _State.STRING
            return ""
        if not " " <= char <= "~":  # no control sequence goes on with it: it is text again
            return self._ground(char)
        if self._state is _State.CSI:  # parameters and intermediates up to 0x3f, then one final byte
            self._state = _State.CSI if char <= "?" else _State.GROUND
        else:
            going_on = self._state is _State.ESCAPE and char <= "/"
            self._state = _AFTER_ESCAPE.get(char, _State.ESCAPE if going_on else _State.GROUND)
        return ""
