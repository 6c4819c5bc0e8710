from __future__ import annotations

import subprocess
import sys

import pytest

from streamnb.display import open_view, resolve_mode
from streamnb.display.static import StaticView
from streamnb.display.terminal import PlainView
from streamnb.display.view import NullView
from streamnb.errors import UsageError


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch):
    monkeypatch.delenv("STREAMNB_DISPLAY", raising=False)


@pytest.mark.parametrize(
    ("mode", "kind"), [("plain", PlainView), ("static", StaticView), ("none", NullView), ("auto", PlainView)]
)
def test_each_mode_opens_its_view_and_a_script_is_plain(mode, kind):
    assert isinstance(open_view(mode), kind)


def test_the_environment_decides_for_auto_only(monkeypatch):
    monkeypatch.setenv("STREAMNB_DISPLAY", "none")
    assert (resolve_mode("auto"), resolve_mode("static")) == ("none", "static")
    monkeypatch.setenv("STREAMNB_DISPLAY", "")
    assert resolve_mode("auto") == "plain"


def test_an_unknown_mode_is_one_line_that_names_the_nearest(monkeypatch):
    with pytest.raises(UsageError, match=r"display=pannel.*Did you mean panel or plain\?|display=pannel.*panel"):
        open_view("pannel")
    monkeypatch.setenv("STREAMNB_DISPLAY", "statik")
    with pytest.raises(UsageError, match=r"STREAMNB_DISPLAY=statik.*static"):
        open_view("auto")


def test_a_panel_without_a_kernel_is_refused_with_the_way_out():
    with pytest.raises(UsageError, match="display=plain"):
        open_view("panel")


def test_a_terminal_ipython_is_plain():
    script = (
        "from IPython.terminal.interactiveshell import TerminalInteractiveShell as Shell\n"
        "Shell.instance()\n"
        "from streamnb.display import resolve_mode\n"
        "print(resolve_mode('auto'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("plain")


def test_importing_and_using_the_plain_ways_loads_no_ipython_and_no_widget():
    script = (
        "import sys\n"
        "from streamnb.display import open_view, bundle\n"
        "open_view('auto'), open_view('static'), open_view('none')\n"
        "heavy = {'IPython', 'anywidget', 'ipywidgets', 'traitlets', 'pandas', 'httpx', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
