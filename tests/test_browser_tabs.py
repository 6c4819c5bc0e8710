from __future__ import annotations

import json
import re

import nbformat
import pytest
from lab_page import NEEDS_BROWSER, cell, change_theme, command, faults, run_cell, run_cells, spilled, tab_stops
from nbconvert import HTMLExporter

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

PACE = "--no-record --scenario stall --pace stall=100 --pace ttft=0.05"
"""All but the last token at once, then a silence in which the panel stays as it is until it is stopped."""


def tab(panel, name: str):
    """The tab's button and what it shows."""
    button = panel.get_by_role("tab", name=name)
    button.click()
    expect(button).to_have_attribute("aria-selected", "true")
    shown = panel.locator(f"[role=tabpanel][aria-labelledby={button.get_attribute('id')}]")
    expect(shown).to_be_visible()
    return shown


def figure(timing, name: str) -> str:
    return timing.locator(".snb-number", has_text=name).locator("dd").inner_text()


def clipboard(page) -> str:
    return page.evaluate("() => navigator.clipboard.readText()")


def test_every_tab_shows_its_side_of_a_run_and_is_reached_by_keys(notebook, shot):
    page = notebook(
        "%load_ext streamnb", f"%%chatstream oliver --sim {PACE} --pace tokens=61 --pace gap=0.02 --pace stall_at=60\nWhy?"
    )
    run_cells(page)
    panel = page.locator(".snb-panel")
    expect(panel.locator(".snb-word")).to_contain_text("stalled")

    # the answer: code, sources
    code = panel.locator(".snb-codebox").first
    code.hover()
    code.locator(".snb-copy").click()
    expect(code.locator(".snb-copy")).to_have_attribute("data-said", "copied")
    assert clipboard(page) == code.locator("pre").inner_text().strip()
    panel.locator(".snb-copyall").click()
    assert clipboard(page).startswith(panel.locator(".snb-md h2").first.inner_text())
    chip = panel.locator(".snb-chiplink").first
    expect(panel.locator(".snb-sourceitem")).to_have_count(panel.locator(".snb-chiplink").count())
    chip.focus()
    page.keyboard.press("Enter")
    expect(panel.locator(".snb-sourceitem").first).to_have_class(re.compile("snb-pointed"))
    expect(panel.locator(".snb-sourcelink").first).to_be_focused()
    expect(panel.locator(".snb-sourcelink").first).to_be_in_viewport()
    assert faults(panel) == []

    # arrow keys
    panel.get_by_role("tab", name="Answer").focus()
    for key, name in (("ArrowLeft", "Request"), ("ArrowRight", "Answer"), ("End", "Request"), ("Home", "Answer")):
        page.keyboard.press(key)
        expect(panel.get_by_role("tab", name=name)).to_be_focused()
        expect(panel.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(panel.locator(".snb-plot")).to_be_visible()
    assert cell(page, 1).locator(".jp-InputArea").count() == 1, "no key went to the notebook"

    # timing
    timing = tab(panel, "Timing")
    plot = timing.get_by_role("slider")
    expect(timing.locator(".snb-phases")).to_contain_text("first byte")
    n_marks = int(plot.get_attribute("aria-valuemax"))
    drawn = timing.locator(".snb-alone :is(.snb-istext, .snb-isnone)").evaluate_all(
        "(paths) => paths.map((path) => (path.getAttribute('d').match(/M/g) || []).length)"
    )
    assert sum(drawn) == n_marks
    assert n_marks == int(figure(timing, "reads")) - 1, "a mark for each read but that of the call that makes a chat"
    expect(timing.locator(".snb-isstall.snb-mark")).to_have_attribute("d", re.compile("M.*z"))
    expect(timing.locator("text.snb-length")).to_have_text(re.compile(r"^\d.* s$"))
    plot.focus()
    page.keyboard.press("Home")
    expect(timing.locator(".snb-said")).to_contain_text(re.compile("chunk 1$"))
    expect(plot).to_have_attribute("aria-valuenow", "1")
    page.keyboard.press("End")
    expect(timing.locator(".snb-said")).to_contain_text("characters")
    assert faults(panel) == []
    shot(panel, "timing-light")
    change_theme(page, "Dark")
    shot(panel, "timing-dark")

    # events
    events = tab(panel, "Events")
    grid = events.get_by_role("grid")
    rows = events.locator(".snb-sizer .snb-row:visible")
    expect(rows.filter(has_text="delta")).not_to_have_count(0)
    events.get_by_role("button", name=re.compile("^delta")).click()
    expect(events.locator(".snb-sizer [data-kind=delta]:visible")).to_have_count(0)
    expect(rows.filter(has_text="citation").first).to_contain_text("Handbook of Slow Rivers")
    events.get_by_role("button", name="all").click()
    expect(grid).to_have_attribute("aria-rowcount", re.compile(r"^6\d|7\d$"))
    grid.focus()
    page.keyboard.press("Home")
    expect(events.locator(".snb-row[aria-selected=true]")).to_contain_text("session")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    raw = events.get_by_role("region", name="bytes of the frame")
    expect(raw.locator("pre")).to_contain_text('event: chunk\ndata: {"content":')
    raw.get_by_role("button", name="Copy").click()
    assert clipboard(page) == raw.locator("pre").inner_text()
    assert faults(panel) == []
    page.keyboard.press("Escape")
    expect(raw).to_be_hidden()
    expect(panel.locator(".snb-word")).to_contain_text("stalled")  # Escape closed the drawer and stopped nothing

    request = tab(panel, "Request")
    expect(request.locator(".snb-call")).to_have_count(2)
    expect(request).to_contain_text("$OLIVER_API_KEY")
    assert faults(panel) == []
    assert "Copy as curl" in tab_stops(page, panel)
    for name in ("Timing", "Events", "Request"):
        tab(panel, name)
        page.set_viewport_size({"width": 400, "height": 1000})
        assert spilled(panel) == []
        shot(panel, f"{name.lower()}-dark-400")
        page.set_viewport_size({"width": 1400, "height": 800})
    panel.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")


def test_thousands_of_events_are_a_few_rows_and_the_request_is_a_command_without_the_key(notebook):
    page = notebook(
        "%load_ext streamnb",
        f"%%chatstream openai_chat --sim {PACE} --pace tokens=4000 --pace gap=0 --pace stall_at=3999\nWhy?",
    )
    run_cells(page)
    panel = page.locator(".snb-panel")
    expect(panel.locator(".snb-word")).to_contain_text("stalled")
    panel.locator(".snb-copyall").click()
    expect(panel.locator(".snb-copyall")).to_have_attribute("data-said", "copied")
    assert len(clipboard(page).split("\n\n")) >= panel.locator(".snb-block").count() > 100, "also what is out of sight"
    events = tab(panel, "Events")
    grid = events.get_by_role("grid")
    rows = events.locator(".snb-sizer .snb-row:visible")
    expect(grid).to_have_attribute("aria-rowcount", re.compile(r"^4\d{3}$"))
    grid.focus()
    seen = []
    for key, first in (("Home", 0), ("End", 3900), ("PageUp", 3900), ("Home", 0)):
        page.keyboard.press(key)
        expect(events.locator(".snb-row[aria-selected=true] .snb-kindname")).not_to_be_empty()
        seen.append(int(events.locator(".snb-row[aria-selected=true] .snb-seq").inner_text()))
        assert seen[-1] >= first
        assert rows.count() < 60
    assert seen[0] == seen[3] < seen[2] < seen[1]
    grid.evaluate("(list) => { list.scrollTop = list.scrollHeight / 2; }")
    expect(rows.filter(has_text="delta").nth(5)).to_contain_text(re.compile(r"^(19|20)\d\d"))
    request = tab(panel, "Request")
    expect(request.locator("pre").first).to_contain_text('-H "Authorization: Bearer $OPENAI_API_KEY"')
    request.get_by_role("button", name="Copy as curl").click()
    assert clipboard(page).startswith("curl -N -X POST 'http://127.0.0.1:")
    panel.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")


def test_the_saved_notebook_shows_answer_sources_and_timing_without_a_kernel_and_as_html(notebook, lab, tmp_path, shot):
    page = notebook("%load_ext streamnb", "%%chatstream oliver --sim --no-record --pace tokens=60 --pace gap=0.005\nWhy?")
    run_cell(page, 0, 1)
    expect(cell(page, 1).locator("h4")).to_contain_text("complete")
    command(page, "docmanager:save")
    path = next(lab.root.glob("test_the_saved_notebook*.ipynb"))
    saved = nbformat.read(path, as_version=4)
    assert "widgets" not in saved.metadata
    assert "widget-view" not in json.dumps(saved)

    saved.metadata = nbformat.from_dict({"kernelspec": dict.fromkeys(("name", "display_name", "language"), "elsewhere")})
    nbformat.write(saved, lab.root / "reopened.ipynb")
    page.evaluate("() => { window.jupyterapp.commands.execute('docmanager:open', { path: 'reopened.ipynb' }); }")
    page.locator(".jp-Dialog select").select_option("null")
    page.get_by_role("button", name="Select Kernel").click()
    reopened = page.locator(".jp-NotebookPanel:visible .jp-Cell").nth(1)
    shows_it_all(reopened)
    for width in (400, 1400):
        page.set_viewport_size({"width": width, "height": 1400})
        shot(reopened, f"reopened-{width}")

    html, _ = HTMLExporter().from_notebook_node(saved)
    (tmp_path / "saved.html").write_text(html)
    exported = page.context.browser.new_page()
    exported.goto((tmp_path / "saved.html").as_uri())
    shows_it_all(exported.locator(".jp-Cell").nth(1))
    shot(exported.locator(".jp-Cell").nth(1), "exported")
    exported.close()


def shows_it_all(place):
    """Answer, source and timing picture of a run that has ended, without anything that acts."""
    expect(place.locator("h4")).to_contain_text("complete")
    expect(place).to_contain_text("Each grain it[1] drops there bends it a little more.")
    expect(place.locator("pre code")).not_to_have_count(0)
    expect(place.get_by_role("link", name="Handbook of Slow Rivers")).to_have_attribute("href", re.compile("^https://library"))
    picture = place.get_by_role("img", name="Timing of the reads")
    expect(picture).to_be_visible()
    assert picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 100
    assert place.locator(".snb-panel, script").count() == 0
