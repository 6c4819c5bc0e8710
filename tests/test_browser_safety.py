from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re

import nbclient
import nbformat
import pytest
from hostile import HOSTILE, STORMS
from hostile_page import Beacon, Watch, faults
from lab_page import CHROMIUM, FLAGS, NEEDS_BROWSER, WHOLE, command, kernel_ready, running_lab
from nbconvert import HTMLExporter

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

ACTING = [text for name, text in HOSTILE.items() if name not in STORMS]
SAMPLE = [*ACTING[::10], HOSTILE["formula nesting"]]
"""Of each sort a few, and what a typesetter takes a minute for."""
WANTING = [*(HOSTILE[name] for name in sorted(STORMS)), "<b>" * 170_000, "a" * 600_000]
LONGEST_TASK_MS = 3000
"""Ten times what JupyterLab itself takes for an output of half a megabyte."""
GROUP = 21
"""Texts on the screen at a time: what JupyterLab lays out in one go, and it folds away what is beyond 50 outputs."""
NO_CONTENTS = {"toc-extension/registry": '{"includeOutput": false}'}
"""JupyterLab makes its table of contents anew, of all outputs, when one changes."""
LAB_REL = "noopener"
"""What JupyterLab writes over `rel` of every link in an output."""
CLICK = "(selector) => document.querySelectorAll(selector).forEach((one) => one.click())"
AT_LEAST = "([selector, n]) => document.querySelectorAll(selector).length >= n"
WATCH_TASKS = """() => {
  window.tasks = [];
  const keep = (list) => window.tasks.push(...list.getEntries().map((one) => one.duration));
  new PerformanceObserver(keep).observe({ type: "longtask" });
}"""
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
        yield chromium.new_context(viewport={"width": 1400, "height": 800})  # JupyterLab's scripts are fetched once
        chromium.close()


@pytest.fixture
def beacon():
    beacon = Beacon()
    yield beacon
    beacon.close()


def _named(text: str, number: int) -> str:
    """A text that says whose it is when it acts."""
    return text.replace("BEACON/", f"BEACON/{number}-").replace("hit=1", f"hit={number}")


class Desk:
    """Pages of one test, and what happened on them."""

    def __init__(self, lab, browser, beacon) -> None:
        self.folder, self._url, self._browser, self._beacon = lab.root, lab.url, browser, beacon
        own = ("static/", "lab/", "api/", "kernelspecs/", "lsp/")
        self._own = [f"{lab.url}/{place}" for place in own]
        self.pages: list = []

    def page(self, address: str, *own: str):
        """A page and its watch; own: what it may fetch."""
        page = self._browser.new_page()
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
        numbered = [_named(text, at + 1).replace("BEACON", self._beacon.address) for at, text in enumerate(texts)]
        (self.folder / "texts.json").write_text(json.dumps(numbered))
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


def tell(page, index: int, code: str):
    """Write something else into a cell, and run it."""
    write = "([i, code]) => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.setSource(code)"
    page.evaluate(write, [index, code])
    run(page, index)


def until_whole(page, selector: str, texts):
    """Wait until the answers to these texts stand there, to their ends."""
    page.wait_for_function(ENDS, arg=[selector, [f"end{at:03}of{at:03}" for at in texts]])


def test_the_beacon_and_the_watch_see_what_a_page_does_that_is_not_safe(desk, beacon):
    evil = (
        f"<img src=http://{beacon.address}/x onerror='window.hit=1'><script>alert(1)</script><style>body{{opacity:0}}"
    )
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


def look_at_every_tab(page):
    """Show each tab of every lane, and the raw bytes of an event, until all of them have something to show."""
    n = page.locator(".snb-tab[id$='-events']").count()  # none in a race
    for tab, shown in {"timing": ".snb-timing", "events": ".snb-sizer .snb-row", "request": ".snb-call"}.items():
        page.evaluate(CLICK, f".snb-tab[id$='-{tab}']")
        page.wait_for_function(AT_LEAST, arg=[shown, n])
        if tab == "events":
            page.evaluate(CLICK, f"{shown}:first-child")
            page.wait_for_function(AT_LEAST, arg=[".snb-drawer .snb-raw:not(:empty)", n])


def groups(n: int) -> list[range]:
    return [range(first, min(first + GROUP, n)) for first in range(0, n, GROUP)]


def check_saved(desk, book, texts):
    """The saved notebook does nothing either: not trusted and without a kernel, or as a page of its own."""
    for view, rels in ((desk.reopened, [LAB_REL]), (desk.exported, [])):
        page, watch = view(book)
        until_whole(page, ".snb-static", range(len(texts)))
        watch.start()
        page.evaluate(UNFOLD)
        assert faults(page, *rels) == []
        assert watch.end() == []


def shown_live(page, groups_of_cells: dict[int, range], end: int):
    """Run cells that show some of the texts live, one after the other, look at everything there is, then end each."""
    for index, group in groups_of_cells.items():
        run(page, index)
        until_whole(page, ".snb-panel", group)
        look_at_every_tab(page)
        assert faults(page, LAB_REL) == []
        run(page, end)
        until_whole(page, ".snb-static", group)


@pytest.mark.parametrize(
    "texts",
    [pytest.param(ACTING[::2], id="every second"), pytest.param(ACTING, id="all", marks=pytest.mark.slow)],
)
def test_hostile_texts_do_nothing_in_a_live_panel_its_output_a_replay_a_saved_notebook_or_an_export(desk, texts):
    assert len(texts) > 60
    live = dict(enumerate(groups(len(texts)), 3))
    cells = [f"stage.panels({group.start}, {len(group)})" for group in live.values()]
    page, watch = desk.stage("hostile", texts, "stage.record()", "stage.end()", *cells, "")
    run(page, 0, 1)
    shown_live(page, live, end=2)
    for group in live.values():
        tell(page, max(live) + 1, f"stage.replays({group.start}, {group.stop})")  # in the place of those before
        until_whole(page, ".jp-Cell:last-child .snb-static", group)
        page.evaluate(UNFOLD)
        assert faults(page, LAB_REL) == []
    assert watch.end() == []
    book = desk.saved(page, "hostile")
    html = [output["data"]["text/html"] for one in book.cells for output in one.outputs]
    assert len(html) == len(texts) + len(live[max(live)]), "and nothing was said on stderr"
    check_saved(desk, book, texts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("texts", "kinds"),
    [(SAMPLE, ("race", "chat", "live_replays")), *((ACTING, [kind]) for kind in ("race", "chat", "live_replays"))],
    ids=["some in all", "races", "conversations", "panels that replay"],
)
def test_hostile_texts_do_nothing_in_races_conversations_and_panels_that_replay(desk, texts, kinds):
    shown = [(kind, group) for kind in kinds for group in groups(len(texts))]
    cells = [f"stage.{kind}({group.start}, {len(group)})" for kind, group in shown]
    page, watch = desk.stage("boards", texts, "stage.record()", "stage.end()", *cells)
    run(page, 0, 1)
    shown_live(page, {index: group for index, (_, group) in enumerate(shown, 3)}, end=2)
    page.evaluate(UNFOLD)
    assert faults(page, LAB_REL) == []
    assert watch.end() == []
    check_saved(desk, desk.saved(page, "boards"), texts)


@pytest.mark.slow
def test_texts_that_want_time_get_little_of_it_and_are_shown_whole(desk):
    live = dict(enumerate(groups(len(WANTING)), 2))
    cells = [f"stage.storms({group.start}, {len(group)})" for group in live.values()]
    page, watch = desk.stage("storms", WANTING, "stage.end()", *cells)
    run(page, 0)
    page.evaluate(WATCH_TASKS)
    shown_live(page, live, end=1)
    assert faults(page, LAB_REL) == []
    assert watch.end() == []
    assert max(page.evaluate("() => window.tasks"), default=0) < LONGEST_TASK_MS


CITING = "%%chatstream oliver --sim -o run --pace tokens=40 --pace gap=0.002\nWhy?"
SOURCES = ["library.example.org", "gravel.example.org", "library.example.org"]


def executed(*cells: str):
    """A notebook run without a page. Elsewhere: the browser's event loop is this thread's."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(book, timeout=60, kernel_name="python3")
    with concurrent.futures.ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, client.async_execute()).result()
    return book


def check_shown(output, plain: str):
    """Answer, sources and the picture of a run are there to be seen."""
    answer = output.locator(".snb-doc")
    expect(answer).to_be_visible()
    said, text = re.sub(r"```.*", "", plain.partition("complete")[0]), answer.inner_text()
    words = re.findall(r"\w{4,}", said)
    assert len(words) > 10
    assert [word for word in words if word not in text] == []
    assert re.findall(r"\[(\d)\]", text) == ["1", "2", "3"]
    expect(output.locator("ol a")).to_have_count(3)
    assert output.locator("ol a").evaluate_all("(all) => all.map((one) => one.host)") == SOURCES
    picture = output.locator("img[alt^='Timing of the reads']")
    expect(picture).to_be_visible()
    assert picture.evaluate("async (one) => { await one.decode(); return one.naturalWidth; }") > 100


@pytest.mark.slow  # test_browser_tabs.py has the short form
def test_a_saved_notebook_shows_answer_sources_and_picture_without_a_kernel_and_as_a_page_and_keeps_no_widget(desk):
    page, _ = desk.notebook("run", "%load_ext streamnb", CITING)
    run(page, 0, 1)
    books = [desk.saved(page, "run"), executed("%load_ext streamnb", CITING)]
    plain = []
    for book in books:
        (output,) = book.cells[1].outputs
        assert set(output["data"]) == {"text/html", "text/plain"}
        assert "widget" not in re.sub(r"--vscode-widget\S*", "", json.dumps(book))
        plain.append(output["data"]["text/plain"])
    both = nbformat.v4.new_notebook(cells=[book.cells[1] for book in books])
    for view in (desk.reopened, desk.exported):
        page, watch = view(both)
        shown = page.locator(".jp-OutputArea-output")
        expect(shown).to_have_count(2)
        for at, text in enumerate(plain):
            check_shown(shown.nth(at), text)
        assert watch.end() == []
