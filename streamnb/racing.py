"""A race: one prompt to several targets at once, in rounds; runs one after another, targets side by side.

Knows sessions and what they are asked. Must not know: IPython magics, sockets, what bytes mean, how a race looks.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from streamnb import settings
from streamnb.asking import Ask, ask, provider_of, unknown_option
from streamnb.collection import Runs
from streamnb.display import resolve_mode
from streamnb.display.race import open_race
from streamnb.display.view import NullView
from streamnb.errors import RunError, UsageError
from streamnb.events import Outcome
from streamnb.results import Run
from streamnb.session import STOP_S, Session

_SLICE_S: Final = 0.05
_REFUSED: Final = {
    "press": "a button belongs to one run (press, --press): leave it out of a race.",
    "after": "a race begins anew in every run: leave out after (--continue).",
    "background": "a race keeps its cell: leave out background (--background).",
    "records": "a list of records is no race: use streamnb.records, one target at a time.",
    "take": "take is for lists of records, and a list is no race.",
}
_ONE_API: Final = {
    "base_url": "base_url (--base-url) is the address of one API",
    "key_env": "key_env (--key-env) names the key of one API, and the others must not see it",
}


def race(targets: Iterable[str], prompt: str = "", *, repeat: int = 1, seed: int = 0, **keywords: Any) -> Runs:
    """Send one prompt to several targets at once, wait for all answers, return the runs.

    In each round all targets start together; rounds run one after another, and who starts first is shuffled anew in
    each. A run that fails stops no other one. An interrupt ends them all and is raised; what arrived is kept.

    Args:
        targets: each `target` or `target:model`; the same one may stand there twice.
        prompt: what to say.
        repeat: how many rounds, from 1; the column `repeat` of the table `runs` has the number of the round.
        seed: of the order of the starts.
        keywords: as of `stream`, for all targets; an option of one provider is for the targets that have it.

    Returns:
        The runs in the order of their starts, also those that failed: `compare()` sets the targets beside each other.

    Raises:
        UsageError: something does not exist, fits no target, or makes no sense in a race. Nothing was sent.

    Example:
        >>> pace = {"tokens": 3, "ttft": 0, "gap": 0}
        >>> race(["demo:small", "demo:large"], "Hi", repeat=2, pace=pace, record=False)
        <Runs: 4 runs, 4 ok>
    """
    return Race(targets, prompt, repeat=repeat, seed=seed, **keywords).wait()


class Race:
    """A race under way. `wait` on one thread; `stop` from any.

    Args:
        targets: as of `race`, and so are the others.

    Attributes:
        on_runs: told the runs so far, when all of a round have started and at the end.

    Raises:
        UsageError: as `race`.
    """

    def __init__(
        self, targets: Iterable[str], prompt: str = "", *, repeat: int = 1, seed: int = 0, **keywords: Any
    ) -> None:
        typed = [targets] if isinstance(targets, str) else list(targets)
        if not isinstance(repeat, int) or repeat < 1:
            raise UsageError(f"repeat wants a number of rounds from 1, not {repeat!r}.")
        keywords["display"] = mode = resolve_mode(keywords.get("display") or "none")
        self._asked = asked(typed, prompt, keywords)
        self._labels = _labels(typed)
        for one in self._asked:  # refuses what does not fit, and starts companions: nothing is shown or sent before
            Session(one, NullView())
        self._orders = _orders(len(typed), repeat, seed)
        self._view = open_race(mode, self._labels, repeat, keywords.get("style"))
        self._seed = seed
        self.on_runs: Callable[[Runs], None] | None = None
        self._stopping = threading.Event()
        self._sessions: list[Session] = []
        self._open: list[Session] = []
        self._begun: list[tuple[str, Session]] = []

    @property
    def runs(self) -> Runs:
        """The runs that have started, in the order of their starts. Those that still run grow."""
        return Runs(run for _, run in self._started)

    @property
    def _started(self) -> list[tuple[str, Run]]:
        return [(label, session.run) for label, session in self._begun if session.task is not None]

    def wait(self) -> Runs:
        """Block until all rounds are over; an interrupt ends all runs, keeps what arrived and is raised again."""
        try:
            self._view.open(self.stop)
            for number, order in enumerate(self._orders):
                if self._stopping.is_set():
                    break
                self._round(number, order)
        finally:
            try:
                self._end()
            except KeyboardInterrupt:  # what it came in the middle of is done again
                self._end()
                raise
        return self.runs

    def stop(self) -> None:
        """End all runs and begin no more rounds, from any thread; what arrived is kept."""
        self._stopping.set()
        for session in list(self._sessions):
            session.stop()

    def raise_for_outcome(self) -> None:
        """Do nothing when a run of it ended well, or was stopped.

        Raises:
            RunError: every run failed; the message names each target and why, and the runs are in its `run`.
        """
        if self._failed:
            said = {label: f"{label}: {run.error or run.outcome}" for label, run in self._started}  # the latest round's
            raise RunError(f"every run of the race failed. {' | '.join(said.values())}", self.runs)

    @property
    def _failed(self) -> bool:
        outcomes = [run.outcome for _, run in self._started]
        return bool(outcomes) and not any(one is None or one.ok or one is Outcome.STOPPED for one in outcomes)

    def _round(self, number: int, order: Sequence[int]) -> None:
        """One run of each target: all made and on the screen before the first one starts, so that none waits."""
        who = ", ".join(self._labels[at] for at in order)
        places = self._view.begin(number, f"started in this order, shuffled with seed {self._seed}: {who}")
        made = {at: Session(dataclasses.replace(self._asked[at], repeat=number), places[at]) for at in order}
        self._sessions = [made[at] for at in sorted(made)]
        if self._stopping.is_set():  # it came while they were made
            return
        for session in self._sessions:
            session.view.open(session.run.header(), session.stop, session.run.look)
        for at in order:
            session = self._sessions[at]
            self._begun.append((self._labels[at], session))
            self._open.append(session)
            session.start()
        self._tell()
        self._watch()

    def _watch(self) -> None:
        """Paint until all have ended; who has ended gets its final state while the others go on."""
        running: dict[concurrent.futures.Future[None], Session] = {
            session.task: session for session in self._sessions if session.task is not None
        }
        while running:
            first = concurrent.futures.FIRST_COMPLETED
            over, _ = concurrent.futures.wait(running, timeout=_SLICE_S, return_when=first)
            self._view.paint(time.monotonic_ns())
            for task in over:
                self._close(running.pop(task))
        for session in self._sessions:
            if session.task is not None:
                session.task.result()  # an error of our own comes out

    def _close(self, session: Session) -> None:
        session.close()
        self._open.remove(session)

    def _end(self) -> None:
        """Show the end. What still runs was interrupted: block until its sockets are closed, its last lines written."""
        running = [session for session in self._open if session.task is not None]
        for session in running:
            session.stop(Outcome.INTERRUPTED)  # of those that ended it changes nothing
        concurrent.futures.wait({session.task for session in running if session.task}, timeout=STOP_S)
        self._tell()
        for session in running:
            self._close(session)
        self._view.close(says_errors=not (self._failed and self._asked[0].raises))

    def _tell(self) -> None:
        if self.on_runs is not None:
            self.on_runs(self.runs)


def asked(typed: Sequence[str], prompt: str, keywords: Mapping[str, Any]) -> list[Ask]:
    """What each target is asked: what is said of all, its own model, and those options that it has.

    Raises:
        UsageError: no such target, an option that none of them has, or something that makes no sense in a race.
    """
    if not typed:
        raise UsageError("a race wants at least one target.")
    names = [word.partition(":")[0] for word in typed]
    own = {name: _options_of(name) for name in names}
    for name, why in _REFUSED.items():
        if keywords.get(name):
            raise UsageError(why)
    providers = {provider_of(name).name for name in names}
    for name, why in _ONE_API.items():
        if keywords.get(name) and len(providers) > 1:
            raise UsageError(f"{why}: leave it out of a race of {' and '.join(sorted(providers))}.")
    models = [settings.split_target(word)[1] for word in typed]
    if keywords.get("model") and all(models):
        raise UsageError("every target of the race names its model already: leave model (--model) out.")
    asks = [
        ask(name, prompt, **{**keywords, "model": model or keywords.get("model")})
        for name, model in zip(names, models, strict=True)
    ]
    everyones = set().union(*own.values())
    for option in asks[0].options.keys() - everyones:
        raise unknown_option(f"none of {', '.join(typed)} has an", option, everyones)
    return [
        dataclasses.replace(one, options={key: value for key, value in one.options.items() if key in own[one.target]})
        for one in asks
    ]


def _options_of(name: str) -> set[str]:
    settings.companion(name, sim=False)  # did-you-mean for the target
    return {option.name for option in settings.options_of(name)}


def _labels(typed: Sequence[str]) -> list[str]:
    """Each target as it was typed; a second one of the same name is told apart by a number."""
    labels: list[str] = []
    for word in typed:
        n, label = 1, word
        while label in labels:
            n += 1
            label = f"{word} ({n})"
        labels.append(label)
    return labels


def _orders(n_targets: int, rounds: int, seed: int) -> list[list[int]]:
    """Who starts first, second, ... in each round; the same seed gives the same orders."""
    # a text, because small numbers alike make orders alike: three rounds of three began with the same one at seed 0
    shuffled = random.Random(f"race {seed}")  # noqa: S311  # an order that can be repeated, no secret
    return [shuffled.sample(range(n_targets), n_targets) for _ in range(rounds)]
