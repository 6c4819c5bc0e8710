"""The error tree. Every message says whose fault it is and what to do next.

Must not know: any API, any socket, IPython.

    StreamnbError
    |-- UsageError            you asked for something that does not exist or does not fit (also a ValueError)
    |   `-- MissingKeyError   a key is needed and its environment variable is empty
    |-- TransportError        between you and the API; carries the outcome the run ends with
    |   |-- ConnectError      no connection: DNS, refused, TLS
    |   |-- ProtocolError     the bytes break HTTP or the API's own format
    |   `-- LimitError        more than this client agreed to hold
    |-- RunError              a run ended badly; what arrived is kept in `error.run`
    |-- TranscriptError       a recording is torn or not ours: file and line
    `-- CompanionError        a child process (simulator, local model, capture) did not start or died
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class StreamnbError(Exception):
    """Root of all errors raised on purpose; its text is one line for the person in front of the notebook."""


class UsageError(StreamnbError, ValueError):
    """The call asks for something that does not exist or does not fit together."""


class MissingKeyError(UsageError):
    """A key is needed and its environment variable is not set. Nothing was sent."""


class TransportError(StreamnbError):
    """Something failed between this process and the API.

    Attributes:
        outcome: value of the `Outcome` that a run ends with because of it.
    """

    outcome: str = "protocol_error"


class ConnectError(TransportError):
    """No connection came about: name not found, refused, TLS, timed out."""

    outcome = "connect_error"


class ProtocolError(TransportError):
    """The peer broke HTTP, or a mandatory field of the API's format is missing."""

    outcome = "protocol_error"


class LimitError(TransportError):
    """The peer sent more than this client agreed to hold; what arrived until then is kept."""

    outcome = "limit"


class RunError(StreamnbError):
    """A run ended badly. Everything that arrived is in `run`.

    Attributes:
        run: the partial `streamnb.Run`.
    """

    def __init__(self, message: str, run: Any) -> None:
        super().__init__(message)
        self.run = run


class TranscriptError(StreamnbError):
    """A recording cannot be read: the message names file and line."""


class CompanionError(StreamnbError):
    """A child process this package needs did not start or died."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown word: the nearest known ones, or all of them.

    Args:
        word: what was typed.
        known: what exists.

    Returns:
        ` Did you mean X?` or ` Known: A, B, C.`
    """
    names = sorted(set(known))
    bare = {name.lstrip("-"): name for name in names}  # dashes that all options share make no two of them alike
    near = difflib.get_close_matches(word.lstrip("-"), bare, n=2, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(bare[name] for name in near)}?"
    return f" Known: {', '.join(names)}." if names else ""
