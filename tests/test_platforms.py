"""The platforms through the magic, in a real kernel: turns of one session, buttons pressed, functions called."""

from __future__ import annotations

import json

import pytest
from kernels import Kernel, kernel

import streamnb

FAST = "--pace ttft=0.01 --pace gap=0.001 --pace tokens=12"
FIRST = {
    "oliver": "",
    "voiceflow": "",
    "voiceflow --api-version v2": "",
    "voiceflow --api-version v4": "",
    "chatbotkit": "--create",
    "deepset": "",
    "typebot": "",
}
"""What begins a conversation, and what only its first cell says."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with kernel(tmp_path_factory.mktemp("recordings")) as running:
        assert running.run("%load_ext streamnb\nimport streamnb").ok
        yield running


@pytest.mark.parametrize("line", FIRST)
def test_three_turns_go_on_in_one_session(lab: Kernel, line: str) -> None:
    target = line.split(maxsplit=1)[0]
    cells = (f"{line} --sim {FIRST[line]} {FAST} -o a", f"{target} --continue -o b", f"{target} --continue -o c")
    for options in cells:
        cell = lab.run(f"%%chatstream {options}\nWhat next?")
        assert cell.ok, cell.errors
    texts = json.loads(lab.value("__import__('json').dumps([a.text, b.text, c.text])"))
    assert len(set(texts)) == 3, texts
    assert all(texts)
    assert lab.value("a.session_id is not None, len({a.session_id, b.session_id, c.session_id})") == "(True, 1)"
    assert lab.value("[run.outcome.value for run in (a, b, c)]") == "['complete', 'complete', 'complete']"
    assert lab.value("len(c.calls) <= len(a.calls)") == "True"


def test_a_button_of_voiceflow_is_pressed(lab: Kernel) -> None:
    hello = lab.run(f"%chatstream voiceflow --sim --project choices --launch {FAST} -o hello")
    assert hello.ok, hello.errors
    label = lab.value("hello.choices[0].label")
    pressed = lab.run(f"%chatstream voiceflow --press {json.dumps(label)} -o pressed")
    assert pressed.ok, pressed.errors
    assert lab.value("pressed.outcome.value, pressed.session_id == hello.session_id") == "('complete', True)"
    assert lab.value("pressed.prompt.reply == hello.choices[0].prompt.reply") == "True"
    assert lab.value("list(pressed.calls['name'])") == "['interact']"
    heard = "pressed.events.query('kind == \"trace\" and name == \"state\"')['data'].iloc[-1]"
    assert lab.value(f"{label!r} in {heard}") == "True"  # the simulated bot keeps what it was told in its state


def test_the_input_of_a_typebot_is_answered_with_its_own_request(lab: Kernel) -> None:
    assert lab.run(f"%%chatstream typebot --sim --typebot choice {FAST} -o asked\nHello").ok
    assert lab.value("[choice.label for choice in asked.choices]").startswith("['Ask again'")
    pressed = lab.run('%chatstream typebot --press "Ask again" -o pressed')
    assert pressed.ok, pressed.errors
    assert lab.value("pressed.prompt.reply['text'], list(pressed.calls['name'])[0]") == "('Ask again', 'continueChat')"
    assert lab.value("pressed.text != asked.text and pressed.ok") == "True"
    wrong = lab.run('%chatstream typebot --press "Ask agian"')
    assert not wrong.ok
    assert wrong.errors == ["chatstream: typebot offered no button 'Ask agian'. Did you mean Ask again?"]


@pytest.mark.parametrize("target", sorted({line.split(maxsplit=1)[0] for line in FIRST}))
def test_stamps_are_never_before_the_send_times_of_the_simulator(target: str) -> None:
    run = streamnb.stream(target, "Hi", sim=True, pace={"ttft": 0.01, "gap": 0.002, "tokens": 50}, record=False)
    late_ns = (run.chunks["t_ns"] - run.chunks["server_t_ns"]).dropna()
    assert len(late_ns) >= 20
    assert (late_ns >= 0).all()


WEATHER = """
def weather(city: str) -> str:
    \'\'\'The weather in a city.\'\'\'
    asked.append(city)
    return f"rain in {city}"
asked = []
"""


def test_a_function_of_the_notebook_is_called_while_the_stream_is_open(lab: Kernel) -> None:
    assert lab.run(WEATHER).ok
    cell = lab.run(f"%%chatstream chatbotkit --sim --tool weather {FAST} -o told\nDo I need an umbrella?")
    assert cell.ok, cell.errors
    assert lab.value("len(asked) == 1 and f'rain in {asked[0]}' in told.text") == "True"
    assert lab.value("list(told.calls['name'])") == "['complete', 'publish']"
    first = "told.events.groupby('kind')['seq'].min()"
    assert lab.value(f"{first}['action'] < {first}['tool_result'] < {first}['delta'] < {first}['end']") == "True"


def test_a_list_streams_into_a_table_below_a_counting_line(lab: Kernel) -> None:
    code = "found = streamnb.records('chatbotkit', 'conversations', sim=True, pace={'ttft': 0, 'gap': 0.001}, take=30)"
    cell = lab.run(code, headless=False)
    assert cell.ok, cell.errors
    assert lab.value("len(found), found['id'].is_unique") == "(30, True)"
    last = cell.contents("update_display_data")[-1]["data"]["text/plain"]
    assert last.startswith("chatbotkit: 30 records \u00b7 complete")


def test_an_interrupted_list_keeps_what_came(lab: Kernel) -> None:
    code = "streamnb.records('chatbotkit', 'conversations', sim=True, pace={'ttft': 0, 'gap': 0.05})"
    parent = lab.send(code, headless=False)
    lab.collect(parent, until=lambda messages: any("2 records" in str(one["content"]) for one in messages))
    lab.manager.interrupt_kernel()
    lab.collect(parent)
    assert lab.reply(parent)["ename"] == "KeyboardInterrupt"
    assert lab.value("0 < len(streamnb.last().records) < 137, streamnb.last().outcome.value") == "(True, 'interrupted')"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("openai_chat --model x --continue", "there is no run of openai_chat in this session"),
        ("demo --continue", "openai_chat keeps no conversation on its server"),
        ("chatbotkit --sim --tool weather=nothing_here", "--tool: nothing_here does not exist in this notebook"),
        ("chatbotkit --sim --tool weather=a_number", "--tool: a_number is no function"),
        ("oliver --sim --chat-id missing", "Chat not found"),
        ("deepset --sim --pipeline missing", "404"),
        ("deepset --sim --pipeline standby", "591"),
        ("voiceflow --sim --api-version v4 --session-id somebody", "does not hold the sessionKey of 'somebody'"),
        ("voiceflow", "--project"),
        ("deepset", "--pipeline"),
        ("oliver", "OLIVER_API_KEY"),
    ],
)
def test_what_does_not_fit_is_one_line_that_says_what_to_do(lab: Kernel, line: str, words: str) -> None:
    assert lab.run("a_number = 1\n_ = streamnb.stream('demo', 'Hi', pace={'tokens': 1}, record=False)").ok
    cell = lab.run(f"%%chatstream {line}\nHi")
    assert not cell.ok
    (error,) = cell.errors
    assert words in error
    assert "\n" not in error
