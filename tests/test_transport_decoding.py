from __future__ import annotations

import gzip
import zlib

import pytest

from streamnb.errors import LimitError, ProtocolError
from streamnb.transport.decoding import MAX_RATIO, PIECE_BYTES, Decoder

TEXT = b"".join(b"data: token %d\n\n" % number for number in range(200))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


BODIES = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    " GZIP ": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "identity": TEXT,
    "": TEXT,
}


@pytest.mark.parametrize("encoding", BODIES)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_body_decodes_however_it_is_cut(encoding: str, step: int):
    decoder, body = Decoder(encoding), BODIES[encoding]
    assert b"".join(decoder.decode(body[at : at + step]) for at in range(0, len(body), step)) == TEXT
    decoder.close()


def test_deflate_without_its_wrapper_is_understood():
    decoder, body = Decoder("deflate"), raw_deflate(TEXT)
    assert b"".join(decoder.decode(body[at : at + 1]) for at in range(len(body))) == TEXT
    decoder.close()


def test_several_gzip_members_in_a_row_are_one_body():
    body = gzip.compress(b"one ") + gzip.compress(b"two ") + gzip.compress(b"three")
    for cut in range(len(body)):
        decoder = Decoder("gzip")
        assert decoder.decode(body[:cut]) + decoder.decode(body[cut:]) == b"one two three"
        decoder.close()


def test_what_the_sender_flushed_comes_out_at_once():
    packer, decoder = zlib.compressobj(wbits=16 + zlib.MAX_WBITS), Decoder("gzip")
    for token in (b"data: a\n\n", b"data: b\n\n"):
        assert decoder.decode(packer.compress(token) + packer.flush(zlib.Z_SYNC_FLUSH)) == token


@pytest.mark.parametrize("missing", [1, 8, 40])
def test_a_cut_body_is_named_although_http_calls_it_whole(missing: int):
    decoder = Decoder("gzip")
    decoder.decode(BODIES["gzip"][:-missing])
    with pytest.raises(ProtocolError, match="gzip body ends before its end mark"):
        decoder.close()


def test_an_empty_body_is_no_cut_body():
    decoder = Decoder("gzip")
    assert decoder.decode(b"") == b""
    decoder.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_broken_body_is_named(encoding: str):
    with pytest.raises(ProtocolError, match=f"the {encoding} body is broken"):
        Decoder(encoding).decode(b"\x78\x9cthis is not packed at all")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_encoding_that_was_not_asked_for_is_refused_with_its_first_byte(encoding: str):
    decoder = Decoder(encoding)  # not earlier: status and headers are recorded first
    with pytest.raises(ProtocolError, match=f"Content-Encoding '{encoding}' although identity was asked for"):
        decoder.decode(b"x")


def test_a_bomb_is_refused_before_it_fills_the_memory():
    bomb = gzip.compress(bytes(64 * PIECE_BYTES), 9)
    decoder, sizes = Decoder("gzip"), []

    def explode() -> None:
        sizes.extend(len(decoder.decode(bomb[at : at + 4096])) for at in range(0, len(bomb), 4096))

    with pytest.raises(LimitError, match=f"inflates more than {MAX_RATIO}:1"):
        explode()
    assert sum(sizes) <= 4 * PIECE_BYTES


def test_a_small_body_may_be_packed_as_tight_as_it_likes():
    decoder = Decoder("gzip")
    assert decoder.decode(gzip.compress(bytes(PIECE_BYTES), 9)) == bytes(PIECE_BYTES)
    decoder.close()
