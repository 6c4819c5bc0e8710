from __future__ import annotations

import asyncio
import contextlib
import itertools
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest
from fault_server import certified, trusting, until

from streamnb.transport.link import BUFFER_BYTES, Link
from streamnb.transport.stamps import KernelClock

MIB = 1024 * 1024


class Peer:
    """The other end, driven by the test: plain, or a TLS server whose records the test holds in its hands."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)  # noqa: FBT003 - it has no name
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None
        self.left = False

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def hear(self, size: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, size)

    async def shake(self, context: ssl.SSLContext) -> None:
        self.tls = context.wrap_bio(self._in, self._out, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.say(self._out.read())
                self._in.write(await self.hear())
            else:
                break
        await self.say(self._out.read())

    def records(self, *data: bytes) -> bytes:
        """One TLS record each."""
        assert self.tls is not None
        for one in data:
            self.tls.write(one)
        return self._out.read()

    def goodbye(self) -> bytes:
        assert self.tls is not None
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._out.read()

    async def read(self) -> bytes:
        """What the client said under TLS."""
        assert self.tls is not None
        self._in.write(await self.hear())
        got = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.tls.read(65536):
                got += part
            self.left = True
        return got

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Ears:
    """What a link tells."""

    def __init__(self, link: Link) -> None:
        self.reads: list[bytes] = []
        self.stamps: list[tuple[int, int | None]] = []
        self.ends: list[OSError | None] = []
        link.on_bytes, link.on_end = self.on_bytes, self.ends.append

    def on_bytes(self, data: bytes, t_ns: int, kernel_ns: int | None) -> None:
        self.reads.append(data)
        self.stamps.append((t_ns, kernel_ns))

    @property
    def data(self) -> bytes:
        return b"".join(self.reads)


@pytest.fixture(params=[True, False], ids=["stamped", "plain"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Link, Peer]]:
    """A link and its other end, with the kernel's stamps and without."""
    clock = KernelClock() if request.param else None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        peer = Peer(listener.accept()[0])
    sock.setblocking(False)  # noqa: FBT003 - it has no name
    link = Link(sock, clock)
    yield link, peer
    link.close()
    peer.sock.close()
    if clock is not None:
        clock.close()


@pytest.fixture
async def secured(pair: tuple[Link, Peer]) -> tuple[Link, Peer]:
    link, peer = pair
    await asyncio.gather(link.secure(trusting(), "127.0.0.1"), peer.shake(certified()))
    return link, peer


@pytest.fixture(params=["http", "https"])
async def either(request: pytest.FixtureRequest, pair: tuple[Link, Peer]) -> tuple[Link, Peer]:
    link, peer = pair
    if request.param == "https":
        await asyncio.gather(link.secure(trusting(), "127.0.0.1"), peer.shake(certified()))
    return link, peer


def wrapped(peer: Peer, *data: bytes) -> bytes:
    return peer.records(*data) if peer.tls else b"".join(data)


# -- receiving


async def test_each_read_is_heard_with_both_stamps(either: tuple[Link, Peer]):
    link, peer = either
    ears = Ears(link)
    for n in range(1, 4):
        before = time.monotonic_ns()
        await peer.say(wrapped(peer, b"piece"))
        await until(lambda n=n: len(ears.reads) == n)
        t_ns, kernel_ns = ears.stamps[-1]
        assert before <= t_ns <= time.monotonic_ns()
        if link._clock is None or sys.platform != "linux":
            assert kernel_ns is None
        else:
            assert kernel_ns is not None
            assert before - link._clock.error_ns <= kernel_ns <= t_ns
    assert ears.reads == [b"piece"] * 3


async def test_a_read_holds_at_most_the_buffer_and_nothing_is_lost(pair: tuple[Link, Peer]):
    link, peer = pair
    ears = Ears(link)
    data = bytes(range(256)) * 20_000
    await peer.say(data)
    await until(lambda: len(ears.data) == len(data))
    assert ears.data == data
    assert max(map(len, ears.reads)) <= BUFFER_BYTES


async def test_what_comes_while_it_is_paused_waits_in_the_socket(either: tuple[Link, Peer]):
    link, peer = either
    ears = Ears(link)
    link.pause()
    await peer.say(wrapped(peer, b"later"))
    assert select.select([link.get_extra_info("socket")], [], [], 10)[0]
    await asyncio.sleep(0)
    assert ears.reads == []
    link.resume()
    await until(lambda: ears.reads)
    assert ears.reads == [b"later"]


async def test_nobody_needs_to_listen(pair: tuple[Link, Peer]):
    link, peer = pair
    await peer.say(b"x")
    peer.sock.close()
    await until(lambda: link.closed)


async def test_an_end_is_told_once(pair: tuple[Link, Peer]):
    link, peer = pair
    ears = Ears(link)
    peer.sock.close()
    await until(lambda: ears.ends)
    link.close()
    link._lost(None)
    link.resume()
    assert (ears.ends, link.closed) == ([None], True)


async def test_a_reset_is_told_with_its_error_and_behind_what_came(either: tuple[Link, Peer]):
    link, peer = either
    ears = Ears(link)
    await peer.say(wrapped(peer, b"last words"))
    await until(lambda: ears.reads)
    peer.reset()
    await until(lambda: ears.ends)
    assert ears.reads == [b"last words"]
    assert isinstance(ears.ends[0], ConnectionResetError)


async def test_waking_up_for_nothing_is_nothing(pair: tuple[Link, Peer]):
    link, _ = pair
    ears = Ears(link)
    link._readable()
    assert (ears.reads, ears.ends, link.closed) == ([], [], False)


# -- sending


@pytest.mark.parametrize("size", [1, 100_000, 8 * MIB])
async def test_what_is_sent_arrives_whole_also_at_a_slow_reader(size: int, pair: tuple[Link, Peer]):
    link, peer = pair
    data = bytes(range(251)) * (size // 251 + 1)
    sending = asyncio.create_task(link.send(data))
    got = b""
    while len(got) < len(data):
        got += await peer.hear(300_000)
    await sending
    assert got == data


async def test_under_tls_large_pieces_arrive_whole_too(secured: tuple[Link, Peer]):
    link, peer = secured
    data = bytes(range(251)) * 20_000
    sending = asyncio.create_task(link.send(data))
    got = b""
    while len(got) < len(data):
        got += await peer.read()
    await sending
    assert got == data


async def test_what_is_said_while_something_is_unsent_goes_out_behind_it(pair: tuple[Link, Peer]):
    link, peer = pair
    task = await stuck(link, 8 * MIB)
    link._push(b"the end")
    got = b""
    while len(got) < 8 * MIB + 7:
        got += await peer.hear(300_000)
    await task
    assert got.lstrip(b"\0") == b"the end"


async def stuck(link: Link, size: int = 64 * MIB) -> asyncio.Task[None]:
    """A sending that waits for a peer who does not read."""
    task = asyncio.create_task(link.send(bytes(size)))
    await until(lambda: link._drained is not None)
    left = -1
    while left != len(link._unsent):  # until the kernel takes no more; then the loop may say so for nothing
        left = len(link._unsent)
        link._writable()
    assert not task.done()
    return task


async def test_who_waits_for_the_peer_to_take_it_goes_on_when_it_is_given_up(either: tuple[Link, Peer]):
    link, _ = either
    task = await stuck(link)
    link.give_up_sending()
    await task
    assert not link.closed
    link.give_up_sending()
    assert not link._unsent


async def test_who_waits_for_the_peer_hears_that_it_was_closed(either: tuple[Link, Peer]):
    link, _ = either
    task = await stuck(link)
    link.close()
    with pytest.raises(ConnectionResetError, match="closed"):
        await task


async def test_a_cancelled_sender_leaves_nothing_behind(pair: tuple[Link, Peer]):
    link, _ = pair
    task = await stuck(link)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert link._drained is None
    link.give_up_sending()


async def test_who_was_woken_twice_was_woken(pair: tuple[Link, Peer]):
    link, _ = pair
    task = await stuck(link)
    link.give_up_sending()
    link.close()  # before the sender had its turn
    with pytest.raises(ConnectionResetError):
        await task


async def test_nobody_can_send_on_a_closed_link(either: tuple[Link, Peer]):
    link, _ = either
    link.close()
    link.close()
    with pytest.raises(ConnectionResetError, match="closed"):
        await link.send(b"x")


async def test_what_the_peer_said_before_it_broke_is_heard_although_the_sending_noticed_first(pair: tuple[Link, Peer]):
    link, peer = pair
    ears = Ears(link)
    link.pause()
    task = await stuck(link)
    await peer.say(b"enough")
    peer.reset()
    await until(lambda: ears.ends)
    assert ears.reads == [b"enough"]
    assert isinstance(ears.ends[0], (ConnectionResetError, BrokenPipeError))
    with pytest.raises(ConnectionResetError):
        await task


async def test_a_send_to_who_has_gone_is_an_error_and_the_reading_side_tells_the_end(pair: tuple[Link, Peer]):
    link, peer = pair
    ears = Ears(link)
    link.pause()
    peer.reset()
    select.select([link.get_extra_info("socket")], [], [], 10)
    with pytest.raises(ConnectionError):
        await link.send(b"x")
    assert not link.closed
    link.resume()
    await until(lambda: ears.ends)


# -- TLS


@pytest.mark.parametrize("size", [1, 2, 5, 6, 20, 10_000])
async def test_tls_records_may_be_split_anywhere(size: int, secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    wire = peer.records(b"one", b"two" * 3000, b"three")
    cuts = [*range(0, 100, size), *range(max(100, len(wire) - 100), len(wire), size), len(wire)]
    for start, end in itertools.pairwise(cuts):
        link._heard(wire[start:end], 0, None)
    assert ears.data == b"one" + b"two" * 3000 + b"three"
    assert b"" not in ears.reads


async def test_records_of_one_read_are_one_piece(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    await peer.say(peer.records(b"one ", b"two ", b"x" * 16384))
    await until(lambda: ears.reads)
    assert ears.reads == [b"one two " + b"x" * 16384]


async def test_a_goodbye_is_the_end_behind_what_came_with_it(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    await peer.say(peer.records(b"last") + peer.goodbye())
    await until(lambda: ears.ends)
    assert (ears.reads, ears.ends, link.closed) == ([b"last"], [None], True)


async def test_nothing_behind_a_goodbye_is_read(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    link._heard(peer.records(b"last") + peer.goodbye() + b"\x17\x03\x03behind" * 5000, 0, None)
    assert (ears.reads, ears.ends, link.closed) == ([b"last"], [None], True)


async def test_an_end_without_a_goodbye_is_an_end(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    await peer.say(peer.records(b"last"))
    peer.sock.shutdown(socket.SHUT_WR)
    await until(lambda: ears.ends)
    assert (ears.reads, ears.ends) == ([b"last"], [None])


async def test_a_bad_record_is_an_error(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    bad = bytearray(peer.records(b"bad"))
    bad[-1] ^= 1
    await peer.say(bytes(bad))
    await until(lambda: ears.ends)
    assert ears.reads == []
    assert isinstance(ears.ends[0], ssl.SSLError)


async def test_good_data_before_a_bad_record_of_the_same_read_is_handed_over(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    good = peer.records(b"good")
    bad = bytearray(peer.records(b"bad"))
    bad[-1] ^= 1
    await peer.say(good + bad)
    await until(lambda: ears.ends)
    assert ears.reads == [b"good"]
    assert isinstance(ears.ends[0], ssl.SSLError)


async def test_plain_text_on_a_secured_link_is_an_error(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
    await until(lambda: ears.ends)
    assert ears.reads == []
    assert isinstance(ears.ends[0], ssl.SSLError)


async def test_who_closes_says_goodbye(secured: tuple[Link, Peer]):
    link, peer = secured
    link.close()
    assert await peer.read() == b""
    assert peer.left


async def test_who_closes_with_something_unsent_does_not_wait_to_say_goodbye(secured: tuple[Link, Peer]):
    link, _ = secured
    task = await stuck(link)
    start = time.monotonic()
    link.close()
    assert time.monotonic() - start < 1
    with pytest.raises(ConnectionResetError):
        await task


async def test_a_goodbye_to_who_has_gone_is_no_error(secured: tuple[Link, Peer]):
    link, peer = secured
    link.pause()
    peer.reset()
    select.select([link.get_extra_info("socket")], [], [], 10)
    link.close()
    assert link.closed


async def test_a_listener_may_close_the_link_under_its_own_bytes(secured: tuple[Link, Peer]):
    link, peer = secured
    ears = Ears(link)
    link.on_bytes = lambda *_: link.close()
    await peer.say(peer.records(b"last") + peer.goodbye())
    await until(lambda: link.closed)
    assert ears.ends == []


# -- the handshake


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_handshake_may_come_in_pieces(size: int, pair: tuple[Link, Peer]):
    link, peer = pair
    whole = peer.say

    async def in_pieces(data: bytes) -> None:
        for at in range(0, len(data), size):
            await whole(data[at : at + size])
            await asyncio.sleep(0)

    peer.say = in_pieces  # type: ignore[method-assign]
    await asyncio.gather(link.secure(trusting(), "127.0.0.1"), peer.shake(certified()))
    await link.send(b"hello")
    assert await peer.read() == b"hello"


async def test_a_certificate_nobody_trusts_ends_it_and_the_server_is_told(pair: tuple[Link, Peer]):
    link, peer = pair
    shaking = asyncio.create_task(peer.shake(certified()))
    with pytest.raises(ssl.SSLCertVerificationError):
        await link.secure(ssl.create_default_context(), "127.0.0.1")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        await shaking


async def test_what_does_not_speak_tls_ends_it(pair: tuple[Link, Peer]):
    link, peer = pair
    await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await link.secure(trusting(), "127.0.0.1")


@pytest.mark.parametrize("end", [lambda peer: peer.sock.close(), Peer.reset], ids=["close", "reset"])
async def test_an_end_in_the_handshake_is_an_error(end: Callable[[Peer], None], pair: tuple[Link, Peer]):
    link, peer = pair
    shaking = asyncio.create_task(link.secure(trusting(), "127.0.0.1"))
    await peer.hear()
    end(peer)
    with pytest.raises(ConnectionResetError):
        await shaking
    assert link.closed


async def test_a_peer_that_is_gone_before_the_handshake_is_an_error(pair: tuple[Link, Peer]):
    link, peer = pair
    link.pause()
    peer.reset()
    select.select([link.get_extra_info("socket")], [], [], 10)
    link.resume()
    with pytest.raises(ConnectionError):
        await link.secure(trusting(), "127.0.0.1")


async def test_of_two_ends_in_one_turn_the_first_is_told(pair: tuple[Link, Peer]):
    link, _ = pair
    shaking = asyncio.create_task(link.secure(trusting(), "127.0.0.1"))
    await asyncio.sleep(0)
    link.on_bytes(b"no TLS at all", 0, None)
    link.on_end(None)
    with pytest.raises(ssl.SSLError):
        await shaking


async def test_a_handshake_that_ends_after_it_was_cancelled_is_forgotten(pair: tuple[Link, Peer]):
    link, peer = pair
    shaking = asyncio.create_task(link.secure(trusting(), "127.0.0.1"))
    other = asyncio.create_task(peer.shake(certified()))
    await asyncio.sleep(0)
    link.pause()
    await until(lambda: select.select([link.get_extra_info("socket")], [], [], 0)[0])
    shaking.cancel()
    step = link.on_bytes
    link._readable()  # the loop found the last flight in the same turn
    assert link.on_bytes is step
    step(b"what comes behind it", 0, None)
    with pytest.raises(asyncio.CancelledError):
        await shaking
    assert link._tls is None
    link.close()
    peer.sock.close()
    other.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await other


# -- whether it may be used again


async def test_a_link_is_quiet_until_something_comes(either: tuple[Link, Peer]):
    link, peer = either
    await asyncio.sleep(0)
    await until(link.is_quiet)
    link.pause()
    await peer.say(wrapped(peer, b"x"))
    select.select([link.get_extra_info("socket")], [], [], 10)
    assert not link.is_quiet()


async def test_a_link_whose_peer_has_gone_is_not_quiet(pair: tuple[Link, Peer]):
    link, peer = pair
    link.pause()
    peer.sock.close()
    select.select([link.get_extra_info("socket")], [], [], 10)
    assert not link.is_quiet()


async def test_a_link_that_was_reset_is_not_quiet(pair: tuple[Link, Peer]):
    link, peer = pair
    link.pause()
    peer.reset()
    select.select([link.get_extra_info("socket")], [], [], 10)
    assert not link.is_quiet()


async def test_a_closed_link_is_not_quiet(pair: tuple[Link, Peer]):
    link, _ = pair
    link.close()
    assert not link.is_quiet()


async def test_what_httpx_asks_a_connection_for(either: tuple[Link, Peer]):
    link, peer = either
    assert link.get_extra_info("server_addr") == peer.sock.getsockname()
    assert link.get_extra_info("client_addr") == peer.sock.getpeername()
    assert link.get_extra_info("socket").fileno() > 0
    assert (link.get_extra_info("ssl_object") is not None) is (peer.tls is not None)
    if peer.tls is not None:
        assert link.get_extra_info("ssl_object").version().startswith("TLSv1.")
    assert link.get_extra_info("something else") is None
    link.close()
    assert link.get_extra_info("server_addr") is None
    assert link.get_extra_info("client_addr") is None
