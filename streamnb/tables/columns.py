"""Columns: what each table has, in which order, with which dtype and meaning.

Knows pandas dtypes by name only. Must not know: pandas, records, formulas' code.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

_RUN_ID = ("string", "the run, as in its file name")
_EVENT_SEQ = ("int64", "number of the event in its run, from 0")
_CALL = ("int64", "number of the HTTP call in its run, from 0")
_T_NS = ("int64", "when the bytes were here: kernel_ns where known, else read_ns (CLOCK_MONOTONIC, ns; transport)")
_T_S = ("float64", "the same counted from t0 (s); missing without t0")
_STAMP = ("string", "where t_ns was taken: kernel (its receive stamp), read (socket), chunk (a client's iterator)")

_TIMING: Final = {
    "ttft_s": ("float64", "t0 to the first non-empty delta or reasoning event (s; events)"),
    "ttfa_s": ("float64", "t0 to the first answer text: reasoning does not count (s; events)"),
    "ttfr_s": ("float64", "t0 to the first reasoning text (s; events)"),
    "e2e_s": ("float64", "t0 to the last delta or reasoning event (s; events)"),
}
_TPOT = ("float64", "(e2e_s - ttft_s) / (tokens_out - 1), server's count of text only (s; events)")
_MAX_GAP = ("float64", "longest gap between chunks with text (s; events)")
_TOKENS: Final = {
    "n_chars": ("Int64", "characters of streamed text: deltas and reasoning, all choices (events)"),
    "tokens_in": ("Int64", "prompt tokens as the server counts them (usage events)"),
    "tokens_out": ("Int64", "generated tokens, reasoning included, as the server counts them (usage events)"),
    "token_source": ("string", "server; missing when no count came: tokens are never guessed"),
}

_DECLARED: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "runs": {
        "run_id": _RUN_ID,
        "provider": ("string", "name of the API (its file in providers/)"),
        "model": ("string", "model asked for"),
        "target": ("string", "what was typed behind %%chatstream"),
        "profile": ("string", "profile the target came from"),
        "started_at": ("datetime64[ns, UTC]", "wall clock at the start"),
        "outcome": ("string", "how it ended; missing while it runs"),
        "error": ("string", "the message of what went wrong"),
        "cell_id": ("string", "notebook cell that started it"),
        "chat": ("string", "conversation it belongs to"),
        "repeat": ("Int64", "number of the repetition, from 0"),
        "setup_s": ("float64", "first call handed to the transport to t0 (s; transport)"),
        "queued_s": ("float64", "waiting for a client-side slot (s); missing where there are no slots"),
        **_TIMING,
        "close_s": ("float64", "t0 to the end of the last streamed body (s; transport)"),
        "tpot_s": _TPOT,
        "max_gap_s": _MAX_GAP,
        "n_chunks": ("Int64", "rows of chunks"),
        "n_events": ("Int64", "rows of events"),
        "n_bytes": ("Int64", "decoded body bytes"),
        **_TOKENS,
        "stamp_source": _STAMP,
        "verdict": ("string", "how far the times can be trusted: clean, or what bends them (`run.verdict`)"),
        "measurement_error_s": ("float64", "99th percentile of the stamps' lateness (s; `streamnb.calibrate`)"),
    },
    "calls": {
        "run_id": _RUN_ID,
        "n": _CALL,
        "name": ("string", "what the call is for (provider)"),
        "status": ("Int64", "HTTP status; missing when no reply came"),
        "dns_s": ("float64", "name lookup (s; transport); missing when there was none, as on a reused connection"),
        "connect_s": ("float64", "TCP connect (s; transport); missing when there was none"),
        "tls_s": ("float64", "TLS handshake (s; transport); missing when there was none"),
        "sent_s": ("float64", "the call's own t0 to the request's last byte handed over (s; transport)"),
        "headers_s": ("float64", "the call's own t0 to the reply's headers (s; transport)"),
        "first_byte_s": ("float64", "the call's own t0 to the first byte of the reply's body (s; transport)"),
        "reused": ("boolean", "whether an open connection was used again; missing when unknown"),
        "transport": (
            "string",
            "what carried it: direct (our own HTTP/1.1), httpcore (-h2: HTTP/2), httpx (your client)",
        ),
        "paused_s": ("float64", "how long the socket was not read because nobody took the bytes (s; transport)"),
    },
    "chunks": {
        "run_id": _RUN_ID,
        "seq": ("int64", "number of the chunk in its run, from 0"),
        "call": _CALL,
        "t_ns": _T_NS,
        "t_s": _T_S,
        "n_bytes": ("int64", "decoded body bytes"),
        "wire_bytes": ("Int64", "bytes read from the socket, HTTP framing included; missing when not seen"),
        "data": ("object", "the decoded body bytes, secrets masked in place"),
        "n_frames": ("int64", "frames it completed"),
        "n_events": ("int64", "events it completed"),
        "stamp_source": _STAMP,
        "server_t_ns": ("Int64", "send time the server wrote into it (CLOCK_MONOTONIC of this machine, ns)"),
        "read_ns": ("int64", "when this process had the bytes (CLOCK_MONOTONIC, ns; transport)"),
        "kernel_ns": ("Int64", "when the kernel had the last of them (same clock, ns); missing without its stamps"),
        "client_lag_s": ("float64", "read_ns - kernel_ns (s): how late this process was; missing without kernel_ns"),
    },
    "events": {
        "run_id": _RUN_ID,
        "seq": _EVENT_SEQ,
        "chunk_seq": ("int64", "chunk that completed it"),
        "call": _CALL,
        "t_ns": _T_NS,
        "t_s": _T_S,
        "kind": ("string", "what it means: delta, reasoning, message, citation, usage, ping, error, end, ..."),
        "text": ("string", "piece of the answer, whole message, tool arguments or error message"),
        "choice": ("Int64", "which answer it belongs to, where an API sends several"),
        "name": ("string", "tool, action, error type, finish reason or model"),
        "id": ("string", "the platform's id of the message, tool call, session or citation"),
        "data": ("string", "the rest of what the API sent, as JSON text"),
        "coalesced": ("boolean", "its chunk completed more than this event, so its own time is not known"),
        "flags": ("string", "what was unusual about its bytes, words separated by spaces"),
        "server_time": ("datetime64[ns, UTC]", "the server's own wall clock when it made it, where it says so"),
        "n_events_in_read": ("int64", "events its read completed: beyond 1 they share the stamp of the last"),
    },
    "citations": {
        "run_id": _RUN_ID,
        "seq": _EVENT_SEQ,
        "t_s": _T_S,
        "id": ("string", "the platform's id of the citation"),
        "title": ("string", "title of the source"),
        "url": ("string", "address of the source"),
        "source_type": ("string", "kind of source, in the platform's words"),
        "at_char": ("Int64", "characters of the answer before it: the platform's number, else the deltas before it"),
    },
    "frames": {
        "run_id": _RUN_ID,
        "seq": ("int64", "number of the frame in its run, from 0"),
        "chunk_seq": ("Int64", "chunk that completed it; missing when the reply had no bytes"),
        "call": ("Int64", "number of the HTTP call in its run, from 0"),
        "t_ns": ("Int64", "when that chunk's socket read completed (CLOCK_MONOTONIC, ns; transport)"),
        "t_s": _T_S,
        "event": ("string", "SSE event type, prefix-line code, or the call's name for a whole JSON body"),
        "data": ("string", "the message's text"),
        "id": ("string", "SSE last event id in force"),
        "retry": ("Int64", "SSE reconnection time in force, in milliseconds"),
        "line": ("Int64", "line number in the body, from 1 (JSON Lines, prefix lines)"),
        "raw": ("object", "the bytes it was made of"),
        "flags": ("string", "what was unusual about its bytes, words separated by spaces"),
    },
    "recordings": {
        "run_id": _RUN_ID,
        "provider": ("string", "name of the API (its file in providers/)"),
        "target": ("string", "what was typed behind %%chatstream"),
        "model": ("string", "model asked for"),
        "started_at": ("datetime64[ns, UTC]", "wall clock at the start"),
        "outcome": ("string", "how it ended; crashed: its writer died; running: its writer lives"),
        "n_bytes": ("int64", "size of the file"),
        "path": ("string", "where it lies"),
    },
    "providers": {
        "name": ("string", "what to type behind %%chatstream"),
        "title": ("string", "what it speaks"),
        "key_env": ("string", "environment variable that holds the key"),
        "key_required": ("boolean", "whether nothing is sent without it (never needed with --sim)"),
        "base_url": ("string", "where requests go unless --base-url says otherwise"),
        "options": ("string", "its own options"),
        "limits": ("string", "the vendor's own limits of streams, as far as it documents them"),
        "lists": ("string", "lists that streamnb.records streams from it"),
    },
    "lags": {
        "run_id": _RUN_ID,
        "kind": (
            "string",
            "gc (a garbage collection), loop (the loop thread was late), clock (the wall clock was set)",
        ),
        "start_ns": ("int64", "when it began (CLOCK_MONOTONIC, ns)"),
        "t_s": ("float64", "the same counted from t0 (s); missing without t0"),
        "length_s": ("float64", "how long it took (s); of clock: how far it was set"),
    },
    "stalls": {
        "run_id": _RUN_ID,
        "start_s": ("float64", "t0 to the last text before the silence (s)"),
        "length_s": ("float64", "length of the silence (s)"),
        "after_seq": ("int64", "last event with text before it"),
        "recovered": ("boolean", "whether text came again"),
        "cause": ("string", "who made it: client (this process), network (or a proxy), server; missing: not known"),
    },
    "evidence": {
        "run_id": _RUN_ID,
        "check": ("string", "what was looked at"),
        "value": ("float64", "what was found; missing when it cannot be known"),
        "unit": ("string", "of value and threshold"),
        "threshold": ("float64", "from where on it counts"),
        "fires": ("boolean", "whether it counts"),
        "points_to": ("string", "the verdict it speaks for"),
    },
    "gaps": {
        "run_id": _RUN_ID,
        "seq": ("int64", "first event with text of the later chunk"),
        "chunk_seq": ("int64", "the later chunk"),
        "call": _CALL,
        "t_s": ("float64", "t0 to the end of the gap (s)"),
        "gap_s": ("float64", "time between the two reads (s)"),
        "coalesced": ("boolean", "several texts came with the stamp that ends it, so it is the gap of the last"),
    },
    "latency": {
        "run_id": _RUN_ID,
        **_TIMING,
        "tpot_s": _TPOT,
        "tokens_per_s": ("float64", "(tokens_out - 1) / (e2e_s - ttft_s), server's count of text only (1/s)"),
        "max_gap_s": _MAX_GAP,
        "icl_p50_s": ("float64", "median inter-chunk latency = gap (s); missing below 2 gaps"),
        "icl_p95_s": ("float64", "95th percentile of the gaps (s); missing below 20 gaps"),
        "n_gaps": ("Int64", "gaps between chunks with text"),
        "n_text_events": ("Int64", "non-empty delta and reasoning events, all choices"),
        **_TOKENS,
    },
    "tokens": {
        "run_id": _RUN_ID,
        "seq": _EVENT_SEQ,
        "chunk_seq": ("int64", "chunk that completed it"),
        "call": _CALL,
        "t_s": _T_S,
        "n_chars": ("int64", "characters of its text"),
        "n_tokens": ("float64", "its tokens, as token_source counts them; missing when nobody counted it alone"),
        "n_tokens_cum": ("float64", "sum of n_tokens in the run up to it"),
        "chunk_tokens": ("float64", "tokens of its whole chunk, the same in each of its rows"),
        "rate_per_s": ("float64", "tokens of its call in the window that ends with it, over the window's length (1/s)"),
        "tokens_out_server": ("float64", "generated tokens of the run, as far as the server had said by then"),
        "n_tokens_server": ("float64", "what the server's running count grew by; missing without one"),
        "n_tokens_counter": ("float64", "what the counter's number of the text grew by; missing without a counter"),
        "token_source": ("string", "server or counter:NAME, which n_tokens is; missing: neither"),
    },
    "token_totals": {
        "run_id": _RUN_ID,
        "tokens_out_server": ("Int64", "generated tokens, reasoning included, as the server counts them"),
        "tokens_out_counter": (
            "Int64",
            "tokens of the streamed text by the counter; missing without text or counter",
        ),
        "difference": ("Int64", "tokens_out_counter - tokens_out_server"),
        "token_source": ("string", "server (its running count) or counter:NAME, for the last two columns"),
        "n_text_chunks": ("Int64", "chunks with text"),
        "tokens_per_chunk": ("float64", "mean tokens of a chunk with text"),
        "multi_token_share": ("float64", "share of these chunks with more than one token, 0 to 1"),
    },
    "compare": {
        "metric": ("string", "column of runs that is compared"),
        "n_runs": ("Int64", "runs of the group, however they ended"),
        "n_failed": ("Int64", "runs that ended badly; their figures are left out of the statistics"),
        "n_running": ("Int64", "runs without an outcome yet, left out too"),
        "n": ("Int64", "good runs that have the figure: the sample of the columns that follow"),
        "median": ("float64", "median, in the metric's unit"),
        "ci_low": ("float64", "lower end of the median's 95 % confidence interval; missing below 6 values"),
        "ci_high": ("float64", "upper end of it"),
        "min": ("float64", "smallest value"),
        "max": ("float64", "largest value"),
        "ratio_to_best": ("float64", "how many times worse the median is than the best group's, from 1"),
    },
    "percentiles": {
        "group": ("string", "value of `by`; all: not grouped"),
        "metric": ("string", "column the values are from"),
        "q": ("float64", "the quantile, 0 to 1"),
        "value": ("float64", "the percentile, in the metric's unit; missing when the values are too few for it"),
        "n": ("Int64", "values it stands on"),
        "n_runs": ("Int64", "runs they are from"),
        "n_coalesced": ("Int64", "gaps left out because several texts came with the read that ends them"),
        "ci_low": ("float64", "lower end of its 95 % confidence interval, runs drawn again; missing below 6 runs"),
        "ci_high": ("float64", "upper end of it"),
        "reason": ("string", "why the value or an end of the interval is missing; missing when neither is"),
    },
}

COLUMNS: Final = {table: {name: dtype for name, (dtype, _) in c.items()} for table, c in _DECLARED.items()}
"""Declared columns of each table, in order, with their pandas dtypes (the same on pandas 2.2 and 3)."""

DOC: Final = {table: {name: doc for name, (_, doc) in c.items()} for table, c in _DECLARED.items()}
"""One line per column: meaning, unit, source."""


def columns_markdown(table: str) -> str:
    """The columns of one table as a Markdown table (name, dtype, meaning)."""
    rows = (f"| `{name}` | {dtype} | {doc} |" for name, (dtype, doc) in _DECLARED[table].items())
    return "\n".join(chain(["| column | dtype | meaning |", "|---|---|---|"], rows)) + "\n"
