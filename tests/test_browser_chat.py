from __future__ import annotations

import json
import re

import pytest
from fault_server import Wire, serving
from lab_page import NEEDS_BROWSER, cell, looks, run_cell, run_cells
from page_checks import contrast, faults, spilled, tab_stops

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

SETUP = """
from streamnb import ChatPanel
QUICK = {"record": False, "pace": {"tokens": 30, "ttft": 0.05, "gap": 0.01}}
SIM = QUICK | {"sim": True}
SLOW = {"record": False, "pace": {"tokens": 20_000, "ttft": 0.05, "gap": 0.02}}
"""
KEYS = "dd x b m 00"
"""In command mode: delete the cell, cut it, one below, make it Markdown, restart the kernel."""

CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.map(({ model }) => [model.id, model.type])"


class Chat:
    """One panel on the page, and what a person does with it."""

    def __init__(self, page, index: int) -> None:
        self.page = page
        self.panel = cell(page, index).locator(".snb-panel")
        self.area = self.panel.locator(".snb-compose textarea")
        self.line = self.panel.locator(".snb-compose input")
        self.go = self.panel.locator(".snb-go")
        self.hint = self.panel.locator(".snb-hint .snb-name")
        self.turns = self.panel.locator(".snb-turn")
        self.prompts = self.turns.locator(".snb-prompt")
        self.answer = self.turns.last.locator(".snb-answer")
        self.word = self.turns.last.locator(".snb-word")
        self.choices = self.turns.last.locator(".snb-choice")

    def type(self, text: str) -> None:
        self.area.click()
        self.page.keyboard.type(text)

    def say(self, text: str, n_turns: int) -> None:
        self.type(text)
        self.page.keyboard.press("Enter")
        expect(self.turns).to_have_count(n_turns)
        expect(self.prompts.last).to_have_text(text)
        expect(self.area).to_have_value("")

    def button(self, name: str, turn: int = -1):
        return self.turns.nth(turn).get_by_role("button", name=name)

    def option(self, name: str):
        return self.panel.get_by_label(name, exact=True)

    def idle(self) -> None:
        expect(self.word).to_have_text("complete")
        expect(self.go).to_have_text(re.compile("Send|Start"))


# -- platforms that speak first ---------------------------------------------------------------------------------------


def three_turns_with_voiceflow(chat: Chat) -> None:
    expect(chat.go).to_have_text("Start")
    chat.go.click()
    expect(chat.answer).to_contain_text("Hi! I am simulated.")
    expect(chat.choices).to_have_text(["Track a parcel", "Return it", "Opening hours"])
    chat.idle()
    chat.say("What is new?", 2)
    expect(chat.choices).to_have_count(3)
    chat.idle()
    chat.button("Return it").click()
    expect(chat.turns).to_have_count(3)
    expect(chat.prompts.last).to_have_text("Return it")
    expect(chat.answer).to_contain_text("You chose: Return it.")
    expect(chat.turns.nth(1).locator(".snb-choice.snb-on")).to_have_text("Return it")
    expect(chat.turns.nth(1).locator(".snb-choice[aria-disabled=true]")).to_have_count(3)
    chat.idle()


def a_greeting_in_one_message_has_no_chart(turn) -> None:
    turn.get_by_role("tab", name="Timing").click()
    expect(turn.locator(".snb-phases")).to_be_visible()
    expect(turn.locator(".snb-number", has_text="characters").locator("dd")).to_have_text("0")
    expect(turn.locator(".snb-chart")).to_be_hidden()
    turn.get_by_role("tab", name="Answer").click()


def three_turns_with_typebot(chat: Chat) -> None:
    expect(chat.hint).to_have_text("typebot speaks first: start it, or write.")
    chat.go.click()
    expect(chat.answer).to_contain_text("Ask me anything.")
    expect(chat.area).to_have_attribute("placeholder", "Type your answer")
    chat.idle()
    a_greeting_in_one_message_has_no_chart(chat.turns.first)
    chat.type("Why do rivers")
    chat.page.keyboard.press("Shift+Enter")
    chat.page.keyboard.type("meander?")
    chat.page.keyboard.press("Enter")
    expect(chat.prompts.last).to_have_text("Why do rivers\nmeander?")
    expect(chat.choices).to_have_text(["Ask again", "Talk about the weather", "That is all"])
    chat.idle()
    chat.button("Talk about the weather").click()
    expect(chat.turns).to_have_count(3)
    expect(chat.answer).to_contain_text("Anything else?")
    chat.idle()


def no_key_gets_to_the_notebook(chat: Chat) -> None:
    page = chat.page
    cells = page.evaluate(CELLS)
    chat.type(KEYS)
    expect(chat.area).to_have_value(KEYS)
    for name in (".snb-scroll", ".snb-options summary", ".snb-tab", ".snb-answer", ".snb-go"):
        chat.panel.locator(name).last.focus()
        for key in KEYS.replace(" ", ""):
            page.keyboard.press(key)
    assert page.evaluate(CELLS) == cells
    assert page.locator(".jp-Dialog").count() == 0


def test_voiceflow_and_typebot_are_clicked_through_while_a_third_panel_streams_and_a_cell_runs(notebook):
    page = notebook(
        f"{SETUP}\nslow = ChatPanel('demo', **SLOW)\nslow",
        "voice = ChatPanel('voiceflow', project='choices', **SIM)\nvoice",
        "bot = ChatPanel('typebot', typebot='choice', **SIM)\nbot",
        "print(voice.transcript())\nlist(voice.runs.table['outcome']), len(bot.runs.table), slow.busy",
    )
    run_cell(page, 0, 1, 2)
    slow, voice, bot = (Chat(page, index) for index in range(3))
    slow.say("Go on and on", 1)
    expect(slow.answer).to_contain_text("e")
    expect(slow.go).to_have_text("Stop")
    three_turns_with_voiceflow(voice)
    three_turns_with_typebot(bot)
    n_chars = len(slow.answer.text_content())
    run_cell(page, 3)
    said = cell(page, 3).locator(".jp-OutputArea-output")
    expect(said.first).to_contain_text("You pressed: Return it\nvoiceflow: You chose: Return it.")
    expect(said.last).to_have_text("(['complete', 'complete', 'complete'], 3, True)")
    page.wait_for_function("(n) => document.querySelector('.snb-answer').textContent.length > n", arg=n_chars)
    expect(slow.word).to_have_text("answering")
    no_key_gets_to_the_notebook(slow)
    page.keyboard.press("Escape")
    expect(slow.word).to_have_text("stopped")
    expect(slow.area).to_have_value(KEYS)
    expect(slow.go).to_have_text("Send")


BOT = {"sessionId": "s1", "typebot": {"id": "t"}, "messages": [{"type": "text", "content": {"markdown": "Your mail?"}}]}
MAIL = {"id": "in1", "type": "email input", "options": {"labels": {"placeholder": "you@example.org"}}}
AGE = {"id": "in2", "type": "number input", "options": {"labels": {"placeholder": "Your age"}}}


async def asks_for_mail_and_age_and_ends(wire: Wire) -> None:
    asked = {b"startChat": MAIL, b"ada@example.org": AGE}
    while True:
        field = next((field for said, field in asked.items() if said in wire.request), None)
        words = {"messages": [{"type": "text", "content": {"markdown": "Thanks." if field else "Bye."}}]}
        body = (BOT if field is MAIL else words) | ({"input": field} if field else {})
        await wire.reply(json.dumps(body).encode())
        if not await wire.next_request():
            return


def test_a_bot_asks_with_the_field_that_fits_and_an_ended_conversation_says_so_and_starts_anew(notebook):
    with serving(asks_for_mail_and_age_and_ends) as server:
        page = notebook(
            f"{SETUP}\nChatPanel('typebot', typebot='t', base_url={server.origin!r}, record=False)",
            "ChatPanel('voiceflow', project='ends', **SIM)",
        )
        run_cell(page, 0, 1)
        bot, ends = Chat(page, 0), Chat(page, 1)
        bot.go.click()
        expect(bot.answer).to_contain_text("Your mail?")
        expect(bot.line).to_have_attribute("type", "email")
        expect(bot.line).to_have_attribute("placeholder", "you@example.org")
        bot.line.fill("ada@example.org")
        page.keyboard.press("Enter")
        expect(bot.answer).to_contain_text("Thanks.")
        expect(bot.line).to_have_attribute("type", "number")
        bot.line.click()
        page.keyboard.type("36")
        bot.go.click()
        expect(bot.answer).to_contain_text("Bye.")
        expect(bot.panel.locator(".snb-over")).to_contain_text("typebot has ended this conversation.")
        expect(bot.line).to_be_hidden()
        expect(bot.area).to_be_hidden()
        ends.say("Hi", 1)
        expect(ends.panel.locator(".snb-over")).to_contain_text("voiceflow has ended this conversation.")
        ends.panel.get_by_role("button", name="Start anew").click()
        expect(ends.turns).to_have_count(0)
        expect(ends.area).to_be_visible()
        ends.say("Hi again", 1)
        expect(ends.answer).to_contain_text("Hi! I am simulated.")


# -- going back, another way ------------------------------------------------------------------------------------------


def retries_and_edits(chat: Chat) -> None:
    chat.say("one", 1)
    chat.idle()
    chat.say("two", 2)
    chat.idle()
    chat.button("Retry").click()
    expect(chat.turns.last.locator(".snb-names")).not_to_be_empty()
    chat.idle()
    expect(chat.prompts).to_have_text(["one", "two"])
    chat.type("a draft")
    chat.turns.first.hover()
    chat.button("Edit", 0).click()
    expect(chat.area).to_have_value("one")
    expect(chat.area).to_be_focused()
    expect(chat.hint).to_have_text("editing turn 1")
    chat.page.keyboard.press("Escape")
    expect(chat.area).to_have_value("a draft")
    chat.area.fill("")
    chat.turns.first.hover()
    chat.button("Edit", 0).click()
    chat.page.keyboard.press("Control+a")
    chat.page.keyboard.type("uno")
    chat.page.keyboard.press("Enter")
    expect(chat.prompts).to_have_text(["uno"])
    chat.idle()


def asks_with_options_and_stops(chat: Chat) -> None:
    chat.panel.locator(".snb-options summary").click()
    chat.option("system").fill("Be brief.")
    chat.option("model").fill("large")
    chat.say("three", 2)
    expect(chat.answer).to_contain_text("e")
    expect(chat.turns.last.locator(".snb-names")).to_contain_text("large")
    chat.turns.last.get_by_role("tab", name="Request").click()
    for text in ("Be brief.", "uno", "three"):
        expect(chat.turns.last.locator(".snb-request")).to_contain_text(f'"content": "{text}"')
    chat.go.click()
    expect(chat.word).to_have_text("stopped")


def asks_somebody_else(chat: Chat) -> None:
    chat.option("Provider").select_option("typebot")
    expect(chat.option("typebot")).to_be_visible()
    expect(chat.go).to_have_text("Start")
    chat.option("Provider").select_option("openai_chat")
    expect(chat.option("typebot")).to_have_count(0)
    chat.option("model").fill("small")
    chat.type("four")
    chat.page.keyboard.press("Enter")
    expect(chat.panel.locator(".snb-chat > .snb-errors")).to_contain_text("OPENAI_API_KEY")
    expect(chat.area).to_have_value("four")
    expect(chat.turns).to_have_count(2)


def test_a_turn_is_sent_again_edited_stopped_and_forgotten_and_asked_in_another_way(notebook):
    page = notebook(
        f"{SETUP}\nchat = ChatPanel('demo', **QUICK)\nchat",
        "len(chat.runs), [turn.said for turn in chat.turns]",
        "import os\nos.environ.pop('OPENAI_API_KEY', None)\nchat.set(pace=SLOW['pace'])\n'slow now'",
    )
    run_cell(page, 0)
    chat = Chat(page, 0)
    retries_and_edits(chat)
    run_cell(page, 1, 2)
    expect(cell(page, 1).locator(".jp-OutputArea-output")).to_have_text("(4, ['uno'])")
    expect(cell(page, 2).locator(".jp-OutputArea-output")).to_have_text("'slow now'")
    asks_with_options_and_stops(chat)
    asks_somebody_else(chat)
    chat.panel.get_by_role("button", name="Clear").click()
    expect(chat.turns).to_have_count(0)


def test_a_conversation_fits_narrow_and_wide_light_and_dark_and_is_reached_by_keys(notebook, shot):
    page = notebook(
        f"{SETUP}\nchat = ChatPanel('voiceflow', project='choices', **SIM)\n"
        "chat.send('Why do rivers meander?', wait=True)\nchat.press('Return it', wait=True)\nchat"
    )
    run_cells(page)
    chat = Chat(page, 0)
    chat.idle()
    chat.panel.locator(".snb-options summary").click()
    for theme, width in looks(page):
        shot(chat.panel, f"chat-{theme}-{width}")
        assert spilled(chat.panel) == []
        for text in (".snb-answer", ".snb-prompt", ".snb-choice:not([aria-disabled=true])"):
            assert contrast(page, text) > 7
        for text in (".snb-host", ".snb-help", ".snb-hint .snb-name"):
            assert contrast(page, text) > 4
    assert faults(chat.panel) == []
    stops = tab_stops(page, chat.panel)
    assert stops[0] == "Provider"
    assert {"Options", "Clear", "Answer", "Return it", "message", "Send"} <= set(stops)
