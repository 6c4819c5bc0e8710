from __future__ import annotations

import pandas as pd
import pytest
from record_builder import delta, events_of, read, reasoning, usage

from streamnb.analysis import latency
from streamnb.analysis.usage import server_tokens, unseen
from streamnb.events import Event


def counted(*events: Event) -> tuple[int | None, int | None]:
    return server_tokens(events_of(read(1, *events)))["r1"]


CASES = {
    "one report": ([usage(9, 4)], (9, 4)),
    "a running total: the last wins": ([usage(9, 1, usage="last"), usage(9, 2, usage="last")], (9, 2)),
    "last is the default": ([usage(9, 1), usage(8, 2)], (8, 2)),
    "a null does not undo a number": ([usage(9, None), usage(None, 4)], (9, 4)),
    "several requests of one run add up": ([usage(100, 3, usage="sum"), usage(20, 4, usage="sum")], (120, 7)),
    "nothing to add leaves the sum": ([usage(100, 3, usage="sum"), usage(None, 4, usage="sum")], (100, 7)),
    "only the prompt was counted": ([usage(9, None)], (9, None)),
    "a zero the server sent is a number": ([usage(0, 0)], (0, 0)),
    "true is no count": ([usage(tokens_in=True, tokens_out=False)], (None, None)),
    "a fraction is no count": ([usage(1.5, "7")], (None, None)),
    "nobody generates a negative number": ([usage(-1, 2)], (None, 2)),
    "more than a table can hold": ([usage(2**63, 2**63 - 1)], (None, 2**63 - 1)),
    "no data": ([Event("usage")], (None, None)),
    "data that is no object": ([Event("usage", data=[1])], (None, None)),
}


@pytest.mark.parametrize(("events", "expected"), CASES.values(), ids=CASES.keys())
def test_counts_are_put_together_as_each_report_says(events, expected):
    assert counted(*events) == expected


def test_the_runs_whose_count_holds_more_than_their_text():
    hidden = usage(3, 9, tokens_reasoning=4)
    tables = [
        events_of(read(1, delta()), read(2, hidden), run_id="hidden"),
        events_of(read(1, reasoning(), delta()), read(2, hidden), run_id="streamed"),
        events_of(read(1, delta()), read(2, Event("tool_call", "", 0, "dive")), run_id="tool"),
        events_of(read(-1, Event("tool_call", "", 0, "dive")), read(1, delta()), run_id="before t0"),
        events_of(read(1, delta()), read(2, Event("usage", data=["tokens_reasoning"])), run_id="no object"),
    ]
    assert unseen(pd.concat(tables)) == {"hidden", "tool"}


def test_a_run_without_a_report_is_not_counted():
    assert server_tokens(events_of(read(1, delta("four words of text")))) == {}


def test_runs_do_not_mix():
    both = pd.concat([events_of(read(1, usage(1, 2)), run_id="a"), events_of(read(1, usage(3, None)), run_id="b")])
    assert server_tokens(both) == {"a": (1, 2), "b": (3, None)}


def test_the_source_is_named_only_when_a_number_came():
    tables = [
        events_of(read(1, usage(None, 5)), run_id="out"),
        events_of(read(1, usage(None, None)), run_id="empty"),
        events_of(read(1, delta()), run_id="none"),
    ]
    frame = latency(pd.concat(tables)).set_index("run_id")
    assert frame["token_source"].tolist() == ["server", pd.NA, pd.NA]
    assert frame["tokens_out"].tolist() == [5, pd.NA, pd.NA]
    assert frame["tokens_in"].isna().all()
