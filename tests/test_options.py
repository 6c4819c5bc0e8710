"""The magic line, without IPython."""

from __future__ import annotations

import pytest

from streamnb.errors import UsageError
from streamnb.options import build_parser, help_text, json_value, parse_cell, parse_line, refuse_keys
from streamnb.providers import load, names
from streamnb.settings import PROFILES


def test_options_become_the_keywords_of_stream() -> None:
    line = (
        "openai_chat --model m-1 --system 'be brief' -o answer --base-url http://127.0.0.1:1/v1 --key-env MY_KEY "
        "--param temperature=0 --param stop='[\"a\"]' --param user=me --timeout 3 --no-record --sim --pace gap=0.5"
    )
    assert parse_line(line) == (
        "openai_chat",
        {
            "model": "m-1",
            "system": "be brief",
            "output": "answer",
            "base_url": "http://127.0.0.1:1/v1",
            "key_env": "MY_KEY",
            "params": {"temperature": 0, "stop": ["a"], "user": "me"},
            "timeout": 3.0,
            "record": False,
            "sim": True,
            "pace": {"gap": 0.5},
        },
    )


def test_a_target_brings_the_options_of_its_provider() -> None:
    target, keywords = parse_line("typebot --typebot bot --session-id s --no-continue --prefilled '{\"a\": 1}'")
    assert target == "typebot"
    assert keywords == {"typebot": "bot", "session_id": "s", "no_continue": True, "prefilled": {"a": 1}}
    with pytest.raises(UsageError, match=r"demo has no option --session-id\."):
        parse_line("demo --session-id s")


def test_a_cell_of_one_target_is_a_line_of_one_target() -> None:
    for line in ("demo --model m-1 -o answer", "typebot --typebot bot --no-continue", "demo"):
        target, keywords = parse_line(line)
        assert parse_cell(line) == ([target], keywords)


def test_the_model_of_one_target_may_stand_behind_a_colon() -> None:
    assert parse_cell("ollama:llama3.2:1b -o a") == (["ollama"], {"model": "llama3.2:1b", "output": "a"})
    assert parse_cell("demo --repeat 1") == (["demo"], {})


def test_the_words_before_the_first_option_are_the_targets_of_a_race() -> None:
    line = "openai_chat:gpt-x openai_chat:gpt-y oliver --repeat 3 --seed 7 -o raced --no-usage --private --timeout 9"
    assert parse_cell(line) == (
        ["openai_chat:gpt-x", "openai_chat:gpt-y", "oliver"],
        {"repeat": 3, "seed": 7, "output": "raced", "no_usage": True, "private": True, "timeout": 9.0},
    )
    assert parse_cell("demo:m --repeat 2") == (["demo:m"], {"repeat": 2})
    assert parse_cell("typebot voiceflow --session-id s") == (["typebot", "voiceflow"], {"session_id": "s"})


@pytest.mark.parametrize("target", [*names(), *PROFILES])
def test_every_option_of_every_provider_has_a_flag_with_help(target: str) -> None:
    page = build_parser(target).format_help()
    provider = load(PROFILES[target].provider if target in PROFILES else target)
    for option in provider.options:
        assert "--" + option.name.replace("_", "-") in page
        assert option.help


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "name a target first"),
        ("--model x", "name a target first"),
        ("dem", "Did you mean demo"),
        ("demo --sytem x", "Did you mean --system"),
        ("demo Why do rivers", "prompt goes below the line"),
        ("demo --param novalue", "wants NAME=VALUE"),
        ("demo --param =1", "wants NAME=VALUE"),
        ("demo --model", "expected one argument"),
        ("demo --timeout 0", "seconds above 0"),
        ("demo --timeout-idle x", "seconds above 0"),
        ("demo -o 1x", "variable name"),
        ("demo --display wide", "invalid choice"),
        ("demo --mod x", "no option --mod"),
        ("demo --model x y", "one word too many: the prompt goes below the line"),
        ('demo "', "close every quote"),
        ("demo oliver --chatid x", "none of demo, oliver has an option --chatid. Did you mean --chat-id"),
        ("demo olivr", "Did you mean oliver? Only targets stand there"),
        ("demo --repeat 0", "a number from 1"),
        ("demo --repeat x", "a whole number"),
        ("demo oliver --seed 1.5", "a whole number"),
        ("demo --seed 1", "--pace seed=N"),
        ("demo:", "names no model behind the colon"),
        ("demo:x --model y", "demo:x names its model already"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(line: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cell(line)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_for_one_run_knows_no_race() -> None:
    for line, words in (("demo --repeat 2", "demo has no option --repeat"), ("--model x", "name a target first")):
        with pytest.raises(UsageError, match=words):
            parse_line(line)


@pytest.mark.parametrize(
    "word",
    [
        "openai_chat:sk-proj-" + "aB3" * 10,
        "sk-proj-" + "aB3" * 10,
        "api_key=sk-ant-" + "aB3" * 12,
        "--key-env=ghp_" + "a1B2" * 9,
    ],
)
def test_a_key_in_the_open_is_refused_and_not_repeated(word: str) -> None:
    with pytest.raises(UsageError, match="--key-env NAME") as caught:
        refuse_keys(["demo", word])
    assert word not in str(caught.value)
    assert word.rpartition("=")[2].rpartition(":")[2] not in str(caught.value)


def test_ordinary_words_are_no_keys() -> None:
    line = "demo --model gpt-4o-mini-2024-07-18 --system 'a_long_word_with_sk_in_it'"
    assert parse_line(line)[1]["model"] == "gpt-4o-mini-2024-07-18"
    refuse_keys(["demo", "--model", "gpt-4o-mini-2024-07-18", "--session-id", "cm9x2ab7q0001", "stop=[1]", "k="])


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("true", True), ("[1]", [1]), ('"1"', "1"), ("plain", "plain"), ("{bad", "{bad")]
)
def test_a_value_is_json_if_it_parses(text: str, value: object) -> None:
    assert json_value(text) == value


def test_the_help_fits_a_terminal_of_eighty_columns_however_wide_this_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    wide = [line for page in (help_text(), build_parser("typebot").format_help()) for line in page.splitlines()]
    assert max(map(len, wide)) < 80
    assert "auto: at once; from 64 runs on later" in " ".join(help_text().split())


def test_the_help_names_every_common_option_and_profile() -> None:
    page = help_text()
    for word in (
        *PROFILES,
        "--timeout-idle",
        "--no-record",
        "--http2",
        "%chatstream providers",
        "%config ChatStream",
        "--repeat N",
    ):
        assert word in page
