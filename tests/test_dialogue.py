"""What goes along with the next turn of a conversation: its session, or what was said; against the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_page import FAST, messages_sent, page_of, panels, settled
from fault_server import DONE, END, STOP, Wire, delta, serving, wait_until

import streamnb
from streamnb.companions import simulator_url
from streamnb.errors import UsageError
from streamnb.widgets import ChatPanel


@pytest.fixture
def panel() -> Iterator[Callable[..., ChatPanel]]:
    with panels() as make:
        yield make


# -- what goes along --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["demo", "ollama"])
def test_an_api_that_keeps_nothing_is_told_all_that_was_said(panel, target: str):
    chat = panel(target, system="Be brief.")
    runs = [chat.send(text, wait=True) for text in ("one", "two", "three")]
    assert messages_sent(runs[2]) == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", runs[0].text),
        ("user", "two"),
        ("assistant", runs[1].text),
        ("user", "three"),
    ]
    assert list(chat.runs.table["tokens_in"].diff()[1:] > 5) == [True, True]  # the server saw them grow
    assert [turn.said for turn in chat.turns] == ["one", "two", "three"]
    assert list(chat.runs) == runs


def test_every_run_of_a_panel_bears_its_name_and_two_panels_have_two(panel):
    chat, other = panel(), panel(chat="about rivers")
    for one in (chat, other, chat):
        one.send("Hi", wait=True)
    table = streamnb.runs()
    assert list(table["chat"]) == [chat.name, "about rivers", chat.name]
    assert chat.name.startswith("chat-")


def test_what_was_said_before_is_in_the_recording_and_comes_back_with_it(panel):
    chat = panel(record=True)
    first = chat.send("one", wait=True)
    run = chat.send("two", wait=True)
    said = (("user", "one"), ("assistant", first.text))
    assert run.prompt.history == said
    opened = streamnb.open(run.path)
    assert (opened.prompt.history, opened.recorded.info.chat) == (said, chat.name)
    assert streamnb.replay(run, speed=1000).prompt.history == said
    unrecorded = panel()
    unrecorded.send("one", wait=True)
    assert streamnb.replay(unrecorded.send("two", wait=True), speed=1000).prompt.history == said


async def falls_then_answers(wire: Wire) -> None:
    """The first answer breaks before any text, the second in the middle of it, the others are whole."""
    n = len(wire.server.requests)
    if n == 1:
        await wire.reply(b'{"error": {"message": "overloaded"}}', status="503 Service Unavailable")
        return
    await wire.head()
    if n == 2:
        await wire.chunks(delta("Hel"))
        wire.fin()
        return
    await wire.chunks(delta("Hello"), STOP, DONE)
    await wire.send(END)


def test_what_was_never_answered_is_left_out_and_half_an_answer_is_not(panel):
    with serving(falls_then_answers) as server:
        chat = panel("openai_chat", base_url=server.origin, model="m")
        outcomes = [chat.send(text, wait=True).outcome for text in ("one", "two", "three")]
        assert outcomes == ["http_error", "protocol_error", "complete"]
        assert messages_sent(chat.last) == [("user", "two"), ("assistant", "Hel"), ("user", "three")]


SESSIONS = [
    ("voiceflow", {"project": "demo"}),
    ("voiceflow", {"project": "demo", "api_version": "v4"}),
    ("typebot", {"typebot": "demo"}),
    ("oliver", {}),
    ("deepset", {}),
    ("chatbotkit", {"create": True}),
]


@pytest.mark.parametrize(("target", "options"), SESSIONS)
def test_a_platform_that_keeps_the_conversation_goes_on_in_its_session(panel, target: str, options: dict[str, Any]):
    chat = panel(target, **options)
    runs = [chat.send(text, wait=True) for text in ("one", "two", "three")]
    assert [run.outcome for run in runs] == ["complete"] * 3
    assert runs[0].session_id is not None
    assert len({run.session_id for run in runs}) == 1
    assert len(runs[1].calls) < len(runs[0].calls) or target == "oliver"
    assert all(run.prompt.history == () for run in runs)


def test_a_session_that_was_never_reached_is_not_gone_on_in(panel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOICEFLOW_API_KEY", "bad-key")
    chat = panel("voiceflow", base_url=simulator_url(), project="demo")
    assert chat.send("one", wait=True).outcome == "http_error"
    chat.set(sim=True, base_url=None)
    run = chat.send("two", wait=True)
    assert (run.outcome, list(run.calls["name"])) == ("complete", ["launch", "interact"])


def test_a_target_that_keeps_nothing_and_takes_nothing_says_so(panel):
    chat = panel("sse")
    with page_of(chat) as page:
        assert page.chat["hint"] == "sse keeps no conversation: each prompt stands alone."
        chat.send("one", wait=True)
        assert messages_sent(chat.send("two", wait=True)) == [("user", "two")]


def test_a_platform_that_opened_no_session_says_so_after_the_first_answer(panel):
    chat = panel("deepset", endpoint="search")
    with page_of(chat) as page:
        assert page.chat["hint"] == ""
        chat.send("one", wait=True)
        settled(chat)
        wait_until(lambda: page.chat["hint"] == "deepset opened no session: each prompt stands alone.")


def test_a_conversation_with_chatbotkit_is_created_on_its_server(panel):
    chat = panel("chatbotkit")
    first = chat.send("one", wait=True)
    assert first.session_id
    assert chat.send("two", wait=True).session_id == first.session_id


def test_a_panel_goes_on_from_a_run(panel):
    run = streamnb.stream("oliver", "one", sim=True, pace=FAST)
    chat = panel("oliver", after=run)
    assert chat.send("two", wait=True).session_id == run.session_id
    chat.clear()
    assert chat.send("three", wait=True).session_id != run.session_id
    before = streamnb.stream("demo", "one", pace=FAST, history=[("user", "zero"), ("assistant", "0")])
    told = panel(after=before).send("two", wait=True)
    assert [text for _, text in messages_sent(told)] == ["zero", "0", "one", before.text, "two"]


def test_an_option_for_one_turn_goes_with_one_turn(panel):
    chat = panel("voiceflow", project="intents")
    chat.send("Hi", wait=True)
    chat.set(intent="order_status")
    assert "on its way" in chat.send("where is it", wait=True).messages[-1]
    with page_of(chat) as page:
        assert {field["name"]: field["value"] for field in page.chat["fields"]}["intent"] is None
        assert chat.send("and now", wait=True).messages == []
        chat.set(intent="opening_hours")
        assert chat.send("when", wait=True).messages == ["From nine to five."]


def test_an_option_for_the_first_turn_goes_with_the_first_turn_of_each_conversation(panel):
    chat = panel("oliver", chat_name="rivers")
    runs = [chat.send(text, wait=True) for text in ("one", "two")]
    chat.clear()
    runs.append(chat.send("three", wait=True))
    names = [[json.loads(call.body).get("name") for call in run.look.sent()] for run in runs]
    assert names == [["rivers", None], [None], ["rivers", None]]


# -- saying it otherwise ----------------------------------------------------------------------------------------------


def test_retry_sends_the_last_prompt_as_if_it_had_not_been_sent(panel):
    chat = panel()
    first = chat.send("one", wait=True)
    chat.send("two", wait=True)
    again = chat.retry(wait=True)
    assert messages_sent(again) == [("user", "one"), ("assistant", first.text), ("user", "two")]
    assert [turn.said for turn in chat.turns] == ["one", "two"]
    assert chat.turns[1].run is again
    assert len(chat.runs) == 3


@pytest.mark.parametrize("which", [1, -2, "turn"])
def test_edit_says_something_else_there_and_forgets_what_came_after(panel, which: Any):
    chat = panel()
    first = chat.send("one", wait=True)
    for text in ("two", "three"):
        chat.send(text, wait=True)
    run = chat.edit(chat.turns[1] if which == "turn" else which, "other", wait=True)
    assert messages_sent(run) == [("user", "one"), ("assistant", first.text), ("user", "other")]
    assert [turn.said for turn in chat.turns] == ["one", "other"]


def test_a_session_cannot_be_taken_back_and_the_panel_says_so(panel):
    chat = panel("oliver")
    chat.send("one", wait=True)
    with page_of(chat) as page:
        said = "oliver cannot take back what it has heard: this was sent after it."
        chat.edit(0, "other", wait=True)
        wait_until(lambda: page.chat["hint"] == said)
        chat.retry(wait=True)
        assert [one for one, _ in page.said] == ["one", "other", "other"]
        assert len({run.session_id for run in chat.runs}) == 1
        chat.send("two", wait=True)
        wait_until(lambda: page.chat["hint"] == "")


def test_clear_begins_a_new_conversation_and_keeps_the_runs(panel):
    chat = panel()
    chat.send("one", wait=True)
    chat.clear()
    assert (chat.turns, chat.transcript(), len(chat.runs)) == ((), "", 1)
    assert messages_sent(chat.send("two", wait=True)) == [("user", "two")]
    other = panel("typebot", typebot="demo")
    sessions = []
    for text in ("one", "two"):
        sessions.append(other.send(text, wait=True).session_id)
        other.clear()
    assert len(set(sessions)) == 2


def test_another_target_goes_on_with_the_conversation_where_both_can(panel):
    chat = panel()
    first = chat.send("one", wait=True)
    chat.set(target="ollama", sim=True)
    assert chat.target == "ollama"
    run = chat.send("two", wait=True)
    assert (run.target, messages_sent(run)[0][1], run.text != "") == ("ollama", "one", True)
    chat.set(target="oliver")
    third = chat.send("three", wait=True)
    assert (third.target, third.outcome, third.prompt.history) == ("oliver", "complete", ())
    chat.set(target="demo", pace=FAST)
    assert messages_sent(chat.send("four", wait=True)) == [("user", "four")]
    assert [turn.said for turn in chat.turns] == ["one", "two", "three", "four"]
    assert first.text in chat.transcript()
    with pytest.raises(UsageError, match="belongs to another conversation"):
        chat.edit(0, "x")
