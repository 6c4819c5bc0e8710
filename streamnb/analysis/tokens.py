"""Tokens: how many each piece of text brought, by the server's count and by a counter's, side by side.

Knows the events table, running usage and counters. Must not know: records, providers, displays.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from streamnb.analysis.counters import Counter, cumulative, resolve
from streamnb.analysis.pauses import text_events
from streamnb.analysis.running import running_usage
from streamnb.analysis.usage import server_tokens
from streamnb.errors import UsageError
from streamnb.tables.typed import Bools, Floats, Ints, build


def tokens(events: pd.DataFrame, counter: str | Counter | None = None, window_s: float = 1.0) -> pd.DataFrame:
    """Tokens of each text event: a delta is no token, and neither is a chunk.

    "Text" is a non-empty delta or reasoning event after t0. Whole messages, tool arguments and a set-up call's
    greeting have no rows; a server counts them, and end tokens, all the same.

    - n_tokens_server = the server's running count at the event minus that at the text before it in the call; missing
      unless usage comes with (nearly) every text. What it counted without showing it (hidden reasoning) is in the
      next text's number; what it counts after the last text (an end token) is in none
    - n_tokens_counter = counter(text up to the event) minus counter(text before it), of one call, choice and kind
      (answer, reasoning); a count that later text lowers is lowered at once, so none is negative and their sum is
      counter(whole text). A tokenizer counts joined text: the counts of the pieces alone would add up to more
    - rate_per_s = sum of n_tokens of the call's events in (t - window_s, t], over window_s; missing until window_s
      after the call's first text, and where n_tokens is

    n_tokens is n_tokens_server if all calls of the run that streamed text have it, else n_tokens_counter, else
    missing; `token_source` says which. An event whose tokens the server counted together with the next one's has none.

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.
        counter: a function from text to its number of tokens (it should add no begin token), or the name of an
            encoding, `cl100k_base`, `o200k_base`, `voyage3_base`: `pip install streamnb[tokens]`, nothing is
            downloaded. It is handed the tail of a growing text again at each event, so its cost grows with the length.
        window_s: length of the trailing window (s).

    Returns:
        The declared columns of `tokens`, one row per text event. What cannot be known is missing, never 0.

    Raises:
        UsageError: no such encoding, the extra is not installed, a counter that returns no count, no such window.
    """
    if not 0 < window_s < np.inf:
        raise UsageError(f"window_s wants a number of seconds above 0, not {window_s!r}.")
    name, count = (None, None) if counter is None else resolve(counter)
    text = text_events(events).reset_index(drop=True)
    known, server = running_usage(events)
    own = np.full(len(text), np.nan) if count is None else _counted(text, count)
    by_server = _has_running_count(text, server)
    n_tokens = np.where(by_server, server, own)
    columns: dict[str, Any] = {column: text[column] for column in ("run_id", "seq", "chunk_seq", "call", "t_s")}
    columns |= {
        "n_chars": text["text"].str.len(),
        "n_tokens": n_tokens,
        "n_tokens_cum": pd.Series(n_tokens).groupby(text["run_id"]).cumsum(),
        "chunk_tokens": _per_chunk(text, n_tokens),
        "rate_per_s": _rate(text, n_tokens, window_s),
        "tokens_out_server": known,
        "n_tokens_server": server,
        "n_tokens_counter": own,
        "token_source": ["server" if one else name for one in by_server],
    }
    return build("tokens", columns)


def token_totals(events: pd.DataFrame, counter: str | Counter | None = None) -> pd.DataFrame:
    """Tokens of each run: the server's total and a counter's, and what is in a chunk.

    - difference = tokens_out_counter - tokens_out_server. It is no error of either: the server also counts hidden
      reasoning, tool calls and end tokens, and its model may have another vocabulary than the counter
    - tokens_per_chunk = mean of chunk_tokens (see `tokens`) over the chunks with text
    - multi_token_share = share of these chunks with more than one token: beyond 0 a gap is no time per token

    Args:
        events: the events table of one or many runs, in order of `seq` within a run.
        counter: as of `tokens`.

    Returns:
        The declared columns of `token_totals`, one row per run in the events table. `token_source` says whose count
        the last two columns come from; it is missing where no count per event is known, also where the server gave
        its total at the end. What cannot be known is missing, never 0.

    Raises:
        UsageError: as of `tokens`.
    """
    runs = pd.Index(events["run_id"].drop_duplicates(), dtype="object")
    rows = tokens(events, counter)
    said = server_tokens(events)
    server = pd.Series([said.get(run_id, (None, None))[1] for run_id in runs], dtype="Int64")
    by_run = rows.groupby("run_id")
    counted = pd.Series(_of(runs, by_run["n_tokens_counter"].sum(min_count=1)), dtype="Int64")
    chunks = rows.drop_duplicates(["run_id", "chunk_seq"])
    known = chunks[chunks["chunk_tokens"].notna()]
    columns = {
        "run_id": runs,
        "tokens_out_server": server,
        "tokens_out_counter": counted,
        "difference": counted - server,
        "token_source": by_run["token_source"].first().reindex(runs).array,
        "n_text_chunks": chunks.groupby("run_id").size().reindex(runs, fill_value=0).array,
        "tokens_per_chunk": _of(runs, known.groupby("run_id")["chunk_tokens"].mean()),
        "multi_token_share": _of(runs, (known["chunk_tokens"] > 1).groupby(known["run_id"]).mean()),
    }
    return build("token_totals", columns)


def _counted(text: pd.DataFrame, count: Counter) -> Floats:
    """The counter's number of each event: differences of the count of what it belongs to."""
    own = np.full(len(text), np.nan)
    keys = text[["run_id", "call", "kind"]].assign(choice=text["choice"].fillna(0))
    pieces = text["text"].tolist()
    for places in _groups(keys):
        own[places] = np.diff(cumulative([pieces[place] for place in places], count), prepend=0)
    return own


def _has_running_count(text: pd.DataFrame, server: Floats) -> Bools:
    """Whether all calls of the event's run that streamed text have a running count."""
    rows = text[["run_id", "call"]].assign(known=~np.isnan(server))
    call = rows.groupby(["run_id", "call"])["known"].transform("any").astype(bool)
    return call.groupby(rows["run_id"]).transform("all").to_numpy(dtype=bool)


def _per_chunk(text: pd.DataFrame, n_tokens: Floats) -> Any:
    """Sum over the chunk's events, unless its last ones are counted with those of the next chunk."""
    keys = ["run_id", "chunk_seq"]
    rows = text[keys].assign(n=n_tokens)
    carried = rows["n"].isna() & ~rows.duplicated(keys, keep="last")
    chunk = rows.assign(carried=carried).groupby(keys)
    return chunk["n"].transform("sum").where(~chunk["carried"].transform("any").astype(bool)).array


def _rate(text: pd.DataFrame, n_tokens: Floats, window_s: float) -> Floats:
    rate = np.full(len(text), np.nan)
    t_ns, window_ns = text["t_ns"].to_numpy(), round(window_s * 1e9)
    for places in _groups(text[["run_id", "call"]]):
        t, n = t_ns[places], n_tokens[places]
        so_far = np.concatenate([[0.0], np.nancumsum(n)])
        arrived = so_far[np.searchsorted(t, t, side="right")] - so_far[np.searchsorted(t, t - window_ns, side="right")]
        rate[places] = np.where((t - t[0] >= window_ns) & ~np.isnan(n), arrived / window_s, np.nan)
    return rate


def _of(runs: pd.Index, values: pd.Series) -> Floats:
    return values.reindex(runs).to_numpy(dtype="float64", na_value=np.nan)


def _groups(keys: pd.DataFrame) -> list[Ints]:
    """Positions of the rows that are the same, in order, group by group."""
    group = keys.groupby(list(keys), sort=False)
    order = np.argsort(group.ngroup().to_numpy(), kind="stable")
    ends = list(itertools.accumulate(group.size().tolist()))
    return [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]
