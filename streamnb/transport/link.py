"""A link: one connected socket on an event loop, read the moment it is readable, each read stamped twice. TLS included.

Knows sockets, TLS over memory BIOs and both stamps. Must not know: HTTP, APIs, recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

from streamnb.transport import stamps

BUFFER_BYTES: Final = 256 * 1024
_RECORD_BYTES: Final = 16 * 1024

Heard = Callable[[bytes, int, int | None], None]
"""Bytes, when this process had them, when the kernel had them (CLOCK_MONOTONIC, ns; None: it did not say)."""

_monotonic_ns = time.monotonic_ns
_buffer = bytearray(BUFFER_BYTES)  # one loop thread reads at a time, and bytes are copied out before the next read
_view = memoryview(_buffer)
_buffers = (_buffer,)
_ANCILLARY_BYTES: Final = stamps.ANCILLARY_BYTES


class Link:
    """One connection. Made on the loop; closed by `close`, or by the other side.

    Args:
        sock: connected, not blocking; belongs to the link from here on.
        clock: makes the kernel's stamps comparable; None leaves them off.

    Attributes:
        on_bytes: hears of every read. on_end: hears of the end, with the error or None.
        closed: nothing is read or written any more.
        sent_ns: when bytes were last handed to the kernel (CLOCK_MONOTONIC): before the call, which takes microseconds;
            coming back from it can take a busy process milliseconds.
    """

    def __init__(self, sock: socket.socket, clock: stamps.KernelClock | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._clock = clock if clock is not None and stamps.switch_on(sock) else None
        self._tls: _TLS | None = None
        self._unsent = bytearray()
        self._drained: asyncio.Future[None] | None = None
        self.on_bytes: Heard = _deaf
        self.on_end: Callable[[OSError | None], None] = _unmoved
        self.closed = False
        self.sent_ns = 0
        self._readable = self._readable_stamped if self._clock else self._readable_plain
        self._recvmsg_into = sock.recvmsg_into if self._clock else None
        self.resume()

    # -- receiving --------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Leave in the socket what comes now: the other side will feel it."""
        self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again whenever there is something.

        Raises:
            NotImplementedError: this kind of event loop does not watch sockets (Windows' default).
        """
        if not self.closed:
            self._loop.add_reader(self._fd, self._readable)

    def _readable_stamped(self) -> None:
        try:
            n_bytes, ancillary, _, _ = self._recvmsg_into(_buffers, _ANCILLARY_BYTES)  # type: ignore[misc]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        t_ns = _monotonic_ns()
        if n_bytes:
            kernel_ns = self._clock.stamp(ancillary, t_ns) if ancillary else None  # type: ignore[union-attr]
            self._heard(bytes(_view[:n_bytes]), t_ns, kernel_ns)
        else:
            self._lost(None)

    def _readable_plain(self) -> None:
        try:
            n_bytes = self._sock.recv_into(_buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        t_ns = _monotonic_ns()
        if n_bytes:
            self._heard(bytes(_view[:n_bytes]), t_ns, None)
        else:
            self._lost(None)

    def _heard(self, data: bytes, t_ns: int, kernel_ns: int | None) -> None:
        tls = self._tls
        if tls is None:
            self.on_bytes(data, t_ns, kernel_ns)
            return
        plain = tls.decrypt(data)
        self._flush()
        if plain:
            self.on_bytes(plain, t_ns, kernel_ns)
        if tls.ended:
            self._lost(tls.error)

    def _lost(self, error: OSError | None) -> None:
        if not self.closed:
            self.close()
            self.on_end(error)

    # -- sending ----------------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Hand bytes to the kernel and wait until it has taken them all.

        Raises:
            OSError: the connection is gone.
        """
        if self._tls is not None and not self.closed:
            data = self._tls.encrypt(data)
        self._push(data)
        while self._unsent and not self.closed:
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None
        if self.closed:
            raise ConnectionResetError("the connection is closed")

    def _push(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionResetError("the connection is closed")
        if not self._unsent:
            self.sent_ns = _monotonic_ns()
            with contextlib.suppress(BlockingIOError, InterruptedError):
                data = data[self._sock.send(data) :]
            if not data:
                return
            self._loop.add_writer(self._fd, self._writable)
        self._unsent += data

    def _writable(self) -> None:
        self.sent_ns = _monotonic_ns()
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._readable()  # what it said before it broke
            self._lost(error)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._fd)
            self._wake()

    def _flush(self) -> None:
        """What TLS itself has to say: its handshake, key updates, alerts."""
        if self._tls is not None and (said := self._tls.take_outgoing()) and not self.closed:
            with contextlib.suppress(OSError):  # who has gone hears no alert; the reading side will notice
                self._push(said)

    def give_up_sending(self) -> None:
        """Forget what the other side has not taken yet; whoever waits in `send` goes on."""
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._fd)
            self._wake()

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- TLS, the end -------------------------------------------------------------------------------------------------

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands.

        Raises:
            OSError: it failed (`ssl.SSLError`), or the connection ended meanwhile.
        """
        tls = _TLS(context, host)
        done: asyncio.Future[None] = self._loop.create_future()

        def step(data: bytes, t_ns: int, kernel_ns: int | None) -> None:
            del t_ns, kernel_ns
            try:
                shaken = tls.shake(data)
            except ssl.SSLError as error:
                end(error)
                shaken = False
            if said := tls.take_outgoing():
                with contextlib.suppress(OSError):  # the end is told by the reading side
                    self._push(said)
            if shaken and not done.done():
                self._tls = tls
                done.set_result(None)

        def end(error: OSError | None) -> None:
            if not done.done():
                done.set_exception(error or ConnectionResetError("the connection ended during the TLS handshake"))

        self.on_bytes, self.on_end = step, end
        step(b"", 0, None)
        try:
            await done
        finally:
            self.on_bytes, self.on_end = _deaf, _unmoved

    def close(self) -> None:
        """Close the socket now; what the other side does not take any more is not waited for (SAFETY R10)."""
        if self.closed:
            return
        if self._tls is not None and not self._unsent:
            self._tls.say_goodbye()
            self._flush()
        self.closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._sock.close()
        self._wake()

    def is_quiet(self) -> bool:
        """Whether nothing has come that nobody asked for, the end included: only then may it be used again."""
        if self.closed:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False

    def get_extra_info(self, info: str) -> Any:
        """What httpx's `network_stream` is asked for: `socket`, `ssl_object`, `client_addr`, `server_addr`."""
        match info:
            case "socket":
                return self._sock
            case "ssl_object":
                return self._tls.object if self._tls is not None else None
            case "client_addr" if not self.closed:
                return self._sock.getsockname()
            case "server_addr" if not self.closed:
                return self._sock.getpeername()
            case _:
                return None


class _TLS:
    """TLS of one connection between two memory BIOs, so that the socket's own reads keep their stamps."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.ended = False
        self.error: ssl.SSLError | None = None

    def shake(self, data: bytes) -> bool:
        """Go on with the handshake; True when it is done."""
        self._incoming.write(data)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """The plain bytes that these records complete; `ended` after the other side's goodbye, or an `error`."""
        incoming, read = self._incoming, self.object.read
        incoming.write(data)
        parts: list[bytes] = []
        try:
            while incoming.pending or self.object.pending():  # asking for more than there is would raise
                part = read(_RECORD_BYTES)
                if not part:  # the other side's goodbye: nothing behind it counts, and asking again says the same
                    self.ended = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:  # a piece of a record, or no application data in it
            pass
        except ssl.SSLError as error:  # what came before it is good
            self.ended, self.error = True, error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry these bytes."""
        self.object.write(data)
        return self._outgoing.read()

    def take_outgoing(self) -> bytes:
        """What is to be sent of TLS's own."""
        return self._outgoing.read()

    def say_goodbye(self) -> None:
        """Put a close_notify out, without waiting for the other side's."""
        with contextlib.suppress(ssl.SSLError):  # it wants the other's, or the session is broken already
            self.object.unwrap()


def _deaf(data: bytes, t_ns: int, kernel_ns: int | None) -> None:
    """Nobody listens: bytes that nobody asked for make a connection unusable, which `is_quiet` cannot see later."""
    del data, t_ns, kernel_ns


def _unmoved(error: OSError | None) -> None:
    del error
