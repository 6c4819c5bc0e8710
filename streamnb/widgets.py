"""`ChatPanel`: a conversation as a widget with a composer, driven from the page and from Python alike.

Knows how the parts are put together. Must not know: threads, what a page looks like, any API.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal, overload

from streamnb.chatting import Chat
from streamnb.choosing import chosen
from streamnb.collection import Runs
from streamnb.display import Style, open_view, resolve_mode
from streamnb.errors import UsageError
from streamnb.results import Run
from streamnb.turn import Turn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChatPanel", "Turn"]


class ChatPanel:
    """A conversation with any target: a widget with a composer in a notebook, and the same from Python.

    Every turn is a run: recorded, timed, in the tables. Several panels live side by side, and other cells run
    meanwhile. Where the API keeps the conversation, the next turn goes on in its session; where it keeps none but takes
    what was said before (`openai_chat`, `ollama`), that goes along; else each prompt stands alone, and the panel says
    so. Without a page (a script, papermill, nbclient) it displays as the transcript of what was said.

    Args:
        target: a provider's or a profile's name; `demo` needs no key and no network.
        chat: name of the conversation, for the column `chat` of the table `runs`; unless said, one of its own.
        display: auto, panel, static, plain or none.
        style: how the panel looks.
        keywords: as of `streamnb.stream`: `model`, `system`, `sim`, `base_url`, `key_env`, `params`, `tools`, `record`,
            `pace`, timeouts, `after` (a run to go on from) and the provider's own options.

    Attributes:
        name: what the column `chat` says of its runs.

    Raises:
        UsageError: no such target or keyword, or one that does not fit a conversation.

    Example:
        >>> panel = ChatPanel("demo", pace={"tokens": 3, "ttft": 0, "gap": 0}, record=False)
        >>> panel.send("Why do rivers meander?", wait=True).outcome.value
        'complete'
        >>> [turn.said for turn in panel.turns]
        ['Why do rivers meander?']
    """

    def __init__(
        self,
        target: str = "demo",
        *,
        chat: str | None = None,
        display: str = "auto",
        style: Style | None = None,
        **keywords: Any,
    ) -> None:
        resolve_mode(display)
        self.name = chat or f"chat-{secrets.token_hex(3)}"
        self._display = display
        self._chat = Chat(self.name, chosen(target, keywords), style or Style())
        self._handles: list[Any] = []

    # -- talking ------------------------------------------------------------------------------------------------------

    @overload
    def send(self, text: str, wait: Literal[False] = False) -> Turn: ...
    @overload
    def send(self, text: str, wait: Literal[True]) -> Run: ...
    @overload
    def send(self, text: str, wait: bool) -> Turn | Run: ...
    def send(self, text: str, wait: bool = False) -> Turn | Run:
        """Say something. While an answer is under way it waits for its turn.

        Args:
            text: the prompt, sent byte-exact.
            wait: block until the answer is there; an interrupt ends the waiting, not the run.

        Returns:
            At once the turn: `.wait()`, `await turn`, `.stop()`, `.run`. With `wait` the run, also when the API failed.

        Raises:
            UsageError: it does not fit, or the platform has ended the conversation (with `wait`: also what only shows
                when it is to be sent). MissingKeyError: nothing was sent.
        """
        return _waited(self._chat.send(text), wait=wait)

    def start(self, wait: bool = False) -> Turn | Run:
        """Let the platform speak first, where it does (Voiceflow, Typebot).

        Raises:
            UsageError: it does not, or the conversation has begun.
        """
        return _waited(self._chat.send(""), wait=wait)

    def press(self, label: str, wait: bool = False) -> Turn | Run:
        """Press a button that the last turn offered, with the platform's own request.

        Raises:
            UsageError: there is none of that label.
        """
        return _waited(self._chat.press(label), wait=wait)

    def retry(self, wait: bool = False) -> Turn | Run:
        """Send the last prompt again, as if it had not been sent.

        What a platform keeps in a session of its own cannot be taken back: there it is said once more.

        Raises:
            UsageError: nothing was said yet, or an answer is under way.
        """
        return _waited(self._chat.again(-1), wait=wait)

    def edit(self, turn: Turn | int, text: str, wait: bool = False) -> Turn | Run:
        """Say something else in the place of an earlier turn; it and those after it are forgotten (the runs stay).

        What a platform keeps in a session of its own cannot be taken back: there the text is said after all the others.

        Args:
            turn: one of `turns`, or its number.
            text: the prompt in its place.
            wait: as of `send`.

        Raises:
            UsageError: no such turn, or an answer is under way.
        """
        return _waited(self._chat.again(turn, text), wait=wait)

    def stop(self) -> None:
        """End the answer under way, from any thread; what arrived is kept. What waits is not sent."""
        self._chat.stop()

    def clear(self) -> None:
        """Begin a new conversation; the runs so far stay in `runs`."""
        self._chat.clear()

    def set(self, target: str | None = None, **keywords: Any) -> None:
        """Ask somebody else, or in another way, from the next turn on.

        Where both take what was said before, the conversation goes on with the other one; else another one begins.

        Args:
            target: a provider's or a profile's name.
            keywords: as of `ChatPanel`; None takes one back.

        Raises:
            UsageError: no such target or keyword.
        """
        if "after" in keywords:
            raise UsageError("a panel goes on from the run it was made with: ChatPanel(..., after=run).")
        self._chat.choose(target, keywords)

    def wait(self, timeout: float | None = None) -> Run | None:
        """Block until nothing is under way. An interrupt ends the waiting, not the run.

        Args:
            timeout: at most so many s.

        Returns:
            The latest run, None when there is none.
        """
        self._chat.join(timeout)
        return self.last

    def close(self) -> None:
        """End it: what was displayed becomes the transcript, and nothing is taken any more."""
        if self._chat.closed:
            return
        self._chat.close()
        self._chat.join()
        for handle in self._handles:
            handle.update(self._bundle(), raw=True)
        self._chat.board.release()

    # -- what was said ------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """True while an answer is under way or something waits to be sent."""
        return self._chat.busy

    @property
    def target(self) -> str:
        """Who is asked next."""
        return self._chat.chosen.target

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the conversation as the screen shows it: `.said`, `.run`."""
        return tuple(self._chat.dialogue.turns)

    @property
    def runs(self) -> Runs:
        """Every run of this panel, also those that were edited or cleared away."""
        return Runs(tuple(self._chat.runs))

    @property
    def last(self) -> Run | None:
        """The latest run, while it grows and afterwards."""
        runs = self._chat.runs
        return runs[-1] if runs else None

    @property
    def events(self) -> pd.DataFrame:
        """The events of all runs, one run after the other."""
        return self.runs.events

    @property
    def chunks(self) -> pd.DataFrame:
        """The socket reads of all runs, one run after the other."""
        return self.runs.chunks

    def transcript(self) -> str:
        """Who said what, as plain text, and how a turn ended where that was not as it should be."""
        return "\n\n".join(turn.transcript() for turn in self.turns)

    # -- showing ------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        n, state = len(self.turns), "busy" if self.busy else "idle"
        return f"<ChatPanel {self.name} with {self.target}: {n} turn{'s' * (n != 1)}, {state}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        del kwargs
        match resolve_mode(self._display):
            case "panel":
                open_view("panel")  # refuses where there is no page
                self._chat.publish()
                return self._chat.board.show()
            case "static":
                return self._bundle()
            case _:
                return {"text/plain": self.transcript() or repr(self)}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        mode = resolve_mode(self._display)
        if mode == "panel":
            handle = display(self._repr_mimebundle_(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
            self._handles.append(handle)
        elif mode != "none":
            display(self._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]

    def _bundle(self) -> dict[str, str]:
        with self._chat.screen:
            return self._chat.board.bundle(self.transcript() or repr(self))


def _waited(turn: Turn, *, wait: bool) -> Turn | Run:
    return turn.wait() if wait else turn
