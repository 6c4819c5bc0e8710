"""What `%load_ext` costs, measured once."""

from __future__ import annotations

from benchmarks.loading import load_ext_row


def test_one_kernel_gives_the_row():
    row = load_ext_row(1)
    assert row.value > 0
    assert row.target == 40
    assert row.note.startswith(("none of", "and it imports"))
