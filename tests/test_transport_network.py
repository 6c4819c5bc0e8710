from __future__ import annotations

import asyncio
import datetime as dt
import math
import socket
import ssl
import sys
import time
from pathlib import Path

import httpcore
import pytest
from fault_server import FaultServer, Wire, certified, serving, silent, trusting, until

from streamnb.transport import network
from streamnb.transport.network import HIGH_WATER_BYTES, StampedStream, StampingBackend

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BACKEND = StampingBackend()


async def hold(wire: Wire) -> None:
    await wire.gone()


async def asked(server: FaultServer) -> StampedStream:
    stream = await BACKEND.connect_tcp("127.0.0.1", server.port, 5)
    await stream.write(ASK)
    return stream


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_each_socket_read_comes_whole_with_the_time_the_loop_got_it():
    with serving(Wire.obey) as server:
        stream = await asked(server)
        received = []
        for piece in (b"one", b"two" * 1000):
            before = time.monotonic_ns()
            server.tell(piece)
            received.append(await stream.read(65536))
            info = stream.get_extra_info("streamnb.read")
            assert before <= info.t_ns <= time.monotonic_ns()
        assert received == [b"one", b"two" * 1000]
        assert info.n_bytes == 3003
        await stream.aclose()


async def test_bytes_are_counted_from_the_latest_write_on():
    with serving(Wire.obey) as server:
        stream = await asked(server)
        server.tell(b"first", None)
        await stream.read(65536)
        await stream.write(ASK)
        server.tell(b"again")
        await stream.read(65536)
        assert stream.get_extra_info("streamnb.read").n_bytes == 5
        await stream.aclose()


async def test_a_stamp_is_taken_when_the_bytes_come_and_not_when_somebody_asks_for_them():
    with serving(Wire.obey) as server:
        stream = await asked(server)
        server.tell(b"x")
        await until(lambda: stream.get_extra_info("is_readable"))
        arrived = time.monotonic_ns()
        await stream.read(65536)
        assert stream.get_extra_info("streamnb.read").t_ns <= arrived
        await stream.aclose()


async def test_who_asks_for_more_is_told_to_put_out_what_came_before():
    with serving(Wire.obey) as server:
        stream = await asked(server)
        drained = []
        stream.on_drained = lambda: drained.append(stream.get_extra_info("streamnb.read"))
        server.tell(b"x")
        await stream.read(65536)
        assert drained == [None]
        await stream.aclose()


async def test_the_end_of_the_connection_is_an_empty_read():
    async def bye(wire: Wire) -> None:
        wire.fin()

    with serving(bye) as server:
        stream = await asked(server)
        assert await stream.read(65536) == b""
        assert stream.get_extra_info("is_readable")
        await stream.aclose()


async def test_a_reset_is_an_error_that_says_so():
    async def crash(wire: Wire) -> None:
        wire.reset()

    with serving(crash) as server:
        stream = await asked(server)
        with pytest.raises(httpcore.ReadError, match="Connection reset by peer"):
            await stream.read(65536)


async def test_silence_is_a_read_timeout_when_one_is_set():
    with serving(hold) as server:
        stream = await asked(server)
        with pytest.raises(httpcore.ReadTimeout, match=r"no byte for 0\.05 s"):
            await stream.read(65536, timeout=0.05)
        await stream.aclose()


async def test_nobody_can_write_to_a_closed_connection():
    with serving(hold) as server:
        stream = await asked(server)
        await stream.aclose()
        with pytest.raises(httpcore.WriteError, match="closed"):
            await stream.write(b"x")


async def test_a_large_request_waits_for_the_server_and_goes_out_whole():
    async def script(wire: Wire) -> None:
        await wire.send(b"%d" % len(wire.request))

    large = b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000)
    with serving(script) as server:
        stream = await BACKEND.connect_tcp("127.0.0.1", server.port, 5)
        await stream.write(large)
        assert await stream.read(65536) == b"%d" % len(large)
        await stream.aclose()


async def test_a_stream_that_has_no_connection_says_so_and_closes_quietly():
    stream = StampedStream(network._Protocol(), 0)
    with pytest.raises(httpcore.ConnectError, match="closed"):
        await stream.start_tls(trusting(), "127.0.0.1", 5)
    assert stream.get_extra_info("peername") is None
    await stream.aclose()


async def test_a_server_that_does_not_take_the_request_is_a_write_timeout_and_closing_does_not_wait_for_it():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await BACKEND.connect_tcp("127.0.0.1", listener.getsockname()[1], 5)
        accepted, _ = listener.accept()
        with accepted:
            with pytest.raises(httpcore.WriteTimeout, match=r"0\.05 s"):
                await stream.write(bytes(64 * 1024 * 1024), timeout=0.05)
            await stream.aclose()
            await asyncio.sleep(0)
            accepted.settimeout(5)
            taken = 0
            while data := accepted.recv(1 << 20):
                taken += len(data)
            assert taken < 64 * 1024 * 1024


async def test_what_nobody_reads_is_left_in_the_socket_beyond_a_mebibyte():
    async def flood(wire: Wire) -> None:
        await wire.send(*[bytes(65536)] * 320)
        await wire.gone()

    with serving(flood) as server:
        stream = await asked(server)
        await until(lambda: stream._protocol._queued > HIGH_WATER_BYTES)
        assert stream._protocol._paused
        assert stream._protocol._queued <= HIGH_WATER_BYTES + 65536
        total = 0
        while total < 320 * 65536:
            total += len(await stream.read(65536))
        assert not stream._protocol._paused
        await stream.aclose()


async def test_it_sleeps_as_asyncio_does():
    start = time.monotonic()
    await BACKEND.sleep(0.01)
    assert time.monotonic() - start >= 0.009


@pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")
async def test_a_unix_socket_connects_without_a_name_to_resolve(tmp_path: Path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        stream = await BACKEND.connect_unix_socket(path, 5)
        assert math.isnan(stream.dns_s)
        with listener.accept()[0] as accepted:
            accepted.send(b"hello")
            assert await stream.read(65536) == b"hello"
        await stream.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")
async def test_a_unix_socket_that_is_not_there_is_a_connect_error(tmp_path: Path):
    with pytest.raises(httpcore.ConnectError, match="No such file"):
        await BACKEND.connect_unix_socket(str(tmp_path / "s"), 5)


async def test_a_unix_socket_that_does_not_answer_is_a_connect_timeout(monkeypatch: pytest.MonkeyPatch):
    loop = asyncio.get_running_loop()  # Linux refuses at once where the queue is full, so nothing real can be slow
    monkeypatch.setattr(loop, "create_unix_connection", lambda *_: asyncio.sleep(10), raising=False)
    with pytest.raises(httpcore.ConnectTimeout, match=r"/s did not answer within 0\.05 s"):
        await BACKEND.connect_unix_socket("/s", 0.05)


async def test_where_there_are_no_unix_sockets_that_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(network.asyncio, "get_running_loop", object)
    with pytest.raises(httpcore.ConnectError, match="no unix sockets on this system"):
        await BACKEND.connect_unix_socket("/s", 5)


async def test_a_name_that_does_not_exist_is_named():
    with pytest.raises(httpcore.ConnectError, match=r"the name nothing\.invalid cannot be resolved"):
        await BACKEND.connect_tcp("nothing.invalid", 80, 5)


async def test_a_refused_connection_says_that_nothing_listens():
    port = closed_port()
    with pytest.raises(httpcore.ConnectError, match=rf"127\.0\.0\.1:{port}: connection refused; nothing listens there"):
        await BACKEND.connect_tcp("127.0.0.1", port, 5)


async def test_a_host_that_does_not_answer_is_a_connect_timeout():
    with silent() as port, pytest.raises(httpcore.ConnectTimeout, match=r"did not answer within 0\.1 s"):
        await BACKEND.connect_tcp("127.0.0.1", port, 0.1)


async def test_resolving_the_name_is_timed_apart():
    with serving(hold) as server:
        stream = await BACKEND.connect_tcp("localhost", server.port, 5)
        assert 0 < stream.dns_s < 5
        assert stream.get_extra_info("server_addr")[1] == server.port
        assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
        await stream.aclose()


async def tls(server: FaultServer, context: ssl.SSLContext) -> StampedStream:
    stream = await BACKEND.connect_tcp("127.0.0.1", server.port, 5)
    return await stream.start_tls(context, "127.0.0.1", 5)


async def test_under_tls_the_stamps_are_of_decrypted_reads():
    with serving(Wire.obey, context=certified()) as server:
        stream = await tls(server, trusting())
        await stream.write(ASK)
        server.tell(b"secret")
        assert await stream.read(65536) == b"secret"
        assert stream.get_extra_info("streamnb.read").n_bytes == 6
        assert stream.get_extra_info("ssl_object") is not None
        start = time.monotonic()
        await stream.aclose()
        assert await asyncio.to_thread(server.wait_left) - start < 1


LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
REFUSED = {
    "self-signed": ("127.0.0.1", {}, ssl.create_default_context, "certificate refused: .*(self-signed|unable to get)"),
    "expired": (
        "127.0.0.1",
        {"not_before": LONG_AGO, "not_after": LONG_AGO + dt.timedelta(days=1)},
        trusting,
        "certificate refused: certificate has expired",
    ),
    "wrong host": ("example.org", {}, trusting, "certificate refused: IP address mismatch.*127.0.0.1"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_bad_certificate_is_refused_and_the_error_says_why(case: str):
    host, dates, client, reason = REFUSED[case]
    with serving(hold, context=certified(host, **dates)) as server:
        with pytest.raises(httpcore.ConnectError, match=f"TLS: {reason}"):
            await tls(server, client())
        assert server.requests == []


async def test_plain_http_on_an_https_address_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await BACKEND.connect_tcp("127.0.0.1", listener.getsockname()[1], 5)
        with listener.accept()[0] as accepted:
            accepted.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            with pytest.raises(httpcore.ConnectError, match="TLS: the server does not speak TLS there"):
                await stream.start_tls(trusting(), "127.0.0.1", 5)


async def test_a_tls_handshake_that_hangs_is_a_connect_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await BACKEND.connect_tcp("127.0.0.1", listener.getsockname()[1], 5)
        with pytest.raises(httpcore.ConnectTimeout, match=r"TLS took longer than 0\.1 s"):
            await stream.start_tls(trusting(), "127.0.0.1", 0.1)


async def test_a_tls_handshake_that_is_cut_is_a_connect_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await BACKEND.connect_tcp("127.0.0.1", listener.getsockname()[1], 5)
        listener.accept()[0].close()
        with pytest.raises(httpcore.ConnectError, match="TLS: "):
            await stream.start_tls(trusting(), "127.0.0.1", 5)
