"""What a provider is: pure functions on a frozen object, and the values they exchange with a conversation.

Knows frames and events. Must not know: sockets, clocks, keys' values, other providers.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from streamnb.errors import UsageError, did_you_mean
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers._seen import Seen
from streamnb.redaction import Secret, redact_url
from streamnb.wire import Frame, Framer, SniffFramer, sse_or_json
from streamnb.wire.strict_json import JSONError, loads

Auth = Literal["bearer", "token", "raw", "x-api-key", "api-key", "query"]

AUTH_STYLES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "bearer": ("Authorization", "Bearer "),
        "token": ("Authorization", "Token "),
        "raw": ("Authorization", ""),
        "x-api-key": ("x-api-key", ""),
        "api-key": ("api-key", ""),
        "query": ("key", ""),
    }
)
"""Auth style -> (header or query field, prefix of the value)."""

FINISH: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "length": Outcome.LENGTH,
        "max_tokens": Outcome.LENGTH,
        "content_filter": Outcome.FILTERED,
        "content-filter": Outcome.FILTERED,
        "tool_calls": Outcome.TOOL_CALLS,
        "tool-calls": Outcome.TOOL_CALLS,
        "function_call": Outcome.TOOL_CALLS,
        "error": Outcome.ERROR_IN_STREAM,
    }
)
"""Finish reasons that are not simply `complete`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option of a provider: `--name` on the magic line, `name=` in Python.

    Attributes:
        once: it belongs to one run: going on in that run's session does not repeat it.
    """

    name: str
    help: str
    type: Literal["str", "int", "float", "bool", "json", "url"] = "str"
    default: Any = None
    choices: tuple[str, ...] = ()
    once: bool = False

    @property
    def flag(self) -> str:
        """As it is typed on the magic line."""
        return "--" + self.name.replace("_", "-")


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """What a platform waits for as text.

    Attributes:
        kind: which field of a form it is; the platform itself checks what is typed.
        placeholder: what to type; where text cannot answer it, that is said here.
    """

    kind: Literal["text", "email", "number", "url", "phone", "date"] = "text"
    placeholder: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request a flow asks for.

    Attributes:
        name: what it is called in the tables; also the `event` of a JSON reply's frame.
        path: appended to the base URL.
        base_url: another host than the provider's, for an API that lives on two.
        body: JSON value, or None for no body.
        headers: values may be a `Secret`, resolved in transport only.
        query: as headers.
        stream: True when the reply is to be read as a stream.
        delay_s: seconds to wait before it is sent.
        secret_fields: fields of a JSON reply that are credentials: masked before anything is kept. A later call
            carries one as `Secret(field)`; the flow itself sees only the mask.
        secret_scope: whose credentials these are (a user, a session), for those that outlive the run: a later run of
            this process carries one as `Secret(field, scope=...)`.
        setup: streamed, but only prepares the call that the prompt is for (a launch): t0 does not count from it.
        ends_at_eof: this reply's documented end is the end of its body (a list of records).
    """

    name: str
    method: str = "POST"
    path: str = ""
    body: Any = None
    headers: Mapping[str, str | Secret] = dataclasses.field(default_factory=dict)
    query: Mapping[str, str | Secret] = dataclasses.field(default_factory=dict)
    stream: bool = False
    delay_s: float = 0.0
    secret_fields: tuple[str, ...] = ()
    base_url: str | None = None
    secret_scope: str = ""
    setup: bool = False
    ends_at_eof: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ReplyHead:
    """Status and headers (lower-case names) of a reply."""

    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case, "" when the header is missing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply that ended well, as a flow sees it; after any other the flow is closed."""

    status: int
    headers: Mapping[str, str]
    events: Sequence[Event]
    text: str
    outcome: Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How the bytes of a reply ended.

    Attributes:
        cause: None when the body ended by itself, else the outcome the local side found (cut, timeout, stop, ...).
        framing: how the end was marked: "chunked", "length" (proper), "close" (a cut looks the same), None unknown.
        detail: one clause for the error text.
        lasted_s: from the request's first byte to the end of the body, s; NaN unknown.
    """

    cause: Outcome | None = None
    framing: Literal["chunked", "length", "close"] | None = "chunked"
    detail: str = ""
    lasted_s: float = math.nan

    @property
    def at_eof(self) -> Outcome:
        """What the end of the body is worth where a dialect documents no other end (WIRE.md 0.6, SAFETY R4)."""
        return Outcome.COMPLETE if self.framing in {"chunked", "length"} else Outcome.ENDED_UNVERIFIED


class Provider:
    """One API. Frozen; all state of a stream is in `Seen`, so that two streams on one provider cannot mix.

    Args:
        base_url: replaces the class's `base_url`.
        key_env: replaces the class's `key_env` (the environment variable that holds the key).
        options: values for the class's `options`, by name.

    Attributes:
        key_note: when the key is wanted, where that needs saying.
        usage: how several usage events of one run add up.
        eof_is_terminal: the dialect documents no end marker but the end of the body.
        plain_text: SSE data may be text, so that blank data and a leading colon can be pieces of the answer.
        limits: the vendor's own: `streams` (concurrent, per key), `idle_s` and `total_s` (of one stream). Our clocks
            are these + 15 s, so that the vendor's own error is seen; an option `max_streams` replaces `streams`.
        hints: error code, HTTP status or outcome -> what it means with this API and what to do; one or two sentences.
            `{wait}` in one becomes the Retry-After, `{key}` the variable that holds the key.
        session_option: the option that takes `run.session_id`, so that a next run goes on in the session.
        takes_history: the API keeps no conversation and is told all of it each time (`Prompt.history`).
        greets: a run without a prompt and without a session begins a conversation: the platform speaks first.
        chat_options: options that a conversation of several turns needs and a single run does not.
        lists: the lists of records the API streams: name -> what they are.
        values: the options' values.

    Raises:
        UsageError: an option that does not exist, or a value that does not fit.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    doc_url: ClassVar[str] = ""
    key_env: str | None = None
    key_required: bool = True
    key_note: ClassVar[str] = ""
    auth: str = "bearer"
    base_url: str = ""
    options: ClassVar[tuple[Option, ...]] = ()
    limits: ClassVar[Mapping[str, float]] = MappingProxyType({})
    hints: ClassVar[Mapping[str, str]] = MappingProxyType({})
    session_option: ClassVar[str | None] = None
    takes_history: ClassVar[bool] = False
    greets: ClassVar[bool] = False
    chat_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    lists: ClassVar[Mapping[str, str]] = MappingProxyType({})
    stream_name: ClassVar[str] = "stream"
    simulated: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    usage: ClassVar[Literal["sum", "last"]] = "last"
    eof_is_terminal: ClassVar[bool] = False
    plain_text: ClassVar[bool] = False
    values: Mapping[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__module__.rpartition(".")[2]  # the file's stem is its name everywhere

    def __init__(self, base_url: str | None = None, key_env: str | None = None, **options: Any) -> None:
        known = {option.name: option for option in self.options}
        for name in sorted(options.keys() - known.keys()):
            raise UsageError(f"{self.name} has no option {name!r}.{did_you_mean(name, known)}")
        values = {option.name: _fit(self.name, option, options.get(option.name)) for option in self.options}
        most = values.get("max_streams")
        if most is not None and most < 1:
            raise UsageError(f"{self.name}: max_streams wants a number from 1, not {most}.")
        self._set("values", MappingProxyType(values))
        self._set("base_url", (base_url or self.base_url).rstrip("/"))
        self._set("key_env", key_env or self.key_env)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a provider is frozen: {name} cannot be set; make another one")

    def __repr__(self) -> str:
        return f"<{self.name} at {redact_url(self.base_url)}>"

    # -- what a provider file writes ------------------------------------------------------------------------------

    def request(self, prompt: Prompt) -> Call:
        """The one streaming call of an API that needs no more than one."""
        del prompt
        raise UsageError(f"{self.name} defines neither flow() nor request()")

    def flow(self, prompt: Prompt) -> Generator[Call, Reply, None]:
        """The calls a prompt needs, in order; each is answered with its whole reply."""
        yield self.request(prompt)

    def listing(self, kind: str, take: int | None) -> Generator[Call, Reply, None]:
        """The calls that bring the records of one of `lists`, at most `take`; each record is an `item` event."""
        del take
        raise UsageError(f"{self.name} defines no listing() for {kind!r}")

    def framer(self, call: Call, head: ReplyHead) -> Framer:
        """The framer for the streaming reply with this head."""
        del head
        return SniffFramer(sse_or_json(call.name, comment_frames=True))

    def read(self, frame: Frame, seen: Seen) -> Iterable[Event]:
        """What one frame means. A whole JSON reply is one frame whose `event` is the call's name."""
        del frame, seen
        raise UsageError(f"{self.name} defines no read()")

    def ends(self, event: Event) -> bool:
        """True for the event after which nothing more is due; what comes later is flagged `late`."""
        return event.kind == "end"

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """How a streaming reply ended (SAFETY R1, R2): only the dialect's own terminal signal makes it complete."""
        if seen.error is not None:
            return Outcome.ERROR_IN_STREAM
        if seen.count("end"):
            return FINISH.get(seen.finish_reason or "", Outcome.COMPLETE)
        if ending.cause is not None:
            return ending.cause
        return ending.at_eof if self.eof_is_terminal and not seen.cut else Outcome.TRUNCATED

    def answer(self, event: Event, value: Any) -> Call | None:
        """The side call that answers an `action` event while the stream is open, for APIs that have such.

        Args:
            event: the action; its `name` is the function asked for, its `data` has the arguments as `args`.
            value: what the function returned (JSON), or the exception: it raised, or there is no such function.
        """
        del event, value
        return None

    def field_of(self, event: Event) -> Field | None:
        """What kind of text the platform waits for, when an event says so; None for every other event."""
        del event
        return None

    def server_t_ns(self, frame: Frame) -> int | None:
        """The server's send time carried by a frame (CLOCK_MONOTONIC ns), when it carries nothing else."""
        if frame.event == "comment" and frame.data.startswith(" t_ns=") and frame.data[6:].isdigit():
            return int(frame.data[6:])
        return None

    def secrets_of(self, name: str) -> tuple[dict[str, str | Secret], dict[str, str | Secret]]:
        """(headers, query) with the secrets that calls of this name carry; for showing a request by their names."""
        del name
        return self.credentials()

    def session_of(self, prompt: Prompt) -> str | None:
        """The session a run goes on in, where no event names it: the platform never says, or the option does."""
        del prompt
        option = next((one for one in self.options if one.name == self.session_option), None)
        value = None if option is None else self.values[option.name]
        return value if option is not None and isinstance(value, str) and value != option.default else None

    @classmethod
    def limits_in_words(cls) -> list[str]:
        """The vendor's limits, one phrase each."""
        words = {"streams": "{:g} streams at once per key", "idle_s": "{:g} s of silence", "total_s": "{:g} s a stream"}
        return [text.format(cls.limits[name]) for name, text in words.items() if name in cls.limits]

    @property
    def max_streams(self) -> int | None:
        """Streams at once per base URL and key; None: as many as you like."""
        most = self.values.get("max_streams", self.limits.get("streams"))
        return None if most is None else int(most)

    # -- what a provider file uses --------------------------------------------------------------------------------

    def credentials(self, *, required: bool | None = None) -> tuple[dict[str, str | Secret], dict[str, str | Secret]]:
        """(headers, query) that carry the key, as this provider's `auth` style puts it."""
        if self.key_env is None:
            return {}, {}
        field, prefix = AUTH_STYLES[self.auth]
        secret = Secret(self.key_env, prefix=prefix, required=self.key_required if required is None else required)
        return ({}, {field: secret}) if self.auth == "query" else ({field: secret}, {})


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004  # one kind of complaint for all conversions
    return value


_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": _flag,
    "url": str,
}


def _fit(provider: str, option: Option, value: Any) -> Any:
    """Check and convert an option's value."""
    if value is None:
        return option.default
    convert = _CONVERT.get(option.type)
    if convert is not None:
        try:
            value = convert(value)
        except (TypeError, ValueError):
            raise UsageError(f"{provider}: {option.name} wants {option.type}, not {value!r}.") from None
    if option.choices and value not in option.choices:
        raise UsageError(f"{provider}: {option.name}={value!r} is unknown.{did_you_mean(str(value), option.choices)}")
    return value


def is_loopback(url: str) -> bool:
    """True when the host of a URL is this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse(frame: Frame) -> tuple[Any, Event | None]:
    """The JSON value of a frame, or the event that says it has none.

    Returns:
        (value, None), or (None, an `unknown` event flagged `malformed` that keeps the text in `data`).
    """
    if frame.value is not None:
        return frame.value, None
    if "malformed" not in frame.flags:
        try:
            return loads(frame.data)[0], None
        except JSONError:
            pass
    return None, Event("unknown", data={"raw": frame.data}, flags=frozenset({"malformed"}))


def merge(body: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """A request body with the user's parameters over it; a parameter that is None removes the field."""
    merged = {**body, **params}
    return {key: value for key, value in merged.items() if value is not None}
