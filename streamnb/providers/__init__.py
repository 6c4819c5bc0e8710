"""The APIs: one file each, found by the file's name; others add theirs by the entry-point group `streamnb.providers`.

Knows how a provider is found. Must not know: sockets, clocks, what any of them says.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
from pathlib import Path

from streamnb.errors import UsageError, did_you_mean
from streamnb.providers._base import Call, Ending, Field, Option, Provider, Reply, ReplyHead
from streamnb.providers._seen import Seen

__all__ = ["Call", "Ending", "Field", "Option", "Provider", "Reply", "ReplyHead", "Seen", "load", "names"]

_GROUP = "streamnb.providers"


@functools.cache
def _own() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def _beside() -> importlib.metadata.EntryPoints:
    """What other packages registered; they are all asked again only when a directory of the path has changed."""
    return _registered(tuple((path, _changed_ns(path)) for path in sys.path))


@functools.lru_cache(maxsize=4)
def _registered(_key: tuple[tuple[str, int], ...]) -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=_GROUP)


def _changed_ns(path: str) -> int:
    try:
        return Path(path or ".").stat().st_mtime_ns
    except OSError:  # a zip that is not there, a directory that is gone
        return 0


def names() -> list[str]:
    """Names of all providers, built in and installed beside, sorted."""
    return sorted(_own() | {point.name for point in _beside()})


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
    for point in _beside().select(name=name):
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
