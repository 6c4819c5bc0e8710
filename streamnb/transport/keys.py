"""Keys: the one place where a `Secret` becomes its value.

Knows the environment. Must not know: requests, APIs. Values never leave except into a request and the scrubber.
"""

from __future__ import annotations

import os
from typing import Final

from streamnb.errors import MissingKeyError, UsageError
from streamnb.redaction import Secret

_MOST_HELD: Final = 1000
_held: dict[tuple[str, str, str], str] = {}
"""Credentials that replies brought and that outlive their run, by host, field and scope; newest last."""


class Keyring:
    """Resolves secrets and remembers the values, for the scrubber.

    Args:
        who: the provider's name, for the error text.
        dummy: used instead of every key (simulator, local model), so that the user's is never sent.
        host: where requests go: what one host's reply brought is never sent to another.
    """

    def __init__(self, who: str, dummy: str | None = None, host: str = "") -> None:
        self._who = who
        self._dummy = dummy
        self._host = host
        self._used: dict[str, None] = {}
        self._kept: dict[str, str] = {}

    def keep(self, name: str, value: str, scope: str = "") -> None:
        """Keep a credential that a reply brought: `Secret(name)` in a later call stands for it.

        Args:
            name: the reply's field.
            value: the credential.
            scope: whose it is: later runs of this process have it as `Secret(name, scope=scope)`.
        """
        self._kept[name] = value
        self._used[value] = None
        if scope:
            _held.pop((self._host, name, scope), None)
            _held[self._host, name, scope] = value
            while len(_held) > _MOST_HELD:
                del _held[next(iter(_held))]

    def __repr__(self) -> str:
        return "<Keyring ***>"

    @property
    def used(self) -> tuple[str, ...]:
        """Values handed out so far."""
        return tuple(self._used)

    def value(self, secret: Secret) -> str | None:
        """The header or query value for a secret, None when it is not required and not set.

        Raises:
            MissingKeyError: it is required and its environment variable is empty.
            UsageError: what the variable holds cannot stand in a header (RFC 9110 5.5); it is not shown.
        """
        if secret.scope:
            return secret.prefix + self._obtained(secret)
        if secret.env in self._kept:
            return secret.prefix + self._kept[secret.env]
        key = self._dummy if self._dummy is not None else os.environ.get(secret.env, "").strip()
        if not key:
            if secret.required:
                raise MissingKeyError(
                    f"{self._who} needs {secret.env} in the environment; without a key add --sim (sim=True), "
                    "or try: %%chatstream demo"
                )
            return None
        if not (key.isascii() and key.isprintable()):  # httpx and h11 would say so with the key in the message
            raise UsageError(
                f"{self._who}: what {secret.env} holds is no key: it has a line end, a control character or a letter "
                "beyond ASCII in it (a typographic dash or dots?). Nothing was sent."
            )
        if self._dummy is None:
            self._used[key] = None
        return secret.prefix + key

    def _obtained(self, secret: Secret) -> str:
        value = _held.get((self._host, secret.env, secret.scope))
        if value is None:
            raise MissingKeyError(
                f"{self._who}: this process does not hold the {secret.env} of {secret.scope!r}: only the process that "
                "opened a session has it. Start a new session (leave the session option out)."
            )
        self._used[value] = None
        return value
