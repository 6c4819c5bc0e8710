from __future__ import annotations

import pytest

from streamnb.providers._moment import epoch_ms


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500),
        ("2026-01-05T08:30:01.250Z", 1767601801250),
        ("2026-01-05T08:30:01.250999999Z", 1767601801250),
        ("2026-01-05T08:30:01", None),
        ("soon", None),
        ("", None),
        (None, None),
        (1767601801, None),
    ],
)
def test_a_moment_needs_its_time_zone(said: object, ms: int | None):
    assert epoch_ms(said) == ms
