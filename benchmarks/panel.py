"""What a stream costs on its way to the screen: this panel beside the two ways people use, in JupyterLab and Chromium.

Knows the page from outside. Must not know: how a panel works.

    python benchmarks/panel.py [--quick] [--rounds 3] [--json FILE]

Streams Markdown at 5 000 tokens/s, each token a read of its own, in turns: no display, the panel, `display(Markdown)`
of the whole text at 20 Hz, `ipywidgets.HTML` at 20 Hz. Bytes and messages are counted on the page's websocket, CPU in
the kernel (less that of the stream without a display), long tasks and frames in the page, with what the browser says
about whose script ran in them. Then: a click on Stop to the server's end of the connection, and reads that come late
while every painting sleeps 20 ms. The bytes are all there are: the live messages, their envelopes, and at the end the
static output that the notebook keeps, HTML and plain text. What a run of 20 tokens costs is named apart from the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
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
from lab_page import CHROMIUM, FLAGS, kernel_ready, running_lab
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
FEW = 20
LONG_MS = 50
LONG = 20_000
"""Tokens beyond which a run is made once."""
QUICK_BASELINE = 6000
"""Tokens at most of the two others in the quick form: 20 000 keep JupyterLab busy for 15 s after their end."""
CLEAR = "(index) => window.jupyterapp.shell.currentWidget.content.widgets[index].model.clearExecution()"
WATCH = """(index) => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets[index].node;
  const seen = { tasks: [], long: [], frames: 0, worst: 0, found: null };
  window.seen = seen;
  const tasks = new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map((e) => e.duration)));
  tasks.observe({ type: "longtask" });
  const time = (of) => of.reduce((sum, { duration }) => sum + duration, 0);
  const frames = new PerformanceObserver((list) => {
    for (const { startTime, duration, styleAndLayoutStart: laid, scripts } of list.getEntries()) {
      const ours = scripts.filter(({ sourceURL }) => sourceURL.startsWith("blob:")); // a widget's module has no address
      const theirs = scripts.filter(({ sourceURL }) => sourceURL.startsWith("http")); // what measures has none at all
      seen.long.push({ ours: time(ours), theirs: time(theirs), layout: laid ? startTime + duration - laid : 0 });
    }
  });
  frames.observe({ type: "long-animation-frame" });
  // only what is new is looked at: a search of the whole page in every frame would cost more than what is measured
  const isEnd = (el) => el?.nodeName === "H1" && el.textContent.startsWith("END");
  const heads = (node) => [...(node.querySelectorAll?.("h1") || [])];
  const ends = ({ target, addedNodes }) =>
    [target.parentNode, target, ...addedNodes, ...[...addedNodes].flatMap(heads)].some(isEnd);
  let ended = false;
  const changes = new MutationObserver((records) => (ended ||= records.some(ends)));
  changes.observe(cell, { subtree: true, childList: true, characterData: true });
  let last = performance.now();
  const frame = (now) => {
    seen.worst = Math.max(seen.worst, now - last);
    seen.frames += 1;
    last = now;
    if (ended) seen.found ??= performance.timeOrigin + performance.now();
    if (!seen.over) requestAnimationFrame(frame);
    else [tasks, frames, changes].forEach((one) => one.disconnect());
  };
  requestAnimationFrame(frame);
}"""
RUN = """async (index) => {
  const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = index;
  await window.jupyterapp.commands.execute("notebook:run-cell");
  return content.widgets[index].model.sharedModel.toJSON().outputs
    .filter((o) => o.output_type === "stream" || o.output_type === "error")
    .map((o) => [].concat(o.text || o.traceback).join("")).join("");
}"""
CLICK = """() => {
  document.querySelector(".snb-stop").click();
  return (performance.timeOrigin + performance.now()) / 1000;
}"""


class Wire:
    """The messages of the page's websocket that a display makes: those of widgets, and displays and their updates."""

    def __init__(self, page: Page) -> None:
        self.n = self.n_bytes = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, payload: bytes | str) -> None:
        head = payload[:2000] if isinstance(payload, bytes) else payload[:2000].encode()
        if any(kind in head for kind in (b"comm_", b"display_data")):
            self.n += 1
            self.n_bytes += len(payload)

    def reset(self) -> None:
        """Count from 0 again."""
        self.n = self.n_bytes = 0


class Notebook:
    """One open notebook, whose cells are run by number."""

    def __init__(self, page: Page, wire: Wire) -> None:
        self._page, self._wire = page, wire

    def run(self, index: int, *, shows: bool = True) -> dict[str, Any]:
        """Run a cell; its printed figures, and what the page saw meanwhile.

        Args:
            index: the cell's.
            shows: it shows a text, whose end is awaited.
        """
        page = self._page
        self._wire.reset()
        page.evaluate(WATCH, index)
        said = page.evaluate(RUN, index)
        if shows:
            page.wait_for_function("() => window.seen.found", timeout=90_000)
        page.wait_for_timeout(200)
        seen = page.evaluate("() => { window.seen.over = true; return window.seen; }")
        line = next((line for line in said.splitlines() if line.startswith("figures ")), None)
        if line is None:
            raise SystemExit(f"the cell failed:\n{said}")
        figures = json.loads(line.removeprefix("figures ")) | {"n": self._wire.n, "n_bytes": self._wire.n_bytes}
        late_ms = None if seen["found"] is None or "done" not in figures else seen["found"] - figures["done"] * 1000
        return figures | {"tasks": seen["tasks"], "long": seen["long"], "worst": seen["worst"], "late_ms": late_ms}


@contextlib.contextmanager
def opened(cells: list[str]) -> Iterator[tuple[Page, Notebook]]:
    """JupyterLab with a notebook of these cells, in Chromium."""
    with tempfile.TemporaryDirectory() as root, running_lab(Path(root)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        wire = Wire(page)
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, lab.root / "panel.ipynb")
        page.goto(f"{lab.url}/lab/tree/panel.ipynb?reset")
        kernel_ready(page)
        yield page, Notebook(page, wire)
        browser.close()


class Endless:
    """A server that streams for ever and knows when each of its connections was closed (wall clock, s)."""

    def __init__(self) -> None:
        self.closed: list[float] = []
        self.loop = asyncio.new_event_loop()
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        ended = asyncio.create_task(self._until_closed(reader))
        while not ended.done():
            writer.write(b'data: "word "\n\n')
            await asyncio.sleep(0.01)
        self.closed.append(ended.result())
        writer.close()

    async def _until_closed(self, reader: asyncio.StreamReader) -> float:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        return time.time()


def main() -> None:
    """Measure in turns, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="done in 50 s: one round, up to 20 000 tokens, few clicks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rounds, clicks = (1, 6) if asked.quick else (asked.rounds, 40)
    plan = [("panel", FEW)]
    for n in (2000, 20_000):
        plan += [("none", n), ("panel", n)]
        plan += [(way, min(n, QUICK_BASELINE) if asked.quick else n) for way in ("markdown", "html")]
    if not asked.quick:
        plan += [("none", 100_000), ("panel", 100_000)]
    server = Endless()
    setup = f"import sys; sys.path.insert(0, {str(HERE)!r})\nimport panel_cells\n%load_ext streamnb\n"
    setup += "print('figures {}')"
    warm = "panel_cells.show('panel', 2000); panel_cells.show('html', 200)"
    cells = [setup, warm, *(f"panel_cells.show({way!r}, {n})" for way, n in plan)]
    reads, sleep_s = (1000, 0.02) if asked.quick else (4000, 0.02)
    late = [f"panel_cells.late_reads({way!r}, {reads}, 0.004, {sleep_s})" for way in ("none", "panel")]
    stop = f"%%chatstream sse --base-url {server.url} --no-record\nHi"
    cells += [*late, stop]
    found: dict[tuple[str, int], list[dict[str, Any]]] = {one: [] for one in plan}
    lates: dict[str, list[dict[str, Any]]] = {"none": [], "panel": []}
    with opened(cells) as (page, notebook):
        notebook.run(0, shows=False)
        notebook.run(1)
        for again in range(rounds):
            for at, (way, n) in enumerate(plan):
                if again and n > LONG:
                    continue
                found[way, n].append(notebook.run(2 + at, shows=way != "none"))
                page.evaluate(CLEAR, 2 + at)
        for at, name in enumerate(lates):
            lates[name].append(notebook.run(2 + len(plan) + at, shows=False))
        stops = [stopped(page, len(cells) - 1, server) for _ in range(clicks)]
    rows = [*costs(found), *capture(lates), *clicked(stops)]
    report(rows, asked.json, rounds)


def stopped(page: Page, index: int, server: Endless) -> float:
    """Seconds from a click on Stop, in a cell that is busy, to the server's end of the connection."""
    n = len(server.closed)
    page.evaluate(f"(index) => {{ ({RUN})(index); }}", index)
    page.wait_for_function("() => document.querySelector('.snb-answer')?.textContent.includes('word')")
    clicked_at = page.evaluate(CLICK)
    for _ in range(2000):
        if len(server.closed) > n:
            break
        page.wait_for_timeout(5)
    page.wait_for_function("() => !document.querySelector('.snb-stop')")
    return server.closed[n] - clicked_at


Row = dict[str, Any]


def row(figure: str, value: float, unit: str, target: float | None, baseline: float | None = None) -> Row:
    """One figure; `holds` says whether it is at most the target."""
    ratio = value / baseline if baseline else None
    holds = None if target is None else value <= target
    return {
        "figure": figure,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
        "target": target,
        "holds": holds,
    }


class Found:
    """What the runs of every (way, number of tokens) said."""

    def __init__(self, runs: dict[tuple[str, int], list[dict[str, Any]]]) -> None:
        self.runs = runs
        self.sizes = sorted(n for way, n in runs if way == "panel" and n != FEW)

    def middle(self, way: str, n: int, of: str) -> float:
        """The median of a figure; NaN without one."""
        values = [one[of] for one in self.runs[way, n] if one[of] is not None]
        return statistics.median(values) if values else float("nan")

    def cpu_us(self, way: str, n: int) -> float:
        """CPU of the kernel per token, us, less that of the stream alone."""
        alone = max(k for name, k in self.runs if name == "none" and k <= n)
        return self.beyond(way, n, "cpu_s") / n * 1e6 - self.middle("none", alone, "cpu_s") / alone * 1e6

    def beyond(self, way: str, n: int, of: str) -> float:
        """A cost; of the panel what is beyond its cost once."""
        return self.middle(way, n, of) - (self.middle("panel", FEW, of) if way == "panel" else 0)

    def longest(self, way: str, n: int, of: str) -> float:
        """The longest part of a long frame that somebody took, ms."""
        return max((frame[of] for one in self.runs[way, n] for frame in one["long"]), default=0)

    def like(self, n: int) -> int | None:
        """The size at which `display(Markdown)` ran as well."""
        return n if ("markdown", n) in self.runs else None


def costs(runs: dict[tuple[str, int], list[dict[str, Any]]]) -> list[Row]:
    """The panel's costs beside those of the two others."""
    found = Found(runs)
    shown = sorted((n, ("panel", "markdown", "html").index(way), way) for way, n in runs if way != "none" and n != FEW)
    rows = [one for n, _, way in shown for one in cost(found, way, n)]
    per_token = {n: found.beyond("panel", n, "n_bytes") / n for n in found.sizes}
    first, last = found.sizes[0], found.sizes[-1]
    once = found.middle("panel", FEW, "n_bytes")
    return [
        *rows,
        row(f"bytes per token, {last} over {first} tokens", per_token[last] / per_token[first], "x", 1.2),
        row(f"panel, once (a run of {FEW} tokens): code, styles, picture, summary", once, "B", None),
        row(f"panel, once (a run of {FEW} tokens): messages", found.middle("panel", FEW, "n"), "", None),
        row(f"panel, once (a run of {FEW} tokens): kernel CPU", 1000 * found.middle("panel", FEW, "cpu_s"), "ms", None),
    ]


def cost(found: Found, way: str, n: int) -> list[Row]:
    """What one way costs at one size."""
    ours, like = way == "panel", found.like(n)
    name, once = f"{way}, {n} tokens: ", ", beyond those once" if ours else ""
    base = like if ours else None
    frames = [frame for one in found.runs[way, n] for frame in one["long"]]
    tasks = [one["tasks"] for one in found.runs[way, n]]
    rows = [
        row(
            f"{name}messages{once}",
            found.beyond(way, n, "n") / found.middle(way, n, "wall_s"),
            "1/s",
            20 if ours else None,
        ),
        row(
            f"{name}bytes per token{once}",
            found.beyond(way, n, "n_bytes") / n,
            "B",
            25 if ours else None,
            found.middle("markdown", base, "n_bytes") / base if base else None,
        ),
        row(
            f"{name}kernel CPU per token{once}",
            found.cpu_us(way, n),
            "us",
            20 if ours else None,
            found.cpu_us("markdown", base) if base else None,
        ),
    ]
    if ours:
        own = sum(frame["ours"] > LONG_MS for frame in frames) / len(tasks)
        rows.append(row(f"{name}long tasks over 50 ms from our script", own, "", 0))
        rows.append(row(f"{name}our script, longest in a long frame", found.longest(way, n, "ours"), "ms", None))
    return [
        *rows,
        row(f"{name}long tasks over 50 ms, anybody's", statistics.median(map(len, tasks)), "", None),
        row(f"{name}longest task, anybody's", max((max(one, default=0) for one in tasks), default=0), "ms", None),
        row(f"{name}JupyterLab's script, longest in a long frame", found.longest(way, n, "theirs"), "ms", None),
        row(f"{name}style, layout, paint, longest in a long frame", found.longest(way, n, "layout"), "ms", None),
        row(f"{name}worst frame", found.middle(way, n, "worst"), "ms", None),
        row(f"{name}DOM complete after the kernel", found.middle(way, n, "late_ms"), "ms", 150 if ours else None),
    ]


def capture(lates: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Reads over 10 ms late while every painting sleeps 20 ms, beside a run that shows nothing."""
    share = {}
    for name, runs in lates.items():
        share[name] = 100 * sum(one["late"] for one in runs) / sum(one["reads"] for one in runs)
    figure = "reads over 10 ms late, painting sleeps 20 ms"
    return [row(figure, share["panel"], "%", share["none"] + 1), row(f"{figure}: no display", share["none"], "%", None)]


def clicked(stops: list[float]) -> list[Row]:
    """Click to close."""
    worst = max(stops) if len(stops) < 100 else statistics.quantiles(stops, n=100)[98]
    return [
        row(f"Stop to closed socket, median of {len(stops)}", 1000 * statistics.median(stops), "ms", None),
        row(f"Stop to closed socket, worst of {len(stops)}", 1000 * worst, "ms", 500),
    ]


def report(rows: list[Row], file: Path | None, rounds: int) -> None:
    """Print the table; write it as JSON."""
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}, rounds {rounds}")
    for one in rows:
        target = "" if one["target"] is None else f"target {one['target']:g}: {'holds' if one['holds'] else 'MISSED'}"
        beside = "" if one["ratio"] is None else f"{one['ratio']:.3g} x display(Markdown)"
        print(f"{one['figure']:<62}{one['value']:>12.4g} {one['unit']:<5}{beside:<32}{target}")
    if file is not None:
        file.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
