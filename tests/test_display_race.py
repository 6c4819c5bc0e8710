"""Who leads a race and how it is shown: standings from meters, lines in a terminal, one bundle, a board."""

from __future__ import annotations

import io
import math
from html.parser import HTMLParser
from typing import Any

import pytest

from streamnb.display import race_page
from streamnb.display.lane import Lane
from streamnb.display.race import PlainRace, open_race
from streamnb.display.standings import Lead, Racer, Result, errors, lead, table, text_table, title
from streamnb.display.view import Final, Header
from streamnb.errors import UsageError
from streamnb.events import Arrival, Chunk, Event, Outcome
from streamnb.meter import Meter

S = 1_000_000_000
ANSWERED = {"ttft_s": 0.2, "ttfa_s": 0.2, "e2e_s": 1.2, "close_s": 1.3, "tpot_s": 0.01, "tokens_out": 101.0}


def arrival(seq: int, t_s: float, *events: Event) -> Arrival:
    return Arrival(Chunk(seq, 0, round(t_s * S), 1, 1, b"x"), events)


def meter(*texts_s: float, kind: str = "delta", tokens: int | None = None) -> Meter:
    """A meter that started at 0 and saw a piece of text at each of these times (s)."""
    made = Meter()
    made.start(0)
    for seq, t_s in enumerate(texts_s):
        made.arrive(arrival(seq, t_s, Event(kind, "x")))
    if tokens is not None:
        made.arrive(arrival(len(texts_s), texts_s[-1], Event("usage", data={"tokens_out": tokens})))
    return made


def live(name: str, seen: Meter) -> Racer:
    return Racer(name, live=seen.summary())


def result(outcome: Outcome = Outcome.COMPLETE, error: str = "", number: int = 1, **summary: Any) -> Result:
    return Result(number, outcome, error, summary)


def racer(name: str, *results: Result) -> Racer:
    return Racer(name, list(results))


# -- who leads ----------------------------------------------------------------------------------------------------


def test_the_first_text_leads_and_says_how_far_it_is_ahead():
    racers = [live("a", meter(0.3, 0.4)), live("b", meter(0.2, 0.5)), live("c", meter())]
    assert lead("TTFT", racers) == Lead(1, "200 ms", "1.5x ahead", "round 1")


def test_reasoning_is_a_first_text_but_no_answer():
    racers = [live("thinks", meter(0.1, 0.2, kind="reasoning")), live("answers", meter(0.3, 0.4))]
    assert lead("TTFT", racers).at == 0
    assert lead("to answer", racers) == Lead(1, "300 ms", "", "round 1")


def test_the_largest_rate_leads():
    racers = [live("a", meter(0.0, 0.5, 1.0)), live("b", meter(0.0, 0.1, 0.2))]
    assert lead("rate", racers) == Lead(1, "10.0 chunks/s", "5.0x ahead", "round 1")


def test_chunks_and_tokens_do_not_compare():
    racers = [live("a", meter(0.1, 1.1, tokens=51)), live("b", meter(0.1, 1.1))]
    assert lead("rate", racers) == Lead(None, "", "chunks/s and tokens/s do not compare", "round 1")
    counted = [racers[0], live("c", meter(0.1, 1.1, tokens=101))]
    assert lead("rate", counted) == Lead(1, "100 tokens/s", "2.0x ahead", "round 1")


@pytest.mark.parametrize("metric", ["TTFT", "to answer", "total", "rate", "done"])
def test_what_is_missing_leads_nothing(metric: str):
    assert lead(metric, [live("a", meter()), Racer("b"), racer("c", result(ttft_s=math.nan))]) == Lead(None)


def test_nobody_is_done_before_its_stream_has_ended():
    racers = [live("a", meter(0.1, 0.2)), racer("b", result(**ANSWERED))]
    assert lead("done", racers) == Lead(1, "1.30 s", "", "round 1")
    assert lead("total", [racers[0]]) == Lead(0, "200 ms", "", "round 1")  # so far


@pytest.mark.parametrize(
    ("one", "other", "ahead"),
    [
        (1.0, 1.0, "level"),
        (1.0, 1.004, "level"),
        (1.0, 1.04, "1.04x ahead"),
        (1.0, 1.4, "1.4x ahead"),
        (0.0, 1.0, ""),
    ],
)
def test_how_far_ahead_is_said_as_closely_as_it_is_known(one: float, other: float, ahead: str):
    assert lead("TTFT", [racer("a", result(ttft_s=other)), racer("b", result(ttft_s=one))]).ahead == ahead


def test_rounds_are_compared_by_medians_with_the_one_under_way():
    racers = [
        racer("a", *(result(number=number, ttft_s=value) for number, value in enumerate((0.1, 0.3, 0.2), 1))),
        Racer("b", [result(ttft_s=0.2), result(number=2, ttft_s=0.4)], meter(0.6).summary(), 3),
    ]
    assert lead("TTFT", racers) == Lead(0, "200 ms", "2.0x ahead", "medians of 3 rounds")


def test_a_lead_says_which_round_its_figures_are_of():
    def racers(seen: Meter, *failed: Result) -> list[Racer]:
        return [Racer(name, [*failed, result(number=2, ttft_s=0.2)], seen.summary(), 3) for name in "ab"]

    assert lead("TTFT", racers(meter())).over == "round 2"  # the third has begun and has no text yet
    assert lead("TTFT", racers(meter(0.3))).over == "medians of 2 rounds"
    assert lead("TTFT", racers(meter(0.3), result(Outcome.TRUNCATED, ttft_s=0.1))).over == "medians of 2 rounds"
    assert lead("done", racers(meter())).over == ""


def test_a_rate_under_way_counts_only_while_no_other_is_known():
    ended = {"rate_per_s": 4.0, "rate_unit": "chunks/s"}
    assert Racer("a", [result(**ended)], meter(0.0, 0.1).summary()).values("rate") == ([4.0], "chunks/s", [1])
    assert live("a", meter(0.0, 0.1)).values("rate") == ([10.0], "chunks/s", [1])


def test_failed_runs_are_counted_and_not_timed():
    fast_and_cut = racer("a", result(Outcome.TRUNCATED, "cut", ttft_s=0.01), result(ttft_s=0.5))
    assert lead("TTFT", [fast_and_cut, racer("b", result(ttft_s=0.4))]).at == 1
    assert table([fast_and_cut], 2)[1][:3] == ["a", "1 of 2 ok", "500 ms"]


# -- the table ----------------------------------------------------------------------------------------------------


def test_one_round_shows_each_run_as_it_was():
    racers = [racer("a", result(**ANSWERED)), racer("b", result(Outcome.TRUNCATED, "cut", ttft_s=0.3)), Racer("c")]
    assert table(racers, 1) == [
        ["target", "outcome", "TTFT", "to answer", "total", "rate", "tokens"],
        ["a", "complete", "200 ms", "200 ms", "1.20 s", "100 tokens/s", "101"],
        ["b", "truncated", "300 ms", "\u2013", "\u2013", "\u2013", "\u2013"],
        ["c", "\u2013", "\u2013", "\u2013", "\u2013", "\u2013", "\u2013"],
    ]
    assert title(racers, 1) == "race \u00b7 3 targets"


def test_several_rounds_show_medians_and_how_many_they_are_of():
    ttft = (0.1, 0.5, 0.2)
    racers = [racer("a", *(result(number=n, **ANSWERED | {"ttft_s": t}) for n, t in enumerate(ttft, 1)))]
    assert table(racers, 3)[1] == ["a", "3 of 3 ok", "200 ms", "200 ms", "1.20 s", "100 tokens/s", "101"]
    assert "3 rounds, medians" in title(racers, 3)


def test_the_table_in_a_terminal_is_aligned():
    lines = text_table([racer("a", result(**ANSWERED)), racer("longer", result(**ANSWERED))], 1)
    assert len({line.index("outcome" if "outcome" in line else "complete") for line in lines}) == 1
    assert not any(line.endswith(" ") for line in lines)


def test_what_went_wrong_is_said_once_with_its_rounds():
    bad = [result(Outcome.HTTP_ERROR, "404", number) for number in (1, 3)]
    stopped = result(Outcome.STOPPED, "stopped; what arrived is kept.", 2)
    assert errors([racer("a", bad[0], stopped, bad[1])], 3) == ["a (round 1, 3): 404"]
    assert errors([racer("a", bad[0])], 1) == ["a: 404"]


def test_many_messages_of_one_target_are_cut():
    many = [result(Outcome.HTTP_ERROR, f"request {number} failed", number) for number in range(1, 10)]
    lines = errors([racer("a", *many), racer("b", many[0])], 9)
    assert lines[:1] == ["a (round 1): request 1 failed"]
    assert lines[3:] == ["a: 6 more; see the column error of the table", "b (round 1): request 1 failed"]


# -- in a terminal ------------------------------------------------------------------------------------------------


def header(model: str | None = None, note: str = "") -> Header:
    return Header("openai_chat", model, "demo", "127.0.0.1", "run-1", note)


def final(text: str = "Hi", outcome: Outcome = Outcome.COMPLETE, error: str | None = None, **summary: Any) -> Final:
    return Final(text, "", outcome, error, summary, ())


def plain(*names: str, rounds: int = 1) -> tuple[PlainRace, io.StringIO]:
    out = io.StringIO()
    return PlainRace(names, rounds, out), out


def test_a_terminal_gets_a_line_when_a_run_ends_and_the_table_at_the_end():
    shown, out = plain("demo", "demo (2)")
    shown.open(lambda: None)
    first, second = shown.begin(0, "in this order")
    for place in (first, second):
        place.open(header("simulated"), lambda: None)
    first.open(header("simulated", "kept there"), lambda: None)  # as the run itself does
    first.phase("connecting", 0)
    first.arrive(arrival(0, 0.1, Event("delta", "x")))
    shown.paint(S)
    assert out.getvalue() == ""
    second.close(final(**ANSWERED))
    figures = "complete \u00b7 TTFT 200 ms \u00b7 total 1.20 s \u00b7 101 tokens \u00b7 100 tokens/s"
    assert out.getvalue() == f"demo (2) \u00b7 simulated: {figures}\n"
    first.close(final(outcome=Outcome.HTTP_ERROR, error="404 \x1b[31mred"))
    first.close(final(**ANSWERED))
    shown.close()
    behind = out.getvalue().splitlines()[2:]
    assert [line.split("  ")[0] for line in behind] == [
        "",
        "target",
        "demo \u00b7 simulated",
        "demo (2) \u00b7 simulated",
        "demo \u00b7 simulated: 404 red",
        "kept there",
    ]


def test_a_terminal_leaves_the_errors_to_a_caller_that_raises_them():
    shown, out = plain("demo", rounds=2)
    for number in range(2):
        (place,) = shown.begin(number, "")
        place.open(header("m"), lambda: None)
        place.close(final(outcome=Outcome.HTTP_ERROR, error="404"))
    shown.close(says_errors=False)
    assert "404" not in out.getvalue()
    assert out.getvalue().startswith("demo \u00b7 m (1/2): http error\ndemo \u00b7 m (2/2): http error\n")


def test_a_model_that_was_typed_is_not_said_twice():
    shown, _ = plain("openai_chat:gpt-x", "openai_chat:gpt-x (2)", "openai_chat")
    for place in shown.begin(0, ""):
        place.open(header("gpt-x"), lambda: None)
    names = [one.name for one in shown.racers]
    assert names == ["openai_chat:gpt-x", "openai_chat:gpt-x (2)", "openai_chat \u00b7 gpt-x"]


def test_a_run_that_never_took_its_place_is_not_shown():
    shown, out = plain("demo")
    (place,) = shown.begin(0, "")
    place.close(final())
    assert out.getvalue() == ""


def test_none_shows_nothing(capsys):
    shown = open_race("none", ["a", "b"], 1)
    shown.open(lambda: None)
    places = shown.begin(0, "")
    places[0].open(header(), lambda: None)
    places[0].close(final())
    shown.paint(0)
    shown.close()
    assert len(places) == 2
    assert capsys.readouterr().out == ""


def test_a_panel_needs_a_notebook():
    with pytest.raises(UsageError, match="display=plain"):
        open_race("panel", ["a"], 1)


# -- on a page ----------------------------------------------------------------------------------------------------

EVIL = "</summary><script>alert(1)</script><img src=x onerror=alert(1)>\" ' & \u202e"


class _Page(HTMLParser):
    """What a browser would make of it: tags, attributes, texts by tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += ((tag, *pair) for pair in attrs)
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self.tags:
            self.texts[self.tags[-1]][-1] += data


def ended(ident: int, name: str, text: str, outcome: Outcome = Outcome.COMPLETE, error: str | None = None) -> Lane:
    """A lane that saw its text in two reads, and its end."""
    lane = Lane(ident, Header(name, None, name, "127.0.0.1", f"run-{ident}"))
    lane.phase("connecting", 0)
    lane.phase("waiting", S)
    half = len(text) // 2
    for seq, piece in enumerate((text[:half], text[half:])):
        lane.arrive(arrival(seq, 2 + seq, Event("delta", piece)))
    lane.finish(Final(text, "", outcome, error, {}, ()))
    return lane


def raced(*lanes: Lane) -> list[Racer]:
    finals = [(lane.header.names, lane.final) for lane in lanes]
    return [racer(name, Result(1, one.outcome, one.error or "", one.summary)) for name, one in finals if one]


def test_the_bundle_has_table_picture_and_every_answer_and_only_the_first_is_open():
    lanes = (
        ended(0, "one", "Because **of** water."),
        ended(1, "two", "cut", Outcome.TRUNCATED, "the stream ended early"),
    )
    shown = race_page.bundle(raced(*lanes), 1, lanes, ["in this order", ""])
    page = _Page(shown["text/html"])
    assert page.tags[:2] == ["div", "h4"]
    assert page.attributes[0] == ("div", "class", "tex2jax_ignore mathjax_ignore"), "no page typesets what was said"
    assert [name for tag, name, _ in page.attributes if tag == "details"][:1] == ["open"]
    assert sum(name == "open" for _, name, _ in page.attributes) == 1
    summaries = [text for text in page.texts["summary"] if text.startswith(("one", "two"))]
    assert [text.split(" \u00b7 ")[:2] for text in summaries] == [["one", "complete"], ["two", "truncated"]]
    assert [text.strip() for text in page.texts["td"][:2]] == ["one", "complete"]
    assert any(text.startswith("of water") for text in page.texts["strong"])
    assert page.tags.count("style") == 1
    assert page.tags.count("img") + page.tags.count("svg") >= 1
    assert any("the stream ended early" in text for text in page.texts["p"])
    assert any("in this order" in text for text in page.texts["p"])


def test_the_bundle_reads_well_as_plain_text():
    lanes = ended(0, "one", "Because."), ended(1, "two", "Why not.")
    plain_text = race_page.bundle(raced(*lanes), 1, lanes)["text/plain"]
    head, one, two = plain_text.split("\n== ")
    assert [line.split()[0] for line in head.splitlines() if line] == ["target", "one", "two"]
    assert one.startswith("one ==\nBecause.\n")
    assert two.startswith("two ==\nWhy not.\n")


def test_the_best_of_each_column_is_marked_and_nothing_is_where_one_runs_alone():
    def marked(*racers: Racer) -> list[str]:
        return _Page(race_page.bundle(racers, 1, ())["text/html"]).texts.get("strong", [])

    fast, slow = racer("a", result(**ANSWERED)), racer("b", result(**ANSWERED | {"ttft_s": 0.3, "tpot_s": 0.02}))
    assert marked(slow, fast)[:1] == ["200 ms"]
    assert "100 tokens/s" in marked(slow, fast)
    assert marked(fast) == []


def test_markup_in_names_errors_and_notes_stays_text():
    lanes = [ended(0, EVIL, EVIL, Outcome.ERROR_IN_STREAM, EVIL)]
    shown = race_page.bundle(raced(*lanes), 1, lanes, [EVIL])
    page = _Page(shown["text/html"])
    assert "script" not in page.tags
    assert not {name for _, name, _ in page.attributes if name.startswith("on")}
    sources = [value or "" for tag, name, value in page.attributes if tag == "img" and name == "src"]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert all("\u202e" not in form for form in shown.values())


def test_a_race_without_any_run_still_has_its_table():
    shown = race_page.bundle([Racer("a"), Racer("b")], 2, ())
    assert "0 of 0 ok" in shown["text/plain"]
    assert "img" not in _Page(shown["text/html"]).tags


class _Run:
    """What a race sees of a run, from the outside: where it is shown, and whether it was asked to stop."""

    def __init__(self, place, name: str = "m") -> None:
        self.place = place
        self.stops = 0
        place.open(header(name), self.stop)

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def panel(capsys):
    """A race on a board; the page is played by the test."""
    shown = race_page.PanelRace(["a", "b"], 2)
    stops: list[str] = []
    shown.open(lambda: stops.append("all"))
    shown.stops = stops
    yield shown
    shown.board.release()


def begun(panel, number: int = 0) -> list[_Run]:
    return [_Run(place) for place in panel.begin(number, f"order {number}")]


def test_a_board_has_a_lane_for_each_target_and_a_new_round_replaces_them(panel):
    runs = begun(panel)
    first = panel.board.state()
    assert (first["layout"], [lane["names"] for lane in first["lanes"]]) == ("race", ["a \u00b7 m", "b \u00b7 m"])
    for run in runs:
        run.place.close(final(**ANSWERED))
    panel.begin(1, "order 1")
    assert [lane["id"] for lane in panel.board.state()["lanes"]] == [lane["id"] for lane in first["lanes"]]
    begun(panel, 1)
    second = panel.board.state()
    assert len(second["lanes"]) == 2
    assert not {lane["id"] for lane in first["lanes"]} & {lane["id"] for lane in second["lanes"]}
    assert [lane["live"] for lane in second["lanes"]] == [True, True]


def test_a_page_is_told_the_round_and_who_leads_by_the_clock_that_is_handed_in(panel):
    one, two = begun(panel)
    for run, t_s in ((one, 0.4), (two, 0.2)):
        run.place.phase("connecting", 0)
        run.place.phase("waiting", 0)
        run.place.arrive(arrival(0, t_s, Event("delta", "x")))
    panel.paint(S)
    panel.paint(2 * S)
    told = panel.board.state()["race"]
    assert (told["round"], told["rounds"], told["order"], len(told["targets"])) == (1, 2, "order 0", 2)
    names = ["TTFT\nround 1", "to answer\nround 1", "rate\nno figure yet", "done\nno figure yet"]
    assert [one["metric"] for one in told["leaders"]] == names
    assert told["leaders"][0] == {
        "metric": names[0],
        "lane": told["targets"][1],
        "value": "200 ms",
        "ahead": "2.0x ahead",
    }
    assert [one["lane"] for one in told["leaders"][2:]] == [None, None]
    one.place.close(final(**ANSWERED))
    panel.paint(2 * S + 1)
    assert panel.board.state()["race"]["leaders"][3]["lane"] == told["targets"][0]


def test_stop_on_a_lane_stops_that_run_and_stop_stops_all_and_each_once(panel):
    one, two = begun(panel)
    lane = panel.board.state()["lanes"][1]["id"]
    panel.board.heard({"k": "stop", "lane": lane, "q": 1})
    panel.board.heard({"k": "stop", "lane": lane, "q": 2})
    panel.board.heard({"k": "stop", "lane": 99, "q": 3})
    panel.board.heard({"k": "what", "q": 4})
    assert (one.stops, two.stops, panel.stops) == (0, 1, [])
    panel.board.heard({"k": "stop", "q": 5})
    assert (one.stops, two.stops, panel.stops) == (1, 1, ["all"])
    one.place.close(final(outcome=Outcome.STOPPED))
    panel.board.heard({"k": "stop", "lane": panel.board.state()["lanes"][0]["id"], "q": 6})
    assert one.stops == 1


def test_at_the_end_the_latest_run_of_each_target_is_kept_and_who_never_began_is_gone(panel, capsys):
    for run in begun(panel):
        run.place.close(final("round one", **ANSWERED))
    one, _ = begun(panel, 1)
    one.place.close(final("round two", **ANSWERED))
    shown = panel._bundle()
    assert shown["text/plain"].count("round two") == 1
    assert shown["text/plain"].count("round one") == 1
    assert "2 of 2 ok" in shown["text/plain"]
    assert "1 of 1 ok" in shown["text/plain"]
    panel.close()
    assert len(panel.board.state()["lanes"]) == 1


def test_a_race_that_was_never_shown_ends_quietly():
    shown = race_page.PanelRace(["a"], 1)
    shown.close()
    with pytest.raises(RuntimeError, match="not open"):
        _ = shown.board
