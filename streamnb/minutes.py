"""Minutes: what happens, written as transcript lines, with everything redacted that is not a received byte.

Knows requests, replies and the allow-lists (SAFETY S12-S14). Must not know: files, clocks, what bytes mean.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

import httpx

from streamnb.events import Prompt
from streamnb.providers import Call
from streamnb.recording import RunInfo
from streamnb.redaction import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    redact_headers,
    redact_json,
    redact_text,
    redact_url,
)
from streamnb.settings import Target
from streamnb.transcript import CallLine, ReplyLine, RunLine
from streamnb.transport import Exchange, Timings

_TIMINGS = ("dns_s", "connect_s", "tls_s", "t0_ns", "sent_ns", "headers_ns", "reused", "transport")


def run_line(info: RunInfo, target: Target, prompt: Prompt, t_ns: int, secrets: tuple[str, ...]) -> RunLine:
    """The first line of a run."""
    asked = {
        "text": prompt.text,
        "system": prompt.system,
        "model": prompt.model,
        "params": dict(prompt.params),
        "reply": prompt.reply,
        "tools": [dataclasses.asdict(tool) for tool in prompt.tools],
        "records": prompt.records,
        "take": prompt.take,
        "fresh_id": prompt.fresh_id,
        "history": [list(one) for one in prompt.history],
    }
    meta = {
        "base_url": redact_url(target.provider.base_url),
        "key_env": target.provider.key_env,
        "profile": info.profile,
        "model": info.model,
        "cell_id": info.cell_id,
        "chat": info.chat,
        "repeat": info.repeat,
        "usage": info.usage,
    }
    return RunLine(
        run_id=info.run_id,
        provider=info.provider,
        target=info.target,
        options=redact_json(dict(target.provider.values), secrets),
        prompt=redact_json(asked, secrets),
        clock={"t_ns": t_ns, "wall_ns": info.started_ns},
        pid=os.getpid(),
        meta=meta,
    )


def call_line(  # noqa: PLR0913  # what a line holds
    n: int, t_ns: int, call: Call, request: httpx.Request, secrets: tuple[str, ...], *, side: bool = False
) -> CallLine:
    """The line of a request that is about to go out."""
    headers = redact_headers(list(request.headers.items()), REQUEST_HEADERS)
    url = redact_text(redact_url(str(request.url)), secrets)
    body = redact_json(call.body, secrets)
    return CallLine(n, t_ns, call.name, call.method, url, headers, body, call.stream, side, call.setup)


def reply_line(n: int, live: Exchange, secrets: tuple[str, ...]) -> ReplyLine:
    """The line of a reply whose headers are in."""
    kept = [(key, redact_text(value, secrets)) for key, value in live.headers]
    headers = redact_headers(kept, RESPONSE_HEADERS)
    return ReplyLine(n, live.timings.headers_ns or 0, live.head.status, headers, live.framing, timings(live.timings))


def timings(stamps: Timings) -> dict[str, Any]:
    """The stamps of a request as the transcript holds them: None for what did not happen."""
    values = {name: getattr(stamps, name) for name in _TIMINGS}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
