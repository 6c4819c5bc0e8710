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

import nbformat
from lab_page import CHROMIUM, FLAGS, command, kernel_ready, running_lab
from PIL import Image
from playwright.sync_api import Page, sync_playwright

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
SCALE = 1.5
COLOURS = 192
MOST_BYTES = 120_000
SETUP = "%load_ext streamnb\n%config ChatStream.record = False\nimport os, streamnb\nos.environ['OPENAI_API_KEY'] = ''"
HIDDEN = ".jp-cell-toolbar, .jp-InputCollapser, .jp-OutputCollapser { visibility: hidden !important }"
PORT = 8000

THOUGHTS = (
    "They ask for a cause, so start from the instability of a straight channel, then the two banks, "
    "then the curve that comes out of it. A table for the banks."
)
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

Loops tighten until a flood cuts through the neck and leaves ‖ an oxbow lake behind.
"""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How a model answers.

    Attributes:
        ttft_s: to its first piece.
        gap_s: between two pieces, s.
        stall: (number of the piece before which it falls silent, for how many s).
        together: so many pieces in each write, in the second half.
    """

    ttft_s: float
    gap_s: float
    stall: tuple[int, float] = (-1, 0.0)
    together: int = 1


PACES = {
    "river-1": Pace(0.35, 0.022),
    "river-2": Pace(0.5, 0.03, stall=(70, 1.35), together=4),
    "brook": Pace(0.25, 0.02),
    "delta": Pace(0.9, 0.009),
    "glacier": Pace(0.55, 0.035),
}
HELD_S = 20.0


class Server(http.server.BaseHTTPRequestHandler):
    """Chat Completions: the same answer each time, at the pace of the model; it waits at the bar in the text."""

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
            for events in spoken(asked["model"]):
                self._write("".join(f"data: {json.dumps(event)}\n\n" for event in events))
            self._write("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the page was closed
            self.close_connection = True

    def _write(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def spoken(model: str) -> Iterator[list[dict[str, Any]]]:
    """What each write has, when it is due."""
    pace, held = PACES[model], model == "river-1"
    pieces = [("reasoning_content", piece) for piece in re.findall(r"\S+\s*", THOUGHTS)] if held else []
    pieces += [("content", piece) for piece in re.findall(r"\w+\s*|\W", ANSWER)]
    time.sleep(pace.ttft_s)
    at = 0
    while at < len(pieces):
        n = pace.together if at > len(pieces) // 2 else 1
        if at == pace.stall[0]:
            time.sleep(pace.stall[1])
        if held and any("‖" in text for _, text in pieces[at : at + n]):
            time.sleep(HELD_S)
        yield [event(model, kind, text, at + i) for i, (kind, text) in enumerate(pieces[at : at + n], 1)]
        at += n
        time.sleep(pace.gap_s * (0.5 + at * 7919 % 100 / 100) * n)  # uneven, and the same each time
    yield [{"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def event(model: str, kind: str, text: str, n_tokens: int) -> dict[str, Any]:
    """A piece, and the running count of tokens."""
    delta = {kind: text.replace("‖ ", "").replace("‖", "")}
    usage = {"prompt_tokens": 7, "completion_tokens": n_tokens}
    return {"model": model, "choices": [{"index": 0, "delta": delta}], "usage": usage}


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
    """

    cell: str
    ready: str
    steps: tuple[str | tuple[str, str], ...] = ()
    width_px: int = 800


def says(text: str) -> str:
    """The condition that the panel shows a text."""
    return f"document.querySelector('.snb-panel').textContent.includes({text!r})"


def after(seconds: float) -> str:
    """The condition that the clock of the (first) run has come so far."""
    return f"Number(document.querySelector('.snb-time .snb-value').textContent.split(' ')[0]) >= {seconds}"


PICTURES = {
    "panel": Picture(
        "%%chatstream openai_chat:river-1 --base-url URL -o answer\nWhy do rivers meander?", says("neck and leaves")
    ),
    "timing": Picture(
        "%%chatstream openai_chat:river-2 --base-url URL -o answer\nWhy do rivers meander?",
        after(6),
        (".snb-tab >> text=Timing",),
    ),
    "race": Picture(
        "%%chatstream openai_chat:brook openai_chat:delta openai_chat:glacier --base-url URL --repeat 3 -o raced\n"
        "Why do rivers meander?",
        "[...document.querySelectorAll('.snb-word')].some((word) => word.textContent === 'complete')",
        width_px=1100,
    ),
    "chat": Picture(
        "panel = streamnb.ChatPanel(\n"
        '    "voiceflow", sim=True, project="choices", pace={"tokens": 33, "gap": 0.06}\n'
        ")\npanel",
        "document.querySelectorAll('.snb-answer')[1]?.textContent.includes('bends it')",
        ((".snb-compose textarea", "Where is my parcel?"), ".snb-choice >> text=Track a parcel"),
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
            page = browser.new_page(
                device_scale_factor=SCALE, viewport={"width": 900, "height": 1600}, reduced_motion="reduce"
            )
            data = packed(taken(page, lab, picture, theme))
            page.close()
            path = asked.to / f"{name}-{light}.png"
            path.write_bytes(data)
            print(f"{path.name}: {len(data):,} bytes")
            if len(data) > MOST_BYTES:
                sys.exit(f"{path.name} is larger than {MOST_BYTES:,} bytes")
        browser.close()


def taken(page: Page, lab: Any, picture: Picture, theme: str) -> bytes:
    """Run the cell, wait, take its part of the page."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, picture.cell)]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.root / "picture.ipynb")
    page.goto(f"{lab.url}/lab/tree/picture.ipynb?reset")
    kernel_ready(page)
    command(page, "apputils:change-theme", theme=theme)
    page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
    page.add_style_tag(content=HIDDEN)
    cell = page.locator(".jp-Cell").nth(1)
    page.set_viewport_size({"width": 900 + picture.width_px - round(cell.bounding_box()["width"]), "height": 1600})
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(".snb-panel")
    for step in picture.steps:
        if isinstance(step, str):
            page.locator(step).click()
        else:
            page.locator(step[0]).fill(step[1])
            page.keyboard.press("Enter")
    page.wait_for_function(f"() => {picture.ready}")
    shot = page.screenshot(clip={key: round(value) for key, value in cell.bounding_box().items()})
    page.evaluate("async () => await window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    return shot


def packed(picture: bytes) -> bytes:
    """The same picture with fewer colours: half as large, and nobody sees it."""
    out = io.BytesIO()
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main()
