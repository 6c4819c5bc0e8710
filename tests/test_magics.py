"""The whole way in a real kernel: magic, panel, tables, errors, interrupt, stop, sudden death."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import nbclient
import nbformat
import pytest
from kernels import HANG_S, Cell, Kernel, kernel

import streamnb
from streamnb import magics, shelf
from streamnb.display import TABS

FAST = "--pace ttft=0.01 --pace gap=0.001"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with kernel(tmp_path_factory.mktemp("recordings")) as running:
        assert running.run("%load_ext streamnb\nimport streamnb").ok
        yield running


def mimetypes(cell: Cell, kind: str) -> list[set[str]]:
    return [set(content["data"]) for content in cell.contents(kind)]


def boards(messages: list[dict]) -> list[dict]:
    """The whole boards that a page is opened with."""
    opened = [message["content"]["data"].get("state", {}) for message in messages if message["msg_type"] == "comm_open"]
    return [state["board"] for state in opened if "board" in state]


def custom(messages: list[dict]) -> list[dict]:
    """What a page is told, in order."""
    told = [message["content"]["data"].get("content") for message in messages if message["msg_type"] == "comm_msg"]
    return [content for content in told if content]


def moving(messages: list[dict]) -> set[int]:
    """Lanes that text has reached on the page."""
    parts = [part for content in custom(messages) if content["k"] == "delta" for part in content["lanes"]]
    return {part["i"] for part in parts if part["st"]["chars"]}


def shown_text(messages: list[dict]) -> str:
    """The answer as it came, on the page of a panel that shows no Markdown."""
    blocks: dict[float, str] = {}
    parts = [part for content in custom(messages) if content["k"] == "delta" for part in content["lanes"]]
    for kind, *rest in (op for part in parts for op in part.get("ops", [])):
        if kind == "set":
            blocks[rest[0]["p"]] = rest[0]["t"]
        elif kind == "text":
            blocks[rest[0]] += rest[1]
    return "".join(text for _, text in sorted(blocks.items()))


def test_a_headless_cell_displays_one_static_bundle_and_keeps_the_run(lab: Kernel) -> None:
    cell = lab.run(f"%%chatstream demo -o answer {FAST}\nWhy do rivers meander?")
    assert cell.ok, cell.errors
    assert mimetypes(cell, "display_data") == [{"text/html", "text/plain"}]
    assert cell.contents("update_display_data", "comm_open") == []
    assert lab.value("answer.outcome.value, answer.text == '' , len(answer.events) > 60") == "('complete', False, True)"


def test_a_cell_with_a_front_end_shows_a_panel_that_becomes_static(lab: Kernel) -> None:
    cell = lab.run(f"%%chatstream demo -o answer {FAST}\nWhy?", headless=False)
    assert cell.ok, cell.errors
    assert mimetypes(cell, "display_data") == [{"application/vnd.jupyter.widget-view+json"}]
    assert mimetypes(cell, "update_display_data")[-1] == {"text/html", "text/plain"}
    bundle = cell.contents("update_display_data")[-1]["data"]["text/plain"]
    assert lab.value("answer.text in " + repr(bundle)) == "True"


def test_typebot_streams_through_the_magic_on_the_simulator(lab: Kernel) -> None:
    cell = lab.run(f"%%chatstream typebot --sim -o bot --typebot two-streams {FAST} --pace tokens=5\nWhere is it?")
    assert cell.ok, cell.errors
    expected = ["startChat", "continueChat", "streamMessage", "continueChat", "streamMessage", "continueChat"]
    assert lab.value("list(bot.calls['name'])") == str(expected)
    assert lab.value("len(bot.messages) > 0 and bot.outcome.value") == "complete"


def test_stamps_are_never_before_the_send_times_of_the_simulator(lab: Kernel) -> None:
    assert lab.run(f"%%chatstream demo -o late {FAST} --pace tokens=200\nHi").ok
    lateness = "(late.chunks['t_ns'] - late.chunks['server_t_ns']).dropna()"
    assert lab.value(f"len({lateness}) >= 20 and bool(({lateness} >= 0).all())") == "True"


@pytest.mark.parametrize(
    "prompt",
    [
        "{} {x} {{y}}",
        "$x $HOME",
        "don't;",
        "quotes ' \" ''' \"\"\"",
        "\\n \\u0041 \\",
        "  two\n\n lines \n",
        "%time ?x",
        "é🌊",
    ],
)
def test_the_prompt_goes_out_byte_exact(lab: Kernel, prompt: str) -> None:
    assert lab.run("x = 'interpolated'").ok
    cell = lab.run(f"%%chatstream demo -o answer {FAST} --pace tokens=1\n{prompt}")
    assert cell.ok, cell.errors
    assert lab.value("__import__('json').dumps(answer.prompt.text)") == json.dumps(prompt.removesuffix("\n"))
    sent = Path(lab.value("answer.path")).read_bytes()
    call = next(line for line in map(json.loads, sent.splitlines()) if line["t"] == "call")
    assert call["body"]["messages"][0]["content"] == prompt.removesuffix("\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("demmo", "Did you mean demo?"),
        ("", "name a target first"),
        ("openai_chat --modle x", "Did you mean --model"),
        ("openai_chat --model x --auth bearrer", "Did you mean bearer?"),
        ("demo --display sideways", "sideways"),
        ("demo --timeout soon", "seconds above 0"),
        ("demo 'unclosed", "close every quote"),
        ("demo -o not-a-name", "variable name"),
        ("openai_chat", "needs a model"),
        ("openai_chat --model x", "--sim"),
        ("openai_chat --model x --base-url ftp://example.org", "not an http(s) address"),
        ("typebot", "--typebot PUBLIC_ID"),
        ("openai_chat --model x --scenario stall", "add --sim"),
        ("demo --scenario stal", "Did you mean stall?"),
        ("demo Why do rivers", "the prompt goes below the line"),
        ("demo oliver --sim --press Yes", "a button belongs to one run"),
        ("demo --repeat 2 --background", "a race keeps its cell"),
        ("demo oliver", "OLIVER_API_KEY"),
        ("demo --seed 3", "--seed shuffles"),
    ],
)
def test_misuse_is_one_line_that_fails_the_cell(lab: Kernel, line: str, words: str) -> None:
    before = lab.value("len(streamnb.runs())") if "scenario stal" not in line else None
    cell = lab.run(f"%%chatstream {line}\nHi")
    assert not cell.ok
    (error,) = cell.errors
    assert words in error
    assert "\n" not in error
    assert "Traceback" not in error
    if before is not None:
        assert lab.value("len(streamnb.runs())") == before


def test_a_key_on_the_line_is_refused_and_not_repeated(lab: Kernel) -> None:
    key = "sk-proj-" + "a1B2c3D4" * 5
    cell = lab.run(f"%%chatstream demo --param api_key={key}\nHi")
    assert not cell.ok
    assert key not in json.dumps(cell.messages, default=str).replace(f"--param api_key={key}", "")


def test_help_and_line_commands_answer(lab: Kernel) -> None:
    page = lab.run("%chatstream?")
    assert "--timeout-idle" in json.dumps(page.reply["payload"])
    assert "openai_chat" in json.dumps(lab.run("%chatstream providers").contents("execute_result"))
    assert lab.run(f"%%chatstream demo {FAST} --pace tokens=1\nHi").ok
    assert "openai_chat" in json.dumps(lab.run("%chatstream runs").contents("execute_result"))
    assert "complete" in json.dumps(lab.run("%chatstream last").contents("execute_result"))


def test_unloading_takes_back_what_loading_added(lab: Kernel) -> None:
    count = "len([c for c in get_ipython().configurables if type(c).__name__ == 'ChatStream'])"
    assert lab.run("%reload_ext streamnb\n%reload_ext streamnb").ok
    assert lab.value(count) == "1"
    assert lab.run("%unload_ext streamnb").ok
    assert lab.value(count) == "0"
    assert not lab.run("%%chatstream demo\nHi").ok
    assert lab.run("%load_ext streamnb").ok


def test_an_error_that_a_panel_has_said_is_not_said_again_below_it(lab: Kernel) -> None:
    for line, words in (
        ("demo --scenario http-429", "http error; the error is said above."),
        ("demo demo:b --scenario http-429", "every run of the race failed; the errors are said above."),
    ):
        cell = lab.run(f"%%chatstream {line} {FAST}\nHi", headless=False)
        assert cell.errors == [f"chatstream: {words}"]
        assert "answered 429" in cell.reply["evalue"]  # who catches it has the message
        saved = cell.contents("update_display_data")[-1]["data"]
        assert all("answered 429" in saved[form] for form in ("text/html", "text/plain"))
    cell = lab.run(f"%%chatstream demo --scenario http-429 --display static {FAST}\nHi", headless=False)
    assert "answered 429" in cell.errors[0]


def test_an_api_error_is_one_line_and_fails_nbclient(tmp_path: Path) -> None:
    cells = ["%load_ext streamnb", f"%%chatstream demo --scenario http-429 --no-record {FAST}\nHi"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="answered 429"):
        nbclient.NotebookClient(notebook, timeout=HANG_S, kernel_name="python3").execute()
    (error,) = [output for output in notebook.cells[1].outputs if output.output_type == "error"]
    assert len(error["traceback"]) == 1


def test_an_interrupt_keeps_what_arrived_and_stops_the_cells_behind(lab: Kernel) -> None:
    simulator = lab.value("__import__('streamnb.companions').companions.simulator_url()")
    parent = lab.send("%%chatstream demo -o cut --scenario ping --pace ttft=0.01\nHi", headless=False)
    behind = lab.send("never = 'ran'")
    lab.collect(parent, until=moving)
    lab.manager.interrupt_kernel()
    messages = lab.collect(parent)
    cell = Cell(lab.reply(parent), messages)
    assert not cell.ok
    assert cell.reply["ename"] == "ChatStreamInterrupt"
    (error,) = cell.errors
    assert "\n" not in error
    assert lab.reply(behind)["status"] == "aborted"
    lab.collect(behind)
    assert lab.value("cut.outcome.value, cut.text != '', 'never' in globals()") == "('interrupted', True, False)"
    again = lab.run(f"%%chatstream demo -o again {FAST}\nHi")
    assert again.ok, again.errors
    assert lab.value("__import__('streamnb.companions').companions.simulator_url()") == simulator


def test_stop_in_the_panel_ends_the_busy_cell_normally(lab: Kernel) -> None:
    parent = lab.send("%%chatstream demo -o stopped --scenario ping --pace ttft=0.01\nHi", headless=False)
    messages = lab.collect(parent, until=moving)
    comm = next(message["content"]["comm_id"] for message in messages if message["msg_type"] == "comm_open")
    for opened in (message["content"] for message in messages if message["msg_type"] == "comm_open"):
        if "_esm" in json.dumps(opened["data"].get("state", {})) or "_anywidget_id" in opened["data"].get("state", {}):
            comm = opened["comm_id"]
    data = {"method": "custom", "content": {"k": "stop"}}
    lab.client.shell_channel.send(lab.client.session.msg("comm_msg", {"comm_id": comm, "data": data}))
    lab.collect(parent)
    assert lab.reply(parent)["status"] == "ok"
    assert lab.value("stopped.outcome.value, stopped.text != ''") == "('stopped', True)"


def test_heavy_modules_stay_unloaded_until_a_run(tmp_path: Path) -> None:
    with kernel(tmp_path) as fresh:
        loaded = "[m for m in ('pandas', 'httpx', 'starlette') if m in __import__('sys').modules]"
        assert fresh.run("%load_ext streamnb\nimport streamnb").ok
        assert fresh.value(loaded) == "[]"
        # ipykernel itself imports no ipywidgets; neither do we before a panel is needed
        assert (
            fresh.value("'ipywidgets' in __import__('sys').modules or 'anywidget' in __import__('sys').modules")
            == "False"
        )


def test_a_key_is_in_no_output_of_a_notebook(tmp_path: Path) -> None:
    key = "sk-test-" + "Zq9" * 8
    with kernel(tmp_path, OPENAI_API_KEY=key) as fresh:
        assert fresh.run("%load_ext streamnb\nfrom streamnb import companions").ok
        assert fresh.run("base = companions.simulator_url() + '/~scenario=echo-auth,ttft=0,gap=0/v1'").ok
        line = "%%chatstream openai_chat -o answer --model m --base-url {base}\nHi"
        base = fresh.value("base")
        for headless in (True, False):
            cell = fresh.run(line.replace("{base}", base), headless=headless)
            assert cell.ok, cell.errors
            assert key not in json.dumps(cell.messages, default=str)
        assert "***" in fresh.value("answer.text")
        everything = fresh.run("print(answer.raw, answer.calls.to_json(), answer.frames.to_json(), repr(answer))")
        assert key not in json.dumps(everything.messages, default=str)
    assert all(key.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def crash(recordings: Path, seed: int) -> tuple[str, str]:
    """Kill a kernel at a random moment of a run; return what is on disk and what was on screen."""
    rng = random.Random(seed)
    with kernel(recordings) as victim:
        assert victim.run("%load_ext streamnb\n%config ChatStream.markdown = False").ok
        before = set(recordings.rglob("*.jsonl"))
        parent = victim.send("%%chatstream demo --pace ttft=0.05 --pace gap=0.01 --pace tokens=400\nHi", headless=False)
        seen = victim.collect(parent, until=lambda messages: shown_text(messages) != "")
        moment = time.monotonic() + rng.uniform(0.0, 1.5)
        seen += victim.collect(parent, until=lambda _: time.monotonic() > moment)
        seen += victim.kill()
    (path,) = set(recordings.rglob("*.jsonl")) - before
    run = streamnb.open(path)
    assert run.outcome == "crashed"
    assert [one.outcome for one in shelf.listing(recordings) if one.path == path] == ["crashed"]
    assert shown_text(seen) != ""
    return run.text, shown_text(seen)


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_kernel_loses_nothing_it_has_shown(tmp_path: Path, seed: int) -> None:
    kept, shown = crash(tmp_path, seed)
    assert kept.startswith(shown)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 20))
def test_a_killed_kernel_loses_nothing_it_has_shown_at_more_moments(tmp_path: Path, seed: int) -> None:
    kept, shown = crash(tmp_path, seed)
    assert kept.startswith(shown)


@pytest.mark.local_model
def test_a_real_model_streams_into_a_cell(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("llama_cpp", reason="needs the extra `local`")
    with kernel(tmp_path) as fresh:
        assert fresh.run("%load_ext streamnb").ok
        cell = fresh.run("%%chatstream local -o answer --param max_tokens=24\nName three rivers.")
        assert cell.ok, cell.errors
        assert fresh.value("answer.ok, len(answer.text) > 0") == "(True, True)"
        assert float(fresh.value("answer.summary['ttft_s'].item()")) > 0
        request.node.user_properties.append(("summary", fresh.value("answer.summary.T.to_string()")))


def test_a_recording_is_replayed_in_the_panel_from_a_variable_or_a_file(lab: Kernel) -> None:
    assert lab.run(f"%%chatstream demo -o first {FAST} --pace tokens=20\nHi").ok
    cell = lab.run("%%chatstream replay first --speed 2 -o again\n\n", headless=False)
    assert cell.ok, cell.errors
    assert mimetypes(cell, "display_data") == [{"application/vnd.jupyter.widget-view+json"}]
    shown = cell.contents("update_display_data")[-1]["data"]
    assert "a replay: nothing was sent; 2 times the recorded pace" in shown["text/html"]
    assert lab.value("again.text == first.text and again is not first") == "True"
    path = lab.value("first.path")
    assert lab.run(f"%chatstream replay {path} --speed max -o third").ok
    assert lab.value("third.events.equals(first.events)") == "True"
    assert lab.value("len(streamnb.runs()) == len(streamnb.runs()['run_id'].unique())") == "True"


def test_a_replay_of_a_failed_run_shows_it_and_does_not_fail(lab: Kernel) -> None:
    failed = lab.run(f"%%chatstream demo -o cut {FAST} --scenario truncate\nHi")
    assert not failed.ok
    assert lab.run("%chatstream replay cut --speed max -o again").ok
    assert lab.value("again.outcome == cut.outcome, again.error == cut.error") == "(True, True)"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%chatstream replay", "required: FILE"),
        ("%chatstream replay nothing.jsonl", "nothing.jsonl: No such file"),
        ("%chatstream replay first --speed 0", "a number above 0 or max is wanted"),
        ("%chatstream replay first --spede 2", "Did you mean --speed?"),
        ("%%chatstream replay first\nWhy?", "a replay takes no prompt"),
    ],
)
def test_a_replay_that_cannot_be_is_one_line(lab: Kernel, line: str, words: str) -> None:
    cell = lab.run(line)
    assert not cell.ok
    (error,) = cell.errors
    assert words in error
    assert "\n" not in error


def test_a_race_shows_one_bundle_and_its_runs_are_in_the_variable(lab: Kernel) -> None:
    before = int(lab.value("len(streamnb.runs())"))
    line = f"demo:small demo oliver --sim --repeat 2 --seed 3 -o raced --private {FAST} --pace tokens=12"
    cell = lab.run(f"%%chatstream {line}\nHi")
    assert cell.ok, cell.errors
    assert mimetypes(cell, "display_data") == [{"text/html", "text/plain"}]
    assert cell.contents("update_display_data", "comm_open") == []
    lines = cell.contents("display_data")[0]["data"]["text/plain"].splitlines()
    assert [one.split()[0] for one in lines[:4]] == ["target", "demo:small", "demo", "oliver"]
    assert all("2 of 2 ok" in one for one in lines[1:4])
    assert lab.value("type(raced).__name__, len(raced), len(raced.ok)") == "('Runs', 6, 6)"
    assert lab.value("raced.table['repeat'].tolist()") == "[0, 0, 0, 1, 1, 1]"
    assert lab.value("raced.table['cell_id'].nunique()") == "1"
    assert lab.value("raced.compare(metrics=['ttft_s'])['n'].tolist()") == "[2, 2, 2]"
    listed = json.dumps(lab.run("%chatstream runs").contents("execute_result"))
    assert int(lab.value("len(streamnb.runs())")) == before + 6
    assert lab.value("raced[-1].run_id") in listed


def test_a_race_before_a_page_is_one_board_whose_lanes_fill_together(lab: Kernel) -> None:
    cell = lab.run(
        "%%chatstream demo demo --pace ttft=0.05 --pace gap=0.02 --pace tokens=30 -o two\nHi", headless=False
    )
    assert cell.ok, cell.errors
    assert mimetypes(cell, "display_data") == [{"application/vnd.jupyter.widget-view+json"}]
    assert [board["layout"] for board in boards(cell.messages)] == ["race"]
    told = custom(cell.messages)
    assert [content["n"] for content in told] == list(range(1, len(told) + 1))
    both = [content for content in told if content["k"] == "delta" and len(content["lanes"]) == 2]
    assert len(both) > 3
    leaders = [content["race"]["leaders"][0] for content in told if "race" in content]
    assert leaders[-1]["lane"] in moving(cell.messages)
    assert [content["k"] for content in told].count("end") == 2
    assert mimetypes(cell, "update_display_data") == [{"text/html", "text/plain"}]
    assert lab.value("[run.outcome.value for run in two]") == "['complete', 'complete']"


def test_stop_on_one_lane_ends_one_run_and_stop_for_all_ends_the_cell_normally(lab: Kernel) -> None:
    line = "demo:a demo:b demo:c --repeat 2 -o held --scenario ping --pace ttft=0.01"
    parent = lab.send(f"%%chatstream {line}\nHi", headless=False)
    seen = lab.collect(parent, until=lambda messages: moving(messages) == {0, 1, 2})
    comm = next(
        message["content"]["comm_id"]
        for message in seen
        if message["msg_type"] == "comm_open" and "board" in message["content"]["data"].get("state", {})
    )

    def click(**content: object) -> None:
        data = {"method": "custom", "content": {"k": "stop", **content}}
        lab.client.shell_channel.send(lab.client.session.msg("comm_msg", {"comm_id": comm, "data": data}))

    click(lane=1, q=1)
    ended = lab.collect(parent, until=lambda messages: any(one["k"] == "end" for one in custom(messages)))
    assert [one["i"] for one in custom(ended) if one["k"] == "end"] == [1]
    click(q=2)
    lab.collect(parent)
    assert lab.reply(parent)["status"] == "ok"
    assert lab.value("len(held), {run.outcome.value for run in held}") == "(3, {'stopped'})"


def test_an_interrupted_race_keeps_what_arrived_and_fails_the_cell_in_one_line(lab: Kernel) -> None:
    parent = lab.send("%%chatstream demo:a demo:b -o cut --scenario ping --pace ttft=0.01\nHi", headless=False)
    messages = lab.collect(parent, until=lambda messages: moving(messages) == {0, 1})
    lab.manager.interrupt_kernel()
    messages += lab.collect(parent)
    cell = Cell(lab.reply(parent), messages)
    assert cell.reply["ename"] == "ChatStreamInterrupt"
    assert cell.errors == ["chatstream: the race was interrupted; what arrived is kept."]
    assert mimetypes(cell, "update_display_data") == [{"text/html", "text/plain"}]
    assert lab.value("[(run.outcome.value, run.text != '') for run in cut]") == str([("interrupted", True)] * 2)


def test_a_race_that_nobody_finished_names_each_target_in_one_line(lab: Kernel) -> None:
    cell = lab.run(f"%%chatstream demo demo:b --repeat 2 -o lost --scenario http-429 {FAST}\nHi")
    assert not cell.ok
    (error,) = cell.errors
    assert error.startswith("chatstream: every run of the race failed. ")
    assert [error.count(name) for name in ("demo: ", "demo:b: ")] == [1, 1]
    assert "\n" not in error
    assert "\ndemo:b (round 2): " in cell.contents("display_data")[0]["data"]["text/plain"]
    assert lab.value("len(lost), len(lost.ok)") == "(4, 0)"


def test_the_tabs_that_can_be_chosen_are_those_of_a_panel():
    assert tuple(TABS) == magics._TABS
