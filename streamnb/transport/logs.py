"""Silence about our own requests: httpcore's debug records hold response headers, and a server may echo a key (S15).

Knows logging and the names of loggers. Must not know: keys, requests. The user's own clients log as ever.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
from collections.abc import Iterator
from typing import Final

_LOGGERS: Final = (
    *("httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks"),
    *("hpack.hpack", "hpack.table"),  # HTTP/2: they hold request headers too
)
_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("streamnb.transport.logs", default=False)


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Inside, this task's httpcore records go nowhere."""
    _install()
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


@functools.cache
def _install() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_theirs)


def _is_theirs(record: logging.LogRecord) -> bool:
    del record
    return not _ours.get()
