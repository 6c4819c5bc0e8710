"""`streamnb.testing.events`: recorded bytes, read offline by the code that reads them live."""

from __future__ import annotations

import doctest
import inspect
import sys

import pytest

import streamnb.testing
from streamnb.errors import UsageError
from streamnb.testing import events


def test_the_example_in_the_docstring_works():
    found = doctest.DocTestFinder().find(streamnb.testing.events, globs={"events": events})
    assert sum(len(test.examples) for test in found) == 1
    results = [doctest.DocTestRunner().run(test) for test in found]
    assert sum(result.failed for result in results) == 0


def test_events_have_a_kind_and_a_text():
    (event,) = events("typebot", b'0:"Hi"\n')
    assert (event.kind, event.text) == ("delta", "Hi")
    assert isinstance(event.kind, str)


def test_what_the_end_of_the_body_completes_is_there_too():
    assert [event.text for event in events("openai_chat", b'data: {"choices":[{"delta":{"content":"Hi"}}]}')] == [
        "",
        "Hi",
    ]


def test_options_and_content_type_reach_the_provider():
    assert events("typebot", b'0:"Hi"', framing="raw_text")[0].text == '0:"Hi"'
    assert events("typebot", b"data: a\n\n", content_type="text/event-stream; charset=utf-8")[0].text == "a"


def test_keep_alives_are_pings():
    assert [event.kind for event in events("openai_chat", b": ping\n\n")] == ["ping"]


def test_an_unknown_provider_or_option_names_the_nearest():
    with pytest.raises(UsageError, match=r"There is no provider 'typebt'\. Did you mean typebot\?"):
        events("typebt", b"")
    with pytest.raises(UsageError, match=r"typebot has no option 'framming'\. Did you mean framing\?"):
        events("typebot", b"", framming="sse")


def test_reading_offline_needs_no_socket():
    source = inspect.getsource(sys.modules["streamnb.testing"])
    assert not {"httpx", "socket", "asyncio"} & set(source.replace(",", " ").split())
