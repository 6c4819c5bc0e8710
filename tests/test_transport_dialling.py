"""Dialling: a name, its addresses, the first that answers; reasons a user can act on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_server import Wire, serving, silent, until

from streamnb.transport.dialling import DialError, dial, reason


async def hold(wire: Wire) -> None:
    await wire.gone()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def addresses(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """The resolver answers with loopback addresses of these ports."""
    answer = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)) for port in ports]

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return answer

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def n_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_socket_is_connected_does_not_block_and_does_not_wait_to_send():
    with serving(hold) as server:
        sock, dns_s = await dial("localhost", server.port)
        with sock:
            assert sock.getpeername()[1] == server.port
            assert sock.getblocking() is False
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert dns_s > 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_families_are_dialled(host: str):
    with serving(hold, host=host) as server:
        sock, _ = await dial(host, server.port)
        await until(lambda: server.accepted == 1)
        sock.close()


async def test_after_a_refused_address_the_next_is_tried_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streamnb.transport.dialling.STAGGER_S", 600.0)  # waiting for it would hang
    with serving(hold) as server:
        addresses(monkeypatch, closed_port(), server.port)
        sock, _ = await dial("two.example", 1)
        assert sock.getpeername()[1] == server.port
        sock.close()


async def test_beside_a_silent_address_the_next_is_tried_and_the_first_is_dropped(monkeypatch: pytest.MonkeyPatch):
    with serving(hold) as server, silent() as port:
        addresses(monkeypatch, port, server.port)
        before = n_files()
        sock, _ = await dial("two.example", 1)
        assert sock.getpeername()[1] == server.port
        sock.close()
        await until(lambda: n_files() <= before)


async def test_who_gives_up_while_it_connects_leaves_no_socket():
    with silent() as port:
        before = n_files()
        task = asyncio.create_task(dial("127.0.0.1", port))
        await until(lambda: n_files() > before)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: n_files() <= before)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("no-such-host.invalid", r"the name no-such-host\.invalid cannot be resolved \("),
        ("a" * 70 + ".example", r"cannot be resolved \("),
        ("127.0.0.1", r"127\.0\.0\.1:\d+: connection refused; nothing listens there"),
    ],
)
async def test_no_connection_has_a_reason(host: str, said: str):
    with pytest.raises(DialError, match=said):
        await dial(host, closed_port())


async def test_when_no_address_answers_the_reason_is_given(monkeypatch: pytest.MonkeyPatch):
    addresses(monkeypatch, closed_port(), closed_port())
    with pytest.raises(DialError, match="refused"):
        await dial("two.example", 1)


def verification(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "long")
    error.verify_message = message
    return error


def tls(name: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "long text")
    error.reason = name
    return error


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: verification("it has expired"), "certificate refused: it has expired"),
        (lambda: tls("WRONG_VERSION_NUMBER"), "the server does not speak TLS there; is it http://?"),
        (lambda: tls("BAD_SIGNATURE"), "BAD_SIGNATURE"),
        (lambda: ConnectionRefusedError(111, "Connection refused"), "connection refused; nothing listens there"),
        (lambda: OSError(113, "No route to host"), "No route to host"),
        (lambda: OSError("Multiple exceptions: a, b"), "Multiple exceptions: a, b"),
        (TimeoutError, "TimeoutError"),
    ],
)
def test_a_cause_is_said_in_words(made: Callable[[], BaseException], said: str):
    assert reason(made()) == said
