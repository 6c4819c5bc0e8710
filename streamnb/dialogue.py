"""A conversation: its turns, and what the next one is asked with: a session to go on in, or what was said so far.

Knows what providers keep of a conversation. Must not know: how a run is driven, threads, what is shown.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from streamnb.asking import Ask
from streamnb.choosing import Chosen
from streamnb.results import Run
from streamnb.turn import Turn, begun


@dataclasses.dataclass(frozen=True, slots=True)
class Mood:
    """How a conversation stands: what people are told about it.

    Attributes:
        hint: one line, "" for nothing.
        start: the platform speaks first: an empty prompt begins.
        over: that the platform ended it, in words, or None.
    """

    hint: str = ""
    start: bool = False
    over: str | None = None


class Dialogue:
    """The turns on the screen; those since the last beginning are one conversation to the platform.

    Args:
        after: a run to go on from.

    Attributes:
        turns: every turn that has a run, oldest first.
    """

    def __init__(self, after: Run | None = None) -> None:
        self.turns: list[Turn] = []
        self._since = 0
        self._after = after
        self._spent: frozenset[str] = frozenset()

    def clear(self) -> None:
        """Forget everything."""
        self.turns = []
        self._anew()

    def _anew(self) -> None:
        self._since, self._after, self._spent = len(self.turns), None, frozenset()

    def current(self, chosen: Chosen) -> list[Turn]:
        """The turns of the conversation that goes on when it is asked in this way; none: another one begins."""
        turns = self.turns[self._since :]
        return turns if turns and turns[-1].chosen.goes_on_as(chosen) else []

    def mood(self, chosen: Chosen) -> Mood:
        """How the conversation stands that goes on when it is asked in this way."""
        provider, target, current = chosen.provider, chosen.target, self.current(chosen)
        last = current[-1].run if current else None
        if last is not None and last.session_over:
            return Mood(over=f"{target} has ended this conversation.")
        start = provider.greets and not current and self._after is None
        hint = ""
        if start:
            hint = f"{target} speaks first: start it, or write."
        elif self.turns and not current:
            hint = f"Another conversation begins, with {target}."
        elif provider.session_option is None and not provider.takes_history:
            hint = f"{target} keeps no conversation: each prompt stands alone."
        elif last is not None and last.ok and not provider.takes_history and last.session_id is None:
            hint = f"{target} opened no session: each prompt stands alone."
        return Mood(hint, start)

    # -- going back ---------------------------------------------------------------------------------------------------

    def rewinds(self, chosen: Chosen, index: int) -> bool:
        """True where the conversation can go back to before a turn: the platform keeps nothing of it."""
        if chosen.provider.takes_history or chosen.provider.session_option is None:
            return True
        return not any(turn.run is not None and begun(turn.run) for turn in self.turns[index:])

    def cut(self, index: int) -> None:
        """Drop a turn and those after it."""
        del self.turns[index:]
        self._since = min(self._since, index)

    # -- the next turn ------------------------------------------------------------------------------------------------

    def add(self, turn: Turn) -> frozenset[str]:
        """A turn has begun.

        Returns:
            The provider's options that were meant for this turn alone, although a conversation was under way.
        """
        names = once(self.left(turn.chosen))
        first = len(self.turns) == self._since
        self.turns.append(turn)
        self._spent |= names
        return frozenset() if first else names

    def said_anew(self, names: frozenset[str]) -> None:
        """These options hold for the next turn, whatever was sent before."""
        self._spent -= names

    def left(self, chosen: Chosen) -> Chosen:
        """What is chosen, without the options that were meant for an earlier turn."""
        return chosen.without(self._spent)

    def ask(self, turn: Turn, name: str) -> Ask:
        """What a turn is asked with that is to begin now.

        Args:
            turn: one that `add` has not seen.
            name: of the conversation, for the table `runs`.
        """
        chosen, current = turn.chosen, self.current(turn.chosen)
        if not current and len(self.turns) > self._since:
            self._anew()
        provider, options = chosen.provider, dict(self.left(chosen).options)
        common: dict[str, Any] = {key: value for key, value in chosen.common.items() if key != "after"}
        if provider.takes_history:
            common["history"] = self._history(current)
        else:
            runs = (one.run for one in reversed(current) if one.run is not None)
            before = next((run for run in runs if begun(run)), self._after)
            if before is None:
                options = {**provider.chat_options, **options}
            else:
                common["after"] = before
                options.pop(provider.session_option or "", None)
        return Ask(chosen.target, turn.text, reply=turn.reply, options=options, chat=name, display="panel", **common)

    def _history(self, turns: list[Turn]) -> tuple[tuple[str, str], ...]:
        """What was said so far: every prompt that was answered at all, and what the user saw of the answer."""
        runs = [self._after, *(turn.run for turn in turns)]
        said = list(self._after.prompt.history) if self._after is not None else []
        for run in runs:
            if run is not None and run.text:
                said += [("user", run.prompt.text), ("assistant", run.text)]
        return tuple(said)


def once(chosen: Chosen) -> frozenset[str]:
    """The options said here that belong to one turn each."""
    return frozenset(option.name for option in chosen.provider.options if option.once and option.name in chosen.options)
