from __future__ import annotations

from typing import Any

import pytest

from streamnb.asking import provider_of
from streamnb.choosing import Chosen, chosen, form, targets, typed
from streamnb.errors import UsageError


def values(now: Chosen) -> dict[str, Any]:
    """The form as a page sends it back."""
    return {field["name"]: "" if field["value"] is None else field["value"] for field in form(now)}


def field(now: Chosen, name: str) -> dict[str, Any]:
    return next(one for one in form(now) if one["name"] == name)


def test_keywords_are_the_targets_own_or_the_providers():
    now = chosen("typebot", {"typebot": "t", "model": "m", "timeout": None, "system": None})
    assert now == Chosen("typebot", {"model": "m", "timeout": None}, {"typebot": "t"})
    assert now.choose({"model": None, "typebot": "u"}) == Chosen("typebot", {"timeout": None}, {"typebot": "u"})
    assert now.without(["typebot"]).options == {}


@pytest.mark.parametrize("name", ["prompt", "history", "reply", "press", "records", "take", "background", "repeat"])
def test_what_a_conversation_says_for_itself_is_no_keyword(name: str):
    with pytest.raises(UsageError, match=f"ChatPanel takes no {name}: "):
        chosen("demo", {name: 1})


def test_a_mistyped_keyword_is_told_from_those_that_fit():
    with pytest.raises(UsageError, match=r"typebot has no option 'typbot'\. Did you mean typebot"):
        chosen("typebot", {"typbot": 1})


@pytest.mark.parametrize(
    ("before", "target", "kept"),
    [
        ({"model": "m", "system": "s", "key_env": "K", "record": False}, "oliver", {"system", "record"}),
        ({"sim": True, "pace": {}, "scenario": "stall"}, "oliver", {"sim", "pace", "scenario"}),
        ({"sim": True, "pace": {}}, "demo", {"pace"}),
        ({"sim": True, "pace": {}}, "local", set()),
        ({"pace": {}, "timeout": 3}, "oliver", {"timeout"}),
        ({"model": "m", "base_url": "http://h"}, "openai_chat", {"model", "base_url"}),
    ],
)
def test_only_what_is_true_of_another_target_too_comes_along(before: dict[str, Any], target: str, kept: set[str]):
    now = chosen("openai_chat", {**before, "path": "/chat"}).instead(target)
    assert (now.target, now.common.keys()) == (target, kept)
    assert now.options == ({"path": "/chat"} if target == "openai_chat" else {})


@pytest.mark.parametrize(
    ("one", "other", "goes_on"),
    [
        (("demo", {}), ("ollama", {"sim": True}), True),
        (("demo", {}), ("oliver", {"sim": True}), False),
        (("oliver", {}), ("oliver", {"system": "s", "chat_name": "x"}), True),
        (("oliver", {}), ("oliver", {"sim": True}), False),
        (("oliver", {}), ("oliver", {"chat_id": "c2"}), False),
        (("oliver", {}), ("oliver", {"base_url": "http://h"}), False),
        (("sse", {}), ("sse", {"path": "/x"}), True),
    ],
)
def test_a_conversation_goes_on_in_its_session_or_with_what_was_said(one: Any, other: Any, goes_on: bool):
    assert chosen(*one).goes_on_as(chosen(*other)) is goes_on


def test_every_target_is_offered_with_a_line_about_it():
    offered = targets()
    assert [one["name"] for one in offered[:2]] == ["demo", "local"]
    assert {"typebot", "voiceflow", "openai_chat"} <= {one["name"] for one in offered}
    assert all(one["help"] for one in offered)


@pytest.mark.parametrize("target", [one["name"] for one in targets()])
def test_the_form_of_every_target_is_plain_json_without_keys_and_comes_back_unchanged(target: str):
    now = chosen(target, {})
    kinds = {one["kind"] for one in form(now)}
    assert kinds <= {"str", "int", "float", "bool", "choice", "json", "url"}
    assert not [one for one in form(now) if "key" in one["name"]]
    assert typed(now, values(now)) == {}
    assert {option.name for option in provider_of(target).options} < {one["name"] for one in form(now)}


def test_a_field_shows_what_is_chosen_else_what_holds_unless_said():
    now = chosen("voiceflow", {"project": "p", "sim": True})
    assert field(now, "project")["value"] == "p"
    assert field(now, "sim") == {
        "name": "sim",
        "label": "simulator",
        "kind": "bool",
        "value": True,
        "choices": [],
        "help": "talk to the built-in simulator; your key is not sent",
        "placeholder": "",
    }
    assert (field(now, "version")["value"], field(now, "version")["placeholder"]) == ("production", "production")
    assert field(now, "api_version")["choices"] == ["v2beta1", "v2", "v4"]
    assert "sim" not in {one["name"] for one in form(chosen("demo", {}))}


@pytest.mark.parametrize(
    ("target", "said", "changes"),
    [
        ("voiceflow", {"project": "p"}, {"project": "p"}),
        ("voiceflow", {"project": "q", "what": 1}, {"project": "q"}),
        ("voiceflow", {"version": ""}, {"version": None}),
        ("voiceflow", {"api_version": "v4", "launch": True}, {"api_version": "v4", "launch": True}),
        ("voiceflow", {"action": '{"type": "x"}'}, {"action": {"type": "x"}}),
        ("voiceflow", {"action": "  "}, {}),
        ("oliver", {"max_streams": 3}, {"max_streams": 3}),
        ("oliver", {"max_streams": "7"}, {"max_streams": "7"}),
        ("oliver", {"max_streams": None}, {"max_streams": None}),
        ("oliver", {"rag_containers": '["a"]'}, {"rag_containers": ["a"]}),
        ("deepset", {"search_session": "new"}, {}),
    ],
)
def test_only_what_somebody_changed_is_read_and_as_what_it_is(target: str, said: dict[str, Any], changes: Any):
    now = chosen(target, {})
    assert typed(now, values(now) | said) == changes


def test_what_is_back_at_its_default_is_as_if_nobody_had_said_it():
    now = chosen("deepset", {"search_session": "s1", "pipeline": "p"})
    assert typed(now, {"search_session": "new", "pipeline": ""}) == {"search_session": None, "pipeline": None}


def test_json_that_says_the_same_is_no_change():
    now = chosen("voiceflow", {"action": {"a": 1, "b": [2]}})
    assert typed(now, {"action": '{"a":1,"b":[2]}'}) == {}


@pytest.mark.parametrize(
    ("target", "said", "says"),
    [
        ("voiceflow", {"action": "{"}, "action wants JSON"),
        ("voiceflow", {"launch": "yes"}, "launch cannot be 'yes'"),
        ("voiceflow", {"project": ["p"]}, "project cannot be"),
        ("oliver", {"max_streams": 2.5}, r"max_streams cannot be 2\.5"),
        ("oliver", {"base_url": "https://me:pa55word@host"}, "base URL: that looks like a key"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line(target: str, said: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=says) as caught:
        typed(chosen(target, {}), said)
    assert "pa55word" not in str(caught.value)
