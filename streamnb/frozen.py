"""Makes frozen dataclass values in a third of the time, for what is made once per event.

Knows dataclasses. Must not know: any of the values.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

T = TypeVar("T")


def maker(kind: type[T]) -> type[T]:
    """What makes values of a frozen dataclass with slots: the same arguments, the same values, a third of the time.

    `__init__` of a frozen dataclass pays for its own lock: one `object.__setattr__` per field. Here the fields of an
    unlocked twin with the same slots are filled, and the value becomes one of `kind` before anybody has seen it.

    Args:
        kind: a dataclass, `frozen=True, slots=True`, without `__post_init__`.
    """

    def lock(self: Any) -> None:
        self.__class__ = kind

    twin: type[T] = dataclasses.make_dataclass(
        kind.__name__,
        [(one.name, Any, _same(one)) for one in dataclasses.fields(kind)],  # type: ignore[arg-type]  # it is one
        namespace={"__post_init__": lock},
        slots=True,
        eq=False,
        repr=False,
    )
    return twin


def _same(one: dataclasses.Field[Any]) -> Any:
    """The default of a field, for its twin."""
    if one.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=one.default_factory)
    return dataclasses.field(default=one.default)
