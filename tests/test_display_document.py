from __future__ import annotations

import collections
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.display import markdown as md
from streamnb.display.document import Document
from streamnb.simulator import prose

MS = 1_000_000
PIECES = (
    *("a", "b c", "Word", "é", "\U0001f600", "x" * 60, "1", "$$", "\\", "(u)", "[x]: /u", "'t", "<b>"),
    *("\n", "\n\n", " ", "    ", "\t"),
    *(
        "#",
        "- ",
        "* ",
        "1. ",
        "1",
        ">",
        "===",
        "---",
        "`",
        "```",
        "~~~",
        "\n```\n",
        "|",
        "a|b",
        "-|-",
        "\n-|-\n",
        "**",
        "_",
    ),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
CUTS = st.lists(st.tuples(st.integers(1, 30), st.sampled_from([0, 50, 100, 400])), min_size=1, max_size=40)


class Clock:
    """A clock that goes on by `cost_ms` whenever it is read."""

    def __init__(self, cost_ms: float = 0) -> None:
        self.cost_ms = cost_ms
        self.now = 0

    def __call__(self) -> int:
        self.now += round(self.cost_ms * MS)
        return self.now


def utf16(text: str, keep: int) -> str:
    return text.encode("utf-16-le")[: 2 * keep].decode("utf-16-le")


def apply(page: dict, ops: list) -> None:
    """What a browser does with them."""
    for name, *op in ops:
        match name:
            case "set":
                page[op[0]["p"]] = dict(op[0])
            case "splice":
                block = page[op[0]]
                block["h"] = utf16(block["h"], op[1]) + op[2]
            case "text":
                assert page[op[0]]["k"] == "pre"
                page[op[0]]["t"] += op[1]
            case "drop":
                del page[op[0]]
            case "clear":
                for p in [p for p, block in page.items() if block["k"] in {"md", "pre"}]:
                    del page[p]
            case _:
                pytest.fail(f"no such op: {name}")


def shown(page: dict) -> list[dict]:
    return [page[p] for p in sorted(page)]


def whole(text: str, **options) -> str:
    document = Document(**options)
    document.append(text)
    document.ops(0, last=True)
    return document.html()


def streamed(text: str, cuts, document: Document | None = None) -> tuple[Document, dict, list]:
    """Feed a text in pieces of these sizes at these times, over and over; check the page after each."""
    document = document or Document(clock_ns=Clock())
    page: dict = {}
    told: list = []
    now = at = turn = 0
    while at < len(text):
        size, wait_ms = cuts[turn % len(cuts)]
        document.append(text[at : at + size])
        at, turn, now = at + size, turn + 1, now + wait_ms * MS
        told += (ops := document.ops(now))
        apply(page, ops)
        assert shown(page) == document.blocks()
    told += (ops := document.ops(now, last=True))
    apply(page, ops)
    assert shown(page) == document.blocks()
    return document, page, told


def kinds(document: Document) -> list[tuple[float, str]]:
    return [(block["p"], block["k"]) for block in document.blocks()]


@settings(max_examples=400)
@given(TEXTS, CUTS)
def test_however_a_text_is_cut_and_timed_the_page_ends_with_the_same_answer(text, cuts):
    document, page, _ = streamed(text, cuts)
    assert document.html() == whole(text)
    assert all(block["k"] == "md" for block in page.values())
    assert [block["p"] for block in shown(page)] == list(range(len(page)))


@given(TEXTS, CUTS)
def test_the_whole_can_be_had_in_mid_stream_without_disturbing_what_follows(text, cuts):
    document = Document(clock_ns=Clock())
    page: dict = {}
    for turn, (size, wait_ms) in enumerate(cuts):
        so_far = text[: sum(size for size, _ in cuts[: turn + 1])]
        document.append(so_far[sum(size for size, _ in cuts[:turn]) :])
        assert document.html() == whole(so_far)
        assert document.blocks() == shown(page)
        apply(page, document.ops(sum(wait for _, wait in cuts[: turn + 1]) * MS + wait_ms))
    assert document.blocks() == shown(page)


@given(TEXTS, CUTS)
def test_without_markdown_the_page_has_the_text_as_it_came(text, cuts):
    document, page, _ = streamed(text, cuts, Document(markdown=False))
    assert "".join(block["t"] for block in page.values()) == text
    assert document.html() == whole(text, markdown=False)


@given(st.lists(st.sampled_from(["line\n", "x" * 900, "\U0001f600" * 500, "\n", "y" * 5000]), max_size=30), CUTS)
def test_plain_text_comes_in_pieces_that_end_with_a_line_wherever_it_was_cut(parts, cuts):
    text = "".join(parts)
    _, page, told = streamed(text, [(size * 50, wait) for size, wait in cuts], Document(markdown=False))
    pieces = [block["t"] for block in shown(page)]
    assert "".join(pieces) == text
    assert all(4000 <= len(piece) <= 8000 for piece in pieces[:-1])
    assert all(piece.endswith("\n") for piece in pieces[:-1] if len(piece) < 8000)
    assert sum(len(op[2]) if op[0] == "text" else len(op[1]["t"]) for op in told) == len(text)


def test_a_finished_block_is_never_sent_again():
    text = "".join(prose.tokens(7, 3000))
    document = Document(clock_ns=Clock())
    sets: collections.Counter = collections.Counter()
    for turn, at in enumerate(range(0, len(text), 23)):
        finished = document._next
        document.append(text[at : at + 23])
        for op in document.ops(turn * 50 * MS):
            p = op[1]["p"] if op[0] == "set" else op[1]
            assert op[0] in {"set", "splice"}
            assert p >= finished
            sets[p] += op[0] == "set"
    document.ops(10**12, last=True)
    assert len(document.blocks()) > 100
    assert sets == dict.fromkeys(range(len(document.blocks())), 1)


@pytest.mark.parametrize(
    ("first", "then", "n_first", "n_then"),
    [
        ("a\n#", "b", 2, 1),
        ("a\n```", "x`", 2, 1),
        ("a\n---", "b", 1, 1),
        ("- a\n\n2", ". b", 2, 2),
        ("1. a\n\n2", ". b", 2, 1),
        ("a\n\n>", "", 2, 2),
        ("a\n-", " b", 1, 2),
    ],
)
def test_an_incomplete_line_may_still_join_the_block_before_it(first, then, n_first, n_then):
    document = Document(clock_ns=Clock())
    page: dict = {}
    document.append(first)
    apply(page, document.ops(0))
    assert len(page) == n_first
    document.append(then)
    apply(page, document.ops(200 * MS))
    assert len(page) == n_then
    apply(page, document.ops(400 * MS, last=True))
    assert document.html() == whole(first + then)


def test_a_letter_at_the_start_of_a_line_finishes_the_block_before_it():
    document = Document(clock_ns=Clock())
    document.append("One.\n\nT")
    document.ops(0)
    document.append("wo" * 3000)
    document.ops(200 * MS)
    assert kinds(document) == [(0, "md"), (1, "pre")]
    assert document.ops(400 * MS) == []


def test_an_open_block_that_is_long_travels_as_text_until_it_closes():
    document = Document(clock_ns=Clock())
    code = "```python\n" + "a = 1\n" * 700
    document.append("Intro\n\n" + code)
    assert [op[1]["k"] for op in document.ops(0)] == ["md", "pre"]
    document.append("b = 2\n")
    code += "b = 2\n" + md.cite(1) + "c = 3\n"
    document.cite(1)
    assert document.ops(10 * MS) == [["text", 1, "b = 2\n"]]
    document.append("c = 3\n")
    assert document.ops(200 * MS) == [["text", 1, "c = 3\n"]]
    document.append("```\n\nThe end")
    ops = document.ops(400 * MS)
    assert ops[0][:2] == ["text", 1]
    assert [(op[0], op[1]["p"], op[1]["k"]) for op in ops[1:]] == [("set", 1, "md"), ("set", 2, "md")]
    document.ops(400 * MS, last=True)
    assert document.html() == "\n".join(md.render(part) for part in ("Intro", code + "```", "The end"))


def test_an_open_block_that_is_long_is_rendered_at_the_end_though_nothing_more_came():
    document = Document(clock_ns=Clock())
    document.append("word " * 1000)
    assert [op[1]["k"] for op in document.ops(0)] == ["pre"]
    assert [op[1]["k"] for op in document.ops(1, last=True)] == ["md"]
    assert document.ops(2, last=True) == []


def test_markdown_is_rendered_ten_times_a_second_at_most_and_rests_ten_times_what_it_cost():
    clock = Clock()
    document = Document(clock_ns=clock)
    document.append("a")
    assert document.ops(1000 * MS)
    document.append("b")
    assert document.ops(1099 * MS) == []
    clock.cost_ms = 3
    assert document.ops(1100 * MS)
    document.append("c")
    assert document.ops(1189 * MS) == document.ops(1199 * MS) == []
    clock.cost_ms = 0
    assert document.ops(1220 * MS)
    assert document.ops(5000 * MS) == []


def test_the_rest_is_ten_times_what_a_rendering_cost():
    clock = Clock(cost_ms=8)
    document = Document(clock_ns=clock)
    document.append("a")
    document.ops(0)
    cost_ms = clock.now / MS - 8  # without what the first look at the clock took
    document.append("b")
    assert cost_ms > 20
    assert document.ops(round(10 * cost_ms * MS) - 1) == []
    assert document.ops(round(10 * cost_ms * MS))


def test_a_block_that_took_too_long_is_the_last_one_rendered():
    clock = Clock()
    document = Document(clock_ns=clock)
    document.append("One\n\nTwo\n\n- three")
    document.ops(0)
    page = {block["p"]: block for block in document.blocks()}
    clock.cost_ms = 251
    document.append("\n\n*Four*\n\n*Five*\n\nS")
    apply(page, document.ops(200 * MS))
    assert shown(page) == document.blocks()
    assert [block.get("h") for block in shown(page)[2:]] == [md.render("- three"), md.render("*Four*"), None]
    assert shown(page)[-1] == {"p": 4, "k": "pre", "t": "*Five*\n\nS"}
    document.append("ix")
    document.cite(3)
    document.message("*z*")
    assert document.ops(201 * MS)[0] == ["text", 4, "ix"]
    assert document.blocks()[-1] == {"p": 4.5, "k": "msg", "h": md.plain("*z*")}
    document.restart()
    document.append("*w*")
    assert [op[0] for op in document.ops(202 * MS)] == ["clear", "set"]
    assert document.blocks()[-1]["t"] == "*w*"


def test_an_open_block_that_took_too_long_becomes_plain():
    clock = Clock()
    document = Document(clock_ns=clock)
    document.append("One\n\nTwo\n#")
    assert len(document.ops(0)) == 3
    clock.cost_ms = 251
    document.append(" Three")
    page = {block["p"]: block for block in document.blocks()}
    apply(page, document.ops(200 * MS))
    assert shown(page) == document.blocks()
    assert shown(page)[1:] == [{"p": 1, "k": "pre", "t": "Two\n# Three"}]
    assert document.html() == "\n".join([md.render("One"), md.plain("Two\n# Three")])


def test_beyond_the_limit_the_answer_is_plain_wherever_it_was_cut(monkeypatch):
    monkeypatch.setattr(md, "TOTAL_LIMIT", 100)
    text = "One *a*\n\n" * 8 + "Two *b*\n\n" * 20
    document, page, _ = streamed(text, [(7, 60)])
    assert "".join(block["t"] for block in shown(page) if block["k"] == "pre") == text[100:]
    assert document.html() == whole(text)
    document.cite(1)
    assert document.html() == whole(text)
    document.message("*c*" * 40)
    document.ops(0, last=True)
    assert document.blocks()[-1]["h"] == md.plain("*c*" * 40)


def test_what_arrives_beside_the_answer_stands_where_it_arrived():
    document = Document(clock_ns=Clock())
    document.message("Hi *there*")
    document.note("one")
    document.append("First.\n\nSec")
    document.note("two")
    document.fold("t", "tool look_up", "{}", open_=True)
    document.append("ond.\n\nThird.")
    document.note("three")
    page: dict = {}
    apply(page, document.ops(0, last=True))
    assert [block.get("t", block["k"]) for block in shown(page)] == [
        "msg",
        "one",
        "md",
        "md",
        "two",
        "{}",
        "md",
        "three",
    ]
    assert [p for p in sorted(page) if p < 0 or p != int(p)] == [
        -0.5,
        pytest.approx(-1 / 3),
        1.5,
        pytest.approx(5 / 3),
        2.5,
    ]
    assert page[-0.5]["h"] == md.render("Hi *there*")
    assert page[5 / 3] == {"p": 5 / 3, "k": "fold", "s": "tool look_up", "t": "{}", "w": 1}


@settings(max_examples=200)
@given(st.lists(st.one_of(TEXTS, st.none()), max_size=12), CUTS)
def test_what_stands_between_the_blocks_does_not_depend_on_times(parts, cuts):
    document, at_once = Document(clock_ns=Clock()), Document(clock_ns=Clock())
    page: dict = {}
    now = 0
    for turn, part in enumerate(parts):
        for one in (document, at_once):
            if part is None:
                one.note(f"note {turn}")
            else:
                one.append(part)
        now += cuts[turn % len(cuts)][1] * MS
        apply(page, document.ops(now))
        assert shown(page) == document.blocks()
    apply(page, document.ops(now, last=True))
    at_once.ops(0, last=True)
    assert shown(page) == document.blocks() == at_once.blocks()
    assert document.html() == at_once.html()


def test_something_beside_a_block_that_joins_another_moves_with_it():
    document = Document(clock_ns=Clock())
    page: dict = {}
    document.append("a\n#")
    document.note("n")
    apply(page, document.ops(0))
    assert sorted(page) == [0, 1, 1.5]
    document.append("b\n\nc")
    apply(page, document.ops(200 * MS))
    assert sorted(page) == [0, 0.5, 1]
    assert shown(page) == document.blocks()


def test_a_fold_is_replaced_in_its_place_and_one_that_grows_only_twice_a_second():
    document = Document(clock_ns=Clock())
    document.fold("t", "tool", "{", open_=True)
    document.ops(0)
    document.fold("t", "tool", '{"a"', open_=True)
    assert [op[1]["t"] for op in document.ops(1)] == ['{"a"']
    document.fold("t", "tool", '{"a": 1', open_=True)
    assert document.ops(400 * MS) == []
    assert document.html().count("{&quot;a&quot;: 1") == 1
    assert [op[1]["t"] for op in document.ops(600 * MS)] == ['{"a": 1']
    document.fold("t", "tool", '{"a": 1}')
    assert document.ops(601 * MS) == [["set", {"p": -0.5, "k": "fold", "s": "tool", "t": '{"a": 1}'}]]
    document.fold("t", "tool", '{"a": 1}')
    assert document.ops(900 * MS, last=True) == []


def test_a_new_answer_clears_the_old_one_at_once_with_its_first_text():
    document = Document(clock_ns=Clock())
    page: dict = {}
    document.note("before")
    document.append("Wrong *answer*.\n\nMore")
    document.note("between")
    apply(page, document.ops(0))
    document.restart()
    assert document.ops(50 * MS) == []
    document.append("Right.")
    document.note("after")
    apply(page, document.ops(100 * MS))
    assert shown(page) == document.blocks()
    assert [block.get("t", block.get("h")) for block in shown(page)] == [
        "before",
        "between",
        md.render("Right."),
        "after",
    ]
    document.append("\n\nOn.")
    apply(page, document.ops(300 * MS, last=True))
    assert document.html() == "\n".join(
        ["<p>before</p>", "<p>between</p>", md.render("Right."), "<p>after</p>", md.render("On.")]
    )


def test_a_plain_answer_starts_anew_as_well():
    document = Document(markdown=False)
    document.append("Wrong")
    document.ops(0)
    document.restart()
    assert document.html() == ""
    document.note("n")
    assert [op[0] for op in document.ops(1)] == ["clear", "set"]
    document.append("Right")
    assert document.ops(2) == [["set", {"p": 1, "k": "pre", "t": "Right"}]]
    assert document.html() == f"<p>n</p>\n{md.plain('Right')}"


def test_a_restart_before_anything_was_shown_clears_nothing():
    document = Document(clock_ns=Clock())
    document.append("Wrong")
    document.note("n")
    document.restart()
    document.restart()
    document.append("Right")
    assert [op[0] for op in document.ops(0)] == ["set", "set"]
    assert kinds(document) == [(-0.5, "note"), (0, "md")]


def test_a_citation_becomes_a_mark_where_it_arrived():
    document = Document(clock_ns=Clock())
    document.append("Rivers bend")
    document.cite(2)
    document.append(".\n\nSo do roads.")
    document.ops(0, last=True)
    assert document.html() == "\n".join([md.render(f"Rivers bend{md.cite(2)}."), md.render("So do roads.")])
    assert "snb-cite" in document.html()


def test_the_text_of_a_model_cannot_forge_a_mark():
    document = Document(clock_ns=Clock())
    document.append(f"Trust me{md.cite(1)}")
    assert "snb-cite" not in document.html()


def test_static_html_is_escaped_and_keeps_every_line():
    document = Document(clock_ns=Clock())
    document.note("<b>&")
    document.fold("k", "<i>", "\n<script>")
    document.append("*x* <script>alert(1)</script>")
    shown_html = document.html()
    assert "<p>&lt;b&gt;&amp;</p>" in shown_html
    assert "<details><summary>&lt;i&gt;</summary>\n<pre>\n\n&lt;script&gt;</pre>\n</details>" in shown_html
    assert "<script" not in shown_html
    assert Document(markdown=False).html() == ""


def test_plain_pieces_are_one_block_of_static_html():
    document = Document(markdown=False)
    document.append("line\n" * 2000)
    document.note("n")
    assert document.html() == md.plain("line\n" * 2000) + "\n<p>n</p>"


def test_no_prefix_is_cut_inside_a_surrogate_pair():
    document = Document(clock_ns=Clock())
    page: dict = {}
    document.append("\U0001f600 a \U0001f600")
    apply(page, document.ops(0))
    document.append("\U0001f601")
    ops = document.ops(200 * MS)
    assert [op[0] for op in ops] == ["splice"]
    assert ops[0][2] == len("<p>") + 7
    apply(page, ops)
    assert shown(page) == document.blocks()


def _bytes(told: list) -> int:
    return sum(len(json.dumps(op, ensure_ascii=False, separators=(",", ":")).encode()) for op in told)


def _answer_at_speed(n_tokens: int, text_of=prose.tokens) -> tuple[int, list]:
    """Bytes of what the page is told when 5000 tokens arrive a second and it is told 20 times a second."""
    document = Document(clock_ns=Clock())
    told: list = []
    pieces = list(text_of(3, n_tokens))
    for turn, at in enumerate(range(0, len(pieces), 250)):
        for piece in pieces[at : at + 250]:
            document.append(piece)
        told += document.ops(turn * 50 * MS)
    told += document.ops(10**12, last=True)
    return _bytes(told), told


def test_an_answer_costs_no_more_bytes_a_token_the_longer_it_is():
    short, _ = _answer_at_speed(2000)
    long, _ = _answer_at_speed(20_000)
    assert long / 20_000 <= 20
    assert long / 20_000 <= 1.2 * short / 2000


def test_one_block_without_an_end_costs_no_more_bytes_a_token_the_longer_it_is():
    def fence(_seed: int, n: int):
        yield "```text\n"
        yield from ["word", "\n"] * (n // 2)

    long, told = _answer_at_speed(20_000, fence)
    assert long / 20_000 <= 10
    assert sum(op[0] == "set" for op in told) == 3


def test_memory_is_a_small_multiple_of_the_text():
    text = "".join(prose.tokens(5, 20_000))
    tracemalloc.start()
    try:
        document, _, _ = streamed(text, [(1000, 50)])
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert document.blocks()
    assert now < 20 * len(text)


def test_thousands_of_notes_behind_an_open_block_do_not_slow_what_follows():
    document = Document(clock_ns=Clock())
    document.append("open")
    document.ops(0)
    for n in range(2000):
        document.note(str(n))
        document.ops(n)
    assert len(document._loose) <= 200
    assert len({block["p"] for block in document.blocks()}) == 2001
    assert [block["t"] for block in document.blocks()[1:]] == [str(n) for n in range(2000)]
