"""A conversation under way: turns are sent one after the other on a thread of its own, and shown while they come.

Knows sessions and the board. Must not know: notebooks, what a page looks like, any API.
"""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from streamnb.choosing import Chosen, form, targets, typed
from streamnb.dialogue import Dialogue, once
from streamnb.errors import StreamnbError, UsageError
from streamnb.ondemand import OnDemand
from streamnb.results import Run
from streamnb.session import Session
from streamnb.turn import Turn

if TYPE_CHECKING:
    from streamnb.display.panel import LaneView
    from streamnb.display.view import Style
    from streamnb.events import Arrival, Choice
    from streamnb.providers import Field

_PAINT_S: Final = 0.05
_LINGER_S: Final = 1.0
_HEARD: Final = frozenset({"send", "retry", "edit", "press", "clear", "target"})


class _Live:
    """The turn under way."""

    def __init__(self, turn: Turn, session: Session, view: LaneView) -> None:
        self.turn = turn
        self.session = session
        self.view = view
        self.field: Field | None = None
        self._call = -1
        session.on_arrival = self._arrived

    @property
    def over(self) -> bool:
        """True when nothing more comes."""
        return self.session.task is not None and self.session.task.done()

    def _arrived(self, arrival: Arrival) -> None:
        """What the latest reply of the platform waits for. Loop thread."""
        if arrival.chunk.call != self._call:
            self._call, self.field = arrival.chunk.call, None
        for event in arrival.events:
            self.field = self.session.run.provider.field_of(event) or self.field


class Chat:
    """What a panel does. Every method from any thread; nothing but `join` blocks.

    Args:
        name: of the conversation, for the table `runs`.
        chosen: who is asked, and how.
        style: how it looks.

    Attributes:
        board: where it is shown.
        chosen: who is asked next, and how.
        dialogue: the turns on the screen.
        runs: every run there was.
        screen: held while the screen is painted or read.
        closed: nothing is taken any more.
    """

    def __init__(self, name: str, chosen: Chosen, style: Style) -> None:
        from streamnb.display.chat import ChatBoard

        self.name = name
        self.chosen = chosen
        self.dialogue = Dialogue(chosen.common.get("after"))
        self.runs: list[Run] = []
        self.screen = threading.RLock()
        self._lock = threading.RLock()
        self._views: dict[Turn, LaneView] = {}
        self._waiting: collections.deque[Turn] = collections.deque()
        self._starting: Turn | None = None
        self._live: _Live | None = None
        self._heard: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._n_told = self._n_heard = 0
        self._note = ""
        self._error: str | None = None
        self.closed = False
        self._targets = targets()
        linger_s = max(_LINGER_S, 2 / style.rate_hz)  # what the page is due goes out before
        self.worker = OnDemand("streamnb-chat", self._step, every_s=_PAINT_S, linger_s=linger_s)
        self.board = ChatBoard(style, self._act)
        self.publish()

    # -- what is said -------------------------------------------------------------------------------------------------

    def send(self, text: str) -> Turn:
        """A prompt; it waits for its turn."""
        return self._take(Turn(text or None, self.chosen, text))

    def press(self, label: str) -> Turn:
        """A button of the last turn."""
        with self._lock:
            return self._answer(self._last().choice(label))

    def again(self, which: Turn | int, text: str | None = None) -> Turn:
        """A turn once more, with another text if one is given; what came after it is forgotten where that can be."""
        with self._lock:
            self._idle()
            turns = self.dialogue.turns
            index = _index(turns, which)
            if index < len(turns) - len(self.dialogue.current(self.chosen)):
                raise UsageError("that turn belongs to another conversation: send it anew.")
            old = turns[index]
            turn = Turn(old.said, self.chosen, old.text, old.reply) if text is None else Turn(text, self.chosen, text)
            if text is not None and not text.strip():
                raise UsageError("there is nothing to send: write something.")
            rewinds = self.dialogue.rewinds(self.chosen, index)
            if rewinds:
                self.dialogue.cut(index)
                self._show_turns()
            self._take(turn)
            if not rewinds:
                self._note = f"{self.chosen.target} cannot take back what it has heard: this was sent after it."
            return turn

    def clear(self) -> None:
        """Forget the conversation; a run under way is ended."""
        with self._lock:
            self.stop()
            self.dialogue.clear()
            self._note, self._error = "", None
            self._show_turns()
        self.worker.poke()

    def choose(self, target: str | None, keywords: Mapping[str, Any]) -> None:
        """Whom the next turn asks, and how."""
        with self._lock:
            now = self.chosen if target is None else self.chosen.instead(target)
            self.chosen = now.choose(keywords)
            self.dialogue.said_anew(frozenset(keywords))
            self._note, self._error = "", None
        self.worker.poke()

    def stop(self) -> None:
        """End what is under way; what waits is not sent."""
        with self._lock:
            live = [self._live.turn] if self._live is not None else []
            for turn in (*self._waiting, *live, *([self._starting] if self._starting is not None else [])):
                turn.stop()
        self.worker.poke()

    def close(self) -> None:
        """End it all: nothing is taken any more."""
        with self._lock:
            self.stop()
            self.closed = True

    def join(self, timeout: float | None = None) -> bool:
        """Block until nothing is under way; False when the time (s) was over before."""
        until_s = None if timeout is None else time.monotonic() + timeout
        while self.busy:
            if until_s is not None and time.monotonic() >= until_s:
                return False
            time.sleep(0.01)
        return True

    @property
    def busy(self) -> bool:
        """True while anything is under way, waits, or was said by the page and not heard yet."""
        with self._lock:
            return self._speaking or self._n_heard < self._n_told

    @property
    def _speaking(self) -> bool:
        return bool(self._live or self._starting or self._waiting)

    # -- what is taken ------------------------------------------------------------------------------------------------

    def _take(self, turn: Turn) -> Turn:
        with self._lock:
            if not self._speaking:
                self._check(turn)
            self._note, self._error = "", None
            self._waiting.append(turn)
        self.worker.poke()
        return turn

    def _check(self, turn: Turn) -> None:
        mood = self.dialogue.mood(turn.chosen)
        if self.closed:
            raise UsageError("this panel is closed: make another one.")
        if mood.over is not None:
            raise UsageError(f"{mood.over} Start anew: panel.clear().")
        if not (turn.text.strip() or turn.pressed or mood.start or once(self.dialogue.left(turn.chosen))):
            raise UsageError("there is nothing to send: write something.")

    def _idle(self) -> None:
        if self._speaking:
            raise UsageError("an answer is under way: wait for its end, or stop it.")

    def _last(self) -> Run:
        """The run whose buttons can be pressed."""
        self._idle()
        turns = self.dialogue.current(self.chosen)
        if not turns or turns[-1].run is None:
            raise UsageError("there are no buttons to press yet.")
        return turns[-1].run

    def _answer(self, choice: Choice) -> Turn:
        turn = Turn(choice.label, self.chosen, choice.prompt.text, choice.prompt.reply)
        turn.pressed = True
        return self._take(turn)

    def _show_turns(self) -> None:
        self._views = {turn: self._views[turn] for turn in self.dialogue.turns}
        self.board.keep([view.lane for view in self._views.values()])

    # -- what the page says -------------------------------------------------------------------------------------------

    def _act(self, content: Mapping[str, Any]) -> None:
        """A message from the page, on any thread: a stop at once, the rest on the panel's own."""
        if content.get("k") == "stop":
            self.stop()
        elif content.get("k") in _HEARD:
            with self._lock:
                self._n_told += 1
                self._heard.put(content)
            self.worker.poke()

    def _obey(self, content: Mapping[str, Any]) -> None:
        values, text = content.get("fields"), content.get("text")
        changed = typed(self.chosen, values) if isinstance(values, dict) else {}
        match content:
            case {"k": "send"} if isinstance(text, str):
                self._idle()
                self.choose(None, changed)
                self.send(text)
            case {"k": "target", "value": str(target)}:
                self.choose(None, changed)
                self.choose(target, {})
            case {"k": "retry"}:
                self.again(-1)
            case {"k": "edit", "lane": lane} if isinstance(text, str):
                self.again(self._turn_of(lane), text)
            case {"k": "press", "lane": lane, "i": int(i)}:
                run = self._last()
                if self._turn_of(lane).run is not run or not 0 <= i < len(run.choices):
                    raise UsageError("only the buttons of the last turn can be pressed.")
                self._answer(run.choices[i])
            case {"k": "clear"}:
                self.clear()

    def _turn_of(self, lane: Any) -> Turn:
        for turn, view in self._views.items():
            if view.lane.ident == lane:
                return turn
        raise UsageError("that turn is not there any more.")

    # -- the panel's thread -------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """One round: hear, begin or go on, paint."""
        self._hear()
        live = self._live
        if live is None:
            with self._lock:
                self._starting = self._waiting.popleft() if self._waiting else None
            if self._starting is not None:
                self.publish()
                self._begin(self._starting)
        elif live.over:
            self._finish(live)
        self.publish()
        with self.screen:
            self.board.paint(time.monotonic_ns())
        return self.busy

    def _hear(self) -> None:
        while not self._heard.empty():
            try:
                self._obey(self._heard.get())
            except StreamnbError as error:
                self._error = str(error)
            finally:
                self._n_heard += 1

    def _begin(self, turn: Turn) -> None:
        try:
            self._start(turn)
        except StreamnbError as error:
            self._error = None if turn.cancelled else str(error)
            turn.finish(error)
        finally:
            self._starting = None
            if turn.run is None and not turn.done:  # a bug of ours: nobody waits for ever
                turn.finish(StreamnbError("it could not be sent."))

    def _start(self, turn: Turn) -> None:
        if turn.cancelled:
            raise UsageError("it was stopped before it was sent.")
        self._check(turn)
        view = self.board.view(turn.said)
        session = Session(self.dialogue.ask(turn, self.name), view)
        with self._lock:
            if turn.cancelled:
                raise UsageError("it was stopped before it was sent.")
            live = _Live(turn, session, view)
            session.start().add_done_callback(lambda _: self.worker.poke())
            turn.begin(session.run, view.ask_to_stop)
            self._live = live
            self._views[turn] = view
            self.runs.append(session.run)
            self.chosen = self.chosen.without(self.dialogue.add(turn))

    def _finish(self, live: _Live) -> None:
        try:
            with self.screen:
                if live.field is not None:
                    self.board.wants(live.view.lane, live.field.kind, live.field.placeholder)
                live.session.close()
        finally:
            with self._lock:
                self._live = None
                self.publish()
            live.turn.finish()
            self.worker.poke()

    def publish(self) -> None:
        """What the page is told about the conversation as a whole."""
        with self._lock:
            mood = self.dialogue.mood(self.chosen)
            busy = self._speaking
            self.board.state(
                {
                    "targets": self._targets,
                    "target": self.chosen.target,
                    "fields": form(self.dialogue.left(self.chosen)),
                    "busy": busy,
                    "over": mood.over,
                    "hint": self._note or mood.hint,
                    "error": self._error,
                    "placeholder": f"Write to {self.chosen.target}",
                    "start": mood.start and not busy,
                    "heard": self._n_heard,  # so that a message that changed nothing is answered too
                }
            )


def _index(turns: list[Turn], which: Turn | int) -> int:
    if not turns:
        raise UsageError("nothing was said yet.")
    if isinstance(which, Turn):
        if which not in turns:
            raise UsageError("that turn is not one of this conversation.")
        return turns.index(which)
    if not -len(turns) <= which < len(turns):
        raise UsageError(f"there is no turn {which}: there are {len(turns)}.")
    return which % len(turns)
