"""What a hostile text may not do to a page, and how a test learns of it.

Knows pages and sockets. Must not know: what is shown, kernels.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import streamnb.display

STATIC_CSS = (Path(streamnb.display.__file__).parent / "static.css").read_text(encoding="utf-8")
REL = "noopener noreferrer nofollow"
_ELEMENTS = (
    "script|i?frame|object|embed|applet|form|base|meta|link|video|audio|source|track|picture|title|marquee|dialog|canvas|"
    "set|use|image|animate.*|foreignobject|template|slot|portal|noscript|xmp|plaintext|maction|mglyph|annotation.*|mjx-.*"
)
_ACTING = (
    "on.*|src(doc|set)|.*action|ping|background|poster|data|archive|codebase|classid|xlink:.*|is|slot|nonce|popover.*|"
    "autofocus|contenteditable|http-equiv|data-commandlinker.*"
)
_PLAIN = (
    "href|title|target|rel|start|class|xmlns|data-tip|display|mathvariant|stretchy|fence|separator|[lr]space|columnalign|"
    "linethickness|width|height|depth|accent(under)?|largeop|movablelimits|form|m(in|ax)size|notation"
)
"""What the elements of an answer may have."""
_AUDIT = """([css, rels, ...patterns]) => {
  const [elements, acting, plain] = patterns.map((pattern) => new RegExp(`^(${pattern})$`, "i"));
  const texts = ".snb-md, .snb-static .snb-doc";
  const ours = "button, button *, summary, details, .snb-codebox";
  const bad = [];
  const check = (el) => {
    const say = (what) => bad.push(`${what}: ${el.outerHTML.slice(0, 200)}`);
    if (elements.test(el.localName)) say("element");
    if (el.localName === "style" && el.textContent !== css) say("style");
    if (el.localName === "img" && !el.getAttribute("src").startsWith("data:image/svg+xml;base64,")) say("image");
    const inText = el.parentElement.closest(texts) && !el.matches(ours);
    for (const { name, value } of el.attributes) {
      if (acting.test(name) || (inText && !plain.test(name))) say(name);
      if (/^(id|name)$/.test(name) && !value.startsWith("snb-") && !el.matches(".snb-ask *")) say(name);
    }
    if (!el.hasAttribute("href")) return;
    if (el.localName !== "a" || !/^(https?|mailto):$/.test(el.protocol)) say("link");
    const saved = el.closest(".snb-static") ? rels : rels.slice(0, 1);
    if (!saved.includes(el.rel) || el.target !== "_blank") say("rel");
  };
  for (const output of document.querySelectorAll(".jp-OutputArea-output")) output.querySelectorAll("*").forEach(check);
  if (document.getElementById("hit") || document.getElementsByName("hit").length) bad.push("clobbered");
  return bad;
}"""
_LOOK = """() => {
  const look = getComputedStyle(document.body);
  const names = ["display", "visibility", "opacity", "position", "color", "font", "background", "filter", "transform",
    "overflow", "pointer-events", "list-style", "cursor", "animation", "border"];
  return names.map((name) => `${name}: ${look.getPropertyValue(name)}`);
}"""
_LAST = """async (url) => {
  await fetch(url, { mode: "no-cors" });
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def faults(page: Any, *rels: str) -> list[str]:
    """What stands in outputs and must not: elements, attributes, links that could act, styles that are not ours.

    Args:
        rels: what may stand in `rel` of a link in a static output, besides all that should.
    """
    found: list[str] = page.evaluate(_AUDIT, [STATIC_CSS, [REL, *rels], _ELEMENTS, _ACTING, _PLAIN])
    return found


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
    """What happens on a page that nobody asked for.

    Args:
        own: beginnings of the URLs that the page itself may fetch anything from.
    """

    def __init__(self, page: Any, beacon: Beacon, *own: str) -> None:
        self._page, self._beacon, self._own = page, beacon, own
        self._n_before = len(beacon.calls)
        self._look: Any = None
        self.effects: list[str] = []
        say = self.effects.append
        page.on("dialog", lambda dialog: (say(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda popup: say(f"page {popup.url}"))
        page.on("download", lambda download: say(f"download {download.url}"))
        page.on("pageerror", lambda error: say(f"error {error}"))
        page.on("request", self._requested)

    def _requested(self, request: Any) -> None:
        if not request.url.startswith(("data:image/svg+xml;base64,", "blob:", *self._own)):
            self.effects.append(f"request {request.url}")

    def start(self) -> Watch:
        """The page is loaded; it stays where it is and looks as it does."""
        self._look = self._page.evaluate(_LOOK)
        self._page.on("framenavigated", lambda frame: self.effects.append(f"navigated {frame.url}"))
        return self

    def end(self) -> list[str]:
        """All effects so far. A call of our own comes last: whoever was on the way has arrived before it."""
        last = f"http://{self._beacon.address}/last"
        self._page.evaluate(_LAST, last)
        calls = self._beacon.calls[self._n_before :]
        assert calls.pop() == "GET /last HTTP/1.1"
        self._n_before = len(self._beacon.calls)
        effects = [effect for effect in self.effects if effect != f"request {last}"]
        effects += [f"call {call}" for call in calls]
        hit = self._page.evaluate("() => String(window.hit)")
        effects += [f"hit {hit}"] * (hit != "undefined")
        return effects + ["look"] * (self._look is not None and self._page.evaluate(_LOOK) != self._look)
