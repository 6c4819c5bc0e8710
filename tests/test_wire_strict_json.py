from __future__ import annotations

import importlib.util
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.wire import strict_json
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
    text = "[" * 190 + str(2**64) + "]" * 190  # an integer that orjson does not read

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


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(
        ["-0", "-0.0", "1E5", "1e+05", "1e999", "0.10", "01", "1.", "NaN", "-Infinity", "1e-999", "9" * 4301]
    ),
)
STRINGS = st.one_of(
    st.text().map(json.dumps),
    st.text(st.characters(codec="utf-8")).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        ['"\\ud83d"', '"\\ud83d\\ude00"', '"\\u0022:"', '"\\/"', '": :"', '"\x7f"', '"a\tb"', '"\\x"', '"\ud83d"']
    ),
)
KEYS = st.one_of(st.sampled_from(['"a"', '"b"', '"\\u0061"', '" a"', '":"']), STRINGS)
BLANKS = st.sampled_from(["", " ", "\t", "\n", "\r\n ", "\u00a0", ","])


def nested(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(KEYS, BLANKS, BLANKS, children).map(lambda at: f"{at[0]}{at[1]}:{at[2]}{at[3]}")
    joined = st.tuples(BLANKS, st.lists(children, max_size=4)).map(lambda at: "[" + ("," + at[0]).join(at[1]) + "]")
    return joined | st.tuples(BLANKS, st.lists(pair, max_size=4)).map(lambda at: "{" + ("," + at[0]).join(at[1]) + "}")


NEARLY_JSON = st.recursive(NUMBERS | STRINGS | st.sampled_from(["null", "true", "false", "nul", ""]), nested)


def told(text: str | bytes) -> str:
    try:
        value, flags = loads(text)
    except JSONError as error:
        return error.name
    return repr((value, sorted(flags)))  # tells 1 from 1.0 and -0.0 from 0.0, and keeps the order of keys


@settings(max_examples=400)
@given(NEARLY_JSON | st.text('[]{}",:0123456789.eE+-\\ua \n', max_size=12))
def test_orjson_changes_nothing_but_the_time(text):
    quick = told(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "orjson", None)
        assert told(text) == quick


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a": 1, "b": 18446744073709551616}',
        '{"a":"\\ud83d"}',
        "[" * 201 + "]" * 201,
        "[" * 201,
        "[" * 1100 + "]" * 1100,
        '{"x":' * 199 + "[]" + "}" * 199,
        "-0",
        "\ufeff{}",
        b"\xff",
        b'{"a":"\xed\xa0\xbd"}',
    ],
)
def test_what_orjson_reads_differently_reads_as_without_it(text, monkeypatch):
    quick = told(text)
    monkeypatch.setattr(strict_json, "orjson", None)
    assert told(text) == quick


def test_without_orjson_the_same_texts_are_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "orjson", None)
    spec = importlib.util.spec_from_file_location("strict_json_alone", strict_json.__file__)
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert alone.orjson is None
    assert alone.loads('{"a": [1, 2.0, null]}') == loads('{"a": [1, 2.0, null]}')
    assert not alone.is_json("{")
