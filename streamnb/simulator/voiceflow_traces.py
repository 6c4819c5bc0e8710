"""The traces that Voiceflow's flows are made of: messages, buttons, cards, documents, custom actions.

Knows each trace's payload. Must not know: flows, conversations, the bytes of a stream.
"""

from __future__ import annotations

from typing import Any, Final

_DELAY_MS: Final = 1000
_TIMEOUT_S: Final = 5

Json = dict[str, Any]


def trace(kind: str, **payload: object) -> Json:
    """Return a trace; its time is the sender's matter."""
    return {"type": kind, "payload": payload}


def text(message: str) -> Json:
    """Return a whole message."""
    content = [{"children": [{"text": line}]} for line in message.split("\n")]
    slate = {"id": f"slate-{len(message)}", "content": content, "messageDelayMilliseconds": _DELAY_MS}
    return trace("text", slate=slate, message=message, delay=_DELAY_MS)


def knowledge(question: str, answer: str) -> Json:
    """Return what an answer from documents rests on."""
    chunks = [
        {
            "score": score,
            "documentID": f"doc-{name.lower()}",
            "documentData": {"type": "url", "name": name, "url": f"https://help.invalid/{name.lower()}"},
        }
        for name, score in (("Shipping", 0.91), ("Returns", 0.72))
    ]
    messages = [{"role": "user", "content": question}]
    return trace("knowledgeBase", chunks=chunks, query={"messages": messages, "output": answer})


def _button(name: str, path: str) -> Json:
    return {"name": name, "request": {"type": path, "payload": {"label": name}}}


PATHS: Final = {"path-7k2parcel": "Track a parcel", "path-9m4return": "Return it", "path-3x8scarf": "Take the blue one"}
"""Names of the buttons by the type of their request."""

_TRACK, _RETURN, _TAKE = (_button(name, path) for path, name in PATHS.items())
_HOURS: Final[Json] = {"name": "Opening hours", "request": {"type": "text", "payload": "When are you open?"}}

BLOCK: Final = trace("block", blockID="65a1f0c2b7")
CHOICE: Final = trace("choice", buttons=[_TRACK, _RETURN, _HOURS])
NO_REPLY: Final = trace("no-reply", timeout=_TIMEOUT_S)
OUT_OF_TOKENS: Final = (
    text("Exceeded token usage."),
    trace("debug", type="ai_response", message="token quota exceeded"),
)
END: Final = trace("end")

TICKET: Final[Json] = {
    **trace("open_ticket", subject="A parcel is late", priority=2),
    "paths": [{"label": name, "event": {"type": name}} for name in ("done", "failed")],
    "defaultPath": 0,
}
"""A custom action: the caller does it, then sends the event of one of its paths."""

_CARD: Final[Json] = {
    "title": "Blue scarf",
    "description": {"text": "Warm, 40 % wool."},
    "imageUrl": "https://pictures.invalid/scarf.png",
    "buttons": [_TAKE],
}
CARDS: Final = (
    trace("visual", visualType="image", image=_CARD["imageUrl"], dimensions={"width": 640, "height": 480}),
    trace("card", **_CARD),
    trace("cardV2", **_CARD),
    trace("carousel", layout="Carousel", cards=[_CARD, {**_CARD, "title": "Red scarf"}]),
    trace("speak", message="Which one?", src="https://sounds.invalid/which.mp3", type="message", voice="Joanna"),
)
