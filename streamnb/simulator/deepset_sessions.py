"""deepset's workspaces: the search sessions in each, how many turns they had, and pages of them.

Knows sessions and their order. Must not know: HTTP, bytes, answers.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import uuid
from typing import Final, NamedTuple

from streamnb.simulator.deepset_ask import AskError, Json, error_body

SEEDED: Final = 25
"""Sessions that every workspace has from the start; their ids follow from its name."""

_MOST_WORKSPACES: Final = 100
_MOST_SESSIONS: Final = 1000
_SEEDED_FROM: Final = dt.datetime(2025, 3, 1, 9, tzinfo=dt.UTC)
_NAMES: Final = uuid.UUID("c0ffee00-5eed-4a11-8b0b-0123456789ab")


@dataclasses.dataclass(slots=True)
class Session:
    """One search session.

    Attributes:
        id: its UUID.
        pipeline_id: the pipeline it was made for.
        created_at: when, as the API writes it.
        turns: answers so far.
    """

    id: str
    pipeline_id: str
    created_at: str
    turns: int = 0

    def row(self) -> Json:
        """Return it as the list shows it (keys inferred)."""
        return {"search_session_id": self.id, "pipeline_id": self.pipeline_id, "created_at": self.created_at}


class Cursor(NamedTuple):
    """Which part of the list is wanted: older than `before`, younger than `after`, or a page counted from 1."""

    before: str | None = None
    after: str | None = None
    page: int | None = None


@dataclasses.dataclass(slots=True)
class Workspace:
    """One workspace.

    Attributes:
        sessions: the newest ones by id, oldest first.
        awake: the pipeline on standby was called before.
    """

    sessions: dict[str, Session]
    awake: bool = False

    def open(self, pipeline_id: str) -> Session:
        """Return a new session."""
        session = Session(str(uuid.uuid4()), pipeline_id, dt.datetime.now(dt.UTC).isoformat())
        self.sessions[session.id] = session
        while len(self.sessions) > _MOST_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        return session

    def find(self, name: str) -> Session:
        """Return the session with that id.

        Raises:
            AskError: 404.
        """
        session = self.sessions.get(name)
        if session is None:
            raise AskError(404, error_body(404, "There is no such search session in this workspace."))
        return session

    def page(self, limit: int, cursor: Cursor) -> Json:
        """Return a page, newest first; a page number overrules the ids, as the platform's page says.

        Raises:
            AskError: 404: there is no session of that id to count from.
        """
        newest = list(reversed(self.sessions.values()))
        if cursor.page is not None:
            start = (cursor.page - 1) * limit
        elif cursor.before is not None:
            start = newest.index(self.find(cursor.before)) + 1
        elif cursor.after is not None:
            younger = newest[: newest.index(self.find(cursor.after))]
            nearest = younger[-limit:]  # so that `after` with the first of these goes on without a gap
            return self._page(nearest, more=len(nearest) < len(younger))
        else:
            start = 0
        return self._page(newest[start : start + limit], more=start + limit < len(newest))

    def _page(self, sessions: list[Session], *, more: bool) -> Json:
        rows = [session.row() for session in sessions]
        return {"data": rows, "has_more": more, "total": len(self.sessions)}


class Workspaces:
    """The workspaces asked for lately, by name: any name is one."""

    def __init__(self) -> None:
        self._by_name: collections.OrderedDict[str, Workspace] = collections.OrderedDict()

    def find(self, name: str) -> Workspace:
        """Return the workspace of that name."""
        workspace = self._by_name.pop(name, None) or _seeded(name)
        self._by_name[name] = workspace
        while len(self._by_name) > _MOST_WORKSPACES:
            self._by_name.popitem(last=False)
        return workspace


def pipeline_id(workspace: str, pipeline: str) -> str:
    """Return the UUID of a pipeline: it follows from the names."""
    return str(uuid.uuid5(_NAMES, f"{workspace}/{pipeline}"))


def _seeded(workspace: str) -> Workspace:
    names = [str(uuid.uuid5(_NAMES, f"{workspace}/session {number}")) for number in range(SEEDED)]
    times = [(_SEEDED_FROM + dt.timedelta(hours=number)).isoformat() for number in range(SEEDED)]
    chat = pipeline_id(workspace, "chat")
    return Workspace({name: Session(name, chat, time) for name, time in zip(names, times, strict=True)})
