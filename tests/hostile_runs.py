"""Runs in which every text is hostile, on every screen there is. A kernel under a real page imports it.

Knows views, conversations, replays and Typebot's wire. Must not know: browsers, what the texts are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from IPython.display import display

from streamnb import replay, stream
from streamnb.background import Background
from streamnb.display.chat import ChatBoard
from streamnb.display.inert import well_formed
from streamnb.display.panel import PanelView
from streamnb.display.race_page import PanelRace
from streamnb.display.view import EventRow, Final, Header, Phase, Raw, Sent, Style, View
from streamnb.events import Arrival, Choice, Chunk, Event, Outcome, Prompt
from streamnb.replaying import Replay
from streamnb.results import Run

S = 1_000_000_000
LAST_NS = 60 * S
HANG_S = 60


def mark(at: int) -> str:
    """What stands at the end of a text's answer, so that a page can be asked whether it is there."""
    return f"end{at:03}of{at:03}"


def pieces(text: str) -> list[str]:
    """A text as it may arrive: a few characters, most of it, the rest."""
    return [text[:3], text[3:-2], text[-2:]] if len(text) > 5 else [text]


def reads(text: str, end: str) -> Iterator[tuple[Event, ...]]:
    """One hostile text as everything that a stream can say; the same number of reads for every text."""
    sources = [text, f"https://example.com/?q={text}", f"https://{text}/", f"https://{text}@example.com"]
    cites = (Event("citation", name=text, data={"title": text, "url": url, "source_type": text}) for url in sources)
    yield Event("reasoning", text), Event("action", name=text)
    yield from ((Event("delta", piece),) for piece in [*pieces(text), "", ""][:3])
    yield tuple(cites)
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
        seqs = range(first, min(first + n, 40))
        return 40, [EventRow(seq, 0.1, self._text, self._text, self._text, seq, coalesced=False) for seq in seqs]

    def raw(self, seq: int) -> Raw:
        data = self._text.encode()
        return Raw(data, len(data), 0.1)

    def sent(self) -> list[Sent]:
        pair = (self._text, self._text)
        return [Sent(self._text, self._text, self._text, (pair,), self._text, 200, (pair,), self._text)]

    def phases(self) -> list[Phase]:
        return [Phase(self._text, 0.1, self._text)]


def final(text: str) -> Final:
    """What is known at the end; it may say more than the stream did."""
    sources = [{"title": text, "url": f"https://example.com/#{text}", "source_type": text}]
    return Final(text, text, Outcome.ERROR_IN_STREAM, text, {}, sources, (text,), text)


class Stage:
    """Everything that is shown, in the hands of a test. A board holds a few texts: its page looks at all for each.

    Args:
        path: a JSON list of texts.
    """

    def __init__(self, path: str) -> None:
        self._texts: list[str] = json.loads(Path(path).read_text(encoding="utf-8"))
        self._runs: list[Run] = []
        self._ends: list[Callable[[], object]] = []
        self._paints: list[Callable[[int], None]] = []
        self._painting = asyncio.get_running_loop().create_task(self._paint())

    async def _paint(self) -> None:
        """Between cells, so that a page's questions are answered; no time goes by."""
        while True:
            await asyncio.sleep(0.01)
            for paint in self._paints:
                paint(LAST_NS)

    def race(self, first: int, n: int) -> None:
        """A live board with a lane for each text, painted after every read."""
        texts = self._texts[first : first + n]
        race = PanelRace([well_formed(text) for text in texts], 1)
        race.open(lambda: None)
        places = race.begin(0, "".join(texts))
        _feed(places, texts, first, race.paint)
        self._paints.append(race.paint)
        self._ends += [partial(place.close, final(text)) for place, text in zip(places, texts, strict=True)]
        self._ends.append(race.close)

    def chat(self, first: int, n: int) -> None:
        """A conversation in which the user, too, says nothing else; its transcript takes its place."""
        texts = self._texts[first : first + n]
        board = ChatBoard(Style(), lambda _content: None)
        board.state(_form([well_formed(text) for text in texts]))
        handle = display(board.show(), raw=True, display_id=True)
        views = [board.view(text) for text in texts]
        _feed(views, texts, first, board.paint)
        self._paints.append(board.paint)
        for view, text in zip(views, texts, strict=True):
            board.wants(view.lane, "text", text)
            self._ends.append(partial(view.close, final(text)))
        self._ends.append(lambda: handle.update(board.bundle("as text"), raw=True))

    def record(self) -> None:
        """Real runs against a bot that says all of it."""
        with serving(self._texts) as origin, ThreadPoolExecutor(8) as pool:

            def run(at: int) -> Run:
                return stream("typebot", "Hi", base_url=origin, session_id=str(at))

            self._runs = list(pool.map(run, range(len(self._texts))))

    def replays(self, first: int, stop: int) -> None:
        """Some of the recordings, at once, as static outputs."""
        for run in self._runs[first:stop]:
            replay(run.path, speed=math.inf, display="static")

    def live_replays(self, first: int, n: int) -> None:
        """The recordings in panels, which have shown everything and wait for the end."""
        for run in self._runs[first : first + n]:
            _delay_end(run.path)
            background = Background(Replay(run.path, display="panel"))
            self._ends += [background.stop, partial(background.wait, HANG_S)]

    def panels(self, first: int, n: int) -> None:
        """Live panels, one for each text."""
        for at, text in list(enumerate(self._texts))[first : first + n]:
            view = PanelView()
            _feed([view], [text], at, view.paint)
            self._paints.append(view.paint)
            self._ends.append(partial(view.close, final(text)))

    def storms(self, first: int, n: int) -> None:
        """Live panels with an answer alone, which comes in a few pieces."""
        for at, text in list(enumerate(self._texts))[first : first + n]:
            view = PanelView()
            view.open(Header("demo", None, "demo", "", "r"), lambda: None, Texts(text[:300]))
            self._paints.append(view.paint)
            for seq, piece in enumerate([*pieces(text), f"\n\n{mark(at)}"]):
                view.arrive(Arrival(Chunk(seq, 0, S + seq * S, 1, 1, b"x"), (Event("delta", piece),)))
                view.paint(S + seq * S)
            self._ends.append(partial(view.close, Final(text, "", Outcome.COMPLETE, None, {}, ())))

    def end(self) -> None:
        """Close what is live: static outputs take the places."""
        for end in self._ends:
            end()
        self._ends.clear()
        self._paints.clear()


def _feed(views: Sequence[View], texts: Sequence[str], first: int, paint: Callable[[int], None]) -> None:
    for view, text in zip(views, texts, strict=True):
        view.open(Header(text, text, text, text, text, text), lambda: None, Texts(text))
        view.phase(text, S)
        view.phase("waiting", S)
    streams = [reads(text, mark(at)) for at, text in enumerate(texts, first)]
    for seq, step in enumerate(zip(*streams, strict=True)):
        for view, read in zip(views, step, strict=True):
            view.arrive(Arrival(Chunk(seq, 0, S + seq * S, 1, 1, b"x"), read))
        paint(S + seq * S)


def _form(texts: list[str]) -> dict[str, object]:
    """What a page is told about a conversation."""
    text = "".join(texts)
    words = {"label": text, "help": text, "placeholder": text, "value": text}
    kinds = {"str": [], "choice": texts, "url": texts, "json": []}
    fields = [{"name": f"{text}{kind}", "kind": kind, "choices": list(kinds[kind]), **words} for kind in kinds]
    lines = dict.fromkeys(("over", "hint", "error", "placeholder", "target"), text)
    targets = [{"name": one, "help": one} for one in texts]
    return {"targets": targets, "fields": fields, "busy": False, "start": False, **lines}


def _delay_end(path: Path) -> None:
    """Let a recording end an hour later."""
    *lines, last = path.read_text(encoding="utf-8").splitlines()
    late = json.loads(last)
    late["t_ns"] += 3600 * S
    path.write_text("\n".join([*lines, json.dumps(late)]) + "\n", encoding="utf-8")


class Bot(BaseHTTPRequestHandler):
    """A Typebot that says one text in every way the API has; the id of the session tells which."""

    texts: Sequence[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        *_, session, call = self.path.split("/")
        at = int(session)
        if call == "continueChat":
            body = json.dumps(_bubbles(self.texts[at]))
        else:
            body = "".join(f"{code}:{json.dumps(value)}\n" for code, value in _parts(at, self.texts[at]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _bubbles(text: str) -> dict[str, object]:
    bubble = {"id": text, "type": "text", "content": {"type": "markdown", "markdown": text}}
    items = [{"id": text, "content": text}]
    asks = {"type": "choice input", "id": text, "items": items, "options": {"labels": {"placeholder": text}}}
    actions = [{"type": text}, {"type": "stream", "expectsDedicatedReply": True}]
    return {"messages": [bubble], "input": asks, "clientSideActions": actions}


def _parts(at: int, text: str) -> Iterator[tuple[str, object]]:
    tool = {"toolCallId": "1", "toolName": text}
    source = {"id": text, "title": text, "sourceType": text}
    yield from (("f", {"messageId": text}), ("g", text), ("z", text), ("2", [text]))
    yield from (("0", piece) for piece in pieces(text))
    yield from (("h", source | {"url": url}) for url in (text, f"https://example.com/?q={text}"))
    yield from (("b", tool), ("c", tool | {"argsTextDelta": text}), ("9", tool | {"args": {text: text}}))
    yield from (("a", tool | {"result": text}), ("0", f"\n\n{mark(at)}"))
    yield from (("3", json.dumps({"context": text, "description": text})), ("d", {"finishReason": "stop"}))


@contextlib.contextmanager
def serving(texts: list[str]) -> Iterator[str]:
    """The bot on loopback; gives its origin."""
    bot = type("Bot", (Bot,), {"texts": texts})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
