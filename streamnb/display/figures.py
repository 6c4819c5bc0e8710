"""The figures of a run as people read them: three digits, a unit, a dash where there is none.

Knows the column names of the table `runs`. Must not know: how a figure is measured, HTML, widgets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, Final, Literal, NamedTuple

from streamnb.display.view import Final as FinalState
from streamnb.events import Outcome

DASH: Final = "\N{EN DASH}"
DOT: Final = " \N{MIDDLE DOT} "
_SECOND: Final = 0.9995
"""s: from here on three digits are those of a second."""

TRUST: Final = {
    "clean": "nothing was found that bends these times",
    "coalesced": "events shared reads, so when each of them came is not known",
    "buffered": "text came in bursts: a proxy or the server held it back",
    "client_limited": "this process was too busy to read in time",
    "clock_suspect": "the clocks behind these times cannot be right",
    "no_stream": "no text was streamed",
}
"""What each verdict on the times of a run means; `run.verdict` has the evidence."""


class Figure(NamedTuple):
    """One figure: a short label, the value with its unit, what it means exactly."""

    label: str
    value: str
    meaning: str


def missing(value: Any) -> bool:
    """True for None and NaN."""
    return value is None or (isinstance(value, Real) and math.isnan(value))


def number(value: Any) -> float:
    """The value as a float; NaN for everything that is missing."""
    return float(value) if isinstance(value, Real) else math.nan


def digits(value: Any) -> str:
    """Three significant digits, at most three decimals; a dash when missing."""
    amount = number(value)
    if not math.isfinite(amount):
        return DASH
    decimals = min(3, max(0, 2 - math.floor(math.log10(abs(amount))))) if amount else 0
    return f"{amount:,.{decimals}f}"


def duration(value: Any) -> str:
    """Seconds as people read them, with three digits: `152 ms` below a second, else `1.43 s`; a dash when missing.

    The page has the same rule in `brief`.
    """
    length_s = number(value)
    if not math.isfinite(length_s):
        return DASH
    if abs(length_s) < _SECOND:
        return f"{digits(length_s * 1e3)} ms"
    return f"{digits(length_s if abs(length_s) > 1 else round(length_s))} s"


def count(value: Any) -> str:
    """A whole number with thousands separated; a dash when missing."""
    amount = number(value)
    return f"{amount:,.0f}" if math.isfinite(amount) else DASH


def rate(summary: Mapping[str, Any]) -> tuple[float, str]:
    """Pieces per second and their unit: `tokens/s` only when the server counted tokens.

    Args:
        summary: values by column name; `tpot_s` wins over `rate_per_s` with `rate_unit`.

    Returns:
        The rate (NaN when there is none) and `tokens/s` or `chunks/s`.
    """
    tpot_s = number(summary.get("tpot_s"))
    if tpot_s > 0:
        return 1 / tpot_s, "tokens/s"
    return number(summary.get("rate_per_s")), str(summary.get("rate_unit") or "chunks/s")


def summary_line(final: FinalState) -> str:
    """One line: outcome, time to first token, total, chunks, rate, doubts; what is missing is left out."""
    summary = final.summary
    doubt = _doubt(final)
    per_s, unit = rate(summary)
    total_s = _first(summary, "e2e_s", "close_s")
    parts = (
        (outcome_words(final.outcome), True),
        (f"TTFT {duration(summary.get('ttft_s'))}", _known(summary.get("ttft_s"))),
        (f"total {duration(total_s)}", _known(total_s)),
        (f"{count(summary.get('n_chunks'))} chunks", _known(summary.get("n_chunks"))),
        (f"{count(summary.get('tokens_out'))} tokens", _known(summary.get("tokens_out"))),
        (f"{digits(per_s)} {unit}", _known(per_s)),
        (doubt, bool(doubt)),
    )
    return DOT.join(text for text, known in parts if known)


def figures(summary: Mapping[str, Any]) -> tuple[Figure, ...]:
    """The figures of the final table, in reading order; missing ones show a dash."""
    per_s, unit = rate(summary)
    source = summary.get("token_source")
    counted_by = f"the {source}" if isinstance(source, str) and source else "the server"
    trust = _judged(summary)
    judged = (Figure("timing verdict", trust.replace("_", " "), TRUST[trust]),) if trust else ()
    return (
        Figure("TTFT", duration(summary.get("ttft_s")), "first piece of text (answer or reasoning) minus t0"),
        Figure("to answer", duration(summary.get("ttfa_s")), "first piece of the answer itself minus t0"),
        Figure("total", duration(summary.get("e2e_s")), "last piece of text minus t0"),
        Figure("longest gap", duration(summary.get("max_gap_s")), "longest gap between two reads that carried text"),
        *judged,
        Figure("chunks", count(summary.get("n_chunks")), "socket reads that brought a piece of the body"),
        Figure("streamed characters", count(summary.get("n_chars")), "characters of streamed text"),
        Figure("tokens", count(summary.get("tokens_out")), f"tokens of the answer, counted by {counted_by}"),
        Figure(unit, digits(per_s), _rate_meaning(unit, counted_by)),
    )


def verdict(outcome: Outcome) -> Literal["ok", "halted", "failed"]:
    """How a screen takes an outcome: the API ended it, somebody here ended it, or something went wrong."""
    if outcome in {Outcome.STOPPED, Outcome.INTERRUPTED}:
        return "halted"
    return "ok" if outcome.ok else "failed"


def error_line(final: FinalState) -> str:
    """The error as a line of text; "" without one. Only a failure is called an error."""
    named = "error: " if verdict(final.outcome) == "failed" else ""
    return f"{named}{final.error}" if final.error else ""


def outcome_words(outcome: Outcome) -> str:
    """An outcome as words: `timeout_idle` reads `timeout idle`."""
    return str(outcome).replace("_", " ")


def _rate_meaning(unit: str, counted_by: str) -> str:
    if unit == "tokens/s":
        return f"(tokens - 1) / (total - TTFT), tokens counted by {counted_by}"
    return "(n - 1) / (total - TTFT), n = chunks that carried text; a chunk is not a token"


def _doubt(final: FinalState) -> str:
    """Why the figures of the line cannot be taken as they are; "" where they can, or where none stand in it."""
    name = _judged(final.summary)
    return "" if name in {"", "clean"} else f"timing verdict: {name.replace('_', ' ')}"


def _judged(summary: Mapping[str, Any]) -> str:
    """The verdict on the times that are shown; "" without one, or where no text came: there is nothing to judge."""
    name = summary.get("verdict")
    return name if name in TRUST and (name != "no_stream" or _known(summary.get("ttft_s"))) else ""


def _known(value: Any) -> bool:
    return math.isfinite(number(value))


def _first(summary: Mapping[str, Any], *names: str) -> Any:
    return next((summary[name] for name in names if _known(summary.get(name))), math.nan)
