"""What a caller can say about one run, and what "go on from that run" adds to it.

Knows earlier runs and their options. Must not know: how a run is driven, IPython, what bytes mean.
"""

from __future__ import annotations

import dataclasses
import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from streamnb.deadlines import Default, Seconds
from streamnb.display import Style
from streamnb.errors import UsageError, did_you_mean
from streamnb.events import Prompt
from streamnb.functions import Function, declare
from streamnb.pacing import Parse
from streamnb.providers import Provider, load
from streamnb.redaction import redact_url
from streamnb.results import Run, session
from streamnb.settings import PROFILES, split_target
from streamnb.transport import Kind, Route

_OURS: Final = {"target", "prompt", "options", "style", "background", "chat", "repeat", "raises", "notice", "cell_id"}
"""Fields that nobody says by their name."""

_asked: weakref.WeakKeyDictionary[Run, Ask] = weakref.WeakKeyDictionary()
"""What each run of this process was asked, for those that go on from it."""


@dataclasses.dataclass(frozen=True)
class Ask:
    """Everything a caller can say about one run; the keywords of `stream`.

    Attributes:
        target: a provider's or a profile's name (`%chatstream providers`); `TARGET:MODEL` names the model too.
        prompt: what to say, sent byte-exact.
        params: extra fields for the body of the streaming request; None removes one.
        key_env: the environment variable that holds the key, if it is not the provider's usual one.
        sim: talk to the built-in simulator instead; a dummy key is sent, never yours.
        scenario: what the simulator does (`streamnb simulate --help`).
        pace: the simulator's pace: `ttft`, `gap` (s), `tokens`, `seed`, ...
        timeout: for the whole run, from its first call, s; None: no limit. Unless said: the vendor's limit + 15 s,
            where it documents one, else none.
        timeout_first: until the first data, s (300).
        timeout_idle: between data, s; keep-alives do not count. Unless said: the vendor's limit + 15 s, else 120 s.
        record: write the run to the recordings' directory.
        display: auto, panel, static, plain or none.
        style: how a panel looks.
        background: do not wait for the end (`%%chatstream --background`).
        chat: name of the conversation it belongs to, for the table `runs`.
        repeat: number of the repetition, from 0, for the table `runs`.
        allow_http: send a key over plain http to another host.
        raises: the caller raises what went wrong, so a terminal view need not say it as well.
        notice: say once per session where runs are recorded.
        reply: a platform's own request to send verbatim (the `prompt.reply` of a `Choice`).
        after: a run, or True for the latest one of this target: go on in its session, with its options.
        press: the label of a button that run offered (`run.choices`): press it.
        tools: functions of yours that the model may call, by the name it calls them.
        records: instead of a prompt: a list of the platform's records (`streamnb.records`).
        take: at most so many of them.
        history: what was said before, as (role, text) with the role `user` or `assistant`, oldest first: for APIs that
            keep no conversation themselves (`openai_chat`, `ollama` and what speaks like them).
        parse: when what arrives is understood: `arrival` (at once), `deferred` (when the reply pauses or ends) or
            `auto` (at once, or from 64 runs on later: every quarter of a second where somebody watches).
        transport: what carries it: `direct` (our own HTTP/1.1), `httpcore` (its pool over sockets of ours) or `auto`.
        kernel_stamps: ask the kernel when bytes came (Linux); False leaves only this process's own stamps.
        proxy: URL of an HTTP proxy; those of the environment are not asked.
        ca: file of certificates to trust instead of the usual authorities.
        uds: a unix socket on which the server listens; the base URL still says scheme, host and path.
        http2: offer HTTP/2 (https only); a server may still choose HTTP/1.1: `calls.transport` says what it was.
        isolate: capture in a process of its own: where the kernel has no stamps (macOS, Windows), a cell that computes
            cannot make them late there. The first such run starts it, which takes about half a second.
        options: the provider's own options.
    """

    target: str
    prompt: str = ""
    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    base_url: str | None = None
    key_env: str | None = None
    sim: bool = False
    scenario: str | None = None
    pace: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    timeout: Seconds = Default.CLOCK
    timeout_first: Seconds = Default.CLOCK
    timeout_idle: Seconds = Default.CLOCK
    record: bool = True
    display: str = "none"
    style: Style | None = None
    background: bool = False
    chat: str | None = None
    repeat: int | None = None
    allow_http: bool = False
    raises: bool = False
    notice: bool = True
    reply: Any = None
    after: Run | bool | None = None
    press: str | None = None
    tools: Mapping[str, Function] = dataclasses.field(default_factory=dict)
    records: str | None = None
    take: int | None = None
    history: Sequence[tuple[str, str]] = ()
    cell_id: str | None = None
    parse: Parse = "auto"
    transport: Kind = "auto"
    kernel_stamps: bool = True
    proxy: str | None = None
    ca: str | None = None
    uds: str | None = None
    http2: bool = False
    isolate: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


KEYWORDS: Final = frozenset(field.name for field in dataclasses.fields(Ask)) - _OURS
"""What users say about any run; the rest are options of its provider."""


def ask(target: str, prompt: str = "", **keywords: Any) -> Ask:
    """An `Ask` from keywords: its own fields by name, the rest are the provider's options.

    Raises:
        UsageError: no model behind the colon of the target, or a second one.
    """
    target, model = split_target(target)
    if model is not None:
        if keywords.get("model") is not None:
            raise UsageError(f"{target}:{model} names its model already: leave model (--model) out.")
        keywords["model"] = model
    own = {field.name for field in dataclasses.fields(Ask)} - {"target", "prompt", "options"}
    options = {key: value for key, value in keywords.items() if key not in own and value is not None}
    fields: dict[str, Any] = {
        key: value
        for key, value in keywords.items()
        if key in own and (value is not None or key.startswith("timeout"))  # None switches a clock off
    }
    return Ask(target, prompt, options=options, **fields)


def unknown_option(who: str, name: str, own: Iterable[str]) -> UsageError:
    """The error about a keyword that is none.

    Args:
        who: what has no such option: `demo has no`.
        name: as it was given.
        own: the options of the provider.
    """
    meant = did_you_mean(name, KEYWORDS.union(own))
    body = "" if meant.endswith("?") else " A field of the request's body goes into params={...} (--param NAME=VALUE)."
    return UsageError(f"{who} option {name!r}.{meant}{body}")


def route_of(asked: Ask) -> Route:
    """How its requests reach the server; never by a proxy to this machine itself.

    Raises:
        UsageError: there is no such transport, or what is asked for contradicts itself.
    """
    return Route(asked.transport, asked.kernel_stamps, asked.proxy, asked.ca, asked.uds, asked.http2).checked()


def provider_of(target: str) -> type[Provider]:
    """The class of the provider behind a target.

    Raises:
        UsageError: there is none.
    """
    return load(PROFILES[target].provider if target in PROFILES else target)


def keep(run: Run, asked: Ask) -> None:
    """Remember what a run was asked."""
    _asked[run] = asked


def prompt_of(asked: Ask, model: str | None) -> Prompt:
    """What is said, with the functions declared and a fresh id for flows that must name something.

    Raises:
        UsageError: a tool is no function, or would be called from another process, or a history that is none or that
            the API does not take.
    """
    if asked.isolate and asked.tools:
        raise UsageError(
            f"functions ({', '.join(asked.tools)}) are called in this process, and isolate captures in another one: "
            "leave out tools (--tool) or isolate (--isolate)."
        )
    tools = tuple(declare(name, function) for name, function in asked.tools.items())
    return Prompt(
        asked.prompt,
        asked.system,
        model,
        asked.params,
        asked.reply,
        tools,
        asked.records,
        asked.take,
        str(uuid.uuid4()),
        _history(asked),
    )


def _history(asked: Ask) -> tuple[tuple[str, str], ...]:
    """What was said before, checked: what an API would refuse is refused before anything is sent."""
    if not asked.history:
        return ()
    if not provider_of(asked.target).takes_history:
        raise UsageError(f"{asked.target} takes no history: leave history out.")
    said = []
    for one in asked.history:
        match one:
            case (("user" | "assistant") as role, str(text)):
                said.append((role, text))
            case _:
                raise UsageError(f"history wants pairs of user or assistant and a text, not {one!r:.80}.")
    return tuple(said)


def going_on(asked: Ask) -> Ask:
    """What was asked, with the session and the options of the run it goes on from.

    Raises:
        UsageError: there is no such run, it has no session, or it offered no such button.
    """
    if asked.press is None and asked.after in (None, False):
        return asked
    run = asked.after if isinstance(asked.after, Run) else _latest(asked.target)
    if run.target != asked.target:
        raise UsageError(f"that run is one of {run.target}, and {asked.target} cannot go on in its session.")
    if asked.press is not None and asked.prompt.strip():
        raise UsageError("press sends the button's own text: leave the prompt out.")
    before = _asked.get(run)
    options = {**run.resumed(), **asked.options}
    reply, prompt = asked.reply, asked.prompt
    if asked.press is not None:
        choice = run.choice(asked.press)
        reply, prompt = choice.prompt.reply, choice.prompt.text
    again = dataclasses.replace(asked, options=options, reply=reply, prompt=prompt, after=None, press=None)
    if before is None:
        if not (asked.sim or asked.base_url):
            _refuse_other_hosts(run)
        return again
    return dataclasses.replace(
        again,
        sim=asked.sim or before.sim,
        base_url=asked.base_url or before.base_url,
        key_env=asked.key_env or before.key_env,
        model=asked.model or before.model,
        system=asked.system or before.system,
        tools=asked.tools or before.tools,
        pace=asked.pace or before.pace,
        allow_http=asked.allow_http or before.allow_http,
        proxy=asked.proxy or before.proxy,
        ca=asked.ca or before.ca,
        uds=asked.uds or before.uds,
        isolate=asked.isolate or before.isolate,
        http2=asked.http2 or before.http2,
    )


def _refuse_other_hosts(run: Run) -> None:
    """A file never says where a key is sent (SAFETY S22): only the provider's own host goes without saying.

    Raises:
        UsageError: the run went elsewhere.
    """
    address = run.provider.base_url
    if address != type(run.provider).base_url.rstrip("/"):
        raise UsageError(
            f"{run.run_id} was opened from a file and went to {redact_url(address)}: say where to go on, with "
            "base_url= (--base-url), or sim=True (--sim) for the simulator."
        )


def _latest(target: str) -> Run:
    found = next((run for run in reversed(session()) if run.target == target and run.prompt.records is None), None)
    if found is None:
        raise UsageError(f"there is no run of {target} in this session to go on from; start one without --continue.")
    return found
