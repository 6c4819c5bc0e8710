"""Frames: what goes through the two pipes between this process and the one that captures for it.

Knows bytes. Must not know: what a frame's payload means, processes, runs.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("!QBI")


class Kind(enum.IntEnum):
    """What a frame is."""

    READY = 0
    """From the child, once: it serves; the version of its package."""
    CHECK = 1
    """To the child: an errand; could it be run?"""
    RUN = 2
    """To the child: an errand; run it."""
    STOP = 3
    """To the child: an outcome; end the run with it."""
    FINE = 4
    """From the child: the errand could be run."""
    REFUSED = 5
    """From the child: it cannot, `{"error": class, "text": ...}`."""
    LINE = 6
    """From the child: a line of the transcript, as it was journaled."""
    PHASE = 7
    """From the child: `[name, CLOCK_MONOTONIC in ns]`."""
    OVER = 8
    """From the child: nothing more comes of this run, `{"failed": journal's sentence, "bug": class}`, both or None."""


class Frame(NamedTuple):
    """One frame.

    Attributes:
        run: number of the run between these two processes; 0: none.
    """

    run: int
    kind: Kind
    payload: bytes = b""


def pack(frame: Frame) -> bytes:
    """A frame as it goes into the pipe."""
    return _HEAD.pack(frame.run, frame.kind, len(frame.payload)) + frame.payload


class Unpacker:
    """Takes the bytes of a pipe as they come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete.

        Raises:
            ValueError: a kind that there is not; the two processes are not of one version.
        """
        held, found, at = self._held, [], 0
        held += data
        while len(held) - at >= _HEAD.size:
            run, kind, length = _HEAD.unpack_from(held, at)
            begin = at + _HEAD.size
            if len(held) - begin < length:
                break
            at = begin + length
            found.append(Frame(run, Kind(kind), bytes(held[begin:at])))
        del held[:at]
        return found
