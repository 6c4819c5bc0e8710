from __future__ import annotations

import contextlib
import html
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.display.markdown._code import _LANGUAGES, OutOfTimeError, highlight

LATER = float("inf")
CODES = st.text(st.sampled_from("ab1 \n\t\"'`#/*<>(){}[]=:;,.$@!?%&|\\-_\u00e9\u202e"), max_size=200)
TAGS = re.compile(r'<span class="[a-z][a-z0-9]{0,2}">|</span>')


def shown(coloured: str) -> str:
    return html.unescape(TAGS.sub("", coloured))


@pytest.mark.parametrize(
    ("code", "language", "coloured"),
    [
        ("return x  # done", "python", '<span class="k">return</span> x  <span class="c1"># done</span>'),
        ("return x", "PY", '<span class="k">return</span> x'),
        ('"<b>"', "json", '<span class="s2">&quot;&lt;b&gt;&quot;</span>'),
        ("echo 1", "php", '<span class="k">echo</span> <span class="mi">1</span>'),
        ("a=\\", "ini", '<span class="na">a</span><span class="o">=</span>\\'),
        ("if True:", "pycon", ""),
        ("$ ls\na", "console", '<span class="gp">$ </span>ls\n<span class="go">a</span>'),
    ],
)
def test_the_words_of_a_known_language_get_short_classes(code, language, coloured):
    written = highlight(code, language, LATER).replace('"&lt;b&gt;"', "&quot;&lt;b&gt;&quot;")
    assert written == coloured if coloured else shown(written) in {code, ""}


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("x", "nosuch"),
        ("x", ""),
        ("x = 1\n" * 4000, "python"),
        ("x" * 201, "python"),
        ("a\n" + " \n" * 30 + "b", "python"),
    ],
)
def test_other_languages_long_code_long_lines_and_runs_of_blank_lines_get_no_colours(code, language):
    assert highlight(code, language, LATER) == ""


@pytest.mark.parametrize("language", sorted(set(_LANGUAGES)))
@settings(max_examples=10, deadline=None)
@given(code=CODES)
def test_colours_change_no_character_of_the_code(language, code):
    coloured = highlight(code, language, LATER)
    assert shown(coloured) == (code if coloured else "")


def test_a_lexer_that_leaves_something_out_gives_no_colours(monkeypatch: pytest.MonkeyPatch):
    from streamnb.display.markdown import _code

    class Careless:
        @staticmethod
        def get_tokens_unprocessed(text):
            from pygments.token import Keyword

            yield 0, Keyword, text[:-2]

    monkeypatch.setattr(_code, "_lexer", lambda name: Careless)
    assert highlight("return 1", "python", LATER) == ""


def test_a_kind_without_a_class_takes_that_of_the_more_general_one():
    from pygments.token import Keyword, Name

    from streamnb.display.markdown._code import _short

    assert _short(Keyword.Odd.Odder) == "k"
    assert _short(Name.Odd) == ""


def test_colours_stop_when_their_time_is_over():
    with pytest.raises(OutOfTimeError):
        highlight("x = 1\n" * 100, "python", time.thread_time() - 1)


@pytest.mark.parametrize(
    "language", ["python", "bash", "js", "ts", "css", "xml", "ruby", "console", "perl", "c", "go", "sql"]
)
@pytest.mark.parametrize(
    "line", ["a?" * 100, "\n\t" * 19 + "x", "<a " * 66, "'" * 200, "m/" * 100, "<<a" + "a" * 190, "a." * 100]
)
def test_code_that_was_made_to_be_slow_is_given_up_in_time(language, line):
    code = ((line + "\n") * 200)[:16_000]
    begun = time.thread_time()
    with contextlib.suppress(OutOfTimeError):
        highlight(code, language, begun + 0.05)
    assert time.thread_time() - begun < 10 * 0.2
