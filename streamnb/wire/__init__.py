"""Bytes in, frames out: one framer per framing, sans-I/O.

Must not know: sockets, clocks, what a frame means.
"""

from __future__ import annotations

from streamnb.wire.frame import Frame, Framer
from streamnb.wire.json_body import JSONBodyFramer
from streamnb.wire.jsonl import JSONLFramer
from streamnb.wire.prefix_lines import PrefixLineFramer
from streamnb.wire.raw_text import RawTextFramer
from streamnb.wire.sniff import SniffFramer, sse_or_json, typebot_auto
from streamnb.wire.sse import SSEFramer

__all__ = [
    "Frame",
    "Framer",
    "JSONBodyFramer",
    "JSONLFramer",
    "PrefixLineFramer",
    "RawTextFramer",
    "SSEFramer",
    "SniffFramer",
    "sse_or_json",
    "typebot_auto",
]
