from __future__ import annotations

import json
import re

import nbformat
import pytest
from lab_page import NEEDS_BROWSER, cell, change_theme, command, run_cell, run_cells
from nbconvert import HTMLExporter
from page_checks import faults, spilled, tab_stops

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

STALL = "--no-record --scenario stall --pace stall=100 --pace ttft=0.05"
"""All but the last token comes, then a silence in which the panel stays as it is until it is stopped."""


def tab(panel, name: str):
    """Choose a tab: what it shows."""
    button = panel.get_by_role("tab", name=name)
    button.click()
    expect(button).to_have_attribute("aria-selected", "true")
    shown = panel.locator(f"[role=tabpanel][aria-labelledby={button.get_attribute('id')}]")
    expect(shown).to_be_visible()
    return shown


def clipboard(page) -> str:
    return page.evaluate("() => navigator.clipboard.readText()")


# -- one run ----------------------------------------------------------------------------------------------------------


def code_is_copied_and_chips_lead_to_their_source(page, panel) -> None:
    code, chip = panel.locator(".snb-codebox").first, panel.locator(".snb-chiplink").first
    code.hover()
    code.locator(".snb-copy").click()
    expect(code.locator(".snb-copy")).to_have_attribute("data-said", "copied")
    assert clipboard(page) == code.locator("pre").inner_text().strip()
    expect(panel.locator(".snb-sourceitem")).to_have_count(3)
    expect(panel.locator(".snb-chiplink")).to_have_count(3)
    chip.focus()
    page.keyboard.press("Enter")
    expect(panel.locator(".snb-sourceitem").first).to_have_class(re.compile("snb-pointed"))
    expect(panel.locator(".snb-sourcelink").first).to_be_focused()
    expect(panel.locator(".snb-sourcelink").first).to_be_in_viewport()


def arrow_keys_move_between_tabs(page, panel) -> None:
    panel.get_by_role("tab", name="Answer").focus()
    for key, name in (("ArrowLeft", "Request"), ("ArrowRight", "Answer"), ("End", "Request"), ("Home", "Answer")):
        page.keyboard.press(key)
        expect(panel.get_by_role("tab", name=name)).to_be_focused()
        expect(panel.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(panel.locator(".snb-plot")).to_be_visible()


def every_read_is_a_mark_and_the_silence_is_shaded(page, timing) -> None:
    plot = timing.get_by_role("slider")
    expect(timing.locator(".snb-phases")).to_contain_text("first byte")
    n_marks = int(plot.get_attribute("aria-valuemax"))
    drawn = timing.locator(".snb-alone :is(.snb-istext, .snb-isnone)").evaluate_all(
        "(paths) => paths.map((path) => (path.getAttribute('d').match(/M/g) || []).length)"
    )
    assert sum(drawn) == n_marks
    n_reads = int(timing.locator(".snb-number", has_text="reads").locator("dd").inner_text())
    assert n_marks == n_reads - 1, "all but the read of the call that makes a chat"
    expect(timing.locator(".snb-mark.snb-isstall")).to_have_attribute("d", re.compile("^M.*z$"))
    expect(timing.locator("text.snb-length")).to_have_text(re.compile(r"^\d.* s$"))
    plot.focus()
    page.keyboard.press("Home")
    expect(timing.locator(".snb-said")).to_contain_text(re.compile("chunk 1$"))
    expect(plot).to_have_attribute("aria-valuenow", "1")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("chunk 1$"))


def events_are_filtered_by_kind_and_show_their_bytes(page, events) -> None:
    grid, rows = events.get_by_role("grid"), events.locator(".snb-sizer .snb-row:visible")
    expect(rows.filter(has_text="delta")).not_to_have_count(0)
    events.get_by_role("button", name=re.compile("^delta")).click()
    expect(events.locator(".snb-sizer [data-kind=delta]:visible")).to_have_count(0)
    expect(rows.filter(has_text="citation")).to_have_count(3)
    expect(rows.filter(has_text="citation").first).to_contain_text("Handbook of Slow Rivers")
    events.get_by_role("button", name="all").click()
    expect(rows.filter(has_text="delta")).not_to_have_count(0)
    grid.focus()
    page.keyboard.press("Home")
    expect(events.locator(".snb-row[aria-selected=true]")).to_contain_text("session")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    raw = events.get_by_role("region", name="bytes of the frame")
    expect(raw.locator("pre")).to_contain_text('event: chunk\ndata: {"content":')
    raw.get_by_role("button", name="Copy").click()
    expect(raw.locator("[data-said=copied]")).to_be_visible()
    assert clipboard(page) == raw.locator("pre").inner_text()
    page.keyboard.press("Escape")
    expect(raw).to_be_hidden()


def test_every_tab_shows_its_side_of_a_run_and_is_reached_by_keys(notebook, shot):
    run = f"%%chatstream oliver --sim {STALL} --pace tokens=61 --pace gap=0.02 --pace stall_at=60\nWhy?"
    page = notebook("%load_ext streamnb", run)
    run_cells(page)
    panel = page.locator(".snb-panel")
    expect(panel.locator(".snb-word")).to_contain_text("stalled")
    code_is_copied_and_chips_lead_to_their_source(page, panel)
    assert faults(panel) == []
    arrow_keys_move_between_tabs(page, panel)
    every_read_is_a_mark_and_the_silence_is_shaded(page, tab(panel, "Timing"))
    shot(panel, "timing-light-1400")
    change_theme(page, "Dark")
    shot(panel, "timing-dark-1400")
    assert faults(panel) == []
    events_are_filtered_by_kind_and_show_their_bytes(page, tab(panel, "Events"))
    expect(panel.locator(".snb-word")).to_contain_text("stalled")  # Escape closed the drawer and stopped nothing
    assert faults(panel) == []
    request = tab(panel, "Request")
    expect(request.locator(".snb-call")).to_have_count(2)
    expect(request).to_contain_text("$OLIVER_API_KEY")
    assert faults(panel) == []
    assert "Copy as curl" in tab_stops(page, panel)
    page.set_viewport_size({"width": 400, "height": 1000})
    for name in ("Answer", "Timing", "Events", "Request"):
        tab(panel, name)
        assert spilled(panel) == []
        shot(panel, f"{name.lower()}-dark-400")
    panel.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")


# -- a long one -------------------------------------------------------------------------------------------------------


def long_run(notebook, n_tokens: int):
    """A page with a run of so many tokens, all of which are there."""
    run = f"%%chatstream openai_chat --sim {STALL} --pace gap=0 --pace tokens={n_tokens} --pace stall_at={n_tokens - 1}"
    page = notebook("%load_ext streamnb", f"{run}\nWhy?")
    run_cells(page)
    expect(page.locator(".snb-word")).to_contain_text("stalled", timeout=90_000)
    return page, page.locator(".snb-panel")


def selected(events) -> int:
    """The number of the event that is selected, when its row is there."""
    seq = events.locator(".snb-row[aria-selected=true] .snb-seq")
    expect(seq).not_to_be_empty()
    return int(seq.inner_text())


def test_thousands_of_events_are_a_few_rows_and_the_request_is_a_command_without_the_key(notebook):
    page, panel = long_run(notebook, 4000)
    panel.locator(".snb-copyall").click()
    expect(panel.locator(".snb-copyall")).to_have_attribute("data-said", "copied")
    copied = [text for text in clipboard(page).split("\n\n") if text.strip()]
    assert len(copied) >= panel.locator(".snb-block").count() > 100, "also what is out of sight"
    events = tab(panel, "Events")
    grid, rows = events.get_by_role("grid"), events.locator(".snb-sizer .snb-row")
    expect(grid).to_have_attribute("aria-rowcount", re.compile(r"^4\d{3}$"))
    grid.focus()
    seen = []
    for key in ("Home", "End", "PageUp", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(selected(events))
        assert rows.count() < 60
    first, last, above, one_up = seen
    assert first == 0
    assert last > 3990
    assert last - 40 < above < last - 5
    assert one_up == above - 1
    grid.evaluate("(list) => { list.scrollTop = list.scrollHeight / 2; }")
    expect(rows.filter(has_text=re.compile(r"^20\d\d")).filter(has_text="delta")).not_to_have_count(0)
    request = tab(panel, "Request")
    expect(request.locator("pre").first).to_contain_text('-H "Authorization: Bearer $OPENAI_API_KEY"')
    request.get_by_role("button", name="Copy as curl").click()
    expect(request.locator("[data-said=copied]")).to_be_visible()
    assert clipboard(page).startswith("curl -N -X POST 'http://127.0.0.1:")
    panel.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")


@pytest.mark.slow
def test_a_hundred_thousand_rows_scroll_without_a_pause(notebook):
    page, panel = long_run(notebook, 100_000)
    events = tab(panel, "Events")
    expect(events.get_by_role("grid")).to_have_attribute("aria-rowcount", re.compile(r"^10\d{4}$"))
    page.evaluate(
        "() => { window.slow = []; new PerformanceObserver((list) => window.slow.push("
        "...list.getEntries().map((e) => e.duration))).observe({type: 'longtask'}); }"
    )
    for part in (0.1, 0.5, 0.9, 0.3):
        events.get_by_role("grid").evaluate("(list, part) => { list.scrollTop = list.scrollHeight * part; }", part)
        row = events.locator(".snb-sizer .snb-row").filter(has_text=re.compile(rf"^{int(part * 10)}\d{{4}}"))
        expect(row.filter(has_text="delta")).not_to_have_count(0)
    assert events.locator(".snb-sizer .snb-row").count() < 60
    assert max(page.evaluate("() => window.slow"), default=0) < 300
    panel.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")


# -- afterwards -------------------------------------------------------------------------------------------------------


def shows_it_all(place) -> None:
    """Answer, source and timing picture of a run that has ended, without anything that acts."""
    expect(place.locator("h4")).to_contain_text("complete")
    expect(place).to_contain_text("Each grain it[1] drops there bends it a little more.")
    expect(place.locator("pre code")).not_to_have_count(0)
    source = place.get_by_role("link", name="Handbook of Slow Rivers")
    expect(source).to_have_attribute("href", re.compile("^https://library"))
    picture = place.get_by_role("img", name="Timing of the reads")
    expect(picture).to_be_visible()
    assert picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 100
    assert place.locator(".snb-panel, script").count() == 0


def test_the_saved_notebook_shows_answer_sources_and_timing_without_a_kernel_and_as_html(notebook, lab, tmp_path, shot):
    run = "%%chatstream oliver --sim --no-record --pace tokens=60 --pace gap=0.005\nWhy?"
    page = notebook("%load_ext streamnb", run)
    run_cell(page, 0, 1)
    expect(cell(page, 1).locator("h4")).to_contain_text("complete")
    command(page, "docmanager:save")
    saved = nbformat.read(next(lab.root.glob("test_the_saved_notebook*.ipynb")), as_version=4)
    assert "widgets" not in saved.metadata
    assert "widget-view" not in json.dumps(saved)
    html, _ = HTMLExporter().from_notebook_node(saved)
    (tmp_path / "saved.html").write_text(html)
    elsewhere = dict.fromkeys(("name", "display_name", "language"), "elsewhere")  # another hash, too: not trusted
    saved.metadata = nbformat.from_dict({"kernelspec": elsewhere})
    nbformat.write(saved, lab.root / "reopened.ipynb")
    page.evaluate("() => { window.jupyterapp.commands.execute('docmanager:open', { path: 'reopened.ipynb' }); }")
    page.locator(".jp-Dialog select").select_option("null")
    page.get_by_role("button", name="Select Kernel").click()
    reopened = page.locator(".jp-NotebookPanel:visible .jp-Cell").nth(1)
    shows_it_all(reopened)
    for width in (400, 1400):
        page.set_viewport_size({"width": width, "height": 1400})
        shot(reopened, f"reopened-{width}")
    exported = page.context.browser.new_page()
    exported.goto((tmp_path / "saved.html").as_uri())
    shows_it_all(exported.locator(".jp-Cell").nth(1))
    shot(exported.locator(".jp-Cell").nth(1), "exported")
    exported.close()
