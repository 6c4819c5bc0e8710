"""Content decoding, incremental and bounded: gzip and deflate that a server sends although told not to.

Knows zlib. Must not know: HTTP clients, frames (SAFETY R4, R17, S24).
"""

from __future__ import annotations

import zlib
from typing import Final

from streamnb.errors import LimitError, ProtocolError

PIECE_BYTES: Final = 1024 * 1024
MAX_RATIO: Final = 200


class Decoder:
    """Body bytes in, decoded bytes out, at every flush of the sender.

    Args:
        encoding: value of the Content-Encoding header, "" or "identity" for none.

    Raises:
        ProtocolError: an encoding this client did not ask for and cannot undo.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        self._name = name
        self._in = 0
        self._out = 0
        self._zlib: zlib._Decompress | None = None
        if name in {"gzip", "x-gzip"}:
            self._zlib = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif name == "deflate":
            self._zlib = zlib.decompressobj()
        elif name not in {"", "identity"}:
            raise ProtocolError(f"the server sent Content-Encoding {name!r} although identity was asked for.")

    def decode(self, data: bytes) -> bytes:
        """The next decoded bytes."""
        if self._zlib is None:
            return data
        self._in += len(data)
        pieces = []
        while data:
            try:
                piece = self._zlib.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolError(f"the {self._name} body is broken: {error}.") from error
            self._out += len(piece)
            if self._out > PIECE_BYTES and self._out > MAX_RATIO * self._in:
                raise LimitError(f"the {self._name} body inflates more than {MAX_RATIO}:1; it is not read further.")
            pieces.append(piece)
            data = self._zlib.unconsumed_tail
        return b"".join(pieces)

    def close(self) -> None:
        """Say that the body is over.

        Raises:
            ProtocolError: the compressed body was cut, although HTTP says that it is whole.
        """
        if self._zlib is not None and self._in and not self._zlib.eof:
            raise ProtocolError(f"the {self._name} body ends before its end mark.")
