"""A recording under way: a session whose bytes come from a file or an earlier run, and that calls nobody.

Knows playbacks, the player and views. Must not know: sockets, targets, keys, IPython magics.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from streamnb import portal, shelf
from streamnb.asking import Ask
from streamnb.display import open_progress, open_view
from streamnb.errors import UsageError
from streamnb.playback import Playback, contents_of
from streamnb.player import Player
from streamnb.results import Run
from streamnb.session import Session

Source = str | os.PathLike[str] | Run


class Replay(Session):
    """A replay under way: waited for, stopped and shown like any run; it is no run of the session, and is not recorded.

    Args:
        source: a run file, or a run.
        speed: 1 is the recorded pace; infinite: as fast as it can.
        display: as of `stream`.
        raises: the caller raises what the file says went wrong.

    Raises:
        UsageError: a speed that is none, or a run that still runs.
        TranscriptError: the file cannot be read; the message names file and line.
    """

    def __init__(self, source: Source, speed: float = 1.0, display: str = "none", *, raises: bool = False) -> None:
        if not speed > 0:
            raise UsageError(f"speed wants a number above 0 (1 is the recorded pace), not {speed!r}.")
        playback, path = _open(source)
        self.asked = Ask("replay", display=display, raises=raises)
        listed = playback.prompt.records is not None
        self.view = open_progress(display) if listed else open_view(display)
        self.on_arrival = None
        self.record = playback.record
        self.run = Run(playback.record, playback.provider, playback.prompt, path)
        self.task = None
        self._player = self._engine = Player(playback, speed, time, (self.view, self))
        self._note = "a replay: nothing was sent" + ("" if speed == 1 else f"; {speed:g} times the recorded pace")

    def start(self) -> portal.Task[None]:
        """Open the view here and play on the loop thread."""
        self.view.open(self.run.header(self._note), self.stop, self.run.look)
        self.task = portal.spawn(self._player.run())
        return self.task


def _open(source: Source) -> tuple[Playback, Path | None]:
    path = source.path if isinstance(source, Run) else Path(source)
    if isinstance(source, Run):
        if source.outcome is None:
            raise UsageError(f"{source.run_id} still runs: wait for its end, then replay it.")
        if path is None or not path.exists():
            return Playback(contents_of(source.recorded, source.prompt), source.provider), None
    if path is None:
        raise UsageError("replay wants a run, or the path of its file.")
    with shelf.naming(path):
        return shelf.open_playback(path), path
