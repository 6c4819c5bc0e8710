"""The widget behind the panel: what a page is told about a run, and how a click is heard while the cell runs.

Knows ipywidgets, comms and ipykernel's routing of them. Must not know: arrivals, figures, what the state means.
"""

from __future__ import annotations

import collections
import contextlib
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

import anywidget

from streamnb.display import page

try:
    import orjson
except ImportError:  # there is none for this Python
    orjson = None  # type: ignore[assignment]

_KEPT_PANELS: Final = 8
_PACKED_FROM: Final = 2048
"""Bytes of JSON from which a message travels packed: of a fast stream a fourth, of a slow one nothing."""


def can_hear() -> bool:
    """True when a click can be heard while a cell runs: the kernel has the door that `hear_while_busy` uses."""
    comms = sys.modules.get("ipykernel.comm.comm")
    return comms is not None and hasattr(comms.Comm, "_reply_subshell_for")


def has_subshells() -> bool:
    """True when a page may have clicks handled on a thread beside the busy one (ipykernel 7.1 and later)."""
    kernel = sys.modules.get("ipykernel")
    return kernel is not None and tuple(kernel.version_info[:2]) >= (7, 1)


def _json(content: Any) -> bytes:
    if orjson is not None:
        with contextlib.suppress(TypeError):  # a number beyond 64 bits
            return orjson.dumps(content)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


class Heard(Protocol):
    """Takes what a page sends; `early`: on the thread that routes the kernel's messages."""

    def __call__(self, content: Any, *, early: bool = False) -> None:
        """Take it."""


class Panel(anywidget.AnyWidget):
    """The widget: its state always holds the text so far, so a reloaded page finds the stream where it is.

    Attributes:
        packs: long messages travel as deflated JSON in a buffer; False for a page that cannot unpack them.
    """

    _esm = page.module()
    _kept: ClassVar[collections.deque[Panel]] = collections.deque()

    def __init__(self, state: Callable[[], dict[str, Any]], heard: Heard) -> None:
        self._board_state = state
        self._heard = heard
        self.packs = True
        self._n_asked_for = 0
        self._page_is_done = False
        self._released = False
        self._last_n = 0
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: heard(content))

    def __repr__(self) -> str:
        return "<streamnb panel>"

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The traits, and the board beside them whenever all of the state is asked for."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None:
            self._n_asked_for += 1
            state["board"] = self._board_state()
        return state

    def send(self, content: Any, buffers: Any = None) -> None:
        """Send a message, a long one packed; remember the number of the last one."""
        self._last_n = content.get("n", self._last_n)
        text = _json(content)
        if len(text) >= _PACKED_FROM and self.packs:
            # level 1: a few per cent more bytes for a fraction of the time
            super().send({"k": "packed"}, [zlib.compress(text, 1)])
        else:
            super().send(content, buffers)

    def hear_while_busy(self) -> None:
        """Listen where ipykernel >= 7.4 routes messages of a comm, in the shell-channel thread, as they arrive.

        A private door (NOTEBOOK.md 2, 9): without it a click waits until the cell has ended. Only where `can_hear`.
        """
        route = self.comm._reply_subshell_for  # noqa: SLF001

        def listen(data: Any, default: Any) -> Any:
            if isinstance(data, dict) and data.get("method") == "custom":
                self._heard(data.get("content"), early=True)
            return route(data, default)

        self.comm._reply_subshell_for = listen  # noqa: SLF001

    def release(self) -> None:
        """Close the comm as soon as a page says that it has the final state.

        Not before: a page that is being reloaded while the cell runs asks for its widgets only when the cell has ended
        (the kernel answers nothing earlier), and it can no longer be updated by display_id, so it keeps the panel. The
        page's word also comes after every click it sent: a comm closed earlier complains about those on stderr.
        """
        self._released = True
        self._kept.append(self)
        if len(self._kept) > _KEPT_PANELS:
            self._kept.popleft().close()
        self._close_when_done()

    def _handle_msg(self, msg: Any) -> None:
        super()._handle_msg(msg)
        content = msg["content"]["data"].get("content")
        if isinstance(content, dict) and content.get("k") == "done":
            self._page_is_done |= content.get("n", self._last_n) == self._last_n  # not of a race's earlier round
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._released and self._page_is_done and self._n_asked_for == 1:
            with contextlib.suppress(ValueError):  # pushed out by newer panels already
                self._kept.remove(self)
            self.close()
