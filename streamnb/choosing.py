"""Whom a conversation is with and how it is asked: keywords checked, shown as the fields of a form, read back from it.

Knows targets and their options. Must not know: runs, widgets, what a run does with the values.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from streamnb import settings
from streamnb.asking import Ask, provider_of, unknown_option
from streamnb.errors import UsageError
from streamnb.providers import Option, Provider, load, names
from streamnb.redaction import looks_like_key

_OWN: Final = frozenset(field.name for field in dataclasses.fields(Ask)) - {"target", "options"}
_NOT_HERE: Final = {
    "prompt": "say it with send()",
    "history": "the panel keeps it itself",
    "reply": "press(label) answers with a button",
    "press": "press(label) presses a button",
    "records": "see streamnb.records",
    "take": "see streamnb.records",
    "background": "send() never waits unless wait=True",
    "repeat": "send it again with retry()",
    "raises": "send(text, wait=True) raises what cannot be sent",
}
_OF_A_TARGET: Final = frozenset({"model", "params", "base_url", "key_env", "allow_http", "after", "ca", "uds", "http2"})
"""What belongs to one target and does not come along to another."""

_SIMULATED: Final = frozenset({"scenario", "pace"})
_COMMON: Final = (
    Option("model", "model name, where the API has one"),
    Option("system", "system prompt"),
    Option("sim", "talk to the built-in simulator; your key is not sent", "bool", default=False),
    Option("base_url", "another host that speaks this API", "url"),
)
_LABELS: Final = {"sim": "simulator", "base_url": "base URL"}


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A target and everything said about how to ask it.

    Attributes:
        common: keywords of `stream` that every target has, as far as they were said.
        options: the provider's own.
    """

    target: str
    common: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def provider(self) -> type[Provider]:
        """What stands behind the target."""
        return provider_of(self.target)

    def choose(self, keywords: Mapping[str, Any]) -> Chosen:
        """The same with some keywords said anew; None takes one back.

        Raises:
            UsageError: no such keyword, or one that does not fit a conversation.
        """
        common, options = dict(self.common), dict(self.options)
        own = {option.name for option in self.provider.options}
        for name, value in keywords.items():
            if name in _NOT_HERE:
                raise UsageError(f"ChatPanel takes no {name}: {_NOT_HERE[name]}.")
            if name not in _OWN | own:
                raise unknown_option(f"{self.target} has no", name, own)
            kept = common if name in _OWN else options
            kept.pop(name, None)
            if value is not None or name.startswith("timeout"):  # None switches a clock off
                kept[name] = value
        return Chosen(self.target, common, options)

    def instead(self, target: str) -> Chosen:
        """Another target, with what does not belong to this one.

        Raises:
            UsageError: there is no such target.
        """
        kind = settings.companion(target, sim=False)
        if target == self.target:
            return self
        dropped = set(_OF_A_TARGET)
        if kind is not None:
            dropped.add("sim")
        if kind != "simulator" and not (kind is None and self.common.get("sim")):
            dropped |= _SIMULATED
        return Chosen(target, {key: value for key, value in self.common.items() if key not in dropped})

    def without(self, gone: Iterable[str]) -> Chosen:
        """The same without some of the provider's options."""
        left = {key: value for key, value in self.options.items() if key not in set(gone)}
        return Chosen(self.target, self.common, left)

    def goes_on_as(self, other: Chosen) -> bool:
        """True where a conversation asked in this way can go on in that way."""
        if self.provider.takes_history and other.provider.takes_history:
            return True
        option = self.provider.session_option or ""
        same = all(self.common.get(name) == other.common.get(name) for name in ("sim", "base_url"))
        return self.target == other.target and same and self.options.get(option) == other.options.get(option)


def chosen(target: str, keywords: Mapping[str, Any]) -> Chosen:
    """A target and keywords of `stream`, checked.

    Raises:
        UsageError: no such target or keyword, or one that does not fit a conversation.
    """
    settings.companion(target, sim=False)
    return Chosen(target).choose(keywords)


# -- the form -----------------------------------------------------------------------------------------------------


def targets() -> list[dict[str, str]]:
    """Every target with one line about it, those first that need no key."""
    profiles = [{"name": name, "help": profile.help} for name, profile in settings.PROFILES.items()]
    return profiles + [{"name": name, "help": load(name).title} for name in names()]


def form(now: Chosen) -> list[dict[str, Any]]:
    """The fields of a target, with what is chosen. Keys are never among them."""
    return [_field(option, value) for option, value in _said(now)]


def typed(now: Chosen, values: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody changed in the form: keywords for `Chosen.choose`.

    Args:
        now: what is chosen.
        values: name -> value as the page has it. Names of another target's form are passed over.

    Raises:
        UsageError: a value that cannot be, or a key in the open (which is not repeated).
    """
    changes = {}
    for option, before in _said(now):
        value = values.get(option.name, before)
        if value == before or (value == "" and before is None):
            continue
        read = _read(option, value)
        if read != before:
            changes[option.name] = read
    return changes


def _said(now: Chosen) -> list[tuple[Option, Any]]:
    """Every field with the value it has."""
    named = {"model", "system"} if now.target in settings.PROFILES else {option.name for option in _COMMON}
    common = [(option, now.common.get(option.name, option.default)) for option in _COMMON if option.name in named]
    return common + [(option, now.options.get(option.name, option.default)) for option in now.provider.options]


def _field(option: Option, value: Any) -> dict[str, Any]:
    default = option.default
    return {
        "name": option.name,
        "label": _LABELS.get(option.name, option.name.replace("_", " ")),
        "kind": "choice" if option.choices else option.type,
        "value": value,
        "choices": list(option.choices),
        "help": option.help,
        "placeholder": "" if default is None or option.type in {"bool", "json"} else str(default),
    }


def _read(option: Option, value: Any) -> Any:
    """A value out of the form; None for what is as if nobody had said it."""
    name = _LABELS.get(option.name, option.name)
    if isinstance(value, str) and looks_like_key(value):
        raise UsageError(
            f"{name}: that looks like a key, and notebooks are saved and shared: nothing was sent. Put it in the "
            "environment, and say panel.set(key_env=NAME) where it is not the provider's usual variable."
        )
    match option.type, value:
        case _, None:
            return None
        case "json", str():
            try:
                value = json.loads(value) if value.strip() else None
            except ValueError as error:
                raise UsageError(f"{name} wants JSON: {error}.") from None
        case ("bool", bool()) | ("int", int() | str()) | ("float", int() | float() | str()) | ("str" | "url", str()):
            pass
        case _:
            raise UsageError(f"{name} cannot be {value!r:.80}.")
    return None if value == "" or value == option.default else value  # noqa: PLR1714  # it may not be hashable
