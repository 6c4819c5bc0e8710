"""Capture: however a reply comes over HTTP/1.1, it ends as one run with every byte and one stamp per read.

Runs go through the public calls; the server is on loopback and does to them what networks and bad servers do.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, END, STOP, FaultServer, Wire, authority, certified, chunk, delta, head, serving, until
from proxy_server import forwarding, proxying

import streamnb
from streamnb import portal, session
from streamnb.errors import UsageError
from streamnb.results import Run
from streamnb.session import Session, ask

TEXT = [f"word {n} äöü \U0001f600 " for n in range(40)]
BODY = b"".join(map(delta, TEXT)) + STOP + DONE
MIB = 1024 * 1024
STAMP = "kernel" if sys.platform == "linux" else "read"


async def chunked(wire: Wire) -> None:
    await wire.head()
    for text in TEXT:
        await wire.chunks(delta(text))
        await asyncio.sleep(0.001)
    await wire.chunks(STOP + DONE)
    await wire.send(END)


async def length(wire: Wire) -> None:
    await wire.send(head(Content_Length=str(len(BODY))))
    for at in range(0, len(BODY), 100):
        await wire.send(BODY[at : at + 100])
        await asyncio.sleep(0)


async def close(wire: Wire) -> None:
    await wire.send(head(Connection="close"))
    for at in range(0, len(BODY), 100):
        await wire.send(BODY[at : at + 100])
    wire.fin()


async def slow_loris(wire: Wire) -> None:
    """A head of one byte at a time, then a body of some."""
    for byte in head():
        await wire.send(bytes([byte]))
        await asyncio.sleep(0.0005)
    for piece in (BODY[at : at + 50] for at in range(0, len(BODY), 50)):
        await wire.send(chunk(piece))
        await asyncio.sleep(0.0005)
    await wire.send(END)


async def byte_by_byte(wire: Wire) -> None:
    """Each byte of the whole reply is a segment of its own; each byte of the body an HTTP chunk."""
    await wire.head()
    for byte in BODY[:600]:
        for one in chunk(bytes([byte])):
            await wire.send(bytes([one]))
            await asyncio.sleep(0)
    await wire.chunks(BODY[600:])
    await wire.send(END)


async def huge(wire: Wire) -> None:
    """One event of 16 MiB."""
    await wire.head()
    await wire.chunks(delta("x" * (16 * MIB)), STOP, DONE)
    await wire.send(END)


SCRIPTS = [chunked, length, close, slow_loris, byte_by_byte, huge]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


def stream(server: FaultServer, trusted: str, **more: Any) -> Run:
    more = {"ca": trusted} | more
    return streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m", record=False, **more)


@pytest.mark.parametrize("transport", ["direct", "httpcore"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_reply_is_captured_whole_with_a_stamp_per_read(script, secure: bool, transport: str, ca: str):
    with serving(script, context=certified() if secure else None) as server:
        run = stream(server, ca, transport=transport)
        assert (run.outcome.value, run.error) == ("complete", None)
        assert run.text == ("x" * (16 * MIB) if script is huge else "".join(TEXT))
        chunks, calls = run.chunks, run.calls
        assert int(chunks["wire_bytes"].sum()) == server.written
    assert set(chunks["stamp_source"]) == {STAMP if transport == "direct" else "read"}
    assert chunks["t_ns"].is_monotonic_increasing
    assert chunks["read_ns"].is_monotonic_increasing
    lag_s = chunks["client_lag_s"]
    assert lag_s.notna().all() if transport == "direct" and STAMP == "kernel" else lag_s.isna().all()
    assert not (lag_s < 0).any()
    assert calls["transport"].tolist() == [transport]
    assert calls["tls_s"].notna().tolist() == [secure]
    (framing,) = [row.framing for row in run._record.calls]
    assert framing == {length: "length", close: "close"}.get(script, "chunked")


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_an_open_connection_is_used_again_and_says_so(secure: bool, ca: str):
    with serving(chunked, context=certified() if secure else None) as server:
        calls = [stream(server, ca).calls for _ in range(3)]
        assert server.accepted == 1
    assert [bool(one["reused"].iloc[0]) for one in calls] == [False, True, True]
    assert [one["connect_s"].notna().iloc[0] for one in calls] == [True, False, False]


def test_after_a_reply_that_ends_with_the_connection_another_one_is_made(ca: str):
    with serving(close) as server:
        assert [bool(stream(server, ca).calls["reused"].iloc[0]) for _ in range(2)] == [False, False]
        assert server.accepted == 2


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_ipv6_works(secure: bool, ca: str):
    with serving(chunked, host="::1", context=certified("::1") if secure else None) as server:
        assert stream(server, ca).text == "".join(TEXT)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_carries_it_and_the_run_says_what_carried(secure: bool, ca: str):
    with serving(chunked, context=certified() if secure else None) as server, proxying("me:secret") as proxy:
        run = stream(server, ca, proxy=proxy.url("me:secret@"))
        assert run.text == "".join(TEXT)
        assert (proxy.asked[0].split()[0] == "CONNECT") is secure
        assert run.calls["transport"].tolist() == ["httpcore"]
        assert (run.summary[["setup_s", "ttft_s"]] > 0).all(axis=None)
    assert "secret" not in repr(run.look.sent())


def test_a_proxy_that_refuses_is_a_connect_error_that_names_its_status(ca: str):
    with serving(chunked, context=certified()) as server, proxying("me:secret") as proxy:
        run = stream(server, ca, proxy=proxy.url("me:wrong@"))
        assert run.outcome.value == "connect_error"
        assert "407" in run.error
        assert "wrong" not in run.error


def test_a_unix_socket_carries_it_too(tmp_path: Path, ca: str):
    path = str(tmp_path / "s")
    with serving(chunked) as server, forwarding(path, server.port):
        run = stream(server, ca, uds=path)
        assert run.text == "".join(TEXT)
        assert run.calls["transport"].tolist() == ["httpcore"]
        assert run.calls["connect_s"].notna().all()
    gone = stream(server, ca, uds=path, kernel_stamps=False)  # another pool: a kept connection may not know yet
    assert gone.outcome.value == "connect_error"
    assert path in gone.error


def test_the_environments_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch, ca: str):
    with serving(chunked) as server, proxying() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        assert stream(server, ca).calls["transport"].tolist() == ["direct"]
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transport": "quick"}, "there is no transport 'quick'"),
        ({"transport": "direct", "proxy": "http://127.0.0.1:1"}, "the direct transport knows no proxies"),
        ({"transport": "direct", "uds": "/no/socket"}, "the direct transport knows no proxies and no unix sockets"),
        ({"proxy": "socks5://me:secret@127.0.0.1:1"}, "proxy wants an http:// or https:// address"),
        ({"ca": "/no/such/file.pem"}, r"ca: /no/such/file\.pem holds no certificates \(No such file"),
        ({"parse": "never"}, "parse"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(options: dict[str, str], said: str, ca: str):
    with serving(chunked) as server:
        with pytest.raises(UsageError, match=said) as caught:
            stream(server, ca, **options)
        assert server.accepted == 0
    assert "secret" not in str(caught.value)


def test_a_ca_file_without_certificates_is_said(tmp_path: Path, ca: str):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with serving(chunked) as server, pytest.raises(UsageError, match="holds no certificates"):
        stream(server, ca, ca=str(empty))


def test_without_kernel_stamps_the_process_own_ones_are_reported(ca: str):
    with serving(chunked) as server:
        chunks = stream(server, ca, kernel_stamps=False).chunks
    assert set(chunks["stamp_source"]) == {"read"}
    assert chunks["kernel_ns"].isna().all()
    assert (chunks["t_ns"] == chunks["read_ns"]).all()


# -- cancellation in every phase


async def silent_head(wire: Wire) -> None:
    await wire.gone()


async def half_a_head(wire: Wire) -> None:
    await wire.send(head()[:30])
    await wire.gone()


async def only_a_head(wire: Wire) -> None:
    await wire.head()
    await wire.gone()


async def half_an_event(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("a"), delta("b")[:20])
    await wire.gone()


PHASES = [silent_head, half_a_head, only_a_head, half_an_event]


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("script", PHASES, ids=lambda script: script.__name__)
def test_a_stop_in_any_phase_closes_the_socket_and_keeps_what_came(script, secure: bool, ca: str):
    with serving(script, context=certified() if secure else None) as server:
        asked = ask("openai_chat", "hi", base_url=server.origin, model="m", record=False, ca=ca)
        started = Session(asked)
        started.start()
        wait_for(lambda: server.requests and (script is not half_an_event or started.run.text == "a"))
        started.stop()
        run = started.wait()
        server.wait_left()
    assert (run.outcome.value, run.text) == ("stopped", "a" if script is half_an_event else "")


def test_a_stop_while_it_connects_or_shakes_hands_is_heard_at_once():
    with serving(silent_head) as plain:  # speaks no TLS: the handshake waits for an answer
        base = f"https://127.0.0.1:{plain.port}"
        started = Session(ask("openai_chat", "hi", base_url=base, model="m", record=False))
        started.start()
        wait_for(lambda: plain.accepted)
        started.stop()
        run = started.wait()
    assert run.outcome.value == "stopped"


def test_a_stop_while_a_large_request_is_going_out_closes_the_socket():
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts and never reads
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = Session(ask("openai_chat", "x" * (32 * MIB), base_url=base, model="m", record=False))
        started.start()
        client, _ = listener.accept()
        with client:
            wait_for(lambda: started.record.calls)
            client.recv(1)
            started.stop()
            run = started.wait()
    assert run.outcome.value == "stopped"


def wait_for(condition: Any) -> None:
    asyncio.run(until(condition))


# -- nothing leaks


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many files are open afterwards as before, idle connections apart."""

    def open_files() -> set[str]:
        folder = Path("/proc/self/fd")
        return {str(one) for one in folder.iterdir()} if folder.exists() else set()

    before = len(open_files())
    yield
    for transport in session._transports.values():
        portal.wait(portal.spawn(transport.aclose()))
    deadline = time.monotonic() + 10
    while len(open_files()) > before:
        assert time.monotonic() < deadline, "files were left open"
        time.sleep(0.01)


@pytest.mark.usefixtures("descriptors")
def test_three_hundred_streams_opened_and_ended_in_a_loop_leave_no_descriptor(ca: str):
    async def short(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("a"), STOP, DONE)
        await wire.send(END)

    async def cut(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(delta("a"))
        wire.reset()

    with serving(short) as good, serving(cut) as bad:
        for n in range(300):
            run = stream(good if n % 3 else bad, ca)
            assert run.text == "a"


@pytest.mark.usefixtures("descriptors")
def test_many_streams_at_once_each_have_all_of_their_bytes(ca: str):
    with serving(chunked) as server:
        asked = ask("openai_chat", "hi", base_url=server.origin, model="m", record=False, ca=ca)
        started = [Session(asked) for _ in range(100)]
        for one in started:
            one.start()
        runs = [one.wait() for one in started]
    assert {run.text for run in runs} == {"".join(TEXT)}
    assert {run.outcome.value for run in runs} == {"complete"}
