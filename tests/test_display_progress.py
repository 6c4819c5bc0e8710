"""A list of records on its way: one line that counts them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from kernel_page import of_type, running_kernel
from test_display_terminal import Terminal, arrival, final

from streamnb.display.progress import CellProgress, LineProgress, _Progress
from streamnb.display.view import Header
from streamnb.events import Event, Outcome

S = 1_000_000_000
HEADER = Header("chatbotkit", None, "chatbotkit", "api.example", "run", "recorded to runs")
ITEM = Event("item", name="conversation", data={"id": "c1"})
DONE = "chatbotkit: 3 records \u00b7 complete \u00b7 recorded to runs"


def opened(stream: io.StringIO | None, header: Header = HEADER) -> LineProgress:
    view = LineProgress(stream)
    view.open(header, lambda: None)
    return view


def test_a_terminal_sees_one_line_that_counts_and_says_how_it_ended():
    view = opened(stream := Terminal())
    seen = []
    for second in range(3):
        view.phase("connecting" if second == 0 else "waiting", (7 + second) * S)
        view.arrive(arrival(ITEM, Event("ping")))
        view.paint((8 + second) * S)
        seen.append(stream.getvalue())
    view.close(final())
    assert seen[0] == "\rchatbotkit: 1 record \u00b7 1.00 s"
    assert seen[1][len(seen[0]) :] == "\rchatbotkit: 2 records \u00b7 2.00 s"
    assert stream.getvalue()[len(seen[2]) :] == f"\r{DONE}\n"


def test_a_shorter_line_covers_the_longer_one_before_it():
    view = opened(stream := Terminal(), Header("chatbotkit", None, "", "", "run"))
    view.phase("waiting", S)
    view.arrive(arrival(*[ITEM] * 1000))
    view.paint(1001 * S)
    view.close(final(outcome=Outcome.LIMIT))
    counted, ended = stream.getvalue().split("\r")[1:]
    assert counted == "chatbotkit: 1,000 records \u00b7 1,000 s"
    assert ended == "chatbotkit: 1,000 records \u00b7 limit".ljust(len(counted)) + "\n"


def test_a_line_is_painted_four_times_a_second_at_most():
    view = opened(stream := Terminal())
    for ms in range(0, 1000, 50):
        view.arrive(arrival(ITEM))
        view.paint(10 * S + ms * 1_000_000)
    assert [text.split()[1] for text in stream.getvalue().split("\r")[1:]] == ["1", "6", "11", "16"]


def test_without_a_clock_it_only_counts():
    view = opened(stream := Terminal())
    view.paint(S)
    assert stream.getvalue() == "\rchatbotkit: 0 records"


def test_a_pipe_gets_the_last_line_only():
    view = opened(stream := io.StringIO())
    view.phase("waiting", S)
    view.arrive(arrival(ITEM, ITEM, ITEM))
    view.paint(2 * S)
    assert stream.getvalue() == ""
    view.close(final())
    assert stream.getvalue() == f"{DONE}\n"


def test_what_went_wrong_is_said_behind_the_count():
    view = opened(stream := io.StringIO(), Header("chatbotkit", None, "", "", "run"))
    view.arrive(arrival(ITEM))
    view.close(final(outcome=Outcome.TRUNCATED, error="chatbotkit: the list was cut."))
    assert stream.getvalue() == "chatbotkit: 1 record \u00b7 truncated \u00b7 error: chatbotkit: the list was cut.\n"


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
def test_nothing_that_a_terminal_obeys_comes_out_of_a_name_a_note_or_an_error(stream: io.StringIO):
    risky = "a\x1b[2J\x1b]0;title\x07b\x9b1mc\x90q\x9cd\ud83d"
    view = opened(stream, Header("x", risky, risky, "", "run", risky))
    view.paint(S)
    view.close(final(outcome=Outcome.HTTP_ERROR, error=risky))
    shown = stream.getvalue().replace("\r", "").replace("\n", "")
    assert "abcd" in shown
    assert shown.isprintable()
    shown.encode()


def test_standard_output_stays_free_for_data(capsys: pytest.CaptureFixture[str]):
    opened(None).close(final())
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "chatbotkit: 0 records \u00b7 complete \u00b7 recorded to runs\n")


def test_a_second_close_a_late_paint_and_a_close_without_open_say_nothing():
    LineProgress(stream := Terminal()).close(final())
    LineProgress(stream).paint(S)
    assert stream.getvalue() == ""
    view = opened(stream)
    view.close(final())
    said = stream.getvalue()
    view.close(final())
    view.arrive(arrival(ITEM))
    view.paint(9 * S)
    assert stream.getvalue() == said


def test_what_the_two_ways_have_in_common_does_not_know_where_to_show_it():
    with pytest.raises(TypeError, match="abstract"):
        _Progress()


# -- in a cell ----------------------------------------------------------------------------------------------------


class Handle:
    """A place in a cell, as IPython hands it out."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def update(self, data: Any, *, raw: bool) -> None:
        self.shown.append((raw, data))


def test_a_cell_has_one_output_that_is_updated_in_place(monkeypatch: pytest.MonkeyPatch):
    handle = Handle()

    def display(data: Any, *, raw: bool, display_id: bool) -> Handle:
        assert display_id
        handle.update(data, raw=raw)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    view = CellProgress()
    view.open(HEADER, lambda: None)
    view.arrive(arrival(ITEM, ITEM))
    view.paint(S)
    view.arrive(arrival(ITEM))
    view.close(final())
    texts = ["chatbotkit: 0 records", "chatbotkit: 2 records", DONE]
    assert handle.shown == [(True, {"text/plain": text}) for text in texts]


@pytest.fixture(scope="module")
def kernel():
    with running_kernel() as kernel:
        yield kernel


def test_in_a_kernel_the_line_is_one_display_that_changes_and_what_is_saved_is_its_last_form(kernel):
    seen = kernel.run(
        "from streamnb.display import open_progress\n"
        "view = open_progress('auto')\nview.open(HEADER, lambda: None)\nview.phase('waiting', S)\n"
        "for n in range(3):\n    view.arrive(chunk(n, Event('item')))\n    view.paint((2 + n) * S)\n"
        "view.close(final())"
    )
    (first,) = of_type(seen, "display_data")
    updates = of_type(seen, "update_display_data")
    texts = [message["content"]["data"] for message in (first, *updates)]
    names = "demo (openai_chat) \u00b7 small-talk-1"
    assert texts == [
        {"text/plain": f"{names}: 0 records"},
        {"text/plain": f"{names}: 1 record \u00b7 1.00 s"},
        {"text/plain": f"{names}: 2 records \u00b7 2.00 s"},
        {"text/plain": f"{names}: 3 records \u00b7 3.00 s"},
        {"text/plain": f"{names}: 3 records \u00b7 complete"},
    ]
    place = first["content"]["transient"]["display_id"]
    assert {message["content"]["transient"]["display_id"] for message in updates} == {place}
    assert not of_type(seen, "comm_open") + of_type(seen, "stream")


def test_a_headless_kernel_gets_no_cell_output_to_update(kernel):
    seen = kernel.run(
        "from streamnb.display import open_progress\nprint(type(open_progress('auto')).__name__)", allow_stdin=False
    )
    assert "".join(message["content"]["text"] for message in of_type(seen, "stream")) == "LineProgress\n"
