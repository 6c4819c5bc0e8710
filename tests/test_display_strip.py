from __future__ import annotations

import base64
import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamnb.display import strip
from streamnb.display.strip import _elements
from streamnb.display.timeline import ANSWER, COALESCED, NO_TEXT, REASONING, Timeline
from streamnb.display.view import Phase

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '</title><script>alert(1)</script>" onload="x" & \x1b\u202e\ufffe\x00 javascript:x'
ELEMENTS = {"svg", "title", "text", "line", "path", "rect"}


def flat(*marks: tuple) -> list[int]:
    """Marks from (ms since the lane began, gap in ms, characters, kind[, reads])."""
    before = 0
    out: list[int] = []
    for seq, (ms, gap, chars, kind, *reads) in enumerate(marks):
        tick = round(ms * 10)
        out += (tick - before, round(gap * 10), chars, *(reads or [1]), kind, seq)
        before = tick
    return out


READS = flat((600, 0, 10, ANSWER), (850, 250, 30, ANSWER), (1100, 250, 60, ANSWER))


def drawn(marks=READS, **what) -> ET.Element:
    what = {"t0_ms": 100, "end_ms": 1100, "stalls": (), "phases": (), "label": "complete"} | what
    return ET.fromstring(strip.svg(marks, **what))


def texts(root: ET.Element) -> list[str]:
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def places(root: ET.Element) -> dict[str, tuple[str, float]]:
    return {node.text: (node.get("x"), float(node.get("y"))) for node in root.iter(f"{SVG}text")}


def paths(root: ET.Element) -> list[str]:
    fields = [node for node in root.iter(f"{SVG}svg") if node.get("viewBox")]  # of a run without text: none
    return [path.get("d") for field in fields[:1] for path in field.iter(f"{SVG}path")]


def test_every_read_is_a_mark_at_its_time_as_high_as_the_silence_before_it():
    tall = round(100 * math.log1p(250) / math.log1p(500))
    marks, line = paths(drawn())
    assert tall == 89
    assert marks == "M500 0v-4M750 0v-89M1000 0v-89"
    assert line == "M500 0H500V-10H750V-40H1000V-100H1000"


def test_the_axes_have_round_numbers_where_they_belong():
    root = drawn()
    at = places(root)
    assert [text for text in texts(root) if text in {"0", "1 s"} or re.fullmatch(r"[2468]00 ms", text)] == [
        "0",
        "200 ms",
        "400 ms",
        "600 ms",
        "800 ms",
        "1 s",
    ]
    assert [at[text][0] for text in ("0", "200 ms", "1 s")] == ["0%", "20%", "100%"]
    assert at["10 ms"][1] == 84 - round(84 * math.log1p(10) / math.log1p(500)) + 4
    assert at["100 ms"][1] == 84 - round(84 * math.log1p(100) / math.log1p(500)) + 4
    assert at["TTFT 500 ms"] == ("50%", -8)
    assert {"silence before each read", "100 characters"} <= set(at)


@pytest.mark.parametrize(
    ("span_s", "labels"),
    [
        (0.05, ["0", "10 ms", "20 ms", "30 ms", "40 ms", "50 ms"]),
        (7, ["0", "2 s", "4 s", "6 s"]),
        (119, ["0", "20 s", "40 s", "60 s", "80 s", "100 s"]),
        (200, ["0", "1:00", "2:00", "3:00"]),
        (3600, ["0", "10:00", "20:00", "30:00", "40:00", "50:00", "60:00"]),
        (30_000, ["0", "120:00", "240:00", "360:00", "480:00"]),
    ],
)
def test_the_time_axis_fits_any_length(span_s, labels):
    root = drawn(flat((100 + span_s * 1000, 0, 1, ANSWER)), end_ms=0)
    ticks = [node for node in root.iter(f"{SVG}text") if node.get("y") == str(84 + 17)]
    assert [node.text for node in ticks] == labels
    assert len({node.get("x") for node in ticks}) == len(ticks)


def test_reasoning_and_answer_have_colours_of_their_own_and_a_legend():
    root = drawn(flat((300, 0, 5, REASONING), (700, 400, 5, ANSWER), (800, 0, 0, NO_TEXT)), end_ms=1100)
    field = [path for path in root.iter(f"{SVG}path") if path.get("d").startswith("M")]
    strokes = {path.get("d"): path.get("stroke") for path in field}
    assert strokes["M200 0v-4"] != strokes["M600 0v-96"]
    assert "M700 2v4" in strokes
    assert {"reasoning", "answer", "no text"} <= set(texts(root))
    assert places(root)["answer 600 ms"] == ("60%", -8)
    assert "several events at once" not in texts(root)
    assert "answer" not in texts(drawn())


def test_reads_with_several_events_are_marked_but_not_one_upon_the_other():
    marks = flat(*((100 + ms, 0 if ms == 1 else 1, 1, ANSWER | COALESCED) for ms in range(1, 1001)))
    root = drawn(marks)
    dots = next(d for d in paths(root) if d.endswith("h0"))
    assert dots.count("M") == 125
    assert all(b - a >= 8 for a, b in itertools.pairwise(int(x) for x in re.findall(r"M(\d+)", dots)))
    assert "several events in one read" in texts(root)


def test_a_stall_is_shaded_and_says_its_length():
    root = drawn(flat((600, 0, 5, ANSWER), (3600, 3000, 5, ANSWER)), end_ms=4100, stalls=[(0.5, 3.0)])
    shade = next(root.iter(f"{SVG}rect"))
    assert (shade.get("x"), shade.get("width"), shade.get("height")) == ("12.5%", "75%", "84")
    assert places(root)["stall 3.00 s"] == ("50%", -8)
    assert "a stall of 3.00 s" in root.get("aria-label")


def test_labels_never_lie_upon_each_other():
    stalls = [(0.5 + 1.3 * n, 1.2) for n in range(30)]
    marks = flat(
        (600, 0, 5, REASONING), (700, 100, 5, ANSWER), *((1900 + 1300 * n, 1200, 5, ANSWER) for n in range(30))
    )
    root = drawn(marks, end_ms=45_000, stalls=stalls)
    spans: list[tuple[float, float]] = []
    for node in root.iter(f"{SVG}text"):
        if node.get("y") == "-8":
            wide = 6.7 * len(node.text)
            x = 330 * float(node.get("x").removesuffix("%")) / 100
            left = {"middle": x - wide / 2, "end": x - wide}.get(node.get("text-anchor"), x)
            spans.append((left, left + wide))
    assert len(spans) >= 2
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(sorted(spans)))
    assert len(list(root.iter(f"{SVG}rect"))) == 30
    assert "30 stalls, the longest of 1.20 s" in root.get("aria-label")


def test_a_stall_that_finds_no_room_above_says_its_length_inside():
    root = drawn(flat((110, 0, 5, ANSWER), (3110, 3000, 5, ANSWER)), end_ms=3600, stalls=[(0.01, 3.0)])
    assert places(root)["TTFT 10 ms"][1] == -8
    root = drawn(flat((1200, 0, 5, ANSWER), (3100, 1900, 5, ANSWER)), end_ms=3600, stalls=[(1.1, 1.9)])
    assert places(root)["1.90 s"][1] == 13


def test_a_label_at_the_right_end_stays_inside():
    root = drawn(flat((2500, 0, 1830, ANSWER | COALESCED, 3)), end_ms=2510)
    label = next(node for node in root.iter(f"{SVG}text") if node.text == "TTFT 2.40 s")
    assert label.get("text-anchor") == "end"


def test_the_phases_of_the_request_are_a_bar_with_a_legend():
    phases = [
        Phase("DNS", 0.0021, ""),
        Phase("connect", 0.0379, ""),
        Phase("headers", 0.16, ""),
        Phase("first byte", 0.2, ""),
    ]
    root = drawn(phases=phases)
    bar = [node for node in root.iter(f"{SVG}rect") if node.get("height") == "7"]
    assert [(node.get("x"), node.get("width")) for node in bar] == [
        ("0%", "0.525%"),
        ("0.525%", "9.475%"),
        ("10%", "40%"),
        ("50%", "50%"),
    ]
    assert texts(root)[:4] == ["DNS 2.1 ms", "connect 38 ms", "headers 160 ms", "first byte 200 ms"]
    assert len({node.get("fill") for node in bar}) == 4
    assert "request: DNS 2.1 ms, connect 38 ms" in root.get("aria-label")
    assert int(root.get("height")) == int(drawn().get("height")) + 50
    assert int(drawn(phases=[Phase("DNS", 0.0, "")]).get("height")) == int(drawn().get("height"))


def test_a_run_without_text_has_no_chart_and_keeps_the_phases_of_its_request():
    root = drawn(flat((300, 0, 0, NO_TEXT), (900, 0, 0, NO_TEXT)), end_ms=5100, phases=[Phase("headers", 0.01, "")])
    assert texts(root) == ["headers 10 ms"]
    assert not list(root.iter(f"{SVG}path"))
    assert int(root.get("height")) < 50
    assert "no text in 5.00 s" in root.get("aria-label")
    assert texts(drawn([], t0_ms=None, end_ms=0)) == []


def test_without_a_request_the_axis_begins_with_the_lane():
    assert paths(drawn(t0_ms=None))[0].startswith("M545 0v-4M773")


def test_who_cannot_see_it_hears_the_figures():
    marks = flat((600, 0, 10, REASONING), (850, 250, 30, ANSWER | COALESCED, 7))
    root = drawn(marks, label="complete \u00b7 200 ms")
    said = root.get("aria-label")
    assert root.get("role") == "img"
    assert said == root.find(f"{SVG}title").text
    assert said == (
        "Timing of the reads. complete \u00b7 200 ms. 40 characters in 8 reads over 1.00 s; first text after 500 ms; "
        "first text of the answer after 750 ms; longest silence 250 ms; some reads carried several events"
    )


def test_runs_of_a_race_share_their_axes():
    slow = flat((1100, 0, 200, REASONING), (2100, 1000, 300, ANSWER))
    root = ET.fromstring(strip.race([("fast", READS, 100, 1100, ()), ("slow", slow, 100, 2100, [(1.0, 1.0)])]))
    fields = [node for node in root.iter(f"{SVG}svg") if node.get("viewBox")]
    tall = round(100 * math.log1p(250) / math.log1p(1000))
    first = [path.get("d") for path in fields[0]]
    assert first[0] == f"M250 0v-4M375 0v-{tall}M500 0v-{tall}"
    assert first[-1] == "M250 0H250V-2H375V-8H500V-20H500"
    assert [path.get("d") for path in fields[1]][-1] == "M500 0H500V-40H1000V-100H1000"
    assert texts(root).count("500 ms") == 1
    wanted = {"fast", "slow", "100 characters", "500 characters", "TTFT 500 ms", "TTFT 1.00 s", "1.00 s"}
    assert wanted <= set(texts(root))
    assert "fast: 100 characters in 3 reads" in root.get("aria-label")


def test_a_long_label_is_cut_and_said_in_full():
    name = "openai_chat:a-model-with-a-name-that-goes-on-and-on"
    root = ET.fromstring(strip.race([(name, READS, 100, 1100, ())]))
    assert texts(root)[0] == name[:35] + "\u2026"
    assert name in root.get("aria-label")


def test_the_image_holds_the_same_picture_in_colours_of_its_own():
    what = {"t0_ms": 100, "end_ms": 1100, "stalls": [(0.1, 0.2)], "phases": [Phase("DNS", 1, "")], "label": "a < b"}
    for shown, plain in (
        (strip.image(READS, **what), strip.svg(READS, **what)),
        (strip.race_image([("x", READS, 100, 1100, ())]), strip.race([("x", READS, 100, 1100, ())])),
    ):
        alt, height, data = re.fullmatch(
            r'<img alt="([^"<>]*)" width="100%" height="(\d+)" style="min-width:380px;max-width:640px" '
            r'src="data:image/svg\+xml;base64,([^"]*)">',
            shown,
        ).groups()
        inside = ET.fromstring(base64.b64decode(data))
        outside = ET.fromstring(plain)
        assert texts(inside) == texts(outside)
        assert paths(inside) == paths(outside)
        assert inside.get("height") == outside.get("height") == height
        assert inside.get("aria-label") == outside.get("aria-label")
        assert alt.replace("&lt;", "<") == inside.get("aria-label")
        assert b"var(" not in base64.b64decode(data)


@pytest.mark.parametrize("shown", [strip.svg, strip.image])
def test_nothing_in_it_acts_or_loads_whatever_it_is_called(shown):
    what = {"t0_ms": 100, "end_ms": 1100, "stalls": [(0.1, 0.2)], "phases": [Phase(EVIL, 1, EVIL)], "label": EVIL}
    page = shown(READS, **what)
    if shown is strip.image:
        assert page.count("<") == 1
        page = base64.b64decode(re.search('base64,([^"]*)', page)[1]).decode()
    _harmless(page)
    _harmless(strip.race([(EVIL, READS, 100, 1100, ())]))


def _harmless(page: str) -> None:
    for node in ET.fromstring(page).iter():
        assert node.tag.removeprefix(SVG) in ELEMENTS
        for name, value in node.attrib.items():
            assert not name.startswith("on")
            assert "href" not in name
            assert name == "aria-label" or "url(" not in value
            assert name != "style" or value == "max-width:640px"
    assert page.count("http") == 1


numbers = st.integers(0, 10**7)
marks_drawn = st.lists(st.tuples(*[numbers] * 4, st.integers(0, 15), numbers), max_size=30)
the_rest = st.fixed_dictionaries(
    {
        "t0_ms": st.one_of(st.none(), st.floats(0, 1e7)),
        "end_ms": st.floats(0, 1e9),
        "stalls": st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), max_size=5),
        "phases": st.lists(st.builds(Phase, st.text(max_size=8), st.floats(0, 1e4), st.text(max_size=8)), max_size=8),
        "label": st.text(max_size=20),
    }
)


@given(marks_drawn, the_rest)
def test_any_numbers_make_a_picture(marks, rest):
    root = drawn(list(itertools.chain(*marks)), **rest)
    for node in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height"):
            value = node.get(name)
            assert value is None or math.isfinite(float(value.removesuffix("%")))
        for name in ("x", "x1", "x2", "width"):
            if (node.get(name) or "").endswith("%"):
                assert 0 <= float(node.get(name)[:-1]) <= 100.1
    for d in paths(root):
        assert all(0 <= int(x) <= 1000 for x in re.findall(r"[MH](\d+)", d))
        assert not re.search(r"nan|inf|e\+", d)


def test_a_long_run_makes_a_picture_of_bounded_size():
    timeline = Timeline()
    timeline.start(0)
    timeline.t0(0)
    for seq in range(50_000):
        timeline.add(seq * 200_000 + seq % 7, 0, seq, 4, 1 + seq % 3, "delta")
    shown = strip.image(timeline.marks(), t0_ms=0, end_ms=timeline.end_ms, stalls=(), phases=(), label="")
    assert len(shown) <= 45_000


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("page", ["#ffffff", "#111111", "#1e1e1e"])
def test_the_colours_of_the_image_are_seen_on_light_and_on_dark_pages(page):
    ink = _elements.PAPER
    for colour, least in [
        (ink.text, 3.5),
        (ink.stall, 3.5),
        (ink.answer, 3),
        (ink.reasoning, 3),
        *((c, 3) for c in ink.phases),
    ]:
        light, dark = sorted((_luminance(colour), _luminance(page)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, colour
