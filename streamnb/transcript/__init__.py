"""The file format of a run, JSON Lines: journal, test case and demo are this one format. Bytes in, bytes out.

Knows the lines, their fields and types. Must not know: files, clocks, sockets, providers, what a run means.
"""

from __future__ import annotations

from streamnb.transcript._codec import MAX_LINE, decode, encode, encode_read, readable, unreadable
from streamnb.transcript._contents import Contents, read_lines
from streamnb.transcript._lines import (
    VERSION,
    CallLine,
    DoneLine,
    EndLine,
    Line,
    OtherLine,
    ReadLine,
    ReplyLine,
    RunLine,
)

__all__ = [
    "MAX_LINE",
    "VERSION",
    "CallLine",
    "Contents",
    "DoneLine",
    "EndLine",
    "Line",
    "OtherLine",
    "ReadLine",
    "ReplyLine",
    "RunLine",
    "decode",
    "encode",
    "encode_read",
    "read_lines",
    "readable",
    "unreadable",
]
