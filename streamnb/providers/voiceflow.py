"""Voiceflow: launch, then text or another action, in the three generations of its interact stream (WIRE.md 3).

Knows the requests of v2beta1, v2 and v4; `_voiceflow_trace` reads the replies. Must not know: sockets, clocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote, unquote

from streamnb.errors import ProtocolError, UsageError
from streamnb.events import Event, Prompt
from streamnb.providers import _voiceflow_trace
from streamnb.providers._base import Call, Option, Provider, Reply, merge
from streamnb.providers._seen import Seen
from streamnb.redaction import Secret
from streamnb.wire import Frame

SESSION: Final = "session"
LAUNCH: Final = "launch"
INTERACT: Final = "interact"
SESSION_KEY: Final = "sessionKey"
_ONCE: Final = frozenset({"action", "state"})
"""Parameters that belong to the prompt itself: a launch before it goes out without them."""
_OVER: Final = "The session is over: it expired, or a newer one of the same user ended it. Leave out --session-id."


class Voiceflow(Provider):
    """An agent of a Voiceflow project. Nothing is ever sent twice: a turn advances the state on the server."""

    title: ClassVar[str] = "Voiceflow interact stream"
    doc_url: ClassVar[str] = "https://docs.voiceflow.com/reference/interact_stream"
    key_env = "VOICEFLOW_API_KEY"
    auth = "raw"
    base_url = "https://general-runtime.voiceflow.com"
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({"project": "demo"})
    stream_name: ClassVar[str] = INTERACT
    session_option: ClassVar[str | None] = "session_id"
    greets: ClassVar[bool] = True
    usage: ClassVar[Literal["sum", "last"]] = "sum"
    options: ClassVar[tuple[Option, ...]] = (
        Option("project", "ID of the project (agent settings, not the one in the address of the editor)"),
        Option(
            "version",
            "v2beta1: production, development or a version's 24-digit id; v2, v4: environment",
            default="production",
        ),
        Option("api_version", "generation of the API", default="v2beta1", choices=("v2beta1", "v2", "v4")),
        Option("user_id", "name of the user; without it a new session is its own user"),
        Option("session_id", "go on in this session instead of launching a new one: what run.session_id says"),
        Option(
            "launch", "launch the conversation again in the session of session_id", "bool", default=False, once=True
        ),
        Option("action", "send this action verbatim instead of the text (JSON)", "json", once=True),
        Option("intent", "send the text as this intent, without Voiceflow's own recognition", once=True),
        Option("no_reply", "say that the user said nothing, instead of the text", "bool", default=False, once=True),
    )

    def __init__(self, base_url: str | None = None, key_env: str | None = None, **options: Any) -> None:
        super().__init__(base_url, key_env, **options)
        self._set("hints", MappingProxyType(_hints(self.key_env or "", self._generation, self.values["session_id"])))

    @property
    def _generation(self) -> str:
        return str(self.values["api_version"])

    def session_of(self, prompt: Prompt) -> str | None:
        """The session a prompt is sent in, as one string for `session_id`: the server does not name it.

        `SESSION` alone when the user has the same name, else `USER/SESSION` with the user URL-quoted.

        Args:
            prompt: its `fresh_id` names a new session.

        Returns:
            The same string for every prompt that goes on in it; None when nothing names it.
        """
        name = self.values["session_id"] or prompt.fresh_id
        if not name:
            return None
        user, session = _parts(name)
        user = self.values["user_id"] or user
        return session if user == session and "/" not in session else f"{quote(user, safe='@:+')}/{session}"

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        """v4: the session's key. New session: launch. Then the prompt."""
        session = self.session_of(prompt)
        if session is None:
            raise UsageError("voiceflow cannot name a new session; give --session-id NAME.")
        actions = self._actions(prompt)
        if self._generation == "v4" and not self.values["session_id"]:
            _check_key((yield self._start(session)))
        for action, more in itertools.zip_longest(actions, actions[1:]):
            reply = yield self._interact(session, action, prompt, setup=more is not None)
            if more is not None and any(event.kind == "session" and event.name == "ended" for event in reply.events):
                raise ProtocolError(
                    "voiceflow ended the conversation at its launch, so the prompt was not sent; "
                    "an empty prompt launches without it."
                )

    def _actions(self, prompt: Prompt) -> list[Any]:
        """What is sent, in order: a session begins with its launch."""
        action = self._action(prompt)
        launches = self.values["launch"] or not self.values["session_id"]
        if launches and not _is_launch(action):
            return [{"type": LAUNCH}] if action is None else [{"type": LAUNCH}, action]
        if action is None:
            raise UsageError(
                "voiceflow has nothing to send: give a prompt, --action, --intent, --no-reply or --launch."
            )
        return [action]

    def _action(self, prompt: Prompt) -> Any:
        """The prompt as Voiceflow's `action`, None when there is nothing to say."""
        values = self.values
        if prompt.reply is not None:
            return prompt.reply
        if values["action"] is not None:
            return values["action"]
        if values["intent"]:
            query = {"query": prompt.text} if prompt.text else {}
            return {"type": "intent", "payload": {**query, "intent": {"name": values["intent"]}, "entities": []}}
        if values["no_reply"]:
            return {"type": "no-reply"}
        return {"type": "text", "payload": prompt.text} if prompt.text else None

    def _start(self, session: str) -> Call:
        """v4: a new session of a user, which ends the user's previous one."""
        environment = f"/environment/{_quoted(self.values['version'])}" if self.values["version"] else ""
        headers, _ = self.credentials()
        return Call(
            SESSION,
            path=f"/v4/project/{self._project}{environment}/session",
            body={"userID": _parts(session)[0]},
            headers=headers,
            secret_fields=(SESSION_KEY,),
            secret_scope=session,
        )

    def _interact(self, session: str, action: Any, prompt: Prompt, *, setup: bool) -> Call:
        user, name = _parts(session)
        headers, _ = self.credentials()
        query: dict[str, str | Secret] = {}
        body: dict[str, Any] = {"action": action}
        match self._generation:
            case "v2beta1":
                path = f"/v2beta1/interact/{self._project}/{_quoted(self.values['version'])}/stream"
                body["session"] = {"userID": user, "sessionID": name}
            case "v2":
                path = f"/v2/project/{self._project}/user/{_quoted(user)}/interact/stream"
                query = {"completion_events": "true", "environment": self.values["version"]}
                body["sessionID"] = name
            case _:
                path = "/v4/interact/stream"
                headers = {"Authorization": Secret(SESSION_KEY, scope=session)}
                body["config"] = {"completionEvents": True}
        return Call(
            LAUNCH if _is_launch(action) else INTERACT,
            path=path,
            body=merge(body, _params(prompt, body, setup=setup)),
            headers=headers,
            query=query,
            stream=True,
            setup=setup,
        )

    def secrets_of(self, name: str) -> tuple[dict[str, str | Secret], dict[str, str | Secret]]:
        """v4: only the start of a session carries the key, every turn carries the session's own."""
        if self._generation == "v4" and name != SESSION:
            return {"Authorization": Secret(SESSION_KEY)}, {}
        return super().secrets_of(name)

    @property
    def _project(self) -> str:
        if not self.values["project"]:
            raise UsageError("voiceflow needs --project ID (in the agent's settings).")
        return _quoted(self.values["project"])

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        """A trace, the session's state or the end of the turn."""
        return _voiceflow_trace.events(frame, seen)


def _hints(key: str, generation: str, session: str | None) -> dict[str, str]:
    hints = {
        "400": "Check --version (v2beta1 takes production, development or a version's 24-digit id) and the action.",
        "401": f"Check the key in {key}, sent as it is without Bearer, and that --project is the project it is for.",
        "402": "The workspace has no plan or no credits for this.",
        "404": "Check --project and --version.",
        "429": "A limit on requests or of the plan; wait{wait} and send it again.",
        "truncated": "Voiceflow has no error event: its server broke off. The turn may have advanced the session.",
    }
    if generation == "v4" and session:  # only the session's own key was sent
        hints |= {"401": _OVER, "404": _OVER}
    elif generation == "v4":
        hints["401"] += " A session that had begun was ended by a newer one of the same user."
    return hints


def _parts(session: str) -> tuple[str, str]:
    """(user, session) of the string that `session_of` makes."""
    user, slash, name = session.partition("/")
    return (unquote(user), name) if slash else (session, session)


def _is_launch(action: Any) -> bool:
    return isinstance(action, dict) and action.get("type") == LAUNCH


def _params(prompt: Prompt, body: Mapping[str, Any], *, setup: bool) -> dict[str, Any]:
    params = {key: value for key, value in prompt.params.items() if not (setup and key in _ONCE)}
    if isinstance(params.get("config"), dict) and "config" in body:  # completionEvents stays on unless it says no
        params["config"] = {**body["config"], **params["config"]}
    return params


def _check_key(reply: Reply) -> None:
    if not any(event.name == SESSION and event.kind == "trace" for event in reply.events):
        raise ProtocolError("voiceflow answered session without a sessionKey; check the base URL.")


def _quoted(text: str) -> str:
    return quote(text, safe="")
