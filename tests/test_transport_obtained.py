from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from streamnb.errors import ProtocolError
from streamnb.transport import Read, hold_back
from streamnb.transport.obtained import HELD_BYTES

KEY = "a-session-key"


def reads(*pieces: bytes) -> list[Read]:
    return [Read(n, 1000 * n, len(piece), piece) for n, piece in enumerate(pieces)]


async def body(items: list[Read], error: ProtocolError | None = None) -> AsyncIterator[Read]:
    for item in items:
        yield item
    if error is not None:
        raise error


async def test_the_reads_come_out_as_they_were_after_the_credential_is_told():
    told: list[object] = []
    given = reads(b'{"key": "a-ses', b'sion-key"', b"}")
    taken = hold_back(body(given), ["key"], lambda *pair: told.append(pair))
    told.extend([read async for read in taken])
    assert told == [("key", KEY), *given]


async def test_what_came_before_a_break_comes_out_masked_first_then_the_break():
    told: list[object] = []
    given = reads(b'{"key": "a-session-key", "x')
    taken = hold_back(body(given, ProtocolError("cut")), ["key"], lambda *pair: told.append(pair))
    assert await anext(taken) == given[0]
    assert told == [("key", KEY)]
    with pytest.raises(ProtocolError, match="cut"):
        await anext(taken)


async def test_a_reply_beyond_the_limit_is_let_go_and_loses_nothing():
    given = reads(b'{"key": "a-session-key"', *[b"x" * 65536] * 20)
    assert sum(len(read.data) for read in given) > HELD_BYTES
    told: list[object] = []
    out = [read async for read in hold_back(body(given), ["key"], lambda *pair: told.append(pair))]
    assert out == given
    assert told == [("key", KEY)]
