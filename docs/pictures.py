# ruff: noqa: INP001, T201
"""The pictures of the README, taken of the real thing in JupyterLab and Chromium, by day and by night.

Knows the page from outside. Must not know: how a panel works.

    python docs/pictures.py [panel] [timing] [race] [chat] [--to DIRECTORY]

Needs the extra `test` and a Chromium. What is said is the same each time; clocks and ports differ.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import os
import sys
import tempfile
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
from rivers import serve

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
        says("bend = 56"),
        hold='class="mi"',  # the number in the code
        setup="%config ChatStream.height = 420",
    ),
    "timing": Picture(
        "%%chatstream demo -o answer --scenario stall --pace stall=1.4 --pace tokens=300\nWhy do rivers meander?",
        after(6.2),
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
        hold=r"\bbed\b",
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
    url = serve()
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
