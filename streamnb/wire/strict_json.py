"""JSON exactly as RFC 8259 has it, with limits instead of exceptions of every kind (J6, J7).

Must not know: lines, frames, any framing, any API.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from streamnb.wire._brackets import deepest

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

MAX_DEPTH: Final = 200
MAX_DIGITS: Final = 4300
_NO_FLAGS: Final[frozenset[str]] = frozenset()
_REFUSED: Final = object()
_BLANKS: Final = b" \t\r\n"
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


class JSONError(ValueError):
    """The text is not JSON, or is more than we agreed to parse.

    Attributes:
        name: `invalid_json`, `invalid_utf8` or `limit`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"not readable as JSON: {name}")
        self.name = name


class _DuplicateKeyError(Exception):
    """Sent through the C scanner: parse again, the last value of a repeated key wins."""


def loads(text: str | bytes) -> tuple[Any, frozenset[str]]:
    """Parse one JSON text strictly; never raises anything but `JSONError`, not even `RecursionError`.

    Args:
        text: the JSON text; bytes are read as strict UTF-8, without a byte order mark.

    Returns:
        The value and its oddities, of `duplicate_keys` (the last one won) and `lone_surrogate` (kept as it is).
        Integers are exact.

    Raises:
        JSONError: named `invalid_utf8`, `limit` (deeper than 200, an integer of more than 4300 digits,
            a float beyond the range of a double) or `invalid_json` (NaN and Infinity included).
    """
    try:
        return _loads(_text(text))
    except RecursionError as error:  # the caller's own stack is nearly full
        raise JSONError("limit") from error


def is_json(text: str) -> bool:
    """Whether `loads` would return."""
    try:
        loads(text)
    except JSONError:
        return False
    return True


def _text(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise JSONError("invalid_utf8") from error


def _loads(text: str) -> tuple[Any, frozenset[str]]:
    value = _REFUSED if orjson is None else _proven(text)
    if value is not _REFUSED:
        return value, _NO_FLAGS
    if _too_deep(text):
        raise JSONError("limit")
    value, flags = _parse(text)
    if _SURROGATE.search(text) and _has_lone_surrogate(value):
        flags |= {"lone_surrogate"}
    return value, flags


def _too_deep(text: str) -> bool:
    return text.count("[") + text.count("{") > MAX_DEPTH and deepest(text) > MAX_DEPTH


def _proven(text: str) -> Any:
    """The value as orjson reads it, where that is proven to be ours: it writes back what it read; else `_REFUSED`.

    What it would read differently (large integers, repeated keys, half surrogate pairs) does not come back as the same
    text. Blanks are left out of the comparison: they make no difference outside strings, and inside strings both
    texts have the same ones.
    """
    if len(text) > 2 * MAX_DEPTH and _too_deep(text):  # JSON that deep has two brackets per level
        return _REFUSED
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _REFUSED
    read, written = text.encode(), orjson.dumps(value)
    if read == written or read.translate(None, _BLANKS) == written.translate(None, _BLANKS):
        return value
    return _REFUSED


def _parse(text: str) -> tuple[Any, frozenset[str]]:
    try:
        try:
            return _UNIQUE_KEYS.decode(text), _NO_FLAGS
        except _DuplicateKeyError:
            return _LAST_KEY_WINS.decode(text), frozenset({"duplicate_keys"})
    except json.JSONDecodeError as error:
        raise JSONError("invalid_json") from error


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKeyError
    return value


def _integer(digits: str) -> int:
    if len(digits) - digits.startswith("-") > MAX_DIGITS:
        raise JSONError("limit")
    try:
        return int(digits)
    except ValueError as error:  # sys.set_int_max_str_digits was set lower
        raise JSONError("limit") from error


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JSONError("limit")
    return value


def _constant(name: str) -> Any:
    raise JSONError("invalid_json") from ValueError(f"{name} is not JSON")


_LAST_KEY_WINS: Final = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)
_UNIQUE_KEYS: Final = json.JSONDecoder(
    parse_int=_integer, parse_float=_float, parse_constant=_constant, object_pairs_hook=_unique
)
