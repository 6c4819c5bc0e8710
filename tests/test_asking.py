"""What can be said about a run, and what "go on from that run" adds to it; against the built-in simulator."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest
from record_builder import Read, read, record

import streamnb
from streamnb.asking import Ask, ask, going_on, keep, prompt_of, provider_of, unknown_option
from streamnb.deadlines import Default
from streamnb.errors import UsageError
from streamnb.events import Choice, Event, Prompt, Tool
from streamnb.providers import load
from streamnb.recording import Record
from streamnb.results import Run, remember

PACE = {"tokens": 3, "ttft": 0, "gap": 0}
BUTTONS = ["Ask again", "Talk about the weather", "That is all"]


def stream(prompt: str = "", **keywords: Any) -> Run:
    return streamnb.stream("typebot", prompt, record=False, **{"sim": True, "pace": PACE, **keywords})


@pytest.fixture(scope="module")
def chosen() -> Run:
    """A run of a bot that asks with buttons at the end."""
    run = stream("Hi", typebot="choice")
    assert (run.outcome, [choice.label for choice in run.choices]) == ("complete", BUTTONS)
    return run


def of_typebot(*reads: Read) -> Record:
    made = record(*reads)
    made.info = dataclasses.replace(made.info, target="typebot")
    return made


def asked_of(run: Run) -> list[str]:
    return run.calls["name"].tolist()


# -- what can be said ---------------------------------------------------------------------------------------------


def test_keywords_that_are_not_its_own_are_the_providers_options():
    asked = ask("typebot", "Hi", sim=True, typebot="demo", framing="sse", press="Yes")
    assert asked == Ask("typebot", "Hi", sim=True, press="Yes", options={"typebot": "demo", "framing": "sse"})


def test_none_leaves_things_as_they_are_but_switches_a_clock_off():
    asked = ask("typebot", "Hi", model=None, typebot=None, after=None, timeout=None, timeout_idle=None)
    assert asked == Ask("typebot", "Hi", timeout=None, timeout_idle=None)
    assert asked.timeout_first is Default.CLOCK


def test_a_provider_may_have_an_option_called_options():
    assert ask("typebot", "Hi", options={"a": 1}).options == {"options": {"a": 1}}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_prompt_has_what_was_asked_the_functions_declared_and_an_id_of_its_own():
    asked = Ask("x", "Hi", system="s", params={"t": 0}, reply={"r": 1}, records="l", take=7, tools={"plus": add})
    prompt = prompt_of(asked, "m")
    assert (prompt.text, prompt.system, prompt.model, prompt.params) == ("Hi", "s", "m", {"t": 0})
    assert (prompt.reply, prompt.records, prompt.take) == ({"r": 1}, "l", 7)
    numbers = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    schema = {"type": "object", "properties": numbers, "required": ["a", "b"]}
    assert prompt.tools == (Tool("plus", "Add two numbers.", schema),)
    assert uuid.UUID(prompt.fresh_id).version == 4
    assert prompt_of(asked, "m").fresh_id != prompt.fresh_id


def test_a_tool_that_is_no_function_is_refused_before_anything_is_sent():
    with pytest.raises(UsageError, match="tool plus: 3 is no function"):
        stream("Hi", tools={"plus": 3})
    assert streamnb.last() is None


def test_what_was_said_before_goes_along_where_the_api_takes_it():
    run = streamnb.stream("demo", "And?", history=[["user", "Why?"], ("assistant", "So.")], pace=PACE)
    assert run.prompt.history == (("user", "Why?"), ("assistant", "So."))
    sent = json.loads(run.look.sent()[0].body)["messages"]
    assert [message["content"] for message in sent] == ["Why?", "So.", "And?"]
    assert streamnb.open(run.path).prompt.history == run.prompt.history


def test_a_history_goes_only_where_it_is_taken():
    with pytest.raises(UsageError, match="typebot takes no history"):
        stream("Hi", typebot="demo", history=[("user", "Why?")])
    assert provider_of("demo") is load("openai_chat")


@pytest.mark.parametrize("one", [("system", "x"), ("user", 1), ("user",), "user", {"role": "user", "content": "x"}])
def test_a_history_is_pairs_of_a_role_and_a_text(one: Any):
    with pytest.raises(UsageError, match="history wants pairs of user or assistant and a text, not"):
        streamnb.stream("demo", "Hi", history=[one])
    assert streamnb.last() is None


# -- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [None, False])
def test_who_goes_on_from_nothing_asks_as_it_was_said(after: Any):
    asked = Ask("typebot", "Hi", after=after)
    assert going_on(asked) is asked


def test_a_next_run_goes_on_in_the_session_of_the_one_it_is_given():
    first = stream("Hi")
    stream("another one")
    second = stream("And then?", after=first, sim=False)
    assert second.outcome == "complete"
    assert asked_of(first)[0] == "startChat"
    assert asked_of(second) == ["continueChat", "streamMessage", "continueChat"]
    assert second.session_id == first.session_id
    assert second.prompt.text == "And then?"


def test_true_is_the_latest_run_of_that_target():
    one, two = stream("one"), stream("two")
    streamnb.stream("demo", "another target", pace=PACE, record=False)
    listed = Run(record(), load("typebot")(session_id="s9"), Prompt(records="things"))
    listed._record.info = one._record.info
    remember(listed)  # a list of records is no conversation
    third = stream("three", after=True)
    assert third.session_id == two.session_id != one.session_id


def test_a_session_can_be_gone_on_in_again_and_again():
    runs = [stream("1"), *(stream(text, after=True, sim=False) for text in "234")]
    assert len({run.session_id for run in runs}) == 1
    assert [run.outcome for run in runs] == ["complete"] * 4


def test_a_run_that_was_gone_on_from_stays_as_it_is(chosen: Run):
    before = (chosen.text, chosen.session_id, len(chosen.events))
    stream(press=BUTTONS[0], after=chosen)
    assert (chosen.text, chosen.session_id, len(chosen.events)) == before


def test_a_button_is_pressed_by_its_label_with_the_request_the_platform_gave_for_it(chosen: Run):
    asked = going_on(Ask("typebot", press="Talk about the weather", after=chosen))
    assert (asked.press, asked.after, asked.prompt) == (None, None, "Talk about the weather")
    assert asked.reply == {"type": "text", "text": "Talk about the weather", "metadata": {"replyId": "item2"}}
    run = stream(press="Ask again", after=chosen)
    assert (run.outcome, run.prompt.text) == ("complete", "Ask again")
    assert [choice.label for choice in run.choices] == BUTTONS  # the bot took it: else it would say "Invalid message"
    assert not any("Invalid" in message for message in run.messages)


def test_a_button_without_a_run_is_one_of_the_latest():
    first = stream("Hi", typebot="choice")
    assert stream(press="That is all").session_id == first.session_id


def test_the_words_of_a_button_come_from_the_latest_event_that_offers_it():
    old, new = ({"type": "text", "text": "Yes", "metadata": {"replyId": ident}} for ident in ("old", "new"))
    offers = [Event("step", choices=(Choice("Yes", Prompt("Yes", reply=one)),)) for one in (old, new)]
    made = of_typebot(read(1, Event("session", id="s1"), offers[0]), read(2, offers[1]))
    run = Run(made, load("typebot")(), Prompt("Hi"))
    assert going_on(Ask("typebot", press="Yes", after=run)).reply == new


def test_the_providers_options_come_along_unless_they_are_said_again():
    first = stream("Hi", typebot="two-streams", framing="prefix_lines", no_continue=False)
    asked = going_on(Ask("typebot", "more", after=first, options={"framing": "auto"}))
    assert asked.options["typebot"] == "two-streams"
    assert asked.options["framing"] == "auto"
    assert asked.options["session_id"] == first.session_id
    assert None not in asked.options.values()


def test_an_option_that_belongs_to_one_run_is_not_repeated():
    first = stream("Hi", prefilled={"name": "Ada"})
    assert first._provider.values["prefilled"] == {"name": "Ada"}
    assert "prefilled" not in going_on(Ask("typebot", "more", after=first)).options


def test_a_session_that_is_named_wins_over_that_of_the_run():
    first = stream("Hi")
    asked = going_on(Ask("typebot", "more", after=first, options={"session_id": "other"}))
    assert asked.options["session_id"] == "other"


SAID = {
    "sim": True,
    "base_url": "http://127.0.0.1:9",
    "key_env": "MY_KEY",
    "model": "m1",
    "system": "be brief",
    "tools": {"plus": add},
    "pace": {"tokens": 3},
    "allow_http": True,
}
OTHER = {
    "base_url": "http://127.0.0.1:8",
    "key_env": "OTHER_KEY",
    "model": "m2",
    "system": "be long",
    "tools": {"minus": add},
    "pace": {"tokens": 4},
}


def earlier(**said: Any) -> Run:
    """A run in session `s1` that was asked with these words."""
    run = Run(of_typebot(), load("typebot")(session_id="s1"), Prompt("Hi"))
    keep(run, Ask("typebot", "Hi", timeout=5, scenario="stall", params={"a": 1}, cell_id="c", **said))
    return run


def values(asked: Ask, names: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in names}


def test_where_and_how_it_was_asked_comes_along():
    asked = going_on(Ask("typebot", "more", after=earlier(**SAID)))
    assert values(asked, SAID) == SAID
    assert asked.options["session_id"] == "s1"


def test_what_is_said_again_wins():
    asked = going_on(Ask("typebot", "more", after=earlier(**SAID), **OTHER))
    assert values(asked, OTHER) == OTHER


def test_what_concerns_one_run_only_does_not_come_along():
    asked = going_on(Ask("typebot", "more", after=earlier()))
    assert (asked.timeout, asked.scenario, asked.params, asked.cell_id) == (Default.CLOCK, None, {}, None)


def test_a_run_opened_from_its_file_goes_on_where_it_is_told_to_or_at_the_vendors():
    run = streamnb.stream("typebot", "Hi", sim=True, pace=PACE)
    opened = streamnb.open(run.path)
    with pytest.raises(UsageError, match=r"was opened from a file and went to http://127\.0\.0\.1"):
        going_on(Ask("typebot", "more", after=opened))
    asked = going_on(Ask("typebot", "more", after=opened, sim=True))
    assert (asked.base_url, asked.options["session_id"]) == (None, run.session_id)
    there = going_on(Ask("typebot", "more", after=opened, base_url="https://bot.example.org"))
    assert there.base_url == "https://bot.example.org"
    hosted = Run(opened.recorded, load("typebot")("https://evil.example.org"), opened.prompt)
    with pytest.raises(UsageError, match=r"went to https://evil\.example\.org: say where to go on"):
        going_on(Ask("typebot", "more", after=hosted))
    cloud = Run(opened.recorded, load("typebot")(), opened.prompt)
    assert going_on(Ask("typebot", "more", after=cloud)).base_url is None


def test_a_run_of_another_target_cannot_be_gone_on_from():
    run = streamnb.stream("typebot", "Hi", sim=True, pace=PACE, record=False)
    with pytest.raises(UsageError, match="that run is one of typebot, and oliver cannot go on in its session"):
        streamnb.stream("oliver", "more", after=run, sim=True, record=False)


def test_a_button_has_words_of_its_own():
    run = streamnb.stream("typebot", "Hi", sim=True, typebot="choice", pace=PACE, record=False)
    with pytest.raises(UsageError, match="press sends the button's own text: leave the prompt out"):
        streamnb.stream("typebot", "words of mine", after=run, press="Ask again", record=False)


# -- what cannot be -----------------------------------------------------------------------------------------------


def test_there_must_be_a_run_to_go_on_from():
    streamnb.stream("demo", "Hi", pace=PACE, record=False)
    with pytest.raises(UsageError, match="there is no run of typebot in this session to go on from; start one without"):
        stream("Hi", after=True)
    with pytest.raises(UsageError, match="there is no run of typebot"):
        stream(press="Yes")


def test_a_platform_without_conversations_cannot_be_gone_on_with():
    run = streamnb.stream("demo", "Hi", pace=PACE, record=False)
    with pytest.raises(UsageError, match=r"openai_chat keeps no conversation on its server: each run stands alone\."):
        streamnb.stream("demo", "and then?", after=run, record=False)


def test_a_run_that_ended_before_it_had_a_session_cannot_be_gone_on_from():
    run = stream("Hi", scenario="http-500", pace={**PACE, "at": "start"})
    with pytest.raises(
        UsageError, match=r"the run of typebot has no session to go on in: it ended \(http_error\) before"
    ):
        stream("Hi again", after=run)


def test_a_button_that_was_not_offered_is_an_error_that_names_those_that_were(chosen: Run):
    with pytest.raises(UsageError, match=r"typebot offered no button 'Talk about weather'\. Did you mean Talk about"):
        stream(press="Talk about weather", after=chosen)
    with pytest.raises(UsageError, match=r"offered no button 'x'\. Known: Ask again, Talk about the weather, That"):
        stream(press="x", after=chosen)


def test_a_run_without_buttons_offers_none_to_press():
    with pytest.raises(UsageError, match=r"^typebot offered no button 'Yes'\.$"):
        stream(press="Yes", after=stream("Hi"))


def test_the_model_may_stand_behind_the_target():
    asked = ask("ollama:llama3:8b", "hi")
    assert (asked.target, asked.model) == ("ollama", "llama3:8b")
    with pytest.raises(UsageError, match=r"ollama:a names its model already: leave model \(--model\) out"):
        ask("ollama:a", "hi", model="b")
    with pytest.raises(UsageError, match="'ollama:' names no model behind the colon"):
        ask("ollama:", "hi")


def test_an_unknown_option_names_the_nearest_or_what_there_is_and_where_fields_of_the_body_go():
    near = str(unknown_option("demo has no", "tmeout", ["path"]))
    assert near == "demo has no option 'tmeout'. Did you mean timeout or timeout_idle?"
    far = str(unknown_option("demo has no", "zzz", ["path"]))
    assert far.endswith(" A field of the request's body goes into params={...} (--param NAME=VALUE).")
    assert {"style", "notice", "cell_id"}.isdisjoint(far.replace(",", "").split())
    assert {"path", "params", "timeout"} <= set(far.replace(",", "").replace(".", "").split())
