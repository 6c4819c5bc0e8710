from __future__ import annotations

import re
from typing import Any

import pytest
from kernel_page import shown

from streamnb.display import Final, Header, Style
from streamnb.display.chat import ChatBoard, bundle
from streamnb.events import Arrival, Chunk, Event, Outcome

HEADER = Header("openai_chat", "small-talk-1", "demo", "127.0.0.1:8000", "run-1")
EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(1)> ![i](http://evil.example/b.png) \x1b \u202e"


def final(text: str = "", outcome: Outcome = Outcome.COMPLETE, **rest: Any) -> Final:
    return Final(
        **{
            "text": text,
            "reasoning": "",
            "outcome": outcome,
            "error": None,
            "summary": {},
            "citations": (),
            **rest,
        }
    )


def arrival(t_s: float, *events: Event) -> Arrival:
    return Arrival(Chunk(0, 0, round(t_s * 1e9), 1, 1, b"x"), events)


@pytest.fixture
def board() -> ChatBoard:
    return ChatBoard(Style(), lambda _content: None)


def turn(board: ChatBoard, said: str | None, *events: Event, end: Final | None = None) -> Any:
    """A turn that brought these events; it goes on unless it has an end."""
    view = board.view(said)
    view.open(HEADER, lambda: None)
    view.arrive(arrival(1, *events))
    board.paint(2_000_000_000 * (1 + len(lanes_of(board))))
    if end is not None:
        view.close(end)
    return view.lane


def lanes_of(board: ChatBoard) -> list[dict[str, Any]]:
    return board._board.state()["lanes"]


def test_every_turn_is_a_lane_with_what_was_said(board: ChatBoard):
    turn(board, "Why?\x1b", Event("delta", "Because."), end=final("Because."))
    turn(board, None, Event("message", "Hello."))
    first, second = lanes_of(board)
    assert (first["id"], first["said"], shown(first["doc"]), first["live"]) == (0, "Why?\u241b", "Because.", False)
    assert (second["id"], second["said"], shown(second["doc"]), second["live"]) == (1, None, "Hello.", True)


def test_turns_that_are_not_kept_are_gone(board: ChatBoard):
    first, _ = (turn(board, text, end=final(text)) for text in ("one", "two"))
    board.keep([first])
    assert [lane["said"] for lane in lanes_of(board)] == ["one"]
    turn(board, "three")
    assert [lane["id"] for lane in lanes_of(board)] == [0, 2]


def test_what_a_platform_waits_for_stands_at_its_turn_made_harmless(board: ChatBoard):
    lane = turn(board, "Hi")
    board.wants(lane, "email", "you\u202e")
    assert lanes_of(board)[0]["input"] == {"kind": "email", "placeholder": "you<U+202E>"}


def test_the_state_of_the_conversation_is_made_harmless(board: ChatBoard):
    board.state({"error": "a\x1b", "over": None, "busy": True, "fields": [{"value": "as it is"}]})
    chat = board._board.state()["chat"]
    assert chat == {"error": "a\u241b", "over": None, "busy": True, "fields": [{"value": "as it is"}]}
    assert board._board.state()["layout"] == "chat"


def test_a_transcript_has_every_turn_with_answer_sources_choices_and_outcome(board: ChatBoard):
    cited = [{"title": "Rivers", "url": "https://rivers.example/x", "source_type": "web", "at_char": 3}]
    summary = {"ttft_s": 0.25, "n_chunks": 3}
    end = final("**Because.**", summary=summary, citations=cited, choices=["Yes", "No"])
    turn(board, "Why?\nReally?", Event("delta", "**Because.**"), end=end)
    turn(board, "More", Event("delta", "Half"), end=final("Half", Outcome.STOPPED, error="demo: stopped."))
    turn(board, None, Event("delta", "Still"))
    both = board.bundle("as text\x1b")
    assert both["text/plain"] == "as text\u241b"
    page = both["text/html"]
    text = re.sub(r"<[^>]*>", "", page.partition("</style>")[2])
    words = ["Why?\nReally?", "Because.", "Rivers (rivers.example)", "web", "choices: Yes \u00b7 No", "TTFT"]
    words += ["More", "Half", "demo: stopped.", "stopped", "Still", "running"]
    at = 0
    for word in words:
        assert word in text[at:], word
        at = text.index(word, at) + len(word)
    assert 'href="https://rivers.example/x"' in page
    assert "<strong>Because.</strong>" in page
    assert page.count("You</p>") == 2
    assert '</style>\n<div class="snb-static tex2jax_ignore mathjax_ignore"' in page, "no page typesets what was said"


def test_a_conversation_without_turns_says_so(board: ChatBoard):
    assert "nothing was said yet" in board.bundle("")["text/html"]


def test_nothing_in_a_transcript_acts(board: ChatBoard):
    cited = [{"title": EVIL, "url": "javascript:alert(1)", "source_type": EVIL, "at_char": 0}]
    end = final(EVIL, Outcome.ERROR_IN_STREAM, error=EVIL, citations=cited, choices=[EVIL])
    lane = turn(board, EVIL, Event("delta", EVIL), Event("message", EVIL), end=end)
    page = bundle([lane], EVIL)["text/html"]
    tags = set(re.findall(r"<([a-z0-9]+)", page))
    assert tags.isdisjoint({"script", "img", "iframe", "form", "input", "svg", "object", "link"})
    assert not re.search(r"<[^>]* on\w+=", page)
    assert "javascript:" not in re.sub(r">[^<]*<", "><", page)
    assert "\x1b" not in page
    assert "\u202e" not in page
