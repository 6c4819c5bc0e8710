"""Explained: a verdict in two sentences, what bends the numbers and what to do about it.

Knows the evidence table and plain words. Must not know: how evidence is found, who shows it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd

Row: TypeAlias = Mapping[Any, Any]
_CLEAN = (
    "No check found anything that bends these times.",
    "Use them as they are; how late a stamp can be on this machine is what streamnb.calibrate() measures.",
)
_TO_DO = {
    "no_stream": "There is no TTFT and no gap to read off; close_s times the whole reply, error says why a run failed.",
    "clock_suspect": "Do not use them: run it again, and if it stays so look at what sets this machine's clock.",
    "buffered": (
        "TTFT and gaps are those of the buffer, not of the model: switch it off (nginx: proxy_buffering off), go "
        "around the proxy, or ask the server for real streaming."
    ),
    "client_limited": (
        "Stream less at once, leave this process in peace meanwhile (another kernel for what computes), or capture in "
        "a process of its own: isolate=True (--isolate); on Linux kernel stamps do not bend like this."
    ),
    "coalesced": (
        "{} hold, gaps between these events do not: leave them out (the columns coalesced and "
        "n_events_in_read), or find out who holds pieces back: this process (`lags`), a proxy, the server."
    ),
}
_SHARED = {
    "shared_reads": "{value:.0%} of the text events shared a read with others, and a read has one time stamp",
    "first_text_shared": "the first text shared its read, so that TTFT may be {late} too long ({limit} is too much)",
}


def sentences(name: str, evidence: pd.DataFrame) -> str:
    """What is wrong, with the figures that fired, and what to do."""
    if name not in _TO_DO:
        return " ".join(_CLEAN)
    fired = evidence[(evidence["points_to"] == name) & evidence["fires"].fillna(value=False)]
    rows: dict[str, Row] = {str(row["check"]): row for row in fired.to_dict("records")}
    holds = "Total and close_s" if "first_text_shared" in rows else "TTFT and total"
    return f"{_what(name, rows)}. {_TO_DO[name].format(holds)}"


def _what(name: str, rows: dict[str, Row]) -> str:
    """The first sentence, without its full stop."""
    match name:
        case "no_stream":
            return "The reply came as one JSON body" if "whole_json_body" in rows else "No piece of text was streamed"
        case "clock_suspect":
            return f"The clocks behind these times cannot be right: {', '.join(map(_counted, rows.values()))}"
        case "buffered":
            share = rows["text_in_bursts"]["value"]
            return f"{share:.0%} of the text came in bursts faster than it can have been generated, behind silences"
        case "client_limited":
            said = [_late(_WHO[check], row) for check, row in rows.items()]
            return f"This process was too busy to read in time: {' and '.join(said)}"
        case _:
            shared = "; ".join(map(_shared, rows.values()))
            return shared[0].upper() + shared[1:]


_WHO = {"client_lag_p90": "one read in ten was at least", "first_text_lag": "the read of the first text was"}
_CLOCKS = {
    "stamps_backwards": "stamps ran backwards ({})",
    "kernel_after_read": "the kernel's stamp was later than the read ({})",
    "wall_clock_set": "the wall clock was set meanwhile ({})",
}


def _counted(row: Row) -> str:
    times = "once" if row["value"] == 1 else f"{row['value']:.0f} times"
    return _CLOCKS[row["check"]].format(times)


def _shared(row: Row) -> str:
    late, limit = _ms(row["value"]), _ms(row["threshold"])
    return _SHARED[row["check"]].format(value=row["value"], late=late, limit=limit)


def _late(who: str, row: Row) -> str:
    return f"{who} {_ms(row['value'])} late ({_ms(row['threshold'])} is too much)"


def _ms(seconds: float) -> str:
    """Milliseconds with two digits that say something."""
    ms = seconds * 1e3
    return f"{ms:.{max(0, 1 - math.floor(math.log10(ms)))}f} ms" if ms > 0 else "0 ms"
