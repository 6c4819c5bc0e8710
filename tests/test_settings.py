"""What a target's name stands for: provider files, profiles, the simulator in place of a real API."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from streamnb.errors import UsageError
from streamnb.providers import load, names
from streamnb.settings import DUMMY_KEY, PROFILES, companion, new_run, recordings_dir, resolve

SIM = "http://127.0.0.1:4711"


@pytest.mark.parametrize("name", names())
def test_a_provider_needs_no_companion_unless_simulated(name):
    assert companion(name, sim=False) is None
    assert companion(name, sim=True) == "simulator"


@pytest.mark.parametrize(("name", "child"), [("demo", "simulator"), ("local", "local_model")])
def test_a_profile_names_its_companion(name, child):
    assert companion(name, sim=False) == child
    assert companion(name, sim=True) == "simulator"
    assert PROFILES[name].help


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("dem", "Did you mean demo?"),
        ("openai", "Did you mean openai_chat?"),
        ("zz", "Known: " + ", ".join(sorted([*names(), *PROFILES]))),
    ],
)
def test_an_unknown_target_names_the_nearest_of_providers_and_profiles(typed, says):
    with pytest.raises(UsageError, match=f"There is no target '{typed}'") as caught:
        companion(typed, sim=False)
    assert says in str(caught.value)


def test_a_provider_is_made_with_the_users_own_key_address_and_options():
    target = resolve("openai_chat", {"path": "/chat"}, base_url="https://api.example/v1/", key_env="MY_KEY", model="m")
    assert (target.typed, target.profile, target.model, target.dummy_key) == ("openai_chat", None, "m", None)
    provider = target.provider
    assert (provider.base_url, provider.key_env, provider.values["path"]) == (
        "https://api.example/v1",
        "MY_KEY",
        "/chat",
    )
    assert target.host == "api.example"


def test_the_host_is_shown_without_user_and_password():
    assert resolve("sse", {}, base_url="https://user:pw@api.example:8443/x").host == "api.example:8443"


@pytest.mark.parametrize("name", names())
def test_the_simulator_serves_a_provider_at_its_own_path_with_a_dummy_key(name):
    target = resolve(name, {}, origin=SIM)
    base = load(name).base_url.removeprefix("https://").removeprefix("http://").partition("/")
    assert target.provider.base_url == f"{SIM}/~stamps=1{base[1]}{base[2]}"
    assert target.dummy_key == DUMMY_KEY
    for key, value in load(name).simulated.items():
        assert (target.model if key == "model" else target.provider.values[key]) == value


def test_pace_and_scenario_are_said_in_the_simulators_address():
    target = resolve("openai_chat", {}, origin=SIM, pace={"scenario": "stall", "tokens": 20})
    assert target.provider.base_url == f"{SIM}/~stamps=1,scenario=stall,tokens=20/v1"
    assert target.model == "simulated"
    assert resolve("openai_chat", {}, origin=SIM, model="m").model == "m"


def test_options_of_the_user_stand_over_those_for_the_simulator():
    assert resolve("typebot", {}, origin=SIM).provider.values["typebot"] == "demo"
    assert resolve("typebot", {"typebot": "mine"}, origin=SIM).provider.values["typebot"] == "mine"


def test_a_profile_is_a_provider_on_its_companion():
    demo = resolve("demo", {}, origin=SIM)
    assert (demo.typed, demo.profile, demo.model, demo.provider.name) == ("demo", "demo", "simulated", "openai_chat")
    local = resolve("local", {}, origin="http://127.0.0.1:9/v1")
    assert (local.profile, local.model, local.provider.base_url) == ("local", "smollm2", "http://127.0.0.1:9/v1")
    assert local.dummy_key == DUMMY_KEY


def test_pace_without_the_simulator_is_refused():
    with pytest.raises(UsageError, match=r"scenario, tokens are for the simulator: add --sim \(in Python sim=True\)"):
        resolve("openai_chat", {}, pace={"tokens": 1, "scenario": "stall"})


def test_a_simulated_target_has_no_other_address():
    with pytest.raises(UsageError, match="the simulator has its own address: leave out --base-url"):
        resolve("openai_chat", {}, origin=SIM, base_url="https://api.example")
    with pytest.raises(UsageError, match="the local model has its own address"):
        resolve("local", {}, origin="http://127.0.0.1:9/v1", base_url="https://api.example")


def test_every_target_can_be_simulated_the_local_model_too():
    local = resolve("local", {}, origin=SIM, pace={"tokens": 1})
    assert local.provider.base_url == f"{SIM}/~stamps=1,tokens=1/v1"


def test_a_real_model_has_no_pace():
    with pytest.raises(UsageError, match="gap are for the simulator, and 'local' is a real model"):
        resolve("local", {}, origin="http://127.0.0.1:9/v1", pace={"gap": 1})


def test_an_option_the_provider_does_not_have_is_refused():
    with pytest.raises(UsageError, match="openai_chat has no option 'typebot'"):
        resolve("openai_chat", {"typebot": "x"})


def test_recordings_go_to_the_user_data_directory_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("STREAMNB_RECORDINGS", "~/runs")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert recordings_dir() == tmp_path / "runs"
    monkeypatch.delenv("STREAMNB_RECORDINGS")
    assert recordings_dir() == platformdirs.user_data_path("streamnb") / "recordings"


def test_a_simulated_run_talks_to_no_second_host_either():
    with pytest.raises(UsageError, match=r"leave out --builder-url, or use 'typebot' without --sim\."):
        resolve("typebot", {"preview": True, "builder_url": "https://builder.example"}, origin=SIM)


def test_each_run_has_a_name_of_its_own_and_a_file_under_its_day(tmp_path: Path):
    run_ids, files = zip(*(new_run() for _ in range(50)), strict=True)
    assert len(set(run_ids)) == 50
    for run_id, file in zip(run_ids, files, strict=True):
        assert file == recordings_dir() / run_id[:8] / f"{run_id}.jsonl"
