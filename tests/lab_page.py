"""A real JupyterLab on loopback and what a person does in it, for tests in a browser. Knows the page, not the runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamnb.display

TESTS = Path(__file__).parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HAS_LAB = shutil.which("jupyter-lab", path=str(Path(sys.executable).parent)) is not None
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(not HAS_LAB, reason="no JupyterLab: pip install streamnb[test]"),
]
PLACES = {"IPYTHONDIR": "ipython", "STREAMNB_RECORDINGS": "recordings"}
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")


class Lab:
    """A JupyterLab that answers."""

    def __init__(self, root, url, server):
        self.root, self.url = root, url
        for _ in range(300):
            assert server.poll() is None, (root / "lab.log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/status", timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.1)
        raise AssertionError((root / "lab.log").read_text())


@contextlib.contextmanager
def running_lab(root: Path) -> Iterator[Lab]:
    """JupyterLab in a directory of its own, with nothing of the user's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    quiet = root / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    path = os.pathsep.join([str(TESTS), str(Path(streamnb.display.__file__).parents[2])])
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={root}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    with (root / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command,
            env=os.environ | own | {"PYTHONPATH": path, **{name: str(root / place) for name, place in PLACES.items()}},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Lab(root, f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()
            server.wait(20)


def kernel_ready(page):
    session = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext"
    page.wait_for_function(f"() => ['idle', 'busy'].includes({session}?.session?.kernel?.status)")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); window.jupyterapp.shell.collapseRight(); }")


def command(page, name: str, **args):
    """Let JupyterLab do something and wait until it is done."""
    page.evaluate("async ([name, args]) => { await window.jupyterapp.commands.execute(name, args); }", [name, args])


def run_cells(page):
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")  # ends when the cells end
    page.wait_for_selector(".snb-panel")


def cell(page, index: int):
    return page.locator(".jp-Notebook .jp-Cell").nth(index)


def seconds(page) -> float:
    return float(page.locator(".snb-time .snb-value").inner_text().split()[0])


def outputs(page, index: int) -> list[dict]:
    return page.evaluate(
        "(i) => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.toJSON().outputs", index
    )


def contrast(page, selector: str) -> float:
    """WCAG contrast of a text against the notebook's own background."""
    colours = page.evaluate(
        "(selector) => [document.querySelector(selector), document.querySelector('.snb-panel')].map("
        "(box, i) => getComputedStyle(box)[i ? 'backgroundColor' : 'color'].match(/[\\d.]+/g).slice(0, 3).map(Number))",
        selector,
    )
    light, dark = sorted((_luminance(*colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(*channels: float) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
