from __future__ import annotations

import logging

import httpcore
import httpx
import pytest
from fault_server import END, Wire, serving

from streamnb.transport.pool import PooledTransport

KEY = "canary-0123456789"


async def echo(wire: Wire) -> None:
    await wire.head(X_Echo=KEY)
    await wire.chunks(b"x")
    await wire.send(END)


async def test_our_requests_leave_no_record_at_any_level_but_that_of_closing(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    transport = PooledTransport()
    with serving(echo) as server:
        response = await transport.handle_async_request(httpx.Request("GET", f"{server.origin}/?key={KEY}"))
        assert b"".join([read.data async for read in response.extensions["streamnb.reads"]]) == b"x"
        await transport.aclose()
    assert KEY not in caplog.text
    said = {record.getMessage().partition(".")[0] for record in caplog.records if record.name.startswith("httpcore")}
    assert said <= {"response_closed", "close"}


async def test_the_users_own_clients_log_as_ever(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with serving(echo) as server:
        async with httpcore.AsyncConnectionPool() as pool:
            await pool.request("GET", server.origin)
    assert [record for record in caplog.records if record.name == "httpcore.http11"]
