"""Credentials that arrive in a JSON reply: found in its bytes, also when the reply was cut.

Knows JSON's string syntax. Must not know: which API calls its fields what, where the values go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence


def find_fields(data: bytes, names: Sequence[str]) -> dict[str, str]:
    """The string values of the named fields, at any depth; the last of a name wins.

    Args:
        data: a JSON reply, whole or cut.
        names: field names; a field that is not there is left out.
    """
    found = {}
    for name in names:
        pattern = re.escape(json.dumps(name).encode()) + rb'\s*:\s*"((?:[^"\\]|\\.)*)'
        for match in re.finditer(pattern, data, re.DOTALL):
            found[name] = _text(match[1])
    return {name: value for name, value in found.items() if value}


def _text(raw: bytes) -> str:
    try:
        return str(json.loads(b'"' + raw + b'"', strict=False))
    except ValueError:  # cut inside an escape
        return raw.decode("utf-8", "replace")
