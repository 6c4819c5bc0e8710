"""What every framer knows about its stream besides the frames, with the values of a framer that has seen nothing.

Must not know: any framing, sockets, clocks, any API.
"""

from __future__ import annotations

from typing import Final

DEFAULT_LIMIT: Final = 32 * 1024 * 1024
"""Bytes one line or one open event may take before the framer gives up with `LimitError` (R15)."""


class FramerState:
    """The attributes all framers share.

    Attributes:
        last_event_id: SSE id committed by the last blank line, "" elsewhere.
        reconnection_time: SSE `retry`, ms, or None.
        incomplete: after `close`: the stream ended inside a line, a block or a JSON value.
        comments: the newest SSE comments, oldest first.
        blank_lines: blank lines that ended nothing.
        bom: a leading byte order mark was stripped.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.reconnection_time: int | None = None
        self.incomplete = False
        self.comments: list[str] = []
        self.blank_lines = 0
        self.bom = False
