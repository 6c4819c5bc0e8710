"""Usage: the server's token counts, put together from usage events. Nothing is estimated.

Knows the events table. Must not know: tokenizers, texts, times.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from streamnb.analysis.pauses import text_events
from streamnb.tables.typed import is_count


def server_tokens(events: pd.DataFrame) -> dict[str, tuple[int | None, int | None]]:
    """Tokens in and out per run, as the server said.

    The data of a usage event is `{"tokens_in": int | None, "tokens_out": int | None, "usage": "last" | "sum", ...}`.
    `last` (also without the key) means a running or repeated total: the last number given wins. `sum` means one
    request of several: it is added. A number that never came stays None. What a set-up call used (a greeting, before
    t0) is not counted: its text has no part in the rates either.

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.

    Returns:
        run_id -> (tokens_in, tokens_out), only for runs with a usage event.
    """
    rows = events[(events["kind"] == "usage") & ~(events["t_s"] < 0)]
    totals: dict[str, tuple[int | None, int | None]] = {}
    for run_id, data in zip(rows["run_id"], rows["data"], strict=True):
        said = json.loads(data) if isinstance(data, str) else None
        said = said if isinstance(said, dict) else {}
        add = said.get("usage") == "sum"
        tokens_in, tokens_out = totals.get(run_id, (None, None))
        totals[run_id] = (fold(tokens_in, said.get("tokens_in"), add), fold(tokens_out, said.get("tokens_out"), add))
    return totals


def unseen(events: pd.DataFrame) -> set[str]:
    """The runs whose tokens_out counts more than their text: over the time of the text it would be no pace.

    That is what tool calls are made of, and reasoning that the server counted (`tokens_reasoning` of a usage event
    above 0) and did not stream.
    """
    rows = events[~(events["t_s"] < 0)]
    text = text_events(rows)
    shown = set(text["run_id"][text["kind"] == "reasoning"])
    usage = rows[rows["kind"] == "usage"]
    found = set(rows["run_id"][rows["kind"] == "tool_call"])
    for run_id, data in zip(usage["run_id"], usage["data"], strict=True):
        if run_id not in shown and isinstance(data, str) and "tokens_reasoning" in data:
            said = json.loads(data)
            count = said.get("tokens_reasoning") if isinstance(said, dict) else None
            if is_count(count) and count > 0:
                found.add(run_id)
    return found


def fold(total: int | None, said: Any, add: bool) -> int | None:
    """A total with one more number of a server in it; what is no count changes nothing."""
    if not is_count(said):
        return total
    return said + (total or 0) if add else said
