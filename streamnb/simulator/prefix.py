"""The `/~k=v,k=v` segment before a path: it chooses pace and scenario for everything under that base URL.

Knows the option table. Must not know: any API, how an answer is made.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from streamnb.errors import did_you_mean
from streamnb.simulator.pace import Pace
from streamnb.simulator.scenarios import Limits, known

_MOST_TOKENS: Final = 10_000_000
_LONGEST_S: Final = 86_400.0
_LEAST_S: Final = 0.001


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    """What one base URL asked for.

    Attributes:
        pace: how fast the answer comes.
        scenario: what goes wrong, a name of `scenarios.SCENARIOS` (`http-503` for `http-<code>`).
        framing: framing of Typebot's streamMessage (`prefix_lines`, `sse`, `raw_text`); None = the endpoint's own.
        at: the call of a several-call API at which a wrong reply (`http-`, `html-`, `error-200`, `json-200`) comes.
        max_duration: the platform's limit of one stream, seconds; None = the real one.
        idle_limit: the platform's limit of silence in a stream, seconds; None = the real one.
        ping_every: seconds of silence that bring a keep-alive; None = the platform's own.
        max_streams: the platform's limit of concurrent streams per key; None = the real one.
    """

    pace: Pace = dataclasses.field(default_factory=Pace)
    scenario: str = "ok"
    framing: str | None = None
    at: str = "stream"
    max_duration: float | None = None
    idle_limit: float | None = None
    ping_every: float | None = None
    max_streams: int | None = None

    def limits(self, platform: Limits) -> Limits:
        """What the platform does by the clock, where the base URL does not ask for another time."""
        return dataclasses.replace(
            platform,
            total_s=platform.total_s if self.max_duration is None else self.max_duration,
            idle_s=platform.idle_s if self.idle_limit is None else self.idle_limit,
            ping_s=platform.ping_s if self.ping_every is None else self.ping_every,
        )


class PrefixError(ValueError):
    """The segment is wrong: `option` says where, the message why and what is known."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def read(segment: str) -> Setup:
    """Read a segment without its slash and tilde, such as `scenario=stall,tokens=20`.

    Raises:
        PrefixError: an unknown, doubled or malformed option, or a value out of range.
    """
    values: dict[str, Any] = {}
    for item in filter(None, segment.split(",")):
        name, equals, value = item.partition("=")
        if name not in OPTIONS:
            raise PrefixError(name, f"there is no option {name!r}.{did_you_mean(name, OPTIONS)}")
        if not equals or name in values:
            raise PrefixError(name, f"write {name}=VALUE, once")
        values[name] = _value(name, value)
    pace = Pace(**{key: values.pop(key) for key in _PACE if key in values})
    return _stalled(Setup(pace=pace, **values))


def _value(name: str, value: str) -> Any:
    try:
        return OPTIONS[name](value)
    except ValueError as error:
        raise PrefixError(name, f"{name}={value!r}: {error}") from error


def _stalled(setup: Setup) -> Setup:
    """The scenario `stall` is a pace: the stall lies in the middle unless `stall_at` says where."""
    if setup.scenario != "stall" or setup.pace.stall_at >= 0:
        return setup
    return dataclasses.replace(setup, pace=dataclasses.replace(setup.pace, stall_at=setup.pace.tokens // 2))


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read_whole(value: str) -> int:
        digits = value.removeprefix("-")
        number = int(value) if digits.isascii() and digits.isdigit() else most + 1
        if not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most} is wanted")
        return number

    return read_whole


def _real(most: float) -> Callable[[str], float]:
    def read_real(value: str) -> float:
        number = float(value)
        if not (math.isfinite(number) and 0.0 <= number <= most):
            raise ValueError(f"a number from 0 to {most:g} is wanted")
        return number

    return read_real


def _positive(most: float) -> Callable[[str], float]:
    real = _real(most)

    def read_positive(value: str) -> float:
        number = real(value)
        if number < _LEAST_S:
            raise ValueError(f"a number from {_LEAST_S:g} to {most:g} is wanted")
        return number

    return read_positive


def _one_of(*names: str) -> Callable[[str], str]:
    def read_name(value: str) -> str:
        if value not in names:
            raise ValueError(f"there is no such value.{did_you_mean(value, names)}")
        return value

    return read_name


OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "seed": _whole(0, 2**63),
    "tokens": _whole(0, _MOST_TOKENS),
    "ttft": _real(_LONGEST_S),
    "gap": _real(_LONGEST_S),
    "gap_dist": _one_of("constant", "lognormal"),
    "sigma": _real(5.0),
    "burst": _whole(1, _MOST_TOKENS),
    "stall_at": _whole(-1, _MOST_TOKENS),
    "stall": _real(_LONGEST_S),
    "stamps": _whole(0, 1),
    "scenario": known,
    "framing": _one_of("prefix_lines", "sse", "raw_text"),
    "at": _one_of("start", "continue", "stream"),
    "max_duration": _real(_LONGEST_S),
    "idle_limit": _real(_LONGEST_S),
    "ping_every": _positive(_LONGEST_S),
    "max_streams": _whole(1, 1000),
}
"""Every option with the function that reads its value, or raises ValueError saying what is wanted."""

_PACE: Final = frozenset(field.name for field in dataclasses.fields(Pace))
