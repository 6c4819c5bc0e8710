"""Moments as servers write them: ISO 8601 text to milliseconds since 1970 UTC.

Knows the text. Must not know: clocks, which API said it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def epoch_ms(said: Any) -> int | None:
    """ISO 8601 with a time zone (RFC 3339, any number of digits of a second) as ms since 1970 UTC; else None."""
    try:
        moment = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // _MS
