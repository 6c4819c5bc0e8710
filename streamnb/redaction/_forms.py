"""The ways a secret can be spelled in bytes: as it is, URL-quoted, JSON-escaped, base64 (S14, ARCHITECTURE 5).

Knows encodings. Must not know: where the bytes come from or what is done with the forms.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Final

from streamnb.errors import UsageError

FORM_MIN: Final = 8
"""Shorter forms are not masked: they would hit ordinary text. No API issues keys that short."""

_GO_ESCAPES: Final = re.compile(r"[<>&]")  # encoding/json, HTML-safe by default: lower-case hex
_NET_ESCAPES: Final = re.compile(r"\\\"|[<>&'+`]")  # System.Text.Json by default: upper-case hex, also the quote


def forms(secret: str) -> tuple[bytes, ...]:
    r"""Every spelling of a secret that is masked, longest first.

    Args:
        secret: the key's value; one line.

    Returns:
        Distinct byte strings of at least `FORM_MIN` bytes, none with an LF or CR in it, so that a read which ends
        in a line end never ends in the beginning of a form.

    Raises:
        UsageError: the secret has a line end in it: no HTTP header can carry such a key (RFC 9110 5.5).
    """
    if "\n" in secret or "\r" in secret:
        raise UsageError("a key has a line end in it, so it cannot be sent: remove the line end where the key is set.")
    raw = secret.encode("utf-8", "surrogatepass")
    found = {raw, *_url_quoted(raw), *_json_escaped(secret), *_base64(raw)}
    return tuple(sorted((form for form in found if len(form) >= FORM_MIN), key=lambda form: (-len(form), form)))


def _url_quoted(raw: bytes) -> Iterator[bytes]:
    for quoted in (
        urllib.parse.quote_from_bytes(raw, safe=""),
        urllib.parse.quote_from_bytes(raw),  # a slash stays in a path
        urllib.parse.quote_from_bytes(raw, safe=" ").replace(" ", "+"),  # forms (application/x-www-form-urlencoded)
    ):
        yield quoted.encode()
        yield re.sub(r"%..", lambda escape: escape[0].lower(), quoted).encode()  # RFC 3986 2.1: either case


def _json_escaped(secret: str) -> Iterator[bytes]:
    for ensure_ascii in (True, False):
        plain = json.dumps(secret, ensure_ascii=ensure_ascii)[1:-1]
        for text in (
            plain,
            plain.replace("/", "\\/"),  # PHP by default
            _GO_ESCAPES.sub(lambda found: f"\\u{ord(found[0]):04x}", plain),
            _NET_ESCAPES.sub(lambda found: f"\\u{ord(found[0][-1]):04X}", plain),
        ):
            yield text.encode("utf-8", "surrogatepass")


def _base64(raw: bytes) -> Iterator[bytes]:
    """RFC 4648 4 and 5: a character is 6 bits; kept are those that lie wholly inside the secret, for each alignment."""
    for before in range(3):
        end = before + len(raw)
        padded = bytes(before) + raw + bytes(-end % 3)
        inside = slice(-(-8 * before // 6), 8 * end // 6)
        yield base64.standard_b64encode(padded)[inside]
        yield base64.urlsafe_b64encode(padded)[inside]
