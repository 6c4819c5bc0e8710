from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.transport import reply
from streamnb.transport.reply import HEAD_BYTES, H11Reply, Headers, HttptoolsReply, Reply, read_reply

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
THREE = OK + b"Content-Length: 3\r\n\r\n"
ABC = b"3\r\nabc\r\n"
END = b"0\r\n\r\n"
AGAIN = "again"
LAST = "last"
OPEN = "open"
CUT = "cut"
WRONG = "wrong"

Reader = Callable[[], Reply]
READERS: dict[str, Reader] = {
    "h11": lambda: H11Reply("GET", [(b"Host", b"x")], b"/"),
    "httptools": lambda: HttptoolsReply([(b"Host", b"x")]),
}


class Case(NamedTuple):
    """What a server sends and what it means.

    `ends`: `again` and `last`: over, and the connection may or may not be used again; `open`: over with the connection;
    `cut`: half of a reply; `wrong`: no HTTP.
    """

    wire: bytes
    body: bytes
    ends: str
    status: int = 200
    trailers: Headers = []  # noqa: RUF012  # nobody changes it


CASES = {
    "chunked": Case(CHUNKED + ABC + END, b"abc", AGAIN),
    "two chunks": Case(CHUNKED + ABC + b"A\r\n0123456789\r\n" + END, b"abc0123456789", AGAIN),
    "chunk extensions": Case(CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;x\r\n\r\n', b"abc", AGAIN),
    "leading zeros": Case(CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n", b"abc", AGAIN),
    "trailers": Case(
        CHUNKED + ABC + b"0\r\na: b\r\nc: d e\r\n\r\n", b"abc", AGAIN, 200, [(b"a", b"b"), (b"c", b"d e")]
    ),
    "no chunk": Case(CHUNKED + END, b"", AGAIN),
    "CHUNKED": Case(OK + b"Transfer-Encoding: CHUNKED\r\n\r\n" + ABC + END, b"abc", AGAIN),
    "length 0": Case(OK + b"Content-Length: 0\r\n\r\n", b"", AGAIN),
    "length": Case(THREE + b"abc", b"abc", AGAIN),
    "length with spaces": Case(OK + b"Content-Length:   3  \r\n\r\nabc", b"abc", AGAIN),
    "until close": Case(OK + b"\r\nabc", b"abc", OPEN),
    "until close, nothing": Case(OK + b"\r\n", b"", OPEN),
    "connection: close": Case(OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc", b"abc", LAST),
    "connection: a list": Case(OK + b"Connection: keep-alive, close\r\nContent-Length: 3\r\n\r\nabc", b"abc", LAST),
    "connection: keep-alive": Case(OK + b"Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN),
    "1.0": Case(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", LAST),
    "1.0 until close": Case(b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc", OPEN),
    "interim replies": Case(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        + CHUNKED
        + ABC
        + END,
        b"abc",
        AGAIN,
    ),
    "interim reply with a length": Case(b"HTTP/1.1 103 E\r\nContent-Length: 9\r\n\r\n" + THREE + b"abc", b"abc", AGAIN),
    "204": Case(b"HTTP/1.1 204 No Content\r\n\r\n", b"", AGAIN, 204),
    "204 with a length": Case(b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", b"", AGAIN, 204),
    "204 with a body": Case(b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", b"", LAST, 204),
    "205 with a body": Case(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN, 205),
    "304 with a length": Case(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", b"", AGAIN, 304),
    "no reason": Case(b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN),
    "a reason in Latin-1": Case(b"HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN),
    "an odd status": Case(b"HTTP/1.1 699 X\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN, 699),
    "odd values": Case(OK + b"A: \xe9\r\nB:\r\nC: \r\nA: 2\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN),
    "upgrade offered": Case(OK + b"Upgrade: h2\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nabc", b"abc", AGAIN),
    "bytes behind a chunked reply": Case(CHUNKED + ABC + END + b"x", b"abc", LAST),
    "bytes behind a length": Case(THREE + b"abcd", b"abc", LAST),
    "two replies": Case((THREE + b"abc") * 2, b"abc", LAST),
    "two chunked replies": Case((CHUNKED + ABC + END) * 2, b"abc", LAST),
    "a reply behind the close": Case(OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc" + THREE, b"abc", LAST),
    "an interim reply behind the end": Case(THREE + b"abcHTTP/1.1 100 Continue\r\n\r\n", b"abc", LAST),
    "half a reply behind the end": Case(CHUNKED + ABC + END + OK + b"Content-", b"abc", LAST),
    "a byte of a reply behind the end": Case(THREE + b"abcH", b"abc", LAST),
    "a reply without an end behind the end": Case(THREE + b"abc" + OK + b"\r\n", b"abc", LAST),
    "half a length": Case(THREE + b"ab", b"ab", CUT),
    "length and nothing": Case(THREE, b"", CUT),
    "half a chunk": Case(CHUNKED + b"3\r\nab", b"ab", CUT),
    "a chunk without the end mark": Case(CHUNKED + ABC, b"abc", CUT),
    "half an end mark": Case(CHUNKED + ABC + b"0\r\n", b"abc", CUT),
    "half a trailer": Case(CHUNKED + ABC + b"0\r\nA: b\r\n", b"abc", CUT),
    "half a head": Case(OK + b"Content-Le", b"", CUT, 0),
    "half a status line": Case(b"HTTP/1.", b"", CUT, 0),
    "only an interim reply": Case(b"HTTP/1.1 100 Continue\r\n\r\n", b"", CUT, 0),
    "nothing": Case(b"", b"", CUT, 0),
    "SSH": Case(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"", WRONG, 0),
    "TLS": Case(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", b"", WRONG, 0),
    "HTML": Case(b"<html></html>\r\n\r\n", b"", WRONG, 0),
    "HTTP/2": Case(b"HTTP/2 200 OK\r\n\r\n", b"", WRONG, 0),
    "status 99": Case(b"HTTP/1.1 99 X\r\n\r\n", b"", WRONG, 0),
    "status 000": Case(b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", b"", WRONG, 0),
    "status 1000": Case(b"HTTP/1.1 1000 X\r\n\r\n", b"", WRONG, 0),
    "101": Case(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", b"", WRONG, 0),
    "101 to nothing": Case(b"HTTP/1.1 101 Switching\r\n\r\nabc", b"", WRONG, 0),
    "space before the colon": Case(OK + b"Content-Length : 3\r\n\r\nabc", b"", WRONG, 0),
    "no name": Case(OK + b": 3\r\nContent-Length: 3\r\n\r\nabc", b"", WRONG, 0),
    "no colon": Case(OK + b"Content-Length 3\r\n\r\nabc", b"", WRONG, 0),
    "CR in a value": Case(OK + b"A: b\rContent-Length: 1\r\nContent-Length: 3\r\n\r\nabc", b"", WRONG, 0),
    "NUL in a value": Case(OK + b"A: b\0c\r\nContent-Length: 3\r\n\r\nabc", b"", WRONG, 0),
    "two lengths": Case(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"", WRONG, 0),
    "a list of two lengths": Case(OK + b"Content-Length: 3, 4\r\n\r\nabcd", b"", WRONG, 0),
    "length -3": Case(OK + b"Content-Length: -3\r\n\r\nabc", b"", WRONG, 0),
    "length +3": Case(OK + b"Content-Length: +3\r\n\r\nabc", b"", WRONG, 0),
    "length 3 4": Case(OK + b"Content-Length: 3 4\r\n\r\nabc", b"", WRONG, 0),
    "length without a number": Case(OK + b"Content-Length: \r\n\r\nabc", b"", WRONG, 0),
    "an endless length": Case(OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc", b"", WRONG, 0),
    "coded gzip": Case(OK + b"Transfer-Encoding: gzip\r\n\r\nabc", b"", WRONG, 0),
    "coded gzip, chunked": Case(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + ABC + END, b"", WRONG, 0),
    "coded chunked, gzip": Case(OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + ABC + END, b"", WRONG, 0),
    "coded identity": Case(OK + b"Transfer-Encoding: identity\r\n\r\nabc", b"", WRONG, 0),
    "chunked twice": Case(OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + ABC + END, b"", WRONG, 0),
    "a bad size": Case(CHUNKED + ABC + b"zz\r\nab\r\n", b"abc", WRONG),
    "a bad first size": Case(CHUNKED + b"zz\r\nab\r\n", b"", WRONG),
    "size -3": Case(CHUNKED + b"-3\r\nabc\r\n", b"", WRONG),
    "size 0x3": Case(CHUNKED + b"0x3\r\nabc\r\n", b"", WRONG),
    "a chunk longer than its size": Case(CHUNKED + b"3\r\nabcd\r\n" + END, b"abc", WRONG),
    "a trailer without a colon": Case(CHUNKED + ABC + b"0\r\nbad line\r\n\r\n", b"abc", WRONG),
}

STRICTER = {  # httptools refuses what h11 reads, each a way to make two readers see two replies
    "both framings": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + ABC + END,
    "both framings, the other way": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + ABC + END,
    "the same length twice": OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": OK + b"Content-Length: 3, 3\r\n\r\nabc",
    "a folded header": OK + b"A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "space behind a size": CHUNKED + b"3 \r\nabc\r\n" + END,
    "an interim reply that closes": b"HTTP/1.1 103 E\r\nConnection: close\r\n\r\n" + THREE + b"abc",
}


class Seen(NamedTuple):
    status: int
    reason: bytes
    version: bytes
    headers: Headers
    trailers: Headers
    body: bytes
    headed: bool
    done: bool
    reusable: bool
    wrong: bool


def fed(reader: Reader, pieces: Iterable[bytes], *, eof: bool = False) -> tuple[Reply, bytes]:
    """What a flight does: it stops at the first error."""
    one, body = reader(), b""
    for piece in pieces:
        body += one.feed(piece)
        if one.error is not None:
            return one, body
    if eof:
        one.eof()
    return one, body


def seen(one: Reply, body: bytes) -> Seen:
    """All that a reader says, names of headers in lower case; of a head that is no HTTP nothing counts."""
    if not one.headed:
        assert (one.status, body, one.done, one.reusable) == (0, b"", False, False)
        return Seen(0, b"", b"", [], [], b"", False, False, False, one.error is not None)  # noqa: FBT003
    return Seen(
        one.status, one.reason, one.version, lower(one.headers), lower(one.trailers), body,
        one.headed, one.done, one.reusable, one.error is not None,
    )  # fmt: skip


def lower(headers: Headers) -> Headers:
    """H11 writes `chunked` small, too."""
    return [(name.lower(), value.lower() if value.lower() == b"chunked" else value) for name, value in headers]


def cuts(wire: bytes) -> list[list[bytes]]:
    """Whole, at every cut, byte by byte."""
    halves = [[wire[:at], wire[at:]] for at in range(1, len(wire))]
    return [[wire] if wire else [], *halves, [wire[at : at + 1] for at in range(len(wire))]]


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_reply_means_the_same_however_it_is_cut(case: Case, reader: Reader):
    for pieces in cuts(case.wire):
        one, body = fed(reader, pieces)
        got = seen(one, body)
        assert (got.status, got.body, got.trailers) == (case.status, case.body, case.trailers)
        ends = case.ends
        assert (got.done, got.reusable, got.wrong) == (ends in {AGAIN, LAST}, ends == AGAIN, ends == WRONG)
        if ends != WRONG:
            one.eof()
            assert (one.done, one.reusable, one.error is None) == (ends != CUT, False, ends != CUT)


@pytest.mark.parametrize("eof", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_readers_say_the_same_of_every_reply_at_every_cut(case: Case, eof: bool):
    for pieces in cuts(case.wire):
        first, second = (seen(*fed(reader, pieces, eof=eof)) for reader in READERS.values())
        assert first == second


@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 200), max_size=6), st.booleans())
def test_both_readers_say_the_same_of_random_pieces(name: str, at: list[int], eof: bool):
    wire = CASES[name].wire
    marks = [0, *sorted(min(one, len(wire)) for one in at), len(wire)]
    pieces = [wire[a:b] for a, b in itertools.pairwise(marks) if b > a]
    first, second = (seen(*fed(reader, pieces, eof=eof)) for reader in READERS.values())
    assert first == second


@given(st.sampled_from(sorted(CASES)), st.integers(0, 200), st.integers(0, 255))
def test_a_reply_with_one_byte_changed_never_has_two_bodies(name: str, at: int, byte: int):
    """What either of them refuses may be read by the other; where both read it they read the same."""
    wire = bytearray(CASES[name].wire)
    if wire:
        wire[at % len(wire)] = byte
    first, second = (seen(*fed(reader, [bytes(wire)], eof=True)) for reader in READERS.values())
    if not (first.wrong or second.wrong):
        assert (first.status, first.body, first.done) == (second.status, second.body, second.done)


@pytest.mark.parametrize("wire", STRICTER.values(), ids=STRICTER)
def test_what_two_readers_could_take_for_two_replies_httptools_refuses_at_every_cut(wire: bytes):
    for pieces in cuts(wire):
        one, body = fed(READERS["httptools"], pieces)
        assert one.error
        assert (one.done, one.reusable, body) == (False, False, b"")
        one, body = fed(READERS["h11"], pieces)
        assert (one.error, one.done, body) == (None, True, b"abc")


def test_a_1_0_server_that_keeps_the_connection_is_believed_by_httptools_only():
    wire = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"
    found = {name: fed(reader, [wire])[0] for name, reader in READERS.items()}
    assert {name: (one.done, one.reusable) for name, one in found.items()} == {
        "h11": (True, False),
        "httptools": (True, True),
    }


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_the_head_is_kept_as_it_was_sent(reader: Reader):
    one, _ = fed(reader, [OK + b"X-A:  1 \t\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"])
    assert one.headers == [(b"X-A", b"1"), (b"x-a", b"2"), (b"Content-Length", b"0")]
    assert (one.version, one.reason) == (b"HTTP/1.1", b"OK")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_headers_of_interim_replies_are_not_the_replys(reader: Reader):
    one, _ = fed(reader, [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", THREE])
    assert (lower(one.headers), one.reason) == ([(b"content-length", b"3")], b"OK")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_comes_behind_a_whole_reply_is_no_body_and_makes_the_connection_useless(reader: Reader):
    one, body = fed(reader, [THREE + b"abc"])
    assert (body, one.reusable) == (b"abc", True)
    assert one.feed(THREE + b"def") == b""
    assert (one.status, one.done, one.reusable, one.error) == (200, True, False, None)


LONG = b"X: " + b"x" * 2 * HEAD_BYTES
MANY = b"X: 0123456789\r\n" * 16_000
WHOLE = {
    "a head": OK + LONG + b"\r\nContent-Length: 0\r\n\r\n",
    "many headers": OK + MANY + b"\r\n",
    "an interim head": b"HTTP/1.1 103 E\r\n" + LONG + b"\r\n\r\n" + THREE + b"abc",
}
HALVES = {
    "half a head": OK + LONG,
    "half of many headers": OK + MANY,
    "half a status line": b"HTTP/1.1 200 " + LONG,
    "half an interim head": b"HTTP/1.1 103 E\r\n" + LONG,
    "a chunk extension": CHUNKED + b"3;" + LONG,
    "a chunk's size": CHUNKED + ABC + b"0" * 2 * HEAD_BYTES,
    "a trailer": CHUNKED + ABC + b"0\r\n" + LONG,
    "many trailers": CHUNKED + ABC + b"0\r\n" + MANY,
}


@pytest.mark.parametrize("size", [1000, 65536])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("name", [*WHOLE, *HALVES])
def test_what_is_longer_than_a_head_may_be_is_an_error(name: str, reader: Reader, size: int):
    wire = (WHOLE | HALVES)[name]
    one, body = fed(reader, [wire[at : at + size] for at in range(0, len(wire), size)])
    assert one.error
    assert (one.done, body) == (False, b"abc" if ABC in wire else b"")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("wire", WHOLE.values(), ids=WHOLE)
def test_a_head_is_too_long_also_when_one_read_brings_all_of_it(wire: bytes, reader: Reader):
    one, body = fed(reader, [wire])
    assert str(one.error).endswith(f"longer than {HEAD_BYTES} bytes")
    assert (one.headed, body) == (False, b"")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_long_body_and_many_chunks_are_no_long_head(reader: Reader):
    wire = CHUNKED + b"%x\r\n%b\r\n" % (3 * HEAD_BYTES, b"x" * 3 * HEAD_BYTES) + ABC * 40_000 + END
    one, body = fed(reader, [wire[at : at + 1000] for at in range(0, len(wire), 1000)])
    assert (one.error, one.done, len(body)) == (None, True, 3 * HEAD_BYTES + 120_000)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_each_way_to_end_too_early_says_how(reader: Reader):
    said = [fed(reader, wire, eof=True)[0].error for wire in ([], [THREE + b"a"], [CHUNKED + b"3\r\na"])]
    cut = "peer closed connection without sending complete message body"
    assert said == [
        "Server disconnected without sending a response.",
        f"{cut} (received 1 bytes, expected 3)",
        f"{cut} (incomplete chunked read)",
    ]


def test_httptools_says_what_it_found_and_shows_what_does_not_begin_like_http():
    one, _ = fed(READERS["httptools"], [b"SSH-2.0\r\nand more"])
    assert str(one.error).startswith("illegal head (")
    assert str(one.error).endswith(r"): bytearray(b'SSH-2.0\r')")
    for half in ([b"SSH-2.0"], [b"HTTP/1.", b"x SSH-2.0\r\n"]):  # half a line may hold half a key
        one, _ = fed(READERS["httptools"], half)
        assert str(one.error).startswith("illegal head (")
        assert "bytearray" not in str(one.error)
    one, _ = fed(READERS["httptools"], [CHUNKED + b"zz\r\n"])
    assert str(one.error).startswith("illegal body: Invalid character in chunk size")
    one, _ = fed(READERS["httptools"], [CASES["101"].wire])
    assert one.error == "the server switched protocols, which nobody asked for"


# -- which reader


def test_httptools_reads_where_it_is_installed_and_h11_where_it_is_not(monkeypatch: pytest.MonkeyPatch):
    assert isinstance(read_reply("POST", [], b"/"), HttptoolsReply)
    monkeypatch.setattr(reply, "httptools", None)
    assert isinstance(read_reply("POST", [], b"/"), H11Reply)


@pytest.mark.parametrize("head", [THREE, CHUNKED, OK + b"\r\n"])
def test_a_reply_to_head_has_no_body_whatever_its_head_says(head: bytes):
    for pieces in cuts(head):
        one, body = fed(lambda: read_reply("HEAD", [], b"/"), pieces)
        assert (one.status, one.done, one.reusable, body) == (200, True, True, b"")


def test_a_body_behind_a_reply_to_head_is_not_taken_for_the_next_reply():
    one, body = fed(lambda: read_reply("HEAD", [], b"/"), [THREE + b"abc"])
    assert (one.done, one.reusable, body) == (True, False, b"")


@pytest.mark.parametrize("installed", [True, False], ids=["httptools", "h11"])
@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close"])
def test_a_request_that_says_close_is_the_last_of_its_connection(
    value: bytes, installed: bool, monkeypatch: pytest.MonkeyPatch
):
    if not installed:
        monkeypatch.setattr(reply, "httptools", None)
    one, body = fed(lambda: read_reply("GET", [(b"Connection", value)], b"/"), [THREE + b"abc"])
    assert (one.done, one.reusable, body) == (True, False, b"abc")


@pytest.mark.parametrize("headers", [[], [(b"Host", b"a"), (b"Host", b"b")], [(b"X", b" odd ")], [(b"TE", b"x")]])
def test_h11_does_not_judge_the_request(headers: Headers):
    one, body = fed(lambda: H11Reply("GET", headers, b"/"), [THREE + b"abc"])
    assert (one.error, body) == (None, b"abc")


def test_without_httptools_the_module_is_there_and_h11_reads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "httptools", None)
    source = Path(reply.__file__)
    spec = importlib.util.spec_from_file_location("reply_alone", source)
    assert spec is not None
    assert spec.loader is not None
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert type(alone.read_reply("GET", [], b"/")).__name__ == "H11Reply"
