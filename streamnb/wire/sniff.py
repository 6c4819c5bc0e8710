"""Looks at the head of a body and picks the framer that fits (WIRE 0.5 and 1.1); the bytes seen are replayed into it.

Must not know: sockets, clocks, what frames mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from streamnb.wire._state import FramerState
from streamnb.wire._text import bom_length
from streamnb.wire.frame import Frame, Framer
from streamnb.wire.json_body import JSONBodyFramer
from streamnb.wire.prefix_lines import PrefixLineFramer
from streamnb.wire.raw_text import RawTextFramer
from streamnb.wire.sse import SSEFramer

SNIFF_BYTES: Final = 1024
Decide = Callable[[bytes, bool], Framer | None]
"""(the body so far, whether no more of it will be shown) -> the framer, or None for "not yet"."""

_SSE_HEAD: Final = re.compile(rb":|(data|event|id|retry)[:\r\n]")
_SSE_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_PREFIX_HEAD: Final = re.compile(rb"[0-9a-k]:")
_PREFIX_CODES: Final = b"0123456789abcdefghijk"


class SniffFramer:
    """A framer that decides late: holds back at most 1 KiB, then is the chosen framer, attributes included.

    Args:
        decide: asked at every `feed` until it returns a framer. When no more will be shown (the body ended or 1 KiB is
            reached) and it still returns None, the body is read as raw text, so that nothing is lost.
    """

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._head = b""
        self._framer: Framer | None = None
        self._undecided = FramerState()

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the frames of the chosen framer, none while undecided."""
        self._head += data
        full = len(self._head) >= SNIFF_BYTES
        framer = self._decide(self._head[:SNIFF_BYTES], full)
        if framer is None and not full:
            return []
        return self._chosen(framer).feed(self._head)

    def close(self) -> list[Frame]:
        """End of the body; decides now if nothing was decided before."""
        if self._framer is not None:
            return self._framer.close()
        framer = self._chosen(self._decide(self._head, True))  # noqa: FBT003 - a Callable has no keywords
        return framer.feed(self._head) + framer.close()

    def _chosen(self, framer: Framer | None) -> Framer:
        self._framer = framer or RawTextFramer()
        self.feed = self._framer.feed  # type: ignore[method-assign]  # nothing stands between any more
        return self._framer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # an unfinished copy has no `_framer` to ask
            raise AttributeError(name)
        return getattr(self._framer or self._undecided, name)


def sse_or_json(name: str, **sse: Any) -> Decide:
    """Decider for SSE APIs that may answer 200 with a JSON object instead of a stream (WIRE 0.5).

    Args:
        name: event of the one frame of such an object.
        sse: arguments of `SSEFramer`.
    """

    def decide(prefix: bytes, at_eof: bool) -> Framer | None:
        head = _without_bom(prefix).lstrip(b" \t\r\n")
        if not head and not at_eof:
            return None
        return JSONBodyFramer(name) if head.startswith(b"{") else SSEFramer(**sse)

    return decide


def typebot_auto(name: str, content_type: str | None) -> Decide:
    """Decider for `streamMessage`, whose framing depends on the server's age (WIRE 1.1).

    Args:
        name: event of the one frame of a JSON object.
        content_type: the reply's header; `text/event-stream` leaves only SSE or a JSON object.
    """
    if (content_type or "").partition(";")[0].strip().lower() == "text/event-stream":
        return sse_or_json(name, comment_frames=True)

    def decide(prefix: bytes, at_eof: bool) -> Framer | None:
        body = _without_bom(prefix).lstrip(b"\r\n")
        if body.lstrip(b" \t\r\n").startswith(b"{"):
            return JSONBodyFramer(name)
        if _SSE_HEAD.match(body):
            return SSEFramer(comment_frames=True)
        if _PREFIX_HEAD.match(body):
            return PrefixLineFramer()
        return None if _is_open(body) and not at_eof else RawTextFramer()

    return decide


def _is_open(body: bytes) -> bool:
    """Whether more bytes could still turn this head into something else than raw text."""
    if not body.strip(b" \t\r\n") or any(field.startswith(body) for field in _SSE_FIELDS):
        return True
    return len(body) == 1 and body in _PREFIX_CODES


def _without_bom(prefix: bytes) -> bytes:
    """The prefix after a byte order mark; nothing while it may still become one."""
    length = bom_length(prefix)
    return b"" if length is None else prefix[length:]
