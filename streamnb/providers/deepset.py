"""deepset Cloud (Haystack Enterprise Platform): chat-stream and search-stream of a pipeline (WIRE.md 5).

Knows its calls, its stream events, its search sessions. Must not know: sockets, clocks, how Haystack works.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from streamnb.errors import ProtocolError, UsageError, did_you_mean
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers._base import FINISH, Call, Ending, Option, Provider, Reply, merge, parse
from streamnb.providers._deepset_events import (
    last_reason,
    pipeline_reply,
    session_reply,
    sessions_reply,
    stream_events,
    whole_reply,
)
from streamnb.providers._seen import Seen
from streamnb.redaction import Secret
from streamnb.wire import Frame

CHAT: Final = "chat_stream"
SEARCH: Final = "search_stream"
PIPELINE: Final = "pipeline"
SESSION: Final = "session"
SESSIONS: Final = "sessions"
NEW: Final = "new"
PAGE: Final = 100
_US: Final = "https://api.us.deepset.ai"
# The pages say that `after` names what follows; for pipelines deepset's own client goes on with `before`, because the
# cursor is a time and the newest come first. For sessions neither is sure: the other is tried where one brings nothing.
_CURSORS: Final = ("before", "after")
_SWITCHES: Final = ("tool_calls", "tool_call_results")
_KEY: Final = "Check the API key, and --region: the organization is either in eu or in us."
_NOT_DEPLOYED: Final = "The pipeline is not deployed, or is being changed: deploy it and run it again."
_NOTHING_RUN: Final = "nothing was executed"


class Deepset(Provider):
    """A deployed pipeline. A chat goes on in a search session, which a run opens unless it is given one."""

    title: ClassVar[str] = "deepset Cloud chat-stream"
    doc_url: ClassVar[str] = (
        "https://docs.cloud.deepset.ai/docs/api/main/"
        "chat-stream-api-v-1-workspaces-workspace-name-pipelines-pipeline-name-chat-stream-post"
    )
    key_env = "DEEPSET_API_KEY"
    base_url = "https://api.cloud.deepset.ai"
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"pipeline": "demo"})
    stream_name: ClassVar[str] = CHAT
    session_option: ClassVar[str | None] = "search_session"
    lists: ClassVar[Mapping[str, str]] = MappingProxyType({"search_sessions": "the workspace's search sessions"})
    options: ClassVar[tuple[Option, ...]] = (
        Option("workspace", "name of the workspace", default="default"),
        Option("pipeline", "name of the pipeline"),
        Option("endpoint", "chat-stream, or search-stream (no session)", default="chat", choices=("chat", "search")),
        Option("search_session", "the chat's session: new, or the id of one to go on in", default=NEW),
        Option("pipeline_id", "UUID of the pipeline, to open a session without asking for it first"),
        Option(
            "no_result", "do not ask for the full result (answers, documents) as last message", "bool", default=False
        ),
        Option(
            "tool_calls",
            "tool calls: as events (true), not at all (false), as Markdown in the text (rendered)",
            default="true",
            choices=("true", "false", "rendered"),
        ),
        Option("tool_call_results", "results of tool calls as events", default="true", choices=("true", "false")),
        Option("region", "where the organization is; a --base-url goes before it", default="eu", choices=("eu", "us")),
    )
    hints: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "401": _KEY,
            "403": _KEY,
            "404": "Check --pipeline, --workspace, --search-session and --region.",
            "408": "The pipeline itself was too slow: look at its logs, ask for less, or run it again.",
            "409": _NOT_DEPLOYED,
            "412": _NOT_DEPLOYED,
            "422": "Check --param and the ids: sessions and pipelines are named by UUIDs.",
            "429": f"It is the limit of this pipeline, and {_NOTHING_RUN}; wait{{wait}} and run it again.",
            "503": f"The platform rebalances its pipelines, and {_NOTHING_RUN}; wait{{wait}} and run it again.",
            "591": f"It was on standby, and {_NOTHING_RUN}; it is being started: try again in a minute.",
        }
    )

    def __init__(self, base_url: str | None = None, key_env: str | None = None, **options: Any) -> None:
        switches = {name: str(options[name]).lower() for name in _SWITCHES if isinstance(options.get(name), bool)}
        super().__init__(base_url, key_env, **{**options, **switches})
        if self.values["region"] == "us" and self.base_url == Deepset.base_url:
            self._set("base_url", _US)

    # -- calls ----------------------------------------------------------------------------------------------------

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        """The stream; before it, for a chat that is to begin, the pipeline's id and a session."""
        session = self.values["search_session"]
        if self.values["endpoint"] == "search":
            if session != NEW:
                raise UsageError("deepset: search-stream has no session; use --endpoint chat with --search-session.")
            yield self._stream(SEARCH, {"query": prompt.text}, prompt)
            return
        call = self._stream(CHAT, {"query": prompt.text, "search_session_id": session}, prompt)
        if session == NEW and "search_session_id" not in prompt.params:
            pipeline_id = self.values["pipeline_id"]
            if pipeline_id is None:
                reply = yield Call(PIPELINE, "GET", self._pipeline(), headers=self._headers())
                pipeline_id = _found(reply, "trace", "pipeline_id; give it with --pipeline-id UUID")
            body = {"pipeline_id": pipeline_id}
            reply = yield Call(SESSION, path=self._workspace("search_sessions"), body=body, headers=self._headers())
            session = _found(reply, "session", "search_session_id; give one with --search-session ID")
            call = self._stream(CHAT, {"query": prompt.text, "search_session_id": session}, prompt)
        yield call

    def listing(self, kind: str, take: int | None) -> Generator[Call, Reply, None]:
        """The search sessions, page by page, until `take`, or until a page says or shows that there are no more."""
        if kind not in self.lists:
            raise UsageError(f"deepset has no list {kind!r}.{did_you_mean(kind, self.lists)}")
        path, known, left, promised = self._workspace("search_sessions"), set[str](), take, False
        cursors, cursor = list(_CURSORS), dict[str, str | Secret]()
        while True:
            limit = str(PAGE if left is None else min(PAGE, left))
            reply = yield Call(SESSIONS, "GET", path, headers=self._headers(), query={"limit": limit, **cursor})
            page, ids = _page(reply)
            fresh = [ident for ident in ids if ident not in known]
            left = None if left is None else left - len(fresh)
            if fresh:
                known.update(fresh)
                last, promised = fresh[-1], page.get("has_more") is True
                if page.get("has_more") is False or (left is not None and left <= 0):
                    return
            elif promised and cursors[1:]:
                del cursors[0]  # there are more, but not this way
            else:
                return
            cursor = {cursors[0]: last}

    def _stream(self, name: str, body: Mapping[str, Any], prompt: Prompt) -> Call:
        include_result = not self.values["no_result"]
        if prompt.params.get("include_result", include_result) is not include_result:
            # Whether the result is due decides what the end of the stream is worth: one place says it.
            raise UsageError("deepset: leave include_result to --no-result (no_result=True), not to the parameters.")
        calls = self.values["tool_calls"]
        fields = {
            **body,
            "include_result": include_result,
            "include_tool_calls": calls if calls == "rendered" else calls == "true",
            # The page's sample has the plural, its prose the singular, which --param can send besides.
            "include_tool_call_results": self.values["tool_call_results"] == "true",
        }
        path = self._pipeline("/" + name.replace("_", "-"))
        return Call(name, path=path, body=merge(fields, prompt.params), headers=self._headers(), stream=True)

    def _workspace(self, rest: str) -> str:
        workspace = self.values["workspace"]
        if not workspace:
            raise UsageError("deepset needs --workspace NAME (in Python workspace=...).")
        return f"/api/v1/workspaces/{quote(workspace, safe='')}/{rest}"

    def _pipeline(self, rest: str = "") -> str:
        pipeline = self.values["pipeline"]
        if not pipeline:
            raise UsageError("deepset needs --pipeline NAME (in Python pipeline=...), the name of a deployed pipeline.")
        return self._workspace(f"pipelines/{quote(pipeline, safe='')}{rest}")

    def _headers(self) -> dict[str, str | Secret]:
        return self.credentials()[0]

    # -- replies --------------------------------------------------------------------------------------------------

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """One event of the stream, or a whole JSON reply to one of the calls."""
        value, malformed = parse(frame)
        if "no_data" in frame.flags:
            yield Event("trace", name=frame.event)
        elif malformed is not None:
            yield Event("error", frame.data) if frame.event == "error" else malformed
        elif not isinstance(value, dict):
            yield Event("unknown", data=value)
        elif frame.event in {CHAT, SEARCH}:
            yield from whole_reply(value, seen)
        elif frame.event in _REPLIES:
            yield from _REPLIES[frame.event](value)
        else:
            yield from stream_events(value, frame.event, seen)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """The result is the end marker where it was asked for; else the end of the body ends what has begun."""
        outcome = super().outcome(seen, ending)
        unmarked = self.values["no_result"] and not seen.cut and (seen.count("delta") or seen.count("step"))
        if outcome is not Outcome.TRUNCATED or ending.cause is not None or not unmarked:
            return outcome
        return FINISH.get(last_reason(seen) or "", ending.at_eof)


_REPLIES: Final = MappingProxyType({PIPELINE: pipeline_reply, SESSION: session_reply, SESSIONS: sessions_reply})


def _found(reply: Reply, kind: str, what: str) -> str:
    """The id that a set-up call was made for."""
    for event in reply.events:
        if event.kind == kind and event.id:
            return event.id
    raise ProtocolError(f"deepset's reply has no {what}.")


def _page(reply: Reply) -> tuple[Mapping[str, Any], list[str]]:
    """What a page of sessions says of itself, and the ids of its rows."""
    for event in reply.events:
        if event.name == "page":
            return event.data, [one.id for one in reply.events if one.kind == "item" and one.id is not None]
    raise ProtocolError("deepset answered the list of search sessions with something else; check --base-url.")
