from __future__ import annotations

import json

import pytest

from streamnb import cli
from streamnb.commands import providers as command
from streamnb.providers import load, names
from streamnb.settings import PROFILES

CANARY = "oc_live_" + "c4n4ry" * 5


def test_every_provider_is_told_with_its_key_variable_its_limits_and_its_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OLIVER_API_KEY", CANARY)
    monkeypatch.setenv("DEEPSET_API_KEY", " ")
    assert cli.main(["providers"]) == 0
    out = capsys.readouterr().out
    for name in names():
        assert f"\n{name} " in f"\n{out}"
    for name, profile in PROFILES.items():
        assert name in out
        assert profile.help in out
    assert "key: OLIVER_API_KEY is set\n" in out
    assert "key: DEEPSET_API_KEY is not set\n" in out
    assert "limits: 800 s a stream\n" in out
    assert "lists: conversations, messages\n" in out
    assert max(map(len, out.splitlines())) <= 80
    assert CANARY not in out


def test_every_provider_is_a_line_of_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("OLIVER_API_KEY", CANARY)
    monkeypatch.delenv("DEEPSET_API_KEY", raising=False)
    assert cli.main(["providers", "--json"]) == 0
    out = capsys.readouterr().out
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert list(rows) == names()
    assert (rows["oliver"]["key_env"], rows["oliver"]["key_set"]) == ("OLIVER_API_KEY", True)
    assert (rows["deepset"]["key_set"], rows["deepset"]["key_required"]) == (False, True)
    assert rows["oliver"]["limits"] == {"streams": 5, "idle_s": 60, "total_s": 300}
    assert list(rows["chatbotkit"]["lists"]) == ["conversations", "messages"]
    assert CANARY not in out


@pytest.mark.parametrize("name", [*names(), *PROFILES])
def test_one_provider_is_told_with_its_options_their_defaults_and_its_hints(
    name: str, capsys: pytest.CaptureFixture[str]
):
    provider = load(PROFILES[name].provider if name in PROFILES else name)
    assert cli.main(["providers", name]) == 0
    page = capsys.readouterr().out
    words = " ".join(page.split())
    for option in provider.options:
        assert f"  {option.flag}" in page
        assert " ".join(option.help.split()) in words
        if option.default not in (None, False, ""):
            assert f"(unless said: {option.default})" in words
    for code in provider.hints:
        assert f"\n  {code} " in page
    assert "{" not in page
    assert max(map(len, page.replace(provider.doc_url, "").splitlines())) <= 80
    assert cli.main(["providers", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["flag"] for one in found["options"]] == [option.flag for option in provider.options]
    assert [one["default"] for one in found["options"]] == [option.default for option in provider.options]
    assert list(found["hints"]) == list(provider.hints)
    assert found["session_option"] == provider.session_option


def test_a_provider_without_key_limits_or_options_has_the_shortest_page(monkeypatch: pytest.MonkeyPatch):
    bare = type("Bare", (load("sse"),), {"key_env": None, "options": (), "base_url": ""})
    assert command._short(bare) == [f"{bare.name:<14}any SSE endpoint, raw", f"{'':14}key: none"]
    assert command._long(bare) == ["", f"documentation: {bare.doc_url}"]


def test_a_provider_that_is_not_there_is_a_usage_error(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["providers", "olivr"]) == 2
    assert "Did you mean oliver" in capsys.readouterr().err
