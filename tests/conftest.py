"""Fixtures for every test: no test writes into the user's own directories, and async tests run on asyncio."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs of this test are recorded."""
    path = tmp_path / "recordings"
    monkeypatch.setenv("STREAMNB_RECORDINGS", str(path))
    return path
