"""`%%chatstream` and `%chatstream`: from the cell to the public calls, and back into the namespace.

Knows IPython. Must not know: how a run works; what it does, a script does with `streamnb.stream`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, CaselessStrEnum, Float, Int, List, TraitError, Unicode, validate

from streamnb.errors import StreamnbError, UsageError, did_you_mean

if TYPE_CHECKING:
    from streamnb.display import Style

_NAME = "chatstream"
_MODES = ("auto", "panel", "static", "plain", "none")
_MOST_HZ = 20
_TABS = ("answer", "timing", "events", "request")


class ChatStreamError(StreamnbError):
    """A cell that failed, in one line: no traceback, but a real error that stops the cells behind it.

    Args:
        message: what went wrong.
        short: what the cell says instead where a panel above it has said the message already.
    """

    def __init__(self, message: str, short: str = "") -> None:
        super().__init__(message)
        self._short = short

    def _render_traceback_(self) -> list[str]:
        return [f"chatstream: {self._short or self}"]


class ChatStreamInterrupt(KeyboardInterrupt):
    """An interrupted cell, in one line; the partial run is kept."""

    def _render_traceback_(self) -> list[str]:
        return [f"chatstream: {self}"]


@magics_class
class ChatStream(Magics):
    """Defaults of `%%chatstream`: `%config ChatStream.record = False`."""

    display = CaselessStrEnum(_MODES, default_value="auto", help="how runs are shown").tag(config=True)
    record = Bool(default_value=True, help="write each run to a file").tag(config=True)
    timeout_first = Float(None, allow_none=True, help="seconds until the first data (300)").tag(config=True)
    timeout_idle = Float(
        None, allow_none=True, help="seconds between data; keep-alives do not count (the vendor's limit + 15, or 120)"
    ).tag(config=True)

    rate = Float(20.0, help="most messages a second from one panel to its page (at most 20)").tag(config=True)
    height = Int(None, allow_none=True, help="height of a panel's body in pixels; None: as high as its text").tag(
        config=True
    )
    tabs = List(Unicode(), list(_TABS), help=f"tabs of a panel, of {', '.join(_TABS)}").tag(config=True)
    markdown = Bool(default_value=True, help="render answers as Markdown; False shows them as they came").tag(
        config=True
    )
    reduced_motion = Bool(default_value=False, help="no animation in panels").tag(config=True)

    @validate("rate")  # type: ignore[untyped-decorator,unused-ignore]
    def _check_rate(self, proposal: Any) -> float:
        if not 0 < proposal["value"] <= _MOST_HZ:
            raise TraitError(f"rate wants messages per second, above 0 and at most {_MOST_HZ}")
        return float(proposal["value"])

    @validate("tabs")  # type: ignore[untyped-decorator,unused-ignore]
    def _check_tabs(self, proposal: Any) -> list[str]:
        for tab in proposal["value"]:
            if tab not in _TABS:
                raise TraitError(f"there is no tab {tab!r}.{did_you_mean(tab, _TABS)}")
        return list(proposal["value"])

    @no_var_expand  # type: ignore[untyped-decorator,unused-ignore]
    @line_cell_magic(_NAME)  # type: ignore[arg-type,untyped-decorator,unused-ignore]
    def chatstream(self, line: str, cell: str | None = None) -> Any:
        """`%%chatstream?` shows what `getdoc` says: the options of every target."""
        try:
            return self._command(line) if cell is None else self._cell(line, _body(cell))
        except StreamnbError as error:
            if isinstance(error, ChatStreamError):
                raise
            raise ChatStreamError(str(error)) from None

    def _command(self, line: str) -> Any:
        words = line.split()
        commands: dict[str, Callable[[], Any]] = {"providers": _providers, "runs": _runs, "last": _last}
        if not words:
            raise UsageError(f"say what to show.{did_you_mean('', commands)} Or see %%chatstream?")
        if words[0] in commands:
            return commands[words[0]]()
        return self._cell(line, "")

    def _replay(self, line: str, prompt: str) -> None:
        from streamnb import client
        from streamnb.options import parse_replay

        if prompt.strip():
            raise UsageError("a replay takes no prompt: leave the cell empty, or write %chatstream replay FILE")
        source, keywords = parse_replay(line)
        held = self._ip.user_ns.get(source)
        run = held if type(held).__name__ == "Run" else source
        replay = client.Replay(run, keywords["speed"], keywords["display"] or self.display)
        self._wait(replay, keywords["output"])  # however the recorded run ended: this one was played

    def _cell(self, line: str, prompt: str) -> Any:
        from streamnb import client
        from streamnb.options import parse_cell, refuse_keys

        if line.split()[:1] == ["replay"]:
            self._replay(line, prompt)
            return None
        refuse_keys(line.split())
        targets, keywords = parse_cell(line)
        output = keywords.pop("output", None)
        for name in ("display", "record", "timeout_first", "timeout_idle"):
            if (value := getattr(self, name)) is not None:
                keywords.setdefault(name, value)
        if "tools" in keywords:
            keywords["tools"] = {name: self._function(variable) for name, variable in keywords["tools"].items()}
        background = keywords.get("background", False)
        keywords |= {"cell_id": self._cell_id(), "raises": not background, "style": self._style()}
        if len(targets) > 1 or "repeat" in keywords:
            return self._race(targets, prompt, keywords, output)
        session = client.Session(client.ask(targets[0], prompt, **keywords))
        if background:
            return self._in_background(session, output)
        run = self._wait(session, output)
        if run.outcome is not None and run.outcome.value != "stopped":
            ended = run.outcome.value.replace("_", " ")
            _raise_for_outcome(run, keywords["display"], f"{ended}; the error is said above.")
        return None

    def _race(self, targets: list[str], prompt: str, keywords: dict[str, Any], output: str | None) -> None:
        """Several runs: the variable has those that have started, from the first round on."""
        from streamnb.racing import Race

        race = Race(targets, prompt, **keywords)
        if output is not None:
            race.on_runs = lambda runs: self._ip.user_ns.update({output: runs})
        try:
            race.wait()
        except KeyboardInterrupt:
            raise ChatStreamInterrupt("the race was interrupted; what arrived is kept.") from None
        _raise_for_outcome(race, keywords["display"], "every run of the race failed; the errors are said above.")

    def _in_background(self, session: Any, output: str | None) -> Any:
        """The handle: in the variable where one is named, else as the cell's value."""
        from streamnb.background import Background

        handle = Background(session)
        if output is None:
            return handle
        self._ip.user_ns[output] = handle
        return None

    def _style(self) -> Style:
        from streamnb.display import Style

        return Style(self.rate, self.height, tuple(self.tabs), self.markdown, self.reduced_motion)

    def _wait(self, session: Any, output: str | None) -> Any:
        if output is not None:
            self._ip.user_ns[output] = session.run
        try:
            return session.wait()
        except KeyboardInterrupt:
            raise ChatStreamInterrupt(session.run.error or "interrupted; what arrived is kept.") from None

    def _function(self, variable: str) -> Any:
        function = self._ip.user_ns.get(variable)
        if not callable(function):
            found = "is no function" if variable in self._ip.user_ns else "does not exist"
            known = [name for name, value in self._ip.user_ns.items() if callable(value) and not name.startswith("_")]
            raise UsageError(f"--tool: {variable} {found} in this notebook.{did_you_mean(variable, known)}")
        return function

    @property
    def _ip(self) -> Any:
        return self.shell

    def _cell_id(self) -> str | None:
        kernel = getattr(self._ip, "kernel", None)
        parent = kernel.get_parent() if kernel is not None else {}
        cell = parent.get("metadata", {}).get("cellId")
        return str(cell) if cell else str(self._ip.execution_count)


def _raise_for_outcome(done: Any, display: str, short: str) -> None:
    """Raise what went wrong; below a panel in short. Headless it stays whole: there this line is what a log shows."""
    from streamnb.display import resolve_mode

    try:
        done.raise_for_outcome()
    except StreamnbError as error:
        raise ChatStreamError(str(error), short if resolve_mode(display) == "panel" else "") from None


def _body(cell: str) -> str:
    """The prompt, byte-exact: IPython appends the one newline that is taken off here."""
    return cell.removesuffix("\n")


def _providers() -> Any:
    from streamnb import tables
    from streamnb.providers import load, names

    return tables.providers([load(name) for name in names()])


def _runs() -> Any:
    from streamnb import client

    return client.runs()


def _last() -> Any:
    from streamnb import client

    run = client.last()
    if run is None:
        raise UsageError("there is no run yet in this session. Try: %%chatstream demo")
    return run


def _help() -> str:
    from streamnb.options import help_text

    return help_text()


def load(shell: Any) -> None:
    """Register the magics; loading twice leaves one of each."""
    unload(shell)
    magics = ChatStream(shell=shell, config=shell.config)
    shell.register_magics(magics)
    for kind in ("line", "cell"):
        function = shell.magics_manager.magics[kind][_NAME]
        getattr(function, "__func__", function).getdoc = _help  # what `?` asks first; made only then


def unload(shell: Any) -> None:
    """Take back what `load` added."""
    manager = shell.magics_manager
    for kind in ("line", "cell"):
        manager.magics[kind].pop(_NAME, None)
    manager.registry.pop("ChatStream", None)
    shell.configurables[:] = [one for one in shell.configurables if type(one).__name__ != "ChatStream"]
