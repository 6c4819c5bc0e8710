"""Runs in which every text is hostile, on every screen there is. A kernel under a real page imports it.

Knows views, replays and Typebot's wire. Must not know: browsers, what the texts are.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from IPython.display import display

import streamnb
from streamnb.background import Background
from streamnb.display.chat import ChatBoard
from streamnb.display.inert import well_formed
from streamnb.display.panel import PanelView
from streamnb.display.race_page import PanelRace
from streamnb.display.view import EventRow, Final, Header, Phase, Raw, Sent, Style, View
from streamnb.events import Arrival, Choice, Chunk, Event, Outcome, Prompt
from streamnb.replaying import Replay

S = 1_000_000_000
STYLE = Style()


def mark(kind: str, at: int) -> str:
    """What stands at the end of an answer, so that a page can be asked whether it is there."""
    return f"{kind}{at:03}end"


def pieces(text: str) -> list[str]:
    """A text as it may arrive: a few characters, most of it, the rest."""
    return [text[:3], text[3:-2], text[-2:]] if len(text) > 5 else [text]


def events(text: str, end: str) -> Iterator[tuple[Event, ...]]:
    """One hostile text as everything that a stream can say, a tuple for each read."""
    yield Event("reasoning", text), Event("action", name=text)
    for piece in pieces(text):
        yield (Event("delta", piece),)
    for url in (text, f"https://example.com/?q={text}", f"https://{text}@example.com"):
        yield (Event("citation", name=text, data={"title": text, "url": url, "source_type": text}),)
    yield Event("message", text), Event("tool_call", text, name=text, id="1"), Event("tool_call", text, name=text)
    yield Event("tool_result", text, name=text, id="1"), Event("item", text, choices=(Choice(text, Prompt(text)),))
    yield Event("error", text), Event("error", name=text), Event("delta", f"\n\n{end}")


class Texts:
    """What a panel may ask about a run, with nothing in it but one text."""

    def __init__(self, text: str) -> None:
        self._text = well_formed(text)

    def kinds(self) -> dict[str, int]:
        return {self._text: 1, "delta": 1}

    def rows(self, first: int, n: int, kinds: object = None) -> tuple[int, list[EventRow]]:
        rows = [EventRow(0, 0.1, self._text, self._text, self._text, 0, coalesced=False)]
        return 1, rows[first : first + n]

    def raw(self, seq: int) -> Raw:
        data = self._text.encode()
        return Raw(data, len(data), 0.1)

    def sent(self) -> list[Sent]:
        pair = (self._text, self._text)
        return [Sent(self._text, self._text, self._text, (pair,), self._text, 200, (pair,), self._text)]

    def phases(self) -> list[Phase]:
        return [Phase(self._text, 0.1, self._text)]


def feed(view: View, text: str, end: str, paint=None) -> None:
    """Open a view and let everything arrive, painted after each read by a clock of its own."""
    view.open(Header(text, text, text, text, text, text), lambda: None, Texts(text))
    view.phase(text, S)
    view.phase("waiting", S)
    for seq, read in enumerate(events(text, end)):
        t_ns = S + seq * S // 2
        view.arrive(Arrival(Chunk(seq, 0, t_ns, 1, 1, b"x"), read))
        (paint or view.paint)(t_ns)


def final(text: str, end: str) -> Final:
    """What is known at the end. Texts of an end that the stream did not bring are hostile as well."""
    sources = [{"title": text, "url": f"https://example.com/#{text}", "source_type": text}]
    return Final(f"{text}\n\n{end}", text, Outcome.ERROR_IN_STREAM, text, {}, sources, (text,), text)


class Stage:
    """Everything that is shown, by the hands of a test.

    Args:
        path: a JSON list of texts.
    """

    def __init__(self, path: str = "texts.json") -> None:
        self._texts: list[str] = json.loads(Path(path).read_text(encoding="utf-8"))
        self._panels: list[tuple[PanelView, Final]] = []
        self._replays: list[Background] = []

    def panels(self, first: int, n: int) -> None:
        """Live panels that stay as they are."""
        for at, text in list(enumerate(self._texts))[first : first + n]:
            view = PanelView(STYLE)
            feed(view, text, mark("panel", at))
            self._panels.append((view, final(text, mark("panel", at))))

    def chat(self) -> None:
        """One conversation in which every turn says and is said something hostile, live and as its transcript."""
        board = ChatBoard(STYLE, lambda _content: None)
        board.state(_form(self._texts))
        display(board.show(), raw=True)
        for at, text in enumerate(self._texts):
            view = board.view(text)
            feed(view, text, mark("turn", at), lambda t_ns, at=at: board.paint(t_ns + at * 20 * S))
            board.wants(view.lane, "text", text)
            view.close(final(text, mark("turn", at)))
        display(board.bundle("as text"), raw=True)

    def race(self) -> None:
        """One race of all texts, which goes on, and one that has ended."""
        for ends in (False, True):
            race = PanelRace(self._texts, 1, STYLE)
            race.open(lambda: None)
            for at, view in enumerate(race.begin(0, "\n".join(self._texts))):
                feed(view, self._texts[at], mark("racer", at), lambda t_ns, at=at: race.paint(t_ns + at * 20 * S))
                if ends:
                    view.close(final(self._texts[at], mark("racer", at)))
            if ends:
                race.close()

    def record(self) -> None:
        """Real runs against a server that says all of it; each file is then given an end that does not come."""
        with serving(self._texts) as origin:

            def run(at: int) -> streamnb.Run:
                return streamnb.stream("typebot", self._texts[at], base_url=origin, session_id=str(at))

            with ThreadPoolExecutor(8) as pool:
                self._runs = list(pool.map(run, range(len(self._texts))))
        for run in self._runs:
            *lines, last = run.path.read_text(encoding="utf-8").splitlines()
            late = json.loads(last)
            late["t_ns"] += 3600 * S
            run.path.write_text("\n".join([*lines, json.dumps(late)]) + "\n", encoding="utf-8")

    def replays(self, first: int, n: int) -> None:
        """Replays that have played everything and wait for the end."""
        for run in self._runs[first : first + n]:
            self._replays.append(Background(Replay(run.path, display="panel")))

    def end(self) -> None:
        """Close what is live: static outputs take the places."""
        for view, last in self._panels:
            view.close(last)
        for replay in self._replays:
            replay.stop()
        for replay in self._replays:
            replay.wait(60)


def _form(texts: list[str]) -> dict[str, object]:
    """A conversation's form and lines, hostile as well."""
    text = "\n".join(texts)
    words = {"label": text, "help": text, "placeholder": text}
    kinds = [("str", []), ("choice", texts), ("str", texts), ("json", [])]
    fields = [
        {"name": f"{text}{n}", "kind": kind, "value": text, "choices": list(choices), **words}
        for n, (kind, choices) in enumerate(kinds)
    ]
    targets = [{"name": one, "help": one} for one in texts]
    lines = {"over": text, "hint": text, "error": text, "placeholder": text}
    return {"targets": targets, "target": text, "fields": fields, "busy": False, "start": False, **lines}


class Typebot(BaseHTTPRequestHandler):
    """A bot that says one hostile text in every way the API has; the session's id tells which."""

    texts: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        *_, session, call = self.path.split("/")
        at = int(session)
        text = self.texts[at]
        if call == "streamMessage":
            body = "".join(f"{code}:{json.dumps(value)}\n" for code, value in _parts(text, mark("replay", at)))
        else:
            item = {"id": text, "content": text}
            bubble = {"id": text, "type": "text", "content": {"type": "markdown", "markdown": text}}
            asks = {"type": "choice input", "id": text, "items": [item], "options": {"labels": {"placeholder": text}}}
            action = {"type": "stream", "expectsDedicatedReply": True}
            body = json.dumps({"messages": [bubble], "input": asks, "clientSideActions": [{"type": text}, action]})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _parts(text: str, end: str) -> Iterator[tuple[str, object]]:
    tool = {"toolCallId": "1", "toolName": text}
    yield "f", {"messageId": text}
    yield "g", text
    yield from (("0", piece) for piece in pieces(text))
    yield "h", {"id": text, "title": text, "url": f"https://example.com/?q={text}", "sourceType": text}
    yield "h", {"id": text, "title": text, "url": text, "sourceType": text}
    yield from (("b", tool), ("c", {"argsTextDelta": text, **tool}), ("9", {"args": {text: text}, **tool}))
    yield from (("a", {"result": text, **tool}), ("z", text), ("2", [text]), ("0", f"\n\n{end}"))
    yield "3", json.dumps({"context": text, "description": text})
    yield "e", {"finishReason": text}
    yield "d", {"finishReason": "stop"}


@contextlib.contextmanager
def serving(texts: list[str]) -> Iterator[str]:
    """The bot on loopback; gives its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfTexts", (Typebot,), {"texts": texts}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
