from __future__ import annotations

import asyncio
import gc
import select
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable

import httpx
import pytest
from fault_server import END, chunk, head, until

from streamnb.transport.flight import HIGH_WATER_BYTES, Flight
from streamnb.transport.link import Link
from streamnb.transport.reads import Read, Timings
from streamnb.transport.reply import HttptoolsReply

ASK = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024
REFUSAL = head("text/plain", "413 Content Too Large", Content_Length="7") + b"too big"


class Field:
    """A link, its other end in the hands of the test, and what the flights on it come to."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.sock = socket.create_connection(listener.getsockname())
            self.peer, _ = listener.accept()
        self.sock.setblocking(False)  # noqa: FBT003 - it has no name
        self.peer.setblocking(False)  # noqa: FBT003
        self.link = Link(self.sock, None)
        self.landed: list[bool] = []
        self.timings = Timings()

    def flight(self, silence_s: float | None = None) -> Flight:
        def fault(kind: str, message: str) -> Exception:
            error: Exception = getattr(httpx, kind)(message)
            return error

        def landed(reusable: bool) -> None:
            self.landed.append(reusable)
            if not reusable:
                self.link.close()

        return Flight(self.link, HttptoolsReply([]), self.timings, fault=fault, landed=landed, silence_s=silence_s)

    async def say(self, *data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.peer, b"".join(data))

    async def hear(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            data = await asyncio.get_running_loop().sock_recv(self.peer, 300_000)
            assert data, "the client has gone"
            got += data
        return got

    def arrived(self) -> None:
        """Something is in the client's socket; its loop has not looked yet."""
        assert select.select([self.sock], [], [], 10)[0]

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()


@pytest.fixture
async def field() -> AsyncIterator[Field]:
    field = Field()
    yield field
    field.link.close()
    field.peer.close()


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def flying(field: Field, *reply: bytes, silence_s: float | None = None) -> Flight:
    """A flight whose request is out and whose reply begins with this."""
    flight = field.flight(silence_s)
    await flight.send(ASK, parts(), chunked=False)
    await field.hear(len(ASK))
    await field.say(head(), *reply)
    await flight.head()
    return flight


async def collected(flight: Flight) -> list[Read]:
    return [read async for read in flight]


def body(reads: Iterable[Read]) -> bytes:
    return b"".join(read.data for read in reads)


class Basket:
    """A taker."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.wire = 0

    def __call__(self, t_ns: int, k_ns: int | None, wire_bytes: int, data: bytes) -> None:
        assert t_ns
        assert k_ns is None
        self.data.append(data)
        self.wire += wire_bytes


# -- out


@pytest.mark.parametrize("pieces", [(), (b"",), (b"one",), (b"one", b"", b"two" * 50_000)])
async def test_a_body_goes_out_as_it_is_or_in_chunks(pieces: tuple[bytes, ...], field: Field):
    for chunked in (False, True):
        flight = field.flight()
        expected = ASK + (b"".join(map(chunk, filter(None, pieces))) + END if chunked else b"".join(pieces))
        sending = asyncio.create_task(flight.send(ASK, parts(*pieces), chunked=chunked))
        assert await field.hear(len(expected)) == expected
        await sending
        assert field.timings.t0_ns <= field.timings.sent_ns


async def upload(field: Field, *, chunked: bool = False) -> tuple[Flight, asyncio.Task[None], list[int]]:
    """A large body on its way to a server that does not read; counts the pieces that were asked for."""
    asked: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            asked.append(len(asked))
            yield bytes(MIB)

    flight = field.flight()
    sending = asyncio.create_task(flight.send(ASK, endless(), chunked=chunked))
    await until(lambda: field.link._unsent)
    return flight, sending, asked


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_refusal_while_the_body_goes_out_is_the_reply_and_ends_the_sending(chunked: bool, field: Field):
    flight, sending, asked = await upload(field, chunked=chunked)
    await field.say(REFUSAL)
    await sending
    await flight.head()
    assert body(await collected(flight)) == b"too big"
    assert (flight.reply.status, field.landed, field.timings.sent_ns) == (413, [False], None)
    n = len(asked)
    await asyncio.sleep(0)
    assert len(asked) == n


async def test_a_reply_that_is_no_refusal_lets_the_body_go_on(field: Field):
    flight = field.flight()
    sending = asyncio.create_task(flight.send(ASK, parts(bytes(16 * MIB)), chunked=False))
    await until(lambda: field.link._unsent)
    await field.say(head(), chunk(b"early"))
    await flight.head()
    assert not sending.done()
    await field.hear(len(ASK) + 16 * MIB)
    await sending
    await field.say(END)
    assert body(await collected(flight)) == b"early"
    assert field.landed == [True]


async def test_a_whole_reply_before_the_body_is_out_ends_the_connection(field: Field):
    flight, sending, _ = await upload(field)
    await field.say(head(Content_Length="2"), b"ok")
    await sending
    assert body(await collected(flight)) == b"ok"
    assert (field.landed, field.timings.sent_ns) == ([False], None)
    field.link.close()


async def test_a_connection_that_breaks_while_sending_is_no_error_when_the_reply_came(field: Field):
    flight, sending, _ = await upload(field)
    await field.say(REFUSAL)
    field.reset()
    await sending
    await flight.head()
    assert flight.reply.status == 413
    assert body(await collected(flight)) == b"too big"


async def test_a_connection_that_breaks_while_sending_without_a_reply_is_an_error(field: Field):
    flight, sending, _ = await upload(field)
    field.reset()
    await sending
    with pytest.raises(httpx.TransportError):
        await flight.head()
    assert field.landed == [False]


async def test_an_interim_reply_is_not_the_reply(field: Field):
    flight = field.flight()
    await flight.send(ASK, parts(b"body"), chunked=False)
    await field.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    waiting = asyncio.create_task(flight.head())
    await field.hear(len(ASK) + 4)
    await field.say(head(), chunk(b"yes"), END)
    await waiting
    assert body(await collected(flight)) == b"yes"


@pytest.mark.parametrize("error", [ZeroDivisionError, FileNotFoundError, TimeoutError])
async def test_an_error_in_the_callers_body_is_the_callers(error: type[Exception], field: Field):
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise error

    with pytest.raises(error):
        await field.flight().send(ASK, broken(), chunked=True)


async def test_a_server_that_does_not_take_a_piece_in_time_is_a_write_timeout(field: Field):
    with pytest.raises(httpx.WriteTimeout, match=r"could not send for 0\.05 s"):
        await field.flight().send(ASK, parts(bytes(64 * MIB)), chunked=False, limit_s=0.05)


async def test_a_slow_source_is_not_a_slow_server(field: Field):
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.25)
            yield b"x"

    flight = field.flight(silence_s=0.7)
    await flight.send(ASK, slow(), chunked=True, limit_s=0.7)
    await field.say(head(Content_Length="0"))
    await flight.head()
    assert flight.reply.status == 200


# -- in


async def test_the_end_has_its_time_and_trailers(field: Field):
    flight = await flying(field, chunk(b"a"))
    assert flight.end_ns is None
    await field.say(b"0\r\nX-Sum: 7\r\n\r\n")
    reads = await collected(flight)
    assert flight.end_ns == reads[-1].t_ns
    assert flight.trailers == [(b"X-Sum", b"7")]
    assert flight.network_stream is field.link
    assert (field.landed, field.link.closed) == ([True], False)


async def test_bytes_behind_the_end_do_not_disturb_and_make_the_connection_useless(field: Field):
    flight = await flying(field, chunk(b"a"), END, b"HTTP/1.1 200 OK\r\n\r\n")
    assert body(await collected(flight)) == b"a"
    assert field.landed == [False]


async def test_what_a_connection_hears_after_the_end_is_not_the_flights(field: Field):
    flight = await flying(field, chunk(b"a"))
    ended = field.link.on_end
    await field.say(END)
    assert body(await collected(flight)) == b"a"
    ended(None)
    await field.say(b"more")
    field.peer.close()
    await until(lambda: field.link.closed)
    assert (field.landed, await collected(flight)) == ([True], [])


@pytest.mark.parametrize(
    ("said", "kind"),
    [(b"3\r\nab", httpx.RemoteProtocolError), (chunk(b"ab") + b"zz\r\n", httpx.RemoteProtocolError)],
)
async def test_what_came_before_it_broke_is_handed_over_first(said: bytes, kind: type[Exception], field: Field):
    flight = await flying(field, said)
    field.peer.close()
    await until(lambda: field.link.closed)
    assert (await anext(flight)).data == b"ab"
    for _ in range(2):
        with pytest.raises(kind):
            await collected(flight)
    assert (field.landed, field.link.closed) == ([False], True)


async def test_half_a_frame_before_a_reset_is_counted_in_an_empty_item(field: Field):
    flight = await flying(field, chunk(b"ab"))
    assert (await anext(flight)).data == b"ab"
    await field.say(b"2\r")
    await until(lambda: flight._wire == 2)
    field.reset()
    last = await anext(flight)
    assert (last.data, last.wire_bytes) == (b"", 2)
    with pytest.raises(httpx.ReadError, match="reset"):
        await anext(flight)


async def test_a_body_without_a_length_ends_with_the_connection(field: Field):
    flight = field.flight()
    await flight.send(ASK, parts(), chunked=False)
    await field.hear(len(ASK))
    await field.say(head(Connection="close"))
    await flight.head()
    field.peer.close()
    (only,) = await collected(flight)
    assert (only.data, only.wire_bytes) == (b"", len(head(Connection="close")))
    assert field.landed == [False]


async def test_pour_hands_over_what_waited_and_then_what_comes(field: Field):
    flight, basket = await flying(field, chunk(b"first")), Basket()
    pouring = asyncio.create_task(flight.pour(basket))
    await until(lambda: basket.data == [b"first"])
    await field.say(chunk(b"second"))
    await until(lambda: len(basket.data) == 2)
    await field.say(END)
    await pouring
    assert basket.data == [b"first", b"second", b""]
    assert basket.wire == len(head() + chunk(b"first") + chunk(b"second") + END)


async def test_who_iterates_first_may_pour_the_rest(field: Field):
    flight, basket = await flying(field, chunk(b"a")), Basket()
    assert (await anext(flight)).data == b"a"
    await field.say(chunk(b"b"))
    await until(lambda: flight._queue)
    await field.say(chunk(b"c"), END)
    await flight.pour(basket)
    assert b"".join(basket.data) == b"bc"
    with pytest.raises(StopAsyncIteration):
        await anext(flight)


async def test_pour_raises_what_broke(field: Field):
    flight, basket = await flying(field, chunk(b"a")), Basket()
    field.peer.close()
    with pytest.raises(httpx.RemoteProtocolError):
        await flight.pour(basket)
    assert b"".join(basket.data) == b"a"


def full(*_: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("waiting", [True, False], ids=["what waited", "what comes"])
async def test_an_error_of_the_taker_is_raised_where_it_pours_and_closes_the_socket(waiting: bool, field: Field):
    flight = await flying(field, *([chunk(b"a")] if waiting else []))
    pouring = asyncio.create_task(flight.pour(full))
    await asyncio.sleep(0)
    if not waiting:
        await field.say(chunk(b"a"), END)
    with pytest.raises(ZeroDivisionError):
        await pouring
    assert (field.landed, field.link.closed) == ([False], True)


async def test_a_taker_that_fails_at_the_very_end_is_heard_once(field: Field):
    flight = field.flight()
    await flight.send(ASK, parts(), chunked=False)
    await field.hear(len(ASK))
    await field.say(head(Connection="close"))
    await flight.head()
    pouring = asyncio.create_task(flight.pour(full))
    await asyncio.sleep(0)
    field.peer.close()
    with pytest.raises(ZeroDivisionError):
        await pouring
    assert field.landed == [False]


# -- who does not take


async def test_what_nobody_takes_stays_in_the_socket_and_nothing_is_lost(field: Field):
    block = bytes(range(256)) * 256
    flight = await flying(field)
    sending = asyncio.create_task(field.say(chunk(block) * 400, END))
    await until(lambda: flight._paused_ns is not None)
    assert HIGH_WATER_BYTES < flight._queued < HIGH_WATER_BYTES + 512 * 1024
    assert flight.paused_s == 0
    await asyncio.sleep(0)
    assert body(await collected(flight)) == block * 400
    await sending
    assert flight.paused_s > 0
    assert field.landed == [True]


async def test_who_leaves_while_it_is_paused_has_that_time_counted(field: Field):
    flight = await flying(field)
    sending = asyncio.create_task(field.say(chunk(bytes(32 * MIB))))
    await until(lambda: flight._paused_ns is not None)
    await flight.aclose()
    assert flight.paused_s > 0
    sending.cancel()


# -- silence


async def test_silence_is_a_read_timeout(field: Field):
    flight = await flying(field, chunk(b"a"), silence_s=0.7)
    assert (await anext(flight)).data == b"a"
    with pytest.raises(httpx.ReadTimeout, match=r"no byte for 0\.7 s"):
        await anext(flight)
    assert field.landed == [False]


async def test_silence_before_the_head_is_one_too(field: Field):
    flight = field.flight(silence_s=0.7)
    await flight.send(ASK, parts(), chunked=False)
    with pytest.raises(httpx.ReadTimeout):
        await flight.head()


async def test_whoever_speaks_now_and_then_is_not_silent(field: Field):
    flight = await flying(field, silence_s=1)
    for _ in range(6):
        await asyncio.sleep(0.3)
        await field.say(chunk(b"a"))
    await field.say(END)
    assert body(await collected(flight)) == b"aaaaaa"


async def test_who_does_not_listen_cannot_call_it_silence(field: Field):
    flight = await flying(field, silence_s=60)
    sending = asyncio.create_task(field.say(chunk(bytes(16 * MIB)), END))
    await until(lambda: flight._paused_ns is not None)
    looked = []
    look = flight._look
    flight._look = lambda: (looked.append(1), look())  # type: ignore[method-assign,assignment]
    flight._silence_s = 0.03  # only now: a busy machine takes longer to send so much
    flight._look()
    await until(lambda: len(looked) > 2)
    assert len(body(await collected(flight))) == 16 * MIB
    await sending


async def test_a_connection_that_ends_before_the_request_is_out_has_no_timer(field: Field):
    flight = field.flight(silence_s=5)
    field.reset()
    await until(lambda: field.link.closed)
    await flight.send(ASK, parts(), chunked=False)
    assert flight._timer is None
    with pytest.raises(httpx.TransportError):
        await flight.head()


# -- who leaves


async def test_who_breaks_out_of_the_loop_closes_the_socket(field: Field):
    flight = await flying(field, chunk(b"a"))
    async for _ in flight:
        break
    gc.collect()
    await until(lambda: field.link.closed)
    assert field.landed == [False]


@pytest.mark.parametrize("leave", [Flight.aclose, lambda flight: asyncio.sleep(0, flight.abandon())])
async def test_it_is_closed_in_every_state_and_as_often_as_one_likes(leave: Callable[..., object], field: Field):
    flight = await flying(field, chunk(b"a"))
    for _ in range(2):
        await leave(flight)  # type: ignore[misc]
        assert (field.landed, field.link.closed) == ([False], True)


async def test_closing_a_finished_one_leaves_the_connection_alone(field: Field):
    flight = await flying(field, END)
    await collected(flight)
    await flight.aclose()
    flight.abandon()
    assert (field.landed, field.link.closed) == ([True], False)
    assert [read.data async for read in flight] == []


async def test_one_that_is_abandoned_is_an_error_to_who_waits_and_no_short_body(field: Field):
    flight = await flying(field, chunk(b"a"), b"5\r")
    waiting = asyncio.create_task(collected(flight))
    await until(lambda: flight._waiter is not None)
    flight.abandon()
    with pytest.raises(httpx.ReadError, match="the transport was closed"):
        await waiting


@pytest.mark.parametrize("where", ["head", "pour", "anext"])
async def test_a_cancelled_waiter_closes_the_socket(where: str, field: Field):
    flight = await flying(field)
    if where == "head":
        flight.reply.headed = False
    doing = {"head": flight.head, "pour": lambda: flight.pour(Basket()), "anext": flight.__anext__}[where]
    waiting = asyncio.create_task(doing())
    await until(lambda: flight._waiter is not None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (field.landed, field.link.closed) == ([False], True)
