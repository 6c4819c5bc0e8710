"""Turns under way, from Python and from a page; against the simulator."""

from __future__ import annotations

import _thread
import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_page import FAST, HANG_S, SLOW, messages_sent, page_of, panels, settled
from fault_server import until, wait_until

from streamnb import chatting
from streamnb.chatting import Chat
from streamnb.errors import StreamnbError, UsageError
from streamnb.events import Outcome
from streamnb.results import Run
from streamnb.session import Session
from streamnb.widgets import ChatPanel


@pytest.fixture
def panel() -> Iterator[Callable[..., ChatPanel]]:
    with panels() as make:
        yield make


# -- under way --------------------------------------------------------------------------------------------------------


def test_send_returns_at_once_and_the_turn_can_be_awaited_and_stopped(panel):
    chat = panel(pace=SLOW)
    turn = chat.send("Hi")
    assert (turn.done, chat.busy, repr(turn).startswith("<turn 'Hi': ")) == (False, True, True)
    wait_until(lambda: turn.run is not None and turn.run.text)
    assert turn.wait(timeout=0) is turn.run
    turn.stop()
    run = asyncio.run(_awaited(turn))
    assert (run.outcome, run.text != "", chat.busy) == (Outcome.STOPPED, True, False)
    assert chat.transcript().endswith("(openai_chat: stopped; what arrived is kept.)")


async def _awaited(turn: Any) -> Run:
    return await turn


async def test_a_turn_is_awaited_while_the_loop_stays_free(panel):
    chat = panel(pace=SLOW)
    turn = chat.send("Hi")
    task = asyncio.create_task(_awaited(turn))
    await until(lambda: turn.run is not None and turn.run.text)
    assert not task.done()
    chat.stop()
    assert (await task).outcome == "stopped"


def test_what_is_said_meanwhile_waits_for_its_turn_and_a_stop_takes_it_back(panel):
    chat = panel(pace=SLOW)
    first = chat.send("one")
    second = chat.send("two")
    wait_until(lambda: first.run is not None and first.run.text)
    with pytest.raises(TimeoutError, match="not sent yet"):
        second.wait(timeout=0.01)
    for refused in (chat.retry, lambda: chat.edit(0, "x"), lambda: chat.press("x")):
        with pytest.raises(UsageError, match="an answer is under way"):
            refused()
    chat.stop()
    assert first.wait(HANG_S).outcome == "stopped"
    with pytest.raises(UsageError, match="stopped before it was sent"):
        second.wait(HANG_S)
    assert [turn.said for turn in chat.turns] == ["one"]
    third = chat.send("three")
    wait_until(lambda: third.run is not None and third.run.text)
    assert messages_sent(third.run)[:2] == [("user", "one"), ("assistant", first.run.text)]


def test_waiting_can_have_an_end(panel):
    chat = panel(pace=SLOW)
    turn = chat.send("Hi")
    wait_until(lambda: turn.run is not None)
    assert chat.wait(timeout=0.02) is turn.run
    assert turn.run.outcome is None


def test_a_stop_while_a_turn_is_put_together_sends_nothing(panel, monkeypatch: pytest.MonkeyPatch):
    chat = panel()
    monkeypatch.setattr(chatting, "Session", lambda asked, view: (Session(asked, view), chat.stop())[0])
    with page_of(chat) as page:
        with pytest.raises(UsageError, match="stopped before it was sent"):
            chat.send("Hi", wait=True)
        chat.wait()
        assert (chat.turns, chat.last, page.chat["error"]) == ((), None, None)


def test_a_bug_of_ours_leaves_nobody_waiting(panel, monkeypatch: pytest.MonkeyPatch):
    def fails(asked: Any, view: Any) -> Any:
        raise ZeroDivisionError

    bugs: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: bugs.append(args.exc_type))
    chat = panel()
    monkeypatch.setattr(chatting, "Session", fails)
    with pytest.raises(StreamnbError, match="could not be sent"):
        chat.send("one", wait=True)
    wait_until(lambda: bugs)
    monkeypatch.undo()
    assert chat.send("two", wait=True).outcome == "complete"
    assert bugs == [ZeroDivisionError]


def test_a_panel_that_nobody_holds_and_no_page_shows_is_let_go(panel):
    def talked() -> weakref.ref[Chat]:
        chat = ChatPanel("demo", pace=FAST, record=False)
        chat.send("Hi", wait=True)
        return weakref.ref(chat._chat)

    inside = talked()
    wait_until(lambda: gc.collect() >= 0 and inside() is None)


def test_a_clear_ends_what_is_under_way(panel):
    chat = panel(pace=SLOW)
    with page_of(chat) as page:
        turn = chat.send("one")
        wait_until(lambda: page.said and page.said[0][1])
        chat.clear()
        assert turn.wait(HANG_S).outcome == "stopped"
        settled(chat)
        assert (page.said, chat.turns, len(chat.runs)) == ([], (), 1)


def test_two_panels_talk_at_once(panel):
    slow, fast = panel(pace=SLOW), panel("typebot", typebot="demo")
    turn = slow.send("Hi")
    wait_until(lambda: turn.run is not None and turn.run.text)
    assert fast.send("Hi", wait=True).outcome == "complete"
    assert slow.busy
    slow.stop()
    assert settled(slow).outcome == "stopped"


def test_an_interrupt_ends_the_waiting_and_not_the_run(panel):
    chat = panel(pace=SLOW)
    turn = chat.send("Hi")
    wait_until(lambda: turn.run is not None and turn.run.text)
    for waiting in (chat.wait, turn.wait):
        timer = threading.Timer(0.1, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            waiting()
        timer.join()
    assert turn.run.outcome is None
    chat.stop()
    assert settled(chat).outcome == "stopped"


def test_a_panel_that_has_nothing_to_do_keeps_no_thread(panel):
    chat = panel()
    chat.send("Hi", wait=True)
    wait_until(lambda: not chat._chat.worker.awake)
    assert not [thread for thread in threading.enumerate() if thread.name == "streamnb-chat"]
    assert chat.send("again", wait=True).outcome == "complete"


# -- from the page ----------------------------------------------------------------------------------------------------


def test_a_page_says_sends_edits_retries_and_clears(panel):
    chat = panel()
    with page_of(chat) as page:
        page.say("send", text="one", fields=page.values(system="Be brief."))
        first = settled(chat)
        assert messages_sent(first) == [("system", "Be brief."), ("user", "one")]
        wait_until(lambda: not page.chat["busy"])
        assert page.said == [("one", first_line(first))]
        page.say("send", text="two", fields=page.values())
        settled(chat)
        page.say("retry")
        assert len(messages_sent(settled(chat))) == 4
        page.say("edit", lane=page.board["lanes"][0]["id"], text="other")
        assert messages_sent(settled(chat)) == [("system", "Be brief."), ("user", "other")]
        assert [said for said, _ in page.said] == ["other"]
        page.say("clear")
        settled(chat)
        assert (page.said, chat.turns, len(chat.runs)) == ([], (), 4)


def first_line(run: Run) -> str:
    return run.text.replace("## ", "").replace("\n\n", "\n").strip()


def test_a_page_presses_buttons_of_the_last_turn_only(panel):
    chat = panel("voiceflow", project="choices")
    with page_of(chat) as page:
        page.say("send", text="Hi", fields=page.values())
        first = settled(chat)
        lane = page.board["lanes"][-1]
        assert [choice["label"] for choice in lane["choices"]] == [choice.label for choice in first.choices]
        page.say("press", lane=lane["id"], i=1)
        assert settled(chat).prompt.reply == first.choices[1].prompt.reply
        assert page.said[-1][0] == "Return it"
        for i, ident in ((0, lane["id"]), (9, page.board["lanes"][-1]["id"])):
            page.say("press", lane=ident, i=i)
            settled(chat)
            wait_until(lambda: page.chat["error"] == "only the buttons of the last turn can be pressed.")
            page.say("target", value="voiceflow")
            wait_until(lambda: page.chat["error"] is None)
        page.say("press", lane=77, i=0)
        wait_until(lambda: page.chat["error"] == "that turn is not there any more.")
        assert len(chat.runs) == 2


def test_a_page_starts_a_bot_and_chooses_whom_to_ask(panel):
    chat = panel()
    with page_of(chat) as page:
        assert {"name": "typebot", "help": "Typebot streamMessage"} in page.chat["targets"]
        page.say("target", value="typebot", fields=page.values(system="Be kind."))
        wait_until(lambda: page.chat["target"] == "typebot")
        names = [field["name"] for field in page.chat["fields"]]
        assert names[:5] == ["model", "system", "sim", "base_url", "typebot"]
        assert not any("key" in name for name in names)
        page.say("send", text="", fields=page.values(sim=True, typebot="choice", framing="auto"))
        assert list(settled(chat).calls["name"]) == ["startChat"]
        assert page.values()["system"] == "Be kind."
        page.say("send", text="Hi", fields=page.values())
        assert settled(chat).choices[0].label == "Ask again"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prefilled": "{name: 1"}, "prefilled wants JSON"),
        ({"system": "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"}, "looks like a key"),
        ({"sim": "yes"}, "simulator cannot be 'yes'"),
        ({"framing": "odd"}, "framing='odd' is unknown"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line_and_every_time(panel, fields: dict[str, Any], says: str):
    chat = panel("typebot", typebot="demo")
    with page_of(chat) as page:
        for _ in range(2):
            before = page.chat["heard"]
            page.say("send", text="Hi", fields=page.values(**fields))
            wait_until(lambda: page.chat["heard"] > before and not page.chat["busy"])  # noqa: B023
            assert says in page.chat["error"]
            assert "\n" not in page.chat["error"]
            assert "sk-proj" not in page.chat["error"]
        assert len(chat.runs) == 0


def test_what_a_page_types_reaches_the_provider_as_what_it_is(panel):
    chat = panel("typebot", typebot="demo")
    with page_of(chat) as page:
        page.say("send", text="Hi", fields=page.values(prefilled='{"name": "Ada"}', no_continue=True))
        values = settled(chat).provider.values
        assert (values["prefilled"], values["no_continue"], values["framing"]) == ({"name": "Ada"}, True, "auto")


def test_a_stop_from_the_page_is_heard_on_the_thread_it_comes_on(panel):
    chat = panel(pace=SLOW)
    with page_of(chat) as page:
        page.say("send", text="Hi", fields=page.values())
        wait_until(lambda: page.said and page.said[0][1])
        page.say("send", text="more", fields=page.values())
        wait_until(lambda: page.chat["error"] == "an answer is under way: wait for its end, or stop it.")
        page.say("stop")
        page.say("what")
        page.say("send", text=7)
        page.say("done")
        assert settled(chat).outcome == "stopped"
        assert len(chat.runs) == 1
        wait_until(lambda: not page.board["lanes"][0]["live"])
        assert page.board["lanes"][0]["out"]["outcome"] == "stopped"


def test_a_page_that_comes_late_finds_the_conversation(panel):
    chat = panel()
    run = chat.send("one", wait=True)
    with page_of(chat) as page:
        assert page.said == [("one", first_line(run))]
        assert page.chat["target"] == "demo"
        chat.send("two", wait=True)
        assert [said for said, _ in page.said] == ["one", "two"]
