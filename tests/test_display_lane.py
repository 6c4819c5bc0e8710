from __future__ import annotations

import itertools
import json

from kernel_page import apply, shown

from streamnb.display.lane import Lane
from streamnb.display.view import Final, Header, Phase, Style
from streamnb.events import Arrival, Choice, Chunk, Event, Outcome, Prompt

S = 1_000_000_000
HEADER = Header("openai_chat", "small-talk-1", "demo", "127.0.0.1:8000", "run-1", "a note")
SEQ = itertools.count()


class Look:
    """What a view may ask: here, phases that appear as the request goes on."""

    def __init__(self):
        self.found: list[Phase] = []
        self.n_asked = 0

    def phases(self):
        self.n_asked += 1
        return list(self.found)


def lane(**rest) -> Lane:
    made = Lane(3, HEADER, **rest)
    made.phase("connecting", 0)
    made.phase("waiting", S)
    return made


def arrival(t_s: float, *events: Event, call: int = 0) -> Arrival:
    return Arrival(Chunk(next(SEQ), call, round(t_s * S), 1, 1, b"x"), events)


def final(text="", outcome=Outcome.COMPLETE, **rest) -> Final:
    return Final(**{"reasoning": "", "error": None, "summary": {}, "citations": ()} | rest, text=text, outcome=outcome)


def test_news_is_what_changed_and_the_state_is_the_sum_of_all_news():
    made = lane()
    first = made.news(2 * S)
    assert (first["i"], first["st"]["phase"], first["st"]["t0_ms"], first["st"]["ms"]) == (3, "waiting", 1000, 2000)
    made.arrive(arrival(2, Event("reasoning", "hm"), Event("delta", "One ")))
    made.arrive(arrival(2.5, Event("delta", "two."), Event("error", "odd")))
    second = made.news(3 * S)
    blocks: dict = {}
    apply(blocks, second["ops"])
    assert (shown(blocks.values()), second["r"], second["e"]) == ("One two.", "hm", ["odd"])
    assert second["st"]["kinds"] == {"reasoning": 1, "delta": 2, "error": 1}
    assert (second["st"]["ttft"], second["st"]["chunks"], second["st"]["source"]) == (1.0, 2, "chunks")
    assert len(second["marks"]) == 12
    assert made.news(3 * S) is None
    assert made.news(3 * S, heartbeat=True)["st"]["ms"] == 3000
    state = made.state()
    assert (shown(state["doc"]), state["r"], state["e"], state["live"]) == ("One two.", "hm", ["odd"], True)
    assert len(state["marks"]) == 12
    assert json.dumps(state)


def test_an_answer_in_markdown_is_seen_at_the_pace_of_its_renderings_and_all_else_at_once():
    made = lane()
    made.news(2 * S)
    assert made.due_ns(2 * S) == 2 * S
    made.arrive(arrival(2, Event("delta", "One ")))
    made.news(3 * S)
    assert made.due_ns(3 * S) == 3 * S + S // 10
    made.arrive(arrival(3, Event("delta", "two."), Event("reasoning", "hm")))
    made.news(4 * S)
    assert made.due_ns(4 * S) == 4 * S
    plain = lane(style=Style(markdown=False))
    plain.arrive(arrival(2, Event("delta", "One ")))
    plain.news(3 * S)
    assert plain.due_ns(3 * S) == 3 * S


def test_a_tool_call_in_pieces_and_its_result_are_one_fold():
    made = lane()
    made.arrive(arrival(2, Event("tool_call", '{"city"', name="weather", id="t1")))
    made.arrive(arrival(2, Event("tool_call", ':"Bern"}')))
    made.arrive(arrival(3, Event("tool_result", "rain", name="weather", id="t1")))
    made.arrive(arrival(3, Event("tool_call", "{}", name="clock")))
    made.arrive(arrival(3, Event("tool_result", "noon", name="clock")))
    made.news(4 * S)
    folds = [(block["s"], block["t"]) for block in made.state()["doc"]]
    assert folds == [
        ("tool weather \u00b7 answered", '{"city":"Bern"}\n\u2192 rain'),
        ("tool clock \u00b7 answered", "{}\n\u2192 noon"),
    ]


def test_citations_are_numbered_once_and_new_ones_are_news():
    made = lane()
    cite = Event("citation", name="A", data={"url": "https://a.example/"})
    made.arrive(arrival(2, Event("delta", "Fact."), cite))
    first = made.news(2 * S)
    made.arrive(arrival(3, Event("delta", " Again."), cite, Event("citation", name="B")))
    second = made.news(9 * S)
    assert [row["n"] for row in first["cites"]] == [1]
    assert [(row["n"], row["title"]) for row in second["cites"]] == [(2, "B")]
    assert shown(made.state()["doc"]) == "Fact.[1] Again.[1][2]"


def test_choices_are_those_of_the_latest_call_and_the_end_has_the_last_word():
    def offer(label):
        return Choice(label, Prompt(label))

    made = lane()
    made.arrive(arrival(2, Event("message", "Which?", choices=(offer("A"), offer("B"), offer("A")))))
    assert made.news(2 * S)["choices"] == [{"label": "A"}, {"label": "B"}]
    made.arrive(arrival(3, Event("step", choices=(offer("C"),)), call=1))
    assert made.news(3 * S)["choices"] == [{"label": "C"}]
    end = made.finish(final(choices=["C", "D\x1b"]))
    assert [choice["label"] for choice in end["lane"]["choices"]] == ["C", "D\u241b"]


def test_the_end_has_the_rest_of_the_news_and_figures_from_the_account():
    made = lane()
    made.news(2 * S)
    made.arrive(arrival(2, Event("delta", "late")))
    end = made.finish(final("late", summary={"ttft_s": 9.0, "tpot_s": 0.5}, error="a warning"))
    blocks: dict = {}
    apply(blocks, end["part"]["ops"])
    assert shown(blocks.values()) == "late"
    status = end["lane"]["st"]
    assert (status["phase"], status["ttft"], status["rate"], status["unit"]) == ("done", 9.0, 2.0, "tokens/s")
    assert (end["lane"]["e"], end["lane"]["out"]["verdict"], end["lane"]["live"]) == (["a warning"], "ok", False)
    assert not {"doc", "r", "marks", "at"} & set(end["lane"])
    assert made.state()["out"] == end["lane"]["out"]


def test_a_text_that_only_the_end_brought_is_shown_once():
    made = lane()
    made.arrive(arrival(2, Event("end", "All of it.")))
    made.finish(final("All of it."))
    assert shown(made.state()["doc"]) == "All of it."
    spoken = lane()
    spoken.arrive(arrival(2, Event("message", "All of it.")))
    spoken.finish(final("All of it."))
    assert shown(spoken.state()["doc"]) == "All of it."


def test_the_account_at_the_end_counts_what_came_since_the_last_news():
    made = lane()
    made.arrive(arrival(2, Event("delta", "One ")))
    made.news(4 * S)
    made.arrive(arrival(5, Event("delta", "two.")))
    made.arrive(arrival(6, Event("delta", " Three.")))
    account = made.finish(final("One two. Three."))["lane"]["st"]
    assert (account["chars"], account["chunks"], account["ms"], account["kinds"]) == (15, 3, 6000, {"delta": 3})
    assert made.state()["st"] == account
    quick = lane()
    quick.arrive(arrival(2, Event("delta", "All.")))
    account = quick.finish(final("All."))["lane"]["st"]
    assert (account["t0_ms"], account["chars"], account["phase"]) == (1000, 4, "done")
    waited = lane()
    waited.news(9 * S)
    assert waited.finish(final())["lane"]["st"]["ms"] == 9000


def test_phases_are_asked_for_until_text_is_here_and_once_more_at_the_end():
    look = Look()
    made = lane(look=look)
    assert "phases" not in made.news(S)
    look.found = [Phase("DNS", 0.1, "meaning")]
    assert made.news(2 * S)["phases"] == [["DNS", 0.1, "meaning"]]
    made.arrive(arrival(2, Event("delta", "a")))
    made.news(2 * S)
    n_asked = look.n_asked
    made.arrive(arrival(3, Event("delta", "b")))
    made.news(3 * S)
    assert look.n_asked == n_asked
    look.found.append(Phase("first byte", 0.2, "meaning"))
    assert [row[0] for row in made.finish(final())["lane"]["phases"]] == ["DNS", "first byte"]


def test_notes_and_other_choices_are_quiet_lines_and_a_replaced_answer_starts_anew():
    made = lane(style=Style(markdown=False), said="Hi\x1b")
    made.arrive(arrival(2, Event("delta", "old"), Event("replace", "new"), Event("action", name="redirect")))
    made.arrive(arrival(2, Event("delta", "x", choice=1)))
    made.news(2 * S)
    assert shown(made.state(7)["doc"]).split("\n")[0] == "new"
    assert {block["k"] for block in made.state()["doc"]} == {"pre", "note"}
    assert (made.state(7)["at"], made.state()["said"], made.state()["note"]) == (7, "Hi\u241b", "a note")
