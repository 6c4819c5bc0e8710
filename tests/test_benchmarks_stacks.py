"""The client stacks, each in a process of its own as the benchmark runs them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import load, stacks

ROOT = Path(__file__).parent.parent
SPEC = "mode=paced,group={},warm=0,window=150,settle=5,hold=10,gap=10000"


def told(stack: str, *arguments: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.stacks", stack, *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's CPU clock, as Linux does")
@pytest.mark.parametrize("stack", ["streamnb-arrival", *stacks.STACKS])
def test_a_stack_hears_every_event_of_every_stream(stack):
    with load.serving() as server:
        found = told(stack, server.origin, SPEC.format("a"), "--streams", "2")
        if importlib.util.find_spec(stacks.PACKAGES.get(stack, "streamnb")) is None:
            assert found == {"absent": stacks.PACKAGES[stack]}
            return
        seen = server.heard("a", 10)
    assert found["notes"] == []
    assert found["n"] + found["left_out"] == seen["all_events"]


def test_a_package_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setitem(stacks.PACKAGES, "raw", "no_such_package")
    monkeypatch.setattr(sys, "argv", ["stacks", "raw", "http://127.0.0.1:1", "mode=lock"])
    stacks.main()
    assert json.loads(capsys.readouterr().out) == {"absent": "no_such_package"}
