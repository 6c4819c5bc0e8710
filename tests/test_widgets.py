"""`ChatPanel` from Python, against the simulator; and once in a real kernel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_page import HANG_S, page_of, panels
from fault_server import Wire, serving, wait_until
from kernels import Cell, kernel

from streamnb.errors import MissingKeyError, UsageError
from streamnb.widgets import ChatPanel


@pytest.fixture
def panel() -> Iterator[Callable[..., ChatPanel]]:
    with panels() as make:
        yield make


# -- buttons and fields -----------------------------------------------------------------------------------------------


def test_the_buttons_of_voiceflow_are_pressed_with_their_own_request(panel):
    chat = panel("voiceflow", project="choices")
    first = chat.send("Hi", wait=True)
    labels = [choice.label for choice in first.choices]
    assert labels == ["Track a parcel", "Return it", "Opening hours"]
    run = chat.press("Return it", wait=True)
    assert (run.prompt.reply, run.session_id) == (first.choices[1].prompt.reply, first.session_id)
    assert run.messages == ["You chose: Return it."]
    assert chat.transcript().count("You pressed: Return it\nvoiceflow: You chose: Return it.") == 1
    again = chat.retry(wait=True)
    assert again.prompt.reply == run.prompt.reply


def test_a_button_of_a_carousel_is_told_by_its_card(panel):
    chat = panel("voiceflow", project="cards")
    run = chat.send("Show me", wait=True)
    label = next(choice.label for choice in run.choices if ": " in choice.label)
    assert chat.press(label, wait=True).messages[0].startswith("You chose")


def test_what_is_no_button_of_the_last_turn_cannot_be_pressed(panel):
    chat = panel("voiceflow", project="choices")
    with pytest.raises(UsageError, match="no buttons to press yet"):
        chat.press("Return it")
    chat.send("Hi", wait=True)
    with pytest.raises(UsageError, match="Did you mean Return it"):
        chat.press("Return")


def test_typebot_speaks_first_and_says_what_it_waits_for(panel):
    chat = panel("typebot", typebot="choice")
    with page_of(chat) as page:
        assert (page.chat["start"], page.chat["hint"]) == (True, "typebot speaks first: start it, or write.")
        started = chat.start(wait=True)
        assert list(started.calls["name"]) == ["startChat"]
        assert page.said == [(None, "Hi! I am simulated.\nAsk me anything.")]
        assert page.board["lanes"][0]["input"] == {"kind": "text", "placeholder": "Type your answer"}
        wait_until(lambda: page.chat["start"] is False)
        run = chat.send("Where?", wait=True)
        assert (run.session_id, next(iter(run.calls["name"]))) == (started.session_id, "continueChat")
        assert page.board["lanes"][1]["input"] == {"kind": "text", "placeholder": "Press a button"}
        pressed = chat.press("That is all", wait=True)
        assert pressed.prompt.reply["metadata"] == {"replyId": "item3"}
        assert chat.transcript().startswith("typebot: Hi! I am simulated.\n\nAsk me anything.\n\nYou said: Where?")
    with pytest.raises(UsageError, match="closed"):
        chat.send("more")


def test_nothing_can_be_started_twice_or_where_nobody_speaks_first(panel):
    chat = panel("typebot", typebot="demo")
    chat.start(wait=True)
    for one in (chat, panel()):
        with pytest.raises(UsageError, match="nothing to send: write something"):
            one.start()
        with pytest.raises(UsageError, match="nothing to send: write something"):
            one.send(" ")


BOT = {"sessionId": "s1", "typebot": {"id": "t"}, "messages": [{"type": "text", "content": {"markdown": "Your mail?"}}]}
MAIL = {"id": "in1", "type": "email input", "options": {"labels": {"placeholder": "you@example\u202e.org"}}}


async def asks_for_mail_and_ends(wire: Wire) -> None:
    while True:
        start = b"startChat" in wire.request
        body = {**BOT, "input": MAIL} if start else {"messages": [{"type": "text", "content": {"markdown": "Bye."}}]}
        await wire.reply(json.dumps(body).encode())
        if not await wire.next_request():
            return


def test_an_input_says_what_to_type_in_the_bots_words_made_harmless_and_goes_when_the_bot_ends(panel):
    with serving(asks_for_mail_and_ends) as server:
        chat = panel("typebot", base_url=server.origin, typebot="t")
        with page_of(chat) as page:
            chat.start(wait=True)
            assert page.board["lanes"][0]["input"] == {"kind": "email", "placeholder": "you@example<U+202E>.org"}
            assert chat.send("a@example.org", wait=True).session_over
            assert page.board["lanes"][1]["input"] is None
            wait_until(lambda: page.chat["over"] == "typebot has ended this conversation.")
            assert chat.transcript().endswith("typebot: Bye.\n(the conversation ended)")


def test_after_the_end_of_a_conversation_another_one_must_begin(panel):
    chat = panel("voiceflow", project="ends")
    first = chat.send("Hi", wait=True)
    with page_of(chat) as page:
        assert (first.session_over, page.chat["over"]) == (True, "voiceflow has ended this conversation.")
        for refused in (lambda: chat.send("more"), chat.retry, lambda: chat.edit(0, "other")):
            with pytest.raises(UsageError, match=r"voiceflow has ended this conversation\. Start anew: panel\.clear"):
                refused()
        assert len(chat.turns) == 1
        chat.clear()
        second = chat.send("Hi", wait=True)
        assert second.session_id != first.session_id


# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"target": "dmeo"}, "There is no target 'dmeo'. Did you mean demo"),
        ({"modle": "m"}, "demo has no option 'modle'. Did you mean model"),
        ({"prompt": "Hi"}, r"takes no prompt: say it with send\(\)"),
        ({"press": "Yes"}, r"takes no press: press\(label\) presses"),
        ({"display": "screen"}, "display=screen"),
    ],
)
def test_a_panel_that_does_not_fit_is_one_line(keywords: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=says):
        ChatPanel(**keywords)


def test_what_cannot_be_sent_is_raised_to_who_waits_and_shown_on_the_page(panel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    chat = panel("openai_chat", model="m", sim=None, pace=None)
    with page_of(chat) as page:
        with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
            chat.send("Hi", wait=True)
        turn = chat.send("Hi")
        with pytest.raises(MissingKeyError):
            turn.wait(HANG_S)
        assert repr(turn).startswith("<turn 'Hi': not sent: openai_chat needs OPENAI_API_KEY")
        wait_until(lambda: page.chat["error"] and not page.chat["busy"])
        assert "OPENAI_API_KEY" in page.chat["error"]
        assert (chat.turns, chat.last, page.said) == ((), None, [])
        chat.set(sim=True)
        assert chat.send("Hi", wait=True).outcome == "complete"
        wait_until(lambda: page.chat["error"] is None)


def test_set_knows_what_there_is_and_a_key_is_no_keyword(panel):
    chat = panel()
    with pytest.raises(UsageError, match="Did you mean openai_chat"):
        chat.set(target="openai")
    with pytest.raises(UsageError, match="demo has no option 'api_key'"):
        chat.set(api_key="x")
    with pytest.raises(UsageError, match="goes on from the run it was made with"):
        chat.set(after=True)
    assert chat.target == "demo"


def test_a_turn_is_named_by_its_place_or_itself(panel):
    chat, other = panel(), panel()
    with pytest.raises(UsageError, match="nothing was said yet"):
        chat.retry()
    chat.send("one", wait=True)
    other.send("one", wait=True)
    with pytest.raises(UsageError, match="there is no turn 1: there are 1"):
        chat.edit(1, "x")
    with pytest.raises(UsageError, match="not one of this conversation"):
        chat.edit(other.turns[0], "x")
    with pytest.raises(UsageError, match="nothing to send"):
        chat.edit(0, " ")
    assert [turn.said for turn in chat.turns] == ["one"]


# -- what stays -------------------------------------------------------------------------------------------------------


def test_the_tables_of_a_panel_are_those_of_all_its_runs(panel):
    chat = panel()
    assert len(chat.events) == 0
    for text in ("one", "two"):
        chat.send(text, wait=True)
    assert list(dict.fromkeys(chat.events["run_id"])) == [run.run_id for run in chat.runs]
    assert list(dict.fromkeys(chat.chunks["run_id"])) == [run.run_id for run in chat.runs]
    assert repr(chat) == f"<ChatPanel {chat.name} with demo: 2 turns, idle>"


def test_without_a_page_it_shows_what_was_said(panel, monkeypatch: pytest.MonkeyPatch):
    chat = panel()
    assert chat._repr_mimebundle_() == {"text/plain": f"<ChatPanel {chat.name} with demo: 0 turns, idle>"}
    run = chat.send("<b>Why?</b>\x1b", wait=True)
    assert chat._repr_mimebundle_() == {"text/plain": chat.transcript()}
    monkeypatch.setenv("STREAMNB_DISPLAY", "static")
    bundle = chat._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert "&lt;b&gt;Why?&lt;/b&gt;\u241b" in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]
    assert bundle["text/plain"] == f"You said: <b>Why?</b>\u241b\ndemo: {run.text}".rstrip()
    monkeypatch.setenv("STREAMNB_DISPLAY", "panel")
    with pytest.raises(UsageError, match="needs a notebook kernel"):
        chat._repr_mimebundle_()


# -- in a kernel ------------------------------------------------------------------------------------------------------

MAKE = """
from streamnb.widgets import ChatPanel
import time
chat = ChatPanel(pace={"tokens": 2000, "ttft": 0, "gap": 0.01}, record=False)
"""
VIEW = "application/vnd.jupyter.widget-view+json"


def test_in_a_notebook_it_is_one_widget_that_talks_and_stops_while_another_cell_runs(tmp_path: Path):
    with kernel(tmp_path) as lab:
        assert lab.run(MAKE).ok
        first, second = (lab.run("chat", headless=False) for _ in range(2))
        (one,), (two,) = first.contents("display_data"), second.contents("display_data")
        assert set(one["data"]) == {VIEW}
        assert one["data"] == two["data"]
        assert second.contents("comm_open") == []
        opened = first.contents("comm_open")
        comm_id = next(content["comm_id"] for content in opened if "board" in content["data"]["state"])

        def say(**content: Any) -> None:
            data = {"comm_id": comm_id, "data": {"method": "custom", "content": content}}
            lab.client.shell_channel.send(lab.client.session.msg("comm_msg", data))

        hears = lab.value("chat._chat.board._board._fixed['hears']") == "True"
        if hears:
            parent = lab.send(
                "while not chat.turns or chat.busy:\n    time.sleep(0.05)\nprint(chat.last.outcome.value)"
            )
            say(k="send", text="Hi", fields={}, q=1)
            pushed = []
            while len(pushed) < 5 or pushed[-1] != "delta":
                message = lab.client.get_iopub_msg(timeout=HANG_S)
                assert message["msg_type"] != "error", message["content"]
                pushed += [kind_of(message)] if message["msg_type"] == "comm_msg" else []
            say(k="stop", q=2)
            cell = Cell(lab.reply(parent), lab.collect(parent))
            assert cell.stdout == "stopped\n"
        else:
            say(k="send", text="Hi", fields={}, q=1)
            assert lab.run("time.sleep(0.5)\nchat.stop()\nchat.wait()").ok
        shown = lab.run("chat")
        (bundle,) = shown.contents("display_data")
        assert set(bundle["data"]) == {"text/html", "text/plain"}
        assert bundle["data"]["text/plain"].startswith("You said: Hi\ndemo: ")
        closed = lab.run("chat.close()", headless=False)
        assert [set(content["data"]) for content in closed.contents("update_display_data")] == [
            {"text/html", "text/plain"}
        ] * 2


def kind_of(message: dict[str, Any]) -> str | None:
    return message["content"]["data"].get("content", {}).get("k")
