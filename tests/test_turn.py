from __future__ import annotations

import threading
from typing import Any

import pytest
from record_builder import Read, read, record

from streamnb.choosing import Chosen
from streamnb.errors import StreamnbError, UsageError
from streamnb.events import Choice, Event, Outcome, Prompt
from streamnb.providers import load
from streamnb.results import Run
from streamnb.turn import Turn, begun, spoken

WHO = Chosen("demo")


def run_of(*reads: Read, outcome: Outcome | None = Outcome.COMPLETE, error: str | None = None, **more: Any) -> Run:
    made = record(*reads)
    made.outcome, made.error = outcome, error
    return Run(made, load(more.get("provider", "openai_chat"))(**more.get("options", {})), Prompt("Hi"))


def turn_of(run: Run | None, said: str | None = "Hi") -> Turn:
    turn = Turn(said, WHO, said or "")
    if run is not None:
        turn.begin(run, lambda: None)
    return turn


def test_everything_that_was_said_stands_in_its_order():
    card = Event("item", "A card", choices=(Choice("Buy", Prompt("Buy")),))
    run = run_of(
        read(1, Event("message", "Hello."), Event("delta", "One "), Event("delta", "two.")),
        read(2, Event("delta", "not mine", choice=1), Event("item", "no card"), card, Event("message", "Bye.")),
    )
    assert spoken(run) == "Hello.\n\nOne two.\n\nA card\n\nBye."


def test_a_replaced_answer_is_the_new_one():
    run = run_of(read(1, Event("delta", "wrong"), Event("replace", "right"), Event("delta", " now")))
    assert spoken(run) == "right now"


def test_an_answer_that_comes_with_the_end_alone_is_said_too():
    assert spoken(run_of(read(1, Event("end", "All at once.")))) == "All at once."
    assert spoken(run_of()) == ""


@pytest.mark.parametrize(
    ("events", "took_part"),
    [
        ([], False),
        ([Event("error", "401"), Event("ping"), Event("unknown")], False),
        ([Event("delta", "Hi")], True),
        ([Event("trace")], True),
    ],
)
def test_a_session_that_was_only_named_has_not_begun(events: list[Event], took_part: bool):
    named = run_of(read(1, *events), provider="voiceflow", options={"session_id": "s1"})
    assert (named.session_id, begun(named)) == ("s1", took_part)
    assert not begun(run_of(read(1, *events)))


def test_a_transcript_says_who_said_what_and_what_was_not_as_it_should_be():
    plain = turn_of(run_of(read(1, Event("delta", "Yes.\x1b"))))
    assert plain.transcript() == "You said: Hi\ndemo: Yes.\u241b"
    failed = turn_of(run_of(outcome=Outcome.HTTP_ERROR, error="demo: HTTP 503"))
    assert failed.transcript() == "You said: Hi\ndemo:\n(demo: HTTP 503)"
    cut = turn_of(run_of(read(1, Event("delta", "Ye")), outcome=Outcome.LENGTH))
    assert cut.transcript() == "You said: Hi\ndemo: Ye\n(length)"
    assert turn_of(run_of(outcome=None)).transcript().endswith("(running)")
    assert turn_of(None).transcript() == "You said: Hi"


def test_buttons_and_the_end_of_a_conversation_stand_in_the_transcript():
    offers = Event("step", choices=(Choice("Yes", Prompt("Yes")), Choice("No", Prompt("No"))))
    turn = Turn("Go", WHO, "Go", {"type": "go"})
    turn.begin(run_of(read(1, Event("message", "Sure?"), offers, Event("session", name="ended"))), lambda: None)
    lines = ["You pressed: Go", "demo: Sure?", "(choices: Yes \u00b7 No)", "(the conversation ended)"]
    assert turn.transcript() == "\n".join(lines)
    assert turn_of(run_of(read(1, Event("message", "Hello."))), said=None).transcript() == "demo: Hello."


def test_who_waits_gets_the_run_or_what_was_wrong():
    turn = turn_of(run_of())
    assert (turn.done, turn.wait(timeout=0)) == (False, turn.run)
    threading.Timer(0.01, turn.finish).start()
    assert turn.wait() is turn.run
    refused = turn_of(None)
    with pytest.raises(TimeoutError, match="not sent yet"):
        refused.wait(timeout=0.001)
    refused.finish(UsageError("no such thing"))
    with pytest.raises(UsageError, match="no such thing"):
        refused.wait()


def test_a_stop_reaches_the_run_also_when_it_comes_before_it():
    asked: list[str] = []
    early, late = Turn("Hi", WHO), Turn("Hi", WHO)
    early.stop()
    for turn, name in ((early, "early"), (late, "late")):
        turn.begin(run_of(), lambda name=name: asked.append(name))
    assert asked == ["early"]
    late.stop()
    assert asked == ["early", "late"]


def test_a_turn_says_how_it_stands():
    assert repr(turn_of(None)) == "<turn 'Hi': waiting; .run, .wait(), .stop()>"
    assert "'Hi': running" in repr(turn_of(run_of(outcome=None)))
    assert "'Hi': complete" in repr(turn_of(run_of()))
    refused = turn_of(None)
    refused.finish(StreamnbError("what"))
    assert "not sent: what" in repr(refused)
