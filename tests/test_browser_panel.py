from __future__ import annotations

import os
import re
import signal

import ipykernel
import pytest
from lab_page import NEEDS_BROWSER, cell, looks, outputs, reload, run_cell, run_cells, seconds
from page_checks import contrast, spilled
from synthetic_stream import PROSE

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")
expect = sync_api.expect

pytestmark = NEEDS_BROWSER

IPYKERNEL = ipykernel.version_info[:2]
HEARS_CLICKS = pytest.mark.skipif(IPYKERNEL < (7, 1), reason="ipykernel < 7.1 hears no click while a cell runs")
NEEDS_LAST_RESORT = pytest.mark.skipif(
    (7, 1) <= IPYKERNEL < (7, 4), reason="ipykernel 7.1-7.3 hears clicks on a subshell"
)

IMPORTS = "from synthetic_stream import *\n"
LONG = IMPORTS + "_ = run(words(2000, 0.05))"
DROP = (
    "from streamnb.display import widget\nsend = widget.Panel.send\n"
    "widget.Panel.send = lambda self, message: None if message.get('n') in (8, 9) else send(self, message)\n"
)
WITHOUT_HOOK = "from streamnb.display import widget\nwidget.can_hear = lambda: False\n"


def test_tokens_arrive_though_messages_get_lost_the_clock_ticks_in_silence_and_the_bundle_stays(notebook):
    steps = "[*words(40, 0.05, 'reasoning'), *words(20, 0.05), Step(3, (Event('delta', 'last words'),))]"
    page = notebook(DROP + IMPORTS + f"_ = run({steps})")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    run_cells(page)
    chip = page.locator(".snb-word")
    expect(page.locator(".snb-reasoning")).to_have_attribute("open", "")
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander because")
    expect(page.locator(".snb-answer")).to_contain_text(PROSE[:90])
    expect(page.locator(".snb-reasoning")).not_to_have_attribute("open", "")
    expect(page.locator(".snb-ttft")).to_contain_text(re.compile(r"\d m?s"))
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


@HEARS_CLICKS
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
    for _ in range(3):  # back over Copy and the tabs
        page.keyboard.press("Shift+Tab")
    stop = panels[2].locator(".snb-stop")
    expect(stop).to_be_focused()
    assert stop.evaluate("(button) => getComputedStyle(button).outlineWidth") == "2px"
    page.keyboard.press("Enter")
    expect(cell(page, 2).locator("h4")).to_contain_text("stopped")
    expect(cell(page, 3).locator(".jp-OutputArea-output")).to_contain_text("next cell")
    assert [len(outputs(page, index)) for index in range(4)] == [1] * 4, "no stderr, no second output"


@NEEDS_LAST_RESORT
def test_without_the_hook_the_page_interrupts_the_kernel_itself(notebook):
    page = notebook(WITHOUT_HOOK + LONG, "print('never')")
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    page.locator(".snb-stop").click()
    expect(cell(page, 0).locator("h4")).to_contain_text("interrupted")
    expect(cell(page, 0)).to_contain_text("KeyboardInterrupt")
    assert outputs(page, 1) == []


def test_a_run_in_the_background_goes_on_while_other_cells_run_and_the_page_is_opened_anew(notebook):
    page = notebook(
        "%load_ext streamnb",
        *(f"%%chatstream demo -o {name} --background --no-record --pace tokens=9000\nWhy?" for name in ("one", "two")),
        "'other', 'cell'",
        "one.wait().outcome.value",
        "two.wait().outcome.value, len(two.run.text)",
    )
    run_cell(page, 0, 1, 2, 3)
    first, second = (cell(page, index).locator(".snb-panel") for index in (1, 2))
    for index, panel in enumerate((first, second), 1):
        expect(cell(page, index).locator(".jp-InputPrompt")).to_have_text(f"[{index + 1}]:")
        expect(panel.locator(".snb-word")).to_have_text("answering")
    expect(cell(page, 3).locator(".jp-OutputArea-output")).to_have_text("('other', 'cell')")
    first.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")
    run_cell(page, 4)
    expect(cell(page, 4).locator(".jp-OutputArea-output")).to_have_text("'stopped'")
    so_far = second.locator(".snb-answer h2, .snb-answer h3").first.inner_text()
    n_so_far = len(second.locator(".snb-answer").text_content())
    reload(page)
    expect(second.locator(".snb-answer")).to_contain_text(so_far)
    page.wait_for_function("(n) => document.querySelector('.snb-answer').textContent.length > n + 20", arg=n_so_far)
    expect(second.locator(".snb-word")).to_have_text("answering")
    assert seconds(page) > 1
    second.locator(".snb-stop").click()
    expect(second.locator(".snb-word")).to_have_text("stopped")
    expect(second.locator(".snb-stop")).to_be_hidden()
    run_cell(page, 5)
    expect(cell(page, 5).locator(".jp-OutputArea-output")).to_contain_text("stopped")
    n_chars = int(re.search(r"\d+", cell(page, 5).locator(".jp-OutputArea-output").inner_text())[0])
    second.get_by_role("tab", name="Timing").click()
    expect(second.locator(".snb-number", has_text="characters").locator("dd")).to_have_text(f"{n_chars:,}")


def test_a_page_reloaded_while_the_cell_runs_has_the_whole_text_when_it_ends(notebook):
    page = notebook(IMPORTS + "_ = run(words(70, 0.05))")
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    reload(page)
    expect(page.locator(".snb-word")).to_have_text("complete", timeout=20_000)
    assert len(page.locator(".snb-answer").text_content().split()) == 70


def test_the_focus_stays_on_a_button_beside_code_that_grows(notebook):
    page = notebook(IMPORTS + "_ = run([Step(0.1, (Event('delta', '```python\\n'),)), *words(2000, 0.02)])")
    run_cells(page)
    copy = page.locator(".snb-copy")
    copy.focus()
    before = page.locator(".snb-codebox pre").text_content()
    grown = "(n) => document.querySelector('.snb-codebox pre').textContent.length > n + 40"
    page.wait_for_function(grown, arg=len(before))
    expect(copy).to_be_focused()
    page.keyboard.press("Enter")
    expect(copy).to_have_attribute("data-said", "copied")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith(before)
    assert len(copied) > len(before) + 40
    page.keyboard.press("Escape")
    expect(page.locator("h4")).to_contain_text(re.compile("stopped|interrupted"))


@pytest.mark.slow  # test_browser_safety.py shows more than this
def test_model_text_is_text_wherever_it_is_shown(notebook):
    evil = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>[x](javascript:hit)</pre></script>\\u202e"
    event = f"Event(kind, {evil!r}.replace('\\\\u202e', chr(0x202E)))"
    page = notebook(
        IMPORTS + f"kinds = ('reasoning', 'message', 'delta', 'error')\n"
        f"_ = run([Step(0.1, tuple({event} for kind in kinds)), *words(40, 0.05)])"
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
    acting = ":is(img:not([src^='data:image/svg+xml;base64']), script, a)"  # the picture of the timing is ours
    assert page.locator(f".jp-OutputArea-output {acting}").count() == 0


def test_it_fits_narrow_and_wide_light_and_dark(notebook, shot):
    page = notebook(
        IMPORTS
        + "header = Header('openai_chat', 'a-model-with-a-long-name-2026', 'demo', 'api.example.com', 'r', 'a note')\n"
        "_ = run([*words(20, 0.01, 'reasoning'), *words(2000, 0.02)], header=header)"
    )
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    panel = page.locator(".snb-panel")
    for theme, width in looks(page):
        shot(panel, f"panel-{theme}-{width}")
        assert spilled(panel) == []
        assert panel.locator(".snb-stop").bounding_box()["width"] > 40
        assert contrast(page, ".snb-answer") > 7
        assert contrast(page, ".snb-host") > 4
    page.locator(".snb-stop").click()
    expect(page.locator("h4")).to_contain_text(re.compile("stopped|interrupted"))


@pytest.mark.slow
def test_twenty_thousand_tokens_leave_the_page_responsive_and_lose_no_character(notebook):
    page = notebook(IMPORTS + "_ = run([*words(20_000, 0.0001), Step(20, ())])")
    page.evaluate(
        "() => { window.slow = []; new PerformanceObserver((list) => window.slow.push("
        "...list.getEntries().map((e) => e.duration))).observe({type: 'longtask'}); }"
    )
    run_cells(page)
    expect(page.locator(".snb-word")).to_contain_text("stalled", timeout=60_000)
    assert len(page.locator(".snb-answer").text_content().split()) == 20_000
    assert max(page.evaluate("() => window.slow"), default=0) < 300
    page.locator(".snb-stop").click()
    expect(page.locator("h4")).to_contain_text("stopped")


@pytest.mark.slow
def test_a_kernel_that_says_nothing_for_15_s_is_called_lost(notebook):
    page = notebook("import os\nprint(os.getpid())", IMPORTS + "_ = run(words(2000, 0.05))")
    run_cells(page)
    expect(page.locator(".snb-answer")).to_contain_text("Rivers meander")
    pid = int(cell(page, 0).locator(".jp-OutputArea-output").inner_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.locator(".snb-word")).to_have_text("no contact", timeout=25_000)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator(".snb-word")).to_have_text("answering", timeout=10_000)
    page.locator(".snb-stop").click()
    expect(cell(page, 1).locator("h4")).to_contain_text("stopped")
