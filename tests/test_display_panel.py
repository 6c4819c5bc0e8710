from __future__ import annotations

import json
from datetime import timedelta

import nbformat
import pytest
from kernel_page import PATH, answered, of_type, running_kernel, sent, shown
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
    assert [content["k"] for content in contents] == ["delta"] * (len(contents) - 1) + ["end"]
    text = kernel.printed("print(text)").strip()
    assert len(answered(contents[:-1])) > 500
    assert text.startswith(answered(contents[:-1]))
    assert answered(contents) == text
    end = contents[-1]["lane"]
    assert (end["live"], end["out"]["outcome"]) == (False, "complete")
    assert seen.index(last) > seen.index(of_type(seen, "comm_msg")[-1])


def test_a_live_panel_gets_at_most_twenty_messages_in_any_second(kernel):
    seen = kernel.run("_ = run(words(400, 0.005))")
    dates = [message["header"]["date"] for message in of_type(seen, "comm_msg")]
    assert len(dates) > 10
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
        "asked = []\nview = opened(stop=lambda: asked.append(1))\nheard = view._board.heard\n"
        "heard({'k': 'stop'}); heard({'k': 'stop'}); heard(None); heard({'k': 'what'})\n"
        "view.paint(S)\nview.close(final('x'))\nheard({'k': 'stop'})\nassert asked == [1]"
    )
    assert sent(seen)[0]["lanes"][0]["st"]["stop"] is True
    assert [content["k"] for content in sent(seen)] == ["delta", "end"]


def test_a_message_that_is_heard_twice_counts_once(kernel):
    seen = kernel.run(
        "view = opened()\nfor _ in range(2):\n    view._board.heard({'k': 'resync', 'q': 'a'})\n    view.paint(S)\n"
        "view._board.heard({'k': 'resync', 'q': 'b'})\nview.paint(2 * S)"
    )
    assert [content["k"] for content in sent(seen)] == ["full", "full"]


def test_a_page_that_missed_something_gets_everything(kernel):
    seen = kernel.run(
        "view = opened()\nview.arrive(chunk(1, Event('delta', 'one ')))\nview.paint(S)\n"
        "view._board.heard({'k': 'resync'})\n"
        "view.arrive(chunk(2, Event('delta', 'two'), Event('message', 'Hi')))\nview.paint(2 * S)"
    )
    first, second = sent(seen)
    assert (first["k"], answered([first])) == ("delta", "one")
    (lane,) = second["board"]["lanes"]
    assert (second["k"], shown(lane["doc"]), lane["live"]) == ("full", "one two\nHi", True)


def test_a_replaced_answer_takes_the_place_of_the_first(kernel):
    seen = kernel.run(
        "view = opened()\nview.arrive(chunk(1, Event('delta', 'wrong')))\nview.paint(S)\n"
        "view.arrive(chunk(2, Event('replace', 'right')))\nview.paint(2 * S)"
    )
    contents = sent(seen)
    assert [answered(contents[:1]), answered(contents)] == ["wrong", "right"]


def test_what_the_page_asks_is_answered_while_the_run_lives_and_afterwards(kernel):
    seen = kernel.run(
        "from streamnb.display.view import EventRow, Raw, Sent\n"
        "class Look:\n"
        "    def kinds(self): return {'delta': 3}\n"
        "    def phases(self): return []\n"
        "    def rows(self, first, n, kinds): return 3, [EventRow(first, 0.5, 'delta', 'a\\x1b', None, 7, True)]\n"
        "    def raw(self, seq): return Raw(b'data: \\xff', 99, float('nan')) if seq == 1 else None\n"
        "    def sent(self): return [Sent('stream', 'POST', 'http://h/', (('a', 'b'),), '{}', 200, (), 'curl -N')]\n"
        "view = opened(look=Look())\nask = lambda **asked: view._board.heard({'lane': 0, **asked})\n"
        "ask(k='rows', **{'from': -4, 'count': 10**9, 'kinds': ['delta', 5]})\n"
        "ask(k='raw', seq=1)\nask(k='raw', seq='x')\nask(k='request')\nask(k='rows', lane=9)\nview.paint(S)\n"
        "view.close(final('x'))\nask(k='request')"
    )
    answers = [content for content in sent(seen) if content["k"] in {"rows", "raw", "request"}]
    rows, raw, none, request, late = answers
    assert (rows["from"], rows["total"], rows["kinds"]) == (0, 3, {"delta": 3})
    assert rows["rows"] == [[0, 500.0, "delta", "a\u241b", None, 7, 1]]
    assert (raw["text"], raw["n_bytes"], raw["cut"], raw["t_ms"]) == ("data: \ufffd", 99, True, None)
    assert none["text"] is None
    assert request["calls"][0]["curl"] == "curl -N"
    assert late == request
    assert not any("n" in content for content in answers)


def test_painting_by_a_given_clock_sends_ten_a_second_of_markdown_and_a_heartbeat_in_silence(kernel):
    seen = kernel.run(
        "Board._open.clear()\nview = opened()\nview.phase('connecting', 0)\n"
        "for ms in range(1000):\n"
        "    view.arrive(chunk(ms / 1000, Event('delta', 'x')))\n    view.paint(ms * 1_000_000)\n"
        "for s in range(1, 20):\n    view.paint(s * S)"
    )
    news = [content["lanes"][0]["st"] for content in sent(seen)]
    busy = [status for status in news if status["ms"] < 1000]
    silent = news[len(busy) :]
    assert 9 <= len(busy) <= 11
    assert answered(sent(seen)) == "x" * 1000
    phases = [status["phase"] for status in silent]
    assert phases == ["answering", "stalled", "stalled", "stalled", "stalled"]
    assert [status["ms"] for status in silent][2:] == [7000, 12000, 17000]


def test_what_goes_out_as_it_comes_makes_twenty_messages_a_second(kernel):
    seen = kernel.run(
        "Board._open.clear()\nview = opened()\nview.phase('connecting', 0)\n"
        "for ms in range(1000):\n"
        "    view.arrive(chunk(ms / 1000, Event('reasoning', 'x')))\n    view.paint(ms * 1_000_000)"
    )
    assert 19 <= len(sent(seen)) <= 21


def test_many_panels_share_two_hundred_messages_a_second(kernel):
    seen = kernel.run(
        "Board._open.clear()\nviews = [opened() for _ in range(16)]\n"
        "for ms in range(0, 1000, 10):\n    for view in views:\n"
        "        view.arrive(chunk(ms / 1000, Event('delta', 'x')))\n        view.paint(ms * 1_000_000)\n"
        "for view in views:\n    view.close(final())\nassert not Board._open"
    )
    deltas = [message for message in of_type(seen, "comm_msg") if message["content"]["data"]["content"]["k"] == "delta"]
    assert 100 <= len(deltas) <= 216


def test_what_is_missing_is_null_on_the_wire_never_nan_or_zero(kernel):
    seen = kernel.run(
        "view = opened()\nview.phase('waiting', S)\nview.paint(S)\nview.close(final(outcome=Outcome.CONNECT_ERROR))"
    )
    first, last = sent(seen)
    status = first["lanes"][0]["st"]
    assert {key: status[key] for key in ("phase", "ttft", "ttfa", "rate", "data_ms")} == {
        "phase": "waiting",
        **dict.fromkeys(("ttft", "ttfa", "rate", "data_ms")),
    }
    assert last["lane"]["out"] == {
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
    assert answered(sent(seen)) == "a"
    assert len(of_type(seen, "update_display_data")) == 1


def test_a_close_that_was_interrupted_is_completed_by_the_next(kernel):
    seen = kernel.run(
        "from streamnb.display import panel\nreal, times = panel.bundle, []\n"
        "def once(lane):\n    times.append(1)\n    if len(times) == 1:\n        raise KeyboardInterrupt\n"
        "    return real(lane)\n"
        "panel.bundle = once\nview = opened()\n"
        "try:\n    view.close(final('a'))\nexcept KeyboardInterrupt:\n    view.close(final('a'))\n"
        "finally:\n    panel.bundle = real"
    )
    assert [content["k"] for content in sent(seen)] == ["end"]
    (bundle,) = of_type(seen, "update_display_data")
    assert "a" in bundle["content"]["data"]["text/plain"]


def test_the_final_state_shows_error_and_harmless_text(kernel):
    contents = sent(
        kernel.run(
            "view = opened()\nview.paint(0)\nview.arrive(chunk(1, Event('message', 'c\\x1b')))\n"
            "view.close(final('a\\x1b', Outcome.ERROR_IN_STREAM, error='b\\u202e'))"
        )
    )
    lane = contents[-1]["lane"]
    assert (answered(contents), lane["e"]) == ("c\u241b", ["b<U+202E>"])


def test_the_kernel_tells_the_page_its_id_and_how_to_stop(kernel):
    seen = kernel.run("view = opened()\nview._board.heard({'k': 'resync'})\nview.paint(0)")
    board = sent(seen)[0]["board"]
    file = kernel.printed("from ipykernel.connect import get_connection_file; print(get_connection_file())")
    assert board["kernel_id"]
    assert board["kernel_id"] in file
    assert (board["hears"], "(I, I)" in board["how"]) == (board["grace_ms"] > 1000, True)
    assert (board["layout"], board["tabs"], board["motion"]) == ("one", ["answer", "timing", "events", "request"], True)


def test_a_style_reaches_the_page(kernel):
    seen = kernel.run(
        "from streamnb.display import Style\n"
        "style = Style(height_px=300, tabs=('answer', 'what'), markdown=False, reduced_motion=True)\n"
        "view = opened(style=style)\nview.arrive(chunk(1, Event('delta', '*as it came*')))\n"
        "view._board.heard({'k': 'resync'})\nview.paint(0)"
    )
    board = sent(seen)[0]["board"]
    assert (board["height"], board["tabs"], board["motion"]) == (300, ["answer"], False)
    assert [block["k"] for block in board["lanes"][0]["doc"]] == ["pre"]
    assert shown(board["lanes"][0]["doc"]) == "*as it came*"
