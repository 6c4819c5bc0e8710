"""Errands: what comes out in the other process is what was asked in this one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from streamnb.deadlines import Deadlines
from streamnb.errors import UsageError
from streamnb.events import Outcome, Prompt
from streamnb.isolation import Errand
from streamnb.recording import RunInfo
from streamnb.settings import resolve
from streamnb.transport import Route


def errand(**more: Any) -> Errand:
    prompt = Prompt("hi \ud83d", "be brief", "m", {"n": [1, {"a": None}]}, fresh_id="x", history=(("user", "so?"),))
    return Errand(
        resolve("openai_chat", {"auth": "raw"}, base_url="http://127.0.0.1:9/v1", key_env="MY_KEY", model="m"),
        prompt,
        Deadlines(1.5, None, 3.0, 4.0),
        RunInfo("20260101-000000-abcdef", "openai_chat", "openai_chat", 12, cell_id="c", repeat=2),
        Route(kernel_stamps=False),
        Path("/runs/x.jsonl"),
        {"MY_KEY": "k\udcff"},
        **more,
    )


def again(data: bytes) -> Errand:
    """What the other process makes of it."""
    return Errand.of(json.loads(data))


def test_everything_comes_out_as_it_went_in():
    before = errand(allow_http=True, parse="deferred", measurement_error_s=0.25, stopped=Outcome.STOPPED)
    after = again(before.encode())
    provider, other = before.target.provider, after.target.provider
    for name in ("prompt", "deadlines", "info", "route", "path", "environment", "allow_http", "parse", "stopped"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.measurement_error_s == 0.25
    assert type(other) is type(provider)
    assert (other.base_url, other.key_env, other.values) == (provider.base_url, provider.key_env, provider.values)
    assert dataclasses.replace(after.target, provider=provider) == before.target


def test_files_are_named_so_that_a_process_in_another_folder_finds_them():
    route = Route(ca="ca.pem", uds="server.sock")
    after = again(dataclasses.replace(errand(), route=route, path=Path("runs/x.jsonl")).encode())
    here = Path.cwd()
    assert (after.route.ca, after.route.uds) == (str(here / "ca.pem"), str(here / "server.sock"))
    assert after.path == here / "runs" / "x.jsonl"


def test_what_is_not_set_stays_so():
    after = again(dataclasses.replace(errand(), path=None).encode())
    assert (after.path, after.route.ca, after.route.uds, after.stopped) == (None, None, None, None)
    assert after.measurement_error_s != after.measurement_error_s  # NaN


def test_read_only_mappings_are_told_like_others():
    asked = Prompt("hi", params=MappingProxyType({"a": MappingProxyType({"b": 1})}))
    assert again(dataclasses.replace(errand(), prompt=asked).encode()).prompt.params == {"a": {"b": 1}}


def test_what_is_no_json_value_is_refused_with_a_way_out():
    asked = Prompt("hi", params={"when": object()})
    with pytest.raises(UsageError, match=r"isolate: .*object is no JSON value.*leave isolate out"):
        dataclasses.replace(errand(), prompt=asked).encode()


def test_it_shows_nothing_of_the_environment_it_carries():
    assert "secret-value" not in repr(dataclasses.replace(errand(), environment={"MY_KEY": "secret-value"}))
