"""Replies that carry credentials: held back until these are known, so that no byte of one is journaled in the clear.

Knows reads and the names of fields. Must not know: which API, what is done with the values.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import httpx

from streamnb.errors import TransportError
from streamnb.redaction import find_fields
from streamnb.transport.reads import Read

HELD_BYTES: Final = 1024 * 1024
"""A longer reply is let go: its credential would have come by then."""


async def hold_back(
    reads: AsyncIterator[Read], names: Sequence[str], found: Callable[[str, str], None]
) -> AsyncIterator[Read]:
    """The same reads with the same stamps, after `found(name, value)` was told of every credential in them.

    Args:
        reads: the body.
        names: JSON fields whose string values are credentials.
        found: told of each before the first read comes out, also when the body breaks off.
    """
    held: list[Read] = []
    size = 0
    failed: httpx.TransportError | TransportError | None = None
    try:
        async for read in reads:
            held.append(read)
            size += len(read.data)
            if size > HELD_BYTES:
                break
    except (httpx.TransportError, TransportError) as error:
        failed = error  # what came before is kept, and goes first
    for name, value in find_fields(b"".join(read.data for read in held), names).items():
        found(name, value)
    for read in held:
        yield read
    if failed is not None:
        raise failed
    async for read in reads:
        yield read
