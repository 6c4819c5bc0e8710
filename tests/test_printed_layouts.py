"""Streams laid out as vendor pages print them: the text comes out whole, and at every cut (WIRE 0.3, 0.4)."""

from __future__ import annotations

import json

import pytest
from wire_vectors import PRINTED, cuttings

from streamnb.conversation import Reading
from streamnb.providers import Call, ReplyHead, load, names
from streamnb.testing import events

TYPES = {"jsonl": "application/jsonl"}
LAYOUTS = [
    pytest.param(path, name, id=path.stem)
    for path in sorted(PRINTED.glob("*.txt"))
    for name in names()
    if path.stem.partition("_")[0] == name
]


def text_of(found: list) -> str:
    return "".join(event.text for event in found if event.kind == "delta")


def tokens_of(found: list) -> tuple[int, int]:
    said = [event.data for event in found if event.kind == "usage"]
    return tuple(sum(one.get(side) or 0 for one in said) for side in ("tokens_in", "tokens_out"))


def test_the_layout_of_every_page_is_tried():
    assert {param.id for param in LAYOUTS} == {path.stem for path in PRINTED.glob("*.txt")}


def meant(path) -> dict:
    said = json.loads(path.with_suffix(".json").read_text("utf-8"))
    if "same_as" in said:
        said |= meant(PRINTED / said["same_as"])
    return said


@pytest.mark.parametrize(("path", "name"), LAYOUTS)
def test_a_printed_layout_has_the_text_that_was_meant(path, name):
    expected = meant(path)
    found = events(name, path.read_bytes(), content_type=TYPES.get(expected.get("framing"), ""))
    assert text_of(found) == expected["text"]
    cited = [{"title": event.name, "at_char": event.data["at_char"]} for event in found if event.kind == "citation"]
    assert cited == expected.get("citations", [])
    if "tokens" in expected:
        assert tokens_of(found) == (expected["tokens"]["query"], expected["tokens"]["answer"])
    assert not [event for event in found if event.kind in {"unknown", "error"}]


@pytest.mark.parametrize(("path", "name"), LAYOUTS)
def test_how_a_printed_layout_is_cut_changes_nothing(path, name):
    data = path.read_bytes()
    whole = events(name, data, content_type=TYPES.get(meant(path).get("framing"), ""))
    provider = load(name)()
    for pieces in cuttings(data):
        head = ReplyHead(200, {"content-type": TYPES.get(meant(path).get("framing"), "")})
        reading = Reading(provider, Call(provider.stream_name, stream=True), head)
        cut = [event for piece in pieces for event in reading.feed(piece).events]
        assert [*cut, *reading.close().events] == whole
