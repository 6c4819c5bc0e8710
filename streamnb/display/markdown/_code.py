"""Source code as HTML with the short class names of Pygments, for languages that are known to be quick to read.

Knows languages, lexers and their limits. Must not know: Markdown, sanitizing, colours.
"""

from __future__ import annotations

import functools
import html
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LONGEST: Final = 16_384
"""Characters of a piece of code that get colours; longer code is shown without."""
