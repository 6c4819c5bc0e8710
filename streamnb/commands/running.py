"""A run in a terminal: waited for, and written down as one JSON document.

Knows sessions and what ends one from outside. Must not know: command lines, targets, files.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any

from streamnb.commands import BROKEN_PIPE, INTERRUPTED

if TYPE_CHECKING:
    import pandas as pd

    from streamnb.results import Run
    from streamnb.session import Session


def wait(session: Session) -> int:
    """Wait for a run; what arrived is kept, whatever ends it.

    Returns:
        0 when it came to its end (good or bad), else the exit code that says who ended it.
    """
    try:
        session.wait()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # nobody reads what it says: it need not say more
        from streamnb.session import STOP_S

        session.stop()
        concurrent.futures.wait([session.task] if session.task else [], timeout=STOP_S)
        return BROKEN_PIPE
    return 0


def document(run: Run) -> dict[str, Any]:
    """A run as JSON values: its row of the table `runs`, its text and its file; missing values are None."""
    path = None if run.path is None else str(run.path)
    return {**rows(run.summary)[0], "text": run.text, "path": path}


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON values; missing values are None."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is pd.NA or value is pd.NaT or value is None or value != value:  # noqa: PLR0124  # NaN is not itself
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value
