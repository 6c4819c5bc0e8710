"""HTTP/2 by the public calls: `http2=True` (`--http2`), whatever way a server cuts its reply into frames."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import DONE, END, PATIENCE_S, STOP, FaultServer, Wire, authority, delta, serving, wait_until
from http2_server import ENDS, Wire2, data, goaway, reset, serving2

import streamnb
from streamnb import portal, session
from streamnb.asking import Ask, ask, going_on, keep, route_of
from streamnb.errors import UsageError
from streamnb.options import parse_cell, parse_line
from streamnb.results import Run
from streamnb.session import Session
from streamnb.transport import Route

TEXT = [f"word {n} äöü \U0001f600 " for n in range(40)]
BODY = b"".join(map(delta, TEXT)) + STOP + DONE
MIB = 1024 * 1024
OPEN_FILES = Path("/proc/self/fd")


async def one_per_frame(wire: Wire2) -> None:
    await wire.head()
    for text in TEXT:
        await wire.chunks(delta(text))
        await asyncio.sleep(0.001)
    await wire.chunks(STOP + DONE)
    await wire.end()


async def many_per_frame(wire: Wire2) -> None:
    await wire.head()
    await wire.send(data(BODY, wire.stream, ENDS))


async def many_frames_at_once(wire: Wire2) -> None:
    frames = [data(delta(text), wire.stream) for text in TEXT]
    await wire.send(wire.headers() + b"".join(frames) + data(STOP + DONE, wire.stream, ENDS))


async def over_several_frames(wire: Wire2) -> None:
    await wire.head()
    for at in range(0, len(BODY), 50):
        await wire.chunks(BODY[at : at + 50])
    await wire.end()


async def byte_by_byte(wire: Wire2) -> None:
    """Each byte is a frame; some of the frames come in two pieces."""
    await wire.head()
    for byte in BODY[:600]:
        one = data(bytes([byte]), wire.stream)
        await wire.send(one[:5], one[5:])
    await wire.chunks(BODY[600:])
    await wire.end()


async def huge(wire: Wire2) -> None:
    """One event of 4 MiB."""
    await wire.head()
    await wire.flood(delta("x" * (4 * MIB)) + STOP + DONE)
    await wire.end()


SCRIPTS = [one_per_frame, many_per_frame, many_frames_at_once, over_several_frames, byte_by_byte, huge]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


def stream(server: FaultServer, trusted: str, **more: Any) -> Run:
    more = {"ca": trusted, "http2": True, "record": False} | more
    return streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m", **more)


def started(server: FaultServer, trusted: str) -> Session:
    asked = ask("openai_chat", "hi", base_url=server.origin, model="m", record=False, ca=trusted, http2=True)
    begun = Session(asked)
    begun.start()
    return begun


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_reply_is_captured_whole_with_a_stamp_per_read(script, ca: str):
    with serving2(script) as server:
        run = stream(server, ca)
        assert (run.outcome.value, run.error) == ("complete", None)
        assert run.text == ("x" * (4 * MIB) if script is huge else "".join(TEXT))
        chunks, calls = run.chunks, run.calls
        assert int(chunks["wire_bytes"].sum()) == server.written
        assert b":path: /chat/completions\r\n" in server.requests[0]
    assert set(chunks["stamp_source"]) == {"read"}
    assert chunks["t_ns"].is_monotonic_increasing
    assert calls["transport"].tolist() == ["httpcore-h2"]
    assert calls[["connect_s", "tls_s"]].notna().all(axis=None)
    assert (run.summary[["setup_s", "ttft_s"]] > 0).all(axis=None)


def test_events_that_share_a_read_are_flagged_as_with_any_transport(ca: str):
    with serving2(many_frames_at_once) as server:
        run = stream(server, ca)
    assert run.events["n_events_in_read"].max() >= len(TEXT)


def test_an_open_connection_is_used_again_and_says_so(ca: str):
    with serving2(one_per_frame) as server:
        calls = [stream(server, ca).calls for _ in range(3)]
        assert server.accepted == 1
    assert [bool(one["reused"].iloc[0]) for one in calls] == [False, True, True]
    assert [one["connect_s"].notna().iloc[0] for one in calls] == [True, False, False]


def test_runs_at_the_same_time_have_a_connection_each(ca: str):
    async def script(wire: Wire2) -> None:
        await wire.head()
        await wire.server.told.get()
        await wire.send(data(BODY, wire.stream, ENDS))

    with serving2(script) as server:
        both = [started(server, ca), started(server, ca)]
        wait_until(lambda: len(server.requests) == 2)
        server.tell(b"", b"")
        runs = [one.wait() for one in both]
        assert server.accepted == 2
    assert [run.text for run in runs] == ["".join(TEXT)] * 2


def test_a_stop_in_mid_stream_closes_the_connection_and_keeps_what_came(ca: str):
    async def script(wire: Wire2) -> None:
        await wire.head()
        await wire.chunks(delta("a"), delta("b")[:20])
        await wire.gone()

    with serving2(script) as server:
        begun = started(server, ca)
        wait_until(lambda: begun.run.text == "a")
        begun.stop()
        run = begun.wait()
        server.wait_left()
    assert (run.outcome.value, run.text) == ("stopped", "a")


FAULTS = {
    "reset": (reset(2), "the server reset the stream (INTERNAL_ERROR)"),
    "goaway": (goaway(1, 11, b"too_many_pings"), "the server said goodbye (ENHANCE_YOUR_CALM: too_many_pings)"),
    "gone": (None, "disconnected"),
    "gone in a frame": (data(delta("c"))[:15], "disconnected"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_reply_that_breaks_off_is_never_complete_and_keeps_what_came(case: str, ca: str):
    piece, said = FAULTS[case]

    async def script(wire: Wire2) -> None:
        await wire.send(wire.headers() + data(delta("a")) + data(delta("b")) + (piece or b""))
        if case.startswith("gone"):
            await wire.bye()
        await wire.gone()

    with serving2(script) as server:
        run = stream(server, ca)
        assert int(run.chunks["wire_bytes"].sum()) == server.written
    assert (run.outcome.value, run.text) == ("protocol_error", "ab")
    assert said in run.error
    assert "\n" not in run.error


def test_a_server_that_says_goodbye_finishes_its_reply(ca: str):
    async def script(wire: Wire2) -> None:
        await wire.head()
        await wire.chunks(delta("a"))
        await wire.send(goaway(1))
        await wire.chunks(delta("b"), STOP + DONE)
        await wire.end()

    with serving2(script) as server:
        for _ in range(2):
            run = stream(server, ca)
            assert (run.outcome.value, run.text) == ("complete", "ab")
        assert server.accepted == 2


def test_an_error_of_the_api_is_one_over_http_2_too(ca: str):
    async def script(wire: Wire2) -> None:
        body = b'{"error": {"message": "slow down", "type": "rate"}}'
        await wire.send(wire.headers("application/json", "429") + data(body, wire.stream, ENDS))

    with serving2(script) as server:
        run = stream(server, ca)
    assert run.calls["status"].tolist() == [429]
    assert "slow down" in run.error


def test_a_server_that_only_speaks_http_1_1_is_asked_in_it_and_the_run_says_so(ca: str):
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(BODY)
        await wire.send(END)

    for protocols in (("http/1.1",), ("something",)):
        with serving2(script, protocols) as server:
            run = stream(server, ca)
            assert (run.outcome.value, run.text) == ("complete", "".join(TEXT))
            assert run.calls["transport"].tolist() == ["httpcore"]
            assert int(run.chunks["wire_bytes"].sum()) == server.written


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="nobody says here which files are open")
def test_sixty_streams_opened_and_ended_in_a_loop_leave_no_descriptor(ca: str):
    async def cut(wire: Wire2) -> None:
        await wire.send(wire.headers() + data(delta("a"), wire.stream))
        wire.reset()

    def n_open() -> int:
        return len(list(OPEN_FILES.iterdir()))

    with serving2(many_per_frame) as good, serving2(cut) as bad:
        before = n_open()
        runs = [stream(good if n % 3 else bad, ca) for n in range(60)]
        assert {run.outcome.value for run in runs} == {"complete", "protocol_error"}
        assert good.accepted == 1
        for transport in session._transports.values():
            portal.wait(portal.spawn(transport.aclose()))
        deadline = time.monotonic() + PATIENCE_S
        while n_open() > before:  # a loop to wait in would open files itself
            assert time.monotonic() < deadline, "files were left open"
            time.sleep(0.01)


# -- the option


def test_plain_http_is_refused_before_anything_is_sent(ca: str):
    said = r"HTTP/2 needs https, and this goes to an http:// address: leave http2 \(--http2\) out"
    with serving(Wire.gone) as server:
        with pytest.raises(UsageError, match=said):
            stream(server, ca)
        assert server.accepted == 0
    with pytest.raises(UsageError, match=said):
        streamnb.stream("demo", "hi", http2=True, record=False)


def test_without_its_package_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, ca: str):
    monkeypatch.setitem(sys.modules, "h2", None)
    with serving2(many_per_frame) as server:
        with pytest.raises(UsageError, match=r'pip install "streamnb\[http2\]"'):
            stream(server, ca)
        assert server.accepted == 0


def test_it_is_asked_for_by_a_keyword_or_a_word_of_the_magic():
    assert route_of(ask("openai_chat", "hi", http2=True)) == Route(http2=True)
    assert parse_cell("openai_chat --http2") == (["openai_chat"], {"http2": True})
    assert parse_line("openai_chat") == ("openai_chat", {})


def test_who_goes_on_goes_on_with_it():
    pace = {"tokens": 3, "ttft": 0, "gap": 0}
    run = streamnb.stream("typebot", "Hi", typebot="demo", sim=True, pace=pace, record=False)
    assert not going_on(Ask("typebot", "more", after=run)).http2
    keep(run, Ask("typebot", "Hi", http2=True))
    assert going_on(Ask("typebot", "more", after=run)).http2


def test_a_file_of_a_run_says_what_carried_it(ca: str):
    with serving2(many_per_frame) as server:
        run = stream(server, ca, record=True)
    assert streamnb.open(run.path).calls["transport"].tolist() == ["httpcore-h2"]
