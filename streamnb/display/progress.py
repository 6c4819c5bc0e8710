"""A list of records on its way: one line that counts them, in a terminal or below a cell.

Knows `item` events. Must not know: what a record is, where lists come from, widgets.
"""

from __future__ import annotations

import abc
import collections
import sys
from collections.abc import Callable
from typing import Any, Final, TextIO

from streamnb.display.figures import DOT, count, duration, error_line
from streamnb.display.terminal import line
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look
from streamnb.events import Arrival

_EVERY_NS: Final = 250_000_000


class _Progress(abc.ABC):
    """What both kinds have in common: the count, and when to show it."""

    def __init__(self) -> None:
        self._inbox: collections.deque[int] = collections.deque()
        self._header: Header | None = None
        self._began_ns: int | None = None
        self._shown_ns = 0
        self._n = 0

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Take the place. Interrupting the cell, or Ctrl-C, stops."""
        del stop, look
        self._header = header

    def phase(self, name: str, t_ns: int) -> None:
        """Hear when it began."""
        if self._began_ns is None:
            self._began_ns = t_ns
        del name

    def arrive(self, arrival: Arrival) -> None:
        """Count the records of an arrival."""
        self._inbox.append(sum(event.kind == "item" for event in arrival.events))

    def paint(self, now_ns: int) -> None:
        """Show the count, four times a second at most."""
        if now_ns - self._shown_ns >= _EVERY_NS and self._header is not None:
            self._shown_ns = now_ns
            self._show(self._counted(self._header, now_ns))

    def close(self, final: FinalState) -> None:
        """Show how it ended."""
        if self._header is None:
            return
        header, self._header = self._header, None
        parts = [self._counted(header, None), final.outcome.value, error_line(final), header.note]
        self._end(line(DOT.join(part for part in parts if part)))

    def repeat(self) -> None:  # noqa: B027  # nothing to do in either kind
        """Do nothing: a line that is written stays."""

    def _counted(self, header: Header, now_ns: int | None) -> str:
        while self._inbox:
            self._n += self._inbox.popleft()
        records = "record" if self._n == 1 else "records"
        elapsed = DOT + duration((now_ns - self._began_ns) / 1e9) if now_ns and self._began_ns else ""
        return f"{line(header.names)}: {count(self._n)} {records}{elapsed}"

    @abc.abstractmethod
    def _show(self, text: str) -> None:
        """Show the count so far."""

    @abc.abstractmethod
    def _end(self, text: str) -> None:
        """Show how it ended."""


class LineProgress(_Progress):
    """One line of a text stream, written over while the stream is a terminal, else only at the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr  # standard output is for data
        self._width = 0

    def _show(self, text: str) -> None:
        if self._stream.isatty():
            self._stream.write(f"\r{text.ljust(self._width)}")
            self._stream.flush()
            self._width = len(text)

    def _end(self, text: str) -> None:
        start = "\r" if self._stream.isatty() else ""
        self._stream.write(f"{start}{text.ljust(self._width)}\n")
        self._stream.flush()


class CellProgress(_Progress):
    """One output of a cell, updated in place; what a saved notebook keeps is its last form."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Take the place in the cell."""
        from IPython.display import display

        super().open(header, stop, look)
        self._handle = display(  # type: ignore[no-untyped-call,unused-ignore]
            {"text/plain": self._counted(header, None)}, raw=True, display_id=True
        )

    def _show(self, text: str) -> None:
        self._handle.update({"text/plain": text}, raw=True)

    def _end(self, text: str) -> None:
        self._show(text)
