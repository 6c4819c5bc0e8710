"""The widget behind the panel: what a page is told about a run, and how a click is heard while the cell runs.

Knows ipywidgets, comms and ipykernel's routing of them. Must not know: arrivals, figures, what the state means.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import anywidget

_KEPT_PANELS: Final = 8


class Panel(anywidget.AnyWidget):
    """The widget: its state always holds the text so far, so a reloaded page finds the stream where it is."""

    _esm = Path(__file__).parent / "panel.js"
    _css = Path(__file__).parent / "panel.css"
    _kept: ClassVar[collections.deque[Panel]] = collections.deque()

    def __init__(self, state: Callable[[], dict[str, Any]], heard: Callable[[Any], None]) -> None:
        self._run_state = state
        self._heard = heard
        self._asked_for = 0
        self._n_on_the_way = 0  # written by the shell-channel thread only
        self._n_handled = 0  # written by the thread that handles comms only
        self._released = False
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: heard(content))

    def __repr__(self) -> str:
        return "<streamnb panel>"

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The traits, and the run beside them whenever all of the state is asked for."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None:
            self._asked_for += 1
            state["run"] = self._run_state()
        return state

    def hear_while_busy(self) -> bool:
        """Listen where ipykernel >= 7.4 routes messages of a comm, in the shell-channel thread, as they arrive.

        A private door (NOTEBOOK.md 2, 9): without it a click waits until the cell has ended. Other kernels lack it.

        Returns:
            True when the door is there.
        """
        route = getattr(self.comm, "_reply_subshell_for", None)
        if route is None:
            return False

        def listen(data: Any, default: Any) -> Any:
            self._n_on_the_way += 1
            if isinstance(data, dict) and data.get("method") == "custom":
                self._heard(data.get("content"))
            return route(data, default)

        self.comm._reply_subshell_for = listen  # noqa: SLF001
        return True

    def release(self) -> None:
        """Close the comm, unless somebody still needs it.

        A page that was reloaded during the run can no longer be updated by display_id: it keeps the panel. A message
        heard on the way in comes a second time by the ordinary way: a closed comm would complain about it on stderr.
        """
        self._released = True
        if self._asked_for > 1:
            self._kept.append(self)
            if len(self._kept) > _KEPT_PANELS:
                self._kept.popleft().close()
        elif self._n_on_the_way <= self._n_handled:
            self.close()

    def _handle_msg(self, msg: Any) -> None:
        super()._handle_msg(msg)
        self._n_handled += 1
        if self._released and self not in self._kept and self._n_on_the_way <= self._n_handled:
            self.close()
