"""Masking in text that people or files will see: requests, logs, errors, reprs; and spotting a typed key (S10, S14).

Knows shapes and the secrets it is given. Must not know: received bytes, which only the scrubber may alter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from streamnb.redaction._forms import forms
from streamnb.redaction._secret import Secret
from streamnb.redaction._shapes import KEY, PASSWORD, USERINFO, mask_keys

MASK: Final = "***"


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the given secrets in all their forms, the known shapes of keys, and the credentials inside URLs.

    Args:
        text: a request's part, a log line, an error message, a repr.
        secrets: values known to this process.

    Returns:
        The text with `***` for each; `REDACTED:REDACTED@` for the user and password of a URL.

    Raises:
        UsageError: a secret has a line end in it.
    """
    return _mask(text, _spellings(secrets))


def redact_json(value: Any, secrets: Iterable[str] = ()) -> Any:
    """`redact_text` on every string of a JSON value, names of members included; a `Secret` gives its name.

    Args:
        value: dict, list, tuple, str or scalar; not altered.
        secrets: values known to this process.

    Returns:
        A new value of the same shape; tuples become lists, as in JSON.

    Raises:
        UsageError: a secret has a line end in it.
    """
    return _walk(value, _spellings(secrets))


def looks_like_key(text: str) -> bool:
    """Whether a text holds something that should not be written into a notebook.

    Args:
        text: a word or the whole magic line.

    Returns:
        True for the key shapes of S14, Oliver's and Voiceflow's keys, JWTs, and a URL with a password in it. Keys
        without a shape of their own (bare hex) pass, or ids and hashes would be refused.
    """
    return bool(KEY.search(text) or PASSWORD.search(text))


def _spellings(secrets: Iterable[str]) -> list[str]:
    return [form.decode("utf-8", "surrogatepass") for secret in secrets for form in forms(secret)]


def _mask(text: str, spellings: list[str]) -> str:
    for spelling in sorted(spellings, key=len, reverse=True):  # a key may be the beginning of another
        text = text.replace(spelling, MASK)
    text = mask_keys(text, MASK)
    return USERINFO.sub("REDACTED:REDACTED@", text) if "://" in text else text


def _walk(value: Any, spellings: list[str]) -> Any:
    match value:
        case str():
            return _mask(value, spellings)
        case dict():
            return {_walk(name, spellings): _walk(member, spellings) for name, member in value.items()}
        case list() | tuple():
            return [_walk(item, spellings) for item in value]
        case Secret():
            return str(value)
        case _:
            return value
