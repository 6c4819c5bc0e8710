from __future__ import annotations

import concurrent.futures
import json

import nbclient
import nbformat
import pytest
from hostile import HOSTILE, STORMS
from hostile_page import Beacon, Watch, faults
from lab_page import CHROMIUM, FLAGS, NEEDS_BROWSER, WHOLE, cell, command, kernel_ready, running_lab
from nbconvert import HTMLExporter

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

ACTING = [text for name, text in HOSTILE.items() if name not in STORMS]
GROUP = 14
"""Texts on the screen at a time: what JupyterLab lays out in one go, and it folds away what is beyond 50 outputs."""
NO_CONTENTS = {"toc-extension/registry": '{"includeOutput": false}'}
"""JupyterLab makes its table of contents anew, of all outputs, when one changes."""
LAB_REL = "noopener"
"""What JupyterLab writes over `rel` of every link in an output."""
ENDS = """([selector, ends]) => {
  const text = [...document.querySelectorAll(selector)].map((one) => one.textContent).join(" ");
  return ends.every((end) => text.includes(end));
}"""
UNFOLD = "() => { for (const one of document.querySelectorAll('.jp-OutputArea-output details')) one.open = true; }"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own: what was attacked is used for nothing else."""
    with running_lab(tmp_path_factory.mktemp("attacked"), **WHOLE, **NO_CONTENTS) as lab:
        yield lab


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def beacon():
    beacon = Beacon()
    yield beacon
    beacon.close()


class Desk:
    """Pages of one test, and what happened on them."""

    def __init__(self, lab, browser, beacon) -> None:
        self.folder, self._url, self._browser, self._beacon = lab.root, lab.url, browser, beacon
        own = ("static/", "lab/", "api/", "kernelspecs/", "lsp/")
        self._own = [f"{lab.url}/{place}" for place in own]
        self.pages: list = []

    def page(self, address: str, *own: str):
        """A page and its watch; own: what it may fetch."""
        page = self._browser.new_page(viewport={"width": 1400, "height": 800})
        self.pages.append(page)
        watch = Watch(page, self._beacon, *own)
        page.goto(address)
        return page, watch

    def notebook(self, name: str, *cells: str):
        """A notebook with a kernel that is ready."""
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, self.folder / f"{name}.ipynb")
        page, watch = self.page(f"{self._url}/lab/tree/{name}.ipynb?reset", *self._own)
        kernel_ready(page)
        return page, watch.start()

    def stage(self, name: str, texts, *cells: str):
        """A notebook whose first cell has these texts in its hands."""
        texts = [text.replace("BEACON", self._beacon.address) for text in texts]
        (self.folder / "texts.json").write_text(json.dumps(texts))
        return self.notebook(name, "from hostile_runs import *\nstage = Stage('texts.json')", *cells)

    def saved(self, page, name: str):
        """The notebook of a page, as it is saved."""
        command(page, "docmanager:save")
        return nbformat.read(self.folder / f"{name}.ipynb", 4)

    def reopened(self, book):
        """A page with a notebook that came from elsewhere: not trusted, and without a kernel."""
        book = nbformat.from_dict({**book, "metadata": {}, "cells": [*book.cells, nbformat.v4.new_raw_cell("theirs")]})
        nbformat.write(book, self.folder / "theirs.ipynb")
        page, watch = self.page(f"{self._url}/lab/tree/theirs.ipynb?reset", *self._own)
        page.locator(".jp-Dialog .jp-mod-reject", has_text="No Kernel").click()
        page.wait_for_selector(".jp-Notebook .jp-RawCell")
        trusted = "() => [...window.jupyterapp.shell.currentWidget.model.cells].filter((one) => one.trusted).length"
        assert page.evaluate(trusted) == 0
        return page, watch

    def exported(self, book):
        """A page with what nbconvert makes of a notebook; it wants its scripts from elsewhere and gets none."""
        path = self.folder / "exported.html"
        path.write_text(HTMLExporter().from_notebook_node(book)[0], encoding="utf-8")
        return self.page(path.as_uri(), "file:", "https://")


@pytest.fixture
def desk(lab, browser, beacon):
    desk = Desk(lab, browser, beacon)
    yield desk
    for page in desk.pages:
        page.evaluate("() => window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.shutdown()")
        page.close()


def run(page, *indexes: int):
    for index in indexes:
        page.evaluate("(i) => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }", index)
        command(page, "notebook:run-cell")


def until_whole(page, selector: str, texts=range(len(ACTING))):
    """Wait until the answers to these texts stand there, to their ends."""
    page.wait_for_function(ENDS, arg=[selector, [f"end{at:03}of{at:03}" for at in texts]])


def test_the_beacon_and_the_watch_see_what_a_page_does_that_is_not_safe(desk, beacon):
    evil = f"<img src=http://{beacon.address}/x onerror='window.hit=1'><script>alert(1)</script><style>body{{opacity:0}}"
    page, watch = desk.notebook("control", f"from IPython.display import HTML\nHTML({evil!r})")
    run(page, 0)
    page.wait_for_function("() => window.hit === 1")
    call, request = "call GET /x HTTP/1.1", f"request http://{beacon.address}/x"
    assert {call, request, "dialog 1", "hit 1", "look"} <= set(watch.end())
    assert {fault.partition(":")[0] for fault in faults(page)} == {"element", "image", "onerror", "style"}
    book = desk.saved(page, "control")
    _, watch = desk.reopened(book)
    assert {call, request} <= set(watch.end())
    page, watch = desk.exported(book)
    page.wait_for_function("() => window.hit === 1")
    assert {call, request, "dialog 1", "hit 1"} <= set(watch.end())


def look_at_every_tab(page, panels):
    """Show each tab of each panel, with the raw bytes of an event, until all of them have something to show."""
    n = panels.count()
    for tab, shown in {"timing": ".snb-timing", "events": ".snb-sizer .snb-row", "request": ".snb-call"}.items():
        page.evaluate("(tab) => document.querySelectorAll(`.snb-tab[id$='-${tab}']`).forEach((one) => one.click())", tab)
        page.wait_for_function("([shown, n]) => document.querySelectorAll(shown).length >= n", arg=[shown, n])
        if tab == "events":
            page.evaluate("(row) => document.querySelectorAll(row).forEach((one) => one.click())", f"{shown}:first-child")
            page.wait_for_function(
                "(n) => [...document.querySelectorAll('.snb-drawer .snb-raw')].filter((one) => one.textContent).length >= n",
                arg=n,
            )


def test_hostile_texts_do_nothing_in_a_live_panel_its_saved_output_a_replay_or_an_export(desk):
    n = len(ACTING)
    groups = range(0, n, GROUP)
    cells = [f"stage.panels({first}, {GROUP})" for first in groups]
    cells += ["stage.record()", *(f"stage.replays({first}, 3 * {GROUP})" for first in range(0, n, 3 * GROUP))]
    page, watch = desk.stage("hostile", ACTING, *cells, "stage.live_replays(0, 5)", "stage.end()")
    run(page, 0)
    end = len(cells) + 2
    import time
    T=time.time()
    for index, first in enumerate(groups, 1):
        run(page, index)
        until_whole(page, ".snb-panel .snb-answer", range(first, min(first + GROUP, n)))
        assert faults(page, LAB_REL) == []
        look_at_every_tab(page, page.locator(".snb-panel"))
        assert faults(page, LAB_REL) == []
        run(page, end)
        until_whole(page, ".snb-static", range(first, min(first + GROUP, n)))
        print(first, time.time()-T); T=time.time()
    run(page, *range(len(groups) + 1, end))
    print("replays", time.time()-T); T=time.time()
    until_whole(page, ".snb-panel .snb-answer", range(5))
    run(page, end)
    page.evaluate(UNFOLD)
    assert faults(page, LAB_REL) == []
    assert watch.end() == []
    print("end", time.time()-T); T=time.time()
    book = desk.saved(page, "hostile")
    html = [output["data"]["text/html"] for one in book.cells for output in one.outputs]
    assert len(html) == 2 * n + 5
    print("saved", time.time()-T); T=time.time()
    for view, rels in ((desk.reopened, [LAB_REL]), (desk.exported, [])):
        page, watch = view(book)
        until_whole(page, ".jp-OutputArea-output")
        watch.start()
        page.evaluate(UNFOLD)
        assert faults(page, *rels) == []
        assert watch.end() == []
        print("view", time.time()-T); T=time.time()
