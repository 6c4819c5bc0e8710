"""What a target's name stands for: profiles, defaults; what a run is called and where its file goes.

Knows provider classes and environment variables' names. Must not know: keys' values, sockets, IPython.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from streamnb.errors import UsageError, did_you_mean
from streamnb.providers import Option, Provider, load, names

DUMMY_KEY: Final = "streamnb-simulator-key"
"""Sent to the simulator and the local model in place of a key: the user's own never goes there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """A named target that is not a provider file.

    Attributes:
        companion: the child process that serves it.
    """

    provider: str
    companion: Literal["simulator", "local_model"]
    model: str
    help: str


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "demo": Profile("openai_chat", "simulator", "simulated", "the built-in simulator; needs no key and no network"),
        "local": Profile("openai_chat", "local_model", "smollm2", "a real small model on this machine (extra `local`)"),
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What a run talks to.

    Attributes:
        typed: as the user named it.
        dummy_key: stands in for every key, or None to use the user's.
    """

    typed: str
    provider: Provider
    profile: str | None
    model: str | None
    dummy_key: str | None

    @property
    def host(self) -> str:
        """Host (and port) the requests go to."""
        return urlsplit(self.provider.base_url).netloc.rpartition("@")[2]


def split_target(typed: str) -> tuple[str, str | None]:
    """`TARGET` and `MODEL` of what was typed as either `TARGET` or `TARGET:MODEL`; a model may have more colons.

    Raises:
        UsageError: nothing stands behind the colon.
    """
    target, colon, model = typed.partition(":")
    if colon and not model:
        raise UsageError(f"{typed!r} names no model behind the colon.")
    return target, model or None


def companion(target: str, *, sim: bool) -> Literal["simulator", "local_model"] | None:
    """The child process that a target needs, if any.

    Raises:
        UsageError: there is no such target.
    """
    profile = PROFILES.get(target)
    if profile is None and target not in names():
        raise UsageError(f"There is no target {target!r}.{did_you_mean(target, [*names(), *PROFILES])}")
    if sim:
        return "simulator"
    return profile.companion if profile else None


def options_of(target: str) -> tuple[Option, ...]:
    """The options of the provider behind a target."""
    return load(PROFILES[target].provider if target in PROFILES else target).options


def lists_of(target: str) -> Mapping[str, str]:
    """The lists of records of the provider behind a target.

    Raises:
        UsageError: there is no such target.
    """
    companion(target, sim=False)
    return load(PROFILES[target].provider if target in PROFILES else target).lists


def resolve(  # noqa: PLR0913  # one keyword per thing a user can say
    typed: str,
    options: Mapping[str, Any],
    *,
    origin: str | None = None,
    base_url: str | None = None,
    key_env: str | None = None,
    model: str | None = None,
    pace: Mapping[str, Any] | None = None,
) -> Target:
    """Make the provider of a target.

    Args:
        typed: a provider's or a profile's name.
        options: the provider's options.
        base_url: another host that speaks the API.
        key_env: another environment variable for the key.
        model: as the user named it.
        origin: address of the companion that serves it (the simulator's has no path), or None for the real API.
        pace: pace and scenario for the simulator.

    Raises:
        UsageError: an unknown target or option, or options that exclude each other.
    """
    profile = PROFILES.get(typed)
    provider = load(profile.provider if profile else typed)
    if origin is None:
        if pace:
            raise UsageError(f"{', '.join(sorted(pace))} are for the simulator: add --sim (in Python sim=True).")
        return Target(typed, provider(base_url, key_env, **options), None, model, None)
    simulated = not urlsplit(origin).path
    _refuse_other_hosts(typed, provider, options, base_url, simulated=simulated)
    if pace and not simulated:
        raise UsageError(f"{', '.join(sorted(pace))} are for the simulator, and {typed!r} is a real model.")
    own = {option.name for option in provider.options}
    given = {**{key: value for key, value in provider.simulated.items() if key in own}, **options}
    address = origin + _prefix(pace or {}) + urlsplit(provider.base_url).path if simulated else origin
    fallback = profile.model if profile else provider.simulated.get("model")
    return Target(typed, provider(address, key_env, **given), typed if profile else None, model or fallback, DUMMY_KEY)


def _refuse_other_hosts(
    typed: str, provider: type[Provider], options: Mapping[str, Any], base_url: str | None, *, simulated: bool
) -> None:
    """A companion has its own address: whoever uses one never talks to another host as well."""
    flags = [option.flag for option in provider.options if option.type == "url" and options.get(option.name)]
    if base_url is not None:
        flags.append("--base-url")
    if flags:
        who = "the simulator" if simulated else "the local model"
        hint = f", or use {typed!r} without --sim" if typed not in PROFILES else ""
        raise UsageError(f"{who} has its own address: leave out {' and '.join(flags)}{hint}.")


def _prefix(pace: Mapping[str, Any]) -> str:
    """The simulator's way to say pace and scenario: a first path segment."""
    return "/~" + ",".join(f"{key}={value}" for key, value in {"stamps": 1, **pace}.items())


def new_run() -> tuple[str, Path]:
    """A run's name (start time and six random hex digits) and where its file goes, if it is recorded."""
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    return run_id, recordings_dir() / run_id[:8] / f"{run_id}.jsonl"


def recordings_dir() -> Path:
    """Where run files go: STREAMNB_RECORDINGS, else the user data directory."""
    chosen = os.environ.get("STREAMNB_RECORDINGS")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_data_path("streamnb") / "recordings"
