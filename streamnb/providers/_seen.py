"""The fold of one stream: what a provider may look back at while it reads the next frame.

Knows events. Must not know: frames, providers, clocks. Read-only for providers; only the conversation folds.
"""

from __future__ import annotations

from collections import Counter

from streamnb.events import Event


class Seen:
    """What a stream has said so far.

    Attributes:
        error: the first error event, or None.
        finish_reason: name of the first `end` event that has one, or None.
        ended: the choice indexes that an `end` event named; None among them: one for the whole stream.
        cut: the stream ended inside a JSON value or a character.
    """

    __slots__ = (
        "_chars",
        "_counts",
        "_flags",
        "_last",
        "_messages",
        "_parts",
        "cut",
        "ended",
        "error",
        "finish_reason",
    )

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._parts: dict[int, list[str]] = {}
        self._chars: Counter[int] = Counter()
        self._last: dict[str, Event] = {}
        self._messages: list[str] = []
        self.error: Event | None = None
        self.finish_reason: str | None = None
        self.ended: frozenset[int | None] = frozenset()
        self.cut = False

    def count(self, kind: str) -> int:
        """How many events of this kind came."""
        return self._counts[kind]

    @property
    def total(self) -> int:
        """How many events came."""
        return self._counts.total()

    def last(self, kind: str) -> Event | None:
        """The latest event of this kind."""
        return self._last.get(kind)

    def flagged(self, flag: str) -> int:
        """How many events carried this flag."""
        return self._flags[flag]

    def n_chars(self, choice: int = 0) -> int:
        """Length of the answer so far, in characters: where a citation that arrives now belongs."""
        return self._chars[choice]

    def text(self, choice: int = 0) -> str:
        """The answer so far: deltas, else whole messages, else the end event's text."""
        if choice in self._parts:
            parts = self._parts[choice]
            parts[:] = [join(parts)]  # so that asking again costs nothing
            return parts[0]
        if self._messages:
            return "\n\n".join(self._messages)
        end = self._last.get("end")
        return end.text if end else ""

    @property
    def choices(self) -> tuple[int, ...]:
        """Indexes of the answers that got text."""
        return tuple(sorted(self._parts))

    def fold(self, event: Event) -> None:
        """Take one event in. For the conversation only."""
        self._counts[event.kind] += 1
        self._last[event.kind] = event
        if event.flags:
            self._flags.update(event.flags)
            broken = "unterminated" in event.flags and bool(event.flags & {"malformed", "lossy"})
            self.cut |= broken or "truncated" in event.flags
        match event.kind:
            case "delta":
                choice = event.choice or 0
                self._parts.setdefault(choice, []).append(event.text)
                self._chars[choice] += len(event.text)
            case "replace":
                choice = event.choice or 0
                self._parts[choice] = [event.text]
                self._chars[choice] = len(event.text)
            case "message":
                self._messages.append(event.text)
            case "error" if self.error is None:
                self.error = event
            case "end":
                self.ended |= {event.choice}
                self.finish_reason = self.finish_reason or event.name
            case _:
                pass


def join(parts: list[str]) -> str:
    """Deltas put together; two halves of a surrogate pair that came apart become one character again (SAFETY R16)."""
    text = "".join(parts)
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
