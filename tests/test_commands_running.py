from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable

import pytest

import streamnb
from streamnb import client
from streamnb.commands import BROKEN_PIPE, INTERRUPTED
from streamnb.commands.running import document, rows, wait
from streamnb.tables import COLUMNS

ENDLESS = {"ttft": 0, "gap": 0.002, "tokens": 1_000_000}
FAST = {"ttft": 0, "gap": 0, "tokens": 8, "seed": 1}


class Stream(io.StringIO):
    """A stdout on which something happens as soon as text comes."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens = happens

    def write(self, text: str) -> int:
        self._happens()
        return super().write(text)


def hang_up() -> None:
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("happens", "code", "outcome"),
    [
        (lambda: signal.raise_signal(signal.SIGINT), INTERRUPTED, "interrupted"),
        (hang_up, BROKEN_PIPE, "stopped"),
    ],
)
def test_whatever_ends_a_run_from_outside_its_recording_is_whole(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None], code: int, outcome: str
):
    done = []

    def once() -> None:
        if not done or outcome == "stopped":  # who hangs up stays away
            done.append(True)
            happens()

    monkeypatch.setattr(sys, "stdout", Stream(once))
    session = client.Session(client.ask("demo", "hi", pace=ENDLESS, display="plain"))
    assert wait(session) == code
    assert session.run.outcome == outcome
    kept = streamnb.open(session.run.path)
    assert (kept.outcome, kept.text) == (outcome, session.run.text)
    assert kept.text


def test_a_run_that_came_to_its_end_is_no_matter_of_exit_codes():
    assert wait(client.Session(client.ask("demo", "hi", pace=FAST, scenario="http-429"))) == 0


def test_a_document_is_the_row_of_the_run_as_json_with_its_text_and_file():
    run = streamnb.stream("demo", "hi", pace=FAST)
    found = document(run)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == [*COLUMNS["runs"], "text", "path"]
    row = run.summary.iloc[0]
    assert (found["ttft_s"], found["tokens_out"], found["n_bytes"]) == (row["ttft_s"], 8, int(row["n_bytes"]))
    assert found["started_at"] == row["started_at"].isoformat()
    assert (found["text"], found["path"]) == (run.text, str(run.path))
    assert {found[name] for name in ("error", "cell_id", "queued_s", "repeat", "ttfr_s")} == {None}


def test_what_a_run_has_not_is_none():
    run = streamnb.stream("demo", "hi", pace=FAST, scenario="http-429", record=False)
    found = document(run)
    assert (found["ttft_s"], found["tokens_out"], found["text"], found["path"]) == (None, None, "", None)
    assert [call["tls_s"] for call in rows(run.calls)] == [None]
