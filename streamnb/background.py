"""A run in the background: the cell has ended, a thread paints, the user holds a handle.

Knows sessions and threads. Must not know: what is shown and how, IPython magics.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Generator
from typing import Any

from streamnb.results import Run
from streamnb.session import Session


class Background:
    """A run that goes on while other cells run: `handle.wait()`, `await handle`, `handle.stop()`, `handle.run`.

    Attributes:
        run: the run; grows while it lives.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.run = session.run
        session.start()
        context = contextvars.copy_context()  # output of the thread belongs to the cell that began it
        self._thread = threading.Thread(target=context.run, args=(session.follow,), name="streamnb-panel", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """True when the run has ended and its final state is shown."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End the run, from any thread; what arrived is kept."""
        self._session.stop()

    def wait(self, timeout: float | None = None) -> Run:
        """Block until the run is over. An interrupt ends the waiting, not the run.

        Args:
            timeout: at most so many s; the run is returned as it is then.
        """
        waited = 0.0
        while self._thread.is_alive() and (timeout is None or waited < timeout):
            step = 0.05 if timeout is None else min(0.05, timeout - waited)  # in slices: an interrupt is heard at once
            self._thread.join(step)
            waited += step
        if self.done:
            self._session.view.repeat()  # a notebook that runs without a page was not listening when it came
        return self.run

    def __await__(self) -> Generator[Any, None, Run]:
        return self._join().__await__()

    async def _join(self) -> Run:
        await asyncio.to_thread(self._thread.join)
        return self.wait()

    def __repr__(self) -> str:
        state = "running" if self.run.outcome is None else self.run.outcome.value
        return f"<background run of {self.run.target}: {state}; .run, .wait(), .stop()>"
