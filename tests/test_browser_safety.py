"""Hostile texts in real pages: nothing runs, nothing is fetched, nothing on the page changes but what shows them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
from pathlib import Path

import nbformat
import pytest
from hostile import HOSTILE, STORMS
from lab_page import CHROMIUM, FLAGS, HAS_LAB, command, kernel_ready, running_lab
from nbconvert import HTMLExporter

import streamnb.display

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(not HAS_LAB, reason="no JupyterLab: pip install streamnb[test]"),
]

PER_CELL = 20
"""Outputs of one cell: JupyterLab folds away what is beyond 50."""
OWN_STYLE = (Path(streamnb.display.__file__).parent / "static.css").read_text(encoding="utf-8")
AUDIT = """(css) => {
  const bad = [];
  const elements = /^(script|i?frame|object|embed|applet|form|base|meta|link|video|audio|source|track|picture|marquee|title|set|use|template|slot|portal|foreignobject|image|animate.*|noscript|xmp|plaintext|dialog|canvas|maction|mglyph|annotation.*)$/i;
  const acting = /^(on.*|src(doc|set)|.*action|ping|background|poster|data|archive|codebase|classid|xlink:.*|is|slot|popover.*|autofocus|contenteditable|http-equiv|nonce|data-commandlinker.*)$/i;
  const plain = /^(href|title|target|rel|start|class|stretchy|fence|separator|.space|columnalign|linethickness|width|height|depth|accent(under)?|largeop|movablelimits|form|m..size|notation|display|mathvariant|xmlns|data-tip)$/;
  const inText = ".snb-md, .snb-static .snb-doc";
  for (const root of document.querySelectorAll(".jp-OutputArea-output")) {
    for (const el of root.querySelectorAll("*")) {
      const say = (why) => bad.push(`${why}: ${el.outerHTML.slice(0, 200)}`);
      if (elements.test(el.localName)) say("element");
      if (el.localName === "style" && el.textContent !== css) say("style");
      if (el.localName === "img" && !/^data:image[/]svg[+]xml;base64,/.test(el.src)) say("image");
      for (const { name, value } of el.attributes) {
        const known = plain.test(name) || el.matches("button, button *, summary, details, .snb-codebox");
        if (acting.test(name) || (el.closest(inText) && !el.matches(inText) && !known)) say(name);
        if (/^(id|name)$/.test(name) && !/^(snb|jp)-/.test(value) && !el.matches(".snb-ask *")) say(name);
      }
      if (!el.hasAttribute("href")) continue;
      if (el.localName !== "a" || !/^(https?|mailto):$/.test(el.protocol)) say("link");
      if (el.rel !== "noopener noreferrer nofollow" || el.target !== "_blank") say("link without rel");
    }
  }
  if (document.getElementById("hit") || document.getElementsByName("hit").length) bad.push("clobbered");
  return bad;
}"""
LOOK = """() => {
  const look = getComputedStyle(document.body);
  return ["display", "visibility", "opacity", "position", "color", "font", "background", "filter", "transform", "overflow",
    "pointer-events", "list-style-image", "cursor", "animation", "border"].map((name) => look.getPropertyValue(name));
}"""
LAST = """async (url) => {
  await fetch(url, { mode: "no-cors" });
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


class Beacon:
    """A server nobody may ever call: counts every connection, whatever comes over it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.calls: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                wire, _ = self._listener.accept()
                self.calls.append("a connection")
                threading.Thread(target=self._answer, args=(wire, len(self.calls) - 1), daemon=True).start()

    def _answer(self, wire: socket.socket, at: int) -> None:
        with wire, contextlib.suppress(OSError):
            self.calls[at] = wire.recv(4096).decode("latin-1").partition("\r\n")[0]
            wire.sendall(b"HTTP/1.1 404 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._listener.close()


class Watch:
    """What happens on a page from here on that nobody asked for."""

    def __init__(self, page, beacon) -> None:
        self._page, self._beacon = page, beacon
        self._n_before = len(beacon.calls)
        self._look = None
        self.effects: list[str] = []
        say = self.effects.append
        page.on("dialog", lambda dialog: (say(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda popup: say(f"page {popup.url}"))
        page.on("download", lambda download: say(f"download {download.url}"))
        page.on("pageerror", lambda error: say(f"error {error}"))
        page.on("framenavigated", lambda frame: say(f"navigated {frame.url}"))
        page.on("request", self._requested)

    def _requested(self, request) -> None:
        own = {"script", "fetch", "xhr", "font"}  # the page's own code, as it is needed
        if request.url.startswith("http") and request.resource_type not in own:
            self.effects.append(f"request {request.resource_type} {request.url}")

    def start(self):
        """The page is loaded; what it looks like is to stay."""
        self.effects.clear()
        self._look = self._page.evaluate(LOOK)
        return self

    def end(self) -> list[str]:
        """Everything that happened. A call of our own comes last: whoever was on the way has arrived then."""
        self._page.evaluate(LAST, f"http://{self._beacon.address}/last")
        calls = self._beacon.calls[self._n_before :]
        assert calls.pop() == "GET /last HTTP/1.1"
        hit = self._page.evaluate("() => String(window.hit)")
        self.effects += [f"call {call}" for call in calls]
        self.effects += [f"hit {hit}"] * (hit != "undefined")
        self.effects += ["look"] * (self._look is not None and self._page.evaluate(LOOK) != self._look)
        return self.effects


@pytest.fixture(scope="module")
def beacon():
    beacon = Beacon()
    yield beacon
    beacon.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, beacon):
    root = tmp_path_factory.mktemp("lab")
    every_cell = root / "config/lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    every_cell.parent.mkdir(parents=True)
    every_cell.write_text('{"windowingMode": "none"}')  # outputs below the screen are on the page too
    texts = [text.replace("BEACON", beacon.address) for text in HOSTILE.values()]
    (root / "texts.json").write_text(json.dumps(texts))
    with running_lab(root) as lab:
        yield lab


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def opened(lab, browser, name: str, *cells: str):
    """A notebook with these cells, in a page."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.root / f"{name}.ipynb")
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    page.goto(f"{lab.url}/lab/tree/{name}.ipynb?reset")
    kernel_ready(page)
    return page


def run(page, *indexes: int):
    for index in indexes:
        page.evaluate(
            "async (i) => { const app = window.jupyterapp; app.shell.currentWidget.content.activeCellIndex = i;"
            " await app.commands.execute('notebook:run-cell'); }",
            index,
        )


def shown(page, kind: str, selector: str) -> int:
    """How many of the hostile texts stand there whole: their ends are seen."""
    return page.evaluate(
        "([selector, kind, n]) => { const text = [...document.querySelectorAll(selector)].map((one) => one.textContent)"
        ".join(' '); return [...Array(n).keys()].filter((i) => text.includes(`${kind}${String(i).padStart(3, 0)}end`))"
        ".length; }",
        [selector, kind, len(HOSTILE)],
    )
