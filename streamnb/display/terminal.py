"""A run as plain text: deltas as they come, one summary line at the end. For terminals, pipes and scripts.

Knows the text stream it writes to. Must not know: IPython, widgets, HTML.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TextIO

from streamnb.display.feed import SHOWN_LIMIT, Batch, Feed
from streamnb.display.figures import DOT, error_line, missing, summary_line
from streamnb.display.inert import TerminalFilter, well_formed
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look
from streamnb.events import Arrival

_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"


class PlainView:
    """Writes text to a stream; on a terminal the reasoning is dimmed, and no order but ours reaches it (S7)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._tty = self._stream.isatty()
        self._feed = Feed(lambda: TerminalFilter().feed)
        self._header: Header | None = None
        self._at_line_start = True
        self._section = ""
        self._says_errors = True

    def leave_errors_to_the_caller(self) -> None:
        """Say no errors: whoever raises them says them, and once is enough."""
        self._says_errors = False

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Name the target, on a terminal only: elsewhere the output is the answer. Ctrl-C stops."""
        del stop, look
        self._header = header
        if self._tty:
            self._line(line(header.title), dim=True)

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase; only the clock uses it."""
        self._feed.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        self._feed.arrive(arrival)

    def paint(self, now_ns: int) -> None:
        """Write what arrived."""
        del now_ns
        self._write(self._feed.drain())

    def close(self, final: FinalState) -> None:
        """Write what is left, the error if there is one, and the summary line."""
        if self._header is None:
            return
        header, self._header = self._header, None
        self._write(self._feed.drain())
        if final.text and not self._feed.answer.text and not self._feed.n_lines:
            self._section_text("answer", line(final.text[:SHOWN_LIMIT]))
        for source in _sources(final):
            self._line(source, dim=True)
        last = line(error_line(final))
        for error in (*(f"error: {text}" for text in self._feed.errors if text not in last), last):
            if error and (self._says_errors or final.outcome.ok):  # beside a good end it is a warning, raised by nobody
                self._line(error)
        self._line(summary_line(self._feed.measured(final)), dim=True)
        if header.note:
            self._line(line(header.note), dim=True)

    def repeat(self) -> None:
        """Do nothing: a line that is written stays."""

    def _write(self, batch: Batch) -> None:
        for place, text, _ in batch.parts:
            match place:
                case "answer" | "reasoning":
                    self._section_text(place, text)
                case "replaced":
                    self._line("(the answer so far was replaced:)", dim=True)
                case "error":
                    pass  # said at the end, where the outcome may say it better
                case _ if text:
                    self._line(text)
                case _:
                    pass
        self._stream.flush()

    def _section_text(self, section: str, text: str) -> None:
        if not text:
            return
        if self._section not in {section, ""}:
            self._end_line()
        self._section = section
        self._out(text, dim=section == "reasoning")
        self._at_line_start = text.endswith("\n")

    def _line(self, text: str, *, dim: bool = False) -> None:
        self._end_line()
        self._section = ""
        self._out(text, dim=dim)
        self._out("\n")

    def _end_line(self) -> None:
        if not self._at_line_start:
            self._out("\n")
        self._at_line_start = True

    def _out(self, text: str, *, dim: bool = False) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)  # an ASCII pipe must not end the run
        self._stream.write(f"{_DIM}{text}{_PLAIN}" if dim and self._tty else text)


def line(text: str) -> str:
    """A whole text made harmless for a terminal, by a filter of its own: an open sequence ends with it."""
    return TerminalFilter().feed(well_formed(text))


def _sources(final: FinalState) -> list[str]:
    """One line per citation: its number, title, address, kind of source."""
    rows = []
    for number, citation in enumerate(final.citations, 1):
        parts = (citation.get(key) for key in ("title", "url", "source_type"))
        said = DOT.join(line(" ".join(str(part).split())) for part in parts if not missing(part))
        rows.append(f"[{number}] {said}")
    return rows
