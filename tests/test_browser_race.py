from __future__ import annotations

import json
import re

import pytest
from lab_page import NEEDS_BROWSER, cell, looks, outputs, run_cells
from page_checks import contrast, faults, spilled, tab_stops

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

RACE = "%%chatstream demo:a demo:b oliver --sim -o raced --no-record --pace gap=0.03"
OUTCOMES = "list(raced.table['outcome'])"
TOGETHER = """(race) => {
  const columns = [...race.querySelectorAll(".snb-column")];
  const streams = (one) => one.querySelector(".snb-doc").textContent && one.querySelector("[data-phase=answering]");
  return columns.length === 3 && columns.every(streams);
}"""


def together(race):
    """Wait until text stands in all three columns while none of them has ended."""
    expect(race.locator(".snb-column")).to_have_count(3)
    race.page.wait_for_function(TOGETHER, arg=race.element_handle())


def test_columns_fill_in_parallel_somebody_leads_and_a_bundle_with_table_and_pictures_stays(notebook, shot):
    page = notebook("%load_ext streamnb", f"{RACE} --repeat 2 --pace tokens=60\nWhy?", OUTCOMES)
    run_cells(page)
    race = cell(page, 1).locator(".snb-panel")
    together(race)
    expect(race.locator(".snb-leader .snb-who .snb-names").first).to_have_text(re.compile("demo:a|demo:b|oliver"))
    expect(race.locator(".snb-leader .snb-name").first).to_have_text(re.compile("TTFT\n(round 1|medians of 2 rounds)"))
    expect(race.locator(".snb-strip .snb-lettertext")).to_have_text(["A", "B", "C"])
    for lane in range(3):
        expect(race.locator(".snb-lanerow .snb-istext").nth(lane)).to_have_attribute("d", re.compile("M.*M.*M"))
    expect(race.locator(".snb-round")).to_have_text("Round 2 of 2")
    expect(cell(page, 1).locator("h4").first).to_contain_text("race · 3 targets · 2 rounds")
    expect(race).to_have_count(0)
    bundle = cell(page, 1).locator(".jp-OutputArea-output")
    expect(bundle.locator("table").first).to_contain_text("2 of 2 ok")
    pictures = bundle.locator("img[src^='data:image/svg+xml']")
    widths = pictures.evaluate_all("(all) => Promise.all(all.map((one) => one.decode().then(() => one.naturalWidth)))")
    assert len(widths) == 4, "one of all runs, one of each of the three"
    assert all(widths)
    page.set_viewport_size({"width": 1400, "height": 1800})
    shot(bundle, "race-bundle")
    page.set_viewport_size({"width": 400, "height": 1800})
    spills = "(all) => all.map((one) => one.scrollWidth - one.clientWidth)"
    assert set(bundle.locator(".snb-picture, .snb-static div:has(> table)").evaluate_all(spills)) == {0}
    (output,) = outputs(page, 1)
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "widget-view" not in json.dumps(output)
    expect(cell(page, 2).locator(".jp-OutputArea-output")).to_have_text(str(["complete"] * 6))


def test_one_lane_stops_alone_and_all_of_them_together_in_any_look_and_with_keys_only(notebook, shot):
    page = notebook("%load_ext streamnb", f"{RACE} --pace tokens=20000\nWhy?", OUTCOMES)
    run_cells(page)
    race = page.locator(".snb-panel")
    together(race)
    columns, words = race.locator(".snb-column"), race.locator(".snb-word")
    columns.nth(1).locator(".snb-stop").click()
    expect(words.nth(1)).to_have_text("stopped")
    expect(columns.nth(1).locator(".snb-stop")).to_be_hidden()
    n_chars = [len(columns.nth(lane).locator(".snb-doc").text_content()) for lane in range(3)]
    page.wait_for_function(
        "(before) => [0, 2].every((i) => document.querySelectorAll('.snb-doc')[i].textContent.length > before[i] + 20)",
        arg=n_chars,
    )
    assert words.all_inner_texts() == ["answering", "stopped", "answering"]
    assert len(columns.nth(1).locator(".snb-doc").text_content()) == n_chars[1]
    for theme, width in looks(page):
        shot(race, f"race-{theme}-{width}")
        assert spilled(race) == []
        assert contrast(page, ".snb-column .snb-answer") > 7
        assert contrast(page, ".snb-ahead") > 4
    assert faults(race) == []
    stops = tab_stops(page, race)  # also while text comes in: nobody takes the focus away
    assert stops[:2] == ["Stop all", "reads"]
    assert stops.count("Stop") == 2
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Escape")
    expect(race).to_have_count(0)
    expect(cell(page, 1).locator("table").first).to_contain_text("stopped")
    expect(cell(page, 2).locator(".jp-OutputArea-output")).to_have_text(str(["stopped"] * 3))
