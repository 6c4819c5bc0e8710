"""The APIs: one file each, found by the file's name; others add theirs by the entry-point group `streamnb.providers`.

Knows how a provider is found. Must not know: sockets, clocks, what any of them says.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil

from streamnb.errors import UsageError, did_you_mean
from streamnb.providers._base import Call, Ending, Field, Option, Provider, Reply, ReplyHead
from streamnb.providers._seen import Seen

__all__ = ["Call", "Ending", "Field", "Option", "Provider", "Reply", "ReplyHead", "Seen", "load", "names"]

_GROUP = "streamnb.providers"


def _own() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}


def names() -> list[str]:
    """Names of all providers, built in and installed beside, sorted."""
    return sorted(_own() | {point.name for point in importlib.metadata.entry_points(group=_GROUP)})


def load(name: str) -> type[Provider]:
    """The provider class of this name, constructible without a key.

    Args:
        name: stem of a file in this package, or an installed entry point's name. What is built in cannot be replaced:
            no other package gets to see its prompts and keys.

    Raises:
        UsageError: there is none of this name; the message names the nearest.
    """
    if name in _own():
        return _provider_in(importlib.import_module(f"{__name__}.{name}"), name)
    for point in importlib.metadata.entry_points(group=_GROUP, name=name):
        found = _provider_in(point.load(), name)
        found.name = name  # what recordings call it is what finds it again
        return found
    raise UsageError(f"There is no provider {name!r}.{did_you_mean(name, names())}")


def _provider_in(found: object, name: str) -> type[Provider]:
    if inspect.isclass(found) and issubclass(found, Provider):
        return found
    for value in vars(found).values():
        if (
            inspect.isclass(value)
            and issubclass(value, Provider)
            and value.__module__ == getattr(found, "__name__", "")
        ):
            return value
    raise UsageError(f"{name!r} is registered in {_GROUP} but holds no Provider class; its package is to blame.")
