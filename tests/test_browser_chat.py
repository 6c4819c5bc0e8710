from __future__ import annotations
import pytest
from lab_page import *
from lab_page import NEEDS_BROWSER
sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect
pytestmark = NEEDS_BROWSER
MAKE = """
from streamnb import ChatPanel
PACE = {"tokens": 400, "ttft": 0.2, "gap": 0.02}
"""
def test_explore(notebook, shot):
    import time
    t=time.time()
    page = notebook(MAKE, 'vf = ChatPanel("voiceflow", project="choices", sim=True, pace=PACE)\nvf', 'tb = ChatPanel("typebot", typebot="choice", sim=True, pace=PACE)\ntb', 'vf.runs.table')
    print("open", time.time()-t)
    run_cells(page)
    print("panel", time.time()-t)
    page.set_viewport_size({"width":1400,"height":1400})
    vf = cell(page,1).locator(".snb-panel")
    tb = cell(page,2).locator(".snb-panel")
    expect(tb).to_be_visible()
    print("both", time.time()-t)
    vf.locator(".snb-compose textarea").fill("Hello")
    page.keyboard.press("Enter")
    expect(vf.locator(".snb-choice")).to_have_count(3)
    print("answered", time.time()-t)
    tb.locator(".snb-go").click()
    expect(tb.locator(".snb-answer")).to_contain_text("Ask me")
    print("answered", time.time()-t)
    shot(page.locator(".jp-Notebook"),"c1")
    vf.locator(".snb-choice").nth(1).click()
    tb.locator(".snb-compose textarea").fill("Why?")
    page.keyboard.press("Enter")
    expect(tb.locator(".snb-answer").nth(1)).not_to_be_empty()
    shot(page.locator(".jp-Notebook"),"c2")
    vf.locator(".snb-go").click()
    expect(vf.locator(".snb-word").last).to_have_text("stopped")
    shot(page.locator(".jp-Notebook"),"c3")
    for theme in THEMES:
        command(page, "apputils:change-theme", theme=theme)
        for width in (400, 1400):
            page.set_viewport_size({"width": width, "height": 1600})
            page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
            shot(page.locator(".jp-Notebook"), f"c-{theme.split()[-1]}-{width}")
