"""`Secret`: the name of a key, never the key.

Knows the name of an environment variable. Must not know: the environment, so that nothing can leak from here.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from streamnb.errors import UsageError
from streamnb.redaction._shapes import KEY

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY_WITHOUT_SHAPE: Final = re.compile(r"(?=.*\d)[A-Za-z0-9]{24,}")


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Stands for a key wherever a header, query or body will carry one; resolved in the transport only (S11).

    It holds no value, so repr, str, format, pickle and copy have none to give.

    Attributes:
        env: name of the environment variable that holds the key.
        prefix: what stands before the key on the wire, as `"Bearer "`.
        required: False when the request may go out without it.
        scope: whose it is, when a reply brought it in this process (`Call.secret_scope`); `env` is then its field.

    Raises:
        UsageError: `env` is no variable name, or is itself a key; it is not echoed.
    """

    env: str
    prefix: str = ""
    required: bool = True
    scope: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.env) or KEY.search(self.env) or _KEY_WITHOUT_SHAPE.fullmatch(self.env):
            raise UsageError(
                "a key is given by the name of its environment variable, such as OPENAI_API_KEY; "
                "what was given is no such name and is not shown, because it may be the key itself."
            )

    def __repr__(self) -> str:
        return f"<secret {self.env}>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)
