from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display.terminal import PlainView
from streamnb.display.view import Final, Header
from streamnb.events import Arrival, Chunk, Event, Outcome

SEQ = itertools.count()

HEADER = Header("openai_chat", "m", "demo", "127.0.0.1", "run", "recorded to runs")
RISKY = st.text(st.sampled_from("\x1b[]PX^_\\;?0m8A h\x07\x9b\x9c\x9d\x90\x98\x9e\x9f\x18\x7f\r\n\té\u202e\ud83d"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def arrival(*events: Event, t_ns: int = 0) -> Arrival:
    return Arrival(Chunk(next(SEQ), 0, t_ns, 1, 1, b"x"), events)


def final(text="", outcome=Outcome.COMPLETE, error=None, **summary) -> Final:
    return Final(text, "", outcome, error, summary, ())


def shown(*batches: tuple[Event, ...], stream=None, end: Final | None = None, header: Header = HEADER) -> str:
    stream = stream or io.StringIO()
    view = PlainView(stream)
    view.open(header, lambda: None)
    for events in batches:
        view.arrive(arrival(*events))
        view.paint(0)
    view.close(end or final())
    return stream.getvalue()


def test_deltas_stand_as_they_came_and_one_line_sums_up():
    view = PlainView(stream := io.StringIO())
    view.open(HEADER, lambda: None)
    view.phase("waiting", 0)
    seen = []
    for n, word in enumerate(("Rivers ", "meander", ".")):
        view.arrive(arrival(Event("delta", word), t_ns=(n + 1) * 100_000_000))
        view.paint(0)
        seen.append(stream.getvalue())
    view.close(final("Rivers meander."))
    view.close(final("twice"))
    assert seen == ["Rivers ", "Rivers meander", "Rivers meander."]
    summary = "complete \u00b7 TTFT 100 ms \u00b7 total 300 ms \u00b7 3 chunks \u00b7 10.0 chunks/s"
    assert stream.getvalue() == f"Rivers meander.\n{summary}\nrecorded to runs\n"


def test_reasoning_messages_and_errors_stand_on_lines_of_their_own():
    text = shown(
        (Event("message", "Hello"), Event("reasoning", "hm")),
        (Event("delta", "An"),),
        (Event("delta", "swer"), Event("error", "overloaded"), Event("error", "slow"), Event("message", "Bye")),
        end=final("Answer", Outcome.ERROR_IN_STREAM, "openai_chat: overloaded, try later"),
    )
    assert text.splitlines() == [
        *("Hello", "hm", "Answer", "Bye", "error: slow", "error: openai_chat: overloaded, try later"),
        *("error in stream \u00b7 3 chunks", "recorded to runs"),
    ]


def test_an_error_that_was_not_in_the_stream_is_printed_at_the_end():
    assert "error: no connection\nconnect error \u00b7 0 chunks\n" in shown(
        end=final("", Outcome.CONNECT_ERROR, "no connection")
    )


def test_a_text_that_came_only_with_the_end_is_printed():
    assert shown(end=final("whole answer")).startswith("whole answer\ncomplete")


def test_a_replaced_answer_is_printed_again_and_said_to_be():
    lines = shown((Event("delta", "wrong"),), (Event("replace", "right"),)).splitlines()
    assert lines[:3] == ["wrong", "(the answer so far was replaced:)", "right"]


def test_only_a_terminal_gets_dimmed_reasoning_and_a_header():
    text = shown((Event("reasoning", "hm"),), (Event("delta", "a"),), stream=Terminal())
    assert text.startswith("\x1b[2mdemo (openai_chat) \u00b7 m \u00b7 127.0.0.1\x1b[0m\n\x1b[2mhm\x1b[0m\na\n")
    assert "\x1b" not in shown((Event("reasoning", "hm"),))


def test_an_ascii_pipe_does_not_end_the_run():
    pipe = io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii")
    shown((Event("delta", "caf\u00e9 \u20ac"),), stream=_Keep(pipe))
    pipe.flush()
    assert raw.getvalue().startswith(b"caf? ?\ncomplete ? 1 chunks\n")


class _Keep:
    """A text stream without `getvalue`, as sys.stdout is."""

    def __init__(self, pipe: io.TextIOWrapper) -> None:
        self.pipe = pipe

    def __getattr__(self, name: str):
        return (lambda: "") if name == "getvalue" else getattr(self.pipe, name)


def test_a_close_without_open_says_nothing(capsys):
    PlainView().close(final("x"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["delta", "reasoning", "message", "error", "replace", "tool_call"])
@given(pieces=st.lists(RISKY))
def test_nothing_a_terminal_obeys_ever_reaches_the_stream(kind, pieces):
    everything = "".join(pieces)
    header = Header(everything, everything, everything, everything, "run", everything)
    text = shown(
        *((Event(kind, piece, name=piece),) for piece in pieces),
        end=final(everything, Outcome.ERROR_IN_STREAM, everything),
        header=header,
    )
    assert not [char for char in text if (char < " " and char not in "\n\t") or "\x7f" <= char <= "\x9f"]
    text.encode("utf-8")


@given(st.lists(RISKY))
def test_on_a_terminal_only_our_own_dimming_passes(pieces):
    text = shown(*((Event("reasoning", piece),) for piece in pieces), stream=Terminal())
    rest = text.replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert "\x1b" not in rest
    assert not [char for char in rest if "\x7f" <= char <= "\x9f"]


def test_the_sources_stand_below_the_answer_with_their_kind_and_no_order_of_theirs():
    rows = [
        {"title": "Bond\nPrimer\x1b[31m", "url": "https://rag.example.org/a.pdf", "source_type": "rag_document"},
        {"title": None, "url": "https://b.example.org", "source_type": float("nan")},
    ]
    end = Final("Hi", "", Outcome.COMPLETE, None, {}, rows)
    assert shown((Event("delta", "Hi"),), end=end).split("\n")[:3] == [
        "Hi",
        "[1] Bond Primer \u00b7 https://rag.example.org/a.pdf \u00b7 rag_document",
        "[2] https://b.example.org",
    ]


def test_the_texts_of_two_calls_are_a_line_apart():
    view = PlainView(stream := io.StringIO())
    view.open(HEADER, lambda: None)
    for call, word in ((0, "Hello"), (0, "!"), (1, "Because"), (1, ".")):
        view.arrive(Arrival(Chunk(next(SEQ), call, 0, 1, 1, b"x"), (Event("delta", word),)))
        view.paint(0)
    view.close(final("Hello!\n\nBecause."))
    assert stream.getvalue().startswith("Hello!\n\nBecause.\n")


@pytest.mark.parametrize(("outcome", "said"), [(Outcome.HTTP_ERROR, False), (Outcome.COMPLETE, True)])
def test_what_the_caller_raises_is_not_said_as_well_but_a_warning_is(outcome: Outcome, said: bool):
    view = PlainView(stream := io.StringIO())
    view.leave_errors_to_the_caller()
    view.open(HEADER, lambda: None)
    view.arrive(arrival(Event("error", "too many requests")))
    view.paint(0)
    view.close(final(outcome=outcome, error="slow down"))
    assert ("slow down" in stream.getvalue()) is said
    assert ("too many requests" in stream.getvalue()) is said
