from __future__ import annotations
import pytest
from lab_page import *
from lab_page import NEEDS_BROWSER
sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect
pytestmark = NEEDS_BROWSER
def test_explore(notebook, shot):
    import time
    t=time.time()
    page = notebook("%load_ext streamnb", "%%chatstream demo:a demo:b oliver --sim --repeat 2 -o raced --pace gap=0.03 --pace tokens=60\nWhy?",
    "%%chatstream demo:a demo:b oliver --sim -o raced --pace gap=0.03 --pace tokens=1000\nWhy?",
       )
    print("open", time.time()-t)
    run_cells(page)
    print("panel", time.time()-t)
    page.set_viewport_size({"width":1400,"height":1000})
    p = cell(page,1).locator(".snb-panel")
    expect(p.locator(".snb-answer").nth(2)).to_contain_text("e")
    shot(p, "r1")
    expect(p.locator(".snb-round")).to_have_text("Round 2 of 2")
    print("round2", time.time()-t)
    expect(p.locator(".snb-answer").nth(2)).to_contain_text("e")
    shot(p, "r2")
    p = cell(page,2).locator(".snb-panel")
    expect(p.locator(".snb-answer").nth(2)).to_contain_text("e", timeout=20000)
    print("second", time.time()-t)
    p.locator(".snb-column .snb-stop").nth(1).click()
    expect(p.locator(".snb-word").nth(1)).to_contain_text("stopped")
    for theme in THEMES:
        command(page, "apputils:change-theme", theme=theme)
        for width in (400, 1400):
            page.set_viewport_size({"width": width, "height": 1600})
            page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
            shot(p, f"r-{theme.split()[-1]}-{width}")
    p.locator(".snb-racebar .snb-stop").click()
    expect(cell(page,2).locator(".snb-panel")).to_have_count(0)
    for width in (400, 1400):
        page.set_viewport_size({"width": width, "height": 1600})
        shot(cell(page,1).locator(".jp-OutputArea"), f"r-end-{width}")
