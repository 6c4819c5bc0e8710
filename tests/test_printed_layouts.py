"""Streams laid out as vendor pages print them: the text comes out whole, and at every cut (WIRE 0.3, 0.4)."""

from __future__ import annotations

import json

import pytest
from wire_vectors import PRINTED, cuttings

from streamnb.conversation import Reading
from streamnb.providers import Call, ReplyHead, load, names
from streamnb.testing import events

LAYOUTS = [
    pytest.param(path, name, id=path.stem)
    for path in sorted(PRINTED.glob("*.txt"))
    for name in names()
    if path.stem.partition("_")[0] == name
]


def text_of(found: list) -> str:
    return "".join(event.text for event in found if event.kind == "delta")


def test_the_printed_layouts_of_typebot_are_there():
    assert {param.id for param in LAYOUTS} >= {"typebot", "typebot_sse"}


@pytest.mark.parametrize(("path", "name"), LAYOUTS)
def test_a_printed_layout_has_the_text_that_was_meant(path, name):
    expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
    found = events(name, path.read_bytes())
    assert text_of(found) == expected["text"]
    assert not [event for event in found if event.kind in {"unknown", "error"}]


@pytest.mark.parametrize(("path", "name"), LAYOUTS)
def test_how_a_printed_layout_is_cut_changes_nothing(path, name):
    data = path.read_bytes()
    whole = events(name, data)
    provider = load(name)()
    for pieces in cuttings(data):
        reading = Reading(provider, Call(provider.stream_name, stream=True), ReplyHead())
        cut = [event for piece in pieces for event in reading.feed(piece).events]
        assert [*cut, *reading.close().events] == whole
