from __future__ import annotations

import json
from datetime import timedelta

import nbformat
import pytest
from kernel_page import PATH, of_type, running_kernel, sent
from nbclient import NotebookClient

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def kernel():
    with running_kernel() as kernel:
        yield kernel


def test_a_run_is_a_widget_view_alone_then_numbered_deltas_then_the_static_bundle(kernel):
    seen = kernel.run("text = run([*words(5, 0.01, 'reasoning'), *words(150, 0.01)])")
    (first,) = of_type(seen, "display_data")
    assert set(first["content"]["data"]) == {VIEW}
    (last,) = of_type(seen, "update_display_data")
    assert set(last["content"]["data"]) == {"text/html", "text/plain"}
    assert last["content"]["transient"] == first["content"]["transient"]
    contents = sent(seen)
    assert [content["n"] for content in contents] == list(range(1, len(contents) + 1))
    assert {content["k"] for content in contents[:-1]} == {"delta"}
    text = kernel.printed("print(text)")
    live = "".join(content.get("a", "") for content in contents[:-1])
    assert len(live) > 500
    assert text.startswith(live)
    end = contents[-1]["run"]
    assert (end["live"], end["a"].strip(), end["out"]["outcome"]) == (False, text.strip(), "complete")
    assert seen.index(last) > seen.index(of_type(seen, "comm_msg")[-1])


def test_a_live_panel_gets_at_most_twenty_messages_in_any_second(kernel):
    seen = kernel.run("_ = run(words(400, 0.005))")
    dates = [message["header"]["date"] for message in of_type(seen, "comm_msg")]
    assert len(dates) > 20
    assert max(sum(date <= later < date + timedelta(seconds=1) for later in dates) for date in dates) <= 21


@pytest.mark.parametrize("how", ["no stdin", "setting"])
def test_a_headless_kernel_gets_one_display_and_no_widget(kernel, how):
    setting = "import os; os.environ['STREAMNB_DISPLAY'] = 'static'\n" if how == "setting" else ""
    seen = kernel.run(
        f"{setting}_ = run(words(5, 0.01), 'auto')\nimport os; os.environ.pop('STREAMNB_DISPLAY', None)",
        allow_stdin=how == "setting",
    )
    (only,) = of_type(seen, "display_data")
    assert set(only["content"]["data"]) == {"text/html", "text/plain"}
    assert not of_type(seen, "comm_open") + of_type(seen, "update_display_data") + of_type(seen, "stream")


def test_a_notebook_run_by_nbclient_keeps_one_readable_output(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATH)
    cell = nbformat.v4.new_code_cell("from synthetic_stream import *\n_ = run(words(5, 0.01), 'auto')")
    book = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(book, timeout=60, kernel_name="python3").execute()
    (output,) = book.cells[0].outputs
    assert output.output_type == "display_data"
    assert output.data["text/plain"].startswith("Rivers meander because the outer")
    assert "widgets" not in book.metadata


def test_stop_is_asked_for_once_and_acknowledged(kernel):
    seen = kernel.run(
        "asked = []\nview = opened(stop=lambda: asked.append(1))\n"
        "view._heard({'k': 'stop'}); view._heard({'k': 'stop'}); view._heard(None); view._heard({'k': 'what'})\n"
        "view.paint(S)\nview.close(final('x'))\nview._heard({'k': 'stop'})\nassert asked == [1]"
    )
    assert [content.get("st", {}).get("stop") for content in sent(seen)] == [True, None]


def test_a_page_that_missed_something_gets_everything(kernel):
    seen = kernel.run(
        "view = opened()\nview.arrive(chunk(1, Event('delta', 'one ')))\nview.paint(S)\nview._heard({'k': 'resync'})\n"
        "view.arrive(chunk(2, Event('delta', 'two'), Event('message', 'Hi')))\nview.paint(2 * S)"
    )
    first, second = sent(seen)
    assert (first["k"], first["a"]) == ("delta", "one ")
    assert (second["k"], second["run"]["a"], second["run"]["m2"], second["run"]["live"]) == (
        "full",
        "one two",
        ["Hi"],
        True,
    )


def test_a_replaced_answer_goes_out_whole(kernel):
    seen = kernel.run(
        "view = opened()\nview.arrive(chunk(1, Event('delta', 'wrong')))\nview.paint(S)\n"
        "view.arrive(chunk(2, Event('replace', 'right')))\nview.paint(2 * S)"
    )
    assert [content.get("a") or content["run"]["a"] for content in sent(seen)] == ["wrong", "right"]


def test_painting_by_a_given_clock_sends_twenty_a_second_and_a_heartbeat_in_silence(kernel):
    seen = kernel.run(
        "PanelView._open_panels.clear()\nview = opened()\nview.phase('connecting', 0)\n"
        "for ms in range(1000):\n"
        "    view.arrive(chunk(ms / 1000, Event('delta', 'x')))\n    view.paint(ms * 1_000_000)\n"
        "for s in range(1, 20):\n    view.paint(s * S)"
    )
    busy = [content for content in sent(seen) if content["st"]["ms"] < 1000]
    silent = sent(seen)[len(busy) :]
    assert 19 <= len(busy) <= 21
    assert "".join(content.get("a", "") for content in sent(seen)) == "x" * 1000
    phases = [content["st"]["phase"] for content in silent]
    assert phases == ["answering", "stalled", "stalled", "stalled", "stalled"]
    assert [content["st"]["ms"] for content in silent][2:] == [7000, 12000, 17000]


def test_many_panels_share_two_hundred_messages_a_second(kernel):
    seen = kernel.run(
        "PanelView._open_panels.clear()\nviews = [opened() for _ in range(16)]\n"
        "for ms in range(0, 1000, 10):\n    for view in views:\n"
        "        view.arrive(chunk(ms / 1000, Event('delta', 'x')))\n        view.paint(ms * 1_000_000)\n"
        "for view in views:\n    view.close(final())\nassert not PanelView._open_panels"
    )
    deltas = [message for message in of_type(seen, "comm_msg") if message["content"]["data"]["content"]["k"] == "delta"]
    assert 100 <= len(deltas) <= 216


def test_what_is_missing_is_null_on_the_wire_never_nan_or_zero(kernel):
    seen = kernel.run(
        "view = opened()\nview.phase('waiting', S)\nview.paint(S)\nview.close(final(outcome=Outcome.CONNECT_ERROR))"
    )
    first, last = sent(seen)
    assert {key: first["st"][key] for key in ("phase", "ttft", "ttfa", "rate", "data_ms")} == {
        "phase": "waiting",
        **dict.fromkeys(("ttft", "ttfa", "rate", "data_ms")),
    }
    assert last["run"]["out"] == {
        "verdict": "failed",
        "outcome": "connect error",
        "line": "connect error \u00b7 0 chunks",
    }
    assert "NaN" not in json.dumps([first, last])


def test_a_second_close_a_close_without_open_and_a_late_paint_do_nothing(kernel):
    seen = kernel.run(
        "PanelView().close(final())\nPanelView().paint(0)\n"
        "view = opened()\nview.close(final('a'))\nview.close(final('b'))\n"
        "view.arrive(chunk(1, Event('delta', 'late')))\nview.paint(9 * S)"
    )
    assert [content["run"]["a"] for content in sent(seen)] == ["a"]
    assert len(of_type(seen, "update_display_data")) == 1


def test_the_final_state_shows_error_messages_and_harmless_text(kernel):
    (content,) = sent(
        kernel.run(
            "opened().close(final('a\\x1b', Outcome.ERROR_IN_STREAM, error='b\\u202e', messages=['c', 'd'],"
            " n_messages_before=1, reasoning='e\\ud83d'))"
        )
    )
    run = content["run"]
    assert (run["a"], run["e"], run["m"], run["m2"], run["r"]) == ("a\u241b", ["b<U+202E>"], ["c"], ["d"], "e\ufffd")


def test_the_kernel_tells_the_page_its_id(kernel):
    state = sent(kernel.run("opened().close(final())"))[0]["run"]
    file = kernel.printed("from ipykernel.connect import get_connection_file; print(get_connection_file())")
    assert state["kernel_id"]
    assert state["kernel_id"] in file
