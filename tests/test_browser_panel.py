from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import pytest

import streamnb.display

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TESTS = Path(__file__).parent

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(
        shutil.which("jupyter-lab", path=str(Path(sys.executable).parent)) is None, reason="no JupyterLab"
    ),
]

IMPORTS = "from synthetic_stream import *\n"
LONG = IMPORTS + "_ = run(words(2000, 0.05))"
WITHOUT_HOOK = "from streamnb.display import widget\nwidget.Panel.hear_while_busy = lambda self: False\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab")
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
            env=os.environ | own | {"PYTHONPATH": path, "IPYTHONDIR": str(root / "ipython")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield _Lab(root, f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()
            server.wait(20)


class _Lab:
    def __init__(self, root, url, server):
        self.root, self.url = root, url
        for _ in range(300):
            assert server.poll() is None, (root / "lab.log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/status", timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.1)
        pytest.fail((root / "lab.log").read_text())


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def notebook(lab, browser, request):
    page = browser.new_page(viewport={"width": 1400, "height": 800})

    def open_with(*cells: str):
        path = f"{request.node.name}.ipynb"
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, lab.root / path)
        page.goto(f"{lab.url}/lab/tree/{path}?reset")
        kernel_ready(page)
        return page

    yield open_with
    page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    page.close()


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


def test_tokens_arrive_the_clock_ticks_in_silence_and_the_static_bundle_stays(notebook):
    page = notebook(
        IMPORTS + "_ = run([*words(5, 0.05, 'reasoning'), *words(10, 0.05), Step(3, (Event('delta', 'last words'),))])"
    )
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    run_cells(page)
    chip = page.locator(".snb-word")
    expect(page.locator(".snb-reasoning")).to_have_attribute("open", "")
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander because")
    expect(page.locator(".snb-reasoning")).not_to_have_attribute("open", "")
    expect(page.locator(".snb-ttft")).to_contain_text(re.compile(r"0\.\d\d\d s"))
    expect(chip).to_contain_text("stalled 1.")
    before = seconds(page)
    expect(chip).to_contain_text("stalled 2.")
    assert seconds(page) >= before + 0.5
    assert page.locator("[role=status]").inner_text() == "stalled"
    expect(page.locator("h4")).to_contain_text("complete")
    expect(page.locator(".snb-panel")).to_have_count(0)
    (output,) = outputs(page, 0)
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "last words" in output["data"]["text/plain"]
    assert errors == []


def test_stop_by_click_escape_and_enter_ends_a_busy_cell_normally_and_the_next_one_runs(notebook):
    page = notebook(*(LONG.replace("2000", str(n)) for n in (2000, 2001, 2002)), "print('next', 'cell')")
    run_cells(page)
    panels = [cell(page, index).locator(".snb-panel") for index in range(3)]
    expect(panels[0].locator(".snb-answer")).to_contain_text("Rivers meander")
    panels[0].locator(".snb-stop").click()
    expect(cell(page, 0).locator("h4")).to_contain_text("stopped")
    expect(panels[1].locator(".snb-answer")).to_contain_text("Rivers meander")
    panels[1].locator(".snb-answer").focus()
    page.keyboard.press("Escape")
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")
    expect(panels[2].locator(".snb-answer")).to_contain_text("Rivers meander")
    panels[2].locator(".snb-answer").focus()
    page.keyboard.press("Shift+Tab")
    stop = panels[2].locator(".snb-stop")
    expect(stop).to_be_focused()
    assert stop.evaluate("(button) => getComputedStyle(button).outlineWidth") == "2px"
    page.keyboard.press("Enter")
    expect(cell(page, 2).locator("h4")).to_contain_text("stopped")
    expect(cell(page, 3).locator(".jp-OutputArea-output")).to_contain_text("next cell")
    assert [len(outputs(page, index)) for index in range(4)] == [1] * 4, "no stderr, no second output"


def test_without_the_hook_the_page_interrupts_the_kernel_itself(notebook):
    page = notebook(WITHOUT_HOOK + LONG, "print('never')")
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    page.locator(".snb-stop").click()
    expect(cell(page, 0).locator("h4")).to_contain_text("interrupted")
    expect(cell(page, 0)).to_contain_text("KeyboardInterrupt")
    assert outputs(page, 1) == []


def reload(page):
    command(page, "docmanager:save")
    page.reload()
    kernel_ready(page)


def test_a_page_reloaded_in_mid_stream_shows_the_text_so_far_and_goes_on(notebook):
    steps = "[Step(0.1, (Event('delta', 'before the reload '),)), *words(120, 0.05)]"
    page = notebook(IMPORTS + f"task = asyncio.create_task(run_in_background({steps}))")
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("before the reload Rivers")
    reload(page)
    answer = page.locator(".snb-answer")
    expect(answer).to_contain_text("before the reload Rivers", timeout=15_000)
    assert seconds(page) > 1
    assert page.locator(".snb-word").inner_text() == "answering"
    page.wait_for_function("(n) => document.querySelector('.snb-answer').textContent.length > n + 20", arg=20)
    expect(page.locator(".snb-word")).to_have_text("complete", timeout=20_000)
    assert len(answer.text_content().split()) == 123
    expect(page.locator(".snb-stop")).to_be_hidden()


def test_a_page_reloaded_while_the_cell_runs_has_the_whole_text_when_it_ends(notebook):
    page = notebook(IMPORTS + "_ = run(words(70, 0.05))")
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    reload(page)
    expect(page.locator(".snb-word")).to_have_text("complete", timeout=20_000)
    assert len(page.locator(".snb-answer").text_content().split()) == 70


def test_model_text_is_text_wherever_it_is_shown(notebook):
    evil = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>[x](javascript:hit)</pre></script>\\u202e"
    event = f"Event(kind, {evil!r}.replace('\\\\u202e', chr(0x202E)))"
    page = notebook(
        IMPORTS + f"kinds = ('reasoning', 'message', 'delta', 'error')\n"
        f"_ = run([Step(0.1, tuple({event} for kind in kinds)), *words(20, 0.05)])"
    )
    requests = []
    run_cells(page)
    page.on("request", lambda request: requests.append(request.url))
    expect(page.locator(".snb-answer")).to_contain_text("<img src=x onerror")
    expect(page.locator(".snb-answer")).to_contain_text("<U+202E>")
    expect(page.locator("h4")).to_contain_text("complete")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("</pre></script>")
    assert page.evaluate("() => window.hit") is None
    assert [url for url in requests if url.endswith("/x")] == []
    assert page.locator(".jp-OutputArea-output :is(img, script, a)").count() == 0


def test_it_fits_narrow_and_wide_light_and_dark(notebook, tmp_path):
    page = notebook(
        IMPORTS
        + "header = Header('openai_chat', 'a-model-with-a-long-name-2026', 'demo', 'api.example.com', 'r', 'a note')\n"
        "_ = run([*words(20, 0.01, 'reasoning'), *words(2000, 0.02)], header=header)"
    )
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    panel = page.locator(".snb-panel")
    for theme in ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"):
        command(page, "apputils:change-theme", theme=theme)
        for width in (400, 1400):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
            panel.screenshot(path=tmp_path / f"panel-{theme.rsplit(' ', maxsplit=1)[-1]}-{width}.png")
            assert panel.evaluate("(box) => box.scrollWidth <= box.clientWidth")
            inside = panel.evaluate(
                "(box) => { const stop = box.querySelector('.snb-stop').getBoundingClientRect();"
                " return stop.width > 40 && stop.right <= box.getBoundingClientRect().right; }"
            )
            assert inside
            assert contrast(page, ".snb-answer") > 7
            assert contrast(page, ".snb-host") > 4
    page.locator(".snb-stop").click()
    expect(page.locator("h4")).to_contain_text("stopped")


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
