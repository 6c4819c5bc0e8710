"""Fixtures for every test: no test writes into the user's own directories, and async tests run on asyncio."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

# A shell that starts the suite in the background has it ignore SIGINT, and every child would inherit that: the tests
# of interrupts would wait for ever. A handler of our own is not inherited: children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="write tests/transcripts/**/*.events and README's tables from what the code says; then read them",
    )


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether what is generated is to be written instead of compared."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs of this test are recorded; the session's list of runs is this test's own, too."""
    path = tmp_path / "recordings"
    monkeypatch.setenv("STREAMNB_RECORDINGS", str(path))
    if "streamnb.results" in sys.modules:
        monkeypatch.setattr("streamnb.results._session", [])
    return path
