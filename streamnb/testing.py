"""For test suites: recorded bytes read offline, by the same code that reads them live.

Knows readings and replays. Must not know: sockets.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from streamnb.conversation import Reading
from streamnb.events import Event
from streamnb.providers import Call, ReplyHead, load

if TYPE_CHECKING:
    from streamnb.results import Run

__all__ = ["events", "replay"]


def events(name: str, data: bytes, *, content_type: str = "", **options: Any) -> list[Event]:
    """What the bytes of a streaming reply mean to a provider.

    Args:
        name: the provider.
        data: the body of one streaming reply with status 200, content decoding undone.
        content_type: the reply's header, for providers that look at it.
        options: the provider's options.

    Returns:
        The events in the order of the bytes; keep-alives are events of kind `ping`.

    Raises:
        UsageError: no such provider or option.

    Example:
        >>> [event.text for event in events("typebot", b'0:"Hi"') if event.kind == "delta"]
        ['Hi']
    """
    provider = load(name)(**options)
    head = ReplyHead(200, {"content-type": content_type} if content_type else {})
    reading = Reading(provider, Call(provider.stream_name, stream=True), head)
    return [*reading.feed(data).events, *reading.close().events]


def replay(path: str | os.PathLike[str]) -> Run:
    """Play a recording at once, without network, clock or screen: a run for a test to look at.

    The bytes are read again by the version under test, so that a recording of a bug report is a regression test.

    Args:
        path: a run file (`run.path`, `streamnb.recordings()`).

    Returns:
        The run, with everything in it: `text`, `events`, `outcome`, `chunks`, `result`.

    Raises:
        TranscriptError: the file cannot be read; the message names file and line.
    """
    from streamnb import client  # it brings httpx: who only reads bytes need not wait for it

    return client.replay(path, speed=math.inf)
