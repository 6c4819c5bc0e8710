"""Counters: how many tokens a text has, counted while it grows, without counting all of it again at each piece.

Knows texts and functions that count them. Must not know: tables, events, what a server said.
"""

from __future__ import annotations

import functools
import importlib
import numbers
import re
import reprlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from streamnb.errors import UsageError, did_you_mean
from streamnb.tables.typed import Floats

Counter: TypeAlias = Callable[[str], int]

ENCODINGS: Final = ("cl100k_base", "o200k_base", "voyage3_base")
"""Vocabularies that the extra `tokens` (bpe-openai) carries in its wheel: nothing is downloaded."""

_LIMIT: Final = 256
_KEEP: Final = 64
_HARD: Final = 1024
_PIECE: Final = 50_000
"""bpe-openai refuses texts of a million characters or 200,000 tokens; no character is more than four tokens."""

_EDGE: Final = re.compile(r"(?<=\S) |(?<=[^\W_])[\n,.;:!?\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]")
"""A space behind anything but space, a mark or line end behind a letter or digit: no token reaches across."""


def resolve(counter: str | Counter) -> tuple[str, Counter]:
    """What tables call a counter that a caller passed, and its function with a check around.

    Raises:
        UsageError: no such encoding, the extra `tokens` is not installed, or it cannot be called.
    """
    if isinstance(counter, str):
        return f"counter:{counter}", _encoding(counter)
    if not callable(counter):
        raise UsageError(
            f"counter wants a function from text to a number of tokens or one of {', '.join(ENCODINGS)}, "
            f"not {reprlib.repr(counter)}."
        )
    name = getattr(counter, "__name__", type(counter).__name__)
    return f"counter:{name}", functools.partial(_checked, name, counter)


def _checked(name: str, counter: Callable[[str], Any], text: str) -> int:
    n = counter(text)
    if isinstance(n, numbers.Integral) and not isinstance(n, bool) and int(n) >= 0:
        return int(n)
    raise UsageError(
        f"the counter {name} returned {reprlib.repr(n)}; it must return how many tokens a text has, "
        "as lambda text: len(encode(text)) does."
    )


@functools.cache
def _encoding(name: str) -> Counter:
    if name not in ENCODINGS:
        raise UsageError(f"there is no encoding {name!r} to count tokens with.{did_you_mean(name, ENCODINGS)}")
    try:
        with warnings.catch_warnings():  # it opens its vocabularies by a function that 3.11 and 3.12 call deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            package = importlib.import_module("bpe_openai")
            encode = package.get_encoding(name).encode_ordinary
    except ModuleNotFoundError as error:
        raise UsageError(
            f"counting with {name} needs the extra `tokens`: pip install streamnb[tokens] "
            "(or pass a function from text to a number of tokens)."
        ) from error

    def count(text: str) -> int:
        n = 0
        while len(text) > _PIECE:
            at = _edge(text, _PIECE)
            n += len(encode(text[:at]))
            text = text[at:]
        return n + len(encode(text))

    return count


def cumulative(pieces: Sequence[str], count: Counter) -> Floats:
    """`count` of the joined text up to each piece, in time that grows with the text and not with its square.

    Only a tail is counted again at each piece. It begins at a space or mark behind a word, where the tokenizers in
    use split before they look at anything else; the count up to there stands. What a counter adds to every text (a
    begin token) cancels, because the tail before and the tail after such a cut are both counted.
    Where text was counted by tails, the whole is counted once more at the end. A counter that does not split at those
    places (`len(text) // 4`), or 1,024 characters without one, leaves a difference; it is spread in proportion to the
    characters.

    The result never falls: where a later piece joins tokens of earlier ones, the smaller number stands for both.
    The last number is always `count` of the whole text.
    """
    totals, tail, before = np.zeros(len(pieces)), "", 0
    whole = True
    for n, piece in enumerate(pieces):
        tail += piece
        totals[n] = before + count(_paired(tail))
        at = _edge(tail, len(tail) - _KEEP) if len(tail) > _LIMIT else 0
        if at:
            tail, whole = tail[at:], False
            before = int(totals[n]) - count(_paired(tail))
    if not whole:
        length = np.cumsum([len(piece) for piece in pieces])
        drift = count(_paired("".join(pieces))) - totals[-1]
        totals += np.rint(drift * length / length[-1])
    settled: Floats = np.minimum.accumulate(totals[::-1])[::-1]
    return np.maximum(settled, 0)


def _edge(text: str, end: int) -> int:
    """The last place before `end` where tokenizers split in any case; 0: there is none yet."""
    found = [match.start() for match in _EDGE.finditer(text, 0, end)]
    if found:
        return found[-1]
    return end if len(text) > _HARD else 0


def _paired(text: str) -> str:
    """Half surrogate pairs of two deltas become one character, a lone half U+FFFD: tokenizers refuse them."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
