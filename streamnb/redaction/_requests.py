"""What of headers and URLs is written down: headers by allow-list (S12), URLs without credentials (S13).

Knows names of headers and query fields. Must not know: HTTP libraries.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from streamnb.redaction._secret import Secret
from streamnb.redaction._text import redact_text

REQUEST_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "cache-control",
        "content-type",
        "openai-beta",
        "user-agent",
    }
)
"""Request headers whose value is stored; custom names are unbounded, so the rest is hidden."""

RESPONSE_HEADERS: Final = frozenset(
    {
        "anthropic-ratelimit-*",
        "cf-ray",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "openai-processing-ms",
        "request-id",
        "retry-after",
        "server",
        "transfer-encoding",
        "via",
        "x-ratelimit-*",
        "x-request-id",
    }
)
"""Response headers whose value is stored; `*` stands for any end."""

_QUERY_FIELDS: Final = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth",
        "authorization",
        "awsaccesskeyid",
        "client_secret",
        "code",
        "key",
        "password",
        "secret",
        "sig",
        "signature",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-signature",
    }
)

# RFC 3986 ends the user part at the first slash, question mark or number sign. A password pasted unquoted can hold
# one; such a URL is invalid, but errors print it: what stands behind the colon is then no port.
_CREDENTIALS: Final = re.compile(
    r"^([^/?#:]*:)?//(?:[^/?#]*@|[^/?#:\[]*:(?!\d*(?:[/?#]|$)).*?@)",
    re.DOTALL,
)
_FIELD: Final = re.compile(r"[?&;#]([^=&;#?]*)=")
_SEPARATOR: Final = re.compile(r"[&;#]")


def redact_headers(
    headers: Iterable[tuple[str, str | Secret]],
    allowed: frozenset[str] = REQUEST_HEADERS | RESPONSE_HEADERS,
    secrets: Iterable[str] = (),
) -> list[tuple[str, str]]:
    """Keep every header's name, and the value only of those on the list (S12).

    Args:
        headers: (name, value) in the order they were sent.
        allowed: lower-case names, `*` for any end; `REQUEST_HEADERS` or `RESPONSE_HEADERS`.
        secrets: values to mask even in allowed headers, beside the shapes of keys.

    Returns:
        The same pairs; `<redacted>` for a value that is not on the list.
    """
    known = tuple(secrets)
    return [
        (name, redact_text(str(value), known) if _is_allowed(name.lower(), allowed) else "<redacted>")
        for name, value in headers
    ]


def _is_allowed(name: str, allowed: frozenset[str]) -> bool:
    return name in allowed or any(fnmatchcase(name, pattern) for pattern in allowed)


def redact_url(url: str, secrets: Iterable[str] = ()) -> str:
    """Hide credentials in a URL: user and password, values of telling query fields, keys anywhere (S13).

    Args:
        url: absolute or relative; need not be valid. Everything else, the fragment too, stays byte for byte.
        secrets: values to mask wherever they stand, beside the shapes of keys.

    Returns:
        The URL with `REDACTED:REDACTED@`, `key=REDACTED` (names kept, OpenTelemetry's `url.full`), `***`.
    """
    url = _CREDENTIALS.sub(r"\1//REDACTED:REDACTED@", url)
    kept, at = [], 0
    for field in _FIELD.finditer(url):
        if field.start() >= at and urllib.parse.unquote(field[1]).lower() in _QUERY_FIELDS:
            kept += [url[at : field.end()], "REDACTED"]
            at = field.end() + len(_SEPARATOR.split(url[field.end() :], maxsplit=1)[0])
    return redact_text("".join([*kept, url[at:]]), secrets)
