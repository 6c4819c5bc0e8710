from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import math
from collections.abc import Callable

import httpx
import pytest
from fault_server import END, FaultServer, Wire, chunk, head, serving

from streamnb.errors import ConnectError, LimitError, MissingKeyError, ProtocolError, UsageError
from streamnb.events import Outcome
from streamnb.providers import Call, load
from streamnb.redaction import Secret
from streamnb.transport import Keyring, StampedTransport, classify, exchange, prepare, timings_of

KEY = "canary-0123456789"
CALL = Call("chat", path="/chat", body={"say": "héllo {x} $y;\n"}, stream=True)
KEYED = dataclasses.replace(CALL, headers={"Authorization": Secret("CANARY_KEY", prefix="Bearer ")})
IN_QUERY = dataclasses.replace(CALL, query={"key": Secret("CANARY_KEY"), "alt": "sse"})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)


def prepared(call: Call = CALL, base_url: str = "https://api.example/v1", **keywords: bool) -> httpx.Request:
    return prepare(load("sse")(base_url), call, Keyring("sse"), **keywords)


def test_a_request_says_what_it_wants_and_hides_nothing_from_time():
    request = prepared()
    assert (request.method, str(request.url)) == ("POST", "https://api.example/v1/chat")
    assert request.headers["accept"].startswith("text/event-stream")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["cache-control"] == "no-store"
    assert request.headers["user-agent"].startswith("streamnb/")
    assert request.headers["content-type"] == "application/json"


def test_a_step_asks_for_json():
    assert prepared(dataclasses.replace(CALL, stream=False)).headers["accept"] == "application/json"


def test_the_body_goes_out_as_it_is():
    assert prepared().content == '{"say": "héllo {x} $y;\\n"}'.encode()


def test_a_lone_surrogate_goes_out_as_its_escape():
    body = {"say": "é\ud83d"}
    assert json.loads(prepared(dataclasses.replace(CALL, body=body)).content) == body


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x"])
def test_a_body_that_is_no_json_is_refused(value: object):
    with pytest.raises(UsageError, match=r"sse: the request's body is no JSON \(.*\); look at the parameters"):
        prepared(dataclasses.replace(CALL, body={"x": value}))


def test_a_body_that_contains_itself_is_refused():
    body: dict[str, object] = {}
    body["x"] = body
    with pytest.raises(UsageError, match="no JSON"):
        prepared(dataclasses.replace(CALL, body=body))


def test_a_call_without_a_body_sends_none():
    request = prepared(Call("get", "GET"))
    assert (request.content, "content-type" in request.headers) == (b"", False)


def test_a_key_goes_into_its_header_or_query_field():
    assert prepared(KEYED).headers["authorization"] == f"Bearer {KEY}"
    assert dict(prepared(IN_QUERY).url.params) == {"key": KEY, "alt": "sse"}


def test_a_missing_key_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CANARY_KEY")
    with pytest.raises(MissingKeyError):
        prepared(KEYED)


@pytest.mark.parametrize("call", [KEYED, IN_QUERY])
def test_a_key_never_goes_to_another_host_in_the_clear(call: Call):
    with pytest.raises(UsageError, match=r"sse: http://notloopback\.invalid would get the key in the clear; use https"):
        prepared(call, "http://notloopback.invalid/v1")
    assert prepared(call, "http://notloopback.invalid/v1", allow_http=True).url.host == "notloopback.invalid"


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:80", "127.9.9.9", "sim.localhost"])
def test_this_machine_may_get_the_key_over_http(host: str):
    assert prepared(KEYED, f"http://{host}/v1").headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("host", ["localhost.example.org", "127.0.0.1.example.org", "0.0.0.0", "2130706433"])
def test_what_only_looks_like_this_machine_may_not(host: str):
    with pytest.raises(UsageError, match="in the clear"):
        prepared(KEYED, f"http://{host}/v1")


def test_without_a_key_http_is_nobodys_business():
    assert prepared(CALL, "http://notloopback.invalid/v1").url.scheme == "http"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:text/plain,x", "api.example/v1", "http://", "ftp://x/y"])
def test_a_base_url_that_is_no_http_address_is_refused(url: str):
    with pytest.raises(UsageError, match=r"the base URL '.*' is not an http\(s\) address"):
        prepared(CALL, url)


def test_a_password_in_a_wrong_base_url_is_not_repeated():
    with pytest.raises(UsageError) as caught:
        prepared(CALL, "ftp://me:canary-password@x/")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "outcome", "text"),
    [
        (LimitError("too much"), Outcome.LIMIT, "too much"),
        (ProtocolError("odd"), Outcome.PROTOCOL_ERROR, "odd"),
        (ConnectError("no"), Outcome.CONNECT_ERROR, "no"),
        (httpx.ConnectError("refused"), Outcome.CONNECT_ERROR, "no connection to h: refused. Check the base URL"),
        (httpx.ConnectTimeout("late"), Outcome.CONNECT_ERROR, "no connection to h: late. Check the base URL"),
        (
            httpx.ReadError("reset"),
            Outcome.PROTOCOL_ERROR,
            "the connection to h broke off: reset. What arrived is kept",
        ),
        (httpx.WriteError("pipe"), Outcome.PROTOCOL_ERROR, "the connection to h broke off: pipe. What arrived is kept"),
        (httpx.ProxyError("407"), Outcome.CONNECT_ERROR, "no connection to h by the proxy: 407. Check its"),
        (
            httpx.RemoteProtocolError(r"illegal: bytearray(b'say \xe9 it\n')"),
            Outcome.PROTOCOL_ERROR,
            'h broke the HTTP protocol: illegal: "say \xe9 it\ufffd". What arrived',
        ),
        (httpx.RemoteProtocolError("bad."), Outcome.PROTOCOL_ERROR, "h broke the HTTP protocol: bad. What arrived"),
    ],
)
def test_every_failure_has_its_outcome_and_says_what_next(error: Exception, outcome: Outcome, text: str):
    found, detail = classify(error, "h")
    assert found is outcome
    assert detail.startswith(text)


async def test_an_exchange_hands_over_head_framing_and_decoded_reads():
    async def packed(wire: Wire) -> None:
        await wire.send(head(Content_Encoding="gzip", X_Two="b") + chunk(gzip.compress(b"hello")) + END)

    transport = StampedTransport()
    with serving(packed) as server:
        request = prepared(CALL, server.origin)
        async with exchange(transport, request, 5) as live:
            assert (live.head.status, live.head.content_type, live.framing) == (200, "text/event-stream", "chunked")
            assert ("X-Two", "b") in live.headers
            assert live.head.headers["x-two"] == "b"
            assert [read.data async for read in live.reads] == [b"hello"]
        assert live.timings is timings_of(request)
        await transport.aclose()


async def test_a_cut_gzip_body_is_an_error_behind_its_last_read():
    async def cut(wire: Wire) -> None:
        await wire.send(head(Content_Encoding="gzip") + chunk(gzip.compress(b"hello" * 100)[:-9]) + END)

    transport, data = StampedTransport(), []
    with serving(cut) as server:
        async with exchange(transport, prepared(CALL, server.origin), 5) as live:
            with pytest.raises(ProtocolError, match="ends before its end mark"):
                data.extend([read.data async for read in live.reads])
    await transport.aclose()


@pytest.mark.parametrize("packing", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_an_exchange_pours_decoded_reads_as_they_come(packing: Callable[[bytes], bytes]):
    async def packed(wire: Wire) -> None:
        coding = {"Content_Encoding": "gzip"} if packing is gzip.compress else {}
        await wire.send(head(**coding) + chunk(packing(b"hello")) + END)

    transport = StampedTransport()
    got: list[bytes] = []
    with serving(packed) as server:
        async with exchange(transport, prepared(CALL, server.origin), 5) as live:
            await live.pour(lambda _t, _k, _wire, data: got.append(data))
    assert b"".join(got) == b"hello"
    await transport.aclose()


def test_an_optional_key_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CANARY_KEY")
    optional = Secret("CANARY_KEY", prefix="Bearer ", required=False)
    request = prepared(dataclasses.replace(CALL, headers={"Authorization": optional, "X-Plain": "yes"}))
    assert "authorization" not in request.headers
    assert request.headers["x-plain"] == "yes"


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(b"x"), 0.001)


async def test_an_error_of_the_caller_closes_the_socket_and_leaves_nothing_running():
    transport = StampedTransport()
    before = len(asyncio.all_tasks())

    left = []

    async def fail(server: FaultServer) -> None:
        async with exchange(transport, prepared(CALL, server.origin), 5) as live:
            left.append(live.reads)
            async for _ in live.reads:
                raise ZeroDivisionError

    with serving(endless) as server:
        with pytest.raises(ZeroDivisionError):
            await fail(server)
        await asyncio.to_thread(server.wait_left)
    assert len(asyncio.all_tasks()) == before
    assert left[0].ag_frame is None  # closed here, not whenever the garbage collector comes
    await transport.aclose()


async def test_a_caller_that_reads_nothing_closes_the_socket():
    transport = StampedTransport()
    with serving(endless) as server:
        async with exchange(transport, prepared(CALL, server.origin), 5):
            pass
        await asyncio.to_thread(server.wait_left)
    await transport.aclose()


def test_a_request_that_was_never_sent_has_no_timings():
    timings = timings_of(httpx.Request("GET", "http://x"))
    assert timings.t0_ns is None
    assert math.isnan(timings.dns_s)
