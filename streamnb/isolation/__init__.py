"""Isolation: a run's capture in a process of its own, which no computing cell and no other thread can hold up.

Knows how a run gets there and back. Must not know: displays, IPython, pandas. `python -m streamnb.isolation` is the
other process: `_service.py`.
"""

from __future__ import annotations

from streamnb.isolation._engine import Isolated
from streamnb.isolation._errand import Errand

__all__ = ["Errand", "Isolated"]
