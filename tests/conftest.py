"""Fixtures for every test: no test writes into the user's own directories, and async tests run on asyncio."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from lab_page import Desk, Lab
    from playwright.sync_api import Locator, Page

# A shell that starts the suite in the background has it ignore SIGINT, and every child would inherit that: the tests
# of interrupts would wait for ever. A handler of our own is not inherited: children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="write tests/transcripts/**/*.events and README's tables from what the code says; then read them",
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("STREAMNB_CACHE", tempfile.mkdtemp())  # notebooks calibrate: not in the user's cache
    settings.register_profile("short", max_examples=40)
    if config.option.markexpr == "not slow":  # properties, too, have a longer form
        settings.load_profile("short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that share a browser stand in a row: before each other row it would have to start again."""
    sharing = ["shared_desk" in getattr(item, "fixturenames", ()) for item in items]
    if True in sharing:
        row = slice(sharing.index(True), len(items) - sharing[::-1].index(True))
        items[row] = sorted(items[row], key=lambda item: "shared_desk" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether what is generated is to be written instead of compared."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of directories that do not exist yet. A directory made for each test, used or not, takes half a minute."""
    root = tmp_path_factory.mktemp("runs")
    return (root / str(n) for n in itertools.count())


@pytest.fixture(autouse=True)
def recordings(places: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs of this test are recorded; the session's list of runs is this test's own, too."""
    path = next(places)
    monkeypatch.setenv("STREAMNB_RECORDINGS", str(path))
    if "streamnb.results" in sys.modules:
        monkeypatch.setattr("streamnb.results._session", [])
    return path


# -- a browser --------------------------------------------------------------------------------------------------------

EXPECT_MS = 15_000
"""How long a page may take before a test fails: about ten times what it takes on a busy machine."""
OPEN = pytest.StashKey[contextlib.ExitStack]()
DESK = pytest.StashKey[Any]()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for all tests."""
    from lab_page import WHOLE, running_lab

    with running_lab(tmp_path_factory.mktemp("lab"), **WHOLE) as lab:
        yield lab


@pytest.fixture
def shared_desk(lab: Lab, pytestconfig: pytest.Config) -> Desk:
    """One Chromium, with one page of JupyterLab, for all tests in a row that want it."""
    stash = pytestconfig.stash
    if OPEN not in stash:
        from lab_page import CHROMIUM, FLAGS, Desk
        from playwright.sync_api import expect, sync_playwright

        expect.set_options(timeout=EXPECT_MS)
        with contextlib.ExitStack() as stack:
            browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            stack.callback(browser.close)
            stash[DESK] = Desk(lab, browser)
            stash[OPEN] = stack.pop_all()
    return stash[DESK]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Close it before anybody else's test: while it is open, its event loop is the running one of this thread."""
    try:
        return (yield)
    finally:
        if "shared_desk" not in getattr(nextitem, "fixturenames", ()) and OPEN in item.config.stash:
            item.config.stash[OPEN].close()
            del item.config.stash[OPEN]


@pytest.fixture
def notebook(shared_desk: Desk, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Opens a notebook with these cells and a kernel of its own that is ready."""
    name = re.sub(r"[^a-z0-9]+", "_", request.node.name.lower())
    yield lambda *cells: shared_desk.open(name, cells)
    shared_desk.clear()


@pytest.fixture
def shot(tmp_path: Path) -> Callable[[Locator, str], None]:
    """Keeps a picture of something on a page; with STREAMNB_ARTEFACTS=DIRECTORY for people to look at."""
    folder = Path(os.environ.get("STREAMNB_ARTEFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(place: Locator, name: str) -> None:
        place.screenshot(path=folder / f"{name}.png")

    return keep
