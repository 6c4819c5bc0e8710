"""The page's part of the panel: hand-written JavaScript and CSS in this folder, joined and packed for the way there.

Knows files. Must not know: what they do, widgets.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import zlib
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_TYPES: Final = re.compile(r"/\*\*.*?\*/ ?", re.DOTALL)
_LINE: Final = re.compile(r"\n\s*(//.*)?")


def joined(ending: str) -> str:
    """The parts in the order of their names: one module, one style sheet.

    Args:
        ending: `js` or `css`.
    """
    return "".join(part.read_text(encoding="utf-8") for part in sorted(_HERE.glob(f"*.{ending}")))


@functools.cache
def module() -> str:
    """The ES module that travels with every widget: code and styles, compressed, and what unpacks them.

    A page unpacks them once, for all its panels. Comments stay at home.
    """
    code = "\f".join(_LINE.sub("\n", text) for text in (_TYPES.sub("", f"\n{joined('js')}"), joined("css")))
    packed = base64.b64encode(zlib.compress(code.encode(), 9)).decode()
    version = hashlib.sha256(packed.encode()).hexdigest()[:12]
    loader = (_HERE.parent / "loader.js").read_text(encoding="utf-8")
    return loader % {"packed": packed, "version": version}
