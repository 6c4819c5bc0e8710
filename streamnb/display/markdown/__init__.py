"""Markdown of a hostile model -> HTML that may stand in a page: blocks, rendering, marks for citations.

Knows what a source is and that its marks are private. Must not know: widgets, runs, how text arrives. Importing it
loads the parser and the sanitizer (60 ms); lexers and the converter of formulas come with the first block that needs
them.
"""

from __future__ import annotations

from streamnb.display.markdown._marks import cite, clean, without_marks
from streamnb.display.markdown._render import TOTAL_LIMIT, plain, render
from streamnb.display.markdown._split import split

__all__ = ["TOTAL_LIMIT", "cite", "clean", "plain", "render", "split", "without_marks"]
