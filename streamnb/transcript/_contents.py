"""A whole file of a run, or any beginning of one, read in order; a torn end is cut, never guessed (P3, P4).

Knows the order of lines. Must not know: files, clocks, sockets, what a run means.
"""

from __future__ import annotations

import dataclasses

from streamnb.errors import TranscriptError
from streamnb.transcript._codec import decode
from streamnb.transcript._lines import CallLine, EndLine, Line, OtherLine, ReadLine, ReplyLine, RunLine


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """What a transcript holds.

    Attributes:
        run: its first line.
        lines: every line that was read, in file order, `run` included.
        torn: the bytes at the end that are no whole line; the file without them is whole and may be appended to.
        problems: what was skipped or cut, one sentence each, with the line's number.
    """

    run: RunLine
    lines: list[Line]
    torn: bytes = b""
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def calls(self) -> list[CallLine]:
        """The requests, in file order."""
        return [line for line in self.lines if isinstance(line, CallLine)]

    @property
    def replies(self) -> list[ReplyLine]:
        """The replies' heads, in file order."""
        return [line for line in self.lines if isinstance(line, ReplyLine)]

    @property
    def reads(self) -> list[ReadLine]:
        """The reads, in file order."""
        return [line for line in self.lines if isinstance(line, ReadLine)]

    @property
    def end(self) -> EndLine | None:
        """The end of the run; None while it goes on, or when its writer died."""
        return next((line for line in reversed(self.lines) if isinstance(line, EndLine)), None)


def read_lines(data: bytes) -> Contents:
    """Read a transcript, or any beginning of one that holds the whole first line.

    Args:
        data: the file's bytes. Line ends may have become CR LF on the way; blank lines mean nothing.

    Returns:
        What is whole. A last line without its line end is torn even if it reads well: it may be half a write.

    Raises:
        TranscriptError: no whole run line at the start, or a line before the last is bad; the message begins with
            `line N:` (the caller puts the file's name before it).
    """
    pieces = data.split(b"\n")
    rows = [number for number, piece in enumerate(pieces, 1) if piece.strip(b" \t\r")]
    run = _first(pieces, rows)
    lines: list[Line] = [run]
    problems: list[str] = []
    for number in rows[1:]:
        try:
            line = _later(pieces, number)
        except TranscriptError as error:
            if number != rows[-1]:
                raise TranscriptError(f"line {number}: {error}") from None
            problems.append(f"line {number}, the last, was cut: {error}")
            return Contents(run, lines, b"\n".join(pieces[number - 1 :]), problems)
        if isinstance(line, OtherLine):
            problems.append(f"line {number} was skipped: this version does not know lines of type {line.kind[:40]!r}.")
        else:
            lines.append(line)
    return Contents(run, lines, problems=problems)


def _first(pieces: list[bytes], rows: list[int]) -> RunLine:
    """The run line, whole, or an error: without it nothing says what the rest is."""
    if not rows:
        raise TranscriptError("line 1: the file is empty; a transcript begins with its run line.")
    try:
        line = _terminated(pieces, rows[0])
    except TranscriptError as error:
        raise TranscriptError(f"line {rows[0]}: {error} A transcript begins with its run line.") from None
    if not isinstance(line, RunLine):
        raise TranscriptError(f"line {rows[0]}: a transcript begins with its run line, and this is none.")
    return line


def _later(pieces: list[bytes], number: int) -> Line | OtherLine:
    line = _terminated(pieces, number)
    if isinstance(line, RunLine):
        raise TranscriptError("a second run begins here: a transcript holds one run.")
    return line


def _terminated(pieces: list[bytes], number: int) -> Line | OtherLine:
    if number == len(pieces):
        raise TranscriptError("it has no line end (torn, or saved by an editor that drops it).")
    return decode(pieces[number - 1])
