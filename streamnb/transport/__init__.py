"""The only sockets. Knows httpx, httpcore and keys; must not know frames' meaning, recording, displays."""

from __future__ import annotations

from streamnb.transport.keys import Keyring
from streamnb.transport.obtained import hold_back
from streamnb.transport.reads import Read, Reads, Take, Timings
from streamnb.transport.send import Exchange, classify, exchange, prepare, timings_of
from streamnb.transport.stamped import Kind, Route, StampedTransport

__all__ = [
    "Exchange",
    "Keyring",
    "Kind",
    "Read",
    "Reads",
    "Route",
    "StampedTransport",
    "Take",
    "Timings",
    "classify",
    "exchange",
    "hold_back",
    "prepare",
    "timings_of",
]
