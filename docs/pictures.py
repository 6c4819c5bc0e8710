# ruff: noqa: INP001, T201
"""The pictures of the README, taken of the real thing in JupyterLab and Chromium, by day and by night.

Knows the page from outside and a server that speaks as OpenAI's does. Must not know: how a panel works.

    python docs/pictures.py [panel] [timing] [race] [chat] [--to DIRECTORY]

Needs the extra `test` and a Chromium. What is said is the same each time; clocks and ports differ.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.server
import io
import itertools
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
os.environ["STREAMNB_RECORDINGS"] = tempfile.mkdtemp()
os.environ.pop("OPENAI_API_KEY", None)  # the server here wants none

import nbformat
import numpy as np
from lab_page import CHROMIUM, FLAGS, command, kernel_ready, running_lab
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
VIEWPORT = {"width": 900, "height": 1600}
MOST_BYTES = 120_000
SETUP = """%load_ext streamnb
%config ChatStream.record = False
import re, time, streamnb
from streamnb.display.widget import Panel

def send(panel, content, buffers=None, send=Panel.send):
    send(panel, content, buffers)
    if HOLD and re.search(HOLD, str(content)):
        time.sleep(60)

Panel.send = send
HOLD = """
HIDDEN = ".jp-cell-toolbar, .jp-InputCollapser, .jp-OutputCollapser { visibility: hidden !important }"
PORT = 8000

ANSWER = r"""## Why rivers meander

A straight channel is *unstable*: at the slightest bend, water runs faster along the outside.

| bank | water | what happens |
|:--|:--|:--|
| outer | fast and deep | **erodes**, so that the bend grows |
| inner | slow and shallow | drops its sand: a point bar |

What comes out is close to the curve that bends least:

$$\theta(s) = \omega \sin\frac{2\pi s}{M}$$

```python
s = np.linspace(0, 2, 400)
theta = 1.9 * np.sin(2 * np.pi * s)  # radians along the river
```

Loops tighten until a flood cuts through the neck and leaves an oxbow lake behind.
"""


PACES_S = {"brook": (0.25, 0.026), "delta": (0.9, 0.009), "glacier": (0.55, 0.035)}
"""Of each model: to its first piece, and between two."""


class Server(http.server.BaseHTTPRequestHandler):
    """Chat Completions: the same answer each time, at the pace of the model."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Stream the answer."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in spoken(asked["model"]):
                self._write(f"data: {json.dumps(event)}\n\n")
            self._write("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the page was closed
            self.close_connection = True

    def _write(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def spoken(model: str) -> Iterator[dict[str, Any]]:
    """The events of an answer, each when it is due."""
    ttft_s, gap_s = PACES_S[model]
    time.sleep(ttft_s)
    for n, piece in enumerate(re.findall(r"\w+\s*|\W", ANSWER), 1):
        usage = {"prompt_tokens": 7, "completion_tokens": n}
        yield {"model": model, "choices": [{"index": 0, "delta": {"content": piece}}], "usage": usage}
        time.sleep(gap_s * (0.5 + n * 79 % 100 / 100))  # uneven, and the same each time
    yield {"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def server() -> str:
    """Start the server; its base URL."""
    for port in (PORT, 0):
        try:
            listening = http.server.ThreadingHTTPServer(("127.0.0.1", port), Server)
        except OSError:
            continue
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{listening.server_port}/v1"
    raise RuntimeError("no free port")


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture: a cell, and when to look at it.

    Attributes:
        cell: what is typed; `URL` is the server's.
        ready: a condition in JavaScript.
        steps: what is done before, in this order: clicked, or written and sent.
        width_px: of the cell.
        scale: pixels of the picture per pixel of the page.
        hold: what a message to the page must match to be the last one: a slow machine shows the same as a quick one.
        setup: what runs before, and is not in the picture.
    """

    cell: str
    ready: str
    steps: tuple[str | tuple[str, str], ...] = ()
    width_px: int = 800
    scale: float = 1.5
    hold: str = ""
    setup: str = ""


def says(text: str) -> str:
    """The condition that the (first) answer has a text in it."""
    return f"document.querySelector('.snb-answer').textContent.includes({text!r})"


def after(seconds: float) -> str:
    """The condition that the clock of the (first) run has come so far."""
    return f"Number(document.querySelector('.snb-time .snb-value').textContent.split(' ')[0]) >= {seconds}"


PICTURES = {
    "panel": Picture(
        "%%chatstream demo -o answer --scenario reasoning --pace tokens=510 --pace seed=26\nWhy do rivers meander?",
        says("rough"),
        hold="rough",
        setup="%config ChatStream.height = 452",
    ),
    "timing": Picture(
        "%%chatstream demo -o answer --scenario stall --pace stall=1.4 --pace tokens=400\nWhy do rivers meander?",
        after(5.5),
        steps=(".snb-tab >> text=Timing",),
    ),
    "race": Picture(
        "%%chatstream openai_chat:brook openai_chat:delta openai_chat:glacier --base-url URL --repeat 3 -o raced\n"
        "Why do rivers meander?",
        "document.querySelector('.snb-leader:last-child .snb-letter')",  # somebody has it all
        width_px=1080,
        scale=1.25,
    ),
    "chat": Picture(
        "panel = streamnb.ChatPanel(\n"
        '    "voiceflow", sim=True, project="choices", pace={"tokens": 33, "gap": 0.06}\n'
        ")\npanel",
        "document.querySelectorAll('.snb-answer')[1]?.textContent.includes('bed')",
        hold=r"\\bbed\\b",
        steps=((".snb-compose textarea", "Where is my parcel?"), ".snb-choice >> text=Track a parcel"),
    ),
}


def main() -> None:
    """Take those pictures that are asked for, all unless said."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent, help="where to write them")
    asked = parser.parse_args()
    for name in set(asked.names) - PICTURES.keys():
        parser.error(f"there is no picture {name!r}")
    if CHROMIUM is None:
        parser.error("no Chromium on this machine: apt-get install chromium")
    url = server()
    with running_lab(Path(tempfile.mkdtemp())) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, (light, theme) in itertools.product(asked.names or PICTURES, THEMES.items()):
            picture = dataclasses.replace(PICTURES[name], cell=PICTURES[name].cell.replace("URL", url))
            data = taken(browser, lab, picture, theme)
            path = asked.to / f"{name}-{light}.png"
            path.write_bytes(data)
            print(f"{path.name}: {len(data):,} bytes")
            if len(data) > MOST_BYTES:
                sys.exit(f"{path.name} is larger than {MOST_BYTES:,} bytes")
        browser.close()


def taken(browser: Browser, lab: Any, picture: Picture, theme: str) -> bytes:
    """The picture."""
    page = browser.new_page(device_scale_factor=picture.scale, viewport=VIEWPORT, reduced_motion="reduce")
    begin(page, lab, picture, theme)
    page.wait_for_function(f"() => {picture.ready}")
    page.mouse.move(0, 0)
    box = page.locator(".jp-Cell").nth(1).bounding_box()
    shot = page.screenshot(clip={key: round(value) for key, value in box.items()})
    page.evaluate("async () => await window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    page.close()
    return packed(shot)


def begin(page: Page, lab: Any, picture: Picture, theme: str) -> None:
    """Open a notebook with the cell, run it, do the steps."""
    cells = [
        nbformat.v4.new_code_cell(source) for source in (f"{SETUP}{picture.hold!r}\n{picture.setup}", picture.cell)
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.root / "picture.ipynb")
    page.goto(f"{lab.url}/lab/tree/picture.ipynb?reset")
    kernel_ready(page)
    command(page, "apputils:change-theme", theme=theme)
    page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
    page.add_style_tag(content=HIDDEN)
    beside = VIEWPORT["width"] - round(page.locator(".jp-Cell").nth(1).bounding_box()["width"])
    page.set_viewport_size({**VIEWPORT, "width": picture.width_px + beside})
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(".snb-panel")
    for step in picture.steps:
        if isinstance(step, str):
            page.locator(step).click()
        else:
            page.locator(step[0]).fill(step[1])
            page.keyboard.press("Enter")


def packed(picture: bytes) -> bytes:
    """The same picture in 256 colours, its commonest and its most particular: a third as large, and nobody sees it."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    colours, at, n = np.unique(pixels.reshape(-1, 3).astype(int), axis=0, return_inverse=True, return_counts=True)
    far, nearest = np.full(len(colours), np.inf), np.zeros(len(colours), int)
    kept = []
    while len(kept) < min(256, len(colours)):
        kept.append(int((np.minimum(far, 1e6) * np.sqrt(n)).argmax()))
        distance = ((colours - colours[kept[-1]]) ** 2).sum(axis=1)
        nearest[distance < far] = len(kept) - 1
        far = np.minimum(far, distance)
    image = Image.fromarray(nearest[at.reshape(-1)].reshape(pixels.shape[:2]).astype(np.uint8))
    image.putpalette(colours[kept].astype(np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main()
