from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.wire.strict_json import JSONError, is_json, loads

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(JSON_VALUES, st.booleans())
def test_what_json_writes_reads_back_without_flags(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert loads(text) == loads(text.encode()) == (value, frozenset())


@pytest.mark.parametrize(
    ("text", "value", "flag"),
    [
        ('{"a": 1, "a": 2}', {"a": 2}, "duplicate_keys"),
        ('[{"a": {"b": 1, "b": []}}]', [{"a": {"b": []}}], "duplicate_keys"),
        (r'"\ud83d"', "\ud83d", "lone_surrogate"),
        (r'{"\uDE00": 1}', {"\ude00": 1}, "lone_surrogate"),
        ('"\ud83d"', "\ud83d", "lone_surrogate"),
    ],
)
def test_oddities_are_flagged_and_kept(text, value, flag):
    assert loads(text) == (value, {flag})


def test_a_surrogate_pair_is_a_character():
    assert loads(r'"\ud83d\ude00 \\ud83d"') == ("\U0001f600 \\ud83d", frozenset())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(
            (text, "invalid_json")
            for text in ("", " ", "{", "{a}", "[1,]", "NaN", "[-Infinity]", "01", "1 2", "\ufeff1")
        ),
        *((text, "invalid_json") for text in ('"\t"', '"\\x"', "'a'", "\x0b1", "True", "+1", "1.", '{"a": 1, "a": 2')),
        *((text, "limit") for text in ("1e400", "[-1e999]", "9" * 4301, "-" + "9" * 4301, "[" * 201 + "]" * 201)),
        *((text, "limit") for text in ("[" * 100_000, '{"a":' * 201)),
        *((text, "invalid_utf8") for text in (b'"\xff"', b'"\xed\xa0\xbd"', b'"\xc0\xaf"', b"\xe2\x82")),
    ],
)
def test_what_is_not_json_is_named(text, name):
    with pytest.raises(JSONError, match=name) as caught:
        loads(text)
    assert caught.value.name == name
    assert isinstance(text, bytes) or not is_json(text)


@pytest.mark.parametrize(
    "text", ["9" * 4300, "-" + "9" * 4300, "[" * 200 + "]" * 200, "1e308", "1e-999", '"' + "[" * 999 + '"']
)
def test_what_is_within_the_limits_is_read(text):
    assert is_json(text)


def test_brackets_in_strings_do_not_nest():
    value = {"k": ['\\"[{' * 300, "[" * 300]}
    assert loads(json.dumps(value))[0] == value


def test_a_lower_limit_on_digits_set_for_the_process_is_a_limit_too():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with pytest.raises(JSONError, match="limit"):
            loads("9" * 700)
    finally:
        sys.set_int_max_str_digits(before)


def test_a_caller_with_a_nearly_full_stack_gets_the_same_error():
    text = "[" * 190 + "]" * 190

    def called_from(frames_below: int):
        return loads(text) if frames_below == 0 else called_from(frames_below - 1)

    try:
        value, _ = called_from(sys.getrecursionlimit() - 100 - stack_depth())
    except JSONError as error:
        assert error.name == "limit"  # noqa: PT017  # up to 3.11 the C scanner shares Python's stack
    else:
        assert str(value) == text


def stack_depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
