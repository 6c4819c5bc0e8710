r"""A recorded request as a curl command for a POSIX shell, its keys as the environment variables that hold them.

Knows call lines, names of secrets, the shell's quoting. Must not know: keys' values, the environment, sockets, any API.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from streamnb.errors import UsageError
from streamnb.providers import Provider
from streamnb.redaction import Secret
from streamnb.transcript import CallLine

_HIDDEN: Final = "<redacted>"
_UNKNOWN: Final = "<not recorded>"
_BY_ITSELF: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "transfer-encoding", "user-agent"}
)
"""Headers that every client makes for itself."""

_ARGUMENT_BYTES: Final = 100_000
"""Longer bodies go in by standard input: Linux takes at most 128 KiB in one argument."""

_END_OF_BODY: Final = "END_OF_BODY"
_TOO_DEEP: Final = '"<nested too deeply to be shown>"'
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_METHOD: Final = re.compile(r"[A-Za-z]+")
_ODD: Final = re.compile(r"[^\n -~]")
_SPECIAL: Final = re.compile(r'[$`"\\]')  # what a backslash takes its meaning from inside double quotes
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Word = Sequence[str | Secret]
"""The text of one argument, with secrets in it."""


def command(line: CallLine, provider: Provider) -> str:
    """A command that sends a recorded request again, when it is pasted into a POSIX shell.

    Args:
        line: the request, redacted; nothing that was masked comes back.
        provider: who made it. What it says of its key explains masked headers and query fields, at its own hosts only.

    Returns:
        Several lines joined by backslashes; a key is `$NAME` in double quotes, what nobody can explain stays
        `<redacted>` or `REDACTED`. "" for a line that has no http(s) address.
    """
    if not line.url.startswith(("http://", "https://")) or not _METHOD.fullmatch(line.method):
        return ""  # a recording of another version, or a forged one: nothing here may begin with a dash
    headers, query = _secrets(line, provider)
    body = _body(line)
    method = [] if line.method == "GET" and body is None else ["-X", line.method]
    words = [
        " ".join(["curl", "-N", *_as_it_stands(line.url), *method, _quoted(_url(line.url, query))]),
        *(f"-H {_quoted(_header(name, value, headers))}" for name, value in line.headers if _is_sent(name)),
    ]
    after = ""
    if body is not None and len(body.encode()) > _ARGUMENT_BYTES:
        words.append(f"-d @- <<'{_END_OF_BODY}'")
        body = body.replace("!", "\\u0021")  # an interactive shell would look for it in its history
        after = f"\n{body}\n{_END_OF_BODY}"
    elif body is not None:
        words.append(f"-d {_quoted([body])}")
    return " \\\n  ".join(words) + after


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON as people read it: letters of every language as they are, escapes for all that cannot be seen.

    So a control character, a direction mark or half a surrogate pair does nothing where the text is pasted or shown.

    Args:
        value: a JSON value.
        indent: spaces per level; None: one line.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent)
    except RecursionError:
        return _TOO_DEEP
    return _ODD.sub(lambda odd: odd[0] if odd[0].isprintable() else json.dumps(odd[0])[1:-1], text)


def _body(line: CallLine) -> str | None:
    if line.body is not None:
        return json_text(line.body)
    has_body = any(name.lower() == "content-type" for name, _ in line.headers)
    return _UNKNOWN if has_body else None  # a client of the user's own: its bodies are not recorded


def _is_sent(name: str) -> bool:
    """False for what curl makes for itself, and for a name that is none: `@` would have curl read a file."""
    return name.lower() not in _BY_ITSELF and _TOKEN.fullmatch(name) is not None


def _secrets(line: CallLine, provider: Provider) -> tuple[dict[str, tuple[str, Secret]], dict[str, Secret]]:
    """The provider's secrets by lower-case header, and by query field: none for a host that is not its own."""
    own = [provider.base_url]
    own += [str(provider.values[option.name]) for option in provider.options if option.type == "url"]
    origin = _origin(line.url)
    if origin is None or origin not in map(_origin, own):
        return {}, {}
    headers: Mapping[str, str | Secret] = {}
    query: Mapping[str, str | Secret] = {}
    with contextlib.suppress(UsageError):  # a name that is no variable's, as a forged recording may have it
        headers, query = provider.secrets_of(line.name)
    return (
        {name.lower(): (name, value) for name, value in headers.items() if isinstance(value, Secret)},
        {name: value for name, value in query.items() if isinstance(value, Secret)},
    )


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None


def _header(name: str, value: str, secrets: Mapping[str, tuple[str, Secret]]) -> Word:
    if value == _HIDDEN and name.lower() in secrets:
        spelled, secret = secrets[name.lower()]
        return [f"{spelled}: {secret.prefix}", secret]
    name = name.title() if name.islower() else name
    return [f"{name}: {_visible(value)}" if value else f"{name};"]  # curl's way to send an empty one


def _url(url: str, secrets: Mapping[str, Secret]) -> Word:
    words: list[str | Secret] = [_visible(url)]
    for field, secret in secrets.items():
        before, *after = re.split(rf"(?<=[?&]){re.escape(field)}=REDACTED(?=[&#]|$)", str(words[-1]), maxsplit=1)
        if after:
            words[-1:] = [f"{before}{field}={secret.prefix}", secret, *after]
    return words


def _as_it_stands(url: str) -> list[str]:
    """What keeps curl from giving brackets and dots a meaning of its own."""
    return ["-g"] * bool(set(url) & set("[]{}")) + ["--path-as-is"] * ("/." in url)


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _quoted(word: Word) -> str:
    """One argument: in single quotes, or in double ones where the shell is to fill in a variable."""
    if not any(isinstance(part, Secret) for part in word):
        return "'" + "".join(map(str, word)).replace("'", "'\\''") + "'"
    shown = []
    for number, part in enumerate(word):
        if isinstance(part, Secret):
            last = not any(word[number + 1 :])
            shown.append(f"${part.env}" if last else f"${{{part.env}}}")
        else:  # no backslash helps against history expansion, so "!" stands in quotes of its own
            shown.append(_SPECIAL.sub(r"\\\g<0>", part).replace("!", "\"'!'\""))
    return '"' + "".join(shown) + '"'
