from __future__ import annotations

import pytest
from kernel_page import comm_of, of_type, running_kernel, sent, shown


@pytest.fixture(scope="module")
def kernel():
    with running_kernel() as kernel:
        yield kernel


def test_the_panel_leaves_no_dead_text_and_carries_its_module_within_budget(kernel):
    seen = kernel.run("_ = run(words(1, 0))")
    state = next(
        m["content"]["data"]["state"] for m in of_type(seen, "comm_open") if "_esm" in m["content"]["data"]["state"]
    )
    assert len(state["_esm"].encode()) < 42_000
    assert state["board"]["n"] == 0
    assert kernel.printed("print(repr(opened()._board._widget))") == "<streamnb panel>\n"


def test_a_click_is_heard_while_the_cell_is_busy(kernel):
    if kernel.printed("print(widget.can_hear())") == "False\n":
        pytest.skip("this ipykernel routes comm messages past the hook (older than 7.4)")
    seen = []
    for message in kernel.messages(kernel.start("_ = run(words(2000, 0.01))")):
        seen.append(message)
        if message["msg_type"] == "comm_msg" and len(sent(seen)) == 3:
            kernel.say(comm_of(seen), k="stop")
    assert sent(seen)[-1]["lane"]["out"]["outcome"] == "stopped"
    assert len(sent(seen)) < 40


def test_a_click_on_an_idle_kernel_comes_by_the_ordinary_way(kernel):
    kernel.run("kept, widget.can_hear = widget.can_hear, lambda: False")
    seen = kernel.run("task = asyncio.create_task(run_in_background(words(2000, 0.01)))\nawait asyncio.sleep(0)")
    kernel.say(comm_of(seen), k="stop")
    rest = kernel.run("await task\nwidget.can_hear = kept")
    assert sent(rest, comm_of(seen))[-1]["lane"]["out"]["outcome"] == "stopped"


def test_a_reloaded_page_finds_the_text_so_far_in_the_state_and_keeps_the_panel(kernel):
    seen = kernel.run("view = opened()\nview.arrive(chunk(1, Event('delta', 'so far')))\nview.paint(S)")
    kernel.tell(comm_of(seen), {"method": "request_state"})
    rest = kernel.run("view.close(final('so far'))")
    kernel.say(comm_of(seen), k="done")
    rest += kernel.run("pass")
    states = [m["content"]["data"]["state"] for m in of_type(rest, "comm_msg") if "state" in m["content"]["data"]]
    assert [(shown(state["board"]["lanes"][0]["doc"]), state["board"]["n"]) for state in states] == [("so far", 1)]
    assert not of_type(rest, "comm_close")


def test_the_comm_closes_when_the_page_has_the_end_and_not_before(kernel):
    seen = kernel.run("_ = run(words(3, 0.01))")
    assert not of_type(seen, "comm_close")
    kernel.say(comm_of(seen), k="stop")
    kernel.say(comm_of(seen), k="done")
    (close,) = of_type(kernel.run("pass"), "comm_close")
    assert close["content"]["comm_id"] == comm_of(seen)


def test_panels_without_a_page_do_not_pile_up(kernel):
    seen = kernel.run("for _ in range(20):\n    opened().close(final())\nassert len(widget.Panel._kept) == 8")
    assert 12 <= len(of_type(seen, "comm_close")) <= 20


LONG = "view.arrive(chunk({0}, Event('delta', 'word ' * 700)))\nview.paint({0} * S)"


def test_a_long_message_travels_packed_and_a_page_that_cannot_unpack_it_gets_it_plain(kernel):
    seen = kernel.run(f"view = opened()\n{LONG.format(1)}")
    (delta,) = of_type(seen, "comm_msg")
    assert delta["content"]["data"]["content"] == {"k": "packed"}
    assert len(delta["buffers"][0]) < 500
    assert sent(seen)[0]["lanes"][0]["ops"][0][1]["h"] == f"<p>{'word ' * 699}word</p>"
    kernel.say(comm_of(seen), k="resync", plain=True)
    rest = kernel.run(f"{LONG.format(2)}\nview.close(final('word'))")
    assert [message["buffers"] for message in of_type(rest, "comm_msg")] == [[], []]
    assert [content["k"] for content in sent(rest, comm_of(seen))] == ["full", "end"]


def test_a_number_that_few_can_read_travels_as_well(kernel):
    text = "x" * 3000
    seen = kernel.run(f"view = opened()\nview._board._widget.send({{'k': 'far', 'n': 1, 'big': 2**70, 't': {text!r}}})")
    (only,) = sent(seen)
    assert (only["big"], only["t"]) == (2**70, text)
