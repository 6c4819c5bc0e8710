from __future__ import annotations

import math

import pytest

from streamnb.display.sources import Source, Sources
from streamnb.events import Event


def test_a_source_has_one_number_however_often_it_is_cited():
    sources = Sources()
    page = {"title": "Meander", "url": "https://en.wikipedia.org/wiki/Meander", "source_type": "web"}
    assert [sources.row(page), sources.row({"title": "A book"}), sources.row(page)] == [1, 2, 1]
    assert sources.rows == [
        Source(1, "Meander", "https://en.wikipedia.org/wiki/Meander", "en.wikipedia.org", "web"),
        Source(2, "A book", "", "", ""),
    ]


def test_an_event_and_its_row_in_the_table_are_the_same_source():
    sources = Sources()
    assert sources.event(Event("citation", name="A book", data={"source_type": "file"})) == 1
    assert sources.row({"title": "A book", "url": None, "source_type": "file"}) == 1
    assert sources.event(Event("citation", name="A book", data="odd")) == 2


@pytest.mark.parametrize("citation", [{}, {"title": None, "url": math.nan}, {"title": math.nan, "url": None}])
def test_a_source_without_anything_is_still_one(citation):
    sources = Sources()
    sources.row(citation)
    assert sources.rows == [Source(1, "untitled", "", "", "")]


def test_what_must_not_become_a_link_is_said_as_text_and_nothing_acts():
    sources = Sources()
    sources.row({"title": "T\u202e\n  x", "url": "javascript:alert(1)", "source_type": "a\x1b"})
    assert sources.rows == [Source(1, "T<U+202E> x (javascript:alert(1))", "", "", "a\u241b")]
