"""Redaction: naming keys without holding them, masking them in what arrives and in what is written down.

Knows the forms and shapes of keys (SAFETY S10-S14). Must not know: the environment, sockets, files, any API.
"""

from __future__ import annotations

from streamnb.redaction._fields import find_fields
from streamnb.redaction._forms import FORM_MIN, forms
from streamnb.redaction._requests import REQUEST_HEADERS, RESPONSE_HEADERS, redact_headers, redact_url
from streamnb.redaction._scrubber import Scrubber
from streamnb.redaction._secret import Secret
from streamnb.redaction._text import looks_like_key, redact_json, redact_text

__all__ = [
    "FORM_MIN",
    "REQUEST_HEADERS",
    "RESPONSE_HEADERS",
    "Scrubber",
    "Secret",
    "find_fields",
    "forms",
    "looks_like_key",
    "redact_headers",
    "redact_json",
    "redact_text",
    "redact_url",
]
