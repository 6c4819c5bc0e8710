"""Dialling: a name becomes a connected socket, its addresses tried by the rules of RFC 8305.

Knows resolvers and sockets. Must not know: TLS, HTTP, who reads. Reasons are given in words a user can act on.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Final

import aiohappyeyeballs

STAGGER_S: Final = 0.25  # RFC 8305 section 8
_PLAIN: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


class DialError(OSError):
    """There is no connection; the message says why."""


async def dial(host: str, port: int) -> tuple[socket.socket, float]:
    """Resolve a name and connect to the first of its addresses that answers.

    Returns:
        The socket, not blocking, without Nagle's delay; how long the name took to resolve, s.

    Raises:
        DialError: the name cannot be resolved, or no address answers.
    """
    loop = asyncio.get_running_loop()
    start_ns = time.monotonic_ns()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise DialError(f"the name {host} cannot be resolved ({error.strerror})") from error
    except UnicodeError as error:  # a label that IDNA refuses
        raise DialError(f"the name {host} cannot be resolved (it is no host name)") from error
    dns_s = (time.monotonic_ns() - start_ns) / 1e9
    try:
        sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=STAGGER_S, loop=loop)
    except OSError as error:
        raise DialError(f"{host}:{port}: {reason(error)}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, dns_s


def reason(error: BaseException) -> str:
    """The cause in words, without Python's decoration."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        plain = error.reason in _PLAIN
        return "the server does not speak TLS there; is it http://?" if plain else error.reason or str(error)
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; nothing listens there"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
