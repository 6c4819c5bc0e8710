from __future__ import annotations

import pytest

from streamnb.display.view import Final, Header, NullView
from streamnb.events import Arrival, Chunk, Outcome


def final(text="") -> Final:
    return Final(text, "", Outcome.COMPLETE, None, {}, ())


@pytest.mark.parametrize(
    ("provider", "model", "target", "host", "title"),
    [
        ("openai_chat", "m", "openai_chat", "api.example", "openai_chat \u00b7 m \u00b7 api.example"),
        ("openai_chat", "m", "demo", "127.0.0.1:8000", "demo (openai_chat) \u00b7 m \u00b7 127.0.0.1:8000"),
        ("typebot", None, "", "typebot.io", "typebot \u00b7 typebot.io"),
        ("typebot", "", "typebot", "", "typebot"),
    ],
)
def test_the_title_names_each_thing_once(provider, model, target, host, title):
    assert Header(provider, model, target, host, "run").title == title


def test_the_null_view_swallows_a_whole_run(capsys):
    view = NullView()
    view.open(Header("p", None, "t", "h", "r"), lambda: None)
    view.phase("waiting", 0)
    view.arrive(Arrival(Chunk(0, 0, 0, 0, 0, b"")))
    view.paint(0)
    view.close(final("text"))
    view.repeat()
    assert capsys.readouterr() == ("", "")
