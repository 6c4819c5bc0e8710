"""Content decoding, incremental and bounded: gzip and deflate that a server sends although told not to.

Knows zlib. Must not know: HTTP clients, frames (SAFETY R4, R17, S24).
"""

from __future__ import annotations

import zlib
from typing import Final

from streamnb.errors import LimitError, ProtocolError

PIECE_BYTES: Final = 1024 * 1024
MAX_RATIO: Final = 200

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_ZLIB_HEAD: Final = 8  # low half of its first byte (RFC 1950 2.2)


class Decoder:
    """Body bytes in, decoded bytes out, at every flush of the sender.

    Args:
        encoding: value of the Content-Encoding header, "" or "identity" for none.
    """

    def __init__(self, encoding: str) -> None:
        self._name = encoding.strip().lower()
        self._in = 0
        self._out = 0
        self._open: zlib._Decompress | None = None

    @property
    def active(self) -> bool:
        """False when the bytes are the body itself."""
        return self._name not in {"", "identity"}

    def decode(self, data: bytes) -> bytes:
        """The next decoded bytes.

        Raises:
            ProtocolError: an encoding this client did not ask for and cannot undo, or a broken body.
            LimitError: far more comes out than goes in.
        """
        if not self.active or not data:
            return data
        self._in += len(data)
        pieces = []
        while data:
            inflater = self._open or self._begin(data[0])
            try:
                pieces.append(inflater.decompress(data, PIECE_BYTES))
            except zlib.error as error:
                raise ProtocolError(f"the {self._name} body is broken ({error}); what arrived is kept.") from error
            self._count(len(pieces[-1]))
            # gzip data may be several members in a row (RFC 1952 2.2)
            data, self._open = (inflater.unused_data, None) if inflater.eof else (inflater.unconsumed_tail, inflater)
        return b"".join(pieces)

    def close(self) -> None:
        """Say that the body is over.

        Raises:
            ProtocolError: the compressed body was cut, although HTTP says that it is whole.
        """
        if self._open is not None:
            raise ProtocolError(f"the {self._name} body ends before its end mark; what arrived is kept. Run it again.")

    def _begin(self, first: int) -> zlib._Decompress:
        if self._name in _GZIP:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        if self._name == "deflate":  # some servers leave out the zlib wrapper (RFC 9110 8.4.1.2)
            return zlib.decompressobj(zlib.MAX_WBITS if first & 0x0F == _ZLIB_HEAD else -zlib.MAX_WBITS)
        raise ProtocolError(
            f"the server sent Content-Encoding {self._name!r} although identity was asked for; check the base URL."
        )

    def _count(self, n_bytes: int) -> None:
        self._out += n_bytes
        if self._out > PIECE_BYTES and self._out > MAX_RATIO * self._in:
            raise LimitError(f"the {self._name} body inflates more than {MAX_RATIO}:1; it is not read further.")
