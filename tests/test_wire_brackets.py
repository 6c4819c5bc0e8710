from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wire_strict_json import JSON_VALUES

from streamnb.wire._brackets import bracket_step, deepest, without_trailing_commas


@settings(deadline=None)
@given(JSON_VALUES, st.data())
def test_the_level_is_zero_only_at_the_end_of_an_object_or_array(value, data):
    text = json.dumps([value], indent=data.draw(st.none() | st.just(1)), ensure_ascii=False)
    level = in_string = 0
    for line in text.encode().split(b"\n")[:-1]:
        change, in_string = bracket_step(line, in_string)
        level += change
        assert level > 0
    level += bracket_step(text.encode().split(b"\n")[-1], in_string)[0]
    assert (level, in_string) == (0, 0)


@pytest.mark.parametrize(
    ("line", "in_string", "after"),
    [
        (b'{"}', 0, (1, 1)),
        (b'}"}', 1, (-1, 0)),
        (b'"\\"}"]', 0, (-1, 0)),
        (b'"\\\\"}', 0, (-1, 0)),
        (b'"\\\\\\"}"', 0, (0, 0)),
        (b"[" * 600 + b"]", 0, (599, 0)),
    ],
)
def test_strings_and_escapes_are_skipped(line, in_string, after):
    assert bracket_step(line, in_string) == after


@pytest.mark.parametrize(("text", "depth"), [("", 0), ("]", -1), ("[[]][", 2), ('{"[[": [1]}', 2), ("\ud800[", 1)])
def test_the_deepest_level_counts_outside_strings(text, depth):
    assert deepest(text) == depth


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ('{"a": [1,], }', '{"a": [1] }'),
        ('{"a": 1,\n\t}', '{"a": 1\n\t}'),
        ('{"a": ",}"}', '{"a": ",}"}'),
        ('{"a": "\\",}"}', '{"a": "\\",}"}'),
        ("[1,,]", "[1,]"),
        ('["open,]', '["open,]'),
        ('["open\\', '["open\\'),
    ],
)
def test_only_commas_directly_before_a_closing_bracket_go(text, repaired):
    assert without_trailing_commas(text) == repaired


@pytest.mark.parametrize("unit", ['\\"', '"', ",", ", ", '"\\', "[,"])
def test_the_repair_is_linear(unit):
    begin = time.perf_counter()
    without_trailing_commas('"' + unit * 500_000)
    assert time.perf_counter() - begin < 5  # quadratic would be hours
