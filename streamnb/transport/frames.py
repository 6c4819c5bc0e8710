"""HTTP/2 frames, whole and one at a time: what came before a fault, or before a farewell, is not lost with it.

Knows the nine bytes before every frame. Must not know: sockets, HTTP clients, what is in a frame, APIs.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_HEAD: Final = 9  # bytes: length (3), type, flags, stream (4)
_LARGEST: Final = 16_384  # bytes; httpcore allows no larger ones
_DATA: Final = 0
_GOAWAY: Final = 7
_ENDS: Final = 1  # a DATA frame's flag
_NO_ERROR: Final = bytes(4)


class Frames:
    """What a server sends on one connection, on which one request at a time is under way.

    A parser that is handed several frames at once forgets the good ones when one is bad, and takes nothing more after
    a GOAWAY, although a server that says it without an error still finishes the replies it has begun (RFC 9113, 6.8).
    So frames go to it one by one (plain data of the reply, all that is there: that halves the cost), such a GOAWAY
    waits until the connection ends, and the end of a reply comes in a frame of its own, behind the data: only there
    can the parser find that the length is wrong.

    Attributes:
        spent: whether the server wants no further request here, or sent something that nobody asked for.
        fault: why nothing behind the frames that are ready can be read; None: it can.
    """

    def __init__(self) -> None:
        self.spent = False
        self.fault: str | None = None
        self._ready: deque[list[bytes]] = deque()  # what is in one list is handed out together
        self._joining = False
        self._torn = b""
        self._farewell = b""
        self._stream = -1  # a client's are 1, 3, 5, ...
        self._plain = b""  # the head of data without flags, behind its length
        self.begin_again()

    def feed(self, data: bytes) -> None:
        """The next bytes from the socket."""
        data = self._torn + data
        at = 0
        while len(data) - at >= _HEAD:
            size = int.from_bytes(data[at : at + 3])
            if size > _LARGEST:  # a parser would wait for its end first
                self.fault = f"a frame of {size} bytes, where {_LARGEST} are allowed"
                return
            end = at + _HEAD + size
            if end > len(data):
                break
            self._sort(data[at:end])
            at = end
        self._torn = data[at:]

    def _sort(self, frame: bytes) -> None:
        if frame[3:_HEAD] == self._plain:
            if self._joining and self._ready:
                self._ready[-1].append(frame)
            else:
                self._ready.append([frame])
            self._joining = True
            return
        self._joining = False
        self.spent |= _number(frame[5:9]) > self._stream
        if frame[3] == _GOAWAY:
            self.spent = True
            if frame[13:17] == _NO_ERROR and _number(frame[9:13]) >= self._stream:
                self._farewell += frame
                return
        if frame[3] == _DATA and frame[4] == _ENDS and len(frame) > _HEAD:  # padded ones are left as they are
            self._ready.append([frame[:4] + b"\0" + frame[5:]])
            frame = bytes(4) + frame[4:_HEAD]
        self._ready.append([frame])

    def pop(self) -> bytes | None:
        """The oldest whole frame that was not handed out, or a row of them; None: more bytes are needed."""
        return b"".join(self._ready.popleft()) if self._ready else None

    def last(self) -> bytes:
        """When the connection has ended: the GOAWAY that waited, once; then nothing."""
        farewell, self._farewell = self._farewell, b""
        return farewell

    def begin_again(self) -> None:
        """Another request follows."""
        self._stream += 2
        self._plain = bytes([_DATA, 0]) + self._stream.to_bytes(4)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return not self.spent and not self._torn and self.fault is None


def _number(four: bytes) -> int:
    return int.from_bytes(four) & 0x7FFF_FFFF  # the first bit means nothing
