"""From a ChatBotKit request to its answer: what is asked, in which conversation, and how the answer is told.

Knows requests, conversations and answers. Must not know: paths, replies that are no answer, sockets.
"""

from __future__ import annotations

import dataclasses

from starlette.requests import Request

from streamnb.simulator.chatbotkit_answer import Answer, Turn, count
from streamnb.simulator.chatbotkit_functions import Function
from streamnb.simulator.chatbotkit_lines import Encode
from streamnb.simulator.chatbotkit_talk import SPECIAL, Conversation
from streamnb.simulator.play import echo, echoed, setup_of
from streamnb.simulator.prefix import Setup
from streamnb.simulator.scenarios import Script


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """A request for an answer.

    Attributes:
        call: `complete`, `stateless` or `receive`.
        conversation: where it is asked; a stateless call has one of its own.
        text: what the user says now.
        function: what the client will have to call.
    """

    call: str
    conversation: Conversation
    text: str | None
    function: Function | None


def begun(request: Request, ask: Ask) -> Answer:
    """Take the user's turn into the conversation and return the answer to it: each turn has a text of its own."""
    setup, conversation = setup_of(request), ask.conversation
    keeps = ask.call == "complete" and ask.text is not None
    sent = conversation.say("user", str(ask.text)) if keeps else None
    pace = dataclasses.replace(setup.pace, seed=setup.pace.seed + conversation.turns)
    conversation.turns += 1
    turn = Turn(
        call=ask.call,
        pace=pace,
        scenario=setup.scenario,
        text=ask.text,
        sent=sent,
        words=sum(count(message["text"]) for message in conversation.messages) or 1,
        instead="".join(echoed(request)) if setup.scenario == "echo-auth" else None,
        search=bool(conversation.bot) or setup.scenario == "tools",
        special=next((name for name in (conversation.id, conversation.bot) if name in SPECIAL), ""),
    )
    return Answer(turn)


def told(request: Request, answer: Answer, encode: Encode) -> Script:
    """Return the answer in one form."""
    setup = setup_of(request)
    repeats = setup.scenario == "echo-auth"
    body = echo(request, setup.pace.ttft, lambda text: encode("token", {"token": text})) if repeats else None
    return limited(setup, answer.script(encode, body))


def limited(setup: Setup, script: Script) -> Script:
    """Return a script with the limits that the base URL asks for."""
    return dataclasses.replace(script, limits=setup.limits(script.limits))


def at_once(setup: Setup) -> Setup:
    """Return a setup without a scenario and without a wait before the first event."""
    return dataclasses.replace(setup, scenario="ok", pace=dataclasses.replace(setup.pace, ttft=0.0))
