"""Voiceflow's projects and conversations: which traces an action brings, and the state behind them.

Knows the flows and a conversation's state. Must not know: HTTP, the bytes of a stream, sockets.
"""

from __future__ import annotations

import collections
import dataclasses
import secrets
from collections.abc import Callable
from typing import Final

from streamnb.simulator.voiceflow_traces import (
    BLOCK,
    CARDS,
    CHOICE,
    END,
    NO_REPLY,
    OUT_OF_TOKENS,
    PATHS,
    TICKET,
    Json,
    knowledge,
    text,
)

_MOST: Final = 1000
_GREETING: Final = "Hi! I am simulated.\n\nAsk me anything."
_NO_MATCH: Final = "Sorry, I did not understand that."
_WITH_BUTTONS: Final = frozenset({"choices", "cards"})
_WAITS: Final = {"choices": (CHOICE,), "no-reply": (NO_REPLY,)}
_REPLIES: Final = {
    ("intents", "order_status"): "Your order is on its way.",
    ("intents", "opening_hours"): "From nine to five.",
    ("no-reply", "no-reply"): "Are you still there?",
    ("custom", "done"): "Your ticket is open.",
    ("custom", "failed"): "The ticket could not be opened.",
}

PROJECTS: Final = {
    "choices": "greets with buttons and shows them again after each turn; an unknown button is not understood",
    "intents": "knows the intents order_status and opening_hours by name, and no other",
    "cards": "answers a text with visual, card, cardV2, carousel and speak; their buttons can be pressed",
    "knowledge": "answers a text from documents: knowledgeBase, then a whole text, never in pieces",
    "ends": "ends the conversation after its first answer (trace end); the next turn starts another",
    "no-reply": "waits 5 s after each turn; the action no-reply brings a reprompt",
    "quota": "has no tokens left: a text says so, and a debug trace, but no error",
    "custom": "answers a text with the custom action open_ticket, which goes on with the event done or failed",
    "unpublished": "has no version `production`: 400",
    "missing": "is not there, or the key is not for it: 401",
}
"""Projects with a way of their own, and what it is; any other project greets, then answers with a model."""


@dataclasses.dataclass(slots=True)
class Conversation:
    """One user's way through one project.

    Attributes:
        project: the project's id.
        user: the user's id.
        started: the flow runs; an action before that, whatever it is, starts it.
        replaced: the user has a newer session (v4), so this one is over.
        launches: starts of the flow.
        turns: actions after a start.
        variables: what the caller and the flow have set.
    """

    project: str
    user: str
    started: bool = False
    replaced: bool = False
    launches: int = 0
    turns: int = 0
    variables: Json = dataclasses.field(default_factory=dict)

    def state(self) -> Json:
        """Return the session state, as `event:state` carries it."""
        frame = {"programID": f"{self.project}-root", "nodeID": f"node-{self.turns}", "storage": {}, "variables": {}}
        return {
            "stack": [{**frame, "commands": [{"type": "jump", "event": {"type": "intent"}}]}] if self.started else [],
            "storage": {"turn": {"previousOutput": None}, "output": [{"children": [{"text": ""}]}]},
            "variables": {"user_id": self.user, "sessions": self.launches, **self.variables},
        }


class Conversations:
    """The newest conversations of one generation by key: what identifies them, or a session key."""

    def __init__(self) -> None:
        self._by_key: collections.OrderedDict[str, Conversation] = collections.OrderedDict()

    def find(self, key: str) -> Conversation | None:
        """Return the conversation with that key, if there is one."""
        return self._by_key.get(key)

    def get(self, key: str, project: str, user: str) -> Conversation:
        """Return the conversation with that key, a new one if there is none."""
        return self._by_key.get(key) or self._add(key, Conversation(project, user))

    def open(self, project: str, user: str) -> str:
        """Begin a session and return its key; the user's session before it is over."""
        for other in self._by_key.values():
            other.replaced |= (other.project, other.user) == (project, user)
        key = secrets.token_hex(24)
        self._add(key, Conversation(project, user))
        return key

    def _add(self, key: str, conversation: Conversation) -> Conversation:
        self._by_key[key] = conversation
        while len(self._by_key) > _MOST:
            self._by_key.popitem(last=False)
        return conversation


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What one action brings.

    Attributes:
        before: whole traces.
        answers: a model's answer follows them.
        after: whole traces after that answer.
    """

    before: tuple[Json, ...] = ()
    answers: bool = False
    after: tuple[Json, ...] = ()


def take(conversation: Conversation, action: Json, answer: Callable[[], str]) -> Turn:
    """Return what `action` brings; `answer` makes the text of this turn, called only where it is needed whole."""
    kind, project = action["type"], conversation.project
    if kind == "launch" or not conversation.started:
        conversation.started = True
        conversation.launches += 1
        return _whole(project, text(_GREETING))
    conversation.turns += 1
    conversation.variables.update(_said(action))
    if kind == "text":
        return _heard(conversation, action["payload"], answer)
    if kind == "no-reply" and project != "no-reply":
        return Turn()  # nothing was set up for silence
    if kind in PATHS and project in _WITH_BUTTONS:
        return Turn((BLOCK, text(f"You chose: {PATHS[kind]}.")), answers=True, after=_WAITS.get(project, ()))
    return _whole(project, text(_REPLIES.get((project, _named(action)), _NO_MATCH)))


def _heard(conversation: Conversation, said: str, answer: Callable[[], str]) -> Turn:
    """Return what a text brings."""
    project = conversation.project
    match project:
        case "cards":
            return _whole(project, *CARDS)
        case "knowledge":
            whole = answer()
            return _whole(project, knowledge(said, whole), text(whole))
        case "quota":
            return _whole(project, *OUT_OF_TOKENS)
        case "custom":
            return _whole(project, text("One moment."), TICKET)
        case "ends":
            conversation.started = False
            return Turn((BLOCK,), answers=True, after=(END,))
        case _:
            return Turn((BLOCK,), answers=True, after=_WAITS.get(project, ()))


def _whole(project: str, *traces: Json) -> Turn:
    return Turn((BLOCK, *traces, *_WAITS.get(project, ())))


def _said(action: Json) -> Json:
    """Return the variables that an action sets: the words, or the label of the button."""
    match action:
        case {"type": "text", "payload": str(said)} | {"payload": {"label": str(said)}}:
            return {"last_utterance": said}
        case _:
            return {}


def _named(action: Json) -> str:
    """Return what an action asks for: an intent by its name, anything else by its type."""
    match action:
        case {"type": "intent", "payload": {"intent": {"name": str(name)}}}:
            return name
        case _:
            return str(action["type"])
