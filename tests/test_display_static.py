from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display import Final, Header, Phase, bundle
from streamnb.display.feed import SHOWN_LIMIT
from streamnb.display.inert import visible, well_formed
from streamnb.display.links import link_host, link_target
from streamnb.events import Arrival, Chunk, Event, Outcome

HEADER = Header("openai_chat", "small-talk-1", "demo", "127.0.0.1:8000", "run-1", "recorded to runs/")
ALLOWED_TAGS = {
    *("style", "div", "h4", "span", "details", "summary", "pre", "p"),
    *("strong", "ol", "li", "a", "table", "tbody", "tr", "th", "td"),
    "img",  # the picture of the timing, in the page itself
}
ALLOWED_ATTRIBUTES = {"style", "class", "title", "href", "target", "rel", "value"}
EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\" ' & ![i](http://evil.example/b.png)"


def final(text="Because.", outcome=Outcome.COMPLETE, error=None, summary=None, citations=(), **rest) -> Final:
    rest = {"reasoning": ""} | rest
    return Final(text=text, outcome=outcome, error=error, summary=summary or {}, citations=citations, **rest)


def shown_by(final: Final, *events: Event, header: Header = HEADER, look=None) -> dict[str, str]:
    """The bundle of a run that brought these events, or only its final state."""
    chunk = Chunk(0, 0, 1, 1, 1, b"x")
    return bundle([Arrival(chunk, events)] if events else [], final, header, look)


class _Phases:
    """All that a bundle asks about a run: how its request went."""

    def phases(self) -> list[Phase]:
        return [Phase("headers", 0.01, "until the reply's headers")]


class _Page(HTMLParser):
    """What a browser would make of it: tags, attributes, and the text of each tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.html = html
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self.tags:
            self.texts[self.tags[-1]][-1] += data


def page(*events: Event, **kwargs) -> _Page:
    return _Page(shown_by(final(**kwargs), *events)["text/html"])


def test_it_has_html_and_plain_text_and_no_markdown():
    shown = shown_by(final(summary={"ttft_s": 0.152, "e2e_s": 1.43}))
    assert set(shown) == {"text/html", "text/plain"}
    assert shown["text/plain"] == "Because.\n\ncomplete \u00b7 TTFT 152 ms \u00b7 total 1.43 s \u00b7 0 chunks"


def test_it_reads_well_without_any_style():
    shown = page(
        reasoning="hm",
        error="The server is overloaded; try again.",
        outcome=Outcome.ERROR_IN_STREAM,
        citations=[{"title": "Meander", "url": "https://en.wikipedia.org/wiki/Meander", "source_type": "web"}],
        summary={"ttft_s": 0.1, "ttfa_s": 1.6},
    )
    assert shown.tags[:4] == ["style", "div", "h4", "span"]
    assert "error in stream" in "".join(shown.texts["span"])
    assert "demo (openai_chat) \u00b7 small-talk-1 \u00b7 127.0.0.1:8000" in "".join(shown.texts["span"])
    assert shown.texts["summary"][0].startswith("Reasoning \u00b7 1.50 s")
    assert [text.strip() for text in shown.texts["pre"]] == ["hm"]
    assert "Because." in [text.strip() for text in shown.texts["p"]]
    assert shown.texts["th"][:3] == ["TTFT", "to answer", "total"]
    assert [cell.strip() for cell in shown.texts["td"][:3]] == ["100 ms", "1.60 s", "\u2013"]
    assert "The server is overloaded" in "".join(shown.texts["strong"])
    assert "recorded to runs/" in "".join(shown.texts["p"])


def test_an_empty_run_still_says_how_it_ended():
    shown = shown_by(final(text="", outcome=Outcome.CONNECT_ERROR, error="no connection to api.example"))
    assert shown["text/plain"] == "error: no connection to api.example\n\nconnect error \u00b7 0 chunks"
    assert "<pre" not in shown["text/html"]


def test_a_stop_on_purpose_is_not_called_an_error():
    shown = page(outcome=Outcome.STOPPED, error="stopped; what arrived is kept.")
    assert "strong" not in shown.tags
    assert "stopped; what arrived is kept." in "".join(shown.texts["p"])


def test_missing_figures_are_dashes_not_zeros():
    cells = page(summary={"ttft_s": math.nan, "n_chunks": None, "tokens_out": 7}).texts["td"]
    assert [cell.strip() for cell in cells] == ["\u2013"] * 4 + ["0", "0", "7", "\u2013"]


def test_a_run_without_streamed_text_shows_no_chart_and_no_times_to_doubt():
    look = _Phases()
    greeting = shown_by(final("", summary={"verdict": "no_stream"}), Event("message", "Hello"), look=look)
    answer = shown_by(final("Hi", summary={"verdict": "clean", "ttft_s": 0.1}), Event("delta", "Hi"), look=look)
    coded = [re.search('base64,([^"]*)', one["text/html"])[1] for one in (greeting, answer)]
    pictures = [base64.b64decode(picture).decode() for picture in coded]
    assert ["headers 10 ms" in one for one in pictures] == [True, True]
    assert ["silence before each read" in one for one in pictures] == [False, True]
    assert ["verdict" in one["text/html"] for one in (greeting, answer)] == [False, True]
    assert "<img" not in shown_by(final("", summary={"verdict": "no_stream"}), Event("message", "Hello"))["text/html"]


def test_figures_are_rows_of_label_and_value_that_wrap_where_there_is_little_room():
    table = re.search(r"<table.*?</table>", page(summary={"ttft_s": 0.1}).html, re.DOTALL)[0]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in table.split("<tr")[1:]]
    assert rows[:2] == [["TTFT", "100 ms"], ["to answer", "\u2013"]]
    assert table.count("<tr") == table.count("display:inline-block")


def test_messages_tool_calls_and_notes_keep_their_place_in_the_answer():
    shown = page(
        Event("message", "Hello"),
        Event("delta", "Let me look.\n\n"),
        Event("tool_call", '{"city": "Bern"}', name="weather", id="t1"),
        Event("tool_result", "rain", name="weather", id="t1"),
        Event("delta", "It *rains*."),
        Event("action", name="redirect"),
        text="Let me look.\n\nIt rains.",
    )
    html = shown.html
    places = [html.index(piece) for piece in ("Hello", "Let me look.", "tool weather", "rain</pre>", "<em>rains</em>")]
    assert places == sorted(places)
    assert "answered" in "".join(shown.texts["summary"])


def test_the_full_text_of_an_end_event_is_shown_where_nothing_streamed():
    assert "Only here." in page(Event("end", "Only here."), text="Only here.").html
    assert "Because." not in page(Event("message", "Hello"), text="Because.").html


def test_an_answer_is_markdown_and_a_table_a_table():
    html = page(Event("delta", "# Rivers\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n```\n")).html
    assert "<h1>Rivers</h1>" in html
    assert "<td>2</td>" in html
    assert 'class="language-python"' in html


def test_an_enormous_answer_is_cut_on_the_page_and_says_so():
    shown = shown_by(final(text="x" * (SHOWN_LIMIT + 5)), Event("delta", "x" * (SHOWN_LIMIT + 5)))
    assert len(shown["text/html"]) < SHOWN_LIMIT + 20_000
    assert "the screen stops here" in shown["text/html"]


def test_markup_in_any_field_stays_text():
    evil_header = Header(EVIL, EVIL, EVIL, EVIL, "run", EVIL)
    citation = {"title": EVIL, "url": EVIL, "source_type": EVIL}
    told = final(EVIL, error=EVIL, citations=[citation], reasoning=EVIL, choices=[EVIL], request=EVIL)
    events = [Event(kind, EVIL, name=EVIL, id=EVIL) for kind in ("message", "tool_call", "tool_result", "action")]
    shown = shown_by(told, *events, header=evil_header)["text/html"]
    parsed = _Page(shown)
    assert set(parsed.tags) <= ALLOWED_TAGS
    assert {name for name, _ in parsed.attributes if name.startswith("on")} == set()
    pictures = [value for name, value in parsed.attributes if name == "src"]
    assert all(value.startswith("data:image/svg+xml;base64,") for value in pictures)
    assert all("evil" not in (value or "") for name, value in parsed.attributes if name not in {"title", "href"})
    assert {value for name, value in parsed.attributes if name == "href"} <= {"http://evil.example/b.png"}


@given(st.text())
def test_any_reasoning_comes_back_from_the_html_as_it_was_seen(reasoning):
    parsed = page(reasoning="a" + reasoning)
    assert parsed.texts["pre"][0].rstrip("\n") == "\na" + visible(well_formed(reasoning)).rstrip("\n")


def test_text_that_starts_with_a_line_end_keeps_it():
    assert page(reasoning="\nfirst").texts["pre"][0].startswith("\n\nfirst")


def test_citations_stand_where_they_arrived_and_once_below():
    source = {"title": "Meander", "url": "https://en.wikipedia.org/wiki/Meander"}
    shown = page(
        Event("delta", "Banks erode."),
        Event("citation", data=source),
        Event("delta", " Sand is dropped."),
        Event("citation", name="A book", data={}),
        Event("citation", data=source),
        citations=[source, {"title": "A book"}, source],
        text="Banks erode. Sand is dropped.",
    )
    assert re.sub(r"<[^>]*>", "", shown.html).count("Banks erode.[1] Sand is dropped.[2][1]") == 1
    assert shown.tags.count("li") == 2


def test_the_request_and_the_timing_stay_in_the_saved_notebook():
    chunks = [Arrival(Chunk(n, 0, 10**9 + n * 10**7, 1, 1, b"x"), (Event("delta", "w "),)) for n in range(9)]
    told = [("connecting", 10**9 - 10**8), ("waiting", 10**9 - 10**7), *chunks]
    html = bundle(told, final(request="curl -N 'http://127.0.0.1/'"), HEADER)["text/html"]
    assert "<summary" in html
    assert "curl -N &#x27;http://127.0.0.1/&#x27;" in html
    assert 'src="data:image/svg+xml;base64,' in html


def test_characters_that_act_are_made_visible_in_both_forms():
    shown = shown_by(final(text="a\u202eb\x1b[31m\x9b", error="c\u2066"))
    for form in shown.values():
        assert not set(form) & set("\u202e\u2066\x1b\x9b")
    assert "a<U+202E>b\u241b[31m<U+009B>" in shown["text/plain"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://en.wikipedia.org/wiki/Meander", "en.wikipedia.org"),
        ("http://localhost:8000/x", "localhost"),
        ("https://google.com@evil.example/", "evil.example"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("vscode://x/y", ""),
        ("//evil.example/x", ""),
        ("/api/kernels", ""),
        ("https:///nohost", ""),
        ("https://evil.example\\@good.example/", ""),
        ("https://x.example/a b", ""),
        ("https://x.example/\u202e", ""),
        ("https://[::1", ""),
        ("https://" + "a" * 70 + ".example", ""),
        ("java\nscript:alert(1)", ""),
        ("", ""),
    ],
)
def test_only_absolute_http_urls_become_links_and_show_where_they_lead(url, host):
    assert link_host(url) == host
    shown = page(citations=[{"title": "Title", "url": url}])
    links = [value for name, value in shown.attributes if name == "href"]
    target = link_target(url) if host else ""
    assert links == ([target] if target else [])
    if target:
        assert ("rel", "noopener noreferrer nofollow") in shown.attributes
        assert f"({host})" in "".join(shown.texts["a"])


@pytest.mark.parametrize("citation", [{}, {"title": None, "url": math.nan}, {"title": math.nan, "url": None}])
def test_a_citation_without_anything_is_still_an_entry(citation):
    assert "untitled" in "".join(page(citations=[citation]).texts["li"])


def test_a_citation_without_a_title_shows_its_url():
    assert "https://x.example/" in "".join(page(citations=[{"url": "https://x.example/"}]).texts["a"])
    assert "ftp://x.example/" in "".join(page(citations=[{"url": "ftp://x.example/"}]).texts["li"])


def test_what_can_be_pressed_is_shown_and_cannot_act():
    shown = page(choices=["Track a parcel", EVIL])
    assert [text.strip() for text in shown.texts["span"]].count("Track a parcel") == 1
    assert "script" not in shown.tags
    assert not {"button", "input", "form"} & set(shown.tags)
    plain = shown_by(final(choices=["Yes", "No"]))["text/plain"]
    assert plain == "Because.\n\nchoices: Yes \u00b7 No\n\ncomplete \u00b7 0 chunks"


def test_a_warning_beside_a_good_end_has_not_the_colour_of_success():
    pages = (
        shown_by(final(error="It failed", outcome=one))["text/html"] for one in (Outcome.COMPLETE, Outcome.TRUNCATED)
    )
    good, bad = (next(part for part in page.split("<p ") if "It failed" in part) for page in pages)
    assert "--jp-warn-color1" in good
    assert "--jp-success-color1" not in good
    assert "Error:" not in good
    assert "--jp-error-color1" in bad


def test_a_long_answer_stands_in_leaves_that_hold_each_block_once_and_a_short_one_does_not():
    lines = [f"line {at}" for at in range(300)]
    html = shown_by(final(), Event("delta", "\n\n".join(lines)))["text/html"]
    leaves = html.split('<div class="snb-leaf">')[1:]
    assert [leaf.count("<p>line") for leaf in leaves] == [32] * 9 + [12]
    assert re.findall(r"line \d+", "".join(leaves)) == lines
    assert html.count("<div") == html.count("</div>")
    assert 'class="snb-leaf"' not in shown_by(final(), Event("delta", "\n\n".join(lines[:200])))["text/html"]
