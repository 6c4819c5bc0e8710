"""One turn of a conversation: a prompt, the run that answers it, and who waits for it.

Knows runs. Must not know: how a run is driven, what it was asked after, widgets.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Final

from streamnb.choosing import Chosen
from streamnb.display.figures import DOT, outcome_words
from streamnb.display.inert import visible, well_formed
from streamnb.errors import StreamnbError
from streamnb.events import Outcome
from streamnb.results import Run

_SLICE_S: Final = 0.05
_SAYS_NOTHING: Final = frozenset({"error", "ping", "unknown"})


class Turn:
    """One prompt of a conversation and the run that answers it: what `send` returns.

    Attributes:
        said: what the user said: the prompt, or the label of a button; None where the platform was to speak first.
        text: the prompt as it is sent.
        reply: the platform's own request that is sent instead of it.
        chosen: who was asked, and how.
        run: the answer, growing while it comes; None before it has begun.
        error: what was wrong, where it could not be sent.
    """

    def __init__(self, said: str | None, chosen: Chosen, text: str = "", reply: Any = None) -> None:
        self.said = said
        self.text = text
        self.reply = reply
        self.chosen = chosen
        self.run: Run | None = None
        self.error: StreamnbError | None = None
        self.pressed = reply is not None
        self.cancelled = False
        self._halt: Callable[[], None] | None = None
        self._over = threading.Event()

    # -- what the panel does with it ----------------------------------------------------------------------------------

    def begin(self, run: Run, halt: Callable[[], None]) -> None:
        """The run has begun; `halt` asks it to end."""
        self.run, self._halt = run, halt
        if self.cancelled:
            halt()

    def finish(self, error: StreamnbError | None = None) -> None:
        """Nothing more comes."""
        self.error = error
        self._over.set()

    # -- what the user does with it -----------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """True when nothing more comes."""
        return self._over.is_set()

    def stop(self) -> None:
        """End the run, from any thread; what arrived is kept. One that waits for its turn is not sent."""
        self.cancelled = True
        if self._halt is not None:
            self._halt()

    def wait(self, timeout: float | None = None) -> Run:
        """Block until the answer is there. An interrupt ends the waiting, not the run.

        Args:
            timeout: at most so many s; the run is returned as it is then.

        Returns:
            The run, also when it went wrong: look at `ok`, `outcome`, `error`.

        Raises:
            UsageError: it could not be sent; nothing was. MissingKeyError: the same.
            TimeoutError: it waits for another turn still.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        while not self._over.is_set() and (until_s is None or time.monotonic() < until_s):
            left_s = _SLICE_S if until_s is None else min(_SLICE_S, max(0.0, until_s - time.monotonic()))
            self._over.wait(left_s)  # in slices: an interrupt is heard at once
        if self.error is not None:
            raise self.error
        if self.run is None:
            raise TimeoutError("it was not sent yet: another turn is under way.")
        return self.run

    def __await__(self) -> Generator[Any, None, Run]:
        return asyncio.to_thread(self.wait).__await__()

    def __repr__(self) -> str:
        run = self.run
        if self.error is not None:
            state = f"not sent: {self.error}"
        elif run is None:
            state = "waiting"
        else:
            state = "running" if run.outcome is None else run.outcome.value
        return f"<turn {self.said!r:.60}: {state}; .run, .wait(), .stop()>"

    def transcript(self) -> str:
        """What was said, as text, and how it ended where that is not as it should be."""
        lines = [] if self.said is None else [f"You {'pressed' if self.pressed else 'said'}: {self.said}"]
        run = self.run
        if run is not None:
            lines += [f"{run.target}: {spoken(run)}".rstrip()]
            lines += [f"(choices: {DOT.join(choice.label for choice in run.choices)})"] if run.choices else []
            lines += _ended(run)
        return visible(well_formed("\n".join(lines)))


def spoken(run: Run) -> str:
    """Everything that was said to the user, in order: messages and cards on lines of their own, pieces joined."""
    paragraphs: list[str] = []
    joined: int | None = None  # the call whose pieces the last paragraph is made of
    events, calls = run.recorded.events, run.recorded.chunks.call
    rows = zip(events.kind, events.text, events.choice, events.chunk, strict=False)
    for seq, (kind, text, choice, chunk) in enumerate(rows):
        if kind == "message" or (kind == "item" and seq in events.choices):
            joined = None
            paragraphs += [text] if text else []
        elif kind in {"delta", "replace"} and choice <= 0 and text:
            if joined != calls[chunk]:
                paragraphs.append("")
            paragraphs[-1] = text if kind == "replace" else paragraphs[-1] + text
            joined = calls[chunk]
    return "\n\n".join(paragraphs) or run.text


def begun(run: Run) -> bool:
    """True where the platform took part: a session that was only named, and never reached, has nothing to go on in."""
    return run.session_id is not None and any(kind not in _SAYS_NOTHING for kind in run.recorded.events.kind)


def _ended(run: Run) -> list[str]:
    if run.outcome is None:
        return ["(running)"]
    how = run.error or ("" if run.outcome is Outcome.COMPLETE else outcome_words(run.outcome))
    over = "the conversation ended" if run.session_over else ""
    return [f"({said})" for said in (how, over) if said]
