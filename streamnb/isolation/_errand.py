"""Errand: everything that a run needs in order to be driven in another process, as bytes and back.

Knows targets, prompts and routes. Must not know: pipes, processes, how a run is driven.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamnb.deadlines import Deadlines
from streamnb.errors import UsageError
from streamnb.events import Outcome, Prompt
from streamnb.pacing import Parse
from streamnb.providers import load
from streamnb.recording import RunInfo
from streamnb.settings import Target
from streamnb.transport import Route


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Errand:
    """A run for another process. Its bytes hold keys: they go through a pipe and nowhere else.

    Attributes:
        path: the run file; None: none. It is the other process that writes it.
        environment: this process's variables, where the keys are: they may have been set after the other one started.
        measurement_error_s: as of `Record`.
        stopped: it was stopped before it began.
    """

    target: Target
    prompt: Prompt
    deadlines: Deadlines
    info: RunInfo
    route: Route
    path: Path | None
    environment: Mapping[str, str]
    allow_http: bool = False
    parse: Parse = "auto"
    measurement_error_s: float = float("nan")
    stopped: Outcome | None = None

    def encode(self) -> bytes:
        """As JSON, with the places where this process finds modules: providers may be there.

        Raises:
            UsageError: an option or a field of the prompt is no JSON value.
        """
        target, provider = self.target, self.target.provider
        fields = {
            "provider": [provider.name, provider.base_url, provider.key_env, dict(provider.values)],
            "target": [target.typed, target.profile, target.model, target.dummy_key],
            "prompt": {one.name: getattr(self.prompt, one.name) for one in dataclasses.fields(self.prompt)},
            "deadlines": dataclasses.asdict(self.deadlines),
            "info": dataclasses.asdict(self.info),
            "route": dataclasses.asdict(_absolute(self.route)),
            "path": None if self.path is None else str(self.path.absolute()),
            "environment": dict(self.environment),
            "places": [str(Path(place).absolute()) for place in sys.path if place],
            "allow_http": self.allow_http,
            "parse": self.parse,
            "measurement_error_s": self.measurement_error_s,
            "stopped": self.stopped,
        }
        try:
            return json.dumps(fields, default=_plain).encode()
        except TypeError as error:
            raise UsageError(f"isolate: no other process can be told this ({error}); leave isolate out.") from None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Errand:
        """From what `encode` gave, with the JSON read.

        Raises:
            UsageError: the provider is not there.
        """
        name, base_url, key_env, values = fields["provider"]
        typed, profile, model, dummy_key = fields["target"]
        provider = load(name)(base_url, key_env, **values)
        history = tuple((role, text) for role, text in fields["prompt"]["history"])
        return cls(
            Target(typed, provider, profile, model, dummy_key),
            Prompt(**{**fields["prompt"], "tools": (), "history": history}),
            Deadlines(**fields["deadlines"]),
            RunInfo(**fields["info"]),
            Route(**fields["route"]),
            None if fields["path"] is None else Path(fields["path"]),
            fields["environment"],
            fields["allow_http"],
            fields["parse"],
            fields["measurement_error_s"],
            None if fields["stopped"] is None else Outcome(fields["stopped"]),
        )


def _absolute(route: Route) -> Route:
    """The same for a process that stands in another folder."""
    files = {name: str(Path(path).absolute()) for name in ("ca", "uds") if (path := getattr(route, name)) is not None}
    return dataclasses.replace(route, **files)  # type: ignore[arg-type]  # these two are text


def _plain(value: object) -> Any:
    """What is as good as a JSON value: a read-only mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
