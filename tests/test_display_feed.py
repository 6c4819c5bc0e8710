from __future__ import annotations

import itertools
import math
import threading

from streamnb.display.feed import SHOWN_LIMIT, Feed
from streamnb.display.inert import TerminalFilter, visible
from streamnb.display.view import BETWEEN_CALLS, Final
from streamnb.events import Arrival, Choice, Chunk, Event, Outcome, Prompt

SEQ = itertools.count()

S = 1_000_000_000


def arrival(*events: Event, t_s: float = 1) -> Arrival:
    return Arrival(Chunk(next(SEQ), 0, round(t_s * S), 1, 1, b"x"), events)


def drained(*events: Event):
    feed = Feed(lambda: visible)
    feed.arrive(arrival(*events))
    return feed, feed.drain()


def test_an_empty_drain_is_false():
    assert not Feed(lambda: visible).drain()


def test_every_kind_finds_its_place_in_the_order_of_arrival():
    feed, batch = drained(
        Event("start"),
        Event("message", "Hello"),
        Event("reasoning", "hm"),
        Event("delta", "An"),
        Event("delta", "swer"),
        Event("citation", name="A page"),
        Event("tool_call", "{}", name="look_up"),
        Event("tool_call", '{"more'),
        Event("tool_result", "42", name="look_up"),
        Event("action", name="redirect"),
        Event("message", name="image"),
        Event("message", "Which?", choices=(Choice("A", Prompt("a")), Choice("B", Prompt("b")))),
        Event("error", "overloaded"),
        Event("error", name="server_error"),
        Event("unknown", "never shown"),
        Event("end", "never shown"),
    )
    assert [part[:2] for part in batch.parts] == [
        ("message", "Hello"),
        ("reasoning", "hm"),
        ("answer", "An"),
        ("answer", "swer"),
        ("cite", ""),
        ("tool", "tool call: look_up"),
        ("tool", ""),
        ("tool", "tool result: look_up"),
        ("note", "action: redirect"),
        ("message", "(image)"),
        ("message", "Which?"),
        ("note", "choices: A \u00b7 B"),
        ("error", "overloaded"),
        ("error", "server_error"),
    ]
    assert [part.event.kind for part in batch.parts if part.event][:3] == ["message", "citation", "tool_call"]
    assert (feed.n_lines, feed.errors) == (7, ["overloaded", "server_error"])
    assert (feed.answer.text, feed.reasoning.text) == ("Answer", "hm")


def test_a_replacement_is_the_whole_answer_from_then_on():
    feed, batch = drained(Event("delta", "wrong"), Event("replace", "right"), Event("delta", "!"))
    assert batch.of("replaced") == [""]
    assert [part.text for part in batch.parts] == ["wrong", "", "right", "!"]
    assert feed.answer.text == "right!"


def test_other_choices_are_counted_and_named_once_but_not_mixed_in():
    feed, batch = drained(
        Event("delta", "a", choice=0),
        Event("delta", "b", choice=1),
        Event("delta", "c", choice=1),
    )
    assert batch.of("answer") == ["a"]
    assert [line[:8] for line in batch.of("note")] == ["choice 1"]
    assert feed.meter.n_chars == 3


def test_a_pair_of_surrogates_cut_between_deltas_reaches_the_screen_whole():
    feed, batch = drained(Event("delta", "\ud83d"), Event("reasoning", "x"), Event("delta", "\ude00"))
    assert "".join(batch.of("answer")) == "\U0001f600"
    assert feed.reasoning.text == "x"


def test_an_open_control_sequence_in_one_place_does_not_reach_another():
    feed = Feed(lambda: TerminalFilter().feed)
    feed.arrive(arrival(Event("reasoning", "a\x1b]"), Event("message", "b\x1b]"), Event("delta", "shown")))
    batch = feed.drain()
    assert [part[:2] for part in batch.parts] == [("reasoning", "a"), ("message", "b"), ("answer", "shown")]


def test_the_screen_stops_at_its_limit_and_says_so_once():
    feed, batch = drained(*[Event("delta", "x" * 400_000)] * 4)
    assert len(feed.answer.text) == SHOWN_LIMIT
    assert [line[:16] for line in batch.of("note")] == ["the screen stops"]
    assert feed.meter.n_chars == 1_600_000


def test_the_phase_is_what_was_announced_until_text_arrives():
    feed = Feed(lambda: visible)
    shown = [feed.phase_at(0)]
    for name in ("connecting", "startChat", "waiting", "streamMessage"):
        feed.phase(name, S)
        feed.drain()
        shown.append(feed.phase_at(S))
    feed.arrive(arrival(Event("delta", "a"), t_s=1.5))
    feed.drain()
    shown.append(feed.phase_at(2 * S))
    assert shown == ["connecting", "connecting", "startChat", "waiting", "streamMessage", "answering"]
    assert (feed.started_ns, feed.meter.ttft_s) == (S, 0.5)


def test_a_chunk_without_an_announcement_means_waiting():
    feed, _ = drained(Event("ping"))
    assert feed.phase_at(S) == "waiting"


def test_live_figures_fill_only_what_the_summary_lacks():
    feed = Feed(lambda: visible)
    feed.phase("waiting", 0)
    feed.arrive(arrival(Event("message", "Hi"), Event("delta", "a")))
    feed.arrive(arrival(Event("message", "Bye")))
    feed.drain()
    summary = {"ttft_s": 9.0, "ttfa_s": math.nan, "model": "m", "e2e_s": None}
    final = feed.measured(Final("a", "", Outcome.COMPLETE, None, summary, ()))
    assert final.summary["ttft_s"] == 9.0
    assert (final.summary["ttfa_s"], final.summary["e2e_s"], final.summary["model"]) == (1.0, 1.0, "m")


def test_nothing_is_lost_between_a_writing_and_a_draining_thread():
    feed = Feed(lambda: visible)
    writer = threading.Thread(target=lambda: [feed.arrive(arrival(Event("delta", "x"))) for _ in range(5000)])
    writer.start()
    while writer.is_alive():
        feed.drain()
    feed.drain()
    assert feed.answer.text == "x" * 5000


def test_reads_that_go_on_with_the_answer_are_one_part_and_say_the_same():
    pieces = ["An", "swer", "\r", "\n", "\ud83c", "\udf0a", "\x1b", ""]
    feed = Feed(lambda: visible)
    feed.arrive(arrival(Event("reasoning", "hm")))
    for piece in pieces:
        feed.arrive(arrival(Event("delta", piece)))
    feed.arrive(arrival(Event("delta", "aside", choice=1)))
    feed.arrive(arrival(Event("message", "Hello")))
    feed.arrive(arrival(Event("delta", "!")))
    batch = feed.drain()
    # the first piece says which call answers; from then on what goes on with it waits for what does not
    assert [part.place for part in batch.parts] == ["reasoning", "answer", "answer", "note", "message", "answer"]
    assert "".join(batch.of("answer")) == feed.answer.text == "Answer\n\N{WATER WAVE}\N{SYMBOL FOR ESCAPE}!"
    assert (len(batch.arrivals), feed.meter.n_text_chunks) == (len(pieces) + 4, len(pieces) + 2)


def test_a_call_that_answers_after_another_is_set_apart_although_its_reads_are_joined():
    feed = Feed(lambda: visible)
    for call, piece in ((0, "one"), (0, " more"), (1, "two"), (1, " more")):
        feed.arrive(Arrival(Chunk(next(SEQ), call, S, 1, 1, b"x"), (Event("delta", piece),)))
    feed.drain()
    assert feed.answer.text == f"one more{BETWEEN_CALLS}two more"
