"""The simulator's answers: deterministic Markdown prose, cut into pieces the size of model tokens.

Knows words and seeds. Must not know: time, HTTP, any API.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

_TITLES: Final = ("Slow water", "Second light", "Borrowed heat", "Quiet gravel", "Patient tides", "Loose threads")
_SUBJECTS: Final = ("river", "stream", "current", "tide", "delta", "bank")
_VERBS: Final = ("leans", "drifts", "hurries", "wanders", "settles", "turns")
_ADVERBS: Final = ("always", "rarely", "gently", "sideways", "twice", "late")
_PLACES: Final = ("outer bend", "shallow side", "first stone", "old ford", "reed bed", "far shore")
_MATTER: Final = ("silt", "gravel", "reeds", "foam", "clay", "roots", "sand", "leaves")
_NOTES: Final = ("naïve model", "rough café sketch", "Ångström's guess", "señor Vela's rule")
_CLOSINGS: Final = (
    "Measure it again tomorrow.",
    "The bend remembers.",
    "Nothing here is straight.",
    "Follow the foam.",
)
_WAVE: Final = "\N{WATER WAVE}"

_PIECE: Final = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")
_LONGEST: Final = 8


def tokens(seed: int, count: int) -> Iterator[str]:
    """Yield exactly `count` pieces of Markdown; the same seed and count give the same pieces.

    From about 60 pieces on, the text holds a heading, a list, a code block, letters outside ASCII and an emoji; from
    about 140 on a table, formulas and a quotation as well.
    """
    rng = random.Random(seed)  # noqa: S311 - a reproducible text, no secret
    left = count
    for section in itertools.cycle((_section, _measured)):
        if left <= 0:
            return
        pieces = _pieces(section(rng))
        whole = left == count or len(pieces) <= left
        chosen = pieces[:left] if whole else _filler(rng, left)
        yield from chosen
        left -= len(chosen)


def _section(rng: random.Random) -> str:
    size = 2 + int(rng.random() * 97)
    return (
        f"## {_pick(rng, _TITLES)}\n\nThe {_pick(rng, _SUBJECTS)} {_pick(rng, _ADVERBS)} {_pick(rng, _VERBS)} "
        f"toward the {_pick(rng, _PLACES)}. Each grain it drops there bends it a little more.\n\n"
        f"- **{_pick(rng, _MATTER)}**: {size} µm\n- {_pick(rng, _MATTER)} and {_pick(rng, _MATTER)}\n\n"
        f"```python\nbend = {size} * width  # {_pick(rng, _NOTES)}\n```\n\n{_pick(rng, _CLOSINGS)} {_WAVE}\n\n"
    )


def _measured(rng: random.Random) -> str:
    outer, inner = 20 + int(rng.random() * 60), 2 + int(rng.random() * 9)
    return (
        f"## {_pick(rng, _TITLES)}\n\nAt the {_pick(rng, _PLACES)} the water runs at $v = \\frac{{s}}{{t}}$, and the "
        f"{_pick(rng, _MATTER)} follows:\n\n| bank | depth (cm) |\n|---|---:|\n| outer | {outer} |\n"
        f"| inner | {inner} |\n\n$$\\Delta h = {outer} - {inner} = {outer - inner}$$\n\n"
        f"> {_pick(rng, _CLOSINGS)}\n\n"
    )


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for piece in _PIECE.findall(text):
        cut = len(piece) // 2 if len(piece) > _LONGEST else len(piece)
        pieces += [part for part in (piece[:cut], piece[cut:]) if part]
    return pieces


def _filler(rng: random.Random, count: int) -> list[str]:
    """What is left of an answer when no whole section fits any more: a list of words, closed by a full stop."""
    pieces = ["Also", ":"]
    while len(pieces) < count:
        pieces += [" " + _pick(rng, _MATTER), ","]
    del pieces[count - 1 :]
    if pieces[-1:] == [","]:
        pieces[-1] = " too"
    return [*pieces, "."]


def _pick(rng: random.Random, words: Sequence[str]) -> str:
    return words[int(rng.random() * len(words))]  # only random() is promised to stay the same between Pythons
