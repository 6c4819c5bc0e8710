from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import pytest
from record_builder import append, delta, read, reasoning, record, usage

import streamnb
from streamnb.errors import UsageError
from streamnb.events import Choice, Event, Outcome, Prompt
from streamnb.providers import Option, Provider, load
from streamnb.results import Run, remember, session
from streamnb.transcript import EndLine


def run(*events: Event, outcome: Outcome | None = Outcome.COMPLETE, error: str | None = None) -> Run:
    """A run of one read per event, a second apart."""
    made = record(*(read(second, event) for second, event in enumerate(events, 1)))
    if outcome is not None:
        made.end_call(made.calls[0].t0_ns + 10_000_000_000)
        made.end(outcome, error, EndLine(outcome.value, error, {}, {}, 0))
    return Run(made, load("openai_chat")("http://127.0.0.1/v1"), Prompt("hi"))


def test_the_text_is_that_of_the_deltas():
    one = run(delta("Hel"), Event("message", "whole"), reasoning("hm"), delta("lo"), Event("end", "all"))
    assert (one.text, one.reasoning, one.messages) == ("Hello", "hm", ["whole"])


def test_without_deltas_it_is_that_of_the_messages_and_else_of_the_end():
    assert run(Event("message", "a"), Event("message", "b"), Event("end", "c")).text == "a\n\nb"
    assert run(Event("end"), Event("end", "c")).text == "c"
    assert run().text == ""


def test_a_replacement_replaces_what_came_before():
    one = run(delta("Hel"), Event("replace", "Good", 0), delta("bye"))
    assert one.text == "Goodbye"


def test_the_text_is_the_first_choice_and_the_others_are_beside_it():
    one = run(delta("a", choice=1), delta("b", choice=0), delta("c", choice=1))
    assert (one.text, one.texts) == ("b", {1: "ac", 0: "b"})


def test_half_characters_in_two_deltas_are_one():
    assert run(delta("\ud83d"), delta("\ude00")).text == "\U0001f600"


def test_the_session_to_go_on_in_is_the_first_one_named():
    assert run(Event("session", id="s1"), Event("session", id="s2")).session_id == "s1"
    assert run().session_id is None


def test_the_raw_bytes_are_those_of_all_reads():
    made = record(read(1, data=b"ab"), read(2, data=b"c"))
    assert Run(made, load("sse")(), Prompt()).raw == b"abc"


@pytest.mark.parametrize("outcome", Outcome)
def test_ok_is_what_the_outcome_says(outcome: Outcome):
    one = run(delta(), outcome=outcome, error=None if outcome.ok else "why")
    assert one.ok is outcome.ok
    if outcome.ok:
        one.raise_for_outcome()
    else:
        with pytest.raises(streamnb.RunError, match="why"):
            one.raise_for_outcome()


def test_a_bad_outcome_without_words_still_raises_with_some():
    with pytest.raises(streamnb.RunError, match="demo ended as stopped"):
        run(outcome=Outcome.STOPPED).raise_for_outcome()


def test_a_run_that_still_runs_shows_what_is_there():
    one = run(delta("Hel"), outcome=None)
    assert (one.outcome, one.ok, one.error, one.warning) == (None, False, None, None)
    assert repr(one) == "<Run r1 demo: running, 3 characters>"
    assert one.summary["outcome"].isna().all()
    one.raise_for_outcome()
    append(one._record, read(2, delta("lo")))
    assert (one.text, len(one.events), len(one.chunks)) == ("Hello", 2, 2)


def test_the_row_holds_the_figures_of_the_stream():
    row = run(delta("a"), delta("b"), usage(3, 2)).row()
    assert (row["run_id"], row["outcome"], row["n_chunks"], row["tokens_out"]) == ("r1", "complete", 3, 2)
    assert (row["ttft_s"], row["e2e_s"], row["close_s"], row["setup_s"]) == (1.0, 2.0, 10.0, 0.125)
    assert math.isnan(row["queued_s"])


def test_stalls_look_at_the_silence_before_the_end_too():
    one = run(*(delta() for _ in range(4)))  # the body ends six seconds after the last of them
    assert one.stalls["length_s"].tolist() == [6.0]
    assert one.stalls["recovered"].tolist() == [False]
    assert one.stalls["cause"].isna().tolist() == [True]
    held = one.recorded
    held.lags.append(("loop", held.t0_ns + 5_000_000_000, 4_000_000_000))
    assert one.stalls["cause"].tolist() == ["client"]


def test_what_held_this_process_up_is_a_table():
    one = run(delta())
    one.recorded.lags += [("gc", one.recorded.t0_ns - 500_000_000, 2_000_000)]
    assert one.lags[["kind", "t_s", "length_s"]].to_dict("list") == {"kind": ["gc"], "t_s": [-0.5], "length_s": [0.002]}


def test_the_row_has_the_verdict_and_the_displays_say_it_where_there_is_a_doubt():
    good = run(*(delta("a") for _ in range(4)))
    bad = Run(record(*(read(n, delta(), delta()) for n in range(1, 5))), load("sse")(), Prompt())
    assert (good.verdict.name, good.row()["verdict"], good.summary["verdict"].item()) == ("clean", "clean", "clean")
    assert (bad.verdict.name, bad.row()["verdict"]) == ("coalesced", "coalesced")
    shown = [one._repr_mimebundle_() for one in (good, bad)]
    assert ["timing verdict:" in one["text/plain"] for one in shown] == [False, True]
    assert "timing verdict: coalesced" in shown[1]["text/plain"]
    assert all(">timing verdict<" in one["text/html"] for one in shown)


def test_a_log_that_nobody_kept_proves_nothing():
    paused_then_all = [*(read(0.25 * n, delta()) for n in range(1, 6)), *(read(9, delta()) for _ in range(20))]
    ours, theirs, dead = (
        Run(record(*(dataclasses.replace(one, stamp=stamp) for one in paused_then_all)), load("sse")(), Prompt())
        for stamp in ("read", "chunk", "read")
    )
    dead.recorded.outcome = Outcome.CRASHED
    assert ours.stalls["cause"].tolist() == ["network"]
    assert [one.stalls["cause"].isna().tolist() for one in (theirs, dead)] == [[True], [True]]


def test_a_run_without_text_has_no_times_to_doubt():
    quiet = [
        run(outcome=outcome, error="why").final().summary["verdict"] for outcome in (Outcome.COMPLETE, Outcome.CRASHED)
    ]
    assert quiet == ["no_stream", "no_stream"]
    assert "verdict" not in run()._repr_mimebundle_()["text/plain"]
    assert "times:" not in run(outcome=Outcome.CRASHED, error="why")._repr_mimebundle_()["text/plain"]


def test_the_error_of_its_stamps_is_missing_until_the_machine_was_calibrated():
    one = run(delta(), outcome=None)
    assert one.summary["measurement_error_s"].isna().all()
    one.recorded.measurement_error_s = 0.0004
    assert one.summary["measurement_error_s"].item() == 0.0004


def test_gaps_are_those_between_reads_with_text():
    assert run(delta(), usage(1, 1), delta()).gaps.shape[0] == 1


def test_the_final_state_is_what_a_display_needs():
    final = run(delta("Hi"), Event("message", "bubble"), outcome=Outcome.TRUNCATED, error="cut").final()
    assert (final.text, final.outcome, final.error) == ("Hi", Outcome.TRUNCATED, "cut")
    assert final.summary["n_chunks"] == 2
    assert run(Event("message", "bubble")).final().text == "bubble"


def test_the_rate_is_shown_in_what_was_counted():
    summary = run(delta(), delta(), delta()).final().summary
    assert (summary["rate_per_s"], summary["rate_unit"]) == (1.0, "chunks/s")
    assert "rate_per_s" not in run(delta()).final().summary


def test_alone_in_a_cell_it_shows_text_and_figures():
    shown = run(delta("Hello <b>"))._repr_mimebundle_()
    assert "Hello &lt;b&gt;" in shown["text/html"]
    assert "Hello <b>" in shown["text/plain"]
    assert "text/markdown" not in shown


def test_the_header_names_the_host_without_credentials():
    made = record()
    header = Run(made, load("openai_chat")("http://me:pa55word@127.0.0.1:8000/v1"), Prompt()).header("note")
    assert (header.host, header.note) == ("127.0.0.1:8000", "note")
    assert "pa55word" not in repr(dataclasses.asdict(header))


def test_the_session_remembers_runs_in_their_order():
    one, two = run(), run()
    remember(one)
    remember(two)
    assert session()[-2:] == (one, two)


def test_a_finished_run_computes_its_row_once_and_hands_out_copies():
    run = streamnb.stream("demo", "Hi", pace={"tokens": 2, "ttft": 0, "gap": 0}, record=False)
    row = run.row()
    row["outcome"] = "altered"
    assert run.row()["outcome"] == "complete"


class Rooms(Provider):
    """A platform with rooms to go on in."""

    options: ClassVar[tuple[Option, ...]] = (
        Option("room", "go on in this room", default="new"),
        Option("mood", "how it answers", default="kind"),
        Option("seat", "where one sits"),
        Option("greeting", "said once at the door", once=True),
    )
    session_option = "room"


class Fixed(Rooms):
    """One whose events never name a session, because its prompts do."""

    def session_of(self, prompt: Prompt) -> str | None:
        return f"room-of-{prompt.fresh_id}"


def in_rooms(provider: Provider, *events: Event, fresh_id: str = "f1") -> Run:
    return Run(
        record(*(read(second, event) for second, event in enumerate(events, 1))),
        provider,
        Prompt("hi", fresh_id=fresh_id),
    )


def test_what_no_event_names_is_the_session_that_the_option_names():
    assert in_rooms(Rooms(room="r7")).session_id == "r7"
    assert in_rooms(Rooms(room="r7"), Event("message", id="m1"), Event("session", id="r8")).session_id == "r8"
    assert in_rooms(Rooms()).session_id is None  # its default asks for a new one
    assert in_rooms(Fixed(), Event("session", name="ended")).session_id == "room-of-f1"


def test_the_conversation_is_over_when_the_platform_says_so_and_not_with_the_turn():
    assert in_rooms(Rooms(), Event("session", name="ended", id="r1")).session_over
    assert not in_rooms(Rooms(), Event("session", id="r1"), Event("end", name="ended")).session_over
    assert not in_rooms(Rooms()).session_over


def button(label: str, reply: str = "") -> Choice:
    return Choice(label, Prompt(label, reply={"id": reply or label}))


def offer(*choices: Choice) -> Event:
    return Event("step", choices=choices)


def test_the_buttons_are_those_of_the_latest_reply_that_had_any():
    made = record(
        read(1, offer(button("old"))),
        read(2, offer(button("Yes"), button("No")), delta("?"), call=1),
        read(3, offer(button("No"), button("Later")), call=1),
        read(4, delta("bye"), call=2),
    )
    run = Run(made, Rooms(), Prompt("hi"))
    assert run.choices == (button("Yes"), button("No"), button("Later"))
    assert run.choice("No") == button("No")


def test_of_two_buttons_with_one_label_the_later_one_is_pressed():
    one = in_rooms(Rooms(), offer(button("Yes", "first"), button("No")), offer(button("Yes", "second")))
    assert [choice.label for choice in one.choices] == ["Yes", "No", "Yes"]
    assert one.choice("Yes") == button("Yes", "second")


def test_a_button_that_is_not_there_is_an_error_that_names_those_that_are():
    one = in_rooms(Rooms(), offer(button("Yes please"), button("No")))
    with pytest.raises(UsageError, match=r"^demo offered no button 'Yes plese'\. Did you mean Yes please\?$"):
        one.choice("Yes plese")
    with pytest.raises(UsageError, match=r"^demo offered no button '7'\. Known: No, Yes please\.$"):
        one.choice("7")
    with pytest.raises(UsageError, match=r"^demo offered no button 'Yes'\.$"):
        in_rooms(Rooms()).choice("Yes")
    assert in_rooms(Rooms()).choices == ()


def test_a_next_run_takes_the_session_and_every_option_that_was_said_but_what_is_said_once():
    run = in_rooms(Rooms(mood="gruff", greeting="hello"), Event("session", id="r1"))
    assert run.resumed() == {"room": "r1", "mood": "gruff"}
    assert in_rooms(Rooms(room="r2", seat="window")).resumed() == {"room": "r2", "mood": "kind", "seat": "window"}


def test_where_there_is_no_session_there_is_nothing_to_go_on_in():
    with pytest.raises(UsageError, match=r"^the run of demo has no session to go on in: it ended \(None\) before one"):
        in_rooms(Rooms()).resumed()
    with pytest.raises(UsageError, match=r"^openai_chat keeps no conversation on its server: each run stands alone\.$"):
        run(Event("session", id="s1")).resumed()


def test_the_result_is_what_the_last_end_brought():
    first, last = {"answers": [1]}, {"answers": [{"score": 0.5}, "é"]}
    assert run(Event("end", data=first), delta("a"), Event("end", data=last), Event("end")).result == last
    assert run(Event("end", name="stop"), Event("usage", data={"tokens_out": 1})).result is None
    assert run().result is None


def test_the_target_is_what_was_typed():
    assert run().target == "demo"


def test_a_blank_line_stands_between_the_texts_of_two_calls():
    made = record(
        read(1, delta("Hel"), delta("lo")),
        read(2, delta("!", choice=0)),
        read(3, delta(""), Event("message", "bubble"), call=1),
        read(4, delta("An"), delta("other", choice=1), call=2),
        read(5, delta("swer"), call=2),
    )
    found = Run(made, load("typebot")(), Prompt("hi"))
    assert found.texts == {0: "Hello!\n\nAnswer", 1: "other"}
    assert found.text == "Hello!\n\nAnswer"


def test_after_a_replacement_the_next_call_still_stands_apart():
    made = record(
        read(1, delta("wrong")), read(2, Event("replace", "right"), delta("!")), read(3, delta("more"), call=1)
    )
    assert Run(made, load("typebot")(), Prompt("hi")).text == "right!\n\nmore"


def test_a_replacement_by_a_later_call_is_the_answer_so_far():
    made = record(read(1, delta("wrong")), read(2, Event("replace", "right"), delta("!"), call=1))
    assert Run(made, load("typebot")(), Prompt("hi")).text == "right!"
