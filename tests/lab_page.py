"""A real JupyterLab on loopback and what a person does in it, for tests in a browser. Knows the page, not the runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
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
QUIET = {"apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}'}
WHOLE = {"notebook-extension/tracker": '{"windowingMode": "none"}'}
"""Cells that are out of sight stay on the page, where a test finds them."""
PLACES = {"IPYTHONDIR": "ipython", "STREAMNB_RECORDINGS": "recordings"}
THEMES = ("Light", "Dark", "Dark High Contrast")


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
def running_lab(root: Path, **settings: str) -> Iterator[Lab]:
    """JupyterLab in a directory of its own, with nothing of the user's.

    Args:
        root: the directory.
        settings: of JupyterLab, as JSON, by the name of the plug-in's file.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    for plugin, said in (QUIET | settings).items():
        kept = root / f"config/lab/user-settings/@jupyterlab/{plugin}.jupyterlab-settings"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(said)
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


class Desk:
    """A browser with one page of JupyterLab: notebooks are opened in it one after the other, which saves its start."""

    def __init__(self, lab, browser):
        self._lab, self._browser = lab, browser
        self._page = None

    def open(self, name: str, cells: Sequence[str]):
        """The page, with a notebook of these cells in front and its kernel ready."""
        path = self._lab.root / f"{name}.ipynb"
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, path)
        page = self._page = self._page or self._start()
        page.set_viewport_size({"width": 1400, "height": 800})
        command(page, "docmanager:open", path=path.name)
        kernel_ready(page)
        return page

    def clear(self) -> None:
        """Close every notebook and end its kernel; where that does not work, the page."""
        from playwright.sync_api import Error

        page, self._page = self._page, None
        if page is None:
            return
        with contextlib.suppress(Error):
            page.evaluate(CLOSE)
            if page.locator(".jp-Dialog").count() == 0:
                self._page = page
                return
        page.close()

    def _start(self):
        page = self._browser.new_page(permissions=["clipboard-read", "clipboard-write"])
        page.goto(f"{self._lab.url}/lab?reset")
        page.wait_for_function("() => window.jupyterapp?.restored")
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        return page


CLOSE = """async () => {
  const { shell, commands } = window.jupyterapp;
  for (const tab of [...shell.widgets("main")].filter((one) => one.context)) {
    await tab.context.sessionContext.shutdown();
    tab.context.model.dirty = false;
    tab.dispose();
  }
  if (!document.body.dataset.jpThemeName.endsWith("Light"))
    await commands.execute("apputils:change-theme", { theme: "JupyterLab Light" });
}"""


def kernel_ready(page):
    session = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext"
    page.wait_for_function(f"() => ['idle', 'busy'].includes({session}?.session?.kernel?.status)")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); window.jupyterapp.shell.collapseRight(); }")


def reload(page):
    """Close the page and open it again, as a reader does in mid-stream."""
    command(page, "docmanager:save")
    path = page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
    page.goto(
        f"{page.url.partition('/lab')[0]}/lab/tree/{path}?reset"
    )  # reset: no notebook of an earlier test comes back
    kernel_ready(page)


def command(page, name: str, **args):
    """Let JupyterLab do something and wait until it is done."""
    page.evaluate("async ([name, args]) => { await window.jupyterapp.commands.execute(name, args); }", [name, args])


def run_cells(page):
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")  # ends when the cells end
    page.wait_for_selector(".snb-panel")


def run_cell(page, *indices: int):
    """Run these cells one after the other, and do not wait for them."""
    page.evaluate(
        """(indices) => {
          const { content } = window.jupyterapp.shell.currentWidget;
          for (const index of indices) {
            content.activeCellIndex = index;
            content.deselectAll();
            window.jupyterapp.commands.execute("notebook:run-cell");
          }
        }""",
        indices,
    )


def cell(page, index: int):
    return page.locator(".jp-Notebook .jp-Cell").nth(index)


def seconds(page) -> float:
    return float(page.locator(".snb-time .snb-value").inner_text().split()[0])


def looks(page) -> Iterator[tuple[str, int]]:
    """The page in every theme, narrow and wide: the theme's name and the width, px."""
    for theme in THEMES:
        change_theme(page, theme)
        for width, height in ((400, 1800), (1400, 1300)):
            page.set_viewport_size({"width": width, "height": height})
            yield theme.replace(" ", "-").lower(), width


def change_theme(page, theme: str):
    """Another one of THEMES, and nothing before it any more."""
    command(page, "apputils:change-theme", theme=f"JupyterLab {theme}")
    page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")


def outputs(page, index: int) -> list[dict]:
    return page.evaluate(
        "(i) => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.toJSON().outputs", index
    )
