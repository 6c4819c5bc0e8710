"""Typebot's bots and sessions: which bubble, input or client-side action comes next.

Knows the flows and a session's state. Must not know: HTTP, the bytes of a stream, sockets.
"""

from __future__ import annotations

import collections
import dataclasses
import secrets
from collections.abc import Callable
from typing import Any, Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 24
_MOST_SESSIONS: Final = 1000
_WAIT_S: Final = 0.05
_BUTTONS: Final = ("Ask again", "Talk about the weather", "That is all")

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """What one bot does.

    Attributes:
        beats: what follows an answer of the user: `stream`, `wait` or `legacy`, in order.
        opens: the beats also come at the start, before any input.
        asks: the input after them.
    """

    beats: tuple[str, ...] = ("stream",)
    opens: bool = False
    asks: str = "text input"


FLOWS: Final = {
    "two-streams": Flow(beats=("stream", "stream")),
    "choice": Flow(asks="choice input"),
    "wait": Flow(beats=("wait", "stream")),
    "legacy": Flow(beats=("legacy",)),
    "starts-with-stream": Flow(opens=True),
}
"""Bots with a flow of their own; any other public id is a plain `Flow()` (`tools`, `assistant`: another stream)."""


@dataclasses.dataclass(slots=True)
class Session:
    """One conversation. State advances on continueChat alone: a second streamMessage runs the model again.

    Attributes:
        bot: the public id.
        streams: startChat said `isStreamEnabled`.
        waiting: what the next continueChat answers: `text input`, `choice input` or a beat.
        left: beats still to come before the next input.
        turns: inputs answered.
        heard: streams whose text came back.
        prompt: the last thing the user said.
    """

    bot: str
    streams: bool
    id: str = dataclasses.field(default_factory=lambda: "c" + "".join(map(secrets.choice, [_ALPHABET] * _ID_LENGTH)))
    waiting: str = "text input"
    left: list[str] = dataclasses.field(default_factory=list)
    turns: int = 0
    heard: int = 0
    prompt: str = ""

    @property
    def flow(self) -> Flow:
        """Return what this session's bot does."""
        return FLOWS.get(self.bot, Flow())

    @property
    def expects_stream(self) -> bool:
        """Return whether streamMessage may be called now."""
        return self.waiting in {"stream", "legacy"}

    def history(self) -> list[Json]:
        """Return the messages of the legacy action, to be sent back word for word."""
        return [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": self.prompt}]


class Sessions:
    """The newest sessions by id."""

    def __init__(self) -> None:
        self._by_id: collections.OrderedDict[str, Session] = collections.OrderedDict()

    def open(self, bot: str, *, streams: bool) -> Session:
        """Return a new session of a bot."""
        session = Session(bot, streams)
        self._by_id[session.id] = session
        while len(self._by_id) > _MOST_SESSIONS:
            self._by_id.popitem(last=False)
        return session

    def find(self, name: str) -> Session | None:
        """Return the session with that id, if there is one."""
        return self._by_id.get(name)


Bubble = Callable[[str], Json]
"""Makes a message of a text, in the format that the request asked for."""


def start(session: Session, text: str | None, answer: Callable[[], str], bubble: Bubble) -> Json:
    """Return what startChat replies beside the session: greetings, then the input or the first action."""
    greetings = [bubble("Hi! I am simulated."), bubble("Ask me anything.")]
    if session.flow.opens:
        session.left = list(session.flow.beats)
        reply = _advance(session, answer, bubble)
    elif text is not None:
        reply = go_on(session, text, answer, bubble)
    else:
        reply = {"messages": [], "input": _input(session)}
    return {**reply, "messages": greetings + reply["messages"]}


def go_on(session: Session, text: str | None, answer: Callable[[], str], bubble: Bubble) -> Json:
    """Return what continueChat replies to `text` (None: nothing was said)."""
    if session.waiting not in {"text input", "choice input"}:
        session.heard += session.expects_stream
        return _advance(session, answer, bubble)
    if text is None:
        return {"messages": [], "input": _input(session)}
    if session.waiting == "choice input" and text not in _BUTTONS:
        return {"messages": [bubble("Invalid message. Please, try again.")], "input": _input(session)}
    session.prompt = text
    session.turns += 1
    session.left = list(session.flow.beats)
    return _advance(session, answer, bubble)


def _advance(session: Session, answer: Callable[[], str], bubble: Bubble) -> Json:
    """Go to the next action; after the last one to the input. The bubble with the streamed text is skipped."""
    messages: list[Json] = []
    while session.left:
        beat = session.left.pop(0)
        if beat == "wait" or session.streams:
            session.waiting = beat
            return {"messages": messages, "clientSideActions": [_action(session)]}
        messages.append(bubble(answer()))
        session.heard += 1
    messages.append(bubble("Anything else?"))
    session.waiting = session.flow.asks
    return {"messages": messages, "input": _input(session), "progress": min(100, 40 + 20 * session.turns)}


def _action(session: Session) -> Json:
    match session.waiting:
        case "wait":
            return {"type": "wait", "wait": {"secondsToWaitFor": _WAIT_S}, "expectsDedicatedReply": True}
        case "legacy":
            messages = {"messages": session.history()}
            return {
                "type": "streamOpenAiChatCompletion",
                "streamOpenAiChatCompletion": messages,
                "expectsDedicatedReply": True,
            }
        case _:
            return {"type": "stream", "stream": True, "expectsDedicatedReply": True}


def _input(session: Session) -> Json:
    name = f"in{session.turns + 1}"
    if session.waiting == "text input":
        return {"id": name, "type": "text input"}
    items = [{"id": f"item{number}", "content": content} for number, content in enumerate(_BUTTONS, start=1)]
    return {"id": name, "type": "choice input", "items": items}
