"""The elements of a timing picture: lines, paths, labels, the frame around them, in two sets of colours.

Knows SVG. Must not know: what is drawn.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Final, NamedTuple

GUTTER: Final = 13
"""Share of the width that the numbers of the silences have, percent."""
_LEAST: Final = 380
"""px: a narrower place scrolls; there the labels would be cut off or stand on each other."""
ROUND: Final = 'stroke-linecap="round"'


class Ink(NamedTuple):
    """Colours: of text and lines, of marks, of a stall, of the phases of the request."""

    text: str
    answer: str
    reasoning: str
    stall: str
    phases: tuple[str, ...]
    font: str


PHASES: Final = ("#7f8c9b", "#bf8416", "#b85c9e", "#2a9d8f", "#5b84d8", "#5f9e4a")
THEME: Final = Ink(
    "var(--jp-ui-font-color2,var(--vscode-descriptionForeground,currentColor))",
    "var(--jp-brand-color1,var(--vscode-charts-blue,#2f86d6))",
    "var(--vscode-charts-purple,#8e6fd8)",
    "var(--jp-warn-color1,var(--vscode-charts-orange,#c8650b))",
    PHASES,
    "var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif))",
)
PAPER: Final = Ink("#7b7b7b", "#2f86d6", "#8e6fd8", "#c8650b", PHASES, "system-ui,sans-serif")
"""For a picture that does not know its page: 3:1 and more on white and on the dark of a notebook, letters 3.5:1."""


def framed(top: int, inner: Sequence[str]) -> str:
    """The field of the marks, right of the numbers of the silences."""
    place = f'x="{GUTTER}%" y="{top}" width="{100 - GUTTER}%" height="1" overflow="visible"'
    return f"<svg {place}>{''.join(inner)}</svg>"


def text(  # noqa: PLR0913 - what a label has
    said: str, x: str, y: int, ink: Ink, anchor: str = "start", *, dx: int = 0, colour: str = "", strong: bool = False
) -> str:
    more = f' text-anchor="{anchor}"' if anchor != "start" else ""
    more += f' dx="{dx}"' if dx else ""
    more += ' font-weight="600"' if strong else ""
    return f'<text x="{x}" y="{y}" fill="{colour or ink.text}"{more}>{html.escape(said)}</text>'


def line(x1: str, y1: int, x2: str, y2: int, colour: str, more: str) -> str:  # noqa: PLR0913, PLR0917 - a line
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" {more}/>'


def path(d: str, colour: str, width: str, more: str = "") -> str:
    if not d:
        return ""
    return f'<path d="{d}" stroke="{colour}" stroke-width="{width}" vector-effect="non-scaling-stroke" {more}/>'


def element(drawing: str, height: int, words: str, ink: Ink, width: int | None) -> str:
    said = html.escape(words)
    size = f'width="100%" height="{height}"' + (f' style="max-width:{width}px"' if width else "")
    letters = f'font-family="{ink.font}" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" {size} {letters}>'
    return f"{head}<title>{said}</title>{drawing}</svg>"


def image_of(drawing: str, height: int, words: str, width: int) -> str:
    data = base64.b64encode(element(drawing, height, words, PAPER, None).encode()).decode("ascii")
    source = f'src="data:image/svg+xml;base64,{data}"'
    size = f'width="100%" height="{height}" style="min-width:{_LEAST}px;max-width:{width}px"'
    return f'<img alt="{html.escape(words)}" {size} {source}>'
